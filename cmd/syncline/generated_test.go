package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	goredis "github.com/redis/go-redis/v9"

	"syncline/internal/ops"
	"syncline/internal/testserver"
)

// PostgreSQL does not send what it computes. Rules whose transform changes the record go on without that column, in targets of
// whole records too, and say so; a rule that needs its value stops at once and names it.
func TestTransformsOfATableWithAGeneratedColumn(t *testing.T) {
	pg, rd := testserver.NewPostgres(t), testserver.NewRedis(t)
	srcURL, dstURL := pg.Database(t), pg.Database(t)
	src, dst := connect(t, srcURL), connect(t, dstURL)
	options, err := goredis.ParseURL(rd.URL())
	if err != nil {
		t.Fatal(err)
	}
	cache := goredis.NewClient(options)
	t.Cleanup(func() { _ = cache.Close() })
	mustExec(t, src, `CREATE TABLE line (id int PRIMARY KEY, qty int NOT NULL, price int NOT NULL, total int GENERATED ALWAYS AS (qty * price) STORED)`)
	mustExec(t, src, `INSERT INTO line (id, qty, price) VALUES (1, 2, 10), (2, 3, 10)`)
	p := newProgram(t, fmt.Sprintf(`
systems:
  crm: {type: postgres, url: %q, capture: {manage: true, slot: generated, publication: generated, entities: {line: {table: line}}}}
  dw: {type: postgres, url: %q}
  cache: {type: redis, url: %q}
rules:
  - {id: left-out, from: crm/line, to: cache/plain, transform: [{rename: {qty: n}}]}
  - {id: computed, from: crm/line, to: cache/sum, transform: [{set: {total: 'after.qty * after.price'}}]}
  - {id: table, from: crm/line, to: dw/line, create: true, transform: [{rename: {qty: n}}]}
  - {id: step, from: crm/line, to: cache/step, transform: [{set: {double: 'after.total * 2'}}]}
  - {id: condition, from: crm/line, to: cache/condition, conditions: [{field: total, operator: greater_than, value: 5}]}
`, srcURL, dstURL, rd.URL()))
	p.start()
	p.answers()
	holds := func(what string, want map[string]string, lines []string) {
		t.Helper()
		eventually(t, what, func(ctx context.Context) error {
			got := map[string]string{}
			keys, err := cache.Keys(ctx, "[ps][lu][am]*").Result()
			if err != nil {
				return err
			}
			for _, k := range keys {
				if got[k], err = cache.Get(ctx, k).Result(); err != nil {
					return err
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				return fmt.Errorf("cache (-want +got):\n%s", diff)
			}
			rows, err := table(ctx, dst, "id, n, price", "line")
			if err == nil && !slices.Equal(rows, lines) {
				err = fmt.Errorf("table = %q, want %q", rows, lines)
			}
			return err
		})
	}
	holds("first copy", map[string]string{
		"plain:1": `{"id":1,"n":2,"price":10}`, "plain:2": `{"id":2,"n":3,"price":10}`,
		"sum:1": `{"id":1,"qty":2,"price":10,"total":20}`, "sum:2": `{"id":2,"qty":3,"price":10,"total":30}`,
	}, []string{"(1,2,10)", "(2,3,10)"})
	mustExec(t, src, `INSERT INTO line (id, qty, price) VALUES (3, 1, 1); UPDATE line SET qty = 4 WHERE id = 1; DELETE FROM line WHERE id = 2`)
	holds("changes", map[string]string{
		"plain:1": `{"id":1,"n":4,"price":10}`, "plain:3": `{"id":3,"n":1,"price":1}`,
		"sum:1": `{"id":1,"qty":4,"price":10,"total":40}`, "sum:3": `{"id":3,"qty":1,"price":1,"total":1}`,
	}, []string{"(1,4,10)", "(3,1,1)"})
	routes := p.routes()
	for id, parts := range map[string][]string{"left-out": {"total", "left out"}, "table": {"total", "left out"}} {
		if w := strings.Join(routes[id].Warnings, "\n"); !strings.Contains(w, parts[0]) || !strings.Contains(w, parts[1]) {
			t.Errorf("warnings of route %s = %q, want one that total is left out", id, w)
		}
	}
	if w := routes["computed"].Warnings; slices.ContainsFunc(w, func(w string) bool { return strings.Contains(w, "left out") }) {
		t.Errorf("warnings of a route that computes the column = %q", w)
	}
	c := p.client()
	eventually(t, "rules that need the value halt", func(ctx context.Context) error {
		list, err := c.Routes(ctx)
		for _, r := range list {
			if needs := r.ID == "step" || r.ID == "condition"; needs &&
				(r.State != ops.RouteHalted || r.Error == nil || r.Error.Code != "column_computed" || !strings.Contains(r.Error.Text, `"total"`)) {
				err = fmt.Errorf("route %s is %s, error %+v, want column_computed of total", r.ID, r.State, r.Error)
			}
		}
		return err
	})
}
