package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"syncline"
	"syncline/internal/config"
	"syncline/internal/health"
	"syncline/internal/ops"
	"syncline/internal/schedule"
	"syncline/internal/state"
	"syncline/internal/timetable"
)

// scheduleKinds are the kinds of work that schedules have done.
func (d *Daemon) scheduleKinds() map[string]schedule.Kind {
	return map[string]schedule.Kind{
		schedule.KindSync:   {Do: d.scheduledSync, Resumes: true},
		schedule.KindVerify: {Do: d.scheduledVerification, Resumes: true},
		schedule.KindHealth: {Do: d.scheduledHealth, Resumes: true},
	}
}

// openSchedules makes who does timed work, with what the configuration has of it.
func (d *Daemon) openSchedules() error {
	instance, err := d.instance()
	if err != nil {
		return err
	}
	d.schedules = schedule.New(schedule.Options{Store: d.state, Kinds: d.scheduleKinds(), Instance: instance, Logger: d.log})
	plans, err := schedulePlans(d.o.Config)
	d.schedules.Set(plans)
	return err
}

// instance names this process among those that share the state store, and is the same after a restart: whoever has the lock of a log
// directory is the only one that works there.
func (d *Daemon) instance() (string, error) {
	host, err := os.Hostname()
	if err != nil {
		return "", err
	}
	dir, err := filepath.Abs(d.o.Config.Log.Dir)
	return host + ":" + dir, err
}

// schedulePlans are the schedules of a configuration.
func schedulePlans(c *config.Config) ([]*schedule.Plan, error) {
	var plans []*schedule.Plan
	for _, s := range c.Schedules {
		table, err := timetable.New(s.Timing())
		if err != nil { // the configuration was read, and has seen that it can be
			return nil, fmt.Errorf("schedule %s: %w", s.ID, err)
		}
		plans = append(plans, &schedule.Plan{ID: s.ID, Table: table, Timing: timing(s) + " " + s.Timezone, Misfire: schedule.Misfire(s.Misfire),
			Overlap: schedule.Overlap(s.Overlap), Enabled: s.Enabled, Implicit: s.Implicit, Work: workOf(s)})
	}
	return plans, nil
}

// timing is when a schedule is due, in words.
func timing(s *config.Schedule) string {
	if s.Cron != "" {
		return s.Cron
	}
	return "every " + health.Short(s.Every)
}

func workOf(s *config.Schedule) schedule.Work {
	switch do := s.Do; {
	case do.Sync != nil:
		return schedule.Work{Kind: schedule.KindSync, System: do.Sync.Entity.System, Entity: do.Sync.Entity.Name, Mode: schedule.Mode(do.Sync.Mode), To: do.Sync.To}
	case do.Verify != nil:
		return schedule.Work{Kind: schedule.KindVerify, Rules: do.Verify.Rules, Repair: do.Verify.Repair}
	}
	return schedule.Work{Kind: schedule.KindHealth}
}

// scheduledSync has the source read an entity, and waits for the end of that. The source's run has the name of the schedule's, so that
// one which was cut off is found again.
func (d *Daemon) scheduledSync(ctx context.Context, w schedule.Work) (schedule.Outcome, error) {
	_, err := d.state.Run(ctx, w.Run)
	if errors.Is(err, state.ErrNotFound) {
		req := ops.SyncRequest{Source: w.System, Entity: w.Entity, Kind: string(w.Mode)}
		if req.Routes, err = d.routesTo(w); err != nil {
			return schedule.Outcome{}, err
		}
		id, err := engine{d}.startSync(ctx, w.Run, req)
		if err != nil {
			return schedule.Outcome{}, err
		}
		if id != w.Run {
			return schedule.Outcome{Note: "routes had lost their place and begin anew: " + id}, nil
		}
	} else if err != nil {
		return schedule.Outcome{}, err
	}
	out, err := d.awaitRun(ctx, w.Run)
	if src := d.source(w.System); errors.Is(context.Cause(ctx), schedule.ErrRemoved) && src != nil && w.Mode == schedule.Full {
		end := state.Steering{Cancelled: true, By: "syncline", Reason: schedule.ErrRemoved.Msg}
		if err := src.capture.Steer(context.WithoutCancel(ctx), w.Run, end); err != nil {
			d.log.Warn("a sync whose schedule is gone goes on", "run", w.Run, "err", err)
		}
	}
	return out, err
}

// routesTo names the routes of an entity to the targets of a sync; nil = all.
func (d *Daemon) routesTo(w schedule.Work) ([]string, error) {
	if len(w.To) == 0 {
		return nil, nil
	}
	src := d.source(w.System)
	var ids []string
	for _, r := range d.set().routes {
		if src != nil && r.reads(src, w.Entity) && slices.Contains(w.To, r.target.Name) {
			ids = append(ids, r.id)
		}
	}
	if len(ids) == 0 {
		return nil, noSuch("unknown_route", "route to", strings.Join(w.To, ", "), names{d.set()}.routes())
	}
	return ids, nil
}

// How often a run is looked at: a short one soon, a long one now and then.
const (
	firstAwait = 20 * time.Millisecond
	lastAwait  = 2 * time.Second
)

