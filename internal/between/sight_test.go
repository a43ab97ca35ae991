package between

import (
	"testing"

	"pgregory.net/rapid"

	"syncline"
)

// A record that was added arrives although the log tells of it before the database shows it.
func TestARecordIsWaitedForUntilItIsVisible(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, &Policy{})
		side, looks := rapid.IntRange(0, 1).Draw(t, "side"), 0
		r := Record{syncline.Int(1), syncline.Text("a"), syncline.Decimal("1"), syncline.Text("n"), syncline.Null}
		w.queues[side] = append(w.queues[side], 1)
		w.sees = func() bool {
			if looks++; looks < 3 {
				return false
			}
			w.sees = nil
			w.sides[side].put(1, r)
			return true
		}
		if err := w.step(side); err != nil {
			t.Fatal(err)
		}
		if got := w.sides[1-side].all()[1]; !equalRecords(got, r) {
			t.Fatalf("the other side has %v, want %v", got, r)
		}
	})
}
