package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"syncline/internal/testserver"
)

// equals inserts, deletes and changes rows of a table without a key of which many are equal to each other.
const equals = `\set a random(1, 5)
BEGIN;
INSERT INTO equals VALUES (:a, 'same'), (:a, 'same'), (NULL, NULL);
DELETE FROM equals WHERE ctid = (SELECT min(ctid) FROM equals WHERE a = :a AND what = 'same');
UPDATE equals SET what = 'changed' WHERE ctid = (SELECT max(ctid) FROM equals WHERE a = :a AND what = 'same');
DELETE FROM equals WHERE ctid = (SELECT ctid FROM equals WHERE a IS NULL LIMIT 1);
END;
`

// TestPgbench: PostgreSQL's own load (a hot branch, a history without a key) and rows that equal each other are mirrored to PostgreSQL and
// SQLite as they are, while the program is killed, the target crashes, the source's tables change and the history is emptied.
func TestPgbench(t *testing.T) {
	source, target := testserver.NewPostgres(t), testserver.NewPostgres(t)
	srcURL, dstURL := source.Database(t), target.Database(t)
	src, dst := connect(t, srcURL), connect(t, dstURL)
	pgbench := source.Program("pgbench")
	if out, err := exec.Command(pgbench, "-i", "-q", "-s", "1", srcURL).CombinedOutput(); err != nil {
		t.Fatalf("pgbench -i: %v\n%s", err, out)
	}
	mustExec(t, src, `CREATE TABLE equals (a int, what text)`)
	mustExec(t, src, `ALTER TABLE equals REPLICA IDENTITY FULL`)
	p := newProgram(t, fmt.Sprintf(`
systems:
  bank:
    type: postgres
    url: %q
    capture:
      manage: true
      entities:
        account: {table: pgbench_accounts}
        branch: {table: pgbench_branches}
        teller: {table: pgbench_tellers}
        history: {table: pgbench_history}
        equals: {}
  dw: {type: postgres, url: %q}
  file: {type: sqlite, path: ./file.db}
rules:
  - {id: account, from: bank/account, to: dw/account, create: true}
  - {id: branch, from: bank/branch, to: dw/branch, create: true}
  - {id: teller, from: bank/teller, to: dw/teller, create: true}
  - {id: history, from: bank/history, to: dw/history, create: true}
  - {id: equals, from: bank/equals, to: dw/equals, create: true}
  - {id: teller-file, from: bank/teller, to: file/teller, create: true}
  - {id: history-file, from: bank/history, to: file/history, create: true}
`, srcURL, dstURL))
	p.start()
	p.ready()

	script := filepath.Join(t.TempDir(), "equals.sql")
	if err := os.WriteFile(script, []byte(equals), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	load := exec.CommandContext(ctx, pgbench, "-n", "-c", "4", "-T", "600", "-b", "tpcb-like@4", "-f", script+"@1", srcURL)
	out := new(output)
	load.Stdout, load.Stderr = out, out
	if err := load.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{}) // closed when pgbench is gone
	go func() { _ = load.Wait(); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended })

	rnd := rand.New(rand.NewPCG(8, uint64(time.Now().UnixNano())))
	for _, meanwhile := range []func(){
		func() {},
		func() { mustExec(t, src, `ALTER TABLE pgbench_tellers ADD COLUMN seen timestamptz DEFAULT now()`) },
		func() { target.Kill() },
		func() { mustExec(t, src, `TRUNCATE pgbench_history`) },
		func() {
			if err := target.Start(); err != nil {
				t.Fatal(err)
			}
		},
		func() { mustExec(t, src, `ALTER TABLE pgbench_history ALTER COLUMN delta TYPE bigint`) },
		func() {
			mustExec(t, src, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'walsender'`)
		},
		func() {},
	} {
		transactions(t, src, 20+rnd.IntN(150))
		meanwhile()
		transactions(t, src, 20+rnd.IntN(150))
		p.kill()
		p.start()
	}
	transactions(t, src, 100)
	select {
	case <-ended:
		t.Fatalf("pgbench has ended:\n%s", out)
	default:
	}
	cancel()
	<-ended

	p.ready()
	file := openSQLite(t, filepath.Join(p.dir, "file.db"))
	eventually(t, "targets equal the source", func(ctx context.Context) error {
		for _, c := range []struct{ columns, name, at string }{
			{"bid, bbalance", "pgbench_branches", "branch"},
			{"tid, bid, tbalance, seen", "pgbench_tellers", "teller"},
			{"tid, bid, aid, delta, mtime", "pgbench_history", "history"},
			{"a, what", "equals", "equals"},
			{"aid, bid, abalance", "pgbench_accounts", "account"},
		} {
			want, err := table(ctx, src, c.columns, c.name)
			if err != nil {
				return err
			}
			got, err := table(ctx, dst, c.columns, c.at)
			if err != nil {
				return err
			}
			if len(want) == 0 {
				return fmt.Errorf("%s is empty: nothing was tested", c.name)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				return fmt.Errorf("%s (-source +target):\n%.2000s", c.name, diff)
			}
		}
		for _, c := range []struct{ column, name, at string }{{"delta", "pgbench_history", "history"}, {"tbalance", "pgbench_tellers", "teller"}} {
			const sum = `SELECT count(*), sum(%s) FROM %s`
			var want, got [2]int64
			if err := src.QueryRow(ctx, fmt.Sprintf(sum, c.column, c.name)).Scan(&want[0], &want[1]); err != nil {
				return err
			}
			if err := file.QueryRowContext(ctx, fmt.Sprintf(sum, c.column, c.at)).Scan(&got[0], &got[1]); err != nil {
				return err
			}
			if want != got {
				return fmt.Errorf("%s of the file: number and sum = %d, want %d", c.at, got, want)
			}
		}
		return nil
	})
	p.caughtUp()
	for id, r := range p.routes() {
		if !r.Counts.Balanced() || r.Counts.Parked != 0 {
			t.Errorf("route %s: counts = %+v, want them balanced and none parked", id, r.Counts)
		}
	}
	if err := p.stop(); err != nil {
		t.Errorf("stop = %v, want a clean exit", err)
	}
}

// transactions waits until about so many more have begun to write.
func transactions(t *testing.T, db *pgxpool.Pool, n int) {
	t.Helper()
	var until int64
	eventually(t, "pgbench goes on", func(ctx context.Context) error {
		var at int64
		if err := db.QueryRow(ctx, `SELECT txid_snapshot_xmax(txid_current_snapshot())`).Scan(&at); err != nil {
			return err
		}
		if until == 0 {
			until = at + int64(n)
		}
		if at < until {
			return fmt.Errorf("%d transactions are missing", until-at)
		}
		return nil
	})
}
