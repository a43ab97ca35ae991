package apply

import (
	"context"
	"time"

	"syncline"
)

// SetPaused holds the route back, or lets it go on where it stood. A paused route finishes the batch in hand, closes its target and
// takes nothing more. It takes effect at once before Run; else when the route next looks, which HeedPause has it do.
func (r *Route) SetPaused(paused bool) { r.paused.Store(paused) }

// HeedPause returns once the route does as SetPaused said last. An error of class transient says that it still has a batch in hand; it
// heeds it after that.
func (r *Route) HeedPause(ctx context.Context) error {
	c := command{
		settled: true,
		whileRunning: func(_ context.Context, s *Session) error {
			s.over = s.r.paused.Load()
			return nil
		},
		// What a route has stopped at by itself is more than a pause, and stays so.
		whileStopped: func(context.Context) (begin bool, err error) {
			st := r.Status().State
			return st != RouteHalted && st != RouteNeedsSync, nil
		},
	}
	err := r.do(ctx, c)
	if err == nil && r.paused.Load() {
		err = r.do(ctx, c) // the first one ended the session; whoever takes this one has begun to rest
	}
	return err
}

// Save has a route that works store its cursor at the target soon, where it has nothing to write and would do so only now and then. It
// does not wait for that: Status.Settled tells. A route that does not work is left alone.
func (r *Route) Save(ctx context.Context) error {
	return r.do(ctx, command{whileRunning: func(_ context.Context, s *Session) error {
		s.m.saved = time.Time{}
		return nil
	}})
}

// rest waits while the route is paused, and carries out what needs no target.
func (r *Route) rest(ctx context.Context) {
	r.update(func(s *Status) { s.State, s.Err, s.NextTry = RoutePaused, nil, time.Time{} })
	r.log.Info("route is paused")
	r.tellLost(ctx)
	why := syncline.Errorf(syncline.Rejected, "route_paused", "route %s is paused", r.o.ID).
		WithFix("see why with `syncline pause list`, and resume it first")
	for r.paused.Load() {
		select {
		case <-ctx.Done():
			return
		case c := <-r.commands:
			if c.whileStopped == nil {
				c.answer <- why
				continue
			}
			_, err := c.whileStopped(ctx)
			r.tellLost(ctx)
			c.answer <- err
		}
	}
	r.update(func(s *Status) { s.State, s.Err = RouteStarting, nil })
	r.log.Info("route goes on after a pause")
}

// tellLost shows of a paused route what the log has given up meanwhile: whoever paused it is to hear of that before it goes on.
func (r *Route) tellLost(ctx context.Context) {
	known, err := r.o.State.Route(ctx, r.slice)
	if err != nil {
		return // it is told when the route goes on
	}
	r.update(func(s *Status) {
		s.Err = lostHold(&known, "lift the pause (`syncline pause list` names it); where the route is not filled again by itself then, "+anew)
	})
}
