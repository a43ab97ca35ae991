package apply

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"syncline"
	"syncline/internal/backoff"
	"syncline/internal/owner"
	"syncline/internal/state"
)

// State is what a route needs of the state store.
type State interface {
	ID() string
	Route(context.Context, state.Slice) (state.Route, error)
	PlaceRoute(context.Context, state.Slice, state.Route) error
	UpdateRoute(context.Context, state.Slice, func(*state.Route)) error
	Commit(context.Context, state.Commit) error
	Rewind(ctx context.Context, sl state.Slice, to syncline.Cursor) ([]state.Exception, error)
	Pending(context.Context, state.Slice) ([]state.Exception, error)
	Waiting(context.Context, state.Slice) ([]state.Exception, error)
	EditTask(ctx context.Context, sl state.Slice, task string, record []byte, e state.Edit) error
	Choose(ctx context.Context, choices map[string]state.Choice) (refused map[string]error, err error)
	Choices(context.Context, state.Slice) (map[string]state.Choice, error)
	Totals(context.Context, state.Slice) (state.Counts, state.Histogram, error)
	Schemas(context.Context, state.Slice) (map[string]state.RuleSchema, error)
	SaveSchema(context.Context, state.Slice, state.RuleSchema) error
	Ahead(context.Context, state.Slice) ([]state.Ahead, error)
}

// Start says where a route begins that has never run.
type Start string

const (
	// StartFull reads all records of its entities first.
	StartFull Start = "full"
	// StartNow begins with the next change.
	StartNow Start = "now"
	// StartEarliest begins with the oldest change that the log still has.
	StartEarliest Start = "earliest"
)

// Options describe a route. ID, Source, Rules, Log, Open, State and RequestRun are required.
type Options struct {
	ID     string
	Slice  int
	Source string
	Rules  []Rule
	// Start is where the route begins; "" = full for state targets, now for event targets.
	Start Start
	// Signature changes when the route must begin anew (its source, objects or key mapping); Version when its records may differ.
	Signature, Version string

	Log syncline.Log
	// Feed is shared by the routes of the source; nil = one of its own.
	Feed *Feed
	// Open connects to the target. It is called again after each transient error.
	Open  func(context.Context) (syncline.Target, error)
	State State
	// RequestRun asks the source's capture for a run, durably. A run of the same id is asked for once.
	RequestRun func(context.Context, syncline.Run) error
	// Forgotten: the state store has never met the log before, which has entries: it is not the store that the routes ran with.
	Forgotten bool
	// LogOnly: the source cannot read its records again; what its log has is all there is.
	LogOnly bool
	// Priorities: events may have priorities: urgent ones are taken ahead of what stands before them in the log.
	Priorities bool
	// SnapshotCovers: the source is about to make its first snapshot, which this route will get through the log.
	SnapshotCovers bool

	Limits Limits
	Retry  Retry
	// MinDelay and MaxDelay bound the pause after a transient error: 100 ms and 30 s.
	MinDelay, MaxDelay time.Duration
	Now                func() time.Time // nil = time.Now
	Logger             *slog.Logger     // nil = none
}

// Route applies the events of one source to one target by its rules: one slice of it.
type Route struct {
	o     Options
	slice state.Slice
	rules []Rule
	log   *slog.Logger

	// refused is what the route halted at because of a changed schema, accepted what an operator resumed it after. They belong to
	// the goroutine of Run.
	refused, accepted refusal

	commands chan command // sent by operators, received by Run; unbuffered: a command is taken when the loop can carry it out

	refusals refusals // belongs to the goroutine of Run, as skews does
	skews    skews

	paused atomic.Bool                    // see SetPaused
	traced atomic.Pointer[func(*Attempt)] // see SetTraced

	// unanswered is where the last batch would have ended that the target did not answer for; without a Log there is none. A target
	// that can be opened again may still not answer, and some are not even asked. It belongs to the goroutine of Run.
	unanswered syncline.Cursor

	// owned is the owner's epoch that the route took in this process last, 0 = none; see claim. It belongs to the goroutine of Run.
	owned uint64

	mu     sync.Mutex
	status Status
	rate   meter
	inHand InHand // see asks
}

// RouteState is how a route is, in one word.
type RouteState string

