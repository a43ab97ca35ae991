package ops

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Schedules are what the API shows and steers of timed work.
type Schedules interface {
	// Schedules are in the order of the configuration, with those last that nobody wrote down.
	Schedules(context.Context) ([]Schedule, error)
	// ScheduleHistory returns a page of what became of a schedule's occurrences, the newest first, and the cursor of the next one.
	ScheduleHistory(ctx context.Context, id, after string, limit int) ([]ScheduleRun, string, error)
	// RunSchedule begins a run now and returns its id.
	RunSchedule(ctx context.Context, id, reason string) (string, error)
	// PauseSchedule has occurrences begin no runs, durably.
	PauseSchedule(ctx context.Context, id, reason string) error
	// ResumeSchedule has them begin runs again, from now on.
	ResumeSchedule(ctx context.Context, id string) error
}

// The states of a schedule.
const (
	ScheduleWaiting  = "waiting"
	ScheduleRunning  = "running"
	SchedulePaused   = "paused"
	ScheduleDisabled = "disabled"
)

// Schedule is timed work, and where it stands.
type Schedule struct {
	ID string `json:"id"`
	// Work and Timing are in words.
	Work     string `json:"work" doc:"What it does."`
	Timing   string `json:"timing" doc:"When: a cron expression, or every and a duration."`
	Timezone string `json:"timezone"`
	State    string `json:"state" enum:"waiting,running,paused,disabled"`
	// Next is when the next run is due; nil = never, or not while it is paused.
	Next *time.Time `json:"next,omitempty" doc:"When the next run is due, with its jitter."`
	// Overdue: a run should have begun, and did not.
	Overdue bool   `json:"overdue,omitempty" doc:"A run is due, and nothing has begun it."`
	Misfire string `json:"misfire" enum:"run_once,skip"`
	Overlap string `json:"overlap" enum:"skip,queue"`
	Queued  bool   `json:"queued,omitempty" doc:"A run waits for the one that is under way."`
	// Implicit: the configuration does not have it.
	Implicit bool `json:"implicit,omitempty" doc:"Nobody wrote it down: a polled entity has it, and the check of the health."`
	// Missed and Failures are since the last run that was done.
	Missed   int64          `json:"missed" doc:"Occurrences since the last run that was done for which none came."`
	Failures int64          `json:"failures" doc:"Runs since then that failed or were interrupted."`
	Pause    *SchedulePause `json:"pause,omitempty"`
	Last     *ScheduleRun   `json:"last,omitempty" doc:"The newest line of its history."`
	// Waits is set while a run does not get on because its source, or all its routes, have stopped.
	Waits string `json:"waits,omitempty" doc:"Why the run under way does not get on: its source, or all its routes, have stopped."`
}

// SchedulePause says who paused a schedule, and why.
type SchedulePause struct {
	Reason string    `json:"reason"`
	By     string    `json:"by"`
	Since  time.Time `json:"since"`
}

// ScheduleRun is what became of an occurrence of a schedule, or of a run that somebody asked for.
type ScheduleRun struct {
	ID       string `json:"id" doc:"Of a sync, also the id of its run in GET /v1/syncs."`
	Schedule string `json:"schedule"`
	Work     string `json:"work"`
	Status   string `json:"status" enum:"running,done,failed,interrupted,missed,skipped"`
	Cause    string `json:"cause" enum:"schedule,late,queue,manual" doc:"Why it began: in time, late, behind another run, or because somebody asked for it."`
	By       string `json:"by,omitempty" doc:"Who asked for it."`
	Reason   string `json:"reason,omitempty"`
	// Due is when it should have begun.
	Due     time.Time        `json:"due"`
	Started time.Time        `json:"started"`
	Ended   *time.Time       `json:"ended,omitempty"`
	Seconds float64          `json:"seconds" doc:"How long it took, or has taken so far."`
	Missed  int64            `json:"missed,omitempty" doc:"Occurrences before it, or that this line stands for, of which no run came."`
	Counts  map[string]int64 `json:"counts,omitempty" doc:"What it did."`
	Note    string           `json:"note,omitempty"`
	Error   *Fault           `json:"error,omitempty" doc:"Why it was not done."`
}

