package daemon

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"

	_ "modernc.org/sqlite" // the driver of both databases

	"syncline/internal/config"
)

func execute(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestCompareFindsWhatShouldNotBeThere also where a rule makes no record, because the source has none or none that it wants.
func TestCompareFindsWhatShouldNotBeThere(t *testing.T) {
	dir := t.TempDir()
	execute(t, filepath.Join(dir, "crm.db"), `CREATE TABLE lead (id INTEGER PRIMARY KEY, name TEXT)`, `CREATE TABLE customer (id INTEGER PRIMARY KEY, tier TEXT)`,
		`INSERT INTO customer VALUES (1, 'test'), (2, 'test')`)
	execute(t, filepath.Join(dir, "dw.db"), `CREATE TABLE lead (id INTEGER PRIMARY KEY, name TEXT)`, `CREATE TABLE customer (id INTEGER PRIMARY KEY, tier TEXT)`,
		`INSERT INTO lead VALUES (7, 'left over'), (8, 'left over')`, `INSERT INTO customer VALUES (2, 'test')`)
	path := filepath.Join(dir, "syncline.yaml")
	if err := os.WriteFile(path, []byte(`version: 1
http: {listen: "127.0.0.1:0"}
systems:
  crm: {type: sqlite, url: "sqlite:crm.db", capture: {manage: true, entities: {lead: {table: lead}, customer: {table: customer}}}}
  dw: {type: sqlite, url: "sqlite:dw.db"}
rules:
  - {id: none-there, from: crm/lead, to: dw/lead}
  - {id: none-wanted, from: crm/customer, to: dw/customer, when: 'after.tier != "test"'}
  - {id: not-made-yet, from: crm/lead, to: dw/later, create: true}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, problems := config.Load(path, nil)
	if problems != nil {
		t.Fatal(problems)
	}
	d, err := Open(t.Context(), Options{Config: cfg})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	list, err := d.Compare(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int64{"none-there": 2, "none-wanted": 1, "not-made-yet": 0}
	for _, c := range list {
		if c.Result.Extra != want[c.Rule] || c.Result.Missing+c.Result.Different != 0 {
			t.Errorf("%s: %v, want %d extra", c.Rule, c.Result, want[c.Rule])
		}
		delete(want, c.Rule)
	}
	if len(want) > 0 {
		t.Errorf("not compared: %v", want)
	}
}
