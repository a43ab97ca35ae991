package demo

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"syncline"
)

// memoryTable is the generator's own, in each source: no entity is captured from it.
const memoryTable = `CREATE TABLE IF NOT EXISTS demo_memory (one INTEGER PRIMARY KEY CHECK (one = 1), step INTEGER NOT NULL, content TEXT NOT NULL)`

// schemas are the sources by the names of their systems.
var schemas = []struct{ system, tables string }{
	{"crm", `
CREATE TABLE IF NOT EXISTS lead (
	id INTEGER PRIMARY KEY, name TEXT NOT NULL, company TEXT, email TEXT NOT NULL, phone TEXT, origin TEXT NOT NULL,
	status TEXT NOT NULL, score INTEGER NOT NULL, budget DECIMAL(12,2), notes TEXT, created_at TIMESTAMP NOT NULL,
	qualified_at TIMESTAMP);
CREATE INDEX IF NOT EXISTS lead_status ON lead (status);
CREATE TABLE IF NOT EXISTS customer (
	id TEXT PRIMARY KEY NOT NULL, lead_id INTEGER, name TEXT NOT NULL, company TEXT, email TEXT NOT NULL, phone TEXT,
	country TEXT NOT NULL, tier TEXT NOT NULL, vip BOOLEAN NOT NULL, credit_limit DECIMAL(12,2), since TIMESTAMP NOT NULL)`},
	{"shop", `
CREATE TABLE IF NOT EXISTS product (
	sku TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL, category TEXT NOT NULL, price DECIMAL(10,2) NOT NULL,
	weight_kg DECIMAL(8,3), active BOOLEAN NOT NULL, description TEXT, updated_at TIMESTAMP NOT NULL);
CREATE TABLE IF NOT EXISTS orders (
	id INTEGER PRIMARY KEY, customer_id TEXT NOT NULL, state TEXT NOT NULL, channel TEXT NOT NULL, currency TEXT NOT NULL,
	net DECIMAL(12,2) NOT NULL, discount DECIMAL(12,2), tax_rate DECIMAL(5,4) NOT NULL, express BOOLEAN NOT NULL, note TEXT,
	placed_at TIMESTAMP NOT NULL, paid_at TIMESTAMP, shipped_at TIMESTAMP);
CREATE INDEX IF NOT EXISTS orders_state ON orders (state);
CREATE TABLE IF NOT EXISTS order_line (
	order_id INTEGER NOT NULL, line INTEGER NOT NULL, sku TEXT NOT NULL, quantity INTEGER NOT NULL,
	price DECIMAL(10,2) NOT NULL, PRIMARY KEY (order_id, line))`},
	{"wms", `
CREATE TABLE IF NOT EXISTS inventory (
	sku TEXT NOT NULL, location TEXT NOT NULL, on_hand INTEGER NOT NULL, reserved INTEGER NOT NULL, reorder_at INTEGER,
	unit_cost DECIMAL(10,4), counted_at TIMESTAMP, PRIMARY KEY (sku, location))`},
	// The books are asked for what is new: every change has a number, and each invoice counts its own.
	{books, `
CREATE TABLE IF NOT EXISTS invoice (
	id INTEGER PRIMARY KEY, customer_id TEXT NOT NULL, amount DECIMAL(12,2) NOT NULL, currency TEXT NOT NULL,
	state TEXT NOT NULL, void BOOLEAN NOT NULL, version INTEGER NOT NULL, changed INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS invoice_changed ON invoice (changed, id)`},
}

// books is the source that is polled.
const books = "books"

// openDatabase opens a file of the demo for one connection. What is committed survives a power cut.
func openDatabase(ctx context.Context, dir, name, tables string) (*sql.DB, error) {
	path := filepath.Join(dir, name+".db")
	q := url.Values{"_txlock": {"immediate"}, "_pragma": {"busy_timeout(10000)", "journal_mode(wal)", "synchronous(full)"}}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, tables); err != nil {
		_ = db.Close() // the reason is err
		return nil, syncline.Errorf(syncline.Fatal, "demo_database", "prepare %s: %w", path, err).
			WithFix("remove the demo's directory to begin anew, or name another with --dir")
	}
	return db, nil
}
