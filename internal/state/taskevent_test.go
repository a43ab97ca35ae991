package state

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"syncline"
)

// changes lists the recorded changes of tasks as "task: was -> status reason".
func changes(t *testing.T, s *Store, f EventFilter, after int64) (list []string) {
	t.Helper()
	events, err := s.TaskEvents(t.Context(), f, after, 1000)
	must(t, err)
	for _, e := range events {
		line := fmt.Sprintf("%s: %s -> %s", e.Task, e.Was, e.Status)
		if e.Reason != "" {
			line += " " + e.Reason
		}
		list = append(list, line)
	}
	return list
}

// TestChangesOfTasksAreRecorded: to failed, conflict and cancelled, and back, in the transaction that makes them; not what only waits.
func TestChangesOfTasksAreRecorded(t *testing.T) {
	ctx, s := t.Context(), openNew(t)
	place1(t, s, sl)
	want := func(what string, after int64, lines ...string) {
		t.Helper()
		if diff := cmp.Diff(lines, changes(t, s, EventFilter{}, after)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	update := func(id, status string, o Outcome) {
		t.Helper()
		e := task(id, 1, 0, status)
		e.Outcome, e.ResolvedAt = o, cur(3, 0)
		must(t, s.Commit(ctx, Commit{Slice: sl, Update: []Exception{e}}))
	}
	park := []Exception{task("a", 1, 0, StatusFailed), task("b", 1, 1, StatusRetrying), task("c", 1, 2, StatusConflict)}
	must(t, s.Commit(ctx, Commit{Slice: sl, Journal: journal(1, 3, Parked, Parked, Parked), Park: park, Cursor: cur(3, 0)}))
	want("parked", 0, "a: pending -> failed", "c: pending -> conflict")
	update("a", StatusRetrying, 0)
	update("b", StatusHeld, 0)
	update("b", StatusCancelled, 0)
	update("a", StatusFailed, 0)
	update("a", StatusResolved, Superseded)
	want("changed", 2, "a: failed -> pending retrying", "b: pending -> cancelled", "a: pending -> failed", "a: failed -> completed superseded")
	_, err := s.Rewind(ctx, sl, cur(1, 0))
	must(t, err)
	want("rewound", 6, "b: cancelled -> pending rewound", "c: conflict -> pending rewound")

	first, last, err := s.TaskEventBounds(ctx)
	if err != nil || first != 1 || last != 8 {
		t.Errorf("bounds = %d, %d, %v, want 1, 8", first, last, err)
	}
	for _, c := range []struct {
		f    EventFilter
		want int
	}{{EventFilter{Status: TaskFailed}, 2}, {EventFilter{Rule: "r"}, 8}, {EventFilter{Rule: "q"}, 0}, {EventFilter{Route: "other"}, 0}, {EventFilter{Source: "crm"}, 8},
		{EventFilter{Entity: "x"}, 0}, {EventFilter{Routes: []string{}}, 0}, {EventFilter{Routes: []string{sl.Route}}, 8}} {
		if got := changes(t, s, c.f, 0); len(got) != c.want {
			t.Errorf("changes of %+v = %q, want %d", c.f, got, c.want)
		}
	}
	must(t, s.TrimTaskEvents(ctx, time.Now().Add(-time.Hour), 1000))
	must(t, s.TrimTaskEvents(ctx, time.Now().Add(-time.Hour), 3))
	if first, last, err := s.TaskEventBounds(ctx); err != nil || first != 6 || last != 8 {
		t.Errorf("bounds with three kept = %d, %d, %v, want 6, 8", first, last, err)
	}
	must(t, s.TrimTaskEvents(ctx, time.Now().Add(time.Hour), 1000))
	if first, last, err := s.TaskEventBounds(ctx); err != nil || first != 0 || last != 8 {
		t.Errorf("bounds with none kept = %d, %d, %v, want 0, 8", first, last, err)
	}
	must(t, s.Commit(ctx, Commit{Slice: sl, Journal: journal(1, 2, Parked), Park: []Exception{task("d", 1, 0, StatusFailed)}, Cursor: cur(2, 0)}))
	place1(t, s, sl)
	want("placed anew", 9, "d: failed -> completed forgotten")
}

// TestAWatchIsToldOfCommits, never waited for, and what it missed it is told together.
func TestAWatchIsToldOfCommits(t *testing.T) {
	ctx, s := t.Context(), openNew(t)
	place1(t, s, sl)
	w, stop := s.Watch()
	for i := range 3 {
		j := journal(syncline.Seq(1+i), syncline.Seq(2+i), Applied, Filtered)
		j.Rules = []RuleCounts{{"a", Counts{Read: 1, Applied: 1}}, {"b", Counts{Read: 1, Filtered: 1}}}
		must(t, s.Commit(ctx, Commit{Slice: sl, Journal: j, Cursor: cur(syncline.Seq(2+i), 0)}))
	}
	<-w.C
	want := []RuleSum{{sl.Route, "a", Counts{Read: 3, Applied: 3}}, {sl.Route, "b", Counts{Read: 3, Filtered: 3}}}
	if diff := cmp.Diff(want, w.Sums()); diff != "" {
		t.Errorf("sums (-want +got):\n%s", diff)
	}
	if again := w.Sums(); len(again) > 0 {
		t.Errorf("sums are told twice: %+v", again)
	}
	stop()
	must(t, s.Commit(ctx, Commit{Slice: sl, Journal: journal(4, 5, Applied), Cursor: cur(5, 0)}))
	select {
	case <-w.C:
		t.Error("a watch that was stopped is told of a commit")
	default:
	}
}

func TestRuleCountsAreReadAsTheyWereWritten(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		want := rapid.SliceOf(rapid.Custom(func(rt *rapid.T) RuleCounts {
			r := RuleCounts{Rule: rapid.String().Draw(rt, "rule")}
			for o := range outcomeEnd {
				r.Counts.Count(o, rapid.Int64Range(0, 1<<40).Draw(rt, "n"))
			}
			return r
		})).Draw(rt, "rules")
		got, err := decodeRuleCounts(appendRuleCounts(nil, want))
		if diff := cmp.Diff(want, append([]RuleCounts{}, got...)); err != nil || diff != "" {
			rt.Errorf("%v (-want +got):\n%s", err, diff)
		}
	})
}

func FuzzRuleCounts(f *testing.F) {
	f.Add(appendRuleCounts(nil, []RuleCounts{{"rule", Counts{Read: 3, Applied: 1, Parked: 2}}}))
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = decodeRuleCounts(b) }) // it must not panic
}