// awaitRun waits for the end of a source's run.
func (d *Daemon) awaitRun(ctx context.Context, id string) (schedule.Outcome, error) {
	for wait := firstAwait; ; wait = min(2*wait, lastAwait) {
		row, err := d.state.Run(ctx, id)
		if err != nil && (syncline.ClassOf(err) != syncline.Transient || ctx.Err() != nil) {
			return schedule.Outcome{}, err
		}
		out := schedule.Outcome{Counts: map[string]int64{"chunks": int64(row.Chunks), "rows": row.Rows}}
		switch {
		case err != nil: // the store is asked again
		case row.Status == state.RunDone:
			return out, nil
		case row.Status == state.RunFailed:
			return out, runError(row.Error)
		case row.Status == state.RunCancelled:
			return out, syncline.Errorf(syncline.Rejected, "sync_cancelled", "%s cancelled it: %s", row.By, row.Reason)
		}
		select {
		case <-ctx.Done():
			return out, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// codedError is how a row of a run tells an error that has a code.
var codedError = regexp.MustCompile(`^(?:.*?: )?([a-z]+(?:_[a-z0-9]+)+): (.*)$`)

// runError is the error that a row of a run tells of.
func runError(text string) error {
	e := syncline.Errorf(syncline.Rejected, "sync_failed", "%s", text)
	if m := codedError.FindStringSubmatch(text); m != nil {
		e.Code, e.Msg = m[1], m[2]
	}
	return e
}

func (e engine) Schedules(ctx context.Context) ([]ops.Schedule, error) {
	known, err := e.schedules.List(ctx)
	if err != nil {
		return nil, err
	}
	c := e.set().config
	list := make([]ops.Schedule, 0, len(known))
	for i := range known {
		if s := c.Schedule(known[i].Plan.ID); s != nil { // another configuration may be about to take over
			one, err := scheduleStatus(&known[i], s)
			if err != nil {
				return nil, err
			}
			if one.State == ops.ScheduleRunning {
				one.Waits = e.heldUp(known[i].Plan.Work)
			}
			list = append(list, one)
		}
	}
	return list, nil
}

func scheduleStatus(known *schedule.Status, s *config.Schedule) (ops.Schedule, error) {
	row := &known.Standing
	one := ops.Schedule{ID: s.ID, Work: known.Plan.Work.String(), Timing: timing(s), Timezone: s.Timezone, State: ops.ScheduleWaiting, Overdue: known.Overdue,
		Misfire: s.Misfire, Overlap: s.Overlap, Queued: !row.Queued.IsZero(), Implicit: s.Implicit, Missed: row.Missed, Failures: row.Failures}
	if !known.Due.IsZero() {
		one.Next = &known.Due
	}
	if row.Paused {
		one.Pause = &ops.SchedulePause{Reason: row.PauseReason, By: row.PausedBy, Since: row.PausedSince}
	}
	switch {
	case row.Run != "":
		one.State = ops.ScheduleRunning
	case row.Paused:
		one.State = ops.SchedulePaused
	case !s.Enabled:
		one.State = ops.ScheduleDisabled
	}
	if known.Last == nil {
		return one, nil
	}
	last, err := scheduleRun(known.Last)
	one.Last = &last
	return one, err
}

func scheduleRun(r *state.ScheduleRun) (ops.ScheduleRun, error) {
	one := ops.ScheduleRun{ID: r.ID, Schedule: r.Schedule, Work: r.Work, Status: r.Status, Cause: r.Cause, By: r.Author, Reason: r.Reason, Due: r.Due,
		Started: r.Started, Missed: r.Missed, Note: r.Note}
	end := time.Now()
	if !r.Ended.IsZero() {
		end, one.Ended = r.Ended, &r.Ended
	}
	one.Seconds = max(end.Sub(r.Started).Seconds(), 0)
	if r.Code != "" || r.Error != "" {
		one.Error = &ops.Fault{Code: r.Code, Text: r.Error}
	}
	var err error
	one.Counts, err = schedule.Counts(r)
	return one, err
}

func (e engine) ScheduleHistory(ctx context.Context, id, after string, limit int) ([]ops.ScheduleRun, string, error) {
	runs, next, err := e.schedules.History(ctx, id, after, limit)
	if err != nil {
		return nil, "", err
	}
	list := make([]ops.ScheduleRun, len(runs))
	for i := range runs {
		if list[i], err = scheduleRun(&runs[i]); err != nil {
			return nil, "", err
		}
		if s := e.set().config.Schedule(id); s != nil && list[i].Status == state.ScheduleRunning {
			list[i].Note = e.heldUp(workOf(s))
		}
	}
	return list, next, nil
}

func (e engine) RunSchedule(ctx context.Context, id, reason string) (string, error) {
	return e.schedules.Trigger(ctx, id, ops.CallerName(ctx), reason)
}

func (e engine) PauseSchedule(ctx context.Context, id, reason string) error {
	return e.schedules.Pause(ctx, id, ops.CallerName(ctx), reason)
}

func (e engine) ResumeSchedule(ctx context.Context, id string) error {
	return e.schedules.Resume(ctx, id)
}
