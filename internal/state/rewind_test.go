package state

import (
	"testing"

	"syncline"
)

func TestRewindKnowsAForeignCursor(t *testing.T) {
	s := openNew(t)
	ctx := t.Context()
	_, err := s.Rewind(ctx, sl, cur(1, 0))
	codeOf(t, err, syncline.Fatal, "state_lost")
	place1(t, s, sl)
	must(t, s.Commit(ctx, Commit{Slice: sl, Journal: journal(1, 5, Applied)}))
	otherLog := cur(5, 0)
	otherLog.Log = "L2"
	oldOwner := cur(5, 0)
	oldOwner.Epoch = 0
	for _, c := range []struct {
		name, code string
		to         syncline.Cursor
	}{
		{"beyond the store's own", "state_lost", cur(6, 0)},
		{"another log", "state_lost", otherLog},
		{"inside a batch", "state_lost", cur(3, 0)},
		{"an owner that was replaced", "fenced", oldOwner},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := s.Rewind(ctx, sl, c.to)
			codeOf(t, err, syncline.Fatal, c.code)
		})
	}
	if r, _ := s.Route(ctx, sl); r.Cursor != cur(5, 0) {
		t.Errorf("Cursor after refusals = %+v, want 5.0", r.Cursor)
	}
}

func TestCancelledStaysCancelled(t *testing.T) {
	s := openNew(t)
	ctx := t.Context()
	place1(t, s, sl)
	must(t, s.Commit(ctx, Commit{Slice: sl, Journal: journal(1, 2, Parked), Park: []Exception{task("a", 1, 0, StatusFailed)}}))
	must(t, s.Commit(ctx, Commit{Slice: sl, Journal: journal(2, 3, Applied)}))
	gone := task("a", 1, 0, StatusCancelled)
	gone.ResolvedAt = cur(3, 1)
	must(t, s.Commit(ctx, Commit{Slice: sl, Update: []Exception{gone}}))
	reopened, err := s.Rewind(ctx, sl, cur(2, 0))
	if err != nil || len(reopened) != 0 {
		t.Errorf("Rewind reopened %v, %v, want nothing", reopened, err)
	}
	if c, _, _ := s.Totals(ctx, sl); c != (Counts{Read: 1, Skipped: 1}) {
		t.Errorf("Totals = %+v, want one skipped", c)
	}
}

// A target that was restored to before what the log still holds: the route goes on at the log's beginning with a gap.
func TestRewindBelowWhatWasPurged(t *testing.T) {
	s := openNew(t)
	ctx := t.Context()
	place1(t, s, sl)
	must(t, s.Commit(ctx, Commit{Slice: sl, Journal: journal(1, 3, Applied, Parked), Park: []Exception{task("a", 1, 1, StatusFailed)}}))
	must(t, s.Commit(ctx, Commit{Slice: sl, Journal: journal(3, 6, Applied, Parked), Park: []Exception{task("b", 4, 0, StatusFailed)}}))
	must(t, s.Trim(ctx, "crm", 4))
	if _, err := s.Rewind(ctx, sl, cur(1, 0)); err != nil {
		t.Fatal(err)
	}
	must(t, s.UpdateRoute(ctx, sl, func(r *Route) { r.Cursor.Seq, r.GapFrom, r.GapTo = 4, 1, 3 }))
	must(t, s.Commit(ctx, Commit{Slice: sl, Journal: journal(4, 6, Parked), Park: []Exception{task("b", 4, 0, StatusFailed)}}))
	c, _, err := s.Totals(ctx, sl)
	if err != nil || c != (Counts{Read: 3, Applied: 1, Parked: 2}) {
		t.Errorf("Totals = %+v, %v, want what was folded and what was read again", c, err)
	}
	if list, _ := s.Pending(ctx, sl); len(list) != 2 || list[0].Task != "a" {
		t.Errorf("Pending = %v, want the task whose event was purged too", list)
	}
	codeOf(t, s.Commit(ctx, Commit{Slice: sl, Journal: journal(2, 6, Applied)}), syncline.Fatal, "journal_trimmed")
}

func TestTrim(t *testing.T) {
	s := openNew(t)
	ctx := t.Context()
	other := Slice{Route: "other"}
	must(t, s.PlaceRoute(ctx, other, Route{Cursor: cur(1, 0), Source: "shop"}))
	must(t, s.Commit(ctx, Commit{Slice: other, Journal: journal(1, 2, Applied)}))
	place1(t, s, sl)
	n := syncline.Seq(trimStep + 10)
	for i := syncline.Seq(1); i <= n; i++ {
		must(t, s.Commit(ctx, Commit{Slice: sl, Journal: journal(i, i+1, Parked), Park: []Exception{task(string(rune(0x4E00+i)), i, 0, StatusFailed)}}))
	}
	var done []Exception
	for i := syncline.Seq(1); i <= n-3; i++ {
		e := task(string(rune(0x4E00+i)), i, 0, StatusResolved)
		e.ResolvedAt = cur(n-1, 0)
		done = append(done, e)
	}
	must(t, s.Commit(ctx, Commit{Slice: sl, Update: done}))
	must(t, s.Trim(ctx, "crm", n-1))
	if j, e := countRows(t, s, "journal"), countRows(t, s, "task"); j != 3 || e != int(n) {
		t.Errorf("%d journal rows and %d tasks, want 3 (one of the other source) and all tasks", j, e)
	}
	must(t, s.Trim(ctx, "crm", n))
	if e := countRows(t, s, "task"); e != 3 {
		t.Errorf("%d tasks are left, want the pending ones", e)
	}
	c, h, err := s.Totals(ctx, sl)
	if err != nil || c != (Counts{Read: int64(n), Applied: int64(n) - 3, Parked: 3}) || h.Count() != int64(n) {
		t.Errorf("Totals = %+v, %v with %d latencies, want all of them", c, err, h.Count())
	}
}
