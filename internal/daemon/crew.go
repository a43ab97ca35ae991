package daemon

import (
	"context"
	"sync"
	"time"
)

// crew is captures or routes at work, by name, each of which can be stopped by itself. It belongs to the goroutine of Run.
type crew struct {
	workers map[string]*worker
	running sync.WaitGroup
}

// worker is one of them.
type worker struct {
	// stop has it take nothing new and finish what it has in hand, giveUp drop that.
	stop, giveUp context.CancelFunc
	done         chan struct{} // closed when it has stopped
}

func newCrew() *crew { return &crew{workers: make(map[string]*worker)} }

// start has somebody work until ctx ends or it is stopped; hard is when what it has in hand is dropped.
func (c *crew) start(ctx, hard context.Context, name string, run func(ctx, hard context.Context) error) {
	w := &worker{done: make(chan struct{})}
	ctx, w.stop = context.WithCancel(ctx)
	hard, w.giveUp = context.WithCancel(hard)
	c.workers[name] = w
	c.running.Go(func() {
		defer close(w.done)
		defer w.giveUp()
		defer w.stop()
		_ = run(ctx, hard)
	})
}

// stop stops those with these names, together, and returns when they have. What they have not finished within that time is repeated by
// whoever begins where they ended.
func (c *crew) stop(names []string, within time.Duration) {
	var stopping []*worker
	for _, name := range names {
		if w := c.workers[name]; w != nil {
			w.stop()
			stopping = append(stopping, w)
			delete(c.workers, name)
		}
	}
	deadline := time.AfterFunc(within, func() {
		for _, w := range stopping {
			w.giveUp()
		}
	})
	defer deadline.Stop()
	for _, w := range stopping {
		<-w.done
	}
}

// wait returns when all have stopped.
func (c *crew) wait() { c.running.Wait() }
