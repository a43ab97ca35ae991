package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"syncline/internal/ops"
)

const (
	// lateFrom is the first order that only prioritiesKept writes.
	lateFrom = 1000
	// urgentLines are the urgent events behind a backlog.
	urgentLines = 20
)

// prioritiesKept leaves a route a backlog of many batches, with a few urgent events at its end, and sees that they are carried out before most of it. Each is of a
// record of its own, so that nothing stands before it but what is not urgent.
func (w *world) prioritiesKept(ctx context.Context) error {
	batches := map[int]int{7: 100, 100: 12, 1000: 4}[w.plan.Shape.Batch] // of 5000 events a few batches would take too long
	if !w.plan.Shape.Urgent || batches == 0 {
		return nil
	}
	pause := ops.PauseRequest{Rules: []string{"line-dw"}, Reason: "chaos"}
	if _, err := w.api.Load().Pause(ctx, pause); err != nil {
		return fmt.Errorf("pause: %w", err)
	}
	usual := batches * w.plan.Shape.Batch
	ordinary, err := w.putLines(ctx, usual, 1)
	if err != nil {
		return err
	}
	urgent, err := w.putLines(ctx, urgentLines, 0)
	if err != nil {
		return err
	}
	id := "line-dw"
	if w.plan.Shape.Group {
		id = "both"
	}
	if err := w.eventually(ctx, patience, func(ctx context.Context) error { // only who is behind takes anything ahead of something
		r, err := w.api.Load().Route(ctx, id)
		if err == nil && r.LagEvents < int64(usual+urgentLines) {
			err = fmt.Errorf("the log has %d events for the route %s, want %d", r.LagEvents, id, usual+urgentLines)
		}
		return err
	}); err != nil {
		return err
	}
	if err := w.api.Load().Unpause(ctx, pause); err != nil {
		return fmt.Errorf("go on after a pause: %w", err)
	}
	if err := w.touch(ctx); err != nil {
		return err
	}
	if err := w.catchUp(ctx); err != nil {
		w.watch.fail("everything catches up", "after a pause: %v", err)
		return nil
	}
	var before int
	err = w.dst.pool.QueryRow(ctx, `SELECT count(*) FROM left_behind WHERE entity = 'line' AND ver = ANY ($1) AND no < (SELECT max(no) FROM left_behind WHERE entity = 'line' AND ver = ANY ($2))`,
		ordinary, urgent).Scan(&before)
	if err != nil {
		return err
	}
	w.add("events that stood before urgent ones", usual)
	w.add("of which were carried out before them", before)
	if before > usual/2 {
		w.watch.fail("urgent events come first", "%d of %d events that are not urgent were carried out before the last of %d urgent ones behind them", before, usual, urgentLines)
	}
	return w.differs(ctx)
}

// putLines writes n lines of orders of their own, with versions that are odd or even, which says how urgent they are. It returns the versions.
func (w *world) putLines(ctx context.Context, n int, odd int64) (versions []int64, err error) {
	t := &txn{ws: w.writers, id: w.writers.tx.Add(1)}
	err = pgx.BeginFunc(ctx, w.src.pool, func(tx pgx.Tx) error {
		t.tx = tx
		for no := range n {
			for w.writers.version.Load()%2 == odd { // the next one is given out
				w.writers.version.Add(1)
			}
			if err := t.writeLine(ctx, lateFrom+int(odd), no); err != nil {
				return err
			}
			versions = append(versions, t.writes[no].ver)
		}
		return t.trail(ctx)
	})
	if err != nil {
		return nil, fmt.Errorf("write lines: %w", err)
	}
	w.journal.note(t.id, t.writes, nil, committed)
	return versions, nil
}
