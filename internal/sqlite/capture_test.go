package sqlite

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

// follower captures a shop and applies what it gets to records by entity and key.
type follower struct {
	t    *testing.T
	shop *shop
	src  *Source
	log  []*syncline.Batch
	rows map[string]map[syncline.Key]map[string]string
}

// follow opens the shop's first source. Only the entities given are captured, from tables of the same name.
func follow(t *testing.T, s *shop, entities ...string) *follower {
	t.Helper()
	s.opt.Entities = map[string]Entity{}
	for _, e := range entities {
		s.opt.Entities[e] = Entity{Table: e}
	}
	f := &follower{t: t, shop: s, rows: map[string]map[syncline.Key]map[string]string{}}
	f.open()
	t.Cleanup(func() { f.close() })
	return f
}

func (f *follower) open() {
	f.t.Helper()
	if err := f.tryOpen(); err != nil {
		f.t.Fatalf("open: %v", err)
	}
}

func (f *follower) tryOpen() error {
	f.src = NewSource(f.shop.opt)
	if len(f.log) == 0 {
		return f.src.Open(f.t.Context(), nil, syncline.Position{})
	}
	last := f.log[len(f.log)-1]
	return f.src.Open(f.t.Context(), last.Checkpoint, last.Position)
}

func (f *follower) close() {
	if err := f.src.Close(); err != nil {
		f.t.Errorf("close: %v", err)
	}
}

// next takes one batch.
func (f *follower) next() (*syncline.Batch, error) {
	ctx, cancel := context.WithTimeout(f.t.Context(), 20*time.Second)
	defer cancel()
	b, err := f.src.Next(ctx)
	if err != nil {
		return nil, err
	}
	f.log = append(f.log, b)
	if b.Chunk != nil && b.Chunk.First && b.Chunk.Reset {
		f.rows[b.Chunk.Entity] = nil
	}
	for i := range b.Events {
		e := &b.Events[i]
		if f.rows[e.Schema.Entity] == nil {
			f.rows[e.Schema.Entity] = map[syncline.Key]map[string]string{}
		}
		rows := f.rows[e.Schema.Entity]
		if was, ok := (syncline.Row{Schema: e.Schema, Values: e.Before}).Key(); ok {
			delete(rows, was)
		}
		if is, ok := (syncline.Row{Schema: e.Schema, Values: e.After}).Key(); ok {
			rows[is] = fields(e.Schema, e.After)
		}
	}
	return b, nil
}

// until takes batches until done and returns the events that came.
func (f *follower) until(done func() bool) (events []string) {
	f.t.Helper()
	for !done() {
		b, err := f.next()
		if err != nil {
			f.t.Fatalf("next: %v", err)
		}
		for i := range b.Events {
			e := &b.Events[i]
			line := e.Op.String()
			if e.Before != nil {
				line += " [" + show(e.Schema, e.Before) + "]"
			}
			if e.After != nil {
				line += " [" + show(e.Schema, e.After) + "]"
			}
			events = append(events, line)
		}
	}
	return events
}

// upTo takes everything up to a mark that it writes itself, in the table mark.
func (f *follower) upTo() []string {
	f.t.Helper()
	f.shop.exec(f.t, "INSERT INTO mark DEFAULT VALUES")
	var want string
	if err := f.shop.db.QueryRowContext(f.t.Context(), "SELECT max(id) FROM mark").Scan(&want); err != nil {
		f.t.Fatal(err)
	}
	events := f.until(func() bool {
		return f.rows["mark"][syncline.Key(want)] != nil && len(f.src.checkpoint.Runs) == 0 && f.src.waiting == nil
	})
	var out []string
	for _, e := range events {
		if !strings.Contains(e, "mark=") {
			out = append(out, e)
		}
	}
	return out
}

func show(s *syncline.Schema, values []syncline.Value) string {
	parts := make([]string, len(values))
	for i, v := range values {
		parts[i] = s.Columns[i].Name + "=" + v.String()
		if s.Entity == "mark" {
			parts[i] = "mark=" + v.Text()
		}
	}
	return strings.Join(parts, " ")
}

func fields(s *syncline.Schema, values []syncline.Value) map[string]string {
	out := map[string]string{}
	for i, v := range values {
		out[s.Columns[i].Name] = v.String()
	}
	return out
}

