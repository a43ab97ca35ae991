package schedule

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"syncline"
	"syncline/internal/state"
)

// Status is a schedule, where it stands, and what came of it last.
type Status struct {
	Plan *Plan
	// Due is when the next run is due; zero = never, or not while it is paused.
	Due      time.Time
	Standing state.Schedule
	// Last is the newest line of its history; nil = none.
	Last *state.ScheduleRun
	// Overdue: a run is due, and nothing has begun it in time.
	Overdue bool
}

// List returns all schedules in the order in which they were set.
func (w *Worker) List(ctx context.Context) ([]Status, error) {
	rows, err := w.o.Store.Schedules(ctx)
	if err != nil {
		return nil, err
	}
	runs, err := w.o.Store.LastScheduleRuns(ctx)
	if err != nil {
		return nil, err
	}
	known := make(map[string]state.Schedule, len(rows))
	for _, row := range rows {
		known[row.ID] = row
	}
	last := make(map[string]*state.ScheduleRun, len(runs))
	for i := range runs {
		last[runs[i].Schedule] = &runs[i]
	}
	var list []Status
	for _, p := range w.current() {
		row := known[p.ID]
		row.ID = p.ID
		one := Status{Plan: p, Standing: row, Last: last[p.ID]}
		if next, d := p.Step(standing(&row), w.o.Now()); !d.Wake.IsZero() {
			one.Due = d.Wake
		} else if p.Enabled && !row.Paused && !next.Next.IsZero() {
			one.Due = p.due(next.Next)
		}
		one.Overdue = p.Enabled && !row.Paused && row.Signature == p.signature() && !row.Next.IsZero() && w.o.Now().Sub(p.due(row.Next)) > grace
		list = append(list, one)
	}
	return list, nil
}

// Trigger begins a run now, also of a schedule that is paused or disabled, and returns its id.
func (w *Worker) Trigger(ctx context.Context, id, by, reason string) (string, error) {
	p := w.plan(id)
	if p == nil {
		return "", notFound(id)
	}
	now := w.o.Now()
	var one state.ScheduleRun
	err := w.o.Store.ChangeSchedule(ctx, id, func(row *state.Schedule) ([]state.ScheduleRun, error) {
		if row.Run != "" {
			return nil, syncline.Errorf(syncline.Rejected, "schedule_running", "run %s of schedule %s is still under way", row.Run, id).
				WithFix("wait for its end: `syncline schedules history %s`", id)
		}
		w.forget(one.ID) // of a first attempt to write
		one = w.begin(p, row, now)
		one.Cause, one.Author, one.Reason, one.Due = CauseManual, by, reason, one.Started
		return []state.ScheduleRun{one}, nil
	})
	if err != nil {
		w.forget(one.ID)
		return "", err
	}
	w.notify()
	return one.ID, nil
}

// Pause has occurrences of a schedule begin no runs, across restarts too. A run that is under way goes on.
func (w *Worker) Pause(ctx context.Context, id, by, reason string) error {
	if w.plan(id) == nil {
		return notFound(id)
	}
	now := w.o.Now()
	err := w.o.Store.ChangeSchedule(ctx, id, func(row *state.Schedule) ([]state.ScheduleRun, error) {
		if !row.Paused {
			row.Paused, row.PausedSince = true, instant(now)
		}
		row.PausedBy, row.PauseReason, row.Queued = by, reason, time.Time{}
		return nil, nil
	})
	w.notify()
	return err
}

// Resume has occurrences count again, from now on: what came meanwhile is not made up for.
func (w *Worker) Resume(ctx context.Context, id string) error {
	if w.plan(id) == nil {
		return notFound(id)
	}
	err := w.o.Store.ChangeSchedule(ctx, id, func(row *state.Schedule) ([]state.ScheduleRun, error) {
		if !row.Paused {
			return nil, syncline.Errorf(syncline.Rejected, "schedule_not_paused", "schedule %s is not paused", id)
		}
		row.Paused, row.PausedBy, row.PauseReason, row.PausedSince, row.Signature = false, "", "", time.Time{}, ""
		return nil, nil
	})
	w.notify()
	return err
}

// History returns a page of what became of a schedule's occurrences, the newest first, and the cursor of the next page, "" after the last.
// One that is gone has a history until that is trimmed.
func (w *Worker) History(ctx context.Context, id, after string, limit int) ([]state.ScheduleRun, string, error) {
	list, next, err := w.o.Store.ScheduleRuns(ctx, id, after, limit)
	if err == nil && len(list) == 0 && after == "" && w.plan(id) == nil {
		return nil, "", notFound(id)
	}
	return list, next, err
}

func notFound(id string) error {
	return syncline.Errorf(syncline.Rejected, "schedule_not_found", "schedule %s: %w", id, state.ErrNotFound).
		WithFix("`syncline schedules` lists what there is")
}

// Counts are what a run did, by name.
func Counts(r *state.ScheduleRun) (map[string]int64, error) {
	counts := map[string]int64{}
	if err := json.Unmarshal([]byte(r.Counts), &counts); err != nil {
		return nil, fmt.Errorf("read the counts of run %s: %w", r.ID, err)
	}
	return counts, nil
}
