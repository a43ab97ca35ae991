package sourcetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"syncline"
)

func testStream(t *testing.T, h Harness) {
	ctx, sys := deadline(t), h.New(t)
	r := record(ctx, t, h, sys, 1)
	app := newApplication(sys, 1, Item, Pair)
	r.begin(ctx, h)
	for range 40 {
		app.transaction(t)
	}
	app.commit(t, app.insert(Item))
	r.catchUp(ctx, app)
	r.wantStream(app)
	r.wantTransactions()
}

// begin takes what a first start brings by itself, so that the stream has begun before the application writes.
func (r *recorder) begin(ctx context.Context, h Harness) {
	r.t.Helper()
	r.until(ctx, func() bool {
		for _, e := range h.Entities() {
			if h.Snapshot && !r.runEnded(syncline.RunSnapshot, e, "") {
				return false
			}
		}
		return true
	})
}

// wantTransactions checks that events have a transaction with a time where the source has one, and that commits rise.
func (r *recorder) wantTransactions() {
	r.t.Helper()
	var commit uint64
	for _, b := range r.log {
		for i := range b.Txns {
			if b.Txns[i].Commit < commit {
				r.t.Errorf("transaction %d after %d", b.Txns[i].Commit, commit)
			}
			commit = b.Txns[i].Commit
		}
	}
}

func testRestart(t *testing.T, h Harness) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			ctx, sys := deadline(t), h.New(t)
			r := record(ctx, t, h, sys, seed)
			app := newApplication(sys, seed, Item, Pair)
			r.begin(ctx, h)
			for range 12 {
				for range 1 + app.rng.IntN(4) {
					app.transaction(t)
				}
				app.commit(t, app.insert(Pair))
				for r.streamed() < len(app.committed) {
					r.next(ctx)
					if r.rng.IntN(3) == 0 {
						r.crash(ctx)
					}
				}
			}
			r.append()
			r.crash(ctx)
			app.commit(t, app.insert(Item))
			r.catchUp(ctx, app)
			r.wantStream(app)
		})
	}
}

func testLargeTransaction(t *testing.T, h Harness) {
	ctx, sys := deadline(t), h.New(t)
	r := record(ctx, t, h, sys, 3)
	app := newApplication(sys, 3, Item, Pair)
	r.begin(ctx, h)
	var changes []Change
	for range 4500 {
		changes = append(changes, app.insert(Pair))
	}
	app.commit(t, app.insert(Item))
	app.commit(t, changes...)
	app.commit(t, app.insert(Item))
	crashes := 0
	for r.streamed() < len(app.committed) {
		b := r.next(ctx)
		if b.Partial && crashes < 3 {
			crashes++
			r.append()
			r.crash(ctx)
		}
	}
	r.append()
	if crashes == 0 {
		t.Errorf("a transaction of 4500 changes came in one piece")
	}
	r.wantStream(app)
}

func testWhileClosed(t *testing.T, h Harness) {
	ctx, sys := deadline(t), h.New(t)
	r := record(ctx, t, h, sys, 4)
	app := newApplication(sys, 4, Item, Pair)
	r.begin(ctx, h)
	app.commit(t, app.insert(Item), app.insert(Pair))
	r.catchUp(ctx, app)
	r.close()
	for range 10 {
		app.transaction(t)
	}
	app.commit(t, app.insert(Item))
	r.open(ctx)
	r.catchUp(ctx, app)
	r.wantStream(app)
	r.wantRows(ctx, app.entities)
}

func testContext(t *testing.T, h Harness) {
	ctx, sys := deadline(t), h.New(t)
	r := record(ctx, t, h, sys, 5)
	app := newApplication(sys, 5, Item, Pair)
	r.begin(ctx, h)
	app.commit(t, app.insert(Item))
	r.catchUp(ctx, app)

	// A source may have markers without events left to give before it blocks.
	stop, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	for {
		b, err := r.src.Next(stop)
		if err == nil && len(b.Events) == 0 {
			continue
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("next of a context that ended = %v, %v", b, err)
		}
		break
	}
	r.crash(ctx)
	app.commit(t, app.insert(Item))
	r.catchUp(ctx, app)
	r.wantStream(app)
}

// taken is what a Next beside the test returned: the batches up to the first with events.
type taken struct {
	batches []*syncline.Batch
	err     error
}

// take calls Next in a goroutine until there is a batch with events. The channel gets one answer.
func (r *recorder) take(ctx context.Context) <-chan taken {
	out, src := make(chan taken, 1), r.src
	go func() {
		var got taken
		for events := 0; events == 0; {
			b, err := src.Next(ctx)
			if err != nil {
				got.err = err
				break
			}
			got.batches, events = append(got.batches, b), len(b.Events)
		}
		out <- got
	}()
	return out
}