const (
	RouteStarting  RouteState = "starting"
	RouteRunning   RouteState = "running"
	RouteDegraded  RouteState = "degraded" // the target does not answer; the route tries on
	RouteNeedsSync RouteState = "needs_sync"
	RouteHalted    RouteState = "halted"
	RoutePaused    RouteState = "paused" // an operator holds it back
	RouteStopped   RouteState = "stopped"
)

// Status is a route's own account of itself.
type Status struct {
	State RouteState
	Since time.Time
	// Err is why it is degraded, halted or needs a sync; nil otherwise.
	Err error
	// NextTry is when a degraded route tries again.
	NextTry time.Time
	Cursor  syncline.Cursor
	// Settled is what the target said last that it has reached; 0 = it was not asked yet. Cursor is ahead of it while a batch is in
	// flight, and where the route passed entries that do not concern it.
	Settled syncline.Seq
	// Applied counts events that were done since the start; Rate is per second, lately.
	Applied int64
	Rate    float64
	Parked  int
	// Warnings are what was seen since the start and does not stop the route.
	Warnings []string
	Skewed   Skewed
	// InHand is what the target has now: everything from From to To, since Start. The zero value = nothing.
	InHand InHand
	// Oldest is when the oldest event that is read and not done was appended; zero = none.
	Oldest time.Time
}

// InHand is a batch that a target has, and has not answered yet.
type InHand struct {
	From, To syncline.Cursor
	Start    time.Time
	// Retries are the parked tasks that it tries again.
	Retries []string
}

// Waits reports whether the route has stopped, or waits before it tries again.
func (s Status) Waits(now time.Time) bool {
	switch s.State {
	case RouteHalted, RouteNeedsSync, RoutePaused:
		return true
	case RouteDegraded:
		return s.NextTry.After(now)
	}
	return false
}

// Busy reports whether the route works, or tries to.
func (s Status) Busy() bool {
	switch s.State {
	case RouteHalted, RouteNeedsSync, RoutePaused, RouteStopped:
		return false
	}
	return true
}

// New returns a route that has not begun.
func New(o Options) (*Route, error) {
	if len(o.Rules) == 0 {
		return nil, fmt.Errorf("route %s has no rules", o.ID)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Feed == nil {
		o.Feed = NewFeed(o.Log)
	}
	if o.MinDelay <= 0 {
		o.MinDelay = 100 * time.Millisecond
	}
	if o.MaxDelay <= 0 {
		o.MaxDelay = 30 * time.Second
	}
	return &Route{o: o, slice: state.Slice{Route: o.ID, Slice: o.Slice}, rules: o.Rules, commands: make(chan command),
		log:    o.Logger.With("route", o.ID, "slice", o.Slice),
		status: Status{State: RouteStarting, Since: o.Now()}}, nil
}

// requestRun asks the source for a run, unless it can do none.
func (r *Route) requestRun(ctx context.Context, run syncline.Run) error {
	if r.o.LogOnly {
		return syncline.Errorf(syncline.Rejected, "source_cannot_read", "source %s cannot read records again", r.o.Source).
			WithFix("send the records again under new event ids")
	}
	return r.o.RequestRun(ctx, run)
}

// ID returns the route's id.
func (r *Route) ID() string { return r.o.ID }

// Status returns how the route is now.
func (r *Route) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.status
	s.InHand = r.inHand
	if waits := r.o.Now().Sub(s.InHand.Start); s.State == RouteRunning && !s.InHand.Start.IsZero() && waits >= silence {
		s.State, s.Since = RouteDegraded, s.InHand.Start.Add(silence)
		s.Err = syncline.Errorf(syncline.Transient, "target_silent", "the target has had a batch for %s and does not answer", waits.Round(time.Second)).
			WithFix("see whether it hangs; it is waited for")
	}
	s.Warnings = slices.Clone(s.Warnings)
	s.Rate = r.rate.perSecond(r.o.Now())
	return s
}

// silence is how long a target may take for a batch before it is said not to answer.
const silence = 30 * time.Second

// asks notes that the target has the plan, or with nil that it has none.
func (r *Route) asks(p *plan) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.inHand = (InHand{}); p == nil {
		return
	}
	r.inHand = InHand{From: p.from, To: p.to, Start: r.o.Now()}
	for _, k := range p.retry {
		r.inHand.Retries = append(r.inHand.Retries, k.head().Task)
	}
}

