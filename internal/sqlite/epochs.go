package sqlite

import (
	"context"
	"errors"

	"syncline"
)

// LogEpoch keeps the epochs of the logs that _syncline_seq counts in, in a table beside the cursor. Without a guard there is
// nothing to compare.
func (t *Target) LogEpoch(ctx context.Context, object, log string, begins bool) (epoch uint8, err error) {
	if !t.opt.Guard {
		return 1, nil
	}
	if _, err := t.conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return 0, classify(err, "read the epochs of %s", object)
	}
	end := "ROLLBACK"
	defer func() {
		if _, e := t.conn.ExecContext(context.WithoutCancel(ctx), end); e != nil {
			err = errors.Join(err, classify(e, "write the epochs of %s", object))
		}
	}()
	if _, err := t.conn.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS _syncline_epoch (object TEXT NOT NULL, log TEXT NOT NULL, epoch INTEGER NOT NULL,
		PRIMARY KEY (object, log)) WITHOUT ROWID`); err != nil {
		return 0, classify(err, "make the table of epochs")
	}
	epochs, err := t.readEpochs(ctx, fold(object))
	if err != nil {
		return 0, classify(err, "read the epochs of %s", object)
	}
	var changed bool
	if epoch, changed, err = epochs.Enter(object, log, begins); err != nil || !changed {
		return epoch, err
	}
	if _, err := t.conn.ExecContext(ctx, `INSERT OR REPLACE INTO _syncline_epoch (object, log, epoch) VALUES (?, ?, ?)`, fold(object), log, epoch); err != nil {
		return 0, classify(err, "write the epochs of %s", object)
	}
	end = "COMMIT"
	return epoch, nil
}

func (t *Target) readEpochs(ctx context.Context, object string) (syncline.LogEpochs, error) {
	rows, err := t.conn.QueryContext(ctx, `SELECT log, epoch FROM _syncline_epoch WHERE object = ?`, object)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err has it
	epochs := syncline.LogEpochs{}
	for rows.Next() {
		var log string
		var epoch uint8
		if err := rows.Scan(&log, &epoch); err != nil {
			return nil, err
		}
		epochs[log] = epoch
	}
	return epochs, rows.Err()
}
