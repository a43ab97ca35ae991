package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"syncline/internal/ops"
)

// On a slow machine, or with a seed that has four writers and batches of seven, writers outrun the program: what it has left grows with the
// length of the run, and no fixed time is enough to catch up. So writers wait while a route is far behind, and what takes its time must go on.
const (
	// farBehind is a backlog, in events, that outlasts the longest faults.
	farBehind = 4000
	// longest bounds what goes on without coming to an end.
	longest = 5 * patience
)

// left is how many events all routes have left. Writers are told what the slowest has.
func (w *world) left(routes []ops.RouteStatus) (sum int64) {
	var most int64
	for _, r := range routes {
		most = max(most, r.LagEvents)
		sum += r.LagEvents
	}
	w.writers.behind.Store(most)
	return sum
}

// wait returns when no route is far behind.
func (ws *writers) wait(ctx context.Context) {
	for ws.behind.Load() > farBehind && !ws.w.watch.over() && sleep(ctx, 20*time.Millisecond) == nil {
	}
}

// catchUp waits until everything that was written is at the targets. It gives up where nothing has become less for as long as patience.
func (w *world) catchUp(ctx context.Context) error {
	least, better := int64(math.MaxInt64), time.Now()
	var stuck error
	err := w.eventually(ctx, longest, func(ctx context.Context) error {
		err := w.caughtUp(ctx, func(left int64) {
			if left < least {
				least, better = left, time.Now()
			}
		})
		if err != nil && time.Since(better) > patience {
			stuck = fmt.Errorf("nothing was done for %s: %w", patience, err)
			return nil
		}
		return err
	})
	if stuck != nil {
		return stuck
	}
	return err
}
