package daemon

import (
	"testing"

	"syncline/internal/ops"
)

// TestSidesAreCompared: what one side of a two-way rule holds otherwise because an event was lost is found, whichever side it is, and the
// rule settles it when it is asked to look again.
func TestSidesAreCompared(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	crm, erp := twoSides(t, dir)
	d := running(t, load(t, dir, twoWayRule))
	holds(t, erp, clients, "1 Ann 10 new", "2 Bea 20 A2", "3 Cho 30 A3")
	eventually(t, "the sides are equal", func() bool {
		v := verified(t, d, ops.VerificationRequest{})
		return v.Total.Equal == 3 && v.Differences == 0
	})
	// What the first copy has left in the logs would have the rule look at the records again: once it is there, and then the routes are past it.
	for range 2 {
		verified(t, d, ops.VerificationRequest{Keys: []string{"1", "2", "3"}})
	}
	// The change's event is taken away before anybody sees it.
	const lose = `; DELETE FROM _syncline_changes WHERE seq = (SELECT max(seq) FROM _syncline_changes);
		UPDATE sqlite_sequence SET seq = seq - 1 WHERE name = '_syncline_changes'; COMMIT`
	exec(t, crm, `BEGIN IMMEDIATE; UPDATE customer SET name = 'Anna' WHERE id = 1`+lose)
	exec(t, crm, `BEGIN IMMEDIATE; DELETE FROM customer WHERE id = 2`+lose)
	exec(t, erp, `BEGIN IMMEDIATE; DELETE FROM client WHERE id = 3`+lose)
	for _, step := range []struct {
		q    ops.VerificationRequest
		want string
	}{
		{ops.VerificationRequest{}, "done equal=0 missing=1 extra=1 different=1 1:different:label:found 2:extra::found 3:missing::found"},
		{ops.VerificationRequest{Keys: []string{"1"}}, "done equal=0 different=1 1:different:label:found"},
		{ops.VerificationRequest{Repair: "auto"}, "done equal=0 missing=1 extra=1 different=1 repaired=3 1:different:label:repaired 2:extra::repaired 3:missing::repaired"},
		{ops.VerificationRequest{}, "done equal=1"},
	} {
		v := verified(t, d, step.q)
		r := report(t, d)
		if one, ok := found(&r, "differences"); step.q.Keys == nil && (ok != (v.Differences > 0) || ok && (one.Rule != "customer" || one.Target != "erp")) {
			t.Errorf("after verification %+v the report recommends %+v", step.q, one)
		}
		if got := verdictIn(t, d, &v); got != step.want {
			t.Errorf("verification %+v:\n got %s\nwant %s", step.q, got, step.want)
		}
	}
	holds(t, crm, customers, "1 Anna 10 111")
	holds(t, erp, clients, "1 Anna 10 new")
}
