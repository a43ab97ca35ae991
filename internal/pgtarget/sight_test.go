package pgtarget

import "testing"

// What a transaction wrote is seen once it is over for others, not once it has a number.
func TestATransactionIsSeenOnceItIsOver(t *testing.T) {
	r := newRig(t, Options{}, `CREATE TABLE a (id int PRIMARY KEY)`)
	sees := func(xid uint64) bool {
		t.Helper()
		ok, err := r.tgt.Sees(t.Context(), []uint64{1 << 2, xid})
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	other, later := connection(t, r.tgt.o.URL), connection(t, r.tgt.o.URL)
	var first, second int64
	execute(t, other, "BEGIN", "INSERT INTO a VALUES (1)")
	if err := other.QueryRow(t.Context(), "SELECT pg_current_xact_id()::text::bigint").Scan(&first); err != nil {
		t.Fatal(err)
	}
	if sees(uint64(first)) {
		t.Error("the newest transaction is seen while it is under way")
	}
	execute(t, later, "BEGIN", "INSERT INTO a VALUES (2)")
	if err := later.QueryRow(t.Context(), "SELECT pg_current_xact_id()::text::bigint").Scan(&second); err != nil {
		t.Fatal(err)
	}
	execute(t, later, "COMMIT")
	if sees(uint64(first)) || !sees(uint64(second)) {
		t.Error("an older transaction that is under way is seen, or a newer one that is over is not")
	}
	execute(t, other, "COMMIT")
	if !sees(uint64(first)) {
		t.Error("a transaction that is over is not seen")
	}
	if !sees(uint64(uint32(second) + 1<<31 - 1)) {
		t.Error("a number of an earlier round is waited for")
	}
}
