package pgsource

import (
	"sort"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"syncline/internal/poll"
	"syncline/internal/polltest"
)

// pollable is a database that is polled.
type pollable struct {
	url  string
	conn *pgx.Conn
}

func newPollable(t testing.TB) polltest.Database {
	t.Helper()
	p := &pollable{url: server.Database(t)}
	p.conn = p.connect(t)
	return p
}

func (p *pollable) connect(t testing.TB) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), p.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hangUp(conn) })
	return conn
}

func (p *pollable) Dialect(t testing.TB) poll.Dialect {
	t.Helper()
	d, err := NewPoller("shop", p.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (p *pollable) Exec(t testing.TB, statements ...string) {
	t.Helper()
	execOn(t, p.conn, statements...)
}

func execOn(t testing.TB, conn *pgx.Conn, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func (p *pollable) Rows(t testing.TB, query string) []string {
	t.Helper()
	results, err := p.conn.PgConn().Exec(t.Context(), query).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, row := range results[0].Rows {
		texts := make([]string, len(row))
		for i, v := range row {
			texts[i] = string(v)
		}
		list = append(list, strings.Join(texts, "|"))
	}
	sort.Strings(list)
	return list
}

// openTxn is a transaction of a session of its own.
type openTxn struct{ conn *pgx.Conn }

func (o openTxn) Exec(t testing.TB, statements ...string) {
	t.Helper()
	execOn(t, o.conn, statements...)
}

func (o openTxn) Commit(t testing.TB) {
	t.Helper()
	execOn(t, o.conn, "COMMIT")
	hangUp(o.conn)
}

func begin(t testing.TB, db polltest.Database) polltest.Txn {
	t.Helper()
	o := openTxn{db.(*pollable).connect(t)}
	o.Exec(t, "BEGIN")
	return o
}

func TestPoller(t *testing.T) {
	polltest.Test(t, polltest.Harness{New: newPollable, Begin: begin})
}
