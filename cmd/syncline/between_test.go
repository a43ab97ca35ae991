package main

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"syncline/internal/failpoint"
	"syncline/internal/ops"
	"syncline/internal/testserver"
)

// twoSides are a PostgreSQL and an SQLite database with users on both, and a two-way rule between them.
type twoSides struct {
	t       *testing.T
	crm     *pgxpool.Pool
	erp     *sql.DB
	program *program

	changes [2]atomic.Int64
	stock   [stocks]atomic.Int64 // what users have added, on either side, for each record of which they only count
	stop    context.CancelFunc
	users   sync.WaitGroup
}

// Records from 0 to stocks are only counted; those above come, go and change on both sides.
const stocks, twoWayRows = 8, 24

func newTwoSides(t *testing.T) *twoSides {
	t.Helper()
	f := &twoSides{t: t}
	url := testserver.NewPostgres(t).Database(t)
	path := filepath.Join(t.TempDir(), "erp.db")
	f.crm = connect(t, url)
	erp, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate&_pragma=busy_timeout(20000)&_pragma=journal_mode(wal)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = erp.Close() })
	f.erp = erp
	mustExec(t, f.crm, `CREATE TABLE customer (id int PRIMARY KEY, name text, stock numeric(20,2) NOT NULL, big text, changed timestamptz, own text DEFAULT 'crm')`)
	mustExec(t, f.crm, `ALTER TABLE customer ALTER COLUMN big SET STORAGE EXTERNAL`)
	f.onErp(`CREATE TABLE client (number INTEGER PRIMARY KEY, label TEXT, stock DECIMAL(20,2) NOT NULL, big TEXT, changed TIMESTAMPTZ, own TEXT DEFAULT 'erp')`)
	for id := range stocks {
		f.onCrm(`INSERT INTO customer VALUES ($1, 'start', 0, repeat('x', 5000), now())`, id)
	}
	f.program = newProgram(t, fmt.Sprintf(`
systems:
  crm: {type: postgres, url: %q, capture: {manage: true, entities: {customer: {table: customer}}}}
  erp: {type: sqlite, path: %q, capture: {manage: true, entities: {client: {table: client}}}}
rules:
  - id: customer
    between: [crm/customer, erp/client]
    fields: {id: number, name: label}
    conflict: {strategy: last_write_wins, time_field: changed, fields: {stock: sum}}
    retry: {max: 1000, delay: 10ms, max_delay: 100ms}
`, url, path))
	return f
}

func (f *twoSides) onErp(statement string, args ...any) {
	f.t.Helper()
	if _, err := f.erp.ExecContext(f.t.Context(), statement, args...); err != nil {
		f.t.Fatalf("%s: %v", statement, err)
	}
}

func (f *twoSides) onCrm(statement string, args ...any) {
	f.t.Helper()
	if _, err := f.crm.Exec(f.t.Context(), statement, args...); err != nil {
		f.t.Fatalf("%s: %v", statement, err)
	}
}

// write lets users change records on both sides until stop.
func (f *twoSides) write() {
	ctx, cancel := context.WithCancel(f.t.Context())
	f.stop = cancel
	for side := range 2 {
		rnd := rand.New(rand.NewPCG(uint64(side), 3))
		f.users.Go(func() {
			for ctx.Err() == nil {
				if err := f.change(side, rnd); err != nil {
					f.t.Errorf("user of side %d: %v", side, err)
					return
				}
				f.changes[side].Add(1)
			}
		})
	}
}

// change is one change of a user. It ends with the test's context only, so that what was counted is what was committed.
func (f *twoSides) change(side int, rnd *rand.Rand) error {
	ctx := f.t.Context()
	run := func(crm, erp string, args ...any) error {
		if side == 0 {
			_, err := f.crm.Exec(ctx, crm, args...)
			return err
		}
		_, err := f.erp.ExecContext(ctx, erp, args...)
		return err
	}
	word := fmt.Sprintf("%d/%d", side, rnd.IntN(1000))
	if id := rnd.IntN(stocks); rnd.IntN(2) == 0 {
		n := rnd.IntN(9) - 4
		f.stock[id].Add(int64(n))
		return run(`UPDATE customer SET stock = stock + $2::int WHERE id = $1`, `UPDATE client SET stock = stock + ?2 WHERE number = ?1`, id, n)
	} else if rnd.IntN(4) == 0 {
		return run(`UPDATE customer SET name = $2, changed = clock_timestamp() WHERE id = $1`,
			`UPDATE client SET label = ?2, changed = strftime('%Y-%m-%d %H:%M:%f', 'now') || '+00' WHERE number = ?1`, id, word)
	}
	id := stocks + rnd.IntN(twoWayRows)
	switch rnd.IntN(4) {
	case 0:
		return run(`DELETE FROM customer WHERE id = $1`, `DELETE FROM client WHERE number = ?1`, id)
	case 1:
		return run(`INSERT INTO customer (id, name, stock, big, changed) VALUES ($1, $2, 0, repeat('y', 3000), clock_timestamp()) ON CONFLICT DO NOTHING`,
			`INSERT INTO client (number, label, stock, big, changed) VALUES (?1, ?2, 0, hex(zeroblob(1500)), strftime('%Y-%m-%d %H:%M:%f', 'now') || '+00') ON CONFLICT DO NOTHING`, id, word)
	}
	return run(`UPDATE customer SET name = $2, changed = clock_timestamp() WHERE id = $1`,
		`UPDATE client SET label = ?2, changed = strftime('%Y-%m-%d %H:%M:%f', 'now') || '+00' WHERE number = ?1`, id, word)
}

