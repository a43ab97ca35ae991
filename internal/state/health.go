package state

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"
)

// HealthCheck is what a check of the health came to.
type HealthCheck struct {
	At      time.Time
	Level   string
	Summary json.RawMessage
}

// AddHealth takes note of a check, and forgets those from before this time and the oldest that are more than most.
func (s *Store) AddHealth(ctx context.Context, c HealthCheck, before time.Time, most int64) error {
	return s.write(ctx, "take note of a health check", func(ctx context.Context, w *writer) error {
		if _, err := w.exec(ctx, sqlAddHealth, micros(c.At), c.Level, string(c.Summary)); err != nil {
			return err
		}
		_, err := w.exec(ctx, sqlTrimHealth, micros(before), most)
		return err
	})
}

// Health returns a page of the checks, the newest first, and the cursor of the next page, "" after the last.
func (s *Store) Health(ctx context.Context, after string, limit int) (list []HealthCheck, next string, err error) {
	below, err := cursorOf(after)
	if err != nil {
		return nil, "", err
	}
	return readPage(ctx, s, "read health checks", pageOf(limit), func(rows *sql.Rows) (c HealthCheck, n int64, err error) {
		var at int64
		var summary string
		err = rows.Scan(&n, &at, &c.Level, &summary)
		c.At, c.Summary = fromMicros(at), json.RawMessage(summary)
		return c, n, err
	}, sqlHealth, below, below)
}

// WaitingCount is a number of tasks of a rule that wait for the same reason.
type WaitingCount struct {
	Slice
	Rule, Status, Class, Code string
	Tasks                     int64
}

// WaitingCounts counts the tasks that wait now, however old, by rule, status and error.
func (s *Store) WaitingCounts(ctx context.Context) ([]WaitingCount, error) {
	var list []WaitingCount
	err := s.read(ctx, "count what waits", func(rows *sql.Rows) error {
		var c WaitingCount
		err := rows.Scan(&c.Route, &c.Slice.Slice, &c.Rule, &c.Status, &c.Class, &c.Code, &c.Tasks)
		list = append(list, c)
		return err
	}, sqlCountWaiting)
	return list, err
}

// ParkedKeys counts the records whose tasks wait now.
func (s *Store) ParkedKeys(ctx context.Context) (map[Slice]int64, error) {
	all := make(map[Slice]int64)
	err := s.read(ctx, "count parked keys", func(rows *sql.Rows) error {
		var sl Slice
		var n int64
		err := rows.Scan(&sl.Route, &sl.Slice, &n)
		all[sl] = n
		return err
	}, sqlCountKeys)
	return all, err
}
