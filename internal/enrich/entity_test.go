package enrich

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"syncline"
	"syncline/internal/testserver"
	"syncline/internal/transform"
)

// customers is an entity as a source describes it.
func customers(table string, key syncline.Kind) *syncline.Schema {
	return &syncline.Schema{Entity: "customer", Table: table, Version: -1, Key: []int{0}, Columns: []syncline.Column{
		{Name: "id", Kind: key}, {Name: "name", Kind: syncline.KindText}, {Name: "credit", Kind: syncline.KindDecimal}, {Name: "blocked", Kind: syncline.KindBool}}}
}

func entityStep(missing transform.Missing) transform.Enrich {
	s := step(missing)
	s.Entity = &transform.FromEntity{System: "crm", Name: "customer"}
	return s
}

func TestEntityOfPostgres(t *testing.T) {
	server := testserver.NewPostgres(t, "fsync=off")
	url := server.Database(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background()) //nolint:errcheck // the end of a test
	exec := func(text string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	exec(`CREATE SCHEMA "Sales"; CREATE TABLE "Sales"."The customers" (id int PRIMARY KEY, name text, credit numeric(20,2), blocked bool)`)
	exec(`INSERT INTO "Sales"."The customers" VALUES (1, 'Ann', 12.50), (2, NULL, NULL)`)
	described := 0
	b := newBench(t, Options{Step: entityStep(transform.MissingDefault), Postgres: url, Table: `"Sales"."The customers"`,
		Describe: func(context.Context) (*syncline.Schema, error) {
			described++
			return customers("Sales.The customers", syncline.KindInt), nil
		}})
	// What is no number is no customer, and 01 is 1: one odd key costs the others nothing.
	b.want("text(Ann) decimal(12.50), null null, text(nobody) null, text(nobody) null, text(Ann) decimal(12.50), text(nobody) null", "1", "2", "77", "x'", "01", "")
	exec(`INSERT INTO "Sales"."The customers" VALUES (77, 'Late', 0)`)
	b.want("text(nobody) null", "77")
	b.now = b.now.Add(2 * time.Second)
	b.want("text(Late) decimal(0.00)", "77")
	if described != 1 {
		t.Errorf("the source was asked %d times what the entity is, want once", described)
	}
	exec(`ALTER TABLE "Sales"."The customers" RENAME name TO called`)
	if _, err := b.ask("3"); syncline.CodeOf(err) != "enrich_refused" || syncline.ClassOf(err) != syncline.Fatal {
		t.Errorf("a column that is gone: %v, want a fatal enrich_refused", err)
	}
	exec(`ALTER TABLE "Sales"."The customers" RENAME called TO name`)
	b.want("text(nobody) null", "3")
	if described != 2 {
		t.Errorf("after an error the source was asked %d times, want it asked again", described)
	}
}

func TestEntityOfSQLite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "crm.db")
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // the end of a test
	if _, err := db.ExecContext(t.Context(), `CREATE TABLE "a ""b" (id TEXT PRIMARY KEY, name, credit DECIMAL, blocked BOOLEAN);
		INSERT INTO "a ""b" VALUES ('7', 'Ann', '12.5', 1), ('x', 5, 3, 0)`); err != nil {
		t.Fatal(err)
	}
	s := entityStep(transform.MissingReject)
	s.Take = []transform.Taken{taken("blocked", syncline.KindBool, nil), taken("credit", syncline.KindText, nil)}
	b := newBench(t, Options{Step: s, SQLite: path, Describe: func(context.Context) (*syncline.Schema, error) { return customers(`a "b`, syncline.KindText), nil }})
	b.want("bool(true) text(12.5), bool(false) text(3), enrich_missing/rejected", "7", "x", "y")
}

// TestEntityThatCannotBeRead: why is told once, for all records.
func TestEntityThatCannotBeRead(t *testing.T) {
	several, bytes := customers("c", syncline.KindInt), customers("c", syncline.KindBytes)
	several.Key = []int{0, 1}
	for why, tt := range map[string]struct {
		schema *syncline.Schema
		err    error
		class  syncline.Class
		code   string
	}{
		"not captured":    {class: syncline.Fatal, code: "enrich_refused"},
		"no such column":  {schema: orders, class: syncline.Fatal, code: "enrich_refused"},
		"a key of two":    {schema: several, class: syncline.Fatal, code: "enrich_refused"},
		"a key of bytes":  {schema: bytes, class: syncline.Fatal, code: "enrich_refused"},
		"nobody answers":  {err: errors.New("no route to host"), class: syncline.Transient, code: "enrich_unreachable"},
		"a refused login": {err: syncline.Errorf(syncline.Transient, "login_refused", "no").Patiently(), class: syncline.Transient, code: "enrich_unreachable"},
		"a missing right": {err: syncline.Errorf(syncline.Fatal, "privilege_missing", "no"), class: syncline.Fatal, code: "enrich_refused"},
	} {
		b := newBench(t, Options{Step: entityStep(transform.MissingNull), SQLite: "none.db", Describe: func(context.Context) (*syncline.Schema, error) { return tt.schema, tt.err }})
		if _, err := b.ask("1"); syncline.CodeOf(err) != tt.code || syncline.ClassOf(err) != tt.class {
			t.Errorf("%s: %v, want %s", why, err, tt.code)
		} else if rarely := syncline.RetryAfter(err) > 0; rarely != (why == "a refused login") {
			t.Errorf("%s: tried again after %s", why, syncline.RetryAfter(err))
		}
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "customers.json")
	age := time.Now()
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		age = age.Add(time.Second)
		if err := os.Chtimes(path, age, age); err != nil {
			t.Fatal(err)
		}
	}
	write(`[{"id": 1, "name": "Ann", "account": {"credit": 12.50}}, {"id": 2, "account": null}]`)
	s := step(transform.MissingWait)
	s.Take[1] = transform.Taken{From: "account.credit", Output: transform.Output{Field: "c", Kind: syncline.KindDecimal}}
	s.File = &transform.FromFile{Path: path, Key: "id", Reload: 1}
	b := newBench(t, Options{Step: s})
	b.want("text(Ann) decimal(12.50), null null, enrich_missing/transient", "1", "2", "3")
	write(`[{"id": 3, "name": "Cy"}`)
	b.want("text(Ann) decimal(12.50), enrich_missing/transient", "1", "3") // a broken file changes nothing
	write(`[{"id": 3, "name": "Cy", "account": {"credit": 0}}]`)
	b.want("enrich_missing/transient, text(Cy) decimal(0)", "1", "3") // a change counts at once: nothing is kept
	s.File.Path = "/no/such.json"
	if _, err := New(Options{Step: s}); syncline.CodeOf(err) != "bad_step" {
		t.Errorf("a file that is not there: %v, want bad_step", err)
	}
}
