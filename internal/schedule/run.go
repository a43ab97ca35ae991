package schedule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"

	"syncline"
	"syncline/internal/failpoint"
	"syncline/internal/state"
)

// carryOut does what was decided of a schedule: where it stands from now on and the run that begins are written together, so that a
// process that dies in between neither loses a run nor begins it twice.
func (w *Worker) carryOut(ctx context.Context, p *Plan, row *state.Schedule, to Standing, d Decision, now time.Time) error {
	was := *row
	row.Signature, row.Settled, row.Next, row.Queued = to.Signature, to.Settled, to.Next, to.Queued
	row.Missed += d.Missed
	var runs []state.ScheduleRun
	var begun string
	switch {
	case d.Begin:
		one := w.begin(p, row, now)
		one.Cause, one.Due, one.Missed = d.Cause, instant(d.Due), d.Missed
		runs, begun = append(runs, one), one.ID
	case d.Passed != "":
		one, err := w.passed(ctx, p, &was, d, now)
		if err != nil {
			return err
		}
		runs = append(runs, one)
	}
	if err := w.change(ctx, was, *row, runs...); err != nil {
		w.forget(begun)
		return err
	}
	if first := len(runs) == 1 && runs[0].Missed == d.Missed; d.Passed != "" && first || now.Sub(d.Due) > grace && d.Begin && d.Cause == CauseLate {
		w.log.Warn("occurrences of a schedule have passed", "schedule", p.ID, "missed", d.Missed, "due", d.Due, "begun", d.Begin)
	}
	if begun != "" {
		failpoint.Hit("schedule.begun")
		w.start(ctx, p, begun)
	}
	return nil
}

// begin makes a run that this process is to carry out.
func (w *Worker) begin(p *Plan, row *state.Schedule, now time.Time) state.ScheduleRun {
	one := state.ScheduleRun{ID: state.ScheduledRun + uuid.NewString(), Schedule: p.ID, Work: p.Work.String(), Started: instant(now), Status: state.ScheduleRunning, Counts: "{}"}
	row.Run, row.Owner, row.Lease = one.ID, w.o.Instance, instant(now.Add(leaseTime))
	w.mu.Lock()
	w.fresh[one.ID] = true
	w.mu.Unlock()
	return one
}

func (w *Worker) forget(run string) {
	w.mu.Lock()
	delete(w.fresh, run)
	w.mu.Unlock()
}

// passed tells of occurrences for which no run begins. Those that come while one run is under way are one line of the history.
func (w *Worker) passed(ctx context.Context, p *Plan, row *state.Schedule, d Decision, now time.Time) (state.ScheduleRun, error) {
	one := state.ScheduleRun{ID: "passed-" + uuid.NewString(), Schedule: p.ID, Work: p.Work.String(), Cause: d.Cause, Due: instant(d.Due), Started: instant(now),
		Ended: instant(now), Status: d.Passed, Missed: d.Missed, Counts: "{}"}
	if d.Passed == state.ScheduleSkipped {
		one.ID, one.Code, one.Error = "during-"+row.Run, "schedule_running", "run "+row.Run+" is still under way"
		before, err := w.o.Store.ScheduleRun(ctx, one.ID)
		switch {
		case err == nil:
			one.Started, one.Missed = before.Started, before.Missed+d.Missed
		case !errors.Is(err, state.ErrNotFound):
			return one, err
		}
		return one, nil
	}
	one.Code, one.Error = "schedule_missed", fmt.Sprintf("nothing ran when it was due (occurrences: %d)", d.Missed)
	return one, nil
}

