package main

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"syncline/internal/ops"
	"syncline/internal/testserver"
)

// polled is a program that polls a PostgreSQL database and a SQLite file into a PostgreSQL database, and is asked for it by its API.
type polled struct {
	*program
	shop, dw *pgxpool.Pool
	till     *sql.DB
}

func newPolled(t *testing.T) *polled {
	t.Helper()
	pg := testserver.NewPostgres(t)
	p := &polled{}
	shop, dw := pg.Database(t), pg.Database(t)
	p.shop, p.dw = connect(t, shop), connect(t, dw)
	mustExec(t, p.shop, `CREATE TABLE orders (id int PRIMARY KEY, v int NOT NULL, changed timestamptz NOT NULL DEFAULT now())`)
	mustExec(t, p.shop, `CREATE INDEX ON orders (changed)`)
	dir := t.TempDir()
	p.till = openSQLite(t, filepath.Join(dir, "till.db"))
	p.write(`CREATE TABLE sale (id INTEGER PRIMARY KEY, v INTEGER NOT NULL, changed DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')), gone BOOLEAN)`)
	p.program = newProgram(t, fmt.Sprintf(`
systems:
  shop: {type: postgres, url: %q, capture: {mode: poll, entities: {order: {table: orders, watermark: changed, every: 1h}}}}
  till: {type: sqlite, path: %q, capture: {mode: poll, entities: {sale: {watermark: changed, deleted: {field: gone}, every: 1h}}}}
  dw: {type: postgres, url: %q}
rules:
  - {id: orders, from: shop/order, to: dw/orders, create: true}
  - {id: sales, from: till/sale, to: dw/sale, create: true}
`, shop, filepath.Join(dir, "till.db"), dw))
	return p
}

func (p *polled) write(statements ...string) {
	for _, s := range statements {
		if _, err := p.till.ExecContext(context.Background(), s); err != nil {
			panic(fmt.Sprintf("%s: %v", s, err))
		}
	}
}

// ask starts a run of each of the two entities by the API and waits for their ends.
func (p *polled) ask(kind string, force bool) (rows int64) {
	p.t.Helper()
	for _, of := range [][2]string{{"shop", "order"}, {"till", "sale"}} {
		id, err := p.client().StartSync(p.t.Context(), ops.SyncRequest{Source: of[0], Entity: of[1], Kind: kind, Force: force})
		if err != nil {
			p.t.Fatal(err)
		}
		eventually(p.t, kind+" of "+of[0], func(ctx context.Context) error {
			s, err := p.client().Sync(ctx, id)
			if err == nil && s.Status != "done" {
				err = fmt.Errorf("it is %s %s", s.Status, s.Error)
			}
			if err == nil {
				rows += s.Rows
			}
			return err
		})
	}
	return rows
}

// equal waits until the targets hold what the sources do.
func (p *polled) equal() {
	p.t.Helper()
	eventually(p.t, "the targets are as the sources", func(ctx context.Context) error {
		want, err := table(ctx, p.shop, "id, v", "orders")
		if err != nil {
			return err
		}
		got, err := table(ctx, p.dw, "id, v", "orders")
		if err != nil {
			return err
		}
		rows, err := p.till.QueryContext(ctx, "SELECT id, v FROM sale WHERE gone IS NOT TRUE ORDER BY '(' || id || ',' || v || ')'")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id, v int
			if err := rows.Scan(&id, &v); err != nil {
				return err
			}
			want = append(want, fmt.Sprintf("(%d,%d)", id, v))
		}
		sales, err := table(ctx, p.dw, "id, v", "sale")
		if err != nil {
			return err
		}
		if diff := cmp.Diff(want, append(got, sales...)); diff != "" {
			return fmt.Errorf("(-want +got):\n%s", diff)
		}
		return rows.Err()
	})
}

// TestPolledDatabases: what writers do arrives by polls that are asked for, also what commits late, and wherever the process dies.
func TestPolledDatabases(t *testing.T) {
	p := newPolled(t)
	const touch = ", changed = strftime('%Y-%m-%d %H:%M:%f', 'now')"
	mustExec(t, p.shop, "INSERT INTO orders SELECT n, n FROM generate_series(1, 3000) n")
	p.write("INSERT INTO sale (id, v) WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 3000) SELECT n, n FROM s")
	p.start()
	p.ready()
	p.equal()
	if n := p.ask("incremental", false); n != 0 {
		t.Errorf("%d events of nothing new", n)
	}
	step := 0
	change := func() {
		step++
		mustExec(t, p.shop, fmt.Sprintf("UPDATE orders SET v = v + 10000, changed = now() WHERE id %% 5 = %d", step%5))
		mustExec(t, p.shop, fmt.Sprintf("INSERT INTO orders VALUES (%d, 0)", 10000+step))
		mustExec(t, p.shop, fmt.Sprintf("DELETE FROM orders WHERE id = %d", step))
		p.write(fmt.Sprintf("UPDATE sale SET v = v + 10000%s WHERE id %% 5 = %d", touch, step%5), fmt.Sprintf("INSERT INTO sale (id, v) VALUES (%d, 0)", 10000+step),
			fmt.Sprintf("DELETE FROM sale WHERE id = %d", step), fmt.Sprintf("UPDATE sale SET gone = true%s WHERE id = %d", touch, 100+step))
	}
	late, err := p.shop.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := late.Exec(t.Context(), "INSERT INTO orders VALUES (20000, 1)"); err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{"poll.noted", "poll.noted:2", "capture.append.before", "capture.append.after", "capture.confirm.after", "apply.write.after"} {
		if err := p.stop(); err != nil {
			t.Fatal(err)
		}
		p.start("SYNCLINE_FAILPOINT=" + at)
		p.ready()
		change()
		for _, of := range [][2]string{{"shop", "order"}, {"till", "sale"}} {
			_, _ = p.client().StartSync(t.Context(), ops.SyncRequest{Source: of[0], Entity: of[1], Kind: "incremental"}) // it may die before it answers
		}
		if err := p.died(); err == nil {
			t.Fatalf("the process did not die at %s", at)
		}
		p.start()
		p.ready()
		p.ask("incremental", false)
		p.ask("sweep", false)
		p.equal()
	}
	if err := late.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.ask("incremental", false)
	p.equal()
	if n := p.ask("incremental", false); n != 0 {
		t.Errorf("%d events of nothing new", n)
	}
	mustExec(t, p.shop, "DELETE FROM orders")
	p.write("DELETE FROM sale")
	p.ask("sweep", true)
	p.equal()
}
