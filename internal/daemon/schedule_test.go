package daemon

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"syncline"
	"syncline/internal/capture"
	"syncline/internal/config"
	"syncline/internal/ops"
	"syncline/internal/schedule"
	"syncline/internal/state"
)

// ran waits for a run of a schedule to be over.
func ran(t *testing.T, d *Daemon, schedule, run string) (found ops.ScheduleRun) {
	t.Helper()
	eventually(t, "run "+run+" of "+schedule+" is over", func() bool {
		list, _, err := d.Engine().ScheduleHistory(t.Context(), schedule, "", 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, found = range list {
			if found.ID == run {
				return found.Status != state.ScheduleRunning
			}
		}
		return false
	})
	return found
}

func trigger(t *testing.T, d *Daemon, schedule string) ops.ScheduleRun {
	t.Helper()
	id, err := d.Engine().RunSchedule(t.Context(), schedule, "a test")
	if err != nil {
		t.Fatal(err)
	}
	return ran(t, d, schedule, id)
}

func signal(t *testing.T, d *Daemon, name, schedule string) float64 {
	t.Helper()
	for _, s := range d.signals(t.Context()) {
		if s.Name == name && s.Labels["schedule"] == schedule {
			return s.Value
		}
	}
	t.Fatalf("there is no signal %s of %s", name, schedule)
	return 0
}

// TestScheduledWork: what each kind of work does is in the history with its counts, and what it does not in the signals.
func TestScheduledWork(t *testing.T) {
	dir := t.TempDir()
	makeDatabase(t, filepath.Join(dir, "crm.db"))
	execute(t, filepath.Join(dir, "crm.db"), `INSERT INTO customer VALUES (1, 'A'), (2, 'B'), (3, 'C')`)
	d := running(t, read(t, dir, head+`
systems:
  crm: {type: sqlite, path: crm.db, capture: {manage: true, entities: {customer: {table: customer}}}}
  report: {type: sqlite, path: report.db}
  copy: {type: sqlite, path: copy.db}
rules:
  - {id: all, from: crm/customer, to: report/customer, create: true}
  - {id: copied, from: crm/customer, to: copy/customer, create: true}
schedules:
  - {id: full, every: 24h, do: {sync: crm/customer, to: [report]}}
  - {id: check, every: 24h, do: {verify: [all], repair: auto}}
  - {id: off, every: 24h, do: {verify: []}, enabled: false}
`))
	eventually(t, "everything works", func() bool { ready, _ := d.Engine().Ready(t.Context()); return ready })
	list, err := d.Engine().Schedules(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, s := range list {
		ids = append(ids, s.ID+" "+s.State)
		if (s.Next == nil) != (s.ID == "off") {
			t.Errorf("next of %s is %v", s.ID, s.Next)
		}
	}
	if got, want := strings.Join(ids, ", "), "full waiting, check waiting, off disabled, health waiting"; got != want {
		t.Errorf("Schedules = %s, want %s", got, want)
	}

	full := trigger(t, d, "full")
	if full.Status != state.ScheduleDone || full.Counts["rows"] == 0 || full.Reason != "a test" || full.Cause != "manual" {
		t.Errorf("the sync = %+v, want it done with its rows", full)
	}
	run, err := d.state.Run(t.Context(), full.ID)
	if err != nil || len(run.Routes) != 1 || run.Routes[0] != "all" {
		t.Errorf("the run of the sync = %+v, %v, want one for the route to report", run, err)
	}
	eventually(t, "the first copy is equal", func() bool { return trigger(t, d, "check").Counts["equal"] == full.Counts["rows"] })
	execute(t, filepath.Join(dir, "report.db"), `UPDATE customer SET name = 'other' WHERE id = 1`)
	if check := trigger(t, d, "check"); check.Status != state.ScheduleDone || check.Counts["different"] != 1 || check.Counts["repaired"] != 1 {
		t.Errorf("the verification = %+v, want one difference that is repaired", check)
	}
	if off := trigger(t, d, "off"); off.Status != state.ScheduleDone || off.Counts["equal"] != 2*full.Counts["rows"] {
		t.Errorf("what is disabled, and was asked for = %+v, want it done for both rules", off)
	}
	if health := trigger(t, d, "health"); health.Status != state.ScheduleDone || health.Note == "" {
		t.Errorf("the check of the health = %+v, want its level", health)
	}
	for _, name := range []string{"schedule_missed", "schedule_failed"} {
		if v := signal(t, d, name, "full"); v != 0 {
			t.Errorf("signal %s = %v, want 0", name, v)
		}
	}
}

// TestTroubleOfSchedules: what was missed and what failed counts for one that is to run. Of one that is disabled or paused nothing is wrong.
func TestTroubleOfSchedules(t *testing.T) {
	standing := state.Schedule{Missed: 3, Failures: 2}
	paused := standing
	paused.Paused = true
	for _, test := range []struct {
		name           string
		of             schedule.Status
		missed, failed int64
	}{
		{"one that is to run", schedule.Status{Plan: &schedule.Plan{Enabled: true}, Standing: standing}, 3, 2},
		{"with a run that is overdue", schedule.Status{Plan: &schedule.Plan{Enabled: true}, Standing: standing, Overdue: true}, 4, 2},
		{"disabled", schedule.Status{Plan: &schedule.Plan{}, Standing: standing}, 0, 0},
		{"paused", schedule.Status{Plan: &schedule.Plan{Enabled: true}, Standing: paused, Overdue: true}, 0, 0},
	} {
		if missed, failed := trouble(&test.of); missed != test.missed || failed != test.failed {
			t.Errorf("%s: trouble = %d, %d, want %d, %d", test.name, missed, failed, test.missed, test.failed)
		}
	}
}

// TestSyncsThatFail: the error of a run has the code that its source gave it.
func TestSyncsThatFail(t *testing.T) {
	for text, want := range map[string]string{
		"read order: table_missing: no such table: order": "table_missing no such table: order",
		"sweep_refused: the table is empty":               "sweep_refused the table is empty",
		"it went wrong":                                   "sync_failed it went wrong",
	} {
		err := runError(text)
		code, message, _ := strings.Cut(err.Error(), ": ")
		if got := code + " " + message; got != want {
			t.Errorf("runError(%q) = %s, want %s", text, got, want)
		}
		if syncline.ClassOf(err) != syncline.Rejected {
			t.Errorf("runError(%q) is %s", text, syncline.ClassOf(err))
		}
	}
}

// TestAScheduledSyncOfAStoppedSourceSaysSo: it waits, and the list and the history tell why, with the code.
func TestAScheduledSyncOfAStoppedSourceSaysSo(t *testing.T) {
	dir := t.TempDir()
	makeDatabase(t, filepath.Join(dir, "crm.db"))
	d := running(t, read(t, dir, head+`
systems:
  crm: {type: sqlite, path: crm.db, capture: {manage: true, entities: {customer: {table: gone}}}}
  report: {type: sqlite, path: report.db}
rules:
  - {id: all, from: crm/customer, to: report/customer, create: true}
schedules:
  - {id: full, every: 24h, do: {sync: crm/customer, to: [report]}}
`))
	eventually(t, "the source stops", func() bool { return d.source("crm").capture.Status().State == capture.StateHalted })
	if _, err := d.Engine().RunSchedule(t.Context(), "full", "a test"); err != nil {
		t.Fatal(err)
	}
	const want = "waits: the source crm has stopped: object_missing; "
	eventually(t, "the list says why it waits", func() bool {
		list, err := d.Engine().Schedules(t.Context())
		return err == nil && strings.HasPrefix(list[0].Waits, want)
	})
	runs, _, err := d.Engine().ScheduleHistory(t.Context(), "full", "", 10)
	if err != nil || len(runs) != 1 || runs[0].Status != state.ScheduleRunning || !strings.HasPrefix(runs[0].Note, want) {
		t.Errorf("history = %+v, %v, want one run that waits", runs, err)
	}
}

// TestSchedulesFollowAReload: another time counts from now on, the history stays, and what is taken out ends.
func TestSchedulesFollowAReload(t *testing.T) {
	dir := t.TempDir()
	makeDatabase(t, filepath.Join(dir, "crm.db"))
	text := func(schedules string) string {
		return head + `
systems:
  crm: {type: sqlite, path: crm.db, capture: {manage: true, entities: {customer: {table: customer}}}}
  report: {type: sqlite, path: report.db}
rules:
  - {id: all, from: crm/customer, to: report/customer, create: true}
schedules:
` + schedules
	}
	before := text(`  - {id: full, every: 24h, do: {sync: crm/customer}}
`)
	d, err := Open(t.Context(), Options{Config: read(t, dir, before), Files: []config.File{{Name: "syncline.yaml", Text: []byte(before)}}, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, d)
	t.Cleanup(func() { stop(); closeDaemon(t, d) })
	eventually(t, "everything works", func() bool { ready, _ := d.Engine().Ready(t.Context()); return ready })
	first := trigger(t, d, "full")
	apply := func(schedules string) {
		t.Helper()
		files := []config.File{{Name: "syncline.yaml", Text: []byte(text(schedules))}}
		planned, err := engine{d}.PlanConfig(t.Context(), ops.PlanRequest{Files: []ops.ConfigFile{{Name: "syncline.yaml", Text: text(schedules)}}})
		if err != nil || len(planned.Schedules) != 1 || planned.Schedules[0].Name != "full" || planned.Empty {
			t.Errorf("the plan names %+v, %v, want the schedule", planned.Schedules, err)
		}
		if _, err := d.Apply(t.Context(), Application{By: "test", Files: files}); err != nil {
			t.Fatal(err)
		}
	}
	apply(`  - {id: full, every: 1h, do: {sync: crm/customer}}
`)
	eventually(t, "the next run is due in an hour", func() bool {
		list, err := d.Engine().Schedules(t.Context())
		return err == nil && list[0].Next != nil && time.Until(*list[0].Next) < time.Hour && list[0].Last != nil && list[0].Last.ID == first.ID
	})

	apply(`  []
`)
	eventually(t, "the schedule is gone", func() bool {
		list, err := d.Engine().Schedules(t.Context())
		rows, e := d.state.Schedules(context.WithoutCancel(t.Context()))
		return err == nil && e == nil && len(list) == 1 && len(rows) == 1
	})
	history, _, err := d.Engine().ScheduleHistory(t.Context(), "full", "", 10)
	if err != nil || len(history) != 1 || history[0].ID != first.ID {
		t.Errorf("the history of what is gone = %+v, %v, want it kept", history, err)
	}
}
