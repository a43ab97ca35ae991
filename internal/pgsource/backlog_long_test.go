package pgsource

import (
	"context"
	"testing"
)

// elsewhere writes so much WAL that no table of ours has a part of.
func (d *db) elsewhere(mebibytes int) {
	d.t.Helper()
	for range mebibytes / 16 {
		d.exec("SELECT pg_logical_emit_message(false, 'elsewhere', repeat('x', 16 << 20))")
	}
	d.exec("SELECT pg_switch_wal()")
}

// TestOurSlotFollowsALongBacklog, by what the log has: the server would keep all of it until the end.
func TestOurSlotFollowsALongBacklog(t *testing.T) {
	d, other := newDB(t, oneTable), newDB(t)
	p := record(t, bySQL(d.options("t")))
	p.copied()
	p.close()
	before := lsn(p.log[len(p.log)-1].Position.Commit)
	other.elsewhere(backlogKept>>20 + 16)
	n := d.steps(wide)
	p.open()
	p.halfway() // of the rows, behind all that is elsewhere
	if at := d.confirmed(); at > before {
		t.Errorf("the slot is at %s, and nothing beyond %s is in the log", at, before)
	}
	followed := false
	for len(p.streamed()) < n {
		at := p.next().Position
		slot := d.confirmed()
		if slot > lsn(at.Commit) {
			t.Fatalf("the slot is at %s, the log at %s", slot, lsn(at.Commit))
		}
		followed = followed || slot >= before+backlogKept && !p.sending()
		p.src.Confirm(at)
	}
	if !followed {
		t.Error("the slot stayed where it was")
	}
	p.inOrder(n)
}

// TestABacklogWhoseDecodingBeginsFarBack is left to the walsender, which decodes it once: a transaction is open all the time.
func TestABacklogWhoseDecodingBeginsFarBack(t *testing.T) {
	d, other := newDB(t, oneTable), newDB(t)
	p := record(t, bySQL(d.options("t")))
	p.copied()
	p.close()
	tx, err := d.connect().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "INSERT INTO t VALUES (2)"); err != nil {
		t.Fatal(err)
	}
	d.exec("INSERT INTO t VALUES (1)")
	d.exec("CHECKPOINT")
	began := d.confirmed()
	other.elsewhere(backlogReach>>20 + 64)
	d.exec("CHECKPOINT")
	p.open()
	b, ok := p.src.stream.feed.(*backlog)
	if !ok {
		t.Fatal("nothing of the backlog is read by SQL")
	}
	b.done.Wait() // nothing of it is for us, so that nobody has to take it
	if far := b.from - began; far < backlogReach-2*maxStep || far > backlogReach+16<<20 {
		t.Errorf("the walsender goes on %d MiB behind where decoding begins", far>>20)
	}
	if !b.conn.IsClosed() {
		t.Error("its connection stays, and the copy of the slot with it")
	}
	if err := tx.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	p.inOrder(2)
}

// TestATransactionThatTheServerHasNoRoomFor comes from the walsender, which keeps none of what it gives out: a few MB of WAL become many.
func TestATransactionThatTheServerHasNoRoomFor(t *testing.T) {
	d := newDB(t, oneTable)
	p := record(t, bySQL(d.options("t")))
	p.copied()
	p.close()
	const n = 100
	d.exec("INSERT INTO t SELECT i, repeat('x', $2::int) FROM generate_series(1, $1::int) i", n, stepMemory<<20*3/2/n)
	d.exec("ALTER DATABASE " + d.text("SELECT current_database()") + " SET temp_file_limit = 0")
	p.open()
	b := p.src.stream.feed.(*backlog)
	p.inOrder(n)
	for _, batch := range p.log {
		for _, txn := range batch.Txns {
			if b.from > lsn(txn.Commit) {
				t.Fatalf("the transaction of %s is read by SQL, up to %s", lsn(txn.Commit), b.from)
			}
		}
	}
}

// TestAFailoverSlotIsLeftToTheWalsender: what its standbys do not have yet must not be given out, and a copy of it gives out everything.
func TestAFailoverSlotIsLeftToTheWalsender(t *testing.T) {
	t.Parallel()
	if majorVersion(t) < 17 {
		return // no slot is one
	}
	_, d := ownServer(t)
	d.exec(oneTable)
	d.exec("CREATE PUBLICATION pub FOR TABLE t")
	d.exec("SELECT pg_create_logical_replication_slot($1, 'pgoutput', failover => true)", d.slotOf())
	o := bySQL(d.options("t"))
	o.Manage = false
	p := record(t, o)
	p.copied()
	p.close()
	n := d.steps(300)
	p.open()
	if !p.sending() {
		t.Error("it is read by SQL")
	}
	p.inOrder(n)
}

// TestTheServerNoticesThatWeAreGone: the copy of the slot keeps WAL, and a step a snapshot, for as long as the server believes that we are there.
func TestTheServerNoticesThatWeAreGone(t *testing.T) {
	d := newDB(t, oneTable)
	p := record(t, d.options("t"))
	p.copied()
	point := d.confirmed()
	p.close()
	d.released()
	src, err := New(p.o)
	if err != nil {
		t.Fatal(err)
	}
	c, err := src.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer hangUp(c)
	b := newBacklog(point, 1, nil)
	b.conn, b.slot, b.copied = c.PgConn(), literal(d.slotOf()), literal(d.slotOf()+"_copy")
	if err := b.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"tcp_user_timeout": "300000", "tcp_keepalives_idle": "60", "tcp_keepalives_interval": "20", "tcp_keepalives_count": "3", "statement_timeout": "0", "work_mem": "64MB"} {
		if row, err := command(t.Context(), b.conn, "SHOW "+name); err != nil || row[0] != want {
			t.Errorf("%s = %v, %v, want %s", name, row, err, want)
		}
	}
}