// tend looks after the run that is under way: it is begun here, or it is another's, or what is left of a process that has died.
func (w *Worker) tend(ctx context.Context, p *Plan, row *state.Schedule) error {
	now := w.o.Now()
	w.mu.Lock()
	busy, fresh := w.busy[p.ID], w.fresh[row.Run]
	w.mu.Unlock()
	mine := row.Owner == w.o.Instance
	switch left := row.Lease.Sub(now); {
	case busy == nil && row.Run == "":
		return nil
	case busy != nil && busy.id == row.Run && mine:
		if left > leaseTime/2 && left <= leaseTime {
			return nil
		}
		was := *row
		row.Lease = instant(now.Add(leaseTime))
		return w.change(ctx, was, *row)
	case busy != nil: // it was taken away, and is about to notice
		busy.stop(errLost)
		return nil
	case mine && fresh:
		w.start(ctx, p, row.Run)
		return nil
	case w.another(row, now):
		return nil
	}
	return w.recover(ctx, p, row, now)
}

// another reports whether another process carries the run out. A lease that ends later than any does was given by another clock.
func (w *Worker) another(row *state.Schedule, now time.Time) bool {
	left := row.Lease.Sub(now)
	return row.Owner != w.o.Instance && left > 0 && left <= 2*leaseTime
}

// recover takes over a run whose process has died.
func (w *Worker) recover(ctx context.Context, p *Plan, row *state.Schedule, now time.Time) error {
	was, id := *row, row.Run
	if w.o.Kinds[p.Work.Kind].Resumes {
		row.Owner, row.Lease = w.o.Instance, instant(now.Add(leaseTime))
		if err := w.change(ctx, was, *row); err != nil {
			return err
		}
		w.log.Info("a run of a schedule goes on", "schedule", p.ID, "run", id)
		w.start(ctx, p, id)
		return nil
	}
	one, err := w.o.Store.ScheduleRun(ctx, id)
	if errors.Is(err, state.ErrNotFound) {
		one, err = state.ScheduleRun{ID: id, Schedule: p.ID, Work: p.Work.String(), Cause: CauseSchedule, Started: instant(now), Counts: "{}"}, nil
	}
	if err != nil {
		return err
	}
	row.Run, row.Owner, row.Lease, row.Failures = "", "", time.Time{}, row.Failures+1
	one.Ended, one.Status, one.Code, one.Error = instant(now), state.ScheduleInterrupted, "schedule_interrupted", "the process ended while it ran"
	w.log.Warn("a run of a schedule was interrupted", "schedule", p.ID, "run", id)
	return w.change(ctx, was, *row, one)
}

// Why a run is stopped before its end.
var (
	errLost = errors.New("another process has taken the run over")
	// ErrRemoved is the cause of the context of a run whose schedule is gone: what it has begun elsewhere is to end, too.
	ErrRemoved = syncline.Errorf(syncline.Rejected, "schedule_removed", "the schedule was taken out of the configuration")
)

// start carries a run out beside the loop.
func (w *Worker) start(ctx context.Context, p *Plan, id string) {
	working, stop := context.WithCancelCause(ctx)
	w.mu.Lock()
	w.busy[p.ID] = &run{id, stop}
	w.mu.Unlock()
	w.log.Info("run of a schedule began", "schedule", p.ID, "run", id, "work", p.Work.String())
	w.running.Go(func() {
		defer stop(nil)
		work := p.Work
		work.Schedule, work.Run = p.ID, id
		kind := w.o.Kinds[work.Kind]
		out, err := Outcome{}, error(syncline.Errorf(syncline.Rejected, "schedule_kind_unknown", "nothing here can %s", work.Kind))
		if kind.Do != nil {
			out, err = kind.Do(working, work)
		}
		if cause := context.Cause(working); err != nil && cause != nil {
			err = cause
		}
		failpoint.Hit("schedule.done")
		w.end(ctx, p, id, kind, out, err)
		w.mu.Lock()
		delete(w.busy, p.ID)
		delete(w.fresh, id)
		w.mu.Unlock()
		w.notify()
	})
}

// retryEnd is how long to wait before a result that could not be written is written again.
const retryEnd = 2 * time.Second

