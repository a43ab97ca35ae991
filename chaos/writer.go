package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// writers change the source all the time.
type writers struct {
	w       *world
	version atomic.Int64 // the last one that was given out; no version is given out twice
	tx      atomic.Int64
	larges  atomic.Int64
	behind  atomic.Int64 // how many events the slowest route has left, as far as is known
	first   int64        // versions up to this one were there before the program

	// pool is theirs, behind a proxy: their connections can be cut while they commit.
	pool *pgxpool.Pool

	mu     sync.Mutex
	cancel context.CancelFunc // nil = they do not work
	wg     sync.WaitGroup
	extras []string // columns of reg that come and go
}

// badKeys are the first keys of reg, whose records are bad at times. They have no code and do not move, so that what is parked holds
// nobody else up.
const badKeys = 6

// slowKeys are keys behind those that writers fight over. They are the slow writer's alone, so that nobody waits for its locks.
const slowKeys = 8

func newWriters(ctx context.Context, w *world) (*writers, error) {
	pool, err := pgxpool.New(ctx, fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable&pool_max_conns=8&application_name=chaos-writers", w.net.port("writers"), database))
	return &writers{w: w, pool: pool}, err
}

// fill writes the records that are there before the program.
func (ws *writers) fill(ctx context.Context) error {
	for k := range ws.w.plan.Shape.Rows {
		t := &txn{ws: ws, id: ws.tx.Add(1)}
		err := pgx.BeginFunc(ctx, ws.w.src.pool, func(tx pgx.Tx) error {
			t.tx = tx
			if err := t.insertReg(ctx, k, false); err != nil {
				return err
			}
			return t.trail(ctx)
		})
		if err != nil {
			return err
		}
		ws.w.journal.note(t.id, t.writes, nil, committed)
	}
	ws.first = ws.version.Load()
	return nil
}

// start has them begin, or go on after stop, and those who push events or write one of two sides with them.
func (ws *writers) start() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.cancel != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	ws.cancel = cancel
	for i := range ws.w.plan.Shape.Writers {
		ws.wg.Go(func() { ws.work(ctx, rand.New(rand.NewPCG(ws.w.plan.Seed, uint64(100+i))), false) })
	}
	ws.wg.Go(func() { ws.work(ctx, rand.New(rand.NewPCG(ws.w.plan.Seed, 98)), true) })
	for i, c := range ws.w.pushed.clients {
		ws.wg.Go(func() { ws.w.pushed.work(ctx, c, rand.New(rand.NewPCG(ws.w.plan.Seed, uint64(200+i)))) }) //nolint:gosec // a small number
	}
	for _, s := range ws.w.sides {
		for i := range sideUsers {
			ws.wg.Go(func() { s.work(ctx, rand.New(rand.NewPCG(ws.w.plan.Seed, uint64(300+10*s.number+i)))) }) //nolint:gosec // a small number
		}
	}
	if ws.w.plan.Shape.Alter {
		ws.wg.Go(func() { ws.alterAtTimes(ctx, rand.New(rand.NewPCG(ws.w.plan.Seed, 99))) })
	}
}

// stop returns when no transaction is under way.
func (ws *writers) stop() {
	ws.mu.Lock()
	cancel := ws.cancel
	ws.cancel = nil
	ws.mu.Unlock()
	if cancel != nil {
		cancel()
		ws.wg.Wait()
	}
}

