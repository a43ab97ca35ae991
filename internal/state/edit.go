package state

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"
)

// Edit is who changed the record of a task, when and why.
type Edit struct {
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	Reason string    `json:"reason"`
}

// EditTask gives a task that waits another record. The one that came is kept beside it (Original).
func (s *Store) EditTask(ctx context.Context, sl Slice, task string, record []byte, e Edit) error {
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return s.write(ctx, "edit task", func(ctx context.Context, w *writer) error {
		was := &Exception{}
		err := w.each(ctx, func(rows *sql.Rows) error {
			return rows.Scan(&was.Route, &was.Slice.Slice, &was.Status, &was.Outcome)
		}, sqlTaskState, task)
		if err != nil {
			return err
		}
		if was.Slice != sl || !was.Pending() {
			return notFound("task_not_found", "a waiting task", task)
		}
		_, err = w.exec(ctx, sqlEditTask, record, string(text), task)
		return err
	})
}

// Original returns the record of a task as it came; ErrNotFound is in the chain where there is no such task.
func (s *Store) Original(ctx context.Context, task string) (record []byte, err error) {
	found := false
	err = s.read(ctx, "read task", func(rows *sql.Rows) error {
		found = true
		return rows.Scan(&record)
	}, sqlOriginal, task)
	if err == nil && !found {
		err = notFound("task_not_found", "task", task)
	}
	return record, err
}
