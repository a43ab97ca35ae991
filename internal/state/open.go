package state

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"syncline"
)

const (
	// applicationID marks the file as ours ("SYNC"), so that a path to some other database is refused.
	applicationID = 0x53594E43
	// minSQLite is the first version without the bug that loses a WAL after a reset.
	minSQLite = "3.51.3"
	// busyMillis is how long a statement waits for another process's lock.
	busyMillis = 10_000
	// maxReaders bounds the connections that lists and status reads use beside the writer.
	maxReaders = 4
	// checkBytes bounds the files that are checked page by page at the start. Damage in a larger one is reported when it
	// is met.
	checkBytes = 32 << 20

	versionTable = "schema_version"
)

//go:embed migrations/sqlite/*.sql
var sqliteMigrations embed.FS

// prepareFile makes the folder and an empty file with narrow rights, which SQLite's own files then inherit. The names
// are made durable: SQLite syncs only the folder of its file.
func prepareFile(path string) error {
	folder := filepath.Dir(path)
	if err := makeFolder(folder); err != nil {
		return unwritable(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return unwritable(err)
	}
	if err := f.Close(); err != nil {
		return unwritable(err)
	}
	return syncFolder(folder)
}

func makeFolder(folder string) error {
	if _, err := os.Stat(folder); err == nil {
		return nil
	}
	parent := filepath.Dir(folder)
	if parent != folder {
		if err := makeFolder(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(folder, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncFolder(parent)
}

func syncFolder(folder string) error {
	d, err := os.Open(folder) //nolint:gosec // the operator's own path
	if err != nil {
		return unwritable(err)
	}
	return errors.Join(d.Sync(), d.Close())
}

func unwritable(err error) error {
	return syncline.Errorf(syncline.Fatal, "state_unwritable", "write there: %w", err).
		WithFix("let the user that runs syncline own the folder and the file, or set state.url to another place")
}

// dsn escapes the path: SQLite reads it as a URI.
func dsn(path string, pragmas ...string) string {
	q := url.Values{"_txlock": {"immediate"}}
	q.Add("_pragma", fmt.Sprintf("busy_timeout(%d)", busyMillis))
	for _, p := range pragmas {
		q.Add("_pragma", p)
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}

func openWriter(ctx context.Context, path string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", dsn(path, "journal_mode(WAL)", "synchronous(FULL)", "journal_size_limit(67108864)"))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	var mode, version string
	if err := db.QueryRowContext(ctx, "SELECT journal_mode, sqlite_version() FROM pragma_journal_mode").Scan(&mode, &version); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if mode != "wal" {
		err = syncline.Errorf(syncline.Fatal, "state_no_wal", "the file system allows no write-ahead log").
			WithFix("put the state store on a local disk")
	} else if !atLeast(version, minSQLite) {
		err = syncline.Errorf(syncline.Fatal, "state_sqlite_old", "this program was built with SQLite %s, which can damage a write-ahead log", version).
			WithFix("build it with SQLite %s or later", minSQLite)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func openReaders(path string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", dsn(path, "query_only(1)"))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(maxReaders)
	db.SetMaxIdleConns(maxReaders)
	return db, nil
}

// atLeast compares versions of dotted numbers.
func atLeast(version, least string) bool {
	v, l := strings.Split(version, "."), strings.Split(least, ".")
	for i := range l {
		if i >= len(v) {
			return false
		}
		have, err := strconv.Atoi(v[i])
		want, _ := strconv.Atoi(l[i])
		if err != nil || have != want {
			return err == nil && have > want
		}
	}
	return true
}

// checkFile refuses a file that is damaged or that is not a state store; it marks a new one as ours.
func checkFile(ctx context.Context, db *sql.DB) error {
	var id, tables, bytes int64
	err := db.QueryRowContext(ctx, `SELECT application_id, (SELECT count(*) FROM sqlite_master), page_count * page_size
		FROM pragma_application_id, pragma_page_count, pragma_page_size`).Scan(&id, &tables, &bytes)
	if err != nil {
		return err
	}
	switch {
	case id == applicationID:
	case id == 0 && tables == 0:
		if _, err := db.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", applicationID)); err != nil {
			return err
		}
	default:
		return syncline.Errorf(syncline.Fatal, "state_foreign", "the file is a database of another program").
			WithFix("set state.url to a file of its own")
	}
	if bytes > checkBytes {
		return nil
	}
	var finding string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&finding); err != nil {
		return err
	}
	if finding != "ok" {
		return corrupt(errors.New(finding))
	}
	return nil
}

// migrations returns what brings the database up to date.
func migrations(db *sql.DB) (*goose.Provider, error) {
	files, err := fs.Sub(sqliteMigrations, "migrations/sqlite")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithTableName(versionTable),
		goose.WithDisableGlobalRegistry(true), goose.WithSlog(slog.New(slog.DiscardHandler)))
}

func migrate(ctx context.Context, db *sql.DB, log *slog.Logger) error {
	provider, err := migrations(db)
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	have, want, err := provider.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	if have > want {
		return syncline.Errorf(syncline.Fatal, "state_newer", "its schema is version %d, this program knows %d", have, want).
			WithFix("run the version of syncline that wrote it, or a later one")
	}
	if have == want {
		return nil
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate from schema version %d to %d: %w", have, want, err)
	}
	log.Info("state store migrated", "from_version", have, "to_version", want)
	return nil
}
