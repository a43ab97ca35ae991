package state

import (
	"context"
	"database/sql"

	"syncline"
)

// maxLogEpoch is what syncline.Order can carry.
const maxLogEpoch = 127

// LogEpoch returns the place of a log among those that the source has had, from 1; known is false for a log that was
// never added.
func (s *Store) LogEpoch(ctx context.Context, source, logID string) (epoch uint8, known bool, err error) {
	err = s.read(ctx, "read log of "+source, func(rows *sql.Rows) error {
		known = true
		return rows.Scan(&epoch)
	}, sqlLogEpoch, source, logID)
	return epoch, known && err == nil, err
}

// AddLog takes note of a new log of the source and returns its epoch. A log that is known keeps its own.
func (s *Store) AddLog(ctx context.Context, source, logID string) (uint8, error) {
	var epoch int
	err := s.write(ctx, "add log of "+source, func(ctx context.Context, w *writer) error {
		scan := func(rows *sql.Rows) error { return rows.Scan(&epoch) }
		epoch = 0
		if err := w.each(ctx, scan, sqlLogEpoch, source, logID); err != nil || epoch > 0 {
			return err
		}
		if err := w.each(ctx, scan, sqlLastEpoch, source); err != nil {
			return err
		}
		if epoch++; epoch > maxLogEpoch {
			return syncline.Errorf(syncline.Fatal, "log_epochs_used", "source %s has had %d logs", source, maxLogEpoch).
				WithFix("give the source another name")
		}
		_, err := w.exec(ctx, sqlAddLog, source, logID, epoch)
		return err
	})
	if err != nil {
		return 0, err
	}
	return uint8(epoch), nil
}