// after waits until the users of both sides have made n changes more.
func (f *twoSides) after(n int64) {
	f.t.Helper()
	for side := range f.changes {
		to := f.changes[side].Load() + n
		eventually(f.t, "changes", func(context.Context) error {
			if now := f.changes[side].Load(); now < to {
				return fmt.Errorf("side %d has made %d of %d", side, now, to)
			}
			return nil
		})
	}
}

// settle ends the writing and checks that both sides come to hold the same, counted once each, and that nothing moves after that.
func (f *twoSides) settle() {
	t := f.t
	t.Helper()
	f.stop()
	f.users.Wait()
	var crm []string
	eventually(t, "both sides hold the same", func(ctx context.Context) error {
		var erp []string
		var err error
		if crm, err = f.rowsOfCrm(ctx); err != nil {
			return err
		}
		if erp, err = f.rowsOfErp(ctx); err != nil {
			return err
		}
		if diff := cmp.Diff(crm, erp); diff != "" {
			return fmt.Errorf("crm -, erp +:\n%s", diff)
		}
		return f.atRest(ctx)
	})
	for id := range stocks {
		want := fmt.Sprintf("%d %d.00 ", id, f.stock[id].Load())
		if !strings.HasPrefix(crm[id], want) {
			t.Errorf("record %d is %.40q, want a stock of %d", id, crm[id], f.stock[id].Load())
		}
	}
	before := f.ends()
	f.program.caughtUp()
	again, err := f.rowsOfCrm(t.Context())
	if diff := cmp.Diff(crm, again); err != nil || diff != "" || before != f.ends() {
		t.Errorf("the sides move on at rest: logs end at %v, then %v, %v\n%s", before, f.ends(), err, diff)
	}
	for id, r := range f.program.routes() {
		if !r.Counts.Balanced() || r.Counts.Parked > 0 || r.Counts.Read == 0 {
			t.Errorf("route %s: %+v", id, r.Counts)
		}
	}
}

// atRest reports whether both routes have read all of their logs and nothing waits.
func (f *twoSides) atRest(ctx context.Context) error {
	list, err := f.program.client().Routes(ctx)
	if err != nil {
		return err
	}
	for _, r := range list {
		if r.LagEvents > 0 || r.Counts.Parked > 0 {
			return fmt.Errorf("route %s is %s, %d events behind, %d parked", r.ID, r.State, r.LagEvents, r.Counts.Parked)
		}
	}
	return nil
}

// ends are how many events were captured of each side.
func (f *twoSides) ends() [2]int64 {
	return [2]int64{f.program.system("crm").Log.Captured, f.program.system("erp").Log.Captured}
}

