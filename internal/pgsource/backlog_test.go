package pgsource

import (
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"

	"syncline"
	"syncline/internal/sourcetest"
	"syncline/internal/testserver"
)

// bySQL reads everything by SQL that is behind.
func bySQL(o Options) Options {
	o.Backlog = 1
	return o
}

func TestConformanceOfABacklog(t *testing.T) {
	sourcetest.Run(t, sourcetest.Harness{Snapshot: true, Keyless: true, Truncate: true, Concurrent: true, New: func(t *testing.T) sourcetest.System {
		s := newSystem(t).(system)
		s.backlog = true
		return s
	}})
}

// steps is a backlog of several steps, of rows with so many bytes. It returns how many rows there are.
func (d *db) steps(width int) int {
	d.t.Helper()
	const transactions, rows = 40, 1000
	for i := range transactions {
		d.exec("INSERT INTO t SELECT i, repeat('x', $3::int) FROM generate_series($1::int, $2::int) i", 1+i*rows, (i+1)*rows, width)
	}
	return transactions * rows
}

// inOrder checks that the stream has the rows 1 to n, each once and in order.
func (p *tape) inOrder(n int) {
	p.t.Helper()
	events := p.events(n)
	if len(events) != n {
		p.t.Errorf("%d events, want %d", len(events), n)
	}
	for i, e := range events {
		if id := string(e.After[0].Bytes()); id != strconv.Itoa(i+1) {
			p.t.Fatalf("event %d has the id %s", i+1, id)
		}
	}
}

// sending tells whether the source has come to the walsender.
func (p *tape) sending() bool { _, ok := p.src.stream.feed.(*wire); return ok }

// streams writes rows behind the first n, until the walsender brings them. An idle one brings nothing for many seconds.
func (p *tape) streams(d *db, n int) int {
	p.t.Helper()
	for !p.sending() {
		n++
		d.exec("INSERT INTO t VALUES ($1)", n)
		p.events(n)
	}
	return n
}

// TestBacklog: what is far behind comes by SQL, in steps, each row once and in order, however the process ends between; the slot is moved by what
// the log has, and by nothing else. Then the walsender goes on.
func TestBacklog(t *testing.T) {
	d := newDB(t, oneTable)
	p := record(t, bySQL(d.options("t")))
	p.copied()
	p.close()
	before := d.confirmed()
	n := d.steps(300)
	p.open()
	if p.sending() {
		t.Error("the walsender is asked for the backlog")
	}
	if _, ok := p.src.stream.feed.(*backlog).conn.Conn().(heeded); !ok {
		t.Error("what arrives is not heeded: a step that takes long to arrive would be given up")
	}
	p.events(n / 3)
	p.crash(1)
	if p.sending() {
		t.Error("the walsender is asked for the rest of the backlog")
	}
	p.events(n / 2)
	p.crash(2)
	p.events(n)
	if at := lsn(p.log[len(p.log)-1].Position.Commit); d.confirmed() > at || before > at {
		t.Errorf("the slot is at %s, the log at %s", d.confirmed(), at)
	}
	n = p.streams(d, n)
	p.inOrder(n)
	if got := d.text("SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"); got != "1" {
		t.Errorf("%s slots are left, want ours", got)
	}
	last := p.log[len(p.log)-1].Position
	p.src.Confirm(last)
	await(t, func() bool { return d.confirmed() == lsn(last.Commit) })
	p.close()
	d.exec("INSERT INTO t VALUES ($1)", n+1)
	p.open()
	if p.sending() {
		t.Error("the walsender is asked for the backlog behind a stream")
	}
	p.inOrder(n + 1)
}

