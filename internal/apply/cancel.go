package apply

import (
	"context"
	"slices"
	"time"

	"syncline"
	"syncline/internal/state"
)

// Cancel gives a parked task up; what was held behind it goes on. It needs no target: a route that has stopped does it too.
func (r *Route) Cancel(ctx context.Context, x state.Exception, reason string) error {
	return r.do(ctx, command{
		settled:      true,
		whileRunning: func(ctx context.Context, s *Session) error { return s.Cancel(ctx, x, reason) },
		whileStopped: func(ctx context.Context) (bool, error) { return false, Cancel(ctx, r.o.State, x, reason, r.o.Now()) },
	})
}

// Cancel gives a parked task up in the state store alone, where no session of its route knows it: the route does not run, or
// has no such rule any more.
func Cancel(ctx context.Context, store State, x state.Exception, reason string, now time.Time) error {
	pending, err := store.Waiting(ctx, x.Slice)
	if err != nil {
		return err
	}
	pending = slices.DeleteFunc(pending, func(p state.Exception) bool { return p.Rule != x.Rule || p.Key != x.Key })
	c, err := cancellation(pending, x, reason, now)
	if err != nil {
		return err
	}
	return store.Commit(ctx, *c)
}

// Cancel is Route.Cancel for whoever steps the session.
func (s *Session) Cancel(ctx context.Context, x state.Exception, reason string) error {
	k, known := s.m.parking.find(&x)
	if !known {
		return Cancel(ctx, s.r.o.State, x, reason, s.r.o.Now())
	}
	var tasks []state.Exception
	if k != nil {
		tasks = k.tasks
	}
	c, err := cancellation(tasks, x, reason, s.r.o.Now())
	if err != nil {
		return err
	}
	if err := s.r.o.State.Commit(ctx, *c); err != nil {
		return err
	}
	s.taken(c)
	return nil
}

// cancellation gives up x, which is among the tasks of its slot, and lets the next one go on.
func cancellation(tasks []state.Exception, x state.Exception, reason string, now time.Time) (*state.Commit, error) {
	changed := giveUp(tasks, func(t *state.Exception) bool { return t.Task == x.Task }, reason, now)
	if len(changed) == 0 {
		return nil, notParked(x)
	}
	return &state.Commit{Slice: x.Slice, Update: changed}, nil
}

// giveUp returns the chosen tasks of a slot given up and, where the first of the slot is among them, the first that stays, which goes on.
func giveUp(tasks []state.Exception, chosen func(*state.Exception) bool, reason string, now time.Time) (changed []state.Exception) {
	first := -1 // that stays
	for i := range tasks {
		if !chosen(&tasks[i]) {
			if first < 0 {
				first = i
			}
			continue
		}
		t := tasks[i]
		was := t.Error
		t.Status, t.Error, t.Updated = state.StatusCancelled, "cancelled: "+reason, now
		if was != "" {
			t.Error += "; before: " + was
		}
		changed = append(changed, t)
	}
	if first > 0 {
		next := tasks[first]
		next.Status, next.NextTry, next.Updated = state.StatusRetrying, now, now
		changed = append(changed, next)
	}
	return changed
}

func notParked(x state.Exception) error {
	return syncline.Errorf(syncline.Rejected, "task_not_parked", "task %s does not wait any more", x.Task)
}
