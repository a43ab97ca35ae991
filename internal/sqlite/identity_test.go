package sqlite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"syncline"
)

func fixOf(t *testing.T, err error) string {
	t.Helper()
	var e *syncline.Error
	if !errors.As(err, &e) {
		t.Fatalf("error = %v, want one with a code", err)
	}
	return e.Fix
}

func wantFatal(t *testing.T, err error, code string) {
	t.Helper()
	if syncline.ClassOf(err) != syncline.Fatal || syncline.CodeOf(err) != code {
		t.Errorf("error = %v, want fatal %s", err, code)
	}
}

// TestManageFalse: without leave nothing is made, and the SQL that the error prints is all that is missing.
func TestManageFalse(t *testing.T) {
	shop := newMarkedShop(t, `CREATE TABLE item (id INTEGER PRIMARY KEY, "a ""b" TEXT)`)
	shop.opt.Manage = false
	shop.opt.Entities = map[string]Entity{"item": {Table: "item"}, "mark": {Table: "main.mark"}}
	err := NewSource(shop.opt).Open(t.Context(), nil, syncline.Position{})
	wantFatal(t, err, "capture_not_installed")
	var n int
	if err := shop.db.QueryRow("SELECT count(*) FROM sqlite_schema WHERE name LIKE '%syncline%'").Scan(&n); err != nil || n != 0 {
		t.Errorf("%d objects were made, %v", n, err)
	}
	_, sql, _ := strings.Cut(fixOf(t, err), "\n")
	shop.exec(t, sql)
	f := follow(t, shop, "item", "mark")
	shop.exec(t, "INSERT INTO item VALUES (1, 'x')")
	if got := f.upTo(); len(got) != 1 {
		t.Errorf("events = %q, want one", got)
	}

	shop.exec(t, "ALTER TABLE item ADD COLUMN w TEXT DEFAULT 'it''s'")
	shop.exec(t, "UPDATE item SET w = 'now'")
	_, err = f.next()
	wantFatal(t, err, "schema_changed")
	f.close()
	err = f.tryOpen()
	wantFatal(t, err, "schema_changed")
	_, sql, _ = strings.Cut(fixOf(t, err), "\n")
	shop.exec(t, sql)
	f.open()
	f.upTo()
	f.wantRows("item")
}

// copyFile makes a copy of the database as a backup would.
func (s *shop) copyFile(t *testing.T) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy.db")
	s.exec(t, "VACUUM INTO "+literal(to))
	return to
}

