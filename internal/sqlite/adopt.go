package sqlite

import (
	"context"
	"database/sql"
	"strings"

	"syncline"
)

// adopt reads the tables and makes the triggers fit them, as far as it may.
func (s *Source) adopt(ctx context.Context) error {
	if s.opt.Manage {
		if _, err := s.writer.ExecContext(ctx, "PRAGMA journal_mode = wal"); err != nil {
			return classify(err, "switch %s to the write-ahead log", s.path)
		}
	}
	statements, err := s.examine(ctx, s.reader)
	if err != nil {
		return err
	}
	if len(statements) > 0 {
		if !s.opt.Manage {
			return s.unmanaged(statements)
		}
		if err := s.install(ctx); err != nil {
			return err
		}
	}
	s.resync()
	return nil
}

// examine reads the tables and shapes in one snapshot and returns the statements that are missing.
func (s *Source) examine(ctx context.Context, q *sql.Conn) (statements []string, err error) {
	return statements, s.transaction(ctx, q, "BEGIN", func() error {
		if err := q.QueryRowContext(ctx, "PRAGMA schema_version").Scan(&s.cookie); err != nil {
			return classify(err, "read the schema version of %s", s.path)
		}
		if s.tables, err = s.loadTables(ctx, q); err != nil {
			return err
		}
		if statements, err = plan(ctx, q, s.tables, s.at); err != nil {
			return err
		}
		return s.loadLayouts(ctx, q)
	})
}

// install carries out what is missing, found anew under the write lock.
func (s *Source) install(ctx context.Context) error {
	var statements []string
	err := s.transaction(ctx, s.writer, "BEGIN IMMEDIATE", func() (err error) {
		if s.tables, err = s.loadTables(ctx, s.writer); err != nil {
			return err
		}
		if statements, err = plan(ctx, s.writer, s.tables, s.at); err != nil {
			return err
		}
		for _, st := range statements {
			if _, err := s.writer.ExecContext(ctx, st); err != nil {
				return classify(err, "install capture in %s", s.path)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.log.Info("capture installed", "system", s.opt.Name, "statements", len(statements))
	for e, c := range s.tables {
		if c.table.opaque {
			s.log.Warn("unique index on an expression: a row that REPLACE removes because of it is not seen", "system", s.opt.Name, "entity", e)
		}
	}
	_, err = s.examine(ctx, s.reader)
	return err
}

// unmanaged is the error for statements that a person must run.
func (s *Source) unmanaged(statements []string) error {
	code, what := "capture_not_installed", "the triggers that capture changes are not installed"
	for _, l := range s.layouts {
		if _, ok := s.tables[l.entity]; ok {
			code, what = "schema_changed", "the triggers that capture changes do not fit the tables any more"
			break
		}
	}
	return syncline.Errorf(syncline.Fatal, code, "%s: %s", s.path, what).
		WithFix("set manage: true, or run this:\n%s", script(statements))
}

// script joins statements into one transaction for a person to run.
func script(statements []string) string {
	return "BEGIN IMMEDIATE;\n" + strings.Join(statements, ";\n") + ";\nCOMMIT;"
}

// transaction runs f between begin and its commit, and rolls back where f fails.
func (s *Source) transaction(ctx context.Context, q *sql.Conn, begin string, f func() error) error {
	if _, err := q.ExecContext(ctx, begin); err != nil {
		return classify(err, "begin in %s", s.path)
	}
	err := f()
	if err == nil {
		if _, err = q.ExecContext(ctx, "COMMIT"); err == nil {
			return nil
		}
		err = classify(err, "commit in %s", s.path)
	}
	if _, e := q.ExecContext(context.WithoutCancel(ctx), "ROLLBACK"); e != nil {
		s.log.Warn("roll back", "system", s.opt.Name, "error", e)
	}
	return err
}