// rest is stop, and waits until the servers have made an end of transactions whose connection is gone.
func (ws *writers) rest(ctx context.Context) error {
	ws.stop()
	return ws.w.eventually(ctx, patience, func(ctx context.Context) error {
		for _, p := range []*postgres{ws.w.src, ws.w.dst} {
			var open int
			err := p.pool.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity WHERE application_name IN ('chaos-writers', $1) AND xact_start IS NOT NULL`, sideUser).Scan(&open)
			if err == nil && open > 0 {
				err = fmt.Errorf("%d transactions of writers are open", open)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// work does one transaction after the other. Those of the slow writer stay open while others commit what they have written later.
func (ws *writers) work(ctx context.Context, rnd *rand.Rand, slow bool) {
	for ctx.Err() == nil && !ws.w.watch.over() {
		ws.wait(ctx)
		if err := ws.once(rnd, slow); err != nil {
			ws.w.watch.fail("writer", "%v", err)
			return
		}
		_ = sleep(ctx, time.Duration(rnd.Int64N(int64(2*ws.w.plan.Shape.Pause)+1)))
	}
}

// once does one transaction. It is not cut off by a stop: its answer would be lost.
func (ws *writers) once(rnd *rand.Rand, slow bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	t := &txn{ws: ws, rnd: rnd, id: ws.tx.Add(1), slow: slow}
	o, err := transact(ctx, ws.pool, func(tx pgx.Tx) error {
		t.tx = tx
		if err := t.do(ctx); err != nil {
			return err
		}
		return takenBack(rnd)
	})
	ws.w.journal.note(t.id, t.writes, t.dropped, o)
	if err != nil {
		err = fmt.Errorf("transaction %d: %w", t.id, err)
	}
	return err
}

// takenBack is the error of one transaction in twelve, whose writer thinks better of it.
func takenBack(rnd *rand.Rand) error {
	if rnd.IntN(12) == 0 {
		return pgx.ErrTxCommitRollback
	}
	return nil
}

// transact does one transaction, and says what became of it. Errors that a server which dies, or another writer, causes are none.
func transact(ctx context.Context, pool *pgxpool.Pool, do func(pgx.Tx) error) (outcome, error) {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		_ = sleep(ctx, 100*time.Millisecond) // the server is down, or out of reach
		return aborted, nil
	}
	defer conn.Release()
	tx, err := conn.Begin(ctx)
	if err != nil {
		_ = sleep(ctx, 20*time.Millisecond)
		return aborted, nil
	}
	if err = do(tx); err == nil {
		err = tx.Commit(ctx)
		switch {
		case err == nil:
			return committed, nil
		case !isServerError(err):
			return unknown, nil
		}
	}
	_ = tx.Rollback(ctx) // the connection may be gone: then the server does it
	var pg *pgconn.PgError
	if errors.As(err, &pg) && !slices.Contains([]string{
		"40P01", "23505", "42703", // a deadlock, another writer was first, a column is gone
		"57P01", "57P02", "57P03", // the server ends
		"25006", // it is read-only
	}, pg.Code) {
		return aborted, err
	}
	return aborted, nil
}

// isServerError reports whether the server has answered with an error, so that the transaction was surely not committed.
func isServerError(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code[:2] != "57" || errors.Is(err, pgx.ErrTxCommitRollback)
}

// isMissing reports whether a table is not there: one that a rule has yet to make.
func isMissing(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "42P01"
}

// columns are those of reg that come and go.
func (ws *writers) columns() []string {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return ws.extras
}

// alterAtTimes adds and drops columns of reg. No name is used twice.
func (ws *writers) alterAtTimes(ctx context.Context, rnd *rand.Rand) {
	for sleep(ctx, time.Duration(1+rnd.IntN(4000))*time.Millisecond) == nil {
		extras, name := slices.Clone(ws.columns()), fmt.Sprint("extra", ws.version.Add(1))
		sql := "ADD COLUMN " + name + " text"
		switch n := rnd.IntN(4); {
		case len(extras) > 3 || n == 0 && len(extras) > 0:
			at := rnd.IntN(len(extras))
			sql = "DROP COLUMN " + extras[at]
			extras = slices.Delete(extras, at, at+1)
		default:
			sql += []string{"", " DEFAULT 'constant'", " NOT NULL DEFAULT 'needed'", " DEFAULT gen_random_uuid()::text"}[n]
			extras = append(extras, name)
		}
		for sleep(ctx, 10*time.Millisecond) == nil {
			one, cancel := context.WithTimeout(context.Background(), patience)
			_, err := ws.w.src.pool.Exec(one, "ALTER TABLE reg "+sql)
			cancel()
			var pg *pgconn.PgError
			// 42701: the answer to an ADD that was done was lost; 42703: that to a DROP.
			if err == nil || errors.As(err, &pg) && (pg.Code == "42701" || pg.Code == "42703") {
				ws.mu.Lock()
				ws.extras = extras
				ws.mu.Unlock()
				ws.w.count("schema changes")
				break
			}
		}
	}
}
