package sqlite

import (
	"context"
	"path/filepath"
	"testing"

	"syncline"
)

// filledAs gives a table that has a row the column with its default, writes another row with the value that the source has for it, and
// returns how SQLite has stored the two. It is "" where the records are to be read instead.
func filledAs(t *testing.T, c syncline.Column, v syncline.Value) (byDefault, written string) {
	t.Helper()
	opt := TargetOptions{URL: filepath.Join(t.TempDir(), "t.db"), Route: "r"}
	tgt := openTarget(t, opt)
	db := database(t, opt.URL)
	execute(t, db, "CREATE TABLE o (id INTEGER PRIMARY KEY)", "INSERT INTO o VALUES (1)")
	id := syncline.Column{Name: "id", Kind: syncline.KindInt, Type: "INTEGER"}
	was := &syncline.Schema{Entity: "e", Key: []int{0}, Version: -1, Columns: []syncline.Column{id}}
	now := &syncline.Schema{Entity: "e", Key: []int{0}, Version: -1, Columns: []syncline.Column{id, c}}
	reread := false
	if _, err := tgt.Define(t.Context(), syncline.Definition{Object: "o", Schema: now, Previous: was, Policy: syncline.SchemaEvolve,
		Reread: func(context.Context) error { reread = true; return nil }}); err != nil {
		t.Fatalf("Define with %s DEFAULT %s: %v", c.Type, c.Default, err)
	}
	if reread {
		return "", ""
	}
	if err := tgt.Place(t.Context(), syncline.Cursor{Log: "l", Seq: 1}, "s"); err != nil {
		t.Fatal(err)
	}
	put := syncline.Change{Op: syncline.ChangePut, Object: "o", Row: syncline.Row{Schema: now, Values: []syncline.Value{syncline.Int(2), v}}}
	if _, err := tgt.Apply(t.Context(), &syncline.Write{Changes: []syncline.Change{put}, Cursor: syncline.Cursor{Log: "l", Seq: 2},
		Commit: func(context.Context, syncline.Result) error { return nil }}); err != nil {
		t.Fatal(err)
	}
	stored := func(id int) (s string) {
		if err := db.QueryRowContext(t.Context(), "SELECT typeof(c) || ' ' || quote(c) FROM o WHERE id = ?", id).Scan(&s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	return stored(1), stored(2)
}

// PostgreSQL's default is its text of the value, with the type behind it.
func TestDefaultFromPostgres(t *testing.T) {
	raw := func(k syncline.Kind, text string) syncline.Value { return syncline.Raw(k, []byte(text)) }
	for _, tt := range []struct {
		def    string
		value  syncline.Value
		reread bool
	}{
		{"'t'::boolean", syncline.Bool(true), false},
		{"'f'::boolean", syncline.Bool(false), false},
		{"'5'::integer", syncline.Int(5), false},
		{"'1.50'::numeric(8,2)", syncline.Decimal("1.50"), false},
		{"'1.5'::double precision", syncline.Float(1.5), false},
		{"'NaN'::double precision", raw(syncline.KindFloat, "NaN"), false},
		{"'Infinity'::double precision", raw(syncline.KindFloat, "Infinity"), true},
		{"'it''s'::text", syncline.Text("it's"), false},
		{"'a''::b'::text", syncline.Text("a'::b"), false},
		{"'5'::text", syncline.Text("5"), false},
		{`E'a\\b'::text`, syncline.Text(`a\b`), true},
		{`E'\\x00'::bytea`, syncline.Bytes([]byte{0}), true},
		{"'2024-02-29'::date", raw(syncline.KindDate, "2024-02-29"), false},
		{"'{a,b}'::text[]", raw(syncline.KindArray, "{a,b}"), false},
		{`'{"a": 1}'::jsonb`, syncline.JSON([]byte(`{"a": 1}`)), false},
	} {
		byDefault, written := filledAs(t, syncline.Column{Name: "c", Kind: tt.value.Kind(), Default: tt.def, Nullable: true}, tt.value)
		if byDefault != written || (byDefault == "") != tt.reread {
			t.Errorf("DEFAULT %s fills in %q, the same value is written as %q, want equal, read again %v", tt.def, byDefault, written, tt.reread)
		}
	}
}

// SQLite's default is stored by the affinity of its column, and read by the declared type.
func TestDefaultFromSQLite(t *testing.T) {
	for _, tt := range []struct {
		decl, def string
		reread    bool
	}{
		{"BOOLEAN", "0", false},
		{"BOOLEAN", "1", false},
		{"BOOLEAN", "TRUE", false},
		{"BOOLEAN", "'t'", false},
		{"BOOLEAN", "'1'", true},
		{"BOOLEAN", "5", false},
		{"INTEGER", "-7", false},
		{"INTEGER", "'7'", true},
		{"INTEGER", "false", false},
		{"INTEGER", "1.5", true},
		{"REAL", "1.50", false},
		{"REAL", "2", false},
		{"DECIMAL(8,2)", "1.5", false},
		{"DECIMAL(8,2)", "2.0", false},
		{"DECIMAL", "2.0", false},
		{"DECIMAL(8,2)", "'1.5'", true},
		{"VARCHAR(5)", "'007'", false},
		{"VARCHAR(5)", "007", true},
		{"STRING", "'007'", true},
		{"TEXT", "'a''::b'", false},
		{"TEXT", "'it''s'", false},
		{"DATETIME", "0", false},
		{"DATETIME", "'2024-02-29 12:00:00'", false},
		{"DATE", "''", false},
		{"JSON", "'{}'", false},
		{"BLOB", "'x'", false},
		{"BLOB", "5", false},
		{"", "'x'", false},
		{"", "5", true},
	} {
		path := filepath.Join(t.TempDir(), "s.db")
		db := database(t, path)
		execute(t, db, "CREATE TABLE s (id INTEGER PRIMARY KEY)", "INSERT INTO s VALUES (1)", "ALTER TABLE s ADD COLUMN c "+tt.decl+" DEFAULT "+tt.def)
		tab, err := loadTable(t.Context(), db, "s")
		if err != nil {
			t.Fatal(err)
		}
		var stored any
		if err := db.QueryRowContext(t.Context(), "SELECT +c FROM s").Scan(&stored); err != nil {
			t.Fatal(err)
		}
		src := &Source{}
		c := src.schema("s", "s", tab.columns).Columns[1]
		byDefault, written := filledAs(t, c, declared(c.Type).read(stored))
		if byDefault != written || (byDefault == "") != tt.reread {
			t.Errorf("%s DEFAULT %s fills in %q, the same value is written as %q, want equal, read again %v", tt.decl, tt.def, byDefault, written, tt.reread)
		}
	}
}
