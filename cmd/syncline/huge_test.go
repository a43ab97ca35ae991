package main

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline/internal/ops"
	"syncline/internal/state"
	"syncline/internal/testserver"
)

// failed waits until these are the tasks that failed: their keys and codes, in the order in which they were parked.
func (p *program) failed(want ...string) {
	p.t.Helper()
	eventually(p.t, "parked", func(ctx context.Context) error {
		page, err := p.client().Tasks(ctx, ops.TaskQuery{Choice: ops.Choice{Status: state.TaskFailed}})
		if err != nil {
			return err
		}
		got := []string{}
		for _, x := range page.Items {
			got = append(got, x.Key+" "+x.Code)
		}
		if diff := cmp.Diff(append([]string{}, want...), got); diff != "" {
			return fmt.Errorf("tasks (-want +got):\n%s", diff)
		}
		return nil
	})
}

// nothingParked waits until no task waits any more.
func (p *program) nothingParked() {
	p.t.Helper()
	eventually(p.t, "nothing is parked", func(context.Context) error {
		for id, r := range p.routes() {
			if r.Counts.Parked > 0 || r.State != ops.RouteRunning {
				return fmt.Errorf("route %s is %s with %d tasks parked", id, r.State, r.Counts.Parked)
			}
		}
		return nil
	})
}

// TestAHugeRowTravelsAsAStub: a row of 40 MB in the first copy, and one in the middle of a transaction, harm no other row. They are
// parked under their keys, reading one again tells no more, and once they are small they arrive.
func TestAHugeRowTravelsAsAStub(t *testing.T) {
	pg := testserver.NewPostgres(t)
	srcURL, dstURL := pg.Database(t), pg.Database(t)
	src, dst := connect(t, srcURL), connect(t, dstURL)
	const huge = `repeat('x', 40 << 20)`
	mustExec(t, src, `CREATE TABLE doc (id int PRIMARY KEY, name text, body text)`)
	mustExec(t, src, `ALTER TABLE doc REPLICA IDENTITY FULL`)
	mustExec(t, src, `INSERT INTO doc VALUES (1, 'copied', 'small'), (2, 'copied', `+huge+`), (3, 'copied', 'small')`)
	p := newProgram(t, fmt.Sprintf(`
systems:
  crm: {type: postgres, url: %q, capture: {manage: true, entities: {doc: {table: doc}}}}
  dw: {type: postgres, url: %q}
rules:
  - {id: doc-dw, from: crm/doc, to: dw/doc, create: true}
`, srcURL, dstURL))
	p.start()
	p.ready()
	target := func(want string) {
		t.Helper()
		eventually(t, "the target", func(ctx context.Context) error {
			rows, err := table(ctx, dst, "id, name, body", "doc")
			if diff := cmp.Diff(want, strings.Join(rows, " ")); err == nil && diff != "" {
				err = fmt.Errorf("it differs (-want +got):\n%s", diff)
			}
			return err
		})
	}
	p.failed("2 row_too_large")

	mustExec(t, src, `WITH a AS (INSERT INTO doc VALUES (4, 'new', 'small'), (5, 'new', `+huge+`), (6, 'new', 'small')) SELECT`)
	mustExec(t, src, `UPDATE doc SET name = 'again' WHERE id IN (2, 3)`) // of 2 the body did not change, and is in the old row too
	p.failed("5 row_too_large", "2 row_too_large")
	target("(1,copied,small) (3,again,small) (4,new,small) (6,new,small)")

	client := p.client()
	page, err := client.Tasks(t.Context(), ops.TaskQuery{Choice: ops.Choice{Status: state.TaskFailed, Key: "5"}})
	if err != nil {
		t.Fatal(err)
	}
	task := page.Items[0]
	shown, err := client.Task(t.Context(), task.ID)
	if err != nil {
		t.Fatal(err)
	}
	want := &ops.Record{EventID: shown.Record.EventID, Position: shown.Record.Position, Time: shown.Record.Time, Op: "created",
		Size: 40<<20 + 4, After: []byte(`{"id":5}`)}
	if diff := cmp.Diff(want, shown.Record); diff != "" {
		t.Errorf("record of the task (-want +got):\n%s", diff)
	}
	if err := client.RetryTask(t.Context(), task.ID, ""); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the record is read again", func(ctx context.Context) error {
		x, err := client.Task(ctx, task.ID)
		if err == nil && x.Status != state.TaskCompleted {
			err = fmt.Errorf("the task is %s", x.Status)
		}
		return err
	})
	p.failed("2 row_too_large", "5 row_too_large")

	mustExec(t, src, `UPDATE doc SET body = 'shrunk' WHERE id = 2`)
	mustExec(t, src, `DELETE FROM doc WHERE id = 5`)
	p.nothingParked()
	target("(1,copied,small) (2,again,shrunk) (3,again,small) (4,new,small) (6,new,small)")
}

// TestAHugeRowOfSQLite: its triggers keep the old row of every update, and the change table the new one.
func TestAHugeRowOfSQLite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shop.db")
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // the test is over
	exec := func(statement string) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	exec(`PRAGMA journal_mode = WAL`)
	exec(`CREATE TABLE doc (id INTEGER PRIMARY KEY, name TEXT, body TEXT)`)
	exec(`INSERT INTO doc VALUES (1, 'copied', 'small')`)
	target := filepath.Join(t.TempDir(), "report.db")
	p := newProgram(t, fmt.Sprintf(`
systems:
  shop: {type: sqlite, path: %q, capture: {manage: true, entities: {doc: {table: doc}}}}
  report: {type: sqlite, path: %q}
rules:
  - {id: doc-report, from: shop/doc, to: report/doc, create: true}
`, path, target))
	p.start()
	p.ready()
	exec(`INSERT INTO doc VALUES (2, 'new', 'small'), (3, 'new', printf('%.*c', 17 << 20, 'x'))`)
	exec(`UPDATE doc SET body = body || body WHERE id = 3`) // 34 MB, and the old row
	exec(`UPDATE doc SET name = 'again' WHERE id = 3`)      // the body did not change
	exec(`INSERT INTO doc VALUES (4, 'new', 'small')`)
	p.failed("3 row_too_large")
	p.caughtUp()
	exec(`UPDATE doc SET body = 'shrunk' WHERE id = 3`)
	p.nothingParked()
	report, err := sql.Open("sqlite", "file:"+target)
	if err != nil {
		t.Fatal(err)
	}
	defer report.Close() //nolint:errcheck // it was only read
	var rows string
	if err := report.QueryRowContext(t.Context(), `SELECT group_concat(id || name || body, ' ') FROM (SELECT * FROM doc ORDER BY id)`).Scan(&rows); err != nil {
		t.Fatal(err)
	}
	if want := "1copiedsmall 2newsmall 3againshrunk 4newsmall"; rows != want {
		t.Errorf("target = %.200s, want %s", rows, want)
	}
}
