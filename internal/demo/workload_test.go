package demo

import (
	"context"
	"database/sql"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func openTest(t *testing.T, dir string, seed uint64) *workload {
	t.Helper()
	w, err := openWorkload(t.Context(), dir, seed)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.close() })
	return w
}

func advance(t *testing.T, w *workload, n int64) {
	t.Helper()
	before := w.made.Load()
	if err := w.work(t.Context(), n, 0); err != nil {
		t.Fatal(err)
	}
	if got := w.made.Load() - before; got != n {
		t.Fatalf("work(%d) made %d changes", n, got)
	}
}

var tables = []struct{ system, name string }{{"crm", "lead"}, {"crm", "customer"}, {"shop", "product"}, {"shop", "orders"},
	{"shop", "order_line"}, {"wms", "inventory"}, {books, "invoice"}}

// content is everything that the business has written, a line for each row.
func content(t *testing.T, w *workload) map[string][]string {
	t.Helper()
	all := make(map[string][]string)
	for _, table := range tables {
		rows, err := w.databases[table.system].QueryContext(t.Context(), "SELECT * FROM "+table.name+" ORDER BY 1, 2")
		if err != nil {
			t.Fatal(err)
		}
		all[table.name] = lines(t, rows)
	}
	return all
}

func lines(t *testing.T, rows *sql.Rows) (list []string) {
	t.Helper()
	defer rows.Close() //nolint:errcheck // rows.Err has it
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	values, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprintf("%q", values))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

// TestWorkloadGoesOn: a process that ended without closing anything is continued as if it had not.
func TestWorkloadGoesOn(t *testing.T) {
	whole := openTest(t, t.TempDir(), 7)
	advance(t, whole, 400)
	advance(t, whole, 400)

	dir := t.TempDir()
	advance(t, openTest(t, dir, 7), 400)
	rest := openTest(t, dir, 99) // the seed belongs to a new directory
	advance(t, rest, 400)
	if diff := cmp.Diff(content(t, whole), content(t, rest)); diff != "" {
		t.Errorf("one process and two (-one +two):\n%s", diff)
	}
	if diff := cmp.Diff(whole.memory, rest.memory); diff != "" {
		t.Errorf("memory of one process and of two (-one +two):\n%s", diff)
	}

	other := openTest(t, t.TempDir(), 8)
	advance(t, other, 800)
	if cmp.Equal(content(t, whole), content(t, other)) {
		t.Error("two seeds tell the same story")
	}
}

// TestWorkloadIsLeadToCash: what the demo promises to show does happen.
func TestWorkloadIsLeadToCash(t *testing.T) {
	w := openTest(t, t.TempDir(), 7)
	advance(t, w, 3000)
	for _, test := range []struct{ system, what, query string }{
		{"crm", "a lead became a customer", "SELECT count(*) FROM lead JOIN customer ON lead_id = lead.id WHERE status = 'converted'"},
		{"crm", "a lead was removed", "SELECT max(id) - count(*) FROM lead"},
		{"crm", "a name is Chinese", "SELECT count(*) FROM customer WHERE name GLOB '*[一-龥]*'"},
		{"crm", "a name has a Latin letter beyond ASCII", "SELECT count(*) FROM customer WHERE name GLOB '*[À-ž]*'"},
		{"crm", "a budget is null", "SELECT count(*) FROM lead WHERE budget IS NULL"},
		{"crm", "a budget has cents", "SELECT count(*) FROM lead WHERE budget <> round(budget)"},
		{"shop", "an order is new", "SELECT count(*) FROM orders WHERE state = 'new'"},
		{"shop", "an order is paid", "SELECT count(*) FROM orders WHERE state = 'paid' AND paid_at > placed_at"},
		{"shop", "an order is shipped", "SELECT count(*) FROM orders WHERE state = 'shipped'"},
		{"shop", "an order is delivered", "SELECT count(*) FROM orders WHERE state = 'delivered'"},
		{"shop", "an order was purged", "SELECT max(id) - count(*) FROM orders"},
		{"shop", "an order has several lines", "SELECT max(line) - 1 FROM order_line"},
		{"shop", "a product is off the market", "SELECT count(*) FROM product WHERE NOT active"},
		{"wms", "stock is reserved", "SELECT sum(reserved) FROM inventory"},
		{"wms", "stock was counted", "SELECT count(counted_at) FROM inventory"},
	} {
		var n int
		if err := w.databases[test.system].QueryRowContext(t.Context(), test.query).Scan(&n); err != nil || n <= 0 {
			t.Errorf("%s: %d, %v, want more than 0", test.what, n, err)
		}
	}
	for _, test := range []struct{ what, query string }{
		{"lines without an order", "SELECT count(*) FROM order_line WHERE order_id NOT IN (SELECT id FROM orders)"},
		{"orders that are not the sum of their lines", `SELECT count(*) FROM orders o WHERE abs(net -
			(SELECT sum(quantity * price) FROM order_line WHERE order_id = o.id)) > 0.001`},
	} {
		var n int
		if err := w.databases["shop"].QueryRowContext(t.Context(), test.query).Scan(&n); err != nil || n != 0 {
			t.Errorf("%s: %d, %v, want 0", test.what, n, err)
		}
	}
}

func TestWorkStopsWithItsContext(t *testing.T) {
	w := openTest(t, t.TempDir(), 7)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := w.work(ctx, 0, 1); err != nil || w.made.Load() != 0 {
		t.Errorf("work with a cancelled context made %d changes, %v", w.made.Load(), err)
	}
}
