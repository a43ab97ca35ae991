package between

import (
	"strings"
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
		tries := 2
		if rapid.Bool().Draw(t, "it looks at its columns first") {
			if _, err := oldLanes[0].Define(t.Context(), syncline.Definition{}); syncline.CodeOf(err) == "fenced" {
				tries = 0
			} else if err != nil {
				t.Fatalf("the old owner looks at its columns: %v", err)
			}
		}
		for range tries {
			w.lanes = oldLanes
			if err := w.step(0); syncline.CodeOf(err) != "fenced" || syncline.ClassOf(err) != syncline.Fatal || !strings.Contains(syncline.FixOf(err), w.pair.o.Route+"@"+w.pair.o.Sides[1].System) {
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

// TestAnOwnerThatIsContestedTwiceGoesOn: one that wakes up takes each side more than once, and who replaced it may meet that twice in one write.
func TestAnOwnerThatIsContestedTwiceGoesOn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, &Policy{})
		w.sides[0].write(1, Record{syncline.Int(1), syncline.Text("a"), syncline.Decimal("1"), syncline.Null, syncline.Null})
		times := rapid.IntRange(1, 4).Draw(t, "times")
		w.meddle = func() error {
			if times--; times < 0 {
				return nil
			}
			target, err := w.pair.o.Open[1](t.Context())
			if err != nil {
				return err
			}
			defer target.Close() //nolint:errcheck // in memory
			held, _, _, err := target.(syncline.CursorKeeper).Own(t.Context(), 0)
			if err == nil {
				_, _, _, err = target.(syncline.CursorKeeper).Own(t.Context(), held.Epoch+1)
			}
			return err
		}
		for range 4 {
			err := w.step(0)
			if err == nil {
				break
			}
			if syncline.CodeOf(err) != "fenced" || syncline.ClassOf(err) != syncline.Transient {
				t.Fatalf("the owner that is contested: %v (%s), want fenced, transient", err, syncline.ClassOf(err))
			}
		}
		if w.sides[1].all()[1] == nil {
			t.Fatal("it has not gone on")
		}
	})
}
