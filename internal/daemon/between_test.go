package daemon

import (
	"database/sql"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline/internal/apply"
	"syncline/internal/ops"
	"syncline/internal/state"
)

const twoWayRule = head + `
systems:
  crm: {type: sqlite, url: "sqlite:$DIR/crm.db", capture: {manage: true, entities: {customer: {table: customer}}}}
  erp: {type: sqlite, url: "sqlite:$DIR/erp.db", capture: {manage: true, entities: {client: {table: client}}}}
rules:
  - id: customer
    between: [crm/customer, erp/client]
    fields: {name: label}
    conflict: {fields: {stock: sum}}
    retry: {max: 1}
`

// twoSides makes both databases, each with records that the other one lacks.
func twoSides(t *testing.T, dir string) (crm, erp *sql.DB) {
	t.Helper()
	crm, erp = database(t, filepath.Join(dir, "crm.db")), database(t, filepath.Join(dir, "erp.db"))
	exec(t, crm, `CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT, stock INTEGER, phone TEXT)`)
	exec(t, erp, `CREATE TABLE client (id INTEGER PRIMARY KEY, label TEXT, stock INTEGER, account TEXT NOT NULL DEFAULT 'new')`)
	exec(t, crm, `INSERT INTO customer VALUES (1, 'Ann', 10, '111'), (2, 'Bea', 20, '222')`)
	exec(t, erp, `INSERT INTO client VALUES (2, 'Bea', 20, 'A2'), (3, 'Cho', 30, 'A3')`)
	return crm, erp
}

// holds waits until the query, of one text column, gives these rows.
func holds(t *testing.T, db *sql.DB, query string, want ...string) {
	t.Helper()
	var got []string
	defer func() {
		if t.Failed() {
			t.Errorf("%s (-want +got):\n%s", query, cmp.Diff(want, got))
		}
	}()
	eventually(t, "what "+query+" gives", func() bool {
		got = nil
		rows, err := db.QueryContext(t.Context(), query)
		if err != nil {
			return false
		}
		defer rows.Close()
		for rows.Next() {
			var s string
			if rows.Scan(&s) != nil {
				return false
			}
			got = append(got, s)
		}
		return rows.Err() == nil && cmp.Equal(got, want)
	})
}

const (
	customers = `SELECT id || ' ' || coalesce(name, '-') || ' ' || coalesce(stock, '-') || ' ' || coalesce(phone, '-') FROM customer ORDER BY id`
	clients   = `SELECT id || ' ' || coalesce(label, '-') || ' ' || coalesce(stock, '-') || ' ' || account FROM client ORDER BY id`
)