// warn adds to the status what an operator should know, once.
func (r *Route) warn(warnings ...string) {
	r.update(func(s *Status) {
		for _, w := range warnings {
			if !slices.Contains(s.Warnings, w) {
				s.Warnings = append(s.Warnings, w)
			}
		}
	})
}

func (r *Route) update(change func(*Status)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.status.State
	change(&r.status)
	if r.status.State != was {
		r.status.Since = r.o.Now()
	}
}

// Run applies until ctx ends; then it finishes the batch in hand, stores how far it has come and returns nil. hard is the deadline of that: when it ends
// Run gives up. A route that cannot go on stays in Run, halted, until Resume, Restart or the end.
func (r *Route) Run(ctx, hard context.Context) error {
	defer r.update(func(s *Status) { s.State = RouteStopped })
	defer func() {
		r.refusals.next = time.Time{} // the last moment to tell
		r.refusals.tell(r.log, r.o.ID, r.o.Now())
	}()
	failures, stopped := 0, false
	for ctx.Err() == nil {
		if r.paused.Load() {
			r.rest(ctx)
			continue
		}
		s, err := r.Begin(ctx)
		began := err == nil
		if began {
			if !s.m.committed.Before(r.unanswered) { // the batch was done, only its answer was lost
				r.unanswered = syncline.Cursor{}
			}
			waits := r.unanswered.Log != ""
			if waits { // also where it was a move of the cursor alone, and nothing comes that has to be written
				s.m.saved = time.Time{}
			}
			switch {
			case stopped:
				r.log.Info("route goes on")
			case failures > 0 && !waits:
				r.log.Info("target answers again")
			}
			stopped = false
			r.update(func(st *Status) {
				if st.NextTry = (time.Time{}); r.unanswered.Log == "" {
					st.State, st.Err = RouteRunning, nil
				}
			})
			var progress bool
			progress, err = s.run(ctx, hard)
			if progress {
				failures = 0
			}
		}
		if err == nil || ctx.Err() != nil {
			continue
		}
		if syncline.ClassOf(err) == syncline.Fatal && !(began && r.owned > 0 && owner.Contested(err)) {
			r.unanswered = syncline.Cursor{}
			r.stop(ctx, err)
			failures, stopped = 0, true
			continue
		}
		failures++
		r.backOff(ctx, err, failures)
	}
	return nil
}

// stop shows why the route cannot go on, and waits for a command that changes that.
func (r *Route) stop(ctx context.Context, err error) {
	to := RouteHalted
	if syncline.CodeOf(err) == "needs_sync" {
		to = RouteNeedsSync
	}
	r.update(func(s *Status) { s.State, s.Err = to, err })
	r.log.Error("route stopped", "code", syncline.CodeOf(err), "err", err, "fix", syncline.FixOf(err))
	for {
		select {
		case <-ctx.Done():
			return
		case c := <-r.commands:
			if r.whileStopped(ctx, c, err) {
				if owner.Contested(err) {
					r.owned = 0 // an operator has decided
				}
				return
			}
		}
	}
}

// backOff waits after a transient error: a random time up to a bound that doubles, so that routes of one target do not return in
// step; never less than the target asked for or the error needs.
func (r *Route) backOff(ctx context.Context, err error, failures int) {
	d := syncline.RetryAfter(err) + backoff.Delay(r.o.MinDelay, r.o.MaxDelay, failures)
	r.update(func(s *Status) { s.State, s.Err, s.NextTry = RouteDegraded, err, r.o.Now().Add(d) })
	text := "target does not answer"
	if outside := (*outsideError)(nil); errors.As(err, &outside) {
		text = "step gets no answer from outside"
	}
	if owner.Contested(err) {
		text = "somebody else took the target"
	}
	r.log.Warn(text, "code", syncline.CodeOf(err), "err", err, "retry_in", d)
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case c := <-r.commands:
			if r.whileStopped(ctx, c, err) {
				return
			}
		}
	}
}

// whileStopped carries out a command on a route without a session, and reports whether that is a reason to begin one.
func (r *Route) whileStopped(ctx context.Context, c command, why error) bool {
	if c.whileStopped == nil {
		c.answer <- syncline.Errorf(syncline.Rejected, "route_stopped", "route %s does not work now: %v", r.o.ID, why)
		return false
	}
	begin, err := c.whileStopped(ctx)
	c.answer <- err
	return begin && err == nil
}
