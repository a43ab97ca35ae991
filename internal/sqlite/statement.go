package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"syncline"
)

// maxStatements bounds the prepared statements; beyond it all are prepared anew.
const maxStatements = 256

// statement is a prepared statement of the driver. database/sql would copy and check every argument once more.
type statement interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// preparer is the driver's connection.
type preparer interface {
	driver.ConnPrepareContext
	driver.ExecerContext
}

// writer is an open write transaction.
type writer struct {
	t    *Target
	conn preparer
	// ctx has no end: statements are short once the lock is held, and the caller looks at its own context between them.
	ctx  context.Context
	args []driver.NamedValue
}

// transaction runs f with the database's write lock and commits, or rolls back where f fails.
func (t *Target) transaction(ctx context.Context, f func(*writer) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return t.conn.Raw(func(dc any) error {
		conn, ok := dc.(preparer)
		if !ok {
			return fmt.Errorf("the sqlite driver has no prepared statements")
		}
		w := &writer{t: t, conn: conn, ctx: context.WithoutCancel(ctx)}
		if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE", nil); err != nil {
			return classify(err, "begin in %s", t.path)
		}
		err := f(w)
		if err == nil {
			if _, err = conn.ExecContext(w.ctx, "COMMIT", nil); err == nil {
				return nil
			}
			err = classify(err, "commit in %s", t.path)
		}
		// The only failure is that the statement's own error has rolled back already.
		_, _ = conn.ExecContext(w.ctx, "ROLLBACK", nil)
		return err
	})
}

// forgetStatements closes the prepared statements.
func (t *Target) forgetStatements() error {
	return t.conn.Raw(func(any) error {
		var errs []error
		for text, st := range t.statements {
			errs = append(errs, st.Close())
			delete(t.statements, text)
		}
		return errors.Join(errs...)
	})
}

func (w *writer) prepare(text string) (statement, error) {
	if st := w.t.statements[text]; st != nil {
		return st, nil
	}
	if len(w.t.statements) >= maxStatements {
		for other, st := range w.t.statements {
			_ = st.Close() // it returns the error of its last use, which was reported
			delete(w.t.statements, other)
		}
	}
	prepared, err := w.conn.PrepareContext(w.ctx, text)
	if err != nil {
		return nil, err
	}
	st, ok := prepared.(statement)
	if !ok {
		return nil, fmt.Errorf("the sqlite driver's statements take no context")
	}
	w.t.statements[text] = st
	return st, nil
}

// arg adds an argument for the next statement.
func (w *writer) arg(v any) {
	w.args = append(w.args, driver.NamedValue{Ordinal: len(w.args) + 1, Value: v})
}

// value adds a value of the column as an argument.
func (w *writer) value(c *bound, v syncline.Value) { w.arg(c.store(v)) }

// exec runs the statement with the arguments added so far and returns how many rows it changed.
func (w *writer) exec(text string) (int64, error) {
	args := w.args
	w.args = w.args[:0]
	st, err := w.prepare(text)
	if err != nil {
		return 0, err
	}
	res, err := st.ExecContext(w.ctx, args)
	if err != nil {
		return 0, w.failed(text, err)
	}
	return res.RowsAffected()
}

// ran is the error of a statement that nothing is wrong with: what it came upon, in a function or a trigger, may be in SQLite's words.
type ran struct{ error }

func (r ran) Unwrap() error { return r.error }

// failed is the error of a statement in its run: where the schema has changed below it, the one that it would not be prepared with any more.
func (w *writer) failed(text string, err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) || e.Code()&0xFF != sqlite3.SQLITE_ERROR {
		return err
	}
	st, now := w.conn.PrepareContext(w.ctx, text)
	if now != nil {
		return now
	}
	_ = st.Close() // it was not run
	return ran{err}
}

// row runs the query and returns its first row, nil if there is none.
func (w *writer) row(text string) ([]driver.Value, error) {
	args := w.args
	w.args = w.args[:0]
	st, err := w.prepare(text)
	if err != nil {
		return nil, err
	}
	rows, err := st.QueryContext(w.ctx, args)
	if err != nil {
		return nil, w.failed(text, err)
	}
	out := make([]driver.Value, len(rows.Columns()))
	if err = rows.Next(out); errors.Is(err, io.EOF) {
		out, err = nil, nil
	}
	if e := rows.Close(); err == nil {
		err = e
	}
	if err != nil {
		return nil, w.failed(text, err)
	}
	return out, nil
}
