package daemon

import (
	"context"
	"slices"
	"sync"
	"time"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/config"
)

const (
	// canaryLook and canaryRest bound how often is looked for a mark that is under way.
	canaryLook = 5 * time.Millisecond
	canaryRest = 250 * time.Millisecond
)

// sendCanaries sends marks through the sources that health.canary names, again and again, and measures when they are at each target.
func (d *Daemon) sendCanaries(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var flights sync.WaitGroup
	defer flights.Wait()
	last := make(map[string]time.Time)
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			c := d.set().config.Health.Canary
			if c == nil {
				continue
			}
			for _, s := range d.set().sources {
				if slices.Contains(c.Sources, s.system.Name) && now.Sub(last[s.system.Name]) >= c.Every {
					last[s.system.Name] = now
					flights.Go(func() { d.sendCanary(ctx, s, c) })
				}
			}
		}
	}
}

// sendCanary sends one mark, and follows it until it is at every target or the next one is sent. One that gets nowhere, for whatever
// reason, ages: that is what it is for. A target of events holds no cursor, so that nothing there could tell of it.
func (d *Daemon) sendCanary(ctx context.Context, s *source, c *config.Canary) {
	ctx, cancel := context.WithTimeout(ctx, c.Every)
	defer cancel()
	var routes []*route
	sent := time.Now()
	for _, r := range d.set().routes {
		if r.source.stream == s.stream && !r.target.Type.Events() && len(d.pausesOf(r)) == 0 {
			routes = append(routes, r)
		}
	}
	d.canaries(routes, func(w *watchedRoute) { w.canary.Sent(sent) })
	at, err := d.mark(ctx, s)
	if err != nil {
		d.log.Debug("canary was not sent", "source", s.system.Name, "code", syncline.CodeOf(err), "err", err)
		return
	}
	var logged syncline.Seq // the log has the mark at or before this entry
	for pause := canaryLook; len(routes) > 0; pause = min(pause*3/2, canaryRest) {
		if logged == 0 {
			if st := s.capture.Status(); st.Position.Commit >= at {
				logged = st.Seq
			}
		}
		routes = slices.DeleteFunc(routes, func(r *route) bool { return d.landed(ctx, r, logged, sent) })
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// landed reports whether the mark is to be looked for no longer on this route: its target has committed a cursor behind it, or the route
// does not work any more.
func (d *Daemon) landed(ctx context.Context, r *route, logged syncline.Seq, sent time.Time) bool {
	if logged == 0 {
		return false
	}
	switch st := r.apply.Status(); {
	case st.State == apply.RoutePaused, st.State == apply.RouteStopped:
		d.canaries([]*route{r}, func(w *watchedRoute) { w.canary.Forget() })
		return true
	case st.Settled > logged:
		now := time.Now()
		d.canaries([]*route{r}, func(w *watchedRoute) { w.canary.Arrived(sent, now) })
		return true
	case st.State == apply.RouteRunning && st.Cursor.Seq > logged:
		ctx, cancel := context.WithTimeout(ctx, canaryRest)
		defer cancel()
		_ = r.apply.Save(ctx) // one that is busy is asked again
	}
	return false
}

// canaries changes what is remembered of the routes' marks.
func (d *Daemon) canaries(routes []*route, change func(*watchedRoute)) {
	d.watched.mu.Lock()
	defer d.watched.mu.Unlock()
	for _, r := range routes {
		if w := d.watched.routes[r.id]; w != nil && w.of == r {
			change(w)
		}
	}
}

// mark has the source's system write the mark, by a Source that is not opened, so that the one at work is left alone.
func (d *Daemon) mark(ctx context.Context, s *source) (commit uint64, err error) {
	open, err := connectors[s.system.Type].source(d, s)
	if err != nil {
		return 0, err
	}
	one, err := open()
	if err != nil {
		return 0, err
	}
	markable, ok := one.(syncline.Markable)
	if !ok {
		return 0, syncline.Errorf(syncline.Rejected, "not_available", "source %s takes no marks", s.system.Name)
	}
	return markable.Mark(ctx)
}

// canaryOf is how long the last mark took through the route; nil where none is sent.
func (d *Daemon) canaryOf(r *route, now time.Time) *time.Duration {
	d.watched.mu.Lock()
	defer d.watched.mu.Unlock()
	w, c := d.watched.routes[r.id], d.set().config.Health.Canary
	if w == nil || w.of != r || c == nil || !slices.Contains(c.Sources, r.source.system.Name) {
		return nil
	}
	took, ok := w.canary.Takes(now)
	if !ok {
		return nil
	}
	return &took
}
