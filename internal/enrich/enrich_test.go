package enrich

import (
	"context"
	"database/sql"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"syncline"
	"syncline/internal/testserver"
	"syncline/internal/transform"
)

var orders = &syncline.Schema{Entity: "order", Table: "orders", Version: -1, Key: []int{0}, Columns: []syncline.Column{
	{Name: "id", Kind: syncline.KindInt, Type: "bigint"},
	{Name: "customer", Kind: syncline.KindText, Type: "text", Nullable: true},
}}

func taken(from string, kind syncline.Kind, def *syncline.Value) transform.Taken {
	t := transform.Taken{From: from, Output: transform.Output{Field: "c_" + from, Kind: kind}}
	if def != nil {
		t.Default = &transform.Constant{Value: *def}
	}
	return t
}

// step is an enrichment with the limits that a configuration gives it.
func step(missing transform.Missing) transform.Enrich {
	none := syncline.Text("nobody")
	return transform.Enrich{By: "after.customer", Take: []transform.Taken{taken("name", 0, &none), taken("credit", syncline.KindDecimal, nil)},
		Missing: missing, Timeout: 5 * time.Second, TTL: time.Minute, Negative: time.Second, Size: 100}
}

// bench is an enricher, and the clock that its answers age by.
type bench struct {
	t     *testing.T
	now   time.Time
	steps *transform.Transform
	e     *Enricher
}