// keep checks and appends what take returned.
func (r *recorder) keep(got taken) {
	r.t.Helper()
	if got.err != nil {
		r.t.Fatalf("next: %v", got.err)
	}
	for _, b := range got.batches {
		r.check(b)
		r.pending = append(r.pending, b)
	}
	r.append()
}

// testWake commits while Next blocks.
func testWake(t *testing.T, h Harness) {
	ctx, sys := deadline(t), h.New(t)
	r := record(ctx, t, h, sys, 6)
	app := newApplication(sys, 6, Item, Pair)
	r.begin(ctx, h)
	for range 5 {
		next := r.take(ctx)
		app.commit(t, app.insert(Pair))
		r.keep(<-next)
	}
	r.wantStream(app)
}

func testConfirm(t *testing.T, h Harness) {
	ctx, sys := deadline(t), h.New(t)
	r := record(ctx, t, h, sys, 7)
	app := newApplication(sys, 7, Item, Pair)
	r.begin(ctx, h)
	app.fill(t, 20)
	r.catchUp(ctx, app)

	// Beside a Next that blocks, again and again, and backwards.
	next := r.take(ctx)
	for i := range 3 * len(r.log) {
		r.src.Confirm(r.log[len(r.log)-1-i%len(r.log)].Position)
	}
	app.commit(t, app.insert(Pair))
	r.keep(<-next)

	// What is confirmed may be forgotten; what is not must come again.
	r.src.Confirm(r.log[len(r.log)-1].Position)
	app.commit(t, app.insert(Item))
	if got := <-r.take(ctx); got.err != nil {
		t.Fatalf("next: %v", got.err)
	}
	r.crash(ctx)
	r.catchUp(ctx, app)
	r.wantStream(app)
}

func testForeign(t *testing.T, h Harness) {
	ctx := deadline(t)
	sys := h.New(t)
	r := record(ctx, t, h, sys, 8)
	app := newApplication(sys, 8, Item, Pair)
	r.begin(ctx, h)
	app.fill(t, 3)
	r.catchUp(ctx, app)
	r.close()

	other := h.New(t).Source(t)
	last := r.log[len(r.log)-1]
	err := other.Open(ctx, last.Checkpoint, last.Position)
	if syncline.ClassOf(err) != syncline.Fatal || err == nil {
		t.Errorf("open of another system with this checkpoint = %v, want a fatal error", err)
	}
	if code := syncline.CodeOf(err); err != nil && code == "unknown" {
		t.Errorf("the error has no code: %v", err)
	}
	if err := other.Close(); err != nil {
		t.Errorf("close after a refused open: %v", err)
	}
	r.open(ctx)
}

// testCommitOrder overlaps transactions: the one that began first commits last. At times the log ends, and is gone on from, between what it has
// written and its commit.
func testCommitOrder(t *testing.T, h Harness) {
	ctx, sys := deadline(t), h.New(t)
	r := record(ctx, t, h, sys, 9)
	app := newApplication(sys, 9, Item, Pair)
	r.begin(ctx, h)
	for i := range 5 {
		a, b, c := []Change{app.insert(Item), app.insert(Pair)}, []Change{app.insert(Item)}, []Change{app.insert(Pair)}
		first, second, third := sys.Begin(t), sys.Begin(t), sys.Begin(t)
		first.Exec(t, a[0])
		second.Exec(t, b[0])
		third.Exec(t, c[0])
		second.Commit(t)
		third.Rollback(t)
		app.note(b)
		if i%2 == 1 {
			r.catchUp(ctx, app)
			r.crash(ctx)
		}
		first.Exec(t, a[1])
		first.Commit(t)
		app.note(a)
	}
	r.catchUp(ctx, app)
	r.wantStream(app)
}

func testTruncate(t *testing.T, h Harness) {
	ctx, sys := deadline(t), h.New(t)
	r := record(ctx, t, h, sys, 10)
	app := newApplication(sys, 10, Item, Pair)
	r.begin(ctx, h)
	app.fill(t, 5)
	app.commit(t, app.insert(Item), Change{Op: syncline.OpTruncated, Entity: Item}, app.insert(Item), app.insert(Pair))
	app.commit(t, Change{Op: syncline.OpTruncated, Entity: Pair})
	app.commit(t, app.insert(Pair))
	r.catchUp(ctx, app)
	r.wantStream(app)
	r.wantRows(ctx, []string{Item, Pair})
}

func testKeyless(t *testing.T, h Harness) {
	ctx, sys := deadline(t), h.New(t)
	r := record(ctx, t, h, sys, 11)
	app := newApplication(sys, 11, Loose, Item)
	r.begin(ctx, h)
	for range 30 {
		app.transaction(t)
		if app.rng.IntN(4) == 0 {
			r.crash(ctx)
		}
	}
	app.commit(t, app.insert(Loose))
	r.catchUp(ctx, app)
	r.wantStream(app)
	r.wantRows(ctx, []string{Loose, Item})
}
