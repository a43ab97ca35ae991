package state

import (
	"context"
	"database/sql"
)

// KnowsLog reports whether AddLog was called for the source's log. A log with entries that the store does not know has outlived
// another store.
func (s *Store) KnowsLog(ctx context.Context, source, logID string) (known bool, err error) {
	err = s.read(ctx, "look for the log of "+source, func(*sql.Rows) error {
		known = true
		return nil
	}, sqlKnowsLog, source, logID)
	return known && err == nil, err
}

// AddLog takes note of the source's log.
func (s *Store) AddLog(ctx context.Context, source, logID string) error {
	return s.write(ctx, "take note of the log of "+source, func(ctx context.Context, w *writer) error {
		_, err := w.exec(ctx, sqlAddLog, source, logID)
		return err
	})
}
