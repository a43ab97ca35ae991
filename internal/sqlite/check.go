package sqlite

import (
	"context"
	"fmt"

	"syncline"
)

var _ syncline.Checker = (*Source)(nil)

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
