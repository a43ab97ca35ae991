package main

import (
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"syncline"
	"syncline/internal/health"
	"syncline/internal/ops"
	"syncline/internal/state"
)

// sickness has one of everything that a report can find.
func sickness() health.Report {
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	slow, silent, disk, safe := 6*time.Second, time.Hour, 0.01, int64(1)
	source := func(name string, change func(*health.Source)) health.Source {
		s := health.Source{Name: name, Type: "postgres", State: "running", Since: now.Add(-time.Hour)}
		change(&s)
		return s
	}
	route := func(id string, change func(*health.Route)) health.Route {
		r := health.Route{ID: id, Source: "crm", Target: "dw", Rules: []string{id}, State: "running", Since: now.Add(-time.Hour)}
		change(&r)
		return r
	}
	slot := func(r syncline.SourceRisk) func(*health.Source) {
		return func(s *health.Source) { r.Slot = "s"; s.Risk = health.RiskOf(&r) }
	}
	th := health.Defaults()
	th.CanaryLate = time.Minute
	return health.Assess(&health.Input{From: now.Add(-24 * time.Hour), To: now, Tasks: health.Tasks{Read: 100, Completed: 50, Failed: 30, Conflict: 20}, DiskFree: &disk,
		Sources: []health.Source{
			source("a", func(s *health.Source) { s.Stopped, s.ErrorCode = true, "slot_missing" }),
			source("b", func(s *health.Source) { s.Degraded = true }),
			source("c", func(s *health.Source) { s.Quiet = &silent }),
			source("d", slot(syncline.SourceRisk{State: syncline.SlotLost})),
			source("e", slot(syncline.SourceRisk{State: syncline.SlotMissing})),
			source("f", slot(syncline.SourceRisk{State: syncline.SlotExtended, HeldBytes: 1 << 30, SafeBytes: &safe})),
		},
		Routes: []health.Route{
			route("stopped", func(r *health.Route) { r.Stopped, r.ErrorCode = true, "cursor_lost" }),
			route("degraded", func(r *health.Route) { r.Degraded = true }),
			route("stalled", func(r *health.Route) {
				r.Still, r.Lag = time.Hour, health.Lag{Events: 9, Oldest: now.Add(-time.Hour), Late: 9}
			}),
			route("starting", func(r *health.Route) { r.Still = time.Hour }),
			route("late", func(r *health.Route) { r.Canary = &silent }),
			route("bad", func(r *health.Route) { r.Tasks = health.Tasks{Failed: 9}; r.Execution = &slow }),
		},
		Differing: []health.Differing{{Rule: "bad", Target: "dw", Records: 3}}, Schedules: []health.Schedule{{ID: "nightly", Missed: 1}, {ID: "poll/crm/lead", Failed: 2}},
		Waiting: []health.Waiting{{Route: "bad", Target: "dw", Rule: "bad", Status: "failed", Class: "rejected", Code: "target_refused", Tasks: 30},
			{Route: "bad", Target: "dw", Rule: "bad", Status: "failed", Tasks: 1}, {Route: "bad", Target: "dw", Rule: "bad", Status: "conflict", Tasks: 20}},
	}, &th)
}

// TestRecommendedCommandsCanBeRun: each is one that this program takes as it stands.
func TestRecommendedCommandsCanBeRun(t *testing.T) {
	r := sickness()
	kinds := make(map[string]bool)
	for _, one := range r.Recommendations {
		kinds[one.Kind] = true
		command, ok := strings.CutPrefix(one.Command, "syncline ")
		if why := wrong(command, nil, true); !ok || why != "" {
			t.Errorf("%s recommends %q: %s", one.Kind, one.Command, why)
		}
	}
	for _, kind := range []string{"rates", "source_stopped", "source_degraded", "source_silent", "slot_lost", "slot_at_risk", "route_stopped", "route_degraded",
		"route_stalled", "route_rates", "late", "log_disk", "failed_tasks", "open_conflicts", "slow", "canary_late", "differences", "schedule_missed", "schedule_failed"} {
		if !kinds[kind] {
			t.Errorf("nothing recommends what to do with %s", kind)
		}
	}
}

// TestHealthForPeople: the level first, then what is wrong with its command, then the counts.
func TestHealthForPeople(t *testing.T) {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	r := sickness()
	printHealth(w, &r)
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	for _, want := range []string{"CRITICAL\n", "syncline tasks retry --status failed --rule bad --code target_refused\n", "failed          30   30.00 %", "log disk free   1.00 %",
		"31 failed, 20 in conflict", "1.0 GiB"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "NaN") || !strings.HasPrefix(text, "CRITICAL") {
		t.Errorf("health:\n%s", text)
	}
}

// TestLagInOneSentence: numbers agree with their nouns and verbs.
func TestLagInOneSentence(t *testing.T) {
	r := health.LagReport{Routes: make([]health.RouteLag, 4)}
	r.Total = health.LagTotal{Routes: 1, Events: 1, MaxSeconds: 130, MeanSeconds: 32.5, LateAfter: 300, Late: 1}
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	printLag(w, &r)
	r.Total.Routes, r.Total.Events, r.Total.Late = 2, 7, 0
	printLag(w, &r)
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1 of 4 routes is behind, by 1 event; the oldest is 2m10s old, the mean over all routes 32.5s\n1 event is older than 5m\n",
		"2 of 4 routes are behind, by 7 events; the oldest is 2m10s old, the mean over all routes 32.5s\n0 events are older than 5m\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

// TestWayOutOfATask: a task that waits for a person names the commands that end that, with its id; no other task does.
func TestWayOutOfATask(t *testing.T) {
	for status, want := range map[state.TaskStatus]string{state.TaskFailed: "`syncline tasks retry r:crm:8.1`", state.TaskConflict: "`syncline conflicts show r:crm:8.1`",
		state.TaskPending: "", state.TaskCompleted: ""} {
		if got := taskFix(&ops.Task{ID: "r:crm:8.1", Status: status}); (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("the way out of a task that is %s: %q, want %q", status, got, want)
		}
	}
}
