package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"

	"syncline"
)

// querier is a database, a connection or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// table is a table as the database has it now.
type table struct {
	name    string
	columns []column
	// rowid is a name under which the row's number can be had; "" for a table WITHOUT ROWID.
	rowid string
	// stable: VACUUM never changes a row's number, because a column is that number.
	stable  bool
	uniques []unique
	// opaque: a unique index is on an expression.
	opaque bool
}

// column is what PRAGMA table_xinfo says of a column. It is stored in _syncline_shapes.
type column struct {
	Name    string `json:"name"`
	Type    string `json:"type,omitempty"`
	NotNull bool   `json:"not_null,omitempty"`
	// Default is a constant as SQL, "" where there is none.
	Default string `json:"default,omitempty"`
	// Key is the place in the primary key from 1, 0 outside of it.
	Key int `json:"key,omitempty"`
	// generated columns can be read and not written.
	generated bool
}

// unique is a unique index, the primary key among them.
type unique struct {
	columns, collations []string
	primary             bool
	// partial: rows outside the index's WHERE may be equal.
	partial bool
}

// errNoTable is returned for a name that is no ordinary table.
var errNoTable = errors.New("there is no such table")

// loadTable reads the shape of a table; names are compared as SQLite does, without regard to ASCII case.
func loadTable(ctx context.Context, q querier, name string) (*table, error) {
	t := &table{}
	var kind string
	var withoutRowid bool
	err := q.QueryRowContext(ctx, `SELECT name, type, wr FROM pragma_table_list WHERE schema = 'main' AND name = ? COLLATE NOCASE`, name).
		Scan(&t.name, &kind, &withoutRowid)
	if errors.Is(err, sql.ErrNoRows) || err == nil && kind != "table" {
		return nil, errNoTable
	}
	if err != nil {
		return nil, classify(err, "look for table %s", name)
	}
	if err := t.loadColumns(ctx, q); err != nil {
		return nil, classify(err, "read columns of %s", name)
	}
	if err := t.loadUniques(ctx, q); err != nil {
		return nil, classify(err, "read indexes of %s", name)
	}
	if withoutRowid {
		return t, nil
	}
	for _, alias := range []string{"rowid", "_rowid_", "oid"} {
		if !slices.ContainsFunc(t.columns, func(c column) bool { return fold(c.Name) == alias }) {
			t.rowid = alias
			break
		}
	}
	if k := t.primaryKey(); len(k) == 1 && strings.EqualFold(t.columns[k[0]].Type, "INTEGER") {
		// It is the row's number, unless it was declared DESC: then it has an index of its own.
		if !slices.ContainsFunc(t.uniques, func(u unique) bool { return u.primary }) {
			t.rowid, t.stable = quote(t.columns[k[0]].Name), true
		}
	}
	if t.rowid == "" {
		return nil, syncline.Errorf(syncline.Fatal, "table_unsupported", "table %s has columns named rowid, _rowid_ and oid, which hide its row numbers", t.name).
			WithFix("rename one of them")
	}
	return t, nil
}

func (t *table) loadColumns(ctx context.Context, q querier) error {
	rows, err := q.QueryContext(ctx, `SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(?) WHERE hidden <> 1 ORDER BY cid`, t.name)
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // rows.Err has it
	for rows.Next() {
		var c column
		var def sql.NullString
		var hidden int
		if err := rows.Scan(&c.Name, &c.Type, &c.NotNull, &def, &c.Key, &hidden); err != nil {
			return err
		}
		c.generated = hidden != 0
		if constant(def.String) {
			c.Default = def.String
		}
		t.columns = append(t.columns, c)
	}
	return rows.Err()
}

// constant reports whether a default is the same for every row: a literal and not an expression or CURRENT_TIMESTAMP.
func constant(def string) bool {
	if def == "" || strings.EqualFold(def, "NULL") {
		return false
	}
	if strings.EqualFold(def, "TRUE") || strings.EqualFold(def, "FALSE") {
		return true
	}
	if body, ok := strings.CutPrefix(def, "'"); ok {
		body, ok = strings.CutSuffix(body, "'")
		return ok && !strings.Contains(strings.ReplaceAll(body, "''", ""), "'")
	}
	return strings.Trim(def, "+-0123456789.") == ""
}

func (t *table) loadUniques(ctx context.Context, q querier) error {
	rows, err := q.QueryContext(ctx, `SELECT l.name, l.origin, l.partial, x.cid, coalesce(x.name, ''), coalesce(x.coll, '')
		FROM pragma_index_list(?) l, pragma_index_xinfo(l.name) x WHERE l."unique" AND x.key ORDER BY l.seq, x.seqno`, t.name)
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // rows.Err has it
	last := ""
	for rows.Next() {
		var index, origin, name, collation string
		var partial bool
		var cid int
		if err := rows.Scan(&index, &origin, &partial, &cid, &name, &collation); err != nil {
			return err
		}
		if index != last {
			last = index
			t.uniques = append(t.uniques, unique{primary: origin == "pk", partial: partial})
		}
		if cid < 0 {
			t.opaque = true
		}
		u := &t.uniques[len(t.uniques)-1]
		u.columns, u.collations = append(u.columns, name), append(u.collations, collation)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	t.uniques = slices.DeleteFunc(t.uniques, func(u unique) bool { return slices.Contains(u.columns, "") })
	return nil
}

// primaryKey returns the indexes of its columns, in key order.
func (t *table) primaryKey() []int { return keyOf(t.columns) }

func keyOf(columns []column) []int {
	var key []int
	for i, c := range columns {
		if c.Key > 0 {
			key = append(key, i)
		}
	}
	slices.SortFunc(key, func(a, b int) int { return columns[a].Key - columns[b].Key })
	return key
}

// index returns where the column is, or -1.
func index(columns []column, name string) int {
	return slices.IndexFunc(columns, func(c column) bool { return fold(c.Name) == fold(name) })
}

// fold returns what SQLite compares of a name: it ignores the case of ASCII letters only.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, name)
}

// same reports whether rows of the one shape are rows of the other.
func same(a, b []column) bool {
	return slices.EqualFunc(a, b, func(x, y column) bool {
		x.generated, y.generated = false, false
		return x == y
	})
}

// hasUnique reports whether at most one row can have the same values in these columns.
func (t *table) hasUnique(names []string) bool {
	covers := func(columns []string) bool {
		return len(columns) == len(names) && !slices.ContainsFunc(columns, func(c string) bool {
			return !slices.ContainsFunc(names, func(n string) bool { return fold(c) == fold(n) })
		})
	}
	var pk []string
	for _, i := range t.primaryKey() {
		pk = append(pk, t.columns[i].Name)
	}
	return len(pk) > 0 && covers(pk) || slices.ContainsFunc(t.uniques, func(u unique) bool { return !u.partial && covers(u.columns) })
}
