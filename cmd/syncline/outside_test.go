package main

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	"syncline/internal/ops"
)

// TestStepsThatAskOutside: scripts that break every limit park their own records, one whose enrichment is not there yet waits and comes
// by itself, and everything else arrives, across a kill -9.
func TestStepsThatAskOutside(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open := func(name string) *sql.DB { return openSQLite(t, filepath.Join(dir, name)) }
	exec := func(db *sql.DB, text string) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	shop, crm, report := open("shop.db"), open("crm.db"), open("report.db")
	exec(shop, `CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT, net DECIMAL(12,2), bomb TEXT)`)
	exec(shop, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 2000)
		INSERT INTO orders SELECT i, 'c' || (i % 3), '10.50', CASE i WHEN 100 THEN 'loop' WHEN 200 THEN 'memory' WHEN 300 THEN 'depth' WHEN 400 THEN 'throw' END FROM n`)
	exec(crm, `CREATE TABLE customer (id TEXT PRIMARY KEY, name TEXT)`)
	exec(crm, `INSERT INTO customer VALUES ('c0', 'Ann'), ('c1', 'Bo')`)
	p := newProgram(t, fmt.Sprintf(`systems:
  shop: {type: sqlite, path: %[1]s/shop.db, capture: {manage: true, entities: {orders: {}}}}
  crm: {type: sqlite, path: %[1]s/crm.db}
  report: {type: sqlite, path: %[1]s/report.db}
rules:
  - id: orders
    from: shop/orders
    to: report/orders
    create: true
    retry: {delay: 100ms}
    transform:
      - enrich:
          by: after.customer
          sql: {system: crm, query: "SELECT id, name FROM customer WHERE id IN (SELECT value FROM json_each($1))", key: id}
          take: {name: customer_name}
          missing: wait
      - script:
          memory: 96MiB
          code: |
            switch (after.bomb) {
              case "loop": for (;;) {}
              case "memory": for (let a = [];;) a.push("x".repeat(4e6));
              case "depth": (function f() { f() })();
              case "throw": throw new Error(after.customer_name);
            }
            after.label = after.customer_name + " " + after.id;
            return after;
          fields: {label: text}
          timeout: 2s
      - drop: [bomb]
`, dir))
	p.start()
	count := func(query string, want int) {
		t.Helper()
		eventually(t, query, func(ctx context.Context) error {
			var n int
			if err := report.QueryRowContext(ctx, query).Scan(&n); err != nil {
				return err
			}
			if n != want {
				return fmt.Errorf("%d records, want %d", n, want)
			}
			return nil
		})
	}
	codes := func(want map[string]int) {
		t.Helper()
		eventually(t, "parked", func(ctx context.Context) error {
			page, err := p.client().Tasks(ctx, ops.TaskQuery{Choice: ops.Choice{Code: ""}, Limit: 1000})
			if err != nil {
				return err
			}
			got := map[string]int{}
			for _, x := range page.Items {
				if x.Code != "" {
					got[x.Code]++
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				return fmt.Errorf("tasks %v, want %v", got, want)
			}
			return nil
		})
	}
	// Of every third record the customer is not there yet: c2. Of the bombs, 200 is one of those.
	count(`SELECT count(*) FROM orders WHERE label = customer_name || ' ' || id AND net = '10.50'`, 1330)
	p.kill()
	p.start()
	exec(crm, `INSERT INTO customer VALUES ('c2', 'Cy')`)
	count(`SELECT count(*) FROM orders WHERE label = customer_name || ' ' || id`, 1996)
	codes(map[string]int{"script_timeout": 1, "script_memory": 1, "script_depth": 1, "script_failed": 1})
	exec(shop, `UPDATE orders SET bomb = NULL WHERE id = 200`)
	count(`SELECT count(*) FROM orders WHERE label = customer_name || ' ' || id`, 1997)
	if err := p.stop(); err != nil {
		t.Errorf("stop = %v, want a clean exit", err)
	}
}
