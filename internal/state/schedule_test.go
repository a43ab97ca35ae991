package state

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

func TestSchedules(t *testing.T) {
	s := openNew(t)
	ctx := t.Context()
	at := time.Date(2026, 3, 29, 1, 0, 0, 1000, time.UTC)
	want := Schedule{ID: "nightly", Signature: "s", Settled: at, Next: at.Add(time.Hour), Queued: at.Add(time.Minute), Paused: true, PauseReason: "é", PausedBy: "ops",
		PausedSince: at, Run: "r1", Owner: "me", Lease: at.Add(time.Second), Missed: 3, Failures: 2}
	run := ScheduleRun{ID: "r1", Schedule: "nightly", Work: "sync crm/customer (full)", Cause: "manual", Author: "ops", Reason: "why", Due: at, Started: at, Status: ScheduleRunning,
		Missed: 1, Counts: "{}"}
	must(t, s.ChangeSchedule(ctx, "nightly", func(one *Schedule) ([]ScheduleRun, error) {
		if diff := cmp.Diff(Schedule{ID: "nightly"}, *one); diff != "" {
			t.Errorf("a schedule that is new (-want +got):\n%s", diff)
		}
		*one = want
		return []ScheduleRun{run}, nil
	}))
	refused := syncline.Errorf(syncline.Rejected, "no", "no")
	if err := s.ChangeSchedule(ctx, "nightly", func(one *Schedule) ([]ScheduleRun, error) { one.Missed = 100; return nil, refused }); !errors.Is(err, refused) {
		t.Errorf("ChangeSchedule = %v, want the error of its function", err)
	}
	list, err := s.Schedules(ctx)
	must(t, err)
	if diff := cmp.Diff([]Schedule{want}, list); diff != "" {
		t.Errorf("Schedules (-want +got):\n%s", diff)
	}

	run.Ended, run.Status, run.Counts, run.Note, run.Code, run.Error = at.Add(time.Minute), ScheduleFailed, `{"rows":7}`, "n", "c", "e"
	must(t, s.ChangeSchedule(ctx, "nightly", func(one *Schedule) ([]ScheduleRun, error) { one.Run = ""; return []ScheduleRun{run}, nil }))
	got, err := s.ScheduleRun(ctx, "r1")
	must(t, err)
	run.N = got.N
	if diff := cmp.Diff(run, got); diff != "" {
		t.Errorf("ScheduleRun (-want +got):\n%s", diff)
	}
	if _, err := s.ScheduleRun(ctx, "nobody"); !errors.Is(err, ErrNotFound) {
		t.Errorf("ScheduleRun of nothing = %v, want ErrNotFound", err)
	}
	must(t, s.ForgetSchedule(ctx, "nightly"))
	if list, err := s.Schedules(ctx); err != nil || len(list) != 0 {
		t.Errorf("Schedules = %+v, %v, want none", list, err)
	}
}

// TestRunsOfSchedulesAreTrimmed: the newest run of a schedule that there is stays however old, one that is under way always.
func TestRunsOfSchedulesAreTrimmed(t *testing.T) {
	s := openNew(t)
	ctx := t.Context()
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, schedule := range []string{"gone", "a", "b"} {
		must(t, s.ChangeSchedule(ctx, schedule, func(*Schedule) (runs []ScheduleRun, _ error) {
			for i := range 5 {
				r := ScheduleRun{ID: fmt.Sprint(schedule, i), Schedule: schedule, Status: ScheduleDone, Ended: at.Add(time.Duration(i) * time.Hour)}
				if i == 0 && schedule == "a" {
					r.Status, r.Ended = ScheduleRunning, time.Time{}
				}
				runs = append(runs, r)
			}
			return runs, nil
		}))
	}
	must(t, s.ForgetSchedule(ctx, "gone"))
	ids := func(schedule string) (text string) {
		t.Helper()
		pages := 0
		for after := ""; ; pages++ {
			list, next, err := s.ScheduleRuns(ctx, schedule, after, 2)
			must(t, err)
			for _, r := range list {
				text += r.ID + " "
			}
			if after = next; after == "" {
				return text
			}
		}
	}
	for _, c := range []struct {
		before  time.Time
		most    int
		a, gone string
	}{
		{at, 100, "a4 a3 a2 a1 a0 ", "gone4 gone3 gone2 gone1 gone0 "},
		{at.Add(90 * time.Minute), 100, "a4 a3 a2 a0 ", "gone4 gone3 gone2 "},
		{at, 2, "a4 a3 a0 ", "gone4 gone3 "},
		{at.AddDate(1, 0, 0), 2, "a4 a0 ", ""},
	} {
		must(t, s.TrimScheduleRuns(ctx, c.before, c.most))
		if a, gone := ids("a"), ids("gone"); a != c.a || gone != c.gone {
			t.Errorf("TrimScheduleRuns(%s, %d) leaves %q and %q, want %q and %q", c.before, c.most, a, gone, c.a, c.gone)
		}
	}
	last, err := s.LastScheduleRuns(ctx)
	must(t, err)
	if len(last) != 2 || last[0].ID != "a4" || last[1].ID != "b4" {
		t.Errorf("LastScheduleRuns = %+v, want a4 and b4", last)
	}
}
