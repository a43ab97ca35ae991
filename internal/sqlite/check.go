package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"syncline"
)

var (
	_ syncline.Checker   = (*Source)(nil)
	_ syncline.Describer = (*Source)(nil)
)

// Check implements syncline.Checker. It opens the database for itself and changes nothing.
func (s *Source) Check(ctx context.Context) []syncline.Finding {
	path, err := Path(s.opt.URL)
	if err != nil {
		return []syncline.Finding{syncline.Failure(err, "")}
	}
	db, err := openFile(ctx, path, false, 1)
	if err != nil {
		return []syncline.Finding{syncline.Failure(err, "")}
	}
	defer db.Close() //nolint:errcheck // it was only read
	var mode string
	if err := db.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
		return []syncline.Finding{syncline.Failure(classify(err, "read %s", path), "")}
	}
	out := []syncline.Finding{{Level: "ok", What: "database " + path + " can be read"}}
	if mode != "wal" && !s.opt.Manage {
		out = append(out, syncline.Finding{Level: "warn", Code: "journal_mode", What: fmt.Sprintf("database %s has journal mode %s: capture and the application wait for each other", path, mode),
			Fix: "PRAGMA journal_mode = wal"})
	}
	tables, err := s.loadTables(ctx, db)
	if err != nil {
		return append(out, syncline.Failure(err, ""))
	}
	for _, e := range s.entities() {
		c := tables[e]
		switch {
		case c.table.opaque:
			out = append(out, syncline.Finding{Level: "warn", Code: "index_on_expression", What: fmt.Sprintf("%s: table %s has a unique index on an expression; a row that REPLACE removes because of it is not seen", e, c.table.name),
				Fix: "do not use REPLACE on it, or set PRAGMA recursive_triggers = on in the application"})
		case len(c.key) == 0:
			out = append(out, syncline.Finding{Level: "warn", Code: "keyless", What: fmt.Sprintf("%s: table %s has no primary key", e, c.table.name),
				Fix: fmt.Sprintf("declare capture.entities.%s.key, or use it with SQL and event targets only", e)})
		default:
			out = append(out, syncline.Finding{Level: "ok", What: fmt.Sprintf("%s: table %s", e, c.table.name)})
		}
	}
	statements, err := plan(ctx, db, tables, 0)
	switch {
	case err != nil:
		out = append(out, syncline.Failure(err, ""))
	case len(statements) > 0 && !s.opt.Manage:
		out = append(out, syncline.Finding{Level: "fail", Code: "capture_not_installed", What: "the triggers that capture changes are not installed as they should be",
			Fix: "set manage: true, or run this:\n" + script(statements)})
	case len(statements) > 0:
		out = append(out, syncline.Finding{Level: "ok", What: fmt.Sprintf("%d statements will install the triggers that capture changes", len(statements))})
	}
	return out
}

// Describe implements syncline.Describer.
func (s *Source) Describe(ctx context.Context) ([]*syncline.Schema, error) {
	path, err := Path(s.opt.URL)
	if err != nil {
		return nil, err
	}
	db, err := openFile(ctx, path, false, 1)
	if err != nil {
		return nil, err
	}
	defer db.Close() //nolint:errcheck // it was only read
	var list []*syncline.Schema
	for _, e := range s.entities() {
		c, err := s.loadEntity(ctx, db, e)
		switch {
		case err == nil:
			list = append(list, s.schema(e, c.table.name, c.table.columns))
		case syncline.ClassOf(err) == syncline.Transient: // nothing is known of the table
			return nil, err
		}
	}
	return list, nil
}

// CheckTarget tells whether the database can be written. It makes none and leaves the journal mode of one that is there, both
// of which opening it as a target would change.
func CheckTarget(ctx context.Context, dsn string) []syncline.Finding {
	path, err := Path(dsn)
	if err != nil {
		return []syncline.Finding{syncline.Failure(err, "")}
	}
	const fix = "let this user write to the file and its directory"
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		f, err := os.CreateTemp(filepath.Dir(path), ".check-*")
		if err == nil {
			err = errors.Join(f.Close(), os.Remove(f.Name()))
		}
		if err != nil {
			return []syncline.Finding{{Level: "fail", Code: "database_unavailable", What: "database " + path + " cannot be made: its directory is missing or takes no files",
				Fix: "make the directory, and let this user write to it"}}
		}
		return []syncline.Finding{{Level: "ok", What: "database " + path + " will be made"}}
	}
	db, err := openFile(ctx, path, false, 1)
	if err != nil {
		return []syncline.Finding{syncline.Failure(err, fix)}
	}
	defer db.Close()                //nolint:errcheck // nothing was written
	tx, err := db.BeginTx(ctx, nil) // takes the lock of a writer
	if err == nil {
		err = tx.Rollback()
	}
	if err != nil {
		return []syncline.Finding{syncline.Failure(classify(err, "write to %s", path), fix)}
	}
	return []syncline.Finding{{Level: "ok", What: "database " + path + " can be written"}}
}