// TestLittleIsLeftToTheWalsender: to copy a slot costs more than a few rows by themselves.
func TestLittleIsLeftToTheWalsender(t *testing.T) {
	d := newDB(t, oneTable)
	p := record(t, d.options("t"))
	p.copied()
	n := 0
	for _, c := range []struct {
		width int
		sends bool
	}{{1 << 20, true}, {3 << 20, false}} {
		p.close()
		d.exec("SELECT pg_logical_emit_message(true, 'width', repeat('x', $1))", c.width)
		p.open()
		if p.sending() != c.sends {
			t.Errorf("behind by %d bytes: from the walsender is %t, want %t", c.width, p.sending(), c.sends)
		}
		d.exec("INSERT INTO t VALUES ($1)", n+1)
		p.events(n + 1)
		n = p.streams(d, n+1)
		last := p.log[len(p.log)-1].Position
		p.src.Confirm(last)
		await(t, func() bool { return d.confirmed() >= lsn(last.Commit) })
	}
}

// TestABacklogWaitsForASlotInUse: a process of ours that was killed holds it for a moment, and leaves a backlog.
func TestABacklogWaitsForASlotInUse(t *testing.T) {
	d := newDB(t, oneTable)
	p := record(t, bySQL(d.options("t")))
	p.copied()
	d.exec("INSERT INTO t VALUES (1)")
	p.events(1)
	n := p.streams(d, 1)
	first := p.src
	p.src = nil
	d.exec("INSERT INTO t VALUES ($1)", n+1)
	done := make(chan error)
	go func() { done <- p.tryOpen() }()
	await(t, func() bool {
		return d.text("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT end_lsn = %' AND state <> 'active' AND datname = current_database()") != "0"
	})
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if p.sending() {
		t.Error("the walsender is asked for the backlog")
	}
	p.inOrder(n + 1)
}

// TestBacklogLeavesTheSlot: everything is read, and nothing is confirmed.
func TestBacklogLeavesTheSlot(t *testing.T) {
	d := newDB(t, oneTable)
	p := record(t, bySQL(d.options("t")))
	p.copied()
	p.close()
	logged := p.log[len(p.log)-1].Position
	n := d.steps(300)
	p.open()
	p.inOrder(n)
	if at := d.confirmed(); at > lsn(logged.Commit) {
		t.Errorf("the slot is at %s, beyond %s, which was logged last", at, lsn(logged.Commit))
	}
}

// TestBacklogFromAConnectionThatEnds in the middle of a step: it is tried again, and nothing is lost or twice.
func TestBacklogFromAConnectionThatEnds(t *testing.T) {
	d := newDB(t, oneTable)
	p := record(t, bySQL(d.options("t")))
	p.copied()
	p.close()
	n := d.steps(1500) // more than the socket, its buffers and we read ahead
	p.open()
	await(t, func() bool { blocks := p.src.stream.feed.arrivals(); return len(blocks) == cap(blocks) })
	d.exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY (SELECT data%'")
	var err error
	for err == nil && len(p.streamed()) < n {
		_, err = p.tryNext()
	}
	if err == nil || syncline.ClassOf(err) != syncline.Transient || syncline.CodeOf(err) != "connection_lost" {
		t.Fatalf("error = %v, want a connection that is lost, after %d events", err, len(p.streamed()))
	}
	p.crash(0)
	p.inOrder(n)
}

// TestBacklogWithoutAFreeSlot: the server refuses the copy, and the walsender brings everything.
func TestBacklogWithoutAFreeSlot(t *testing.T) {
	t.Parallel()
	pg := testserver.NewPostgres(t, "max_replication_slots=1")
	c, err := pgx.Connect(t.Context(), pg.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	d := &db{t: t, url: pg.URL("postgres"), conn: c}
	t.Cleanup(func() { hangUp(c) })
	d.exec(oneTable)
	p := record(t, bySQL(d.options("t")))
	p.copied()
	p.close()
	n := d.steps(300)
	p.open()
	if !p.sending() {
		t.Error("it does not come from the walsender")
	}
	await(t, func() bool {
		return d.text("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_copy_logical_replication_slot(%' AND pid <> pg_backend_pid()") == "0"
	})
	p.inOrder(n)
}
