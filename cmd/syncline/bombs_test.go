package main

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"syncline/internal/ops"
)

// bombs are expressions of a condition that must not be let run, by what they use up. RECORD is the record.
var bombs = `RECORD.bomb == "loop" ? all(1..100000, all(1..100000, all(1..100000, true))) :
  RECORD.bomb == "memory" ? len(reduce(1..1000, #acc + #acc, "0123456789")) > 0 :
  RECORD.bomb == "depth" ? fromJSON(repeat("[", 1000000)) == nil :
  RECORD.bomb == "numbers" ? all(1..400000, decimal(repeat("9", 9000)) > 0) :
  RECORD.bomb == "pattern" ? all(1..1000, repeat("a", 100000) matches "((a?){30}){30}b" ? true : true) : true`

// TestExpressionBombs: wherever an expression may stand, one that runs away ends soon, as a task that says so. All other records arrive,
// and the process lives.
func TestExpressionBombs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open := func(name string) *sql.DB { return openSQLite(t, filepath.Join(dir, name)) }
	app, report := open("app.db"), open("report.db")
	exec := func(db *sql.DB, text string) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	exec(app, `CREATE TABLE t (id INTEGER PRIMARY KEY, bomb TEXT, n INTEGER)`)
	exec(app, `INSERT INTO t VALUES (1, 'none', 0), (2, 'none', 0), (3, 'none', 0), (4, 'none', 0), (5, 'none', 0), (6, 'none', 0)`)
	in := func(record string) string {
		return strings.Join(strings.Fields(strings.ReplaceAll(bombs, "RECORD", record)), " ")
	}
	rules := map[string]string{
		"when":       fmt.Sprintf("when: '%s'", in("after")),
		"filter":     fmt.Sprintf("transform: [{filter: '%s'}]", in("after")),
		"set":        fmt.Sprintf("transform: [{set: {ok: '%s'}}]", in("after")),
		"calculate":  fmt.Sprintf("transform: [{calculate: {ok: {value: '(%s) ? 1 : 0', kind: int}}}]", in("after")),
		"split":      fmt.Sprintf("transform: [{set: {list: '[{\"part\": 1}]'}}, {split: {field: list, index: place, fields: {part: int}, with: [bomb, n]}}, {filter: '%s'}]", in("after")),
		"business":   fmt.Sprintf("conflict: {detect: [business], strategy: last_write_wins, business: [{name: never, when: '!(%s)'}]}", in("ours")),
		"expression": fmt.Sprintf("conflict: {detect: [data], strategy: last_write_wins, fields: {n: {expression: '(%s) ? ours.n : 0'}}}", in("ours")),
	}
	var text strings.Builder
	for name, rule := range rules {
		fmt.Fprintf(&text, "  - {id: %[1]s, from: app/t, to: report/%[1]s_t, create: true, retry: {max: 2, delay: 10ms}, %[2]s}\n", name, rule)
	}
	p := newProgram(t, fmt.Sprintf("systems:\n  app: {type: sqlite, path: %[1]s/app.db, capture: {manage: true, entities: {t: {}}}}\n"+
		"  report: {type: sqlite, path: %[1]s/report.db}\nrules:\n%[2]s", dir, text.String()))
	p.start()
	count := func(name, where string, want int) {
		t.Helper()
		eventually(t, name, func(ctx context.Context) error {
			var n int
			if err := report.QueryRowContext(ctx, `SELECT count(*) FROM `+name+`_t WHERE `+where).Scan(&n); err != nil {
				return err
			}
			if n != want {
				return fmt.Errorf("%d records where %s, want %d", n, where, want)
			}
			return nil
		})
	}
	for name := range rules {
		count(name, "n = 0", 6)
	}
	// Somebody else changes the field that is decided about by an expression.
	exec(report, `UPDATE expression_t SET n = 7`)
	exec(app, `UPDATE t SET n = 1, bomb = CASE id WHEN 1 THEN 'loop' WHEN 2 THEN 'memory' WHEN 3 THEN 'depth' WHEN 4 THEN 'numbers' WHEN 5 THEN 'pattern' ELSE 'none' END`)
	exec(app, `INSERT INTO t VALUES (7, 'none', 1)`)
	for name := range rules {
		count(name, "n = 1", 2)
		eventually(t, name, func(ctx context.Context) error {
			page, err := p.client().Tasks(ctx, ops.TaskQuery{Choice: ops.Choice{Rule: name, Status: "failed"}, Limit: 100})
			if err != nil {
				return err
			}
			var got []string
			for _, x := range page.Items {
				got = append(got, x.Key+" "+x.Code+" "+x.Error)
			}
			if len(got) != 5 {
				return fmt.Errorf("%d tasks failed, want the five bombs: %q", len(got), got)
			}
			for _, one := range got {
				if !strings.Contains(one, "expression_failed") && !strings.Contains(one, "transform_failed") || strings.HasSuffix(one, "_failed ") {
					return fmt.Errorf("task %q, want an expression or transform that failed, and why", one)
				}
			}
			return nil
		})
	}
	if err := p.stop(); err != nil {
		t.Errorf("stop = %v, want a clean exit", err)
	}
}