// ScheduleReason is the body of a request to run a schedule now, or to pause it.
type ScheduleReason struct {
	Reason string `json:"reason" minLength:"1" maxLength:"500" doc:"Why; it is kept with the run or the pause."`
}

func (a *api) registerSchedules(h huma.API) {
	add(h, op(h, "schedules", "GET", "/v1/schedules", "Timed work: when it is due next, and what came of it last"), a.schedules)
	add(h, op(h, "schedule-history", "GET", "/v1/schedules/{id}/runs", "What became of a schedule's occurrences, the newest first"), a.scheduleHistory)
	run := op(h, "run-schedule", "POST", "/v1/schedules/{id}/run", "Do the work of a schedule now")
	run.DefaultStatus = http.StatusAccepted
	add(h, run, a.runSchedule)
	add(h, op(h, "pause-schedule", "POST", "/v1/schedules/{id}/pause", "Begin no more runs of a schedule; one that is under way goes on"), a.pauseSchedule)
	add(h, op(h, "resume-schedule", "POST", "/v1/schedules/{id}/resume", "Begin runs of a schedule again; what came meanwhile is not made up for"), a.resumeSchedule)
}

func (a *api) schedules(ctx context.Context, in *page) (*reply[List[Schedule]], error) {
	list, err := a.engine.Schedules(ctx)
	return answerPage(ctx, a, list, in, func(s *Schedule) string { return s.ID }, err)
}

func (a *api) scheduleHistory(ctx context.Context, in *struct {
	ID    string `path:"id"`
	After string `query:"after" doc:"The next of the page before."`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}) (*reply[List[ScheduleRun]], error) {
	list, next, err := a.engine.ScheduleHistory(ctx, in.ID, in.After, in.Limit)
	return answer(ctx, a, List[ScheduleRun]{Items: some(list), Next: next}, err)
}

func (a *api) runSchedule(ctx context.Context, in *struct {
	ID   string `path:"id"`
	Body ScheduleReason
}) (*reply[Started], error) {
	id, err := a.engine.RunSchedule(ctx, in.ID, in.Body.Reason)
	return answer(ctx, a, Started{id}, err)
}

func (a *api) pauseSchedule(ctx context.Context, in *struct {
	ID   string `path:"id"`
	Body ScheduleReason
}) (*struct{}, error) {
	return a.done(ctx, a.engine.PauseSchedule(ctx, in.ID, in.Body.Reason))
}

func (a *api) resumeSchedule(ctx context.Context, in *taskID) (*struct{}, error) {
	return a.done(ctx, a.engine.ResumeSchedule(ctx, in.ID))
}

// Schedules returns all schedules.
func (c *Client) Schedules(ctx context.Context) ([]Schedule, error) {
	return all[Schedule](ctx, c, "/v1/schedules", nil, 0)
}

// ScheduleHistory returns up to limit lines of the history of a schedule, the newest first; 0 = all.
func (c *Client) ScheduleHistory(ctx context.Context, id string, limit int) ([]ScheduleRun, error) {
	return all[ScheduleRun](ctx, c, "/v1/schedules/"+url.PathEscape(id)+"/runs", nil, limit)
}

// RunSchedule does the work of a schedule now and returns the id of the run.
func (c *Client) RunSchedule(ctx context.Context, id, reason string) (string, error) {
	s, err := call[Started](ctx, c, "POST", "/v1/schedules/"+url.PathEscape(id)+"/run", ScheduleReason{reason})
	return s.ID, err
}

// PauseSchedule has a schedule begin no more runs.
func (c *Client) PauseSchedule(ctx context.Context, id, reason string) error {
	_, err := call[struct{}](ctx, c, "POST", "/v1/schedules/"+url.PathEscape(id)+"/pause", ScheduleReason{reason})
	return err
}

// ResumeSchedule has a schedule begin runs again.
func (c *Client) ResumeSchedule(ctx context.Context, id string) error {
	_, err := call[struct{}](ctx, c, "POST", "/v1/schedules/"+url.PathEscape(id)+"/resume", nil)
	return err
}
