package sqlite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"syncline"
)

// What a change is, in _syncline_changes.op.
const (
	opInsert = 1
	opUpdate = 2
	opDelete = 3
	// opTouch is a row as it stood when the triggers were made anew: what it was before is not known.
	opTouch = 4
)

// maxColumns is how many columns a captured table can have: a change holds each twice, and SQLite allows 2,000.
const maxColumns = 990

// now is milliseconds since 1970, in functions that SQLite has always had: the triggers run in the application's process.
const now = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"

// shape is a row of _syncline_shapes: what the values of a change stand for.
type shape struct {
	id      int64
	table   string
	columns []column
	// resync: changes of the table may have been missed before this shape.
	resync bool
}

// captured is a table that an entity is captured from.
type captured struct {
	entity string
	table  *table
	// key are the indexes of the entity's key among the table's columns.
	key []int
}

// plan returns the statements that make the triggers fit the tables as they are now, to be run in one transaction; none
// when everything is in place. Changes up to lastRead were written before the tables got the shape that they have now.
func plan(ctx context.Context, q querier, tables map[string]*captured, lastRead uint64) ([]string, error) {
	shapes, err := loadShapes(ctx, q)
	if err != nil {
		return nil, err
	}
	var out []string
	next := int64(1)
	for id := range shapes {
		next = max(next, id+1)
	}
	out, err = planTables(ctx, q, tables)
	if err != nil {
		return nil, err
	}
	for _, e := range sortedNames(tables) {
		c := tables[e]
		old := newest(shapes, c.table.name)
		have, err := loadTriggers(ctx, q, c.table.name)
		if err != nil {
			return nil, err
		}
		id := next
		if old != nil && same(old.columns, c.table.columns) {
			id = old.id
		}
		want := c.table.triggers(id)
		if old != nil && id == old.id && sameTriggers(want, have) {
			continue
		}
		gap := old != nil && !capturing(have, c.table.name)
		if gap {
			id = next
			want = c.table.triggers(id)
		}
		var behind []string
		if old != nil && !gap {
			if behind, gap, err = planWindow(ctx, q, c, old, id, lastRead); err != nil {
				return nil, err
			}
			if gap && id == old.id {
				id = next
				want = c.table.triggers(id)
			}
		}
		for _, name := range sortedNames(have) {
			out = append(out, "DROP TRIGGER "+quote(name))
		}
		if old == nil || id != old.id {
			columns, err := json.Marshal(c.table.columns)
			if err != nil {
				return nil, fmt.Errorf("write columns of %s: %w", c.table.name, err)
			}
			out = append(out, fmt.Sprintf("INSERT INTO _syncline_shapes (id, tab, columns, resync) VALUES (%d, %s, %s, %d)",
				id, literal(c.table.name), literal(string(columns)), btoi(gap)))
			next++
		}
		for _, name := range sortedNames(want) {
			out = append(out, want[name])
		}
		out = append(out, behind...)
	}
	return out, nil
}

// planWindow covers the changes that triggers of the old shape wrote after the table had changed: they lack what is new.
// The rows of a keyed table are written once more; where that cannot be, gap asks for the whole table again.
func planWindow(ctx context.Context, q querier, c *captured, old *shape, id int64, lastRead uint64) (statements []string, gap bool, err error) {
	var window bool
	if err := q.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM _syncline_changes WHERE seq > ? AND shape = ?)", lastRead, old.id).Scan(&window); err != nil {
		return nil, false, classify(err, "look for changes of %s", c.table.name)
	}
	if !window {
		return nil, false, nil
	}
	if id == old.id || len(c.key) == 0 {
		return nil, true, nil
	}
	n := len(old.columns)
	var here, there []string
	for _, k := range c.key {
		i := index(old.columns, c.table.columns[k].Name)
		if i < 0 {
			return nil, true, nil
		}
		here, there = append(here, "t."+quote(c.table.columns[k].Name)), append(there, "c.v"+strconv.Itoa(n+i))
	}
	m := len(c.table.columns)
	return []string{fmt.Sprintf(`INSERT INTO _syncline_changes (shape, op, at, %s) SELECT %d, %d, %s, %s FROM %s t WHERE (%s) IN (SELECT %s FROM _syncline_changes c WHERE c.seq > %d AND c.shape = %d AND c.op <> %d)`,
		slots(m, m), id, opTouch, now, c.table.each("t."), quote(c.table.name), strings.Join(here, ", "), strings.Join(there, ", "), lastRead, old.id, opDelete)}, false, nil
}

