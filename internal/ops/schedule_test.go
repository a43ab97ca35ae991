package ops

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
	"syncline/internal/state"
	"syncline/internal/statetest"
)

// fakeSchedules has one schedule, whose id has slashes.
type fakeSchedules struct{ commands []string }

const polled = "poll/crm/customer"

func (f *fakeSchedules) do(what, id, reason string) error {
	if id != polled {
		return syncline.Errorf(syncline.Rejected, "schedule_not_found", "schedule %s: %w", id, state.ErrNotFound)
	}
	f.commands = append(f.commands, what+" "+id+" "+reason)
	return nil
}

func (f *fakeSchedules) Schedules(context.Context) ([]Schedule, error) {
	return []Schedule{{ID: polled, Misfire: "run_once", Overlap: "skip", State: ScheduleWaiting}}, nil
}

func (f *fakeSchedules) ScheduleHistory(_ context.Context, id, after string, _ int) ([]ScheduleRun, string, error) {
	if err := f.do("history", id, after); err != nil || after != "" {
		return []ScheduleRun{{ID: "2", Status: state.ScheduleFailed, Cause: "late"}}, "", err
	}
	return []ScheduleRun{{ID: "1", Status: state.ScheduleDone, Cause: "schedule", Due: time.Unix(0, 0).UTC(), Counts: map[string]int64{"rows": 7}}}, "1", nil
}

func (f *fakeSchedules) RunSchedule(_ context.Context, id, reason string) (string, error) {
	return "run-1", f.do("run", id, reason)
}

func (f *fakeSchedules) PauseSchedule(_ context.Context, id, reason string) error {
	return f.do("pause", id, reason)
}

func (f *fakeSchedules) ResumeSchedule(_ context.Context, id string) error {
	return f.do("resume", id, "")
}

// TestSchedules: what the client asks reaches the engine, for ids with slashes too, and the audit log knows who did what to which.
func TestSchedules(t *testing.T) {
	f, store := &fake{}, statetest.Open(t)
	c, err := NewClient(serveOn(t, Options{Engine: f, Store: store}))
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	list, err := c.Schedules(ctx)
	if err != nil || len(list) != 1 || list[0].ID != polled {
		t.Errorf("Schedules = %+v, %v", list, err)
	}
	history, err := c.ScheduleHistory(ctx, polled, 0)
	if err != nil || len(history) != 2 || history[0].Counts["rows"] != 7 || history[1].ID != "2" {
		t.Errorf("ScheduleHistory = %+v, %v, want two pages", history, err)
	}
	if id, err := c.RunSchedule(ctx, polled, "why"); err != nil || id != "run-1" {
		t.Errorf("RunSchedule = %s, %v", id, err)
	}
	if err := c.PauseSchedule(ctx, polled, "maintenance"); err != nil {
		t.Error(err)
	}
	if err := c.ResumeSchedule(ctx, polled); err != nil {
		t.Error(err)
	}
	if _, err := c.RunSchedule(ctx, polled, ""); syncline.CodeOf(err) != "request_invalid" {
		t.Errorf("RunSchedule without a reason = %v, want request_invalid", err)
	}
	if err := c.PauseSchedule(ctx, "nobody", "x"); syncline.CodeOf(err) != "schedule_not_found" {
		t.Errorf("PauseSchedule of nobody = %v, want schedule_not_found", err)
	}
	want := []string{"history " + polled + " ", "history " + polled + " 1", "run " + polled + " why", "pause " + polled + " maintenance", "resume " + polled + " "}
	if diff := cmp.Diff(want, f.commands); diff != "" {
		t.Errorf("asked of the engine (-want +got):\n%s", diff)
	}
	calls, err := c.Audit(ctx, state.CallFilter{Operation: "pause-schedule"}, 0)
	if err != nil || len(calls) != 2 || calls[1].Details["id"] != polled || calls[1].Reason != "maintenance" {
		t.Errorf("Audit = %+v, %v, want the pause with its id and reason", calls, err)
	}
}
