package main

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline/internal/ops"
	"syncline/internal/state"
	"syncline/internal/testserver"
)

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
	failed := func(want ...string) {
		t.Helper()
		eventually(t, "parked", func(ctx context.Context) error {
			page, err := p.client().Tasks(ctx, state.Filter{Status: state.StatusFailed})
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
	target := func(want string) {
		t.Helper()
		p.caughtUp()
		rows, err := table(t.Context(), dst, "id, name, body", "doc")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, strings.Join(rows, " ")); diff != "" {
			t.Errorf("target (-want +got):\n%s", diff)
		}
	}
	failed("2 row_too_large")

	mustExec(t, src, `WITH a AS (INSERT INTO doc VALUES (4, 'new', 'small'), (5, 'new', `+huge+`), (6, 'new', 'small')) SELECT`)
	mustExec(t, src, `UPDATE doc SET name = 'again' WHERE id IN (2, 3)`) // of 2 the body did not change, and is in the old row too
	failed("5 row_too_large", "2 row_too_large")
	target("(1,copied,small) (3,again,small) (4,new,small) (6,new,small)")

	client := p.client()
	page, err := client.Tasks(t.Context(), state.Filter{Status: state.StatusFailed, Key: "5"})
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
	if err := client.RetryTask(t.Context(), task.ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the record is read again", func(ctx context.Context) error {
		x, err := client.Task(ctx, task.ID)
		if err == nil && x.Status != state.StatusResolved {
			err = fmt.Errorf("the task is %s", x.Status)
		}
		return err
	})
	failed("2 row_too_large", "5 row_too_large")

	mustExec(t, src, `UPDATE doc SET body = 'shrunk' WHERE id = 2`)
	mustExec(t, src, `DELETE FROM doc WHERE id = 5`)
	failed()
	target("(1,copied,small) (2,again,shrunk) (3,again,small) (4,new,small) (6,new,small)")
	if r := p.routes()["doc-dw"]; r.Counts.Parked != 0 || r.State != ops.RouteRunning {
		t.Errorf("route = %+v, want it to run with nothing parked", r)
	}
}
