package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/jackc/pgx/v5"

	"syncline/internal/ops"
)

// still are records that only late transactions write, from this key on.
const (
	stillFrom = 1000
	still     = 600
)

// writeLate starts writers whose transactions change records, and commit only after many others have: a part of a sync that was read meanwhile does
// not see them, and the stream brings them behind it.
func (f *field) writeLate(n int) {
	ctx, cancel := context.WithCancel(f.t.Context())
	stop := f.stop
	f.stop = func() { stop(); cancel() }
	own := connect(f.t, f.src.Config().ConnString()) // the others would wait for a connection
	for i := range n {
		rnd := rand.New(rand.NewPCG(uint64(i), 11))
		f.writers.Go(func() {
			for ctx.Err() == nil {
				err := pgx.BeginFunc(ctx, own, func(tx pgx.Tx) error { return f.late(ctx, tx, rnd) })
				if err != nil && ctx.Err() == nil && !conflict(err) {
					f.t.Errorf("late writer: %v", err)
					return
				}
			}
		})
	}
}

func (f *field) late(ctx context.Context, tx pgx.Tx, rnd *rand.Rand) error {
	k := stillFrom + rnd.IntN(still-3)
	for ; rnd.IntN(4) > 0 && k < stillFrom+still; k++ { // rising: no two of them wait for each other
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, k); err != nil {
			return err
		}
		ver := f.version.Add(1)
		statement := `UPDATE reg SET ver = $2, val = 'late' WHERE k = $1`
		switch rnd.IntN(5) {
		case 0:
			statement = `DELETE FROM reg WHERE k = $1 AND ver < $2`
		case 1:
			statement = `INSERT INTO reg VALUES ($1, $2, 'late') ON CONFLICT (k) DO UPDATE SET ver = EXCLUDED.ver, val = EXCLUDED.val`
		}
		if _, err := tx.Exec(ctx, statement, k, ver); err != nil {
			return err
		}
	}
	until := f.commits.Load() + 20 + rnd.Int64N(60)
	for range 60 { // the others may wait behind ALTER TABLE, and that for this transaction
		if f.commits.Load() >= until {
			break
		}
		if _, err := tx.Exec(ctx, `SELECT pg_sleep(0.005)`); err != nil {
			return err
		}
	}
	return nil
}

// syncEnds waits until a sync is over, and applied.
func (f *field) syncEnds(id string) (s ops.Sync) {
	f.t.Helper()
	eventually(f.t, "the sync ends", func(ctx context.Context) (err error) {
		if s, err = f.program.client().Sync(ctx, id); err == nil && !s.Settled() {
			err = fmt.Errorf("it is %+v", s)
		}
		return err
	})
	return s
}

// TestLiveChangesWinOverABackfill: writers on the same rows, transactions that commit late, columns that come and go, pauses, kill -9 and a TRUNCATE in the
// middle of syncs. In the end targets equal the source, also in rows that nobody has changed since they were spoilt, and only the named
// targets were given rows.
func TestLiveChangesWinOverABackfill(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 17))
			f := newField(t)
			mustExec(t, f.src, fmt.Sprintf(`INSERT INTO reg SELECT k, 0, 'still', repeat('b', 3000) FROM generate_series(%d, %d) k`, stillFrom, stillFrom+still-1))
			mustExec(t, f.src, `TRUNCATE log`) // the webhook gets what comes from here on
			f.program.start()
			f.program.ready()
			eventually(t, "the first copy is at the target", func(ctx context.Context) error {
				var n int
				if err := f.dst.QueryRow(ctx, `SELECT count(*) FROM reg WHERE k >= $1`, stillFrom).Scan(&n); err != nil || n == still {
					return err
				}
				return fmt.Errorf("%d rows of %d", n, still)
			})
			f.program.caughtUp()
			spoil := func() {
				mustExec(t, f.dst, fmt.Sprintf(`UPDATE reg SET val = 'spoilt' WHERE k >= %d; DELETE FROM reg WHERE k >= %[1]d AND k %% 7 = 0`, stillFrom))
			}
			f.write(3)
			f.writeLate(3)
			f.after(20)
			for round := range 3 {
				spoil()
				id, err := f.program.client().StartSync(t.Context(), ops.SyncRequest{Source: "crm", Entity: "reg", To: []string{"dw", "reg-cache"}, Rate: 400})
				if err != nil {
					t.Fatal(err)
				}
				f.meanwhile(rnd, id, round)
				if s := f.syncEnds(id); s.Status != "done" {
					t.Errorf("round %d: %+v", round, s)
				}
			}
			id, err := f.program.client().StartSync(t.Context(), ops.SyncRequest{Source: "crm", Entity: "trail", To: []string{"dw"}})
			if err != nil {
				t.Fatal(err)
			}
			f.after(50)
			f.syncEnds(id)
			f.settle()
		})
	}
}

// meanwhile lets things happen while a sync goes on.
func (f *field) meanwhile(rnd *rand.Rand, id string, round int) {
	f.t.Helper()
	eventually(f.t, "the sync has begun", func(ctx context.Context) error {
		s, err := f.program.client().Sync(ctx, id)
		if err == nil && s.Scanned == 0 {
			err = errors.New("not yet")
		}
		return err
	})
	f.alter(rnd)
	switch round {
	case 0:
		f.program.kill()
		f.after(10)
		f.program.start()
		f.program.ready()
	case 1:
		f.steer(id, ops.SyncPause)
		f.after(20)
		f.alter(rnd)
		f.program.kill()
		f.program.start()
		f.program.ready()
		f.after(20)
		f.steer(id, ops.SyncResume)
	case 2:
		if rnd.IntN(2) == 0 {
			eventually(f.t, "TRUNCATE", func(ctx context.Context) error {
				_, err := f.src.Exec(ctx, "TRUNCATE reg")
				return err // a deadlock with writers
			})
		}
	}
	f.after(30)
}

func (f *field) steer(id, action string) {
	f.t.Helper()
	if _, err := f.program.client().SteerSync(f.t.Context(), id, action, ops.Steering{Reason: "a test"}); err != nil && !isOver(err) {
		f.t.Fatal(err)
	}
}

// isOver reports whether a sync could not be steered because it had ended.
func isOver(err error) bool {
	var p *ops.Problem
	return errors.As(err, &p) && p.Code == "sync_over"
}