// end writes down what came of a run. A result that cannot be written is tried again until ctx ends; then the next start finds the run as
// it would after a crash.
func (w *Worker) end(ctx context.Context, p *Plan, id string, kind Kind, out Outcome, why error) {
	cut := ctx.Err() != nil && errors.Is(why, context.Canceled)
	for {
		err := w.writeEnd(context.WithoutCancel(ctx), p, id, cut && kind.Resumes, cut, out, why)
		switch {
		case err == nil:
			return
		case errors.Is(err, errMoved):
			w.log.Warn("another process has taken a run of a schedule over", "schedule", p.ID, "run", id)
			return
		}
		w.log.Warn("what came of a run of a schedule cannot be written down yet", "schedule", p.ID, "run", id, "err", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(retryEnd):
		}
	}
}

func (w *Worker) writeEnd(ctx context.Context, p *Plan, id string, goesOn, cut bool, out Outcome, why error) error {
	one, err := w.o.Store.ScheduleRun(ctx, id)
	if err != nil {
		return err
	}
	now := w.o.Now()
	if len(out.Counts) > 0 {
		text, err := json.Marshal(out.Counts)
		if err != nil {
			return err
		}
		one.Counts = string(text)
	}
	one.Ended, one.Note = instant(now), out.Note
	switch {
	case why == nil:
		one.Status = state.ScheduleDone
	case cut || errors.Is(why, ErrRemoved):
		one.Status, one.Code, one.Error = state.ScheduleInterrupted, "schedule_interrupted", "the process ended while it ran"
		if !cut {
			one.Code, one.Error = syncline.CodeOf(why), why.Error()
		}
	default:
		one.Status, one.Code, one.Error = state.ScheduleFailed, syncline.CodeOf(why), why.Error()
	}
	err = w.o.Store.ChangeSchedule(ctx, p.ID, func(row *state.Schedule) ([]state.ScheduleRun, error) {
		if row.Run != id || row.Owner != w.o.Instance {
			return nil, errMoved
		}
		if goesOn { // whoever starts next need not wait for the lease
			row.Lease = time.Time{}
			return nil, nil
		}
		row.Run, row.Owner, row.Lease = "", "", time.Time{}
		if why == nil {
			row.Missed, row.Failures = 0, 0
		} else {
			row.Failures++
		}
		return []state.ScheduleRun{one}, nil
	})
	if err == nil && !goesOn {
		w.tell(p, &one, out)
	}
	return err
}

func (w *Worker) tell(p *Plan, one *state.ScheduleRun, out Outcome) {
	args := []any{"schedule", p.ID, "run", one.ID, "status", one.Status, "took", one.Ended.Sub(one.Started)}
	for name, n := range maps.All(out.Counts) {
		args = append(args, name, n)
	}
	if one.Status == state.ScheduleDone {
		w.log.Info("run of a schedule ended", args...)
		return
	}
	w.log.Warn("run of a schedule ended", append(args, "code", one.Code, "err", one.Error)...)
}

// retire forgets a schedule that is not in the configuration any more. A run of it is stopped first.
func (w *Worker) retire(ctx context.Context, row state.Schedule) error {
	w.mu.Lock()
	busy := w.busy[row.ID]
	w.mu.Unlock()
	switch {
	case busy != nil:
		busy.stop(ErrRemoved)
		return nil // its end has this looked at again
	case row.Run != "" && w.another(&row, w.o.Now()):
		return nil
	case row.Run != "":
		one, err := w.o.Store.ScheduleRun(ctx, row.Run)
		if err != nil && !errors.Is(err, state.ErrNotFound) {
			return err
		}
		if err == nil {
			was := row
			one.Ended, one.Status, one.Code, one.Error = instant(w.o.Now()), state.ScheduleInterrupted, ErrRemoved.Code, ErrRemoved.Error()
			row.Run, row.Owner, row.Lease = "", "", time.Time{}
			if err := w.change(ctx, was, row, one); err != nil {
				return err
			}
		}
	}
	return w.o.Store.ForgetSchedule(ctx, row.ID)
}
