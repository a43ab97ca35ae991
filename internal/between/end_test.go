package between

import (
	"testing"

	"pgregory.net/rapid"

	"syncline"
)

// TestAnOwnerThatWakesUpHalts: a process that was replaced while it hung, and whose connections are gone, finds out as it comes back. The one that
// replaced it goes on, and gives way only where an operator says so.
func TestAnOwnerThatWakesUpHalts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, &Policy{})
		write := func(id int64) {
			w.sides[0].write(id, Record{syncline.Int(id), syncline.Text("a"), syncline.Decimal("1"), syncline.Null, syncline.Null})
		}
		step := func(who string) {
			t.Helper()
			if err := w.step(0); err != nil {
				t.Fatalf("%s: %v", who, err)
			}
		}
		write(0)
		step("the first owner")
		old, oldLanes := w.pair, w.lanes
		w.start()
		healthy := w.lanes
		write(1)
		step("the second owner")

		if rapid.Bool().Draw(t, "its connections are gone") {
			if err := old.shut(); err != nil {
				t.Fatal(err)
			}
		}
		write(2)
		for range 2 {
			w.lanes = oldLanes
			if err := w.step(0); syncline.CodeOf(err) != "fenced" || syncline.ClassOf(err) != syncline.Fatal || syncline.FixOf(err) == "" {
				t.Fatalf("the old owner wakes up: %v, want fenced, with a way out", err)
			}
		}
		w.lanes = healthy
		step("the second owner, after the old one woke up")
		if got := w.sides[1].all()[2]; got == nil {
			t.Fatal("what was written meanwhile is not on the other side")
		}

		if err := oldLanes[0].Close(); err != nil { // what a route does that halts
			t.Fatal(err)
		}
		var err error
		if oldLanes[0], err = old.Lane(t.Context(), 0); err != nil {
			t.Fatalf("after an operator's command: %v", err)
		}
		w.lanes = oldLanes
		write(0)
		step("the old owner, after an operator's command")
		write(1)
		if w.lanes = healthy; syncline.CodeOf(w.step(0)) != "fenced" {
			t.Fatal("the second owner still writes")
		}
	})
}
