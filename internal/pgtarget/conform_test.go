package pgtarget

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"syncline"
	"syncline/internal/targettest"
	"syncline/internal/testserver"
)

var server *testserver.Postgres

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	if server, err = testserver.StartPostgres("fsync=off"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer server.Close()
	return m.Run()
}

// connection opens a second connection to look at the database from outside.
func connection(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) }) //nolint:errcheck // the end of a test
	return c
}

func execute(t testing.TB, c *pgx.Conn, statements ...string) {
	t.Helper()
	for _, sql := range statements {
		if _, err := c.Exec(context.Background(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

func open(t testing.TB, o Options) *Target {
	t.Helper()
	tgt, err := Open(context.Background(), o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { tgt.Close() }) //nolint:errcheck // the end of a test
	return tgt
}

// schemas numbers the schemas of conformance tests, which share a database.
var schemas atomic.Int64

func harness(t *testing.T, guard, shadows bool) targettest.Harness {
	url := server.Database(t)
	admin := connection(t, url)
	return targettest.Harness{
		Guarded: guard,
		Refuses: []string{"text_nul", "text_invalid_utf8"},
		Open: func(t *testing.T) targettest.Instance {
			schema := fmt.Sprintf("s%d", schemas.Add(1))
			execute(t, admin, "CREATE SCHEMA "+schema)
			o := Options{URL: url + "&search_path=" + schema, Route: "r'1", Slice: 3, Guard: guard, Shadows: shadows}
			return targettest.Instance{
				Target: open(t, o),
				Reopen: func() syncline.Target { return open(t, o) },
				Refuse: func(_ string, row syncline.Row) syncline.Row {
					row.Values[1] = syncline.Text("a\x00b")
					return row
				},
			}
		},
	}
}

func TestTargetConforms(t *testing.T) {
	for name, o := range map[string]Options{"plain": {}, "guarded": {Guard: true}, "with shadows": {Shadows: true}, "guarded with shadows": {Guard: true, Shadows: true}} {
		t.Run(name, func(t *testing.T) { targettest.Run(t, harness(t, o.Guard, o.Shadows)) })
	}
}