// planTables makes our own tables, and wide enough.
func planTables(ctx context.Context, q querier, tables map[string]*captured) (out []string, err error) {
	width := 1
	for _, c := range tables {
		if len(c.table.columns) > maxColumns {
			return nil, syncline.Errorf(syncline.Fatal, "table_unsupported", "table %s has %d columns, more than the %d that can be captured", c.table.name, len(c.table.columns), maxColumns)
		}
		width = max(width, len(c.table.columns))
	}
	for _, own := range []struct {
		name, fixed string
		width       int
	}{
		{"_syncline_changes", "seq INTEGER PRIMARY KEY AUTOINCREMENT, shape, op, at", 2 * width},
		{"_syncline_replaced", "shape, row", width},
	} {
		have, err := loadTable(ctx, q, own.name)
		switch {
		case errors.Is(err, errNoTable):
			out = append(out, fmt.Sprintf("CREATE TABLE %s (%s, %s)", own.name, own.fixed, slots(0, own.width)))
		case err != nil:
			return nil, err
		default:
			for i := len(have.columns) - 1 - strings.Count(own.fixed, ","); i < own.width; i++ {
				out = append(out, fmt.Sprintf("ALTER TABLE %s ADD COLUMN v%d", own.name, i))
			}
		}
	}
	if _, err := loadTable(ctx, q, "_syncline_meta"); errors.Is(err, errNoTable) {
		out = append(out, "CREATE TABLE _syncline_meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
			"INSERT INTO _syncline_meta VALUES ('database', lower(hex(randomblob(16)))), ('format', '1')",
			"CREATE TABLE _syncline_shapes (id INTEGER PRIMARY KEY, tab TEXT NOT NULL, columns TEXT NOT NULL, resync INTEGER NOT NULL)")
	} else if err != nil {
		return nil, err
	}
	return out, nil
}

// loadShapes returns all shapes by their id, none where nothing was ever installed.
func loadShapes(ctx context.Context, q querier) (map[int64]*shape, error) {
	if _, err := loadTable(ctx, q, "_syncline_shapes"); errors.Is(err, errNoTable) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	rows, err := q.QueryContext(ctx, "SELECT id, tab, columns, resync FROM _syncline_shapes")
	if err != nil {
		return nil, classify(err, "read shapes")
	}
	defer rows.Close() //nolint:errcheck // rows.Err has it
	out := map[int64]*shape{}
	for rows.Next() {
		s, columns := &shape{}, []byte(nil)
		if err := rows.Scan(&s.id, &s.table, &columns, &s.resync); err != nil {
			return nil, classify(err, "read shapes")
		}
		if err := json.Unmarshal(columns, &s.columns); err != nil {
			return nil, syncline.Errorf(syncline.Fatal, "capture_damaged", "read shape %d of %s: %w", s.id, s.table, err)
		}
		out[s.id] = s
	}
	return out, classify(rows.Err(), "read shapes")
}

// newest returns the last shape of the table, nil if it never had one.
func newest(shapes map[int64]*shape, table string) (last *shape) {
	for _, s := range shapes {
		if fold(s.table) == fold(table) && (last == nil || s.id > last.id) {
			last = s
		}
	}
	return last
}

// loadTriggers returns the text of our triggers on the table, by name.
func loadTriggers(ctx context.Context, q querier, table string) (map[string]string, error) {
	rows, err := q.QueryContext(ctx, `SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE AND name LIKE '\_syncline\_%' ESCAPE '\'`, table)
	if err != nil {
		return nil, classify(err, "read triggers of %s", table)
	}
	defer rows.Close() //nolint:errcheck // rows.Err has it
	out := map[string]string{}
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			return nil, classify(err, "read triggers of %s", table)
		}
		out[name] = text
	}
	return out, classify(rows.Err(), "read triggers of %s", table)
}

func sameTriggers(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for name, text := range a {
		if b[name] != text {
			return false
		}
	}
	return true
}

// capturing reports whether triggers of ours, of whatever shape, see every insert, update and delete.
func capturing(have map[string]string, table string) bool {
	for _, suffix := range []string{"_insert", "_update", "_delete"} {
		if _, ok := have[triggerName(table, suffix)]; !ok {
			return false
		}
	}
	return true
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// slots names n of the columns that hold values, from v<first>.
func slots(first, n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = "v" + strconv.Itoa(first+i)
	}
	return strings.Join(names, ", ")
}
