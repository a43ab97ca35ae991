package state

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

func TestPendingIsInTheOrderOfEvents(t *testing.T) {
	s := openNew(t)
	ctx := t.Context()
	place1(t, s, sl)
	must(t, s.Commit(ctx, Commit{Slice: sl, Journal: journal(1, 9, Parked, Parked, Parked, Parked, Parked), Park: []Exception{
		task("e", 8, 0, StatusFailed), task("b", 1, 2, StatusHeld), task("c", 1, 10, StatusReading), task("a", 1, 1, StatusRetrying),
		task("d", 2, 0, StatusHeld)}}))
	done := task("c", 1, 10, StatusResolved)
	must(t, s.Commit(ctx, Commit{Slice: sl, Update: []Exception{done}}))
	list, err := s.Pending(ctx, sl)
	must(t, err)
	var ids []string
	for _, e := range list {
		ids = append(ids, e.Task)
		if string(e.Record) != "rec "+e.Task {
			t.Errorf("record of %s = %q", e.Task, e.Record)
		}
	}
	if diff := cmp.Diff([]string{"a", "b", "d", "e"}, ids); diff != "" {
		t.Errorf("Pending (-want +got):\n%s", diff)
	}
	if list, err := s.Pending(ctx, Slice{Route: "other"}); err != nil || len(list) != 0 {
		t.Errorf("Pending of another slice = %v, %v", list, err)
	}
}

func TestExceptionsFilterAndPage(t *testing.T) {
	s := openNew(t)
	ctx := t.Context()
	place1(t, s, sl)
	j := &Journal{From: cur(1, 0), To: cur(2, 0)}
	var park []Exception
	for i := range 25 {
		e := task(fmt.Sprintf("t%02d", i), 1, i, StatusFailed)
		e.Key = syncline.MakeKey(syncline.Int(int64(i)))
		if i%2 == 1 {
			e.Status, e.Rule, e.Source, e.Entity, e.Code = StatusHeld, "r2", "shop", "order", "held"
		}
		park = append(park, e)
	}
	j.Counts.Count(Parked, 25)
	must(t, s.Commit(ctx, Commit{Slice: sl, Journal: j, Park: park}))

	var all []Exception
	f := Filter{Limit: 10}
	for pages := 1; ; pages++ {
		list, next, err := s.Exceptions(ctx, f)
		must(t, err)
		all = append(all, list...)
		if next == "" {
			if pages != 3 {
				t.Errorf("pages = %d, want 3", pages)
			}
			break
		}
		f.After = next
	}
	for i := range park {
		park[i].Record = nil
	}
	if diff := cmp.Diff(park, all); diff != "" {
		t.Errorf("all pages (-want +got):\n%s", diff)
	}
	for _, c := range []struct {
		f    Filter
		want int
	}{
		{Filter{}, 25}, {Filter{Status: StatusHeld}, 12}, {Filter{Rule: "r"}, 13}, {Filter{Source: "shop"}, 12},
		{Filter{Entity: "customer", Code: "target_rejected"}, 13}, {Filter{Key: "7"}, 1}, {Filter{Key: "7", Status: StatusFailed}, 0},
		{Filter{Limit: 25}, 25},
	} {
		list, next, err := s.Exceptions(ctx, c.f)
		if err != nil || len(list) != c.want || next != "" {
			t.Errorf("Exceptions(%+v) = %d, %q, %v, want %d", c.f, len(list), next, err, c.want)
		}
	}
	for _, after := range []string{"-1", "+1", "zzzzzzzzzzzzzzzzzzzz", "é"} {
		_, _, err := s.Exceptions(ctx, Filter{After: after})
		codeOf(t, err, syncline.Rejected, "cursor_invalid")
	}
}

func TestMissingTaskIsNotFound(t *testing.T) {
	_, err := openNew(t).Exception(t.Context(), "nobody")
	if !errors.Is(err, ErrNotFound) {
		t.Errorf("error = %v, want ErrNotFound", err)
	}
	codeOf(t, err, syncline.Rejected, "task_not_found")
}

func TestChangedRecordIsKept(t *testing.T) {
	s := openNew(t)
	ctx := t.Context()
	place1(t, s, sl)
	must(t, s.Commit(ctx, Commit{Slice: sl, Journal: journal(1, 2, Parked), Park: []Exception{task("a", 1, 0, StatusFailed)}}))
	edited := task("a", 1, 0, StatusRetrying)
	edited.Record, edited.NextTry, edited.Attempts = []byte("edited"), time.UnixMicro(99).UTC(), 4
	must(t, s.Commit(ctx, Commit{Slice: sl, Update: []Exception{edited}}))
	got, err := s.Exception(ctx, "a")
	must(t, err)
	if diff := cmp.Diff(edited, got); diff != "" {
		t.Errorf("Exception (-want +got):\n%s", diff)
	}
}

// TestManyTasksStayFast has the tasks of a route that was left alone for a while; nothing may read all of them to find some.
func TestManyTasksStayFast(t *testing.T) {
	s := openNew(t)
	ctx := t.Context()
	place1(t, s, sl)
	const entries, each = 50, 2000
	for n := range syncline.Seq(entries) {
		j := &Journal{From: cur(n+1, 0), To: cur(n+2, 0)}
		j.Counts.Count(Parked, each)
		park := make([]Exception, each)
		for i := range park {
			park[i] = task(fmt.Sprintf("%d.%d", n+1, i), n+1, i, StatusHeld)
			park[i].Key = syncline.MakeKey(syncline.Int(int64(i)))
		}
		must(t, s.Commit(ctx, Commit{Slice: sl, Journal: j, Park: park}))
	}
	started := time.Now()
	for i := range 100 {
		e := task(fmt.Sprintf("7.%d", i), 7, i, StatusResolved)
		e.ResolvedAt = cur(entries+1, 1)
		must(t, s.Commit(ctx, Commit{Slice: sl, Update: []Exception{e}}))
		if list, _, err := s.Exceptions(ctx, Filter{Status: StatusResolved, Limit: 10}); err != nil || len(list) != min(i+1, 10) {
			t.Fatalf("resolved = %d, %v, want %d", len(list), err, min(i+1, 10))
		}
		if list, _, err := s.Exceptions(ctx, Filter{Key: "3", Limit: 10}); err != nil || len(list) != 10 {
			t.Fatalf("tasks of a key = %d, %v, want 10", len(list), err)
		}
		if c, _, err := s.Totals(ctx, sl); err != nil || c.Parked != int64(entries*each-i-1) {
			t.Fatalf("Totals = %+v, %v", c, err)
		}
	}
	reopened, err := s.Rewind(ctx, sl, cur(entries+1, 0))
	if err != nil || len(reopened) != 100 {
		t.Fatalf("Rewind reopened %d, %v, want 100", len(reopened), err)
	}
	if took := time.Since(started); took > 10*time.Second {
		t.Errorf("500 operations among %d tasks took %v", entries*each, took)
	}
}
