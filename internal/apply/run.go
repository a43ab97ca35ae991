package apply

import (
	"context"
	"sync"
	"time"

	"syncline"
	"syncline/internal/state"
)

// command is what an operator asks of a route. One of the functions is called, in the route's loop; the answer goes to answer, which
// has room for it.
type command struct {
	whileRunning func(context.Context, *Session) error
	// settled: whileRunning waits until the batch in hand is settled, and keeps the next one from beginning.
	settled bool
	// whileStopped tells whether that is a reason to begin a session now. nil = the route must run.
	whileStopped func(context.Context) (begin bool, err error)
	answer       chan error
	// gone is closed when nobody waits for the answer any more: the command is not carried out.
	gone <-chan struct{}
}

// do hands the command to Run and waits for the answer.
func (r *Route) do(ctx context.Context, c command) error {
	c.answer, c.gone = make(chan error, 1), ctx.Done()
	select {
	case r.commands <- c:
	case <-ctx.Done():
		return r.busy()
	}
	select {
	case err := <-c.answer:
		return err
	case <-ctx.Done():
		return r.busy()
	}
}

func (r *Route) busy() error {
	return syncline.Errorf(syncline.Transient, "route_busy", "route %s waits for its target, or has a batch in hand that takes long", r.o.ID).WithFix("give the command again")
}

// Retry tries a parked task now. It returns once the route has taken note; the outcome is the task's status.
func (r *Route) Retry(ctx context.Context, x state.Exception) error {
	return r.do(ctx, command{whileRunning: func(_ context.Context, s *Session) error { return s.Retry(x) }})
}

// Retry is Route.Retry for whoever steps the session.
func (s *Session) Retry(x state.Exception) error {
	k, known := s.m.parking.find(&x)
	switch {
	case !known:
		return s.ruleGone(&x)
	case k == nil:
		return notParked(x)
	}
	if err := s.m.unretryable(k); err != nil {
		return err
	}
	s.m.parking.force(k)
	return nil
}

func (s *Session) ruleGone(x *state.Exception) error {
	return syncline.Errorf(syncline.Rejected, "route_unknown", "task %s is of rule %s, which route %s does not have any more",
		x.Task, x.Rule, s.r.o.ID).WithFix("bring the rule back, then retry the task; or cancel it")
}

