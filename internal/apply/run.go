package apply

import (
	"context"
	"sync"
	"time"

	"syncline"
	"syncline/internal/state"
)

// command is what an operator asks of a route. Exactly one of the functions is called, in the route's loop; the answer goes to
// answer, which has room for it.
type command struct {
	whileRunning func(context.Context, *Session) error
	whileStopped func(context.Context) error
	answer       chan error
}

// do hands the command to Run and waits for the answer.
func (r *Route) do(ctx context.Context, c command) error {
	c.answer = make(chan error, 1)
	select {
	case r.commands <- c:
	case <-ctx.Done():
		return syncline.Errorf(syncline.Transient, "route_busy", "route %s did not take the command: %w", r.o.ID, ctx.Err())
	}
	select {
	case err := <-c.answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Retry tries a parked task now. It returns once the route has taken note; the outcome is the task's status.
func (r *Route) Retry(ctx context.Context, x state.Exception) error {
	return r.do(ctx, command{whileRunning: func(_ context.Context, s *Session) error { return s.Retry(x) }})
}

// Retry is Route.Retry for whoever steps the session.
func (s *Session) Retry(x state.Exception) error {
	k := s.m.parking.find(&x)
	if k == nil {
		return syncline.Errorf(syncline.Rejected, "task_not_parked", "task %s does not wait any more", x.Task)
	}
	if err := s.m.unretryable(k); err != nil {
		return err
	}
	k.forced = true
	return nil
}

// Cancel gives a parked task up; what was held behind it goes on.
func (r *Route) Cancel(ctx context.Context, x state.Exception, reason string) error {
	return r.do(ctx, command{whileRunning: func(ctx context.Context, s *Session) error { return s.Cancel(ctx, x, reason) }})
}

// Cancel is Route.Cancel for whoever steps the session.
func (s *Session) Cancel(ctx context.Context, x state.Exception, reason string) error {
	k := s.m.parking.find(&x)
	if k == nil {
		return syncline.Errorf(syncline.Rejected, "task_not_parked", "task %s does not wait any more", x.Task)
	}
	if s.m.inflight != nil {
		return syncline.Errorf(syncline.Transient, "route_busy", "route %s is in the middle of a batch; try again", s.r.o.ID)
	}
	now := s.r.o.Now()
	c := &state.Commit{Slice: s.r.slice}
	for i := range k.tasks {
		t := k.tasks[i]
		if t.Task == x.Task {
			t.Status, t.Error, t.Updated = state.StatusCancelled, "cancelled: "+reason, now
			c.Update = append(c.Update, t)
			if i == 0 && len(k.tasks) > 1 {
				next := k.tasks[1]
				next.Status, next.NextTry, next.Updated = state.StatusRetrying, now, now
				c.Update = append(c.Update, next)
			}
		}
	}
	if err := s.r.o.State.Commit(ctx, *c); err != nil {
		return err
	}
	s.m.parking.fold(c)
	s.m.forget()
	return nil
}

// Restart begins a stopped route anew at the log's end and asks for all records of its entities: the way out of needs_sync, a
// lost cursor and a lost log. Where the source cannot read its records it begins with the oldest change that the log still has.
func (r *Route) Restart(ctx context.Context) error {
	return r.do(ctx, command{whileStopped: r.anew, whileRunning: func(context.Context, *Session) error {
		return syncline.Errorf(syncline.Rejected, "route_running", "route %s is running; it needs no restart", r.o.ID)
	}})
}

func (r *Route) anew(ctx context.Context) error {
	bounds, err := r.o.Log.Bounds(ctx)
	if err != nil {
		return err
	}
	was, err := r.o.State.Route(ctx, r.slice)
	if err != nil {
		return err
	}
	at := syncline.Cursor{Log: r.o.Log.ID(), Seq: bounds.Last + 1, Epoch: was.Cursor.Epoch}
	if r.o.LogOnly {
		at.Seq = max(bounds.First, 1)
	}
	return r.o.State.PlaceRoute(ctx, r.slice, state.Route{Placing: true, Run: runSync, Source: r.o.Source, Signature: r.o.Signature,
		Version: r.o.Version, Cursor: at})
}

// Recheck ends the present session, if there is one, and looks again at what the state store says of the route.
func (r *Route) Recheck(ctx context.Context) error {
	return r.do(ctx, command{whileStopped: func(context.Context) error { return nil }, whileRunning: func(_ context.Context, s *Session) error {
		s.over = true
		return nil
	}})
}

// run works until ctx ends or something fails. It tells whether any batch was done. One goroutine reads ahead, one at a time
// applies; everything is decided in this one.
func (s *Session) run(ctx, hard context.Context) (progress bool, err error) {
	var workers sync.WaitGroup
	readCtx, stopReading := context.WithCancel(ctx)
	entries := make(chan Fed)        // sent by the reader; unbuffered: the window bounds what is read ahead
	readErr := make(chan error, 1)   // the reader's last word; has room so that it can always leave
	results := make(chan applied, 1) // sent by the applier; has room so that it can always leave
	defer func() {
		stopReading()
		workers.Wait()
		_ = s.target.Close()
	}()
	reader := s.r.o.Feed.Reader(s.m.committed.Seq)
	workers.Go(func() {
		defer reader.Close() //nolint:errcheck // it holds nothing that could be lost
		for {
			d, err := reader.Next(readCtx)
			if err != nil {
				readErr <- err
				return
			}
			select {
			case entries <- d:
			case <-readCtx.Done():
				return
			}
		}
	})
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	flying := false
	for {
		for !flying && ctx.Err() == nil {
			move := s.m.next(s.r.o.Now())
			if move == moveWait {
				s.show()
				break
			}
			if move == moveDefine {
				if err := s.define(ctx); err != nil {
					if s.over {
						err = nil
					}
					return progress, err
				}
				continue
			}
			flying = true
			p := s.m.inflight
			workers.Go(func() { results <- s.apply(hard, p) })
		}
		if flying {
			s.m.next(s.r.o.Now()) // prepares the plan that follows
		}
		if !flying && ctx.Err() != nil {
			return progress, nil
		}
		var more <-chan Fed
		if s.m.wants() && ctx.Err() == nil {
			more = entries
		}
		s.setTimer(timer)
		done := ctx.Done()
		if flying {
			done = nil // the batch in hand is finished first
		}
		select {
		case <-done:
		case d := <-more:
			if err := s.m.take(d); err != nil {
				return progress, err
			}
			s.r.update(func(st *Status) { st.Oldest = s.m.oldest() })
		case err := <-readErr:
			if ctx.Err() == nil {
				return progress, err
			}
			readErr = nil
		case res := <-results:
			flying = false
			if err := s.settled(hard, res); err != nil {
				return progress, err
			}
			progress = true
			s.r.update(func(st *Status) { st.Oldest = s.m.oldest() })
		case c := <-s.r.commands:
			if c.whileRunning == nil {
				c.answer <- syncline.Errorf(syncline.Rejected, "route_running", "route %s is running", s.r.o.ID)
				continue
			}
			c.answer <- c.whileRunning(hard, s)
			if s.over {
				return progress, nil
			}
		case <-timer.C:
		}
	}
}

// setTimer arms the timer for the next thing that only time brings: a retry, the stored cursor of an idle route, or the end of the
// time that a batch may take to fill.
func (s *Session) setTimer(timer *time.Timer) {
	now := s.r.o.Now()
	at, ok := s.m.parking.wake()
	if s.m.unsaved {
		if save := s.m.saved.Add(saveEvery); !ok || save.Before(at) {
			at, ok = save, true
		}
	}
	if s.m.inflight == nil && !s.m.filling.IsZero() {
		if full := s.m.filling.Add(s.m.limits.MaxWait); !ok || full.Before(at) {
			at, ok = full, true
		}
	}
	if !ok {
		at = now.Add(time.Hour)
	}
	timer.Reset(max(at.Sub(now), time.Millisecond))
}
