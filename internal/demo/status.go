package demo

import (
	"context"
	"time"

	"syncline/internal/ops"
)

// snapshot is how the daemon is at one moment.
type snapshot struct {
	sources []ops.SystemStatus
	routes  []ops.RouteStatus
}

func (r *runner) look(ctx context.Context) (s snapshot, err error) {
	status, err := r.daemon.Engine().Status(ctx)
	if err != nil {
		return s, err
	}
	for _, system := range status.Systems {
		if system.Log != nil {
			s.sources = append(s.sources, system)
		}
	}
	s.routes, err = r.daemon.Engine().Routes(ctx)
	return s, err
}

func (s snapshot) captured() (n int64) {
	for _, source := range s.sources {
		n += source.Log.Captured
	}
	return n
}

func (s snapshot) applied() (n int64) {
	for _, route := range s.routes {
		n += route.Counts.Applied
	}
	return n
}

func (s snapshot) lag() (events int64, seconds float64) {
	for _, route := range s.routes {
		events, seconds = max(events, route.LagEvents), max(seconds, route.LagSeconds)
	}
	return events, seconds
}

func (s snapshot) parked() (n int64) {
	for _, route := range s.routes {
		n += route.Counts.Parked
	}
	return n
}

// drain waits until every change that the workload made is at every target. It gives up when nothing moves any more; the
// comparison then tells what is missing.
func (r *runner) drain(ctx context.Context, done <-chan struct{}) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	begun, moved := time.Now(), time.Now()
	var last [4]int64
	for {
		now, err := r.look(ctx)
		if err != nil {
			return err
		}
		arrived, err := r.arrived(ctx, now)
		if err != nil || arrived {
			return err
		}
		lag, _ := now.lag()
		if at := [...]int64{now.captured(), now.applied(), lag, now.parked()}; at != last {
			last, moved = at, time.Now()
		}
		if time.Since(moved) > stallLimit || time.Since(begun) > drainLimit {
			return nil
		}
		select {
		case <-done:
			return nil
		case <-tick.C:
		}
	}
}

// arrived reports whether everything that was written is captured, and everything captured applied.
func (r *runner) arrived(ctx context.Context, now snapshot) (bool, error) {
	for _, source := range now.sources {
		if r.workload.databases[source.Name] == nil || source.Name == books {
			continue // a source that the user has added, or that was asked
		}
		written, err := r.workload.written(ctx, source.Name)
		if err != nil {
			return false, err
		}
		if source.Log.Commit < written {
			return false, nil
		}
	}
	for _, route := range now.routes {
		if route.State != ops.RouteDisabled && (route.State != ops.RouteRunning || route.LagEvents > 0 || route.Counts.Parked > 0) {
			return false, nil
		}
	}
	return true, nil
}

const (
	// frameEvery is how often the status in a terminal refreshes, lineEvery how often a line is printed elsewhere.
	frameEvery = 200 * time.Millisecond
	lineEvery  = 5 * time.Second
	// firstEvery is how often the first record is looked for.
	firstEvery = 25 * time.Millisecond
)

// watch shows how things are until ctx ends.
func (r *runner) watch(ctx context.Context) {
	every := lineEvery
	if r.o.Terminal != nil && !r.o.Headless {
		every = frameEvery
	}
	show, look := time.NewTicker(every), time.NewTicker(firstEvery)
	defer show.Stop()
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			if now, err := r.look(ctx); err == nil && now.applied() > r.base.applied() {
				r.mu.Lock()
				r.first = time.Since(r.started)
				r.mu.Unlock()
				look.Stop()
			}
		case <-show.C:
			if now, err := r.look(ctx); err == nil {
				r.show(now)
			}
		}
	}
}

// show draws a frame or prints a line.
func (r *runner) show(now snapshot) {
	r.mu.Lock()
	phase := r.phase
	r.mu.Unlock()
	made, running := r.workload.made.Load(), time.Since(r.started).Truncate(time.Second)
	if r.o.Terminal != nil && !r.o.Headless {
		r.screen.frame(now.table(phase, made, running))
		return
	}
	lag, seconds := now.lag()
	r.screen.line("%s %s: %d changes made, %d captured, %d applied, lag %d (%s), %d parked", running, phase, made, now.captured(),
		now.applied()-r.base.applied(), lag, ops.Seconds(seconds), now.parked())
}
