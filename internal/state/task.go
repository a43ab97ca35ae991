package state

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
	"time"

	"syncline"
)

// The status of a task that is not simply done. The first four are pending.
const (
	// StatusRetrying waits for its next attempt.
	StatusRetrying = "retrying"
	// StatusHeld waits behind an earlier task of its key.
	StatusHeld = "held"
	// StatusReading waits for its record, which is read from the source.
	StatusReading = "reading"
	// StatusFailed waits for a person.
	StatusFailed = "failed"
	// StatusCancelled was given up by a person.
	StatusCancelled = "cancelled"
	// StatusResolved is done after all; Outcome tells how.
	StatusResolved = "resolved"
)

// Exception is a task that is not simply done.
type Exception struct {
	// Task is its id, derived from rule, source, Seq and Index.
	Task string
	Slice
	Rule, Source, Entity, Object string
	// Key is the target key.
	Key   syncline.Key
	Seq   syncline.Seq
	Index int
	// Status is one of the constants above.
	Status string
	// Outcome tells what became of a resolved task: Applied, Superseded, Filtered or Skipped.
	Outcome Outcome
	// Code and Error say what happened last, without values.
	Code, Error string
	Attempts    int
	// NextTry is when a retrying task is due; zero = at once.
	NextTry          time.Time
	Created, Updated time.Time
	// Record is a batch with this one event, made by syncline.AppendBatch. Exceptions leaves it out.
	Record []byte
	// ResolvedAt is the cursor at which a resolution took effect. When the target falls below it, the task is pending
	// again. A resolution that takes effect in a write that reads no event must therefore carry a cursor beyond the
	// slice's own: one more index.
	ResolvedAt syncline.Cursor
}

// Pending reports whether the task waits: it holds what comes later of its key back.
func (e *Exception) Pending() bool {
	switch e.Status {
	case StatusRetrying, StatusHeld, StatusReading, StatusFailed:
		return true
	}
	return false
}

// outcome is how the task is counted.
func (e *Exception) outcome() Outcome {
	switch {
	case e.Pending():
		return Parked
	case e.Status == StatusCancelled:
		return Skipped
	}
	return e.Outcome
}

func scanTask(rows *sql.Rows) (*Exception, int64, error) {
	e := &Exception{}
	var n, nextTry, created, updated int64
	err := rows.Scan(&n, &e.Task, &e.Route, &e.Slice.Slice, &e.Rule, &e.Source, &e.Entity, &e.Object, &e.Key, &e.Seq, &e.Index,
		&e.Status, &e.Outcome, &e.Code, &e.Error, &e.Attempts, &nextTry, &created, &updated,
		&e.ResolvedAt.Log, &e.ResolvedAt.Seq, &e.ResolvedAt.Index, &e.ResolvedAt.Epoch, &e.Record)
	e.NextTry, e.Created, e.Updated = fromMicros(nextTry), fromMicros(created), fromMicros(updated)
	return e, n, err
}

func (w *writer) park(ctx context.Context, sl Slice, e *Exception) error {
	if err := w.takeOver(ctx, sl, e.Task); err != nil {
		return err
	}
	_, err := w.exec(ctx, sqlAddTask, e.Task, sl.Route, sl.Slice, e.Rule, e.Source, e.Entity, e.Object, string(e.Key), int64(e.Seq),
		e.Index, e.Status, e.Pending(), e.Outcome, e.Code, e.Error, e.Attempts, micros(e.NextTry), micros(e.Created), micros(e.Updated),
		e.ResolvedAt.Log, int64(e.ResolvedAt.Seq), e.ResolvedAt.Index, int64(e.ResolvedAt.Epoch), e.Record)
	return err
}

// takeOver removes the task of this id that another slice has: its rule was moved from there to this one, which has read the event
// again. There it counts as superseded.
func (w *writer) takeOver(ctx context.Context, sl Slice, task string) error {
	var was []Exception
	err := w.each(ctx, func(rows *sql.Rows) error {
		e := Exception{}
		err := rows.Scan(&e.Route, &e.Slice.Slice, &e.Status, &e.Outcome)
		was = append(was, e)
		return err
	}, sqlTakeOver, task, sl.Route, sl.Slice)
	for i := range was {
		if err != nil {
			break
		}
		var r *row
		if r, err = w.route(ctx, was[i].Slice); err == nil {
			r.moved(was[i].outcome(), Superseded)
			err = w.moveRoute(ctx, r)
		}
	}
	return err
}

