package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"

	"syncline"
)

// TargetOptions describe the target of one slice of one route.
type TargetOptions struct {
	// URL names the database file; see Path. It is made if it is not there.
	URL string
	// Route and Slice name the cursor.
	Route string
	Slice int
	// Guard keeps the order of each record's newest change in a column _syncline_seq, and lets no older change over it.
	// Several rules that write one table need it.
	Guard bool
	// Logger gets changes of state; nil = nobody.
	Logger *slog.Logger
}

// guardColumn has the order of the newest change of a record.
const guardColumn = "_syncline_seq"

// Target is one slice of one route, on one connection. Rows and cursor are one transaction.
type Target struct {
	opt  TargetOptions
	log  *slog.Logger
	path string
	db   *sql.DB
	conn *sql.Conn
	// statements are prepared on conn, by their text.
	statements map[string]statement
	// bindings are how rows of a schema are written to an object, see bind.
	bindings map[string]map[bindingKey]*binding
}

var (
	_ syncline.Target  = (*Target)(nil)
	_ syncline.Guarded = (*Target)(nil)
	_ syncline.Definer = (*Target)(nil)
	_ syncline.Current = (*Target)(nil)
	_ syncline.Scanner = (*Target)(nil)
)

// OpenTarget opens the database.
func OpenTarget(ctx context.Context, opt TargetOptions) (*Target, error) {
	path, err := Path(opt.URL)
	if err != nil {
		return nil, err
	}
	t := &Target{opt: opt, log: opt.Logger, path: path, statements: map[string]statement{}, bindings: map[string]map[bindingKey]*binding{}}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	t.log = t.log.With("route", opt.Route, "slice", opt.Slice)
	if t.db, err = openFile(ctx, path, true, 1); err != nil {
		return nil, err
	}
	if t.conn, err = t.db.Conn(ctx); err != nil {
		_ = t.db.Close() // the reason is err
		return nil, classify(err, "connect to %s", path)
	}
	return t, nil
}

// Traits implements syncline.Target.
func (t *Target) Traits() syncline.Traits {
	return syncline.Traits{Transactional: true, Partial: true, Rekey: true, Keyless: true, Decides: true, Marks: true, Sets: true}
}

// Close implements syncline.Target.
func (t *Target) Close() error {
	err := errors.Join(t.forgetStatements(), t.conn.Close(), t.db.Close())
	if err != nil {
		return fmt.Errorf("close %s: %w", t.path, err)
	}
	return nil
}

// Own implements syncline.CursorKeeper. A commit in flight holds the database's lock, and is waited for.
func (t *Target) Own(ctx context.Context, atLeast uint64) (c syncline.Cursor, state string, found bool, err error) {
	_, err = loadTable(ctx, t.conn, "_syncline_cursor")
	if errors.Is(err, errNoTable) {
		return c, "", false, nil
	}
	if err != nil {
		return c, "", false, err
	}
	err = t.conn.QueryRowContext(ctx, `UPDATE _syncline_cursor SET epoch = max(epoch, ?) + 1 WHERE route = ? AND slice = ? RETURNING log, seq, idx, epoch, state`,
		int64(atLeast), t.opt.Route, t.opt.Slice).Scan(&c.Log, &c.Seq, &c.Index, &c.Epoch, &state)
	if errors.Is(err, sql.ErrNoRows) {
		return c, "", false, nil
	}
	if err != nil {
		return syncline.Cursor{}, "", false, classify(err, "take the cursor of route %s", t.opt.Route)
	}
	return c, state, true, nil
}

// Place implements syncline.CursorKeeper.
func (t *Target) Place(ctx context.Context, c syncline.Cursor, state string) error {
	_, err := t.conn.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS _syncline_cursor (route TEXT NOT NULL, slice INTEGER NOT NULL, log TEXT NOT NULL,
		seq INTEGER NOT NULL, idx INTEGER NOT NULL, epoch INTEGER NOT NULL, state TEXT NOT NULL, PRIMARY KEY (route, slice)) WITHOUT ROWID`)
	if err == nil {
		_, err = t.conn.ExecContext(ctx, `INSERT OR REPLACE INTO _syncline_cursor (route, slice, log, seq, idx, epoch, state) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			t.opt.Route, t.opt.Slice, c.Log, int64(c.Seq), c.Index, int64(c.Epoch), state)
	}
	return classify(err, "place the cursor of route %s", t.opt.Route)
}
