package pgsource

import (
	"net/url"
	"testing"
	"time"

	"syncline"
	"syncline/internal/testserver"
)

func (d *db) risk(o Options) syncline.SourceRisk {
	d.t.Helper()
	src, err := New(o)
	if err != nil {
		d.t.Fatal(err)
	}
	r, err := src.Risk(d.t.Context())
	if err != nil {
		d.t.Fatalf("risk: %v", err)
	}
	return r
}

// TestRisk: what the server keeps for the slot is told by a role that may do nothing but replicate, while the slot is read and while it is
// not.
func TestRisk(t *testing.T) {
	d := newDB(t, oneTable)
	role := "r_" + d.text("SELECT current_database()")
	d.exec("CREATE ROLE " + role + " LOGIN REPLICATION")
	t.Cleanup(func() { d.exec("DROP ROLE " + role) })
	o := d.options("t")
	plain := o
	u, err := url.Parse(o.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.User(role)
	plain.URL = u.String()
	if r := d.risk(plain); r.State != syncline.SlotMissing || !r.AtRisk() || r.System == "" || r.Slot != o.Slot {
		t.Errorf("risk before there is a slot = %+v", r)
	}
	p := record(t, o)
	p.copied()
	d.exec("INSERT INTO t VALUES (1)")
	p.events(1)
	if r := d.risk(plain); r.State != syncline.SlotReserved || !r.Active || r.SafeBytes != nil || r.AtRisk() {
		t.Errorf("risk of a slot that is read = %+v", r)
	}
	p.close()
	d.released()
	before := d.risk(plain)
	d.exec("SELECT pg_logical_emit_message(true, 'x', repeat('x', 3000000))")
	r := d.risk(plain)
	if r.Active || r.HeldBytes < before.HeldBytes+3_000_000 || r.LagBytes < before.LagBytes+3_000_000 || r.LagBytes > r.HeldBytes {
		t.Errorf("risk of a slot that nobody reads = %+v, was %+v", r, before)
	}
}

// TestRiskOfASlotThatIsGivenUp: the server says beforehand that it will remove what is needed, and that it has.
func TestRiskOfASlotThatIsGivenUp(t *testing.T) {
	s := testserver.NewPostgres(t, "fsync=off", "max_slot_wal_keep_size=64MB", "min_wal_size=32MB", "max_wal_size=32MB")
	d := &db{t: t, url: s.Database(t)}
	d.conn = d.connect()
	d.exec(oneTable)
	o := d.options("t")
	p := record(t, o)
	p.copied()
	if r := d.risk(o); r.SafeBytes == nil || *r.SafeBytes < 32<<20 || r.AtRisk() {
		t.Errorf("risk at the beginning = %+v", r)
	}
	p.close()
	warned := false
	for range 40 {
		d.exec("SELECT pg_logical_emit_message(false, 'x', repeat('x', 1000000)) FROM generate_series(1, 5)")
		d.exec("CHECKPOINT")
		r := d.risk(o)
		warned = warned || r.AtRisk() && r.State != syncline.SlotLost
		if r.State == syncline.SlotLost {
			if !warned || !r.AtRisk() {
				t.Errorf("lost without a warning before: %+v", r)
			}
			return
		}
	}
	t.Errorf("the slot was never lost: %+v", d.risk(o))
}

// TestAnIdleSlotHoldsLittle: nothing happens in the captured database while others of the server write. What the server holds for the slot does
// not grow with that.
func TestAnIdleSlotHoldsLittle(t *testing.T) {
	d, other := newDB(t, oneTable), newDB(t)
	o := d.options("t")
	o.Heartbeat = 20 * time.Millisecond
	p := record(t, o)
	p.copied()
	const written = 8_000_000
	before := d.text("SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = $1", d.slotOf())
	other.exec("SELECT pg_logical_emit_message(true, 'x', repeat('x', 1000000)) FROM generate_series(1, 8)")
	p.until(func() bool {
		p.src.Confirm(p.log[len(p.log)-1].Position)
		other.exec("CHECKPOINT") // it writes which transactions are running, from which a slot knows that it may move
		return d.risk(o).HeldBytes < written/4
	})
	if moved := d.text("SELECT restart_lsn - $2::pg_lsn FROM pg_replication_slots WHERE slot_name = $1", d.slotOf(), before); moved == "0" {
		t.Error("the slot holds what it held")
	}
}
