package pgsource

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"syncline/internal/testserver"
)

// TestAServerThatWentBackAndOn: a server whose disk was put back, slots and all, and that was written to since until its WAL is longer than what
// the log has of it, is found out, by its next transaction or by its word that there is none. Nothing of it gets into the log.
func TestAServerThatWentBackAndOn(t *testing.T) {
	const much = "INSERT INTO other SELECT repeat('x', 100) FROM generate_series(1, 5000)"
	for name, since := range map[string][]string{
		"written to":                  {much, "UPDATE t SET v = 'else'"},
		"another table is written to": {much},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pg := testserver.NewPostgres(t)
			do := func(statements ...string) {
				t.Helper()
				c, err := pgx.Connect(t.Context(), pg.URL("postgres"))
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close(t.Context()) //nolint:errcheck // it is only a test's
				for _, s := range statements {
					if _, err := c.Exec(t.Context(), s); err != nil {
						t.Fatalf("%s: %v", s, err)
					}
				}
			}
			do(oneTable, "CREATE TABLE other (v text)", "INSERT INTO t VALUES (1)")
			p := record(t, Options{Name: "crm", URL: pg.URL("postgres"), Slot: "s", Publication: "pub", Manage: true, Marker: 20 * time.Millisecond,
				Entities: []Entity{{Name: "t", Table: "t"}}})
			p.copied()
			do("INSERT INTO t VALUES (2)")
			p.events(1)
			p.close()
			snapshot := pg.Snapshot(t)
			p.open()
			do("INSERT INTO t VALUES (3)", "INSERT INTO t VALUES (4)")
			p.events(3)
			p.close()
			pg.Restore(t, snapshot, false)
			do(since...)
			end := len(p.log)
			err := p.tryOpen()
			for err == nil {
				_, err = p.tryNext()
			}
			wantCode(t, err, "source_behind")
			for _, b := range p.log[end:] {
				if len(b.Events) > 0 {
					t.Errorf("%d events of the other history are in the log", len(b.Events))
				}
			}
		})
	}
}

// TestARepeatedTransactionIsNoNews: whether or not the slot has confirmed what the log ends with, the stream goes on behind it, once.
func TestARepeatedTransactionIsNoNews(t *testing.T) {
	d := newDB(t, oneTable, "INSERT INTO t VALUES (1)")
	p := record(t, d.options("t"))
	p.copied()
	for id := 2; id < 8; id++ {
		d.exec("INSERT INTO t VALUES ($1)", id)
		p.until(func() bool { return len(p.streamed()) == id-1 })
		if id%2 == 0 {
			p.src.Confirm(p.log[len(p.log)-1].Position)
			await(t, func() bool { return uint64(d.confirmed()) >= p.log[len(p.log)-1].Position.Commit })
		}
		p.crash(0)
		if asked := p.src.landmark != nil; asked == (id%2 == 0) {
			t.Errorf("id %d: the last transaction is asked for again = %t", id, asked)
		}
	}
	d.exec("INSERT INTO t VALUES (8)")
	p.until(func() bool { return len(p.streamed()) >= 7 })
	wantEvents(t, p.streamed(), "created t [] [2,null]", "created t [] [3,null]", "created t [] [4,null]", "created t [] [5,null]", "created t [] [6,null]",
		"created t [] [7,null]", "created t [] [8,null]")
	// Through another publication the last transaction may have nothing.
	d.exec("CREATE PUBLICATION pub2 FOR TABLE t")
	p.close()
	p.o.Publication = "pub2"
	p.open()
	if p.src.landmark != nil {
		t.Error("the last transaction is asked for through another publication")
	}
}
