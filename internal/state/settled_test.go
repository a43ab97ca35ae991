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
	commit(Commit{Journal: journal(1, 5, Applied), Cursor: cur(5, 0)})
	want("a batch", 5, 1)
	commit(Commit{Cursor: cur(9, 0)})
	want("nothing to apply", 9, 5)
	commit(Commit{Cursor: cur(9, 0)})
	want("the same cursor again", 9, 5)
	must(t, s.UpdateRoute(t.Context(), sl, func(r *Route) { r.Mixed = true }))
	want("something else of the route", 9, 5)
	commit(Commit{Journal: journal(9, 12, Applied), Cursor: cur(12, 0)})
	want("a batch that the target refuses", 12, 9)
	commit(Commit{Journal: journal(9, 10, Applied), Cursor: cur(10, 0)})
	want("its first half", 10, 9)
	must(t, s.UpdateRoute(t.Context(), sl, func(r *Route) { r.Cursor.Seq = 20 }))
	want("where the target says it is", 20, 20)
	commit(Commit{Journal: journal(20, 30, Applied), Cursor: cur(30, 0)})
	_, err := s.Rewind(t.Context(), sl, cur(15, 0))
	must(t, err)
	want("a target that went back", 15, 15)
}