func newBench(t *testing.T, o Options) *bench {
	t.Helper()
	b := &bench{t: t, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	o.Now = func() time.Time { return b.now }
	var err error
	if b.steps, err = transform.Compile([]transform.Step{o.Step}); err != nil {
		t.Fatal(err)
	}
	if b.e, err = New(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.e.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// ask enriches records of these customers; "" is null. A record is "name credit", or the code of its error.
func (b *bench) ask(customers ...string) (string, error) {
	b.t.Helper()
	plan, err := b.steps.Bind(orders)
	if err != nil {
		b.t.Fatal(err)
	}
	batch := &syncline.Batch{Source: "shop", Position: syncline.Position{Epoch: 1, Commit: 1}, Txns: []syncline.Txn{{}}}
	var events []transform.At
	for i, c := range customers {
		v := syncline.Text(c)
		if c == "" {
			v = syncline.Null
		}
		batch.Events = append(batch.Events, syncline.Event{Op: syncline.OpCreated, Schema: orders, After: []syncline.Value{syncline.Int(int64(i)), v}})
		events = append(events, transform.At{Batch: batch, Index: i})
	}
	made, err := plan.ApplyAll(b.t.Context(), events, map[int]transform.Asker{0: b.e})
	if err != nil {
		return "", err
	}
	var texts []string
	for _, m := range made {
		if m.Err != nil {
			texts = append(texts, syncline.CodeOf(m.Err)+"/"+syncline.ClassOf(m.Err).String())
			continue
		}
		texts = append(texts, m.Values[2].String()+" "+m.Values[3].String())
	}
	return strings.Join(texts, ", "), nil
}

func (b *bench) want(want string, customers ...string) {
	b.t.Helper()
	if got, err := b.ask(customers...); err != nil || got != want {
		b.t.Errorf("ask(%v) = %s, %v\nwant %s", customers, got, err, want)
	}
}

func TestPostgres(t *testing.T) {
	server := testserver.NewPostgres(t, "fsync=off")
	url := server.Database(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background()) //nolint:errcheck // the end of a test
	exec := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec(`CREATE TABLE customer (id int, name text, credit numeric(20,2))`)
	exec(`INSERT INTO customer VALUES (1, 'Ann', 12.50), (2, NULL, NULL), (3, 'Cy', 1), (3, 'Cyd', 2), (9007199, 'Big', 12345678901234567.89)`)
	s := step(transform.MissingDefault)
	s.SQL = &transform.FromSQL{System: "crm", Query: "SELECT id, name, credit FROM customer WHERE id = ANY($1)", Key: "id"}
	b := newBench(t, Options{Step: s, Postgres: url})
	b.want(`text(Ann) decimal(12.50), null null, enrich_ambiguous/rejected, text(Big) decimal(12345678901234567.89), text(nobody) null, text(nobody) null, text(Ann) decimal(12.50)`,
		"1", "2", "3", "9007199", "77", "", "1")
	b.want("text(Ann) decimal(12.50), enrich_failed/rejected, enrich_failed/rejected, null null", "1", "no number", `"{`, "2")

	exec(`UPDATE customer SET name = 'Anna' WHERE id = 1; INSERT INTO customer VALUES (77, 'Late', 0)`)
	b.want("text(Ann) decimal(12.50), text(nobody) null", "1", "77") // kept
	b.now = b.now.Add(2 * time.Second)
	b.want("text(Ann) decimal(12.50), text(Late) decimal(0.00)", "1", "77") // that there was nothing is kept for less
	b.now = b.now.Add(time.Hour)
	b.want("text(Anna) decimal(12.50)", "1")

	if _, err := b.ask("5"); err != nil {
		t.Error(err)
	}
	b.now = b.now.Add(time.Hour)
	exec(`BEGIN; LOCK customer`)
	b.e.step.Timeout = 100 * time.Millisecond
	if _, err := b.ask("1"); syncline.CodeOf(err) != "enrich_unreachable" || syncline.ClassOf(err) != syncline.Transient {
		t.Errorf("a table that is locked: %v, want a transient enrich_unreachable", err)
	}
	exec(`COMMIT`)
	b.e.step.Timeout = 5 * time.Second
	b.want("text(Anna) decimal(12.50)", "1")

	// Rows of the others come before the one that fails, and again without it.
	s.SQL = &transform.FromSQL{System: "crm", Query: "SELECT k AS id, k AS name, 10 / k::int AS credit FROM unnest($1::text[]) k", Key: "id"}
	newBench(t, Options{Step: s, Postgres: url}).want("text(1) decimal(10), text(2) decimal(5), enrich_failed/rejected, text(5) decimal(2)", "1", "2", "0", "5")
	s.SQL.Query = "SELECT k AS id, (SELECT name FROM customer WHERE id = k::int) AS name, 1 AS credit FROM unnest($1::text[]) k"
	newBench(t, Options{Step: s, Postgres: url}).want("text(Anna) decimal(1), enrich_failed/rejected, text(Late) decimal(1)", "1", "3", "77")

	for query, why := range map[string]string{
		"SELECT id, name FROM customer WHERE id = ANY($1)":                       "a result without a column",
		"SELECT id, name, credit FROM customers WHERE id = ANY($1)":              "a table that is not there",
		"DELETE FROM customer WHERE id = ANY($1) RETURNING id, name, credit":     "a query that writes",
		"SELECT id, name, credit FROM customer WHERE id = ANY($1) AND name = $2": "a parameter too many",
	} {
		s := s
		s.SQL = &transform.FromSQL{System: "crm", Query: query, Key: "id"}
		_, err := newBench(t, Options{Step: s, Postgres: url}).ask("1")
		if syncline.CodeOf(err) != "enrich_refused" || syncline.ClassOf(err) != syncline.Fatal {
			t.Errorf("%s: %v, want a fatal enrich_refused", why, err)
		}
	}
	exec(`CREATE FUNCTION run(n text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN EXECUTE n; RETURN n; END $$`)
	for query, want := range map[string]string{
		"SELECT k AS id, run('SELECT ' || k) AS name, 1 AS credit FROM unnest($1::text[]) k": "undefined_column",
		"SELECT k AS id, k::regclass::text AS name, 1 AS credit FROM unnest($1::text[]) k":   "undefined_table",
		"SELECT k AS id, k AS nam, credit FROM unnest($1::text[]) k":                         `column "credit" does not exist`,
	} {
		s := s
		s.SQL = &transform.FromSQL{System: "crm", Query: query, Key: "id"}
		_, err := newBench(t, Options{Step: s, Postgres: url}).ask("s3cret")
		if syncline.CodeOf(err) != "enrich_refused" || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v, want enrich_refused with %s and without the key", query, err, want)
		}
	}
	stranger := newBench(t, Options{Step: s, Postgres: strings.Replace(url, "postgres@", "nobody_of_that_name@", 1)})
	if _, err := stranger.ask("1"); syncline.CodeOf(err) != "enrich_unreachable" || syncline.RetryAfter(err) < time.Minute {
		t.Errorf("a refused login: %v, tried again after %s, want enrich_unreachable and a minute", err, syncline.RetryAfter(err))
	}
	server.Kill()
	b.now = b.now.Add(time.Hour)
	if _, err := b.ask("1"); syncline.CodeOf(err) != "enrich_unreachable" {
		t.Errorf("a server that is down: %v, want enrich_unreachable", err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	b.want("text(Anna) decimal(12.50)", "1")
}

func TestSQLite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b?.db")
	s := step(transform.MissingNull)
	s.SQL = &transform.FromSQL{System: "crm", Query: "SELECT id, name, credit FROM customer WHERE id IN (SELECT value FROM json_each($1))", Key: "id"}
	b := newBench(t, Options{Step: s, SQLite: path})
	if _, err := b.ask("x"); syncline.CodeOf(err) != "enrich_unreachable" {
		t.Errorf("a file that is not there: %v, want enrich_unreachable", err)
	}
	db, err := sql.Open("sqlite", "file:"+strings.ReplaceAll(path, "?", "%3f"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // the end of a test
	if _, err := db.ExecContext(t.Context(), `CREATE TABLE customer (id TEXT, name TEXT, credit); INSERT INTO customer VALUES ('a"b', 'Ann', '12.50'), ('b', NULL, 3), ('c', 'Cy', 'much')`); err != nil {
		t.Fatal(err)
	}
	b.want(`text(Ann) decimal(12.50), null decimal(3), enrich_failed/rejected, null null`, `a"b`, "b", "c", "nobody")
	if _, err := db.ExecContext(t.Context(), `INSERT INTO customer VALUES ('json', '{"a": "A"}', 1), ('none', '{s3cret', 1)`); err != nil {
		t.Fatal(err)
	}
	q := step(transform.MissingNull)
	q.SQL = &transform.FromSQL{System: "crm", Query: "SELECT id, json_extract(name, '$.a') AS name, credit FROM customer WHERE id IN (SELECT value FROM json_each($1))", Key: "id"}
	newBench(t, Options{Step: q, SQLite: path}).want("text(A) decimal(1), enrich_failed/rejected, null null, null decimal(3)", "json", "none", "nobody", "b")
	for query, want := range map[string]string{
		"SELECT id, json_extract('{}', name) AS name, credit FROM customer":                                                      "a function in it fails",
		"SELECT id, nam AS name, json_extract('{}', name) AS credit FROM customer WHERE id IN (SELECT value FROM json_each($1))": "no such column: nam",
	} {
		q.SQL = &transform.FromSQL{System: "crm", Query: query, Key: "id"}
		if _, err := newBench(t, Options{Step: q, SQLite: path}).ask("b"); syncline.CodeOf(err) != "enrich_refused" || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v, want enrich_refused with %s and without a value", query, err, want)
		}
	}
	s.SQL.Query = "UPDATE customer SET name = 'x' WHERE id IN (SELECT value FROM json_each($1)) RETURNING id, name, credit"
	if _, err := newBench(t, Options{Step: s, SQLite: path}).ask("b"); syncline.CodeOf(err) != "enrich_refused" {
		t.Errorf("a query that writes: %v, want enrich_refused", err)
	}
}

// TestMissing: what becomes of a record whose key finds nothing.
func TestMissing(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	for missing, want := range map[transform.Missing]string{
		transform.MissingNull: "null null", transform.MissingDefault: "text(nobody) null",
		transform.MissingReject: "enrich_missing/rejected", transform.MissingWait: "enrich_missing/transient",
	} {
		s := step(missing)
		s.HTTP = &transform.FromHTTP{URL: server.URL + "/{key}", AllowPrivate: true}
		newBench(t, Options{Step: s}).want(want, "x")
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	c := cache{size: 2}
	for _, k := range []string{"a", "b", "a", "c"} {
		if _, ok := c.get(k, now); !ok {
			c.put(k, found{}, now.Add(time.Second))
		}
	}
	for k, want := range map[string]bool{"a": true, "b": false, "c": true} {
		if _, ok := c.get(k, now); ok != want {
			t.Errorf("%s is there: %t, want %t", k, ok, want)
		}
	}
	if _, ok := c.get("a", now.Add(time.Second)); ok || c.order.Len() != 1 || len(c.byKey) != 1 {
		t.Error("an entry outlives its time")
	}
}
