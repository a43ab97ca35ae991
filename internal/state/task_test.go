package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
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
			e.Class, e.Rule = "fatal", "r2/order"
			e.Created = e.Created.Add(time.Hour)
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
	late := park[1].Created
	for _, c := range []struct {
		f    Filter
		want int
	}{
		{Filter{}, 25}, {Filter{Status: TaskPending, Reason: StatusHeld}, 12}, {Filter{Rule: "r"}, 13}, {Filter{Route: sl.Route}, 25}, {Filter{Route: "other"}, 0}, {Filter{Source: "shop"}, 12},
		{Filter{Entity: "customer", Code: "target_rejected"}, 13}, {Filter{Key: "7"}, 1}, {Filter{Key: "7", Status: StatusFailed}, 0},
		{Filter{Limit: 25}, 25}, {Filter{Rule: "r2"}, 12}, {Filter{Rule: "r2/order"}, 12}, {Filter{Rule: "r2/"}, 0}, {Filter{Class: "fatal"}, 12},
		{Filter{Status: TaskFailed}, 13}, {Filter{Status: TaskPending}, 12}, {Filter{Status: TaskPending, Reason: StatusReading}, 0},
		{Filter{Status: TaskExecuting}, 0}, {Filter{Status: TaskFailed, Reason: StatusHeld}, 0}, {Filter{Reason: StatusHeld}, 12},
		{Filter{Reason: "superseded"}, 0}, {Filter{Routes: []string{}}, 0}, {Filter{Routes: []string{"x", sl.Route}}, 25},
		{Filter{From: late}, 12}, {Filter{To: late}, 13}, {Filter{From: late, To: late}, 0},
	} {
		list, next, err := s.Exceptions(ctx, c.f)
		if err != nil || len(list) != c.want || next != "" {
			t.Errorf("Exceptions(%+v) = %d, %q, %v, want %d", c.f, len(list), next, err, c.want)
		}
	}
	done := task("t00", 1, 0, StatusResolved)
	must(t, s.Commit(ctx, Commit{Slice: sl, Update: []Exception{done}}))
	if list, _, err := s.Exceptions(ctx, Filter{}); err != nil || len(list) != 24 {
		t.Errorf("Exceptions = %d, %v, want the 24 that are not resolved", len(list), err)
	}
	if list, _, err := s.Exceptions(ctx, Filter{Status: TaskCompleted, Reason: "filtered"}); err != nil || len(list) != 0 {
		t.Errorf("Exceptions that were filtered = %+v, %v, want none", list, err)
	}
	if list, _, err := s.Exceptions(ctx, Filter{Status: TaskCompleted}); err != nil || len(list) != 1 || list[0].Task != "t00" {
		t.Errorf("Exceptions that are resolved = %+v, %v, want t00", list, err)
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

// TestATaskFollowsItsRuleToAnotherRoute: a rule that was moved into a group reads its events again from the oldest on, and parks
// under the same ids.
func TestATaskFollowsItsRuleToAnotherRoute(t *testing.T) {
	s := openNew(t)
	ctx := t.Context()
	group := Slice{Route: "group"}
	place1(t, s, sl)
	place1(t, s, group)
	must(t, s.Commit(ctx, Commit{Slice: sl, Journal: journal(1, 2, Parked, Parked), Park: []Exception{
		task("a", 1, 0, StatusFailed), task("b", 1, 1, StatusFailed)}}))
	moved := task("a", 1, 0, StatusFailed)
	moved.Slice = group
	c := Commit{Slice: group, Journal: journal(1, 2, Parked, Applied), Park: []Exception{moved}}
	must(t, s.Commit(ctx, c))
	must(t, s.Commit(ctx, c)) // repeating it changes nothing
	got, err := s.Exception(ctx, "a")
	must(t, err)
	if diff := cmp.Diff(moved, got); diff != "" {
		t.Errorf("Exception (-want +got):\n%s", diff)
	}
	for slice, want := range map[Slice]Counts{sl: {Read: 2, Superseded: 1, Parked: 1}, group: {Read: 2, Applied: 1, Parked: 1}} {
		if totals, _, err := s.Totals(ctx, slice); err != nil || totals != want {
			t.Errorf("totals of %s = %+v, %v, want %+v", slice, totals, err, want)
		}
	}
}

// TestNoQueryReadsAWholeTable holds every statement to an index: a route that was left alone for a while has a hundred
// thousand tasks and a million journal rows.
func TestNoQueryReadsAWholeTable(t *testing.T) {
	s := openNew(t)
	queries := []string{sqlRoute, sqlTask, sqlTaskState, sqlTakeOver, sqlPending, sqlCutTasks, sqlReopenable, sqlReopen, sqlChangeTask, sqlDropTasks,
		sqlForgetTasks, sqlForgetJournal, sqlJournalBefore, sqlCutJournal, sqlFoldable, sqlFold, sqlKnowsLog,
		sqlForgetConflicts, sqlCloseConflict, sqlConflictOf, sqlChoose, sqlChoices, sqlOpenRun, sqlRuns, sqlSetRun, sqlTrimRuns, sqlSeenIDs + "?, ?)", sqlTrimIDs, sqlTasks + sqlTasksEnd}
	for _, column := range []string{"status", "rule", "record_key", "code"} {
		queries = append(queries, sqlTasks+" AND "+column+" = ?"+sqlTasksEnd)
	}
	for _, query := range queries {
		args := make([]any, strings.Count(query, "?"))
		for i := range args {
			args[i] = 1
		}
		must(t, s.read(t.Context(), "test", func(rows *sql.Rows) error {
			var id, parent, unused int
			var step string
			err := rows.Scan(&id, &parent, &unused, &step)
			if strings.HasPrefix(step, "SCAN") || strings.Contains(step, "TEMP B-TREE") && query != sqlReopenable {
				t.Errorf("%s\ntakes %q", query, step)
			}
			return err
		}, "EXPLAIN QUERY PLAN "+query, args...))
	}
}

// TestManyTasks has a route with more tasks than a page, a transaction or a look at them can hold.
func TestManyTasks(t *testing.T) {
	s := openNew(t)
	ctx := t.Context()
	place1(t, s, sl)
	const n = 10_000
	j := &Journal{From: cur(1, 0), To: cur(2, 0)}
	j.Counts.Count(Parked, 1)
	must(t, s.Commit(ctx, Commit{Slice: sl, Journal: j, Park: []Exception{task("0", 1, 0, StatusHeld)}}))
	must(t, s.write(ctx, "test", func(ctx context.Context, w *writer) error {
		_, err := w.exec(ctx, `WITH RECURSIVE c (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ?)
			INSERT INTO task (task, route, slice, rule, source, entity, object, record_key, seq, idx, status, pending, outcome, code, error,
			attempts, next_try, created, updated, resolved_log, resolved_seq, resolved_idx, resolved_epoch)
			SELECT i, route, slice, rule, source, entity, object, i % 1000, seq, i, status, pending, outcome, code, error,
			attempts, next_try, created, updated, resolved_log, resolved_seq, resolved_idx, resolved_epoch FROM c, task`, n-1)
		return err
	}))
	for i := range 10 {
		e := task(fmt.Sprint(i), 1, i, StatusResolved)
		e.ResolvedAt = cur(2, 1)
		must(t, s.Commit(ctx, Commit{Slice: sl, Update: []Exception{e}}))
	}
	for _, c := range []struct {
		f    Filter
		want int
	}{{Filter{Status: TaskCompleted, Limit: 1000}, 10}, {Filter{Key: "3", Limit: 1000}, n/1000 - 1}, {Filter{Limit: 5000}, maxPage}} {
		if list, _, err := s.Exceptions(ctx, c.f); err != nil || len(list) != c.want {
			t.Errorf("Exceptions(%+v) = %d, %v, want %d", c.f, len(list), err, c.want)
		}
	}
	if list, err := s.Pending(ctx, sl); err != nil || len(list) != n-10 {
		t.Errorf("Pending = %d, %v, want %d", len(list), err, n-10)
	}
	reopened, err := s.Rewind(ctx, sl, cur(2, 0))
	if err != nil || len(reopened) != 10 {
		t.Errorf("Rewind reopened %d, %v, want 10", len(reopened), err)
	}
}
