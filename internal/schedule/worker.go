// Package schedule does work at its times. What is next is decided by Plan.Step, from where a schedule stands and the time; Worker carries
// that out, and keeps in the state store where each schedule stands. DESIGN.md says what it guarantees.
package schedule

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"syncline"
	"syncline/internal/state"
)

const (
	// leaseTime is for how long a run belongs to who carries it out, unless that says so again. It does when half of it is over.
	leaseTime = time.Minute
	// look is how often the clock is looked at: a timer does not notice that it was set.
	look = 10 * time.Second
	// trimEvery is how often old runs are forgotten: those that ended longer ago than keepRuns, and more than maxRuns of a schedule.
	trimEvery = time.Hour
	keepRuns  = 90 * 24 * time.Hour
	maxRuns   = 1000
)

// Options configure a Worker. Store and Instance are required.
type Options struct {
	Store *state.Store
	// Kinds carry out the work, by their names.
	Kinds map[string]Kind
	// Instance names who carries out runs. Two that share a store at the same time have different names; one that starts again after
	// a crash has the same one and need not wait for its own lease to end.
	Instance string
	// Now is the clock; nil = time.Now.
	Now    func() time.Time
	Logger *slog.Logger // nil = none
}

// Worker begins runs at their times. Its methods are safe beside each other.
type Worker struct {
	o   Options
	log *slog.Logger
	// wake is buffered by one: who changes something leaves a note, Run takes it.
	wake chan struct{}

	mu    sync.Mutex
	plans []*Plan
	// fresh are runs that this process has begun, and nobody before it.
	fresh map[string]bool
	// busy are the runs that are carried out here, by schedule.
	busy map[string]*run

	running sync.WaitGroup
	trimmed time.Time
}

// run is one that is carried out here.
type run struct {
	id   string
	stop context.CancelCauseFunc
}

// New returns a worker without schedules: Set gives it some.
func New(o Options) *Worker {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Worker{o: o, log: o.Logger, wake: make(chan struct{}, 1), fresh: make(map[string]bool), busy: make(map[string]*run)}
}

// Set has other schedules take the place of those before. One that stays keeps its history, and its next occurrence where its timetable
// stays too; the run of one that is gone is stopped.
func (w *Worker) Set(plans []*Plan) {
	w.mu.Lock()
	w.plans = plans
	w.mu.Unlock()
	w.notify()
}

func (w *Worker) notify() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Run works until ctx ends, and returns when the runs in hand have stopped. Those that can go on do so at the next start.
func (w *Worker) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	defer w.running.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-w.wake:
		}
		wait, err := w.round(ctx)
		if err != nil && ctx.Err() == nil {
			w.log.Warn("schedules cannot be looked after", "err", err)
		}
		timer.Reset(wait)
	}
}

// round looks after every schedule, and returns how long nothing will be due.
func (w *Worker) round(ctx context.Context) (time.Duration, error) {
	rows, err := w.o.Store.Schedules(ctx)
	if err != nil {
		return look, err
	}
	known := make(map[string]state.Schedule, len(rows))
	for _, row := range rows {
		known[row.ID] = row
	}
	wait := look
	var errs []error
	for _, p := range w.current() {
		row, ok := known[p.ID]
		if !ok {
			row.ID = p.ID
		}
		delete(known, p.ID)
		at, err := w.look(ctx, p, row)
		errs = append(errs, err)
		if !at.IsZero() {
			wait = min(wait, max(at.Sub(w.o.Now()), 0))
		}
	}
	for _, row := range known {
		errs = append(errs, w.retire(ctx, row))
	}
	errs = append(errs, w.trim(ctx))
	return wait, errors.Join(errs...)
}

func (w *Worker) current() []*Plan {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.plans
}

// plan returns the schedule with this id; nil = none.
func (w *Worker) plan(id string) *Plan {
	for _, p := range w.current() {
		if p.ID == id {
			return p
		}
	}
	return nil
}

// steps bounds what one schedule can decide in a round.
const steps = 10

// look looks after one schedule, and returns when it is to be looked at again.
func (w *Worker) look(ctx context.Context, p *Plan, row state.Schedule) (time.Time, error) {
	err := w.tend(ctx, p, &row)
	for range steps {
		if errors.Is(err, errMoved) {
			break
		}
		if err != nil {
			return time.Time{}, err
		}
		now := w.o.Now()
		was := standing(&row)
		next, d := p.Step(was, now)
		if next == was && !d.Begin && d.Passed == "" && d.Missed == 0 {
			return d.Wake, nil
		}
		err = w.carryOut(ctx, p, &row, next, d, now)
	}
	return w.o.Now(), nil
}

func standing(row *state.Schedule) Standing {
	return Standing{Signature: row.Signature, Settled: row.Settled, Next: row.Next, Queued: row.Queued, Paused: row.Paused, Running: row.Run != ""}
}

// errMoved: somebody else has changed the schedule meanwhile. Whoever meets it looks again.
var errMoved = syncline.Errorf(syncline.Rejected, "", "the schedule was changed meanwhile")

// change writes a schedule and runs of it, if it still is what it was. It goes on as if nothing had been decided where it is not.
func (w *Worker) change(ctx context.Context, was, now state.Schedule, runs ...state.ScheduleRun) error {
	return w.o.Store.ChangeSchedule(ctx, now.ID, func(row *state.Schedule) ([]state.ScheduleRun, error) {
		if *row != was {
			return nil, errMoved
		}
		*row = now
		return runs, nil
	})
}

// trim forgets old runs now and then.
func (w *Worker) trim(ctx context.Context) error {
	now := w.o.Now()
	if since := now.Sub(w.trimmed); since >= 0 && since < trimEvery {
		return nil
	}
	if err := w.o.Store.TrimScheduleRuns(ctx, now.Add(-keepRuns), maxRuns); err != nil {
		return err
	}
	w.trimmed = now
	return nil
}
