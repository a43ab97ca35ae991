package state

import (
	"context"
	"database/sql"
	"errors"

	"syncline"
)

// A write is a function that runs inside a transaction. Those that arrive while a transaction is under way wait in the
// queue, and the first of them to get the lock carries out the whole queue in one transaction: one fsync for all. So a
// lone caller never waits for company, and many callers cost little more than one.
//
// The function may run twice: when one of a group fails, the group is rolled back and each is tried by itself, so that
// nobody suffers for another's fault.
type request struct {
	do   func(context.Context, *writer) error
	done bool
	err  error
}

// write carries out do in a transaction and returns when it is on disk. Once queued it is not given up before its
// transaction has ended, whatever ctx says: the outcome would be unknown to the caller.
func (s *Store) write(ctx context.Context, attempt string, do func(context.Context, *writer) error) error {
	if err := ctx.Err(); err != nil {
		return classify(err, attempt)
	}
	r := &request{do: do, err: errGivenUp}
	s.queueMu.Lock()
	s.queue = append(s.queue, r)
	s.queueMu.Unlock()

	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	if !r.done {
		s.flushLocked(context.WithoutCancel(ctx))
	}
	return classify(r.err, attempt)
}

func (s *Store) flushLocked(ctx context.Context) {
	s.queueMu.Lock()
	group := s.queue
	s.queue = nil
	s.queueMu.Unlock()
	for _, r := range group {
		r.done = true
	}
	err := s.transactLocked(ctx, group)
	apart := err != nil && len(group) > 1 && syncline.ClassOf(classify(err, "write")) != syncline.Transient
	for i, r := range group {
		r.err = err
		if apart {
			r.err = s.transactLocked(ctx, group[i:i+1])
		}
	}
}

func (s *Store) transactLocked(ctx context.Context, group []*request) (err error) {
	if s.closed.Load() {
		return errClosed
	}
	if _, err := s.writer.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	committed := false
	defer func() {
		if !committed {
			// SQLite has already rolled back after some errors; then this one says so and means nothing.
			_, _ = s.writer.exec(ctx, "ROLLBACK")
		}
	}()
	for _, r := range group {
		if err := r.do(ctx, s.writer); err != nil {
			return err
		}
	}
	if _, err := s.writer.exec(ctx, "COMMIT"); err != nil {
		return err
	}
	committed = true
	return nil
}

// writer is the one connection that writes, with its prepared statements by their text.
type writer struct {
	db    *sql.DB
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
}

func (w *writer) prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	if st, ok := w.stmts[query]; ok {
		return st, nil
	}
	st, err := w.conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	w.stmts[query] = st
	return st, nil
}

// exec returns how many rows the statement touched.
func (w *writer) exec(ctx context.Context, query string, args ...any) (int64, error) {
	st, err := w.prepare(ctx, query)
	if err != nil {
		return 0, err
	}
	result, err := st.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// each calls scan for every row of the result. Scan must not use the writer.
func (w *writer) each(ctx context.Context, scan func(*sql.Rows) error, query string, args ...any) error {
	st, err := w.prepare(ctx, query)
	if err != nil {
		return err
	}
	rows, err := st.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	return scanAll(rows, scan)
}

func scanAll(rows *sql.Rows, scan func(*sql.Rows) error) error {
	defer rows.Close() //nolint:errcheck // rows.Err has it
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (w *writer) close() error {
	var errs []error
	for _, st := range w.stmts {
		errs = append(errs, st.Close())
	}
	if w.conn != nil {
		errs = append(errs, w.conn.Close())
	}
	return errors.Join(append(errs, w.db.Close())...)
}

// read calls scan for every row of a query beside the writer.
func (s *Store) read(ctx context.Context, attempt string, scan func(*sql.Rows) error, query string, args ...any) error {
	rows, err := s.readers.QueryContext(ctx, query, args...)
	if err == nil {
		err = scanAll(rows, scan)
	}
	if err != nil && s.closed.Load() {
		err = errClosed
	}
	return classify(err, attempt)
}