func newMarkedShop(t *testing.T, statements ...string) *shop {
	t.Helper()
	s := newShop(t)
	s.opt.Snapshot = false
	s.exec(t, "CREATE TABLE mark (id INTEGER PRIMARY KEY)")
	for _, st := range statements {
		s.exec(t, st)
	}
	return s
}

// TestValues compares every declared type and storage class, by trigger and by copy.
func TestValues(t *testing.T) {
	raw := func(k syncline.Kind, s string) syncline.Value { return syncline.Raw(k, []byte(s)) }
	cases := []struct {
		decl, sql string
		want      syncline.Value
	}{
		{"INTEGER", "9223372036854775807", syncline.Int(1<<63 - 1)},
		{"INTEGER", "-9223372036854775808", syncline.Int(-1 << 63)},
		{"INTEGER", "'abc'", syncline.Text("abc")},
		{"INTEGER", "1.5", syncline.Float(1.5)},
		{"BIGINT UNSIGNED", "7", syncline.Int(7)},
		{"", "NULL", syncline.Null},
		{"", "7", syncline.Int(7)},
		{"", "'7'", syncline.Text("7")},
		{"REAL", "0.1", syncline.Float(0.1)},
		{"REAL", "3", syncline.Float(3)},
		{"DOUBLE PRECISION", "9e999", raw(syncline.KindFloat, "Infinity")},
		{"REAL", "5e-324", syncline.Float(5e-324)},
		{"DECIMAL(12,2)", "12.5", syncline.Decimal("12.50")},
		{"DECIMAL(12,2)", "'7'", syncline.Decimal("7.00")},
		{"NUMERIC(5,1)", "1.25", syncline.Decimal("1.25")},
		{"DECIMAL", "1e20", syncline.Decimal("100000000000000000000")},
		{"DECIMAL", "'x'", syncline.Text("x")},
		{"TEXT", "'é日本'", syncline.Text("é日本")},
		{"TEXT", "CAST(x'610062' AS TEXT)", syncline.Text("a\x00b")},
		{"TEXT", "CAST(x'61ff62' AS TEXT)", syncline.Bytes([]byte("a\xffb"))},
		{"TEXT", "''", syncline.Text("")},
		{"VARCHAR(20)", "12", syncline.Text("12")},
		{"TEXT", "x'00ff'", syncline.Bytes([]byte{0, 255})},
		{"BLOB", "x''", syncline.Bytes([]byte{})},
		{"BLOB", "x'0102'", syncline.Bytes([]byte{1, 2})},
		{"BLOB", "'text'", syncline.Text("text")},
		{"BOOLEAN", "1", syncline.Bool(true)},
		{"BOOLEAN", "0", syncline.Bool(false)},
		{"BOOLEAN", "2", syncline.Int(2)},
		{"BOOLEAN", "'TRUE'", syncline.Bool(true)},
		{"DATE", "'2024-02-29'", raw(syncline.KindDate, "2024-02-29")},
		{"DATE", "'2023-02-29'", syncline.Text("2023-02-29")},
		{"DATE", "19782", syncline.Int(19782)},
		{"TIME", "'23:59'", raw(syncline.KindTime, "23:59:00")},
		{"TIME", "'01:02:03.450'", raw(syncline.KindTime, "01:02:03.45")},
		{"DATETIME", "'2024-01-02 03:04:05'", raw(syncline.KindTimestamp, "2024-01-02 03:04:05")},
		{"TIMESTAMP", "'2024-01-02T03:04:05.100'", raw(syncline.KindTimestamp, "2024-01-02 03:04:05.1")},
		{"TIMESTAMP", "'2024-01-02'", raw(syncline.KindTimestamp, "2024-01-02 00:00:00")},
		{"TIMESTAMP", "'2024-01-02 03:04:05+02:00'", raw(syncline.KindTimestampTZ, "2024-01-02 01:04:05+00")},
		{"TIMESTAMPTZ", "'2024-01-01 00:30:00+0100'", raw(syncline.KindTimestampTZ, "2023-12-31 23:30:00+00")},
		{"TIMESTAMP WITH TIME ZONE", "'2024-01-02 03:04:05Z'", raw(syncline.KindTimestampTZ, "2024-01-02 03:04:05+00")},
		{"TIMESTAMP", "'2024-01-02 03:04:05.123456789'", syncline.Text("2024-01-02 03:04:05.123456789")},
		{"TIMESTAMP", "1704164645", syncline.Int(1704164645)},
		{"UUID", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", raw(syncline.KindUUID, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")},
		{"UUID", "x'a0eebc999c0b4ef8bb6d6bb9bd380a11'", raw(syncline.KindUUID, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")},
		{"UUID", "'a0eebc99-9c0b'", syncline.Text("a0eebc99-9c0b")},
		{"JSON", `'{"a": [1.0]}'`, syncline.JSON([]byte(`{"a": [1.0]}`))},
		{"JSON", `'{"a": '`, syncline.Text(`{"a": `)},
	}
	columns, literals := []string{"id INTEGER PRIMARY KEY"}, []string{"1"}
	for i, c := range cases {
		columns, literals = append(columns, fmt.Sprintf("c%d %s", i, c.decl)), append(literals, c.sql)
	}
	shop := newMarkedShop(t, "CREATE TABLE item ("+strings.Join(columns, ", ")+")")
	f := follow(t, shop, "item", "mark")
	shop.exec(t, "INSERT INTO item VALUES ("+strings.Join(literals, ", ")+")")
	if err := f.src.StartRun(syncline.Run{ID: "all", Kind: syncline.RunFull, Entity: "item"}); err != nil {
		t.Fatal(err)
	}
	f.upTo()
	seen := 0
	for _, b := range f.log {
		for i := range b.Events {
			e := &b.Events[i]
			if e.Schema.Entity != "item" {
				continue
			}
			seen++
			for j, c := range cases {
				got := e.After[j+1]
				if got.String() != c.want.String() {
					t.Errorf("%s: %s in a column of type %q = %v, want %v", e.Op, c.sql, c.decl, got, c.want)
				}
			}
		}
	}
	if seen != 2 {
		t.Errorf("%d events, want one of the trigger and one of the copy", seen)
	}
}

// TestReplace has statements that remove rows without saying so. With recursive_triggers SQLite says so itself.
func TestReplace(t *testing.T) {
	for _, recursive := range []string{"off", "on"} {
		for _, without := range []string{"", " WITHOUT ROWID"} {
			t.Run("recursive_triggers "+recursive+without, func(t *testing.T) {
				shop := newMarkedShop(t, "CREATE TABLE item (id INT PRIMARY KEY, code TEXT UNIQUE COLLATE NOCASE, a, b)"+without,
					"CREATE UNIQUE INDEX ab ON item (a, b) WHERE a > 0")
				shop.db.SetMaxOpenConns(1)
				shop.exec(t, "PRAGMA recursive_triggers = "+recursive)
				f := follow(t, shop, "item", "mark")
				for _, step := range []struct {
					sql  string
					want []string
				}{
					{"INSERT INTO item VALUES (-1, 'm', -1, 1), (1, 'x', 1, 1), (2, 'y', 1, 2)", []string{"created [-1]", "created [1]", "created [2]"}},
					{"INSERT OR REPLACE INTO item VALUES (1, 'z', 1, 1)", []string{"deleted [1]", "created [1]"}},
					{"REPLACE INTO item VALUES (3, 'Y', 5, 5)", []string{"deleted [2]", "created [3]"}},
					{"REPLACE INTO item VALUES (4, 'q', 1, 1)", []string{"deleted [1]", "created [4]"}},
					{"REPLACE INTO item VALUES (5, 'Q', 5, 5)", []string{"deleted [3]", "deleted [4]", "created [5]"}},
					{"INSERT OR IGNORE INTO item VALUES (5, 'w', 9, 9)", nil},
					{"INSERT INTO item VALUES (6, 'q', 1, 1) ON CONFLICT (code) DO UPDATE SET a = 7", []string{"updated [5] [5]"}},
					{"INSERT INTO item VALUES (5, 'new', 1, 1) ON CONFLICT (id) DO UPDATE SET id = 8", []string{"updated [5] [8]"}},
					{"INSERT INTO item VALUES (9, 'nine', 1, 1), (10, 'ten', 1, 2)", []string{"created [9]", "created [10]"}},
					{"UPDATE OR REPLACE item SET code = 'TEN' WHERE id = 9", []string{"deleted [10]", "updated [9] [9]"}},
					{"UPDATE OR REPLACE item SET id = 8 WHERE id = 9", []string{"deleted [8]", "updated [9] [8]"}},
					{"REPLACE INTO item VALUES (11, 'm', -1, 1)", []string{"deleted [-1]", "created [11]"}},
					{"REPLACE INTO item VALUES (12, 'm2', -1, 1)", []string{"created [12]"}},
					{"DELETE FROM item WHERE id = 12", []string{"deleted [12]"}},
				} {
					shop.exec(t, step.sql)
					events := f.upTo()
					for i, e := range events {
						events[i] = idsOnly(e)
					}
					if !sameIgnoringOrderOfDeletes(events, step.want) {
						t.Errorf("%s = %q, want %q", step.sql, events, step.want)
					}
				}
				if _, err := shop.db.ExecContext(t.Context(), "INSERT INTO item VALUES (8, 'x', 1, 1)"); err == nil {
					t.Error("an insert of a key that is there was accepted")
				}
				if events := f.upTo(); len(events) > 0 {
					t.Errorf("a refused insert = %q", events)
				}
			})
		}
	}
}

// idsOnly keeps the operation and the ids of an event's rows.
func idsOnly(event string) string {
	var out []string
	for i, part := range strings.Split(event, "[id=") {
		if i == 0 {
			out = append(out, strings.TrimSpace(part))
			continue
		}
		id, _, _ := strings.Cut(strings.TrimPrefix(part, "int("), ")")
		out = append(out, "["+id+"]")
	}
	return strings.Join(out, " ")
}

// sameIgnoringOrderOfDeletes: the rows that one statement removes have no order of their own.
func sameIgnoringOrderOfDeletes(got, want []string) bool {
	count := map[string]int{}
	for _, e := range got {
		count[e]++
	}
	for _, e := range want {
		count[e]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return len(got) == 0 || got[len(got)-1] == want[len(want)-1]
}

// wantRows compares what the follower's records are with what the table has. A record that came before a column was
// added has the column's default.
func (f *follower) wantRows(entity string) {
	f.t.Helper()
	c := f.src.tables[entity]
	l := f.src.current[entity]
	want := map[syncline.Key]map[string]string{}
	rows, err := f.shop.db.QueryContext(f.t.Context(), "SELECT "+plain(c.table.names())+" FROM "+quote(c.table.name))
	if err != nil {
		f.t.Fatal(err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err has it
	for rows.Next() {
		stored, into := make([]any, len(l.types)), make([]any, len(l.types))
		for i := range stored {
			into[i] = &stored[i]
		}
		if err := rows.Scan(into...); err != nil {
			f.t.Fatal(err)
		}
		size := 0
		row := syncline.Row{Schema: l.schema, Values: l.row(stored, &size)}
		k, _ := row.Key()
		want[k] = fields(l.schema, row.Values)
	}
	if err := rows.Err(); err != nil {
		f.t.Fatal(err)
	}
	got := map[syncline.Key]map[string]string{}
	for k, r := range f.rows[entity] {
		got[k] = map[string]string{}
		for i, col := range l.schema.Columns {
			v, ok := r[col.Name]
			if !ok {
				v = l.types[i].read(nil).String()
				if col.Default != "" {
					v = syncline.Text("it's").String()
				}
			}
			got[k][col.Name] = v
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		f.t.Errorf("%s (-table +followed):\n%s", entity, diff)
	}
}

// TestNothingIsOpenBetweenTwoBatches: where capture takes no more, as with a full log, the application's write-ahead log must not grow
// for as long.
func TestNothingIsOpenBetweenTwoBatches(t *testing.T) {
	shop := newMarkedShop(t, "CREATE TABLE item (id INTEGER PRIMARY KEY)", "CREATE TABLE other (n)",
		"WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 25) INSERT INTO item SELECT -i FROM n")
	f := follow(t, shop, "item", "mark")
	f.upTo()
	if err := f.src.StartRun(syncline.Run{ID: "full", Kind: syncline.RunFull, Entity: "item"}); err != nil {
		t.Fatal(err)
	}
	shop.exec(t, "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 5000) INSERT INTO item SELECT i FROM n")
	from := len(f.log)
	events := f.until(func() bool {
		shop.exec(t, "INSERT INTO other VALUES (1)")
		var busy, pages, moved int
		if err := shop.db.QueryRowContext(t.Context(), "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &moved); err != nil || busy != 0 {
			t.Fatalf("after %d batches the log cannot be reset: busy %d, %v", len(f.log)-from, busy, err)
		}
		last := f.log[len(f.log)-1].Chunk
		return last != nil && last.Run == "full" && last.Last
	})
	if len(events) != 5000+5025 || f.log[from].Chunk != nil || !f.log[from].Partial || f.log[from+1].Chunk != nil || f.log[from+2].Chunk == nil {
		t.Errorf("%d events, want 5000 changes in two batches before the %d rows", len(events), 5025)
	}
}
