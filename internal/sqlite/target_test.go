package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"syncline"
	"syncline/internal/targettest"
)

func TestTarget(t *testing.T) {
	for _, guard := range []bool{false, true} {
		t.Run(fmt.Sprintf("guard %v", guard), func(t *testing.T) {
			targettest.Run(t, targettest.Harness{Guarded: guard, Open: func(t *testing.T) targettest.Instance {
				opt := TargetOptions{URL: "sqlite:" + filepath.Join(t.TempDir(), "target.db"), Route: "r", Slice: 3, Guard: guard}
				return targettest.Instance{
					Target: openTarget(t, opt),
					Reopen: func() syncline.Target { return openTarget(t, opt) },
					Refuse: func(object string, row syncline.Row) syncline.Row {
						db := database(t, opt.URL)
						execute(t, db, `CREATE TRIGGER IF NOT EXISTS refuse BEFORE INSERT ON `+quote(object)+` WHEN NEW.name = 'refused' BEGIN SELECT RAISE(ABORT, 'refused'); END`)
						values := append([]syncline.Value(nil), row.Values...)
						values[1] = syncline.Text("refused")
						return syncline.Row{Schema: row.Schema, Values: values}
					},
				}
			}})
		})
	}
}

func openTarget(t testing.TB, opt TargetOptions) *Target {
	t.Helper()
	tgt, err := OpenTarget(t.Context(), opt)
	if err != nil {
		t.Fatalf("OpenTarget: %v", err)
	}
	t.Cleanup(func() {
		if err := tgt.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return tgt
}

// database opens the file once more, as somebody else would.
func database(t testing.TB, url string) *sql.DB {
	t.Helper()
	path, err := Path(url)
	if err != nil {
		t.Fatal(err)
	}
	db, err := openFile(t.Context(), path, true, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return db
}

func execute(t testing.TB, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func TestTargetOnTablesOfOthers(t *testing.T) {
	s := &syncline.Schema{Entity: "c", Key: []int{0}, Version: -1, Columns: []syncline.Column{{Name: "id", Kind: syncline.KindInt},
		{Name: "amount", Kind: syncline.KindDecimal}, {Name: "at", Kind: syncline.KindTimestampTZ}, {Name: "ok", Kind: syncline.KindBool}}}
	at := func(text string) syncline.Value { return syncline.Raw(syncline.KindTimestampTZ, []byte(text)) }
	row := []syncline.Value{syncline.Int(1), syncline.Decimal("12.50"), at("2024-01-02 03:04:05.5+00"), syncline.Bool(true)}
	put := syncline.Change{Op: syncline.ChangePut, Object: "c", Row: syncline.Row{Schema: s, Values: row}}
	start := func(t *testing.T, ddl ...string) (*Target, *sql.DB) {
		opt := TargetOptions{URL: filepath.Join(t.TempDir(), "t.db"), Route: "r"}
		tgt := openTarget(t, opt)
		db := database(t, opt.URL)
		execute(t, db, ddl...)
		if err := tgt.Place(t.Context(), syncline.Cursor{Log: "l", Seq: 1}, "s"); err != nil {
			t.Fatal(err)
		}
		return tgt, db
	}
	write := func(changes ...syncline.Change) *syncline.Write {
		return &syncline.Write{Changes: changes, Cursor: syncline.Cursor{Log: "l", Seq: 2}, Commit: func(context.Context, syncline.Result) error { return nil }}
	}
	wantCode := func(t *testing.T, err error, class syncline.Class, code string) {
		t.Helper()
		if syncline.ClassOf(err) != class || syncline.CodeOf(err) != code {
			t.Errorf("error = %v (%s, %s), want %s %s", err, syncline.ClassOf(err), syncline.CodeOf(err), class, code)
		}
	}
	t.Run("numeric columns, a generated column, a default", func(t *testing.T) {
		tgt, _ := start(t, `CREATE TABLE c (id INTEGER PRIMARY KEY, amount DECIMAL(10,2), at TIMESTAMP, ok BOOLEAN AS (amount > 5), note TEXT NOT NULL DEFAULT 'n')`)
		if _, err := tgt.Apply(t.Context(), write(put)); err != nil {
			t.Fatal(err)
		}
		err := tgt.Scan(t.Context(), "c", s, func(r syncline.Row) error {
			for i, v := range r.Values {
				if !syncline.Equal(v, row[i]) {
					t.Errorf("%s = %v, want %v", s.Columns[i].Name, v, row[i])
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	t.Run("a table that goes away", func(t *testing.T) {
		tgt, db := start(t, `CREATE TABLE c (id INTEGER PRIMARY KEY, amount, at, ok)`)
		if _, err := tgt.Apply(t.Context(), write(put)); err != nil {
			t.Fatal(err)
		}
		execute(t, db, "DROP TABLE c")
		_, err := tgt.Apply(t.Context(), write(put))
		wantCode(t, err, syncline.Fatal, "object_missing")
	})
	t.Run("no unique index on the key", func(t *testing.T) {
		tgt, _ := start(t, `CREATE TABLE c (id INTEGER, amount, at, ok)`, "CREATE UNIQUE INDEX some ON c (id) WHERE ok")
		_, err := tgt.Apply(t.Context(), write(put))
		wantCode(t, err, syncline.Fatal, "key_index_missing")
	})
	t.Run("a column of the key is missing", func(t *testing.T) {
		tgt, _ := start(t, `CREATE TABLE c (no INTEGER PRIMARY KEY)`)
		_, err := tgt.Apply(t.Context(), write(put))
		wantCode(t, err, syncline.Fatal, "column_missing")
	})
	t.Run("a missing parent", func(t *testing.T) {
		tgt, _ := start(t, `CREATE TABLE p (ok PRIMARY KEY)`, `CREATE TABLE c (id INTEGER PRIMARY KEY, amount, at, ok REFERENCES p)`)
		if _, err := tgt.conn.ExecContext(t.Context(), "PRAGMA foreign_keys = on"); err != nil {
			t.Fatal(err)
		}
		_, err := tgt.Apply(t.Context(), write(put))
		wantCode(t, err, syncline.Rejected, "dependency")
	})
	t.Run("the culprit among many", func(t *testing.T) {
		tgt, db := start(t, `CREATE TABLE c (id INTEGER PRIMARY KEY, amount NOT NULL ON CONFLICT ROLLBACK, at, ok)`)
		var changes []syncline.Change
		for i := range 300 {
			c := put
			c.Row.Values = []syncline.Value{syncline.Int(int64(i)), syncline.Decimal(fmt.Sprint(i)), syncline.Null, syncline.Null}
			changes = append(changes, c)
		}
		changes[205].Row.Values[1] = syncline.Null
		_, err := tgt.Apply(t.Context(), write(changes...))
		wantCode(t, err, syncline.Rejected, "constraint")
		var e *syncline.Error
		if errors.As(err, &e) && e.Change != 205 {
			t.Errorf("culprit = change %d, want 205", e.Change)
		}
		var n int
		if err := db.QueryRow("SELECT count(*) FROM c").Scan(&n); err != nil || n != 0 {
			t.Errorf("%d rows after a refused write, %v", n, err)
		}
		if _, err := tgt.Apply(t.Context(), write(changes[:100]...)); err != nil {
			t.Errorf("the next write: %v", err)
		}
	})
	t.Run("a unique value passes on from a record that a decision removes", func(t *testing.T) {
		tgt, _ := start(t, `CREATE TABLE c (id INTEGER PRIMARY KEY, amount TEXT UNIQUE, at, ok)`)
		if _, err := tgt.Apply(t.Context(), write(put)); err != nil {
			t.Fatal(err)
		}
		next, gone := put, put
		next.Row.Values, gone.Op = append([]syncline.Value{syncline.Int(2)}, row[1:]...), syncline.ChangeDelete
		w := write(next, gone)
		w.Decide = func(i int, _ syncline.Held) (syncline.Decision, error) {
			return syncline.Decision{Op: w.Changes[i].Op, Values: w.Changes[i].Row.Values}, nil
		}
		if _, err := tgt.Apply(t.Context(), w); err != nil {
			t.Error(err)
		}
	})
	t.Run("two records swap a unique value", func(t *testing.T) {
		tgt, _ := start(t, `CREATE TABLE c (id INTEGER PRIMARY KEY, amount TEXT UNIQUE, at, ok)`)
		with := func(id int64, amount string) syncline.Change {
			c := put
			c.Row.Values = []syncline.Value{syncline.Int(id), syncline.Decimal(amount), syncline.Null, syncline.Null}
			return c
		}
		if _, err := tgt.Apply(t.Context(), write(with(1, "1"), with(2, "2"))); err != nil {
			t.Fatal(err)
		}
		_, err := tgt.Apply(t.Context(), write(with(1, "2"), with(2, "1")))
		wantCode(t, err, syncline.Rejected, "constraint")
		swap := write(with(1, "0"), with(2, "1"), with(1, "2"))
		swap.Ordered = true
		if _, err := tgt.Apply(t.Context(), swap); err != nil {
			t.Errorf("in commit order: %v", err)
		}
	})
	t.Run("another process holds the lock", func(t *testing.T) {
		tgt, db := start(t, `CREATE TABLE c (id INTEGER PRIMARY KEY, amount, at, ok)`)
		if _, err := tgt.conn.ExecContext(t.Context(), "PRAGMA busy_timeout = 10"); err != nil {
			t.Fatal(err)
		}
		execute(t, db, "BEGIN IMMEDIATE")
		_, err := tgt.Apply(t.Context(), write(put))
		wantCode(t, err, syncline.Transient, "database_busy")
		execute(t, db, "ROLLBACK")
		if _, err := tgt.Apply(t.Context(), write(put)); err != nil {
			t.Errorf("after the lock: %v", err)
		}
	})
	t.Run("a full disk", func(t *testing.T) {
		tgt, _ := start(t, `CREATE TABLE c (id INTEGER PRIMARY KEY, amount, at, ok)`)
		if _, err := tgt.conn.ExecContext(t.Context(), "PRAGMA max_page_count = 1"); err != nil { // the least is what there is
			t.Fatal(err)
		}
		big := put
		big.Row.Values = []syncline.Value{syncline.Int(1), syncline.Decimal(strings.Repeat("1", 100000)), syncline.Null, syncline.Null}
		_, err := tgt.Apply(t.Context(), write(big))
		wantCode(t, err, syncline.Transient, "disk_full")
		if _, err := tgt.conn.ExecContext(t.Context(), "PRAGMA max_page_count = 100000"); err != nil {
			t.Fatal(err)
		}
		if _, err := tgt.Apply(t.Context(), write(big)); err != nil {
			t.Errorf("with space again: %v", err)
		}
	})
	t.Run("check", func(t *testing.T) {
		tgt, _ := start(t)
		if got := CheckTarget(t.Context(), tgt.path); len(got) != 1 || got[0].Level != "ok" {
			t.Errorf("check = %+v", got)
		}
		if got := CheckTarget(t.Context(), filepath.Join(t.TempDir(), "none", "x.db")); len(got) != 1 || got[0].Code != "database_unavailable" {
			t.Errorf("check of a file in a directory that is not there = %+v", got)
		}
	})
}

// TestATriggerThatFails is told of without its words, which are made of the record; what our own statement lacks is named.
func TestATriggerThatFails(t *testing.T) {
	opt := TargetOptions{URL: "sqlite:" + filepath.Join(t.TempDir(), "target.db"), Route: "r"}
	db := database(t, opt.URL)
	execute(t, db, `CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, path TEXT)`,
		`CREATE TRIGGER raises BEFORE INSERT ON t WHEN NEW.name IS NOT NULL BEGIN SELECT RAISE(ABORT, 'bad ' || NEW.name); END`,
		`CREATE TRIGGER fails AFTER INSERT ON t WHEN NEW.path IS NOT NULL BEGIN SELECT json_extract('{}', NEW.path); END`)
	target := openTarget(t, opt)
	if err := target.Place(t.Context(), syncline.Cursor{Log: "l", Seq: 1}, "s"); err != nil {
		t.Fatal(err)
	}
	schema := &syncline.Schema{Entity: "e", Key: []int{0}, Version: -1, Columns: []syncline.Column{{Name: "id", Kind: syncline.KindInt},
		{Name: "name", Kind: syncline.KindText, Nullable: true}, {Name: "path", Kind: syncline.KindText, Nullable: true}}}
	write := func(name, path syncline.Value) error {
		row := syncline.Row{Schema: schema, Values: []syncline.Value{syncline.Int(1), name, path}}
		_, err := target.Apply(t.Context(), &syncline.Write{Changes: []syncline.Change{{Op: syncline.ChangePut, Object: "t", Row: row}}, Cursor: syncline.Cursor{Log: "l", Seq: 2},
			Commit: func(context.Context, syncline.Result) error { return nil }})
		return err
	}
	for _, c := range []struct {
		name, path  syncline.Value
		class       syncline.Class
		code, words string
	}{
		{syncline.Text("hunter2"), syncline.Null, syncline.Rejected, "constraint", "write to t: a trigger refuses the record (SQLite error 1811)"},
		{syncline.Null, syncline.Text("hunter2"), syncline.Fatal, "statement_refused", "write to t: a trigger, or a function, fails (SQLite error 1)"},
	} {
		err := write(c.name, c.path)
		if syncline.CodeOf(err) != c.code || syncline.ClassOf(err) != c.class || !strings.Contains(err.Error(), c.words) || syncline.FixOf(err) == "" {
			t.Errorf("Apply = %v, want %s: %s, with a way out", err, c.code, c.words)
		}
		for e := err; e != nil; e = errors.Unwrap(e) {
			if strings.Contains(e.Error(), "hunter2") {
				t.Errorf("%q: the message holds the value", e)
			}
		}
	}
	execute(t, db, `DROP TRIGGER fails`, `CREATE TRIGGER lacks AFTER INSERT ON t BEGIN INSERT INTO audit VALUES (NEW.name); END`)
	if err := write(syncline.Null, syncline.Null); syncline.CodeOf(err) != "statement_refused" || !strings.Contains(err.Error(), "no such table: main.audit") {
		t.Errorf("Apply = %v, want that it names the table", err)
	}
}

func TestPath(t *testing.T) {
	for in, want := range map[string]string{"sqlite:./a.db": "./a.db", "sqlite:///var/a.db": "/var/a.db", "sqlite:a b?#%.db": "a b?#%.db", "/x/y.db": "/x/y.db",
		"": "", "sqlite:": "", ":memory:": "", "sqlite::memory:": "", "file:x.db": ""} {
		got, err := Path(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("Path(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
	tgt := openTarget(t, TargetOptions{URL: "sqlite:" + filepath.Join(t.TempDir(), "a b?#%41.db")})
	if got := filepath.Base(tgt.path); got != "a b?#%41.db" {
		t.Errorf("opened %q", got)
	}
	if _, err := os.Stat(tgt.path); err != nil {
		t.Errorf("the file has another name: %v", err)
	}
}

// TestAColumnThatCannotBeRetypedHalts: SQLite gives no column another type while an index needs it, and a key never gets one here.
// Nothing is altered, and the route goes on once somebody has seen to it.
func TestAColumnThatCannotBeRetypedHalts(t *testing.T) {
	shape := func(id, n syncline.Kind) *syncline.Schema {
		return &syncline.Schema{Entity: "c", Key: []int{0}, Version: -1, Columns: []syncline.Column{{Name: "id", Kind: id}, {Name: "n", Kind: n, Nullable: true}}}
	}
	opt := TargetOptions{URL: filepath.Join(t.TempDir(), "t.db"), Route: "r"}
	tgt := openTarget(t, opt)
	define := func(s, previous *syncline.Schema) error {
		_, err := tgt.Define(t.Context(), syncline.Definition{Object: "c", Schema: s, Previous: previous, Create: true, Policy: syncline.SchemaEvolve})
		return err
	}
	was, is := shape(syncline.KindInt, syncline.KindInt), shape(syncline.KindInt, syncline.KindDecimal)
	if err := define(was, nil); err != nil {
		t.Fatal(err)
	}
	db := database(t, opt.URL)
	execute(t, db, "CREATE INDEX byn ON c (n)", "INSERT INTO c VALUES (1, 5)")
	if err := define(is, was); syncline.ClassOf(err) != syncline.Fatal || syncline.CodeOf(err) != "statement_refused" || syncline.FixOf(err) == "" {
		t.Errorf("Define with an index in the way = %v, want fatal statement_refused with a fix", err)
	}
	if err := define(shape(syncline.KindText, syncline.KindInt), was); syncline.CodeOf(err) != "schema_retyped" {
		t.Errorf("Define with another key = %v, want schema_retyped", err)
	}
	tab, err := loadTable(t.Context(), db, "c")
	if err != nil || len(tab.columns) != 2 || tab.columns[1].Type != "INTEGER" {
		t.Errorf("the table is %+v, %v, want it as it was", tab, err)
	}
	execute(t, db, "DROP INDEX byn")
	if err := define(is, was); err != nil {
		t.Errorf("Define without the index: %v", err)
	}
}
