package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"syncline/internal/failpoint"
	"syncline/internal/ops"
	"syncline/internal/state"
)

// TestKilledInTheMiddleOfARepair: the process dies before the second page of records is asked for, when the route has applied them, and before it is
// written down that they are equal. After the next start the repair goes on by itself, nothing that was written meanwhile is lost or taken
// back, and both databases hold the same.
func TestKilledInTheMiddleOfARepair(t *testing.T) {
	for _, at := range failpoint.Verify {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			p := newProgram(t, `
systems:
  crm: {type: sqlite, url: "sqlite:crm.db", capture: {manage: true, entities: {item: {table: item}}}}
  dw: {type: sqlite, url: "sqlite:dw.db"}
rules:
  - {id: mirror, from: crm/item, to: dw/item, create: true}
`)
			open := func(name string) *sql.DB {
				db, err := sql.Open("sqlite", "file:"+filepath.Join(p.dir, name)+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)")
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = db.Close() })
				return db
			}
			crm := open("crm.db")
			execute(t, crm, `CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)`)
			execute(t, crm, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) INSERT INTO item SELECT i, 'item ' || i FROM n`)
			p.start("SYNCLINE_FAILPOINT=" + at + ":2")
			p.ready()
			dw := open("dw.db")
			eventually(t, "the first copy is at the target", func(ctx context.Context) error {
				var n int
				if err := dw.QueryRowContext(ctx, `SELECT count(*) FROM item`).Scan(&n); err != nil || n == 3000 {
					return err
				}
				return fmt.Errorf("%d records of 3000", n)
			})
			p.caughtUp()
			execute(t, dw, `UPDATE item SET name = 'other' WHERE id <= 600`)
			execute(t, dw, `DELETE FROM item WHERE id BETWEEN 1001 AND 1600`)
			execute(t, dw, `INSERT INTO item SELECT id + 10000, 'extra' FROM item WHERE id <= 300`)
			v := p.verification(exitOK, "--detach", "--repair", "--max-repair", "100%")
			if err := p.died(); err == nil {
				t.Fatal("the process was not killed")
			}
			// Of one that was repaired, one that was not, and one that was not touched.
			for _, id := range []string{"1", "600", "1001", "1600", "2999"} {
				execute(t, crm, `UPDATE item SET name = 'newer' WHERE id = `+id)
			}
			execute(t, crm, `DELETE FROM item WHERE id IN (2, 1002, 1599, 3000)`)
			p.start()
			p.ready()
			out := p.ended(v.ID)
			if c := out.Total; out.Status != state.VerificationDone || c.Different != 600 || c.Missing != 600 || c.Extra != 300 || c.Repaired != 1500 || out.Differences != 0 {
				t.Errorf("the repair is %s: %+v", out.Status, c)
			}
			p.caughtUp()
			if v := p.verification(exitOK); v.Total.Equal != 2996 {
				t.Errorf("at the end %+v", v.Total)
			}
			want, got := contents(t, crm), contents(t, dw)
			if len(want) != 2996 || len(got) != len(want) {
				t.Errorf("the target has %d records, the source %d", len(got), len(want))
			}
			for id, name := range want {
				if got[id] != name {
					t.Errorf("record %d is %q at the target, want %q", id, got[id], name)
				}
			}
		})
	}
}

// ended waits until a verification is over.
func (p *program) ended(id string) ops.Verification {
	p.t.Helper()
	var v ops.Verification
	eventually(p.t, "verification "+id+" ends", func(ctx context.Context) (err error) {
		if v, err = p.client().Verification(ctx, id); err == nil && v.Status == state.VerificationRunning {
			err = errors.New("it is running")
		}
		return err
	})
	return v
}

// contents are the records of table item.
func contents(t *testing.T, db *sql.DB) map[int]string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), `SELECT id, name FROM item`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close() //nolint:errcheck // it was only read
	list := make(map[int]string)
	for rows.Next() {
		var id int
		var name string
		if err := rows.Scan(&id, &name); err != nil {
			t.Fatal(err)
		}
		list[id] = name
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}
