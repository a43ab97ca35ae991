package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"

	driver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"syncline"
)

// busyTimeout is how long, in milliseconds, a statement waits for another process's lock.
const busyTimeout = 5000

// Path returns the file of a database URL: "sqlite:./shop.db", "sqlite:///var/shop.db" or a plain path.
func Path(dsn string) (string, error) {
	path := dsn
	if rest, ok := strings.CutPrefix(dsn, "sqlite:"); ok {
		path = strings.TrimPrefix(rest, "//")
	}
	if path == "" || path == ":memory:" || strings.HasPrefix(path, "file:") {
		return "", syncline.Errorf(syncline.Fatal, "url_invalid", "sqlite url does not name a file").
			WithFix("write sqlite:./path/to/file.db")
	}
	return path, nil
}

// openFile opens a database file for up to conns connections.
func openFile(ctx context.Context, path string, create bool, conns int) (*sql.DB, error) {
	q := url.Values{"mode": {"rw"}, "_txlock": {"immediate"}}
	q["_pragma"] = []string{"busy_timeout(" + strconv.Itoa(busyTimeout) + ")", "synchronous(full)"}
	if create {
		q.Set("mode", "rwc")
		q["_pragma"] = append(q["_pragma"], "journal_mode(wal)")
	} else if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil, syncline.Errorf(syncline.Fatal, "database_missing", "there is no database file %s", path).
			WithFix("check the url; a source is never created")
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	if err := db.PingContext(ctx); err != nil {
		_ = db.Close() // the reason is err
		return nil, classify(err, "open %s", path)
	}
	return db, nil
}

// classify says how an error of SQLite is to be taken. The message of a constraint names the column and not the value; that of a trigger, or of a function
// as it runs, may have any value in it.
func classify(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	var own *syncline.Error
	var e *driver.Error
	what := fmt.Sprintf(format, args...)
	if errors.As(err, &own) || !errors.As(err, &e) {
		return fmt.Errorf("%s: %w", what, err)
	}
	switch code := e.Code(); code & 0xFF {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return syncline.Errorf(syncline.Transient, "database_busy", "%s: %w", what, err)
	case sqlite3.SQLITE_FULL:
		return syncline.Errorf(syncline.Transient, "disk_full", "%s: %w", what, err).WithFix("free space on the disk of the database")
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_SCHEMA, sqlite3.SQLITE_ABORT:
		return syncline.Errorf(syncline.Transient, "database_unavailable", "%s: %w", what, err)
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_AUTH:
		return syncline.Errorf(syncline.Transient, "database_unavailable", "%s: %w", what, err).
			WithFix("check that the file and its directory exist and that this process may write to them")
	case sqlite3.SQLITE_CONSTRAINT:
		switch code {
		case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
			return syncline.Errorf(syncline.Rejected, "dependency", "%s: %w", what, err)
		case sqlite3.SQLITE_CONSTRAINT_TRIGGER:
			return syncline.Errorf(syncline.Rejected, "constraint", "%s: a trigger refuses the record (SQLite error %d)", what, code).
				WithFix("see the triggers of the table; correct the record or the trigger, then retry")
		}
		return syncline.Errorf(syncline.Rejected, "constraint", "%s: %w", what, err)
	case sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_RANGE:
		return syncline.Errorf(syncline.Rejected, "value_refused", "%s: %w", what, err)
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return syncline.Errorf(syncline.Fatal, "database_corrupt", "%s: %w", what, err).WithFix("restore the database from a backup")
	case sqlite3.SQLITE_ERROR:
		if errors.As(err, new(ran)) {
			return syncline.Errorf(syncline.Fatal, "statement_refused", "%s: a trigger, or a function, fails (SQLite error %d)", what, code).
				WithFix("see the triggers, generated columns and checks of the table: one of them fails on a value of a record; correct it, then `syncline resume ROUTE`")
		}
		return syncline.Errorf(syncline.Fatal, "statement_refused", "%s: %w", what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// isBusy reports whether another connection holds the lock that the statement needs.
func isBusy(err error) bool {
	var e *driver.Error
	return errors.As(err, &e) && (e.Code()&0xFF == sqlite3.SQLITE_BUSY || e.Code()&0xFF == sqlite3.SQLITE_LOCKED)
}

// quote returns the name as an SQL identifier.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// literal returns the text as an SQL string.
func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// parseName reads an SQL identifier as the configuration writes it: an optional main., double quotes as in SQL.
func parseName(s string) (string, error) {
	bad := syncline.Errorf(syncline.Fatal, "identifier_invalid", "%q is not a table name", s).
		WithFix("write the name, or main.name; put names with other characters in double quotes")
	var parts []string
	for rest := s; ; {
		var part string
		if strings.HasPrefix(rest, `"`) {
			end := 1
			for ; end < len(rest); end++ {
				if rest[end] == '"' {
					if end+1 >= len(rest) || rest[end+1] != '"' {
						break
					}
					end++
				}
			}
			if end >= len(rest) {
				return "", bad
			}
			part, rest = strings.ReplaceAll(rest[1:end], `""`, `"`), rest[end+1:]
		} else {
			end := strings.IndexAny(rest, `."`)
			if end < 0 {
				end = len(rest)
			}
			part, rest = rest[:end], rest[end:]
		}
		if part == "" || strings.Contains(part, "\x00") {
			return "", bad
		}
		parts = append(parts, part)
		if rest == "" {
			break
		}
		if rest[0] != '.' {
			return "", bad
		}
		rest = rest[1:]
	}
	switch {
	case len(parts) == 1:
		return parts[0], nil
	case len(parts) == 2 && strings.EqualFold(parts[0], "main"):
		return parts[1], nil
	}
	return "", bad
}