// changeTask writes what can change of a parked task.
func (w *writer) changeTask(ctx context.Context, r *row, e *Exception) error {
	was := &Exception{}
	err := w.each(ctx, func(rows *sql.Rows) error {
		return rows.Scan(&was.Route, &was.Slice.Slice, &was.Status, &was.Outcome)
	}, sqlTaskState, e.Task)
	if err != nil {
		return err
	}
	if was.Slice != r.slice {
		return notFound("task_not_found", "task", e.Task)
	}
	switch e.Status {
	case StatusRetrying, StatusHeld, StatusReading, StatusFailed, StatusCancelled, StatusResolved:
	default:
		return syncline.Errorf(syncline.Fatal, "task_status", "task %s has no status %q", e.Task, e.Status)
	}
	if e.Status == StatusResolved && (e.Outcome == Parked || e.Outcome >= outcomeEnd) {
		return syncline.Errorf(syncline.Fatal, "task_status", "task %s cannot be resolved as %s", e.Task, e.Outcome)
	}
	r.moved(was.outcome(), e.outcome())
	_, err = w.exec(ctx, sqlChangeTask, e.Status, e.Pending(), e.Outcome, e.Code, e.Error, e.Attempts, micros(e.NextTry),
		micros(e.Updated), e.ResolvedAt.Log, int64(e.ResolvedAt.Seq), e.ResolvedAt.Index, int64(e.ResolvedAt.Epoch), e.Record, e.Task)
	return err
}

// Pending returns the slice's tasks that wait, with their records, in the order of their events.
func (s *Store) Pending(ctx context.Context, sl Slice) ([]Exception, error) {
	var list []Exception
	err := s.read(ctx, "read pending tasks of "+sl.String(), func(rows *sql.Rows) error {
		e, _, err := scanTask(rows)
		if err == nil {
			list = append(list, *e)
		}
		return err
	}, sqlPending, sl.Route, sl.Slice)
	return list, err
}

// Exception returns the task with its record; ErrNotFound is in the chain where there is none.
func (s *Store) Exception(ctx context.Context, task string) (Exception, error) {
	var found *Exception
	err := s.read(ctx, "read task", func(rows *sql.Rows) (err error) {
		found, _, err = scanTask(rows)
		return err
	}, sqlTask, task)
	if err == nil && found == nil {
		err = notFound("task_not_found", "task", task)
	}
	if err != nil {
		return Exception{}, err
	}
	return *found, nil
}

// Filter chooses tasks. Empty fields match all, but an empty Status only those that are not resolved: what waits, and what was
// given up.
type Filter struct {
	Status, Route, Rule, Source, Entity, Key, Code string
	// After is the cursor that the page before returned; "" = the first page.
	After string
	// Limit is the size of a page: 100 by default, 1,000 at most.
	Limit int
}

const defaultPage, maxPage = 100, 1000

// cursorOf reads the cursor of a page; "" is before the first row.
func cursorOf(after string) (int64, error) {
	n, err := strconv.ParseInt("0"+after, 36, 64)
	if err != nil {
		return 0, syncline.Errorf(syncline.Rejected, "cursor_invalid", "the page's cursor is not one that this list gave").
			WithFix("start again without a cursor")
	}
	return n, nil
}

// pageOf is the size of a page where this one was asked for.
func pageOf(limit int) int {
	if limit <= 0 {
		return defaultPage
	}
	return min(limit, maxPage)
}

// Exceptions returns tasks without their records, those parked first at the beginning, and the cursor of the next page, ""
// after the last.
func (s *Store) Exceptions(ctx context.Context, f Filter) (list []Exception, next string, err error) {
	after, err := cursorOf(f.After)
	if err != nil {
		return nil, "", err
	}
	limit := pageOf(f.Limit)
	var query strings.Builder
	query.WriteString(sqlTasks)
	args := []any{after}
	for _, c := range []struct{ column, value string }{{"status", f.Status}, {"route", f.Route}, {"rule", f.Rule}, {"source", f.Source},
		{"entity", f.Entity}, {"record_key", f.Key}, {"code", f.Code}} {
		if c.value != "" {
			query.WriteString(" AND " + c.column + " = ?")
			args = append(args, c.value)
		}
	}
	if f.Status == "" {
		query.WriteString(sqlTasksOpen)
	}
	query.WriteString(sqlTasksEnd)
	var last int64
	more := false
	err = s.read(ctx, "list tasks", func(rows *sql.Rows) error {
		if more = len(list) == limit; more {
			return nil
		}
		e, n, err := scanTask(rows)
		if err == nil {
			list, last = append(list, *e), n
		}
		return err
	}, query.String(), append(args, limit+1)...)
	if err == nil && more {
		next = strconv.FormatInt(last, 36)
	}
	return list, next, err
}
