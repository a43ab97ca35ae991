package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"

	"syncline/internal/testserver"
)

// TestEnrichmentFromAFileAndAnotherEntity: records take fields from a customer that another source has and from a price list. One whose
// customer is not there yet waits, and comes by itself; a changed list counts for what comes after.
func TestEnrichmentFromAFileAndAnotherEntity(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	url := testserver.NewPostgres(t, "fsync=off").Database(t)
	crm, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer crm.Close(context.Background()) //nolint:errcheck // the end of a test
	insert := func(text string) {
		t.Helper()
		if _, err := crm.Exec(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	insert(`CREATE TABLE customer (id int PRIMARY KEY, name text, tier text); INSERT INTO customer VALUES (1, 'Ann', 'gold')`)
	db := func(name string) *sql.DB { return openSQLite(t, filepath.Join(dir, name)) }
	shop, report := db("shop.db"), db("report.db")
	order := func(text string) {
		t.Helper()
		if _, err := shop.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	list := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "prices.csv"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	list("sku,price\nA,9.90\n")
	order(`CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT, sku TEXT); INSERT INTO orders VALUES (1, '1', 'A'), (2, '2', 'A'), (3, '1', 'B')`)
	p := newProgram(t, fmt.Sprintf(`systems:
  shop: {type: sqlite, path: %[1]s/shop.db, capture: {manage: true, entities: {orders: {}}}}
  crm: {type: postgres, url: "${CRM_URL}", capture: {manage: true, entities: {customer: {table: public.customer}}}}
  report: {type: sqlite, path: %[1]s/report.db}
rules:
  - id: orders
    from: shop/orders
    to: report/orders
    create: true
    retry: {delay: 100ms, max_delay: 1s}
    transform:
      - enrich: {by: after.customer, entity: crm/customer, take: {name: customer_name, tier: tier}, missing: wait}
      - enrich: {by: after.sku, file: {path: %[1]s/prices.csv, key: sku, reload: 10ms}, take: {price: {kind: decimal, default: 0}}, missing: default}
`, dir), "CRM_URL="+url)
	p.start()
	want := func(query, want string) {
		t.Helper()
		eventually(t, query, func(ctx context.Context) error {
			var got sql.NullString
			if err := report.QueryRowContext(ctx, query).Scan(&got); err != nil {
				return err
			}
			if got.String != want {
				return fmt.Errorf("got %q, want %q", got.String, want)
			}
			return nil
		})
	}
	all := `SELECT group_concat(id || ' ' || customer_name || ' ' || tier || ' ' || price, ', ') FROM (SELECT * FROM orders ORDER BY id)`
	want(all, "1 Ann gold 9.90, 3 Ann gold 0")
	insert(`INSERT INTO customer VALUES (2, 'Bo', 'silver')`)
	want(all, "1 Ann gold 9.90, 2 Bo silver 9.90, 3 Ann gold 0")
	list("sku,price\nA,9.90\nB,2.5\n")
	order(`INSERT INTO orders VALUES (4, '2', 'B')`)
	want(all, "1 Ann gold 9.90, 2 Bo silver 9.90, 3 Ann gold 0, 4 Bo silver 2.5")
	if err := p.stop(); err != nil {
		t.Errorf("stop = %v, want a clean exit", err)
	}
}
