package main

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"syncline/internal/testserver"
)

// TestApplyAnEntity adds a table to a PostgreSQL source that is written to all the while: it is published and copied, what was captured
// before goes on, and nothing of either is left out. Then the source is taken away, and brought back.
func TestApplyAnEntity(t *testing.T) {
	pg := testserver.NewPostgres(t, "fsync=off")
	srcURL, dstURL := pg.Database(t), pg.Database(t)
	src, dst := connect(t, srcURL), connect(t, dstURL)
	for _, table := range []string{"item", "price"} {
		mustExec(t, src, fmt.Sprintf(`CREATE TABLE %s (id int PRIMARY KEY, ver int NOT NULL)`, table))
		mustExec(t, src, fmt.Sprintf(`INSERT INTO %s SELECT n, 0 FROM generate_series(1, 100) n`, table))
	}
	p := newProgram(t, fmt.Sprintf(`
systems:
  crm: {type: postgres, url: %q, capture: {manage: true, entities: {item: {table: item}}}}
  dw: {type: postgres, url: %q}
rules:
  - {id: item, from: crm/item, to: dw/item, create: true}
`, srcURL, dstURL))
	p.start()
	p.ready()
	p.caughtUp()
	before := p.routes()["item"]
	ctx, stop := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	writing.Go(func() {
		for n := 1; ctx.Err() == nil; n++ {
			for _, table := range []string{"item", "price"} {
				if _, err := src.Exec(ctx, fmt.Sprintf(`UPDATE %s SET ver = $1 WHERE id = $2`, table), n, 1+n%100); err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		}
	})
	t.Cleanup(func() { stop(); writing.Wait() })
	wider := p.edited("item: {table: item}", "item: {table: item}, price: {table: price}", "rules:", "rules:\n  - {id: price, from: crm/price, to: dw/price, create: true}")
	for range 3 { // the source is opened again each time
		p.command(exitOK, "apply", "-c", wider, "--server", p.url())
		p.command(exitOK, "apply", "-c", p.config, "--server", p.url())
	}
	p.command(exitOK, "apply", "-c", wider, "--server", p.url())
	stop()
	writing.Wait()
	same := func(tables ...string) {
		t.Helper()
		for _, table := range tables {
			eventually(t, table+" is the same on both sides", func(ctx context.Context) error {
				query := fmt.Sprintf(`SELECT coalesce(string_agg(id || ':' || ver, ' ' ORDER BY id), '') FROM %s`, table)
				var want, got string
				if err := src.QueryRow(ctx, query).Scan(&want); err != nil {
					return err
				}
				if err := dst.QueryRow(ctx, query).Scan(&got); err != nil {
					return err
				}
				if got != want {
					return fmt.Errorf("target has %.200s, source %.200s", got, want)
				}
				return nil
			})
		}
	}
	same("item", "price")
	p.caughtUp()
	if r := p.routes()["item"]; r.Since != before.Since || r.Cursor.Epoch != before.Cursor.Epoch {
		t.Errorf("the route of the other entity was touched: %+v, was %+v", r, before)
	}

	without := p.edited("capture: {manage: true, entities: {item: {table: item}}}", "", ", }", "}", "  - {id: item, from: crm/item, to: dw/item, create: true}\n", "",
		"rules:", "rules: []")
	p.command(exitOK, "apply", "-c", without, "--server", p.url())
	mustExec(t, src, `UPDATE item SET ver = -1`)
	if s := p.system("crm"); s.Log != nil {
		t.Errorf("a source that was taken away: %+v", s)
	}
	p.command(exitOK, "apply", "-c", wider, "--server", p.url())
	same("item", "price")
}
