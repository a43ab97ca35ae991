package pgsource

import (
	"testing"
	"time"

	"syncline"
	"syncline/internal/testserver"
)

// behind is a source whose log ends before n rows, opened again.
func (d *db) behind(width int) (p *tape, n int) {
	d.t.Helper()
	p = record(d.t, bySQL(d.options("t")))
	p.copied()
	p.close()
	n = d.steps(width)
	p.open()
	return p, n
}

// halfway waits until the reader has given out all that it may: it is in the middle of a step, and what is left of the backlog is more than the
// server has decoded.
func (p *tape) halfway() {
	p.t.Helper()
	await(p.t, func() bool { blocks := p.src.stream.feed.arrivals(); return len(blocks) == cap(blocks) })
}

// ownServer is a database on a server of its own.
func ownServer(t *testing.T, settings ...string) (*testserver.Postgres, *db) {
	t.Helper()
	pg := testserver.NewPostgres(t, append([]string{"fsync=off"}, settings...)...)
	d := &db{t: t, url: pg.Database(t)}
	d.conn = d.connect()
	return pg, d
}

const wide = 1500 // so many bytes make the rows of steps more than the socket, its buffers and we read ahead

// fails takes batches until the source does.
func (p *tape) fails() error {
	p.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if _, err := p.tryNext(); err != nil {
			return err
		}
	}
	p.t.Fatal("it goes on and on")
	return nil
}

// TestSlotIsTakenInMidBacklog: it is said that somebody has it, and then it is gone on with.
func TestSlotIsTakenInMidBacklog(t *testing.T) {
	t.Parallel()
	d := newDB(t, oneTable)
	p, n := d.behind(wide)
	p.halfway()
	other, err := p.src.connectReplication(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeNow(other) })
	if err := startReplication(t.Context(), other, "START_REPLICATION SLOT "+d.slotOf()+" LOGICAL 0/0 (proto_version '1', publication_names 'pub')"); err != nil {
		t.Fatal(err)
	}
	inUse := func(err error) {
		t.Helper()
		if syncline.ClassOf(err) != syncline.Transient || syncline.CodeOf(err) != "slot_in_use" || fixOf(err) == "" {
			t.Fatalf("error = %v, want that the slot is in use", err)
		}
	}
	inUse(p.fails())
	p.close()
	inUse(p.tryOpen())
	closeNow(other)
	p.crash(0)
	d.exec("INSERT INTO t VALUES ($1)", n+1)
	p.inOrder(n + 1)
}
