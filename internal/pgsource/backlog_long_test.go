package pgsource

import "testing"

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
