package state

import (
	"testing"

	"syncline"
)

// TestSettled: whatever is done to a slice, Settled is a place that its target has reached.
func TestSettled(t *testing.T) {
	s := openNew(t)
	want := func(doing string, at, settled syncline.Seq) {
		t.Helper()
		r, err := s.Route(t.Context(), sl)
		must(t, err)
		if r.Cursor.Seq != at || r.Settled != settled {
			t.Errorf("%s: cursor %d, settled %d, want %d and %d", doing, r.Cursor.Seq, r.Settled, at, settled)
		}
	}
	commit := func(c Commit) {
		t.Helper()
		c.Slice = sl
		must(t, s.Commit(t.Context(), c))
	}
	place1(t, s, sl)
	want("placed", 1, 1)
	commit(Commit{Journal: journal(1, 5, Applied), Cursor: cur(5, 0), Settled: 1})
	want("a batch", 5, 1)
	commit(Commit{Journal: journal(90, 95, Applied), Cursor: cur(95, 0), Settled: 5})
	want("a batch behind what was passed without a write", 95, 5)
	commit(Commit{Journal: journal(90, 95, Applied), Cursor: cur(95, 0), Settled: 5})
	want("the same batch again", 95, 5)
	commit(Commit{Journal: journal(90, 91, Applied), Cursor: cur(91, 0), Settled: 5})
	want("its first part, because the target refused it", 91, 5)
	commit(Commit{Cursor: cur(99, 0), Settled: 91})
	want("nothing to apply", 99, 91)
	commit(Commit{})
	want("what an operator does to tasks", 99, 91)
	must(t, s.UpdateRoute(t.Context(), sl, func(r *Route) { r.Mixed = true }))
	want("something else of the route", 99, 91)
	must(t, s.UpdateRoute(t.Context(), sl, func(r *Route) { r.Cursor.Seq = 120 }))
	want("where the target says it is", 120, 120)
	commit(Commit{Journal: journal(120, 130, Applied), Cursor: cur(130, 0), Settled: 120})
	_, err := s.Rewind(t.Context(), sl, cur(115, 0))
	must(t, err)
	want("a target that went back", 115, 115)
}