// Restart begins a stopped route anew at the log's end and asks for all records of its entities: the way out of needs_sync, a
// lost cursor and a lost log (see Lost), and of nothing else: what was not applied yet and what was parked is forgotten. Where the
// source cannot read its records it begins with the oldest change that the log still has.
func (r *Route) Restart(ctx context.Context) error {
	begin := func(ctx context.Context) (bool, error) { return true, r.anew(ctx) }
	return r.do(ctx, command{whileStopped: begin, whileRunning: func(context.Context, *Session) error {
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

// Resume has a route that has stopped, or waits after an error, go on at once where it stood, because an operator has set right what
// was wrong. A schema that it halted at is taken as it is from then on. For a route that works it does nothing.
func (r *Route) Resume(ctx context.Context) error {
	return r.do(ctx, command{whileStopped: r.resume, whileRunning: func(context.Context, *Session) error { return nil }})
}

func (r *Route) resume(context.Context) (begin bool, err error) {
	r.accepted = r.refused
	return true, nil
}

// Recheck ends the present session, if there is one, and looks again at what the state store says of the route.
func (r *Route) Recheck(ctx context.Context) error {
	begin := func(context.Context) (bool, error) { return true, nil }
	return r.do(ctx, command{whileStopped: begin, whileRunning: func(_ context.Context, s *Session) error {
		s.over = true
		return nil
	}})
}

// leaveTimeout bounds the wait for a target that does not answer as a route stores its cursor at its end.
const leaveTimeout = 5 * time.Second

// run works until ctx ends, when it stores how far it has come, or something fails. It tells whether any batch was done. One goroutine reads
// ahead, one at a time applies, one at a time looks further ahead for what is urgent; everything is decided in this one.
func (s *Session) run(ctx, hard context.Context) (progress bool, err error) {
	var workers sync.WaitGroup
	readCtx, stopReading := context.WithCancel(ctx)
	entries := make(chan Fed)             // sent by the reader; unbuffered: the window bounds what is read ahead
	readErr := make(chan error, 1)        // the reader's last word; has room so that it can always leave
	results := make(chan applied, 1)      // sent by the applier; has room so that it can always leave
	answers := make(chan preparedWith, 1) // sent by whoever asks for machine.preparing; has room so that it can always leave
	scouts := make(chan func(), 1)        // sent by the one scout: what the machine is told of it; has room so that it can always leave
	commands := s.r.commands              // nil while one of them waits
	var waiting command                   // for the batch in hand
	defer func() {
		stopReading()
		workers.Wait()
		_ = s.target.Close()
		if commands == nil {
			waiting.answer <- s.r.busy()
		}
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
	flying, left := false, false
	fly := func(within context.Context) {
		flying = true
		p := s.m.inflight
		s.r.asks(p)
		workers.Go(func() { results <- s.apply(within, p) })
	}
	defer s.r.asks(nil)
	for {
		if commands == nil && !flying {
			commands = s.r.commands
			s.obey(hard, waiting)
		}
		if !flying && s.r.paused.Load() {
			return progress, nil
		}
		for !flying && ctx.Err() == nil {
			move := s.m.next(s.r.o.Now())
			if move == moveWait {
				s.show()
				break
			}
			if move == movePrepare {
				s.prepareBeside(readCtx, &workers, answers)
				continue
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
			fly(hard)
		}
		if flying && s.m.next(s.r.o.Now()) == movePrepare { // makes the plan that follows
			s.prepareBeside(readCtx, &workers, answers)
		}
		if !flying && ctx.Err() != nil {
			if left || !s.m.leave() {
				return progress, nil
			}
			left = true
			leaving, cancel := context.WithTimeout(hard, leaveTimeout)
			defer cancel()
			fly(leaving)
		}
		s.scoutBeside(readCtx, &workers, scouts)
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
			s.r.asks(nil)
			if err := s.settled(hard, res); err != nil {
				return progress, err
			}
			progress = true
			s.r.update(func(st *Status) { st.Oldest = s.m.oldest() })
		case tell := <-scouts:
			tell()
		case a := <-answers:
			switch {
			case a.err == nil:
				s.m.prepared(a.answers)
			case ctx.Err() == nil:
				return progress, a.err
			}
		case c := <-commands:
			if c.settled && flying {
				waiting, commands = c, nil
				continue
			}
			s.obey(hard, c)
			if s.over {
				return progress, nil
			}
		case <-timer.C:
			s.r.refusals.tell(s.r.log, s.r.o.ID, s.r.o.Now())
		}
	}
}

// obey carries out a command, unless whoever gave it has gone.
func (s *Session) obey(ctx context.Context, c command) {
	select {
	case <-c.gone:
	default:
		c.answer <- c.whileRunning(ctx, s)
	}
}

// setTimer arms the timer for the next thing that only time brings: a retry, the stored cursor of an idle route and the memory that it lets go
// of, or the end of the time that a batch may take to fill.
func (s *Session) setTimer(timer *time.Timer) {
	now := s.r.o.Now()
	at := now.Add(time.Hour)
	sooner := func(t time.Time) {
		if t.Before(at) {
			at = t
		}
	}
	if tell, due := s.r.refusals.due(); due {
		sooner(tell)
	}
	if s.m.inflight == nil { // else nothing of it could be done
		if retry, due := s.m.parking.wake(); due && s.m.preparing == nil {
			sooner(retry)
		}
		if s.m.unsaved {
			sooner(s.m.saveAt())
		}
		if !s.m.resting.IsZero() {
			sooner(s.m.resting.Add(restAfter))
		}
		if !s.m.filling.IsZero() {
			sooner(s.m.filling.Add(s.m.limits.MaxWait))
		}
	}
	timer.Reset(max(at.Sub(now), time.Millisecond))
}
