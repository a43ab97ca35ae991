package state

import (
	"context"
	"database/sql"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"syncline"
)

// The status of a task that is not simply done. The first five are pending: they hold what comes later of their key back.
const (
	// StatusRetrying waits for its next attempt.
	StatusRetrying = "retrying"
	// StatusHeld waits behind an earlier task of its key.
	StatusHeld = "held"
	// StatusReading waits for its record, which is read from the source.
	StatusReading = "reading"
	// StatusFailed waits for a person.
	StatusFailed = "failed"
	// StatusConflict waits for a person, because the target disagrees with what the event assumes.
	StatusConflict = "conflict"
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
	// Code, Class and Error say what happened last, without values; Class is that of the error.
	Code, Class, Error string
	Attempts           int
	// NextTry is when a retrying task is due; zero = at once.
	NextTry          time.Time
	Created, Updated time.Time
	// Record is a batch with this one event, made by syncline.AppendBatch. Exceptions leaves it out.
	Record []byte
	// Edit says who edited Record and why; nil = it is as it came. Set by the store (EditTask).
	Edit *Edit
	// ResolvedAt is the cursor at which a resolution took effect. When the target falls below it, the task is pending
	// again. A resolution that takes effect in a write that reads no event must therefore carry a cursor beyond the
	// slice's own: one more index.
	ResolvedAt syncline.Cursor
}

