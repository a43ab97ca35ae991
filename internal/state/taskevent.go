package state

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"time"

	"syncline"
)

// TaskEvent is a change of a task to failed, conflict or cancelled, or back.
type TaskEvent struct {
	// N orders all events of the store; a number that was given is not given again.
	N                                         int64
	At                                        time.Time
	Task, Route, Rule, Source, Entity, Object string
	Key                                       syncline.Key
	Was, Status                               TaskStatus
	// Reason says why it is pending or completed; Code and Error what happened last, without values.
	Reason, Code, Error string
	Attempts            int
}

const (
	// Rewound is the reason of a task whose event will be read again.
	Rewound = "rewound"
	// Forgotten is the reason of a task whose route has begun anew, with the records as they are then.
	Forgotten = "forgotten"
)

// notable are the states of which every change from or to is told.
func notable(s TaskStatus) bool {
	return s == TaskFailed || s == TaskConflict || s == TaskCancelled
}

// tell records that a task is now what e says and was something else before, if that is notable.
func (w *writer) tell(ctx context.Context, e *Exception, was TaskStatus) error {
	status, reason := e.Public()
	return w.tellAs(ctx, e, was, status, reason)
}

func (w *writer) tellAs(ctx context.Context, e *Exception, was, status TaskStatus, reason string) error {
	if status == was || !notable(status) && !notable(was) {
		return nil
	}
	_, err := w.exec(ctx, sqlAddTaskEvent, micros(time.Now()), e.Task, e.Route, e.Rule, e.Source, e.Entity, e.Object, string(e.Key),
		string(was), string(status), reason, e.Code, e.Error, e.Attempts)
	return err
}

// forgetTasks removes the slice's tasks.
func (w *writer) forgetTasks(ctx context.Context, sl Slice) error {
	var gone []*Exception // a change of theirs is to be told, once the rows are read
	err := w.each(ctx, func(rows *sql.Rows) error {
		e, _, err := scanTask(rows)
		if err != nil {
			return err
		}
		if was, _ := e.Public(); notable(was) {
			gone = append(gone, e)
		}
		return nil
	}, sqlForgetTasks, sl.Route, sl.Slice)
	for i := 0; i < len(gone) && err == nil; i++ {
		was, _ := gone[i].Public()
		err = w.tellAs(ctx, gone[i], was, TaskCompleted, Forgotten)
	}
	return err
}

// EventFilter chooses events. Empty fields match all; Rule matches the rule's parts too, one for each of its entities.
type EventFilter struct {
	Routes                      []string // nil = all
	Route, Rule, Source, Entity string
	Status                      TaskStatus
}

// TaskEvents returns up to limit events with numbers above after, the oldest first.
func (s *Store) TaskEvents(ctx context.Context, f EventFilter, after int64, limit int) ([]TaskEvent, error) {
	var query strings.Builder
	query.WriteString(sqlTaskEvents)
	args := []any{after}
	if f.Routes != nil {
		query.WriteString(" AND route IN (" + marks(len(f.Routes)) + ")")
		for _, r := range f.Routes {
			args = append(args, r)
		}
	}
	if f.Rule != "" {
		query.WriteString(sqlOfRule)
		args = append(args, f.Rule, f.Rule+"/", f.Rule+"0")
	}
	for _, c := range []struct{ column, value string }{{"route", f.Route}, {"source", f.Source}, {"entity", f.Entity},
		{"status", string(f.Status)}} {
		if c.value != "" {
			query.WriteString(" AND " + c.column + " = ?")
			args = append(args, c.value)
		}
	}
	query.WriteString(sqlTasksEnd)
	var list []TaskEvent
	err := s.read(ctx, "list changes of tasks", func(rows *sql.Rows) error {
		var e TaskEvent
		var at int64
		err := rows.Scan(&e.N, &at, &e.Task, &e.Route, &e.Rule, &e.Source, &e.Entity, &e.Object, &e.Key, &e.Was, &e.Status, &e.Reason,
			&e.Code, &e.Error, &e.Attempts)
		e.At = fromMicros(at)
		list = append(list, e)
		return err
	}, query.String(), append(args, limit)...)
	return list, err
}

// marks is n parameters of a list.
func marks(n int) string { return strings.Join(slices.Repeat([]string{"?"}, n), ", ") }

// TaskEventBounds returns the numbers of the oldest event that is kept, and of the newest that was ever given; 0 = none.
func (s *Store) TaskEventBounds(ctx context.Context) (first, last int64, err error) {
	err = s.read(ctx, "read the bounds of changes of tasks", func(rows *sql.Rows) error { return rows.Scan(&first, &last) }, sqlTaskEventBounds)
	return first, last, err
}

// TrimTaskEvents forgets events from before, and all but the newest keep.
func (s *Store) TrimTaskEvents(ctx context.Context, before time.Time, keep int64) error {
	for {
		var oldest, n, last int64
		err := s.read(ctx, "look for old changes of tasks", func(rows *sql.Rows) error { return rows.Scan(&n, &oldest, &last) }, sqlOldestTaskEvent)
		if err != nil || n == 0 || oldest >= micros(before) && n > last-keep {
			return err
		}
		err = s.write(ctx, "trim changes of tasks", func(ctx context.Context, w *writer) error {
			_, err := w.exec(ctx, sqlTrimTaskEvents, trimStep, micros(before), last-keep)
			return err
		})
		if err != nil {
			return err
		}
	}
}
