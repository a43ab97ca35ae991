package sqlite

import (
	"context"
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	"syncline"
	"syncline/internal/sourcetest"
)

func TestSource(t *testing.T) {
	for _, variant := range []string{"", " WITHOUT ROWID"} {
		t.Run("tables"+variant, func(t *testing.T) {
			sourcetest.Run(t, sourcetest.Harness{Snapshot: true, Keyless: true, New: func(t *testing.T) sourcetest.System {
				s := newShop(t)
				s.exec(t, "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, qty INTEGER, note TEXT)"+variant)
				s.exec(t, "CREATE TABLE pair (a INTEGER, b TEXT, v TEXT, PRIMARY KEY (a, b))"+variant)
				s.exec(t, "CREATE TABLE loose (n INTEGER, s TEXT)")
				return s
			}})
		})
	}
}

// shop is a database with an application that writes to it on a connection of its own.
type shop struct {
	path string
	db   *sql.DB
	opt  Options
}

func newShop(t *testing.T) *shop {
	t.Helper()
	path := filepath.Join(t.TempDir(), "shop.db")
	db, err := openFile(t.Context(), path, true, 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close the application's connection: %v", err)
		}
	})
	if _, err := db.Exec("PRAGMA synchronous = off"); err != nil {
		t.Fatal(err)
	}
	return &shop{path: path, db: db, opt: Options{Name: "shop", URL: "sqlite:" + path, Manage: true, Snapshot: true, ChunkRows: 10,
		Entities: map[string]Entity{"item": {Table: "item"}, "pair": {Table: "pair"}, "loose": {Table: "loose"}}}}
}

func (s *shop) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	if _, err := s.db.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func (s *shop) Source(*testing.T) syncline.Source { return NewSource(s.opt) }

func (s *shop) Rows(t *testing.T, entity string) (out [][]syncline.Value) {
	t.Helper()
	schema := sourcetest.Tables[entity]
	rows, err := s.db.QueryContext(t.Context(), "SELECT "+columnsOf(schema, ", ")+" FROM "+entity)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err has it
	for rows.Next() {
		stored, into := make([]any, len(schema.Columns)), make([]any, len(schema.Columns))
		for i := range stored {
			into[i] = &stored[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		row := make([]syncline.Value, len(stored))
		for i := range stored {
			row[i] = colType{kind: schema.Columns[i].Kind}.read(stored[i])
		}
		out = append(out, row)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func columnsOf(s *syncline.Schema, sep string) string {
	names := make([]string, len(s.Columns))
	for i, c := range s.Columns {
		names[i] = c.Name
	}
	return strings.Join(names, sep)
}

func (s *shop) Begin(t *testing.T) sourcetest.Tx {
	t.Helper()
	tx, err := s.db.BeginTx(context.WithoutCancel(t.Context()), nil)
	if err != nil {
		t.Fatal(err)
	}
	return &shopTx{tx: tx, statements: map[string]*sql.Stmt{}}
}

// shopTx keeps its statements: each one compiles the triggers too.
type shopTx struct {
	tx         *sql.Tx
	statements map[string]*sql.Stmt
}

func (x *shopTx) Exec(t *testing.T, c sourcetest.Change) {
	t.Helper()
	s := sourcetest.Tables[c.Entity]
	var query string
	var args []any
	switch c.Op {
	case syncline.OpCreated:
		query = "INSERT INTO " + c.Entity + " VALUES (" + placeholders(len(c.New)) + ")"
		for _, v := range c.New {
			args = append(args, store(v))
		}
	case syncline.OpUpdated:
		var sets []string
		for i, v := range c.New {
			if !syncline.Equal(v, c.Old[i]) {
				sets, args = append(sets, s.Columns[i].Name+" = ?"), append(args, store(v))
			}
		}
		query = "UPDATE " + c.Entity + " SET " + strings.Join(sets, ", ")
	case syncline.OpDeleted:
		query = "DELETE FROM " + c.Entity
	}
	if c.Old != nil {
		same := strings.ReplaceAll(columnsOf(s, ",")+",", ",", " IS ? AND ")
		for _, v := range c.Old {
			args = append(args, store(v))
		}
		if len(s.Key) == 0 {
			query += " WHERE rowid = (SELECT rowid FROM " + c.Entity + " WHERE " + strings.TrimSuffix(same, " AND ") + " LIMIT 1)"
		} else {
			query += " WHERE " + strings.TrimSuffix(same, " AND ")
		}
	}
	st := x.statements[query]
	if st == nil {
		var err error
		if st, err = x.tx.PrepareContext(t.Context(), query); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		x.statements[query] = st
	}
	if _, err := st.ExecContext(t.Context(), args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func (x *shopTx) Commit(t *testing.T) {
	t.Helper()
	if err := x.tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

func (x *shopTx) Rollback(t *testing.T) {
	t.Helper()
	if err := x.tx.Rollback(); err != nil {
		t.Fatal(err)
	}
}
