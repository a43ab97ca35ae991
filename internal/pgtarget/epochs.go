package pgtarget

import (
	"context"

	"github.com/jackc/pgx/v5"

	"syncline"
)

// epochTable has, for each guarded table, the logs that _syncline_seq counts in.
const epochTable = "_syncline_epoch"

var _ syncline.Guarded = (*Target)(nil)

// LogEpoch keeps the table's epochs in a table beside the cursor. Without a guard there is nothing to compare.
func (t *Target) LogEpoch(ctx context.Context, object, log string, begins bool) (epoch uint8, err error) {
	if !t.o.Guard {
		return 1, nil
	}
	s, err := t.session(ctx)
	if err != nil {
		return 0, err
	}
	n, err := parseName(object)
	if err != nil {
		return 0, err
	}
	if n.schema == "" {
		n.schema = s.schema
	}
	epochName := name{s.schema, epochTable}.sql()
	create := "CREATE TABLE IF NOT EXISTS " + epochName + " (object text NOT NULL, log_id text NOT NULL, epoch smallint NOT NULL, PRIMARY KEY (object, log_id))"
	err = pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtext($1))", epochTable); err != nil { // one route at a time
			return err
		}
		var there bool // CREATE … IF NOT EXISTS would need the right to create all the same
		if err := tx.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", epochName).Scan(&there); err != nil {
			return err
		}
		if !there {
			if _, err := tx.Exec(ctx, create); err != nil {
				return err
			}
		}
		epochs := syncline.LogEpochs{}
		rows, err := tx.Query(ctx, "SELECT log_id, epoch FROM "+epochName+" WHERE object = $1", n.sql())
		if err != nil {
			return err
		}
		var id string
		var one int16
		if _, err := pgx.ForEachRow(rows, []any{&id, &one}, func() error { epochs[id] = uint8(one); return nil }); err != nil {
			return err
		}
		var changed bool
		if epoch, changed, err = epochs.Enter(object, log, begins); err != nil || !changed {
			return err
		}
		_, err = tx.Exec(ctx, "INSERT INTO "+epochName+" (object, log_id, epoch) VALUES ($1, $2, $3) ON CONFLICT (object, log_id) DO UPDATE SET epoch = EXCLUDED.epoch",
			n.sql(), log, int16(epoch))
		return err
	})
	switch {
	case isCode(err, "42501"):
		return 0, syncline.Errorf(syncline.Fatal, "permission_denied", "the target's user may not create or write %s", epochName).
			WithFix("create it as the owner of the schema and grant SELECT, INSERT and UPDATE on it:\n%s", create)
	case err != nil:
		return 0, t.failed("read the epochs of "+object, err)
	}
	return epoch, nil
}