// Pending reports whether the task waits: it holds what comes later of its key back.
func (e *Exception) Pending() bool {
	switch e.Status {
	case StatusRetrying, StatusHeld, StatusReading, StatusFailed, StatusConflict:
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
	var edit string
	err := rows.Scan(&n, &e.Task, &e.Route, &e.Slice.Slice, &e.Rule, &e.Source, &e.Entity, &e.Object, &e.Key, &e.Seq, &e.Index,
		&e.Status, &e.Outcome, &e.Code, &e.Error, &e.Attempts, &nextTry, &created, &updated,
		&e.ResolvedAt.Log, &e.ResolvedAt.Seq, &e.ResolvedAt.Index, &e.ResolvedAt.Epoch, &e.Class, &edit,
		&e.Record)
	if err == nil && edit != "" {
		if err := json.Unmarshal([]byte(edit), &e.Edit); err != nil {
			return nil, 0, corrupt(err)
		}
	}
	e.NextTry, e.Created, e.Updated = fromMicros(nextTry), fromMicros(created), fromMicros(updated)
	return e, n, err
}

func (w *writer) park(ctx context.Context, sl Slice, e *Exception) error {
	if err := w.takeOver(ctx, sl, e.Task); err != nil {
		return err
	}
	_, err := w.exec(ctx, sqlAddTask, e.Task, sl.Route, sl.Slice, e.Rule, e.Source, e.Entity, e.Object, string(e.Key), int64(e.Seq),
		e.Index, e.Status, e.Pending(), e.Outcome, e.Code, e.Error, e.Attempts, micros(e.NextTry), micros(e.Created), micros(e.Updated),
		e.ResolvedAt.Log, int64(e.ResolvedAt.Seq), e.ResolvedAt.Index, int64(e.ResolvedAt.Epoch),
		e.Class, e.Record)
	if err != nil {
		return err
	}
	e.Slice = sl
	return w.tell(ctx, e, TaskPending)
}

// takeOver removes the task of this id that another slice has: its rule was moved from there to this one, which has read the event
// again. There it counts as superseded.
func (w *writer) takeOver(ctx context.Context, sl Slice, task string) error {
	var was []*Exception
	err := w.each(ctx, func(rows *sql.Rows) error {
		e, _, err := scanTask(rows)
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
		if err == nil {
			before, _ := was[i].Public()
			err = w.tellAs(ctx, was[i], before, TaskCompleted, Superseded.String())
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
	case StatusRetrying, StatusHeld, StatusReading, StatusFailed, StatusConflict, StatusCancelled, StatusResolved:
	default:
		return syncline.Errorf(syncline.Fatal, "task_status", "task %s has no status %q", e.Task, e.Status)
	}
	if e.Status == StatusResolved && (e.Outcome == Parked || e.Outcome >= outcomeEnd) {
		return syncline.Errorf(syncline.Fatal, "task_status", "task %s cannot be resolved as %s", e.Task, e.Outcome)
	}
	r.moved(was.outcome(), e.outcome())
	_, err = w.exec(ctx, sqlChangeTask, e.Status, e.Pending(), e.Outcome, e.Code, e.Error, e.Attempts, micros(e.NextTry),
		micros(e.Updated), e.ResolvedAt.Log, int64(e.ResolvedAt.Seq), e.ResolvedAt.Index, int64(e.ResolvedAt.Epoch), e.Class, e.Record, e.Task)
	if err != nil {
		return err
	}
	if was.Pending() && !e.Pending() {
		if err := w.closeConflict(ctx, e); err != nil {
			return err
		}
	}
	before, _ := was.Public()
	e.Slice = r.slice
	return w.tell(ctx, e, before)
}

// Pending returns the slice's tasks that wait, with their records, in the order of their events.
func (s *Store) Pending(ctx context.Context, sl Slice) ([]Exception, error) {
	return s.pending(ctx, sl, sqlPending)
}

// Waiting is Pending without the records.
func (s *Store) Waiting(ctx context.Context, sl Slice) ([]Exception, error) {
	return s.pending(ctx, sl, sqlWaiting)
}

// Behind returns how many tasks of the same rule and key wait behind one.
func (s *Store) Behind(ctx context.Context, e *Exception) (n int, err error) {
	err = s.read(ctx, "count what waits behind a task", func(rows *sql.Rows) error { return rows.Scan(&n) },
		sqlBehind, string(e.Key), e.Route, e.Slice.Slice, e.Rule, int64(e.Seq), e.Index)
	return n, err
}

func (s *Store) pending(ctx context.Context, sl Slice, query string) ([]Exception, error) {
	var list []Exception
	err := s.read(ctx, "read pending tasks of "+sl.String(), func(rows *sql.Rows) error {
		e, _, err := scanTask(rows)
		if err == nil {
			list = append(list, *e)
		}
		return err
	}, query, sl.Route, sl.Slice)
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

// Filter chooses tasks. Empty fields match all, but an empty Status with an empty Reason only those that are not resolved: what waits,
// and what was given up. Rule matches the rule's parts too, one for each of its entities.
type Filter struct {
	Status TaskStatus
	// Reason is one of Exception.Public.
	Reason                      string
	Route, Rule, Source, Entity string
	Key, Code, Class            string
	// Routes are the only ones; nil = all.
	Routes []string
	// From and To bound when the tasks were parked: at or after, and before; zero = they do not.
	From, To time.Time
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
	condition, more, none := f.stored()
	if none {
		return nil, "", nil
	}
	query.WriteString(condition)
	args = append(args, more...)
	for _, c := range []struct{ column, value string }{{"route", f.Route}, {"source", f.Source}, {"entity", f.Entity}, {"record_key", f.Key},
		{"code", f.Code}, {"class", f.Class}} {
		if c.value != "" {
			query.WriteString(" AND " + c.column + " = ?")
			args = append(args, c.value)
		}
	}
	if f.Rule != "" {
		query.WriteString(sqlOfRule)
		args = append(args, f.Rule, f.Rule+"/", f.Rule+"0")
	}
	if f.Routes != nil {
		query.WriteString(" AND route IN (" + marks(len(f.Routes)) + ")")
		for _, r := range f.Routes {
			args = append(args, r)
		}
	}
	if !f.From.IsZero() {
		query.WriteString(" AND created >= ?")
		args = append(args, micros(f.From))
	}
	if !f.To.IsZero() {
		query.WriteString(" AND created < ?")
		args = append(args, micros(f.To))
	}
	query.WriteString(sqlTasksEnd)
	return readPage(ctx, s, "list tasks", limit, func(rows *sql.Rows) (x Exception, n int64, err error) {
		e, n, err := scanTask(rows)
		return *e, n, err
	}, query.String(), args...)
}

// readPage reads a page of a list whose query, beside its arguments, takes the number of rows; scan returns a row and its number in the
// list, of which the cursor of the next page is made, "" after the last.
func readPage[T any](ctx context.Context, s *Store, attempt string, limit int, scan func(*sql.Rows) (T, int64, error), query string, args ...any) (list []T, next string, err error) {
	var last int64
	further := false
	err = s.read(ctx, attempt, func(rows *sql.Rows) error {
		if further = len(list) == limit; further {
			return nil
		}
		item, n, err := scan(rows)
		if err == nil {
			list, last = append(list, item), n
		}
		return err
	}, query, append(args, limit+1)...)
	if err == nil && further {
		next = strconv.FormatInt(last, 36)
	}
	return list, next, err
}
