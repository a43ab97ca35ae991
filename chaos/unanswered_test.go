package main

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestCommitsAreCut sees that behind one toxic a transaction was committed that was not answered, and behind the other it was not, for both ways in
// which a COMMIT is sent.
func TestCommitsAreCut(t *testing.T) {
	server, err := newPostgres(t.Context(), "fsync=off")
	if err != nil {
		t.Fatal(err)
	}
	defer server.close(t.TempDir() + "/log")
	if err := server.exec(t.Context(), "CREATE TABLE t (n int)"); err != nil {
		t.Fatal(err)
	}
	net := newNetwork()
	defer net.close()
	if err := net.add("db", server.server.Port); err != nil {
		t.Fatal(err)
	}
	direct, err := pgx.ParseConfig(server.server.URL(database))
	if err != nil {
		t.Fatal(err)
	}
	direct.Host, direct.Port, direct.Fallbacks = "127.0.0.1", uint16(net.port("db")), nil //nolint:gosec // a port
	ways := map[string]func(context.Context, *pgx.Conn) error{
		"simple query": func(ctx context.Context, c *pgx.Conn) error {
			_, err := c.Exec(ctx, "commit")
			return err
		},
		"parsed statement": func(ctx context.Context, c *pgx.Conn) error {
			_, err := c.PgConn().ExecParams(ctx, "COMMIT", nil, nil, nil, nil).Close()
			return err
		},
	}
	n := 0
	for way, commit := range ways {
		for toxic, stream := range map[string]string{unansweredToxic: "downstream", unheardToxic: "upstream"} {
			t.Run(fmt.Sprint(toxic, ", ", way), func(t *testing.T) {
				if err := net.disturb("db", toxic, stream, map[string]int{"after": 1}); err != nil {
					t.Fatal(err)
				}
				conn, err := pgx.ConnectConfig(t.Context(), direct)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // it was cut
				for i := range 2 {
					n++
					if _, err := conn.Exec(t.Context(), "BEGIN"); err != nil {
						t.Fatal(err)
					}
					if _, err := conn.Exec(t.Context(), "INSERT INTO t VALUES ($1)", n); err != nil {
						t.Fatal(err)
					}
					if err := commit(t.Context(), conn); (err != nil) != (i == 1) {
						t.Errorf("the answer to commit %d is %v", i, err)
					}
				}
				if err := net.replace("db"); err != nil {
					t.Fatal(err)
				}
				list, err := column[int](t.Context(), server, fmt.Sprintf("SELECT n FROM t WHERE n > %d - 2", n))
				if want := map[string]int{unansweredToxic: 2, unheardToxic: 1}[toxic]; err != nil || len(list) != want {
					t.Errorf("the table has %v, %v; want %d of them", list, err, want)
				}
			})
		}
	}
}
