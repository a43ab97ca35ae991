package daemon

import (
	"context"
	"fmt"
	"sync"
	"time"

	"syncline/internal/apply"
	"syncline/internal/capture"
	"syncline/internal/health"
)

// watchEvery is how often is looked whether routes get on. What stands still is so told this much later than health.stalled says.
const watchEvery = 5 * time.Second

// watched is what is remembered of routes, by id.
type watched struct {
	mu     sync.Mutex
	routes map[string]*watchedRoute
}

// watchedRoute is what is remembered of one route.
type watchedRoute struct {
	of       *route // another one of the same id is another route
	progress health.Progress
	still    time.Duration
	lag      health.Record
	canary   health.Canary
}

// watch looks at every route, again and again.
func (d *Daemon) watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		d.look(time.Now())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look takes note of where each route stands. It reads nothing but memory, so that it tells of a route even while the state store hangs.
func (d *Daemon) look(now time.Time) {
	w := &d.watched
	w.mu.Lock()
	defer w.mu.Unlock()
	routes := make(map[string]*watchedRoute)
	for _, r := range d.set().routes {
		one := w.routes[r.id]
		if one == nil || one.of != r {
			one = &watchedRoute{of: r}
		}
		routes[r.id] = one
		st := r.apply.Status()
		lag := d.lagOf(r, &st, now)
		one.lag.Add(now, &lag)
		one.still = max(one.progress.Look(now, sighted(r, &st, lag.Events, len(d.pausesOf(r)) > 0))-patience(r), 0)
	}
	w.routes = routes
}

// sighted is the route as progress sees it. One that is degraded says itself that it does not get on, and why.
func sighted(r *route, st *apply.Status, behind int64, paused bool) health.Sighting {
	s := health.Sighting{Place: health.Place{Log: st.Cursor.Log, Seq: uint64(st.Cursor.Seq), Index: st.Cursor.Index}, Done: st.Applied}
	switch st.State {
	case apply.RouteStarting:
		s.Wanted = !paused
	case apply.RouteRunning:
		s.Wanted = behind > 0 && !paused
	}
	return s
}

// patience is how long a route may stand still because its rules say so.
func patience(r *route) (longest time.Duration) {
	for _, rule := range r.rules {
		longest = max(longest, rule.Batch.MaxWait)
	}
	return longest
}

// lagOf is what the route has not applied. One that has not begun since the process did has no cursor of its own yet: what the store
// knows is told by routeStatus.
func (d *Daemon) lagOf(r *route, st *apply.Status, now time.Time) (l health.Lag) {
	if st.Cursor.Seq == 0 {
		return l
	}
	l.Events, l.Oldest = r.source.tally.lag(st.Cursor)
	l.Late = r.source.tally.late(st.Cursor, now.Add(-d.set().config.Health.Late.After))
	return l
}

// still is for how long the route should have got on and has not.
func (d *Daemon) still(r *route) time.Duration {
	d.watched.mu.Lock()
	defer d.watched.mu.Unlock()
	if one := d.watched.routes[r.id]; one != nil && one.of == r {
		return one.still
	}
	return 0
}

// pasts are how the lag of each route was lately.
func (d *Daemon) pasts(now time.Time) map[string]health.Past {
	d.watched.mu.Lock()
	defer d.watched.mu.Unlock()
	all := make(map[string]health.Past, len(d.watched.routes))
	for id, one := range d.watched.routes {
		all[id] = one.lag.Past(now)
	}
	return all
}

// unheardFor is for how long nothing was heard of the source; nil where it does not speak by itself, or is not open.
func unheardFor(st *capture.Status, now time.Time) *time.Duration {
	if st.Heard.IsZero() || st.State != capture.StateRunning {
		return nil
	}
	q := max(now.Sub(st.Heard), 0)
	return &q
}

// unheardOf says why a source that is running is not trusted; "" where it is.
func (d *Daemon) unheardOf(s *source, st *capture.Status, now time.Time) string {
	if q := unheardFor(st, now); q != nil && *q >= d.set().config.Health.Silent {
		return fmt.Sprintf("source %s is silent: nothing was heard of it for %s", s.system.Name, q.Round(time.Second))
	}
	if a := s.asked.Load(); a != nil && !a.at.IsZero() {
		if risk := health.RiskOf(&a.risk); risk.Lost() {
			return fmt.Sprintf("source %s: slot %s is %s", s.system.Name, risk.Slot, risk.SlotState)
		}
	}
	return ""
}