func (f *twoSides) rowsOfCrm(ctx context.Context) ([]string, error) {
	rows, err := f.crm.Query(ctx, `SELECT id || ' ' || stock || ' ' || name || ' ' || length(big) FROM customer ORDER BY id`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, rows.Err()
}

func (f *twoSides) rowsOfErp(ctx context.Context) ([]string, error) {
	rows, err := f.erp.QueryContext(ctx, `SELECT number || ' ' || printf('%.2f', stock) || ' ' || label || ' ' || length(big) FROM client ORDER BY number`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, rows.Err()
}

// TestTwoWayStorm kills the program again and again while users write on both sides.
func TestTwoWayStorm(t *testing.T) {
	t.Parallel()
	f := newTwoSides(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	f.program.start()
	eventually(t, "the first copy is there", func(ctx context.Context) error {
		rows, err := f.rowsOfErp(ctx)
		if err == nil && len(rows) < stocks {
			err = fmt.Errorf("%d records of %d", len(rows), stocks)
		}
		return err
	})
	f.write()
	for range 6 {
		f.after(20 + rnd.Int64N(60))
		f.program.kill()
		f.after(10)
		f.program.start()
	}
	for n, name := range failpoint.Between {
		for _, times := range []int{1, 3 + n} {
			f.program.kill()
			f.program.start(fmt.Sprintf("SYNCLINE_FAILPOINT=%s:%d", name, times))
			if err := f.program.died(); err == nil {
				t.Errorf("failpoint %s: the process ended by itself", name)
			}
			f.program.start()
			f.after(10)
		}
	}
	f.settle()
	if err := f.program.stop(); err != nil {
		t.Errorf("stop = %v, want a clean exit", err)
	}
}

// TestTwoWayTruncate: a TRUNCATE of one side stops both routes before the other side loses anything, until the rule says what it means.
func TestTwoWayTruncate(t *testing.T) {
	t.Parallel()
	f := newTwoSides(t)
	counted := func(n int) func(context.Context) error {
		return func(ctx context.Context) error {
			rows, err := f.rowsOfErp(ctx)
			if err == nil && len(rows) != n {
				err = fmt.Errorf("erp has %d records, not %d", len(rows), n)
			}
			return err
		}
	}
	f.program.start()
	eventually(t, "the first copy is there", counted(stocks))
	f.onCrm(`TRUNCATE customer`)
	halted := func(id string) func(context.Context) error {
		return func(context.Context) error {
			if r := f.program.routes()[id]; r.State != ops.RouteHalted || r.Error == nil || r.Error.Code != "between_truncated" {
				return fmt.Errorf("%s is %s: %+v", id, r.State, r.Error)
			}
			return nil
		}
	}
	eventually(t, "the route of the emptied side halts", halted("customer@crm"))
	f.onErp(`UPDATE client SET label = label`)
	eventually(t, "and so does the other one", halted("customer@erp"))
	if err := counted(stocks)(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Two records are put back by hand, and the rule says what it means for the others.
	f.program.kill()
	f.onCrm(`INSERT INTO customer VALUES (0, 'start', 0, repeat('x', 5000), now()), (1, 'back', 0, repeat('x', 5000), now())`)
	text, err := os.ReadFile(f.program.config)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte("    fields: {id"), []byte("    on: {truncated: delete}\n    fields: {id"), 1)
	if err := os.WriteFile(f.program.config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	f.program.start()
	eventually(t, "the others are deleted", counted(2))
	f.program.caughtUp()
	crm, err := f.rowsOfCrm(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	erp, err := f.rowsOfErp(t.Context())
	if diff := cmp.Diff(crm, erp); err != nil || diff != "" || len(crm) != 2 {
		t.Errorf("crm -, erp +, %v:\n%s", err, diff)
	}
}

// TestTwoWayColumns: columns that come on both sides are kept equal from then on, one that goes is left out, and neither stops the rule.
func TestTwoWayColumns(t *testing.T) {
	t.Parallel()
	f := newTwoSides(t)
	f.program.start()
	both := func(crm, erp string, want string) {
		t.Helper()
		eventually(t, want, func(ctx context.Context) error {
			var a, b sql.NullString
			if err := f.crm.QueryRow(ctx, crm).Scan(&a); err != nil {
				return err
			}
			if err := f.erp.QueryRowContext(ctx, erp).Scan(&b); err != nil {
				return err
			}
			if a.String != want || b.String != want {
				return fmt.Errorf("crm has %q, erp has %q", a.String, b.String)
			}
			return nil
		})
	}
	both(`SELECT name FROM customer WHERE id = 1`, `SELECT label FROM client WHERE number = 1`, "start")
	f.onErp(`ALTER TABLE client ADD COLUMN phone TEXT`)
	f.onErp(`UPDATE client SET phone = '1' WHERE number = 1`) // crm has no such column yet
	f.onCrm(`ALTER TABLE customer ADD COLUMN phone text`)
	f.onCrm(`UPDATE customer SET name = 'next' WHERE id = 1`)
	both(`SELECT name FROM customer WHERE id = 1`, `SELECT label FROM client WHERE number = 1`, "next")
	f.onErp(`UPDATE client SET phone = '2' WHERE number = 2`)
	both(`SELECT phone FROM customer WHERE id = 2`, `SELECT phone FROM client WHERE number = 2`, "2")
	f.onCrm(`UPDATE customer SET phone = '3' WHERE id = 2`)
	both(`SELECT phone FROM customer WHERE id = 2`, `SELECT phone FROM client WHERE number = 2`, "3")
	f.onCrm(`ALTER TABLE customer DROP COLUMN big`)
	f.onErp(`UPDATE client SET label = 'last', big = 'y' WHERE number = 3`)
	both(`SELECT name FROM customer WHERE id = 3`, `SELECT label FROM client WHERE number = 3`, "last")
	f.onCrm(`UPDATE customer SET name = 'very last' WHERE id = 3`)
	both(`SELECT name FROM customer WHERE id = 3`, `SELECT label FROM client WHERE number = 3`, "very last")
	f.program.caughtUp()
}
