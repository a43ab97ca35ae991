package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"syncline"
)

var _ syncline.Risky = (*Source)(nil)

// riskSample is how many changes are looked at to tell how large all of them are.
const riskSample = 100

// Risk implements syncline.Risky: changes that were not confirmed stay in the application's database and make its file grow.
func (s *Source) Risk(ctx context.Context) (r syncline.SourceRisk, err error) {
	path, err := Path(s.opt.URL)
	if err != nil {
		return r, err
	}
	db, err := openFile(ctx, path, false, 1)
	if err != nil {
		return r, err
	}
	defer db.Close() //nolint:errcheck // it was only read
	if _, err := loadTable(ctx, db, "_syncline_meta"); errors.Is(err, errNoTable) {
		return r, nil // nothing was installed yet
	}
	err = db.QueryRowContext(ctx, "SELECT value FROM _syncline_meta WHERE name = 'database'").Scan(&r.System)
	if err == nil || errors.Is(err, sql.ErrNoRows) {
		err = db.QueryRowContext(ctx, "SELECT coalesce(max(seq) - min(seq) + 1, 0) FROM _syncline_changes").Scan(&r.HeldChanges)
	}
	if err == nil && r.HeldChanges > 0 {
		r.HeldBytes, err = heldBytes(ctx, db, r.HeldChanges)
	}
	return r, classify(err, "look at the changes in %s", path)
}

// heldBytes is about how large so many changes are, by the size of the oldest.
func heldBytes(ctx context.Context, db *sql.DB, changes int64) (int64, error) {
	rows, err := db.QueryContext(ctx, "SELECT * FROM _syncline_changes ORDER BY seq LIMIT ?", riskSample)
	if err != nil {
		return 0, err
	}
	defer rows.Close() //nolint:errcheck // Err tells
	columns, err := rows.Columns()
	if err != nil {
		return 0, err
	}
	var bytes, seen int64
	values := make([]sql.RawBytes, len(columns))
	into := make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return 0, err
		}
		for _, v := range values {
			bytes += int64(len(v)) + 1
		}
		seen++
	}
	return bytes / max(seen, 1) * changes, rows.Err()
}