// restore puts a copy in the place of the database while nobody has it open.
func (s *shop) restore(t *testing.T, from string) {
	t.Helper()
	if err := s.db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := os.Remove(s.path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if err := os.Rename(from, s.path); err != nil {
		t.Fatal(err)
	}
	db, err := openFile(t.Context(), s.path, true, 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	s.db = db
}

func TestAnotherFileIsRefused(t *testing.T) {
	insert := "INSERT INTO item (v) VALUES ('x')"
	start := func(t *testing.T) (*shop, *follower) {
		shop := newMarkedShop(t, "CREATE TABLE item (id INTEGER PRIMARY KEY, v)")
		f := follow(t, shop, "item", "mark")
		shop.exec(t, insert)
		f.upTo()
		return shop, f
	}
	t.Run("an older copy", func(t *testing.T) {
		shop, f := start(t)
		old := shop.copyFile(t)
		shop.exec(t, insert)
		f.upTo()
		f.close()
		shop.restore(t, old)
		wantFatal(t, f.tryOpen(), "source_behind")
	})
	t.Run("an older copy that was written to", func(t *testing.T) {
		shop, f := start(t)
		old := shop.copyFile(t)
		shop.exec(t, insert)
		f.upTo()
		f.close()
		shop.restore(t, old)
		for range 10 {
			shop.exec(t, "INSERT INTO item (v) VALUES ('other')")
		}
		wantFatal(t, f.tryOpen(), "source_behind")
	})
	t.Run("the same file goes on", func(t *testing.T) {
		shop, f := start(t)
		same := shop.copyFile(t)
		f.close()
		shop.restore(t, same)
		shop.exec(t, insert)
		f.open()
		f.upTo()
		f.wantRows("item")
	})
	t.Run("another database", func(t *testing.T) {
		shop, f := start(t)
		f.close()
		other := newMarkedShop(t, "CREATE TABLE item (id INTEGER PRIMARY KEY, v)").copyFile(t)
		shop.restore(t, other)
		wantFatal(t, f.tryOpen(), "source_changed")
		var n int
		if err := shop.db.QueryRow("SELECT count(*) FROM sqlite_schema WHERE name LIKE '%syncline%'").Scan(&n); err != nil || n != 0 {
			t.Errorf("%d objects were made in somebody else's database, %v", n, err)
		}
	})
	t.Run("deleted changes", func(t *testing.T) {
		shop, f := start(t)
		f.close()
		shop.exec(t, insert)
		shop.exec(t, insert)
		shop.exec(t, "DELETE FROM _syncline_changes WHERE seq = (SELECT max(seq) - 1 FROM _syncline_changes)")
		f.open()
		_, err := f.next()
		wantFatal(t, err, "source_gap")
	})
	t.Run("a log that lost what it confirmed", func(t *testing.T) {
		shop, f := start(t)
		shorter := slices.Clone(f.log)
		for range 5 {
			shop.exec(t, insert)
		}
		f.upTo()
		f.src.Confirm(f.log[len(f.log)-1].Position)
		f.src.lastForget = f.src.lastForget.Add(-forgetIdle)
		shop.exec(t, insert)
		f.upTo()
		f.close()
		f.log = shorter
		f.open()
		_, err := f.next()
		wantFatal(t, err, "source_gap")
	})
	t.Run("a file that is replaced while it is open", func(t *testing.T) {
		shop, f := start(t)
		shop.restore(t, shop.copyFile(t))
		_, err := f.next()
		if syncline.CodeOf(err) != "database_replaced" || syncline.ClassOf(err) != syncline.Transient {
			t.Errorf("next = %v, want transient database_replaced", err)
		}
	})
	t.Run("no file", func(t *testing.T) {
		shop := newShop(t)
		shop.opt.URL += ".missing"
		wantFatal(t, NewSource(shop.opt).Open(t.Context(), nil, syncline.Position{}), "database_missing")
		if _, err := os.Stat(shop.path + ".missing"); err == nil {
			t.Error("the source made the file")
		}
	})
}

// TestConfirmForgets: confirmed changes are deleted, but for the last, and unconfirmed ones never.
func TestConfirmForgets(t *testing.T) {
	shop := newMarkedShop(t, "CREATE TABLE item (id INTEGER PRIMARY KEY, v)")
	f := follow(t, shop, "item", "mark")
	shop.exec(t, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 7000) INSERT INTO item (v) SELECT i FROM n")
	f.upTo()
	last := f.log[len(f.log)-1].Position
	f.src.Confirm(syncline.Position{Epoch: 1, Commit: last.Commit - 10, Ordinal: 1})
	f.until(func() bool {
		shop.exec(t, "INSERT INTO item (v) VALUES ('tick')")
		var first uint64
		if err := shop.db.QueryRow("SELECT min(seq) FROM _syncline_changes").Scan(&first); err != nil {
			t.Fatal(err)
		}
		if first > last.Commit-10 {
			t.Fatalf("the first change left is %d, and %d was confirmed", first, last.Commit-10)
		}
		return first == last.Commit-10
	})
	f.close()
	f.open()
	f.upTo()
	f.wantRows("item")
}

// TestVacuumInMidRun gives rows other numbers while they are read in the order of their numbers.
func TestVacuumInMidRun(t *testing.T) {
	shop := newMarkedShop(t, "CREATE TABLE item (id TEXT, v)")
	f := follow(t, shop, "mark")
	f.close()
	f.log = nil
	shop.opt.Entities["item"] = Entity{Table: "item", Key: []string{"id"}}
	f.open()
	for i := range 60 {
		shop.exec(t, "INSERT INTO item (rowid, id, v) VALUES (?, ?, ?)", 1000-i*10, fmt.Sprintf("k%d", i), i)
	}
	f.upTo()
	f.rows["item"] = nil
	if err := f.src.StartRun(syncline.Run{ID: "full", Kind: syncline.RunFull, Entity: "item"}); err != nil {
		t.Fatal(err)
	}
	f.until(func() bool { return len(f.rows["item"]) >= 20 })
	shop.exec(t, "VACUUM")
	f.upTo()
	f.wantRows("item")
}

// TestCheck finds what would stop the source, and changes nothing.
func TestCheck(t *testing.T) {
	shop := newMarkedShop(t, "CREATE TABLE item (id INTEGER PRIMARY KEY, v)", "CREATE UNIQUE INDEX lower_v ON item (lower(v))", "CREATE TABLE heap (a)")
	shop.opt.Entities = map[string]Entity{"item": {Table: "item"}, "heap": {Table: "heap"}, "mark": {Table: "mark"}}
	codes := func(manage bool) (out []string) {
		shop.opt.Manage = manage
		for _, f := range NewSource(shop.opt).Check(t.Context()) {
			out = append(out, f.Level+" "+f.Code)
		}
		return out
	}
	if got, want := codes(true), []string{"ok ", "warn keyless", "warn index_on_expression", "ok ", "ok "}; !slices.Equal(got, want) {
		t.Errorf("check = %q, want %q", got, want)
	}
	if got, want := codes(false), []string{"ok ", "warn keyless", "warn index_on_expression", "ok ", "fail capture_not_installed"}; !slices.Equal(got, want) {
		t.Errorf("check without manage = %q, want %q", got, want)
	}
	shop.exec(t, "PRAGMA journal_mode = delete")
	if got := codes(false); !slices.Contains(got, "warn journal_mode") {
		t.Errorf("check of a rollback journal = %q", got)
	}
	shop.opt.URL = "sqlite:/no/such/file.db"
	if got, want := codes(true), []string{"fail database_missing"}; !slices.Equal(got, want) {
		t.Errorf("check of no file = %q, want %q", got, want)
	}
}

// TestTakenAway: what docs/operations.md shows removes everything of ours, and the application goes on.
func TestTakenAway(t *testing.T) {
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(page), "In the SQLite database;")
	_, text, _ = strings.Cut(text, "```sql\n")
	text, _, _ = strings.Cut(text, "```")
	triggers, tables, found := strings.Cut(text, ";\n")
	if !found {
		t.Fatal("the page has no SQL")
	}
	shop := newMarkedShop(t, `CREATE TABLE "it""em" (id INTEGER PRIMARY KEY)`)
	f := follow(t, shop, "mark")
	f.close()
	shop.opt.Entities["item"] = Entity{Table: `"it""em"`}
	f.open()
	f.upTo()
	f.close()
	rows, err := shop.db.QueryContext(t.Context(), triggers)
	if err != nil {
		t.Fatal(err)
	}
	var statements []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		statements = append(statements, s)
	}
	rows.Close()
	for _, s := range append(statements, strings.Split(strings.TrimSpace(tables), "\n")...) {
		shop.exec(t, s)
	}
	var left int
	if err := shop.db.QueryRowContext(t.Context(), `SELECT count(*) FROM sqlite_schema WHERE name LIKE '%syncline%' OR sql LIKE '%syncline%'`).Scan(&left); err != nil || left > 0 {
		t.Errorf("%d things of ours are left, %v", left, err)
	}
	shop.exec(t, `INSERT INTO "it""em" VALUES (1)`)
	f.log = nil
	f.open() // the cleanup closes it
}