// TestTwoWay: records go both ways, columns of one side stay, changes of different fields meet, and a conflict waits for a person.
func TestTwoWay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	crm, erp := twoSides(t, dir)
	c := load(t, dir, twoWayRule)
	d, stop := runningUntil(t, c)
	holds(t, crm, customers, "1 Ann 10 111", "2 Bea 20 222", "3 Cho 30 -")
	holds(t, erp, clients, "1 Ann 10 new", "2 Bea 20 A2", "3 Cho 30 A3")

	exec(t, crm, `UPDATE customer SET name = 'Anna' WHERE id = 1`)
	exec(t, erp, `UPDATE client SET stock = 12, account = 'A1' WHERE id = 1`)
	exec(t, erp, `DELETE FROM client WHERE id = 2`)
	exec(t, crm, `INSERT INTO customer VALUES (4, 'Dee', 40, '444')`)
	exec(t, crm, `UPDATE customer SET id = 33 WHERE id = 3`)
	holds(t, crm, customers, "1 Anna 12 111", "4 Dee 40 444", "33 Cho 30 -")
	holds(t, erp, clients, "1 Anna 12 A1", "4 Dee 40 new", "33 Cho 30 new")

	// While nothing runs both sides count on, and change one name to two.
	quiet(t, d)
	stop()
	exec(t, crm, `UPDATE customer SET stock = stock + 5 WHERE id = 1`)
	exec(t, erp, `UPDATE client SET stock = stock - 2 WHERE id = 1`)
	exec(t, crm, `UPDATE customer SET name = 'Dora' WHERE id = 4`)
	exec(t, erp, `UPDATE client SET label = 'Doro' WHERE id = 4`)
	d, _ = runningUntil(t, c)
	holds(t, crm, customers, "1 Anna 15 111", "4 Dora 40 444", "33 Cho 30 -")
	holds(t, erp, clients, "1 Anna 15 A1", "4 Doro 40 new", "33 Cho 30 new")
	var waiting []state.Conflict
	open := true
	eventually(t, "the conflict waits, once", func() bool {
		var err error
		waiting, _, err = d.state.Conflicts(t.Context(), state.ConflictFilter{Open: &open, Rule: "customer", Limit: 10})
		return err == nil && len(waiting) == 1
	})
	told := waiting[0]
	if told.Route != "customer@crm" || told.Key != "4" || !cmp.Equal(told.Fields, []string{"name"}) {
		t.Errorf("the conflict is of %s, key %s, fields %q", told.Route, told.Key, told.Fields)
	}
	told, err := d.state.Conflict(t.Context(), told.Task)
	if err != nil || !strings.Contains(string(told.Ours), "Dora") || !strings.Contains(string(told.Theirs), "Doro") || !strings.Contains(string(told.Base), "Dee") {
		t.Errorf("the conflict has ours %s, theirs %s, base %s, %v", told.Ours, told.Theirs, told.Base, err)
	}
	merge := ops.Decision{Action: "merge", Values: json.RawMessage(`{"name": "Dorothea"}`), Reason: "asked her", DryRun: true}
	if would, err := d.Engine().Resolve(t.Context(), told.Task, merge); err != nil || !strings.Contains(string(would.Result), "Dorothea") {
		t.Errorf("Resolve as a dry run = %s, %v", would.Result, err)
	}
	merge.DryRun = false
	decided, err := d.Engine().Resolve(t.Context(), told.Task, merge)
	if err != nil || decided.Open || decided.Action != "merge" || decided.Reason != "asked her" {
		t.Fatalf("Resolve = %+v, %v", decided, err)
	}
	holds(t, crm, customers, "1 Anna 15 111", "4 Dorothea 40 444", "33 Cho 30 -")
	holds(t, erp, clients, "1 Anna 15 A1", "4 Dorothea 40 new", "33 Cho 30 new")
	quiet(t, d)
}

// quiet waits until both routes have read all of their logs, and checks the counts.
func quiet(t *testing.T, d *Daemon) {
	t.Helper()
	for _, id := range []string{"customer@crm", "customer@erp"} {
		r := d.route(id)
		eventually(t, id+" comes to rest", func() bool {
			bounds, err := r.source.log.Bounds(t.Context())
			st := r.apply.Status()
			return err == nil && st.State == apply.RouteRunning && st.Cursor.Seq > bounds.Last
		})
		counts, _, err := d.state.Totals(t.Context(), state.Slice{Route: id})
		if err != nil || !counts.Balanced() {
			t.Errorf("counts of %s: %+v, %v", id, counts, err)
		}
	}
}

// TestCheckOfTwoWayRules tells what would stop the rule, and what is left alone, and makes nothing.
func TestCheckOfTwoWayRules(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	crm, _ := twoSides(t, dir)
	c := load(t, dir, twoWayRule)
	found := func() (list []string) {
		for _, f := range Check(t.Context(), c) {
			if f.Rule == "customer" {
				list = append(list, f.Level+" "+f.Code+" "+f.What)
			}
		}
		return list
	}
	want := []string{`warn object_differs column "phone" of crm/customer has no partner: it is left alone`,
		`warn object_differs column "account" of erp/client has no partner: it is left alone`, "ok  crm/customer and erp/client can be kept equal"}
	if diff := cmp.Diff(want, found()); diff != "" {
		t.Errorf("Check (-want +got):\n%s", diff)
	}
	exec(t, crm, `ALTER TABLE customer RENAME COLUMN name TO full_name`)
	got := found()
	if len(got) != 1 || !strings.HasPrefix(got[0], "fail between_column_missing") {
		t.Errorf("Check of a rule that names a column which is gone = %q", got)
	}
	var tables int
	if err := crm.QueryRowContext(t.Context(), `SELECT count(*) FROM sqlite_master WHERE name LIKE '\_syncline%' ESCAPE '\'`).Scan(&tables); err != nil || tables > 0 {
		t.Errorf("Check made %d tables, %v", tables, err)
	}
}
