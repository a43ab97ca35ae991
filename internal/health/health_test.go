package health

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func assess(change func(*Input)) Report {
	in := &Input{From: noon.Add(-24 * time.Hour), To: noon}
	change(in)
	th := Defaults()
	return Assess(in, &th)
}

// kinds are the recommendations in short.
func kinds(r *Report) []string {
	var list []string
	for _, one := range r.Recommendations {
		list = append(list, string(one.Level)+" "+one.Kind)
	}
	return list
}

// TestLevelsByRates: the limits belong to the better level, and each rate counts for itself.
func TestLevelsByRates(t *testing.T) {
	for _, test := range []struct {
		name string
		of   Tasks
		want Level
	}{
		{"nothing", Tasks{}, Healthy},
		{"only what is pending", Tasks{Read: 9, Pending: 9}, Healthy},
		{"all good", Tasks{Completed: 100}, Healthy},
		{"95 %", Tasks{Completed: 95, Cancelled: 5}, Healthy},
		{"just below 95 %", Tasks{Completed: 9499, Cancelled: 501}, Warning},
		{"90 %", Tasks{Completed: 90, Cancelled: 10}, Warning},
		{"just below 90 %", Tasks{Completed: 8999, Cancelled: 1001}, Critical},
		{"2 % failed", Tasks{Completed: 98, Failed: 2}, Healthy},
		{"more than 2 % failed", Tasks{Completed: 9799, Failed: 201}, Warning},
		{"5 % failed", Tasks{Completed: 95, Failed: 5}, Warning},
		{"more than 5 % failed", Tasks{Completed: 9499, Failed: 501}, Critical},
		{"1 % in conflict", Tasks{Completed: 99, Conflict: 1}, Healthy},
		{"more than 1 % in conflict", Tasks{Completed: 9899, Conflict: 101}, Warning},
		{"3 % in conflict", Tasks{Completed: 97, Conflict: 3}, Warning},
		{"more than 3 % in conflict", Tasks{Completed: 9699, Conflict: 301}, Critical},
		{"all failed", Tasks{Failed: 1}, Critical},
	} {
		r := assess(func(in *Input) { in.Tasks = test.of })
		if r.Level != test.want {
			t.Errorf("%s: level = %s, want %s", test.name, r.Level, test.want)
		}
		if worse := r.Level != Healthy; worse != slices.Contains(kinds(&r), string(r.Level)+" rates") {
			t.Errorf("%s: recommendations = %v", test.name, kinds(&r))
		}
	}
}

// TestNothingIsDividedByNothing: without tasks, routes and sources the report is healthy, says so, and can be written as JSON, which
// knows no NaN.
func TestNothingIsDividedByNothing(t *testing.T) {
	r := assess(func(*Input) {})
	if r.Level != Healthy || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "no task") || r.Success != nil || r.MeanExecution != nil {
		t.Errorf("report = %+v", r)
	}
	if want := (LagTotal{LateAfter: 300}); r.Lag != want {
		t.Errorf("lag = %+v, want %+v", r.Lag, want)
	}
	if text, err := json.Marshal(r); err != nil || strings.Contains(string(text), `":null,"notes`) {
		t.Errorf("JSON = %s, %v", text, err)
	}
	th := Defaults()
	lags := Lags([]Route{{ID: "a"}}, nil, &th, noon)
	if text, err := json.Marshal(lags); err != nil {
		t.Errorf("JSON = %s, %v", text, err)
	}
	want := RouteLag{ID: "a", Past: Past{Trend: Steady}}
	if diff := cmp.Diff([]RouteLag{want}, lags.Routes); diff != "" || lags.Total.MaxSeconds != 0 || lags.Total.MeanSeconds != 0 {
		t.Errorf("nothing lags: %+v (-want +got):\n%s", lags.Total, diff)
	}
	var none Record
	if p := none.Past(noon); p != (Past{Trend: Steady}) {
		t.Errorf("no past = %+v", p)
	}
}

func route(change func(*Route)) func(*Input) {
	return func(in *Input) {
		r := Route{ID: "customers", Source: "crm", Target: "dw", Rules: []string{"customers"}, State: "running", Since: noon.Add(-time.Hour)}
		change(&r)
		in.Routes = []Route{r}
	}
}

func source(change func(*Source)) func(*Input) {
	return func(in *Input) {
		s := Source{Name: "crm", Type: "postgres", State: "running", Since: noon.Add(-time.Hour)}
		change(&s)
		in.Sources = []Source{s}
	}
}

// TestFindings: what is wrong is named with its level, what it is about and a command; what is not, is not.
func TestFindings(t *testing.T) {
	minute, second := time.Minute, time.Second
	few, many := int64(1), int64(1<<40)
	low, lower, slow := 0.09, 0.04, 5001*time.Millisecond
	for _, test := range []struct {
		name string
		in   func(*Input)
		want []string
	}{
		{"a route that works", route(func(*Route) {}), nil},
		{"a stopped route", route(func(r *Route) { r.Stopped, r.ErrorCode = true, "cursor_lost" }), []string{"critical route_stopped"}},
		{"a degraded route", route(func(r *Route) { r.Degraded, r.Since = true, noon.Add(-time.Minute) }), []string{"warning route_degraded"}},
		{"a route that has been degraded for long", route(func(r *Route) { r.Degraded = true }), []string{"critical route_degraded"}},
		{"a route that gets on", route(func(r *Route) { r.Still, r.Lag.Events = 59*time.Second, 7 }), nil},
		{"a route that does not", route(func(r *Route) { r.Still, r.Lag.Events = time.Minute, 7 }), []string{"critical route_stalled"}},
		{"a route that never begins", route(func(r *Route) { r.State, r.Still = "starting", time.Minute }), []string{"critical route_stalled"}},
		{"a paused route", route(func(r *Route) { r.Paused, r.Lag = true, Lag{900, noon.Add(-time.Hour), 900} }), nil},
		{"late events", route(func(r *Route) { r.Lag = Lag{9, noon.Add(-6 * time.Minute), 2} }), []string{"warning late"}},
		{"a bad route among good ones", func(in *Input) {
			route(func(r *Route) { r.Tasks = Tasks{Failed: 10} })(in)
			in.Tasks = Tasks{Completed: 100000, Failed: 10}
		}, []string{"warning route_rates"}},
		{"batches that take 5 s", route(func(r *Route) { d := 5 * time.Second; r.Execution = &d }), nil},
		{"batches that take longer", route(func(r *Route) { r.Execution = &slow }), []string{"healthy slow"}},
		{"a source that is heard", source(func(s *Source) { s.Quiet = &second }), nil},
		{"a source that is silent", source(func(s *Source) { s.Quiet = &minute }), []string{"critical source_silent"}},
		{"a source that starts", source(func(s *Source) { s.State, s.Starting, s.Since = "starting", true, noon.Add(-59*time.Second) }), nil},
		{"a source that never begins", source(func(s *Source) { s.State, s.Starting = "starting", true }), []string{"critical source_silent"}},
		{"a stopped source", source(func(s *Source) { s.Stopped, s.ErrorCode = true, "slot_missing" }), []string{"critical source_stopped"}},
		{"a degraded source", source(func(s *Source) { s.Degraded, s.Since = true, noon }), []string{"warning source_degraded"}},
		{"a slot in order", source(func(s *Source) {
			s.Risk = RiskOf(&syncline.SourceRisk{Slot: "s", State: syncline.SlotReserved, SafeBytes: &many})
		}), nil},
		{"a large slot", source(func(s *Source) { s.Risk = RiskOf(&syncline.SourceRisk{Slot: "s", State: syncline.SlotExtended}) }), []string{"warning slot_at_risk"}},
		{"a slot near its end", source(func(s *Source) {
			s.Risk = RiskOf(&syncline.SourceRisk{Slot: "s", State: syncline.SlotReserved, HeldBytes: 1 << 30, SafeBytes: &few})
		}), []string{"critical slot_at_risk"}},
		{"a lost slot", source(func(s *Source) { s.Risk = RiskOf(&syncline.SourceRisk{Slot: "s", State: syncline.SlotLost}) }), []string{"critical slot_lost"}},
		{"a slot that is gone", source(func(s *Source) { s.Risk = RiskOf(&syncline.SourceRisk{Slot: "s", State: syncline.SlotMissing}) }), []string{"critical slot_lost"}},
		{"no slot", source(func(s *Source) { s.Risk = RiskOf(&syncline.SourceRisk{}) }), nil},
		{"little disk", func(in *Input) { in.DiskFree = &low }, []string{"warning log_disk"}},
		{"hardly any disk", func(in *Input) { in.DiskFree = &lower }, []string{"critical log_disk"}},
		{"10 failed tasks", waiting(Waiting{Route: "r", Rule: "x", Status: "failed", Code: "refused", Tasks: 10}), nil},
		{"11 failed tasks", waiting(Waiting{Route: "r", Rule: "x", Status: "failed", Code: "refused", Tasks: 11}), []string{"healthy failed_tasks"}},
		{"11 failed tasks of two rules", waiting(Waiting{Route: "r", Rule: "x", Status: "failed", Tasks: 2}, Waiting{Route: "r", Rule: "y", Status: "failed", Tasks: 9}),
			[]string{"healthy failed_tasks", "healthy failed_tasks"}},
		{"5 conflicts", waiting(Waiting{Route: "r", Rule: "x", Status: "conflict", Tasks: 5}), nil},
		{"6 conflicts", waiting(Waiting{Route: "r", Rule: "x", Status: "conflict", Tasks: 6}), []string{"healthy open_conflicts"}},
	} {
		r := assess(test.in)
		if diff := cmp.Diff(test.want, kinds(&r)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
		level := Healthy
		for _, one := range r.Recommendations {
			level = level.Worse(one.Level)
			if !strings.HasPrefix(one.Command, "syncline ") || one.Text == "" {
				t.Errorf("%s: %+v has no command", test.name, one)
			}
		}
		if r.Level != level {
			t.Errorf("%s: level = %s, its reasons %v", test.name, r.Level, kinds(&r))
		}
	}
}

func waiting(list ...Waiting) func(*Input) { return func(in *Input) { in.Waiting = list } }

// TestRecommendationsNameWhatTheyAreAbout: the rule, the target, the class of the error, and a command that acts on exactly that.
func TestRecommendationsNameWhatTheyAreAbout(t *testing.T) {
	r := assess(waiting(Waiting{Route: "r", Target: "dw", Rule: "x", Status: "failed", Class: "rejected", Code: "target_refused", Tasks: 20}))
	want := Recommendation{Level: Healthy, Kind: "failed_tasks", Route: "r", Rule: "x", Target: "dw", Error: "target_refused", Class: "rejected", Count: 20,
		Text:    "20 tasks of rule x to dw have failed with target_refused: see why, and try them again once that is mended",
		Command: "syncline tasks retry --status failed --rule x --code target_refused"}
	if diff := cmp.Diff([]Recommendation{want}, r.Recommendations); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if want := (Waits{Failed: 20}); r.Waiting != want {
		t.Errorf("waiting = %+v", r.Waiting)
	}
}

// TestFewThatWaitAreNoted: what is too few for advice is said all the same, with the command that lists it, and changes no level.
func TestFewThatWaitAreNoted(t *testing.T) {
	one := func(status string, tasks int64) Waiting {
		return Waiting{Route: "r", Target: "dw", Rule: "x", Status: status, Tasks: tasks}
	}
	for _, test := range []struct {
		name string
		of   []Waiting
		want []string
	}{
		{"nothing", nil, nil},
		{"one of each", []Waiting{one("failed", 1), one("conflict", 1)},
			[]string{"1 failed task waits: `syncline tasks --status failed`", "1 conflict waits for a person: `syncline conflicts`"}},
		{"several", []Waiting{one("failed", 9), one("conflict", 2), one("failed", 1)},
			[]string{"10 failed tasks wait: `syncline tasks --status failed`", "2 conflicts wait for a person: `syncline conflicts`"}},
		{"so many that there is advice", []Waiting{one("failed", 11), one("conflict", 6)}, nil},
		{"what is tried on by itself", []Waiting{one("retrying", 3), one("held", 3), one("reading", 3)}, nil},
	} {
		r := assess(func(in *Input) { in.Waiting, in.Tasks = test.of, Tasks{Completed: 1000} })
		if diff := cmp.Diff(test.want, slices.Concat([]string(nil), r.Notes)); diff != "" || r.Level != Healthy {
			t.Errorf("%s: level %s, notes (-want +got):\n%s", test.name, r.Level, diff)
		}
	}
}

// TestRecommendationsReadWell: numbers agree with their verbs, and durations are short.
func TestRecommendationsReadWell(t *testing.T) {
	for want, in := range map[string]func(*Input){
		"1 task of rule x to dw has failed with refused: see why, and try it again once that is mended": waiting(
			Waiting{Target: "dw", Rule: "x", Status: "failed", Code: "refused", Tasks: 1}, Waiting{Target: "dw", Rule: "y", Status: "failed", Tasks: 20}),
		"1 conflict of rule x at dw waits for a person": waiting(
			Waiting{Target: "dw", Rule: "x", Status: "conflict", Tasks: 1}, Waiting{Target: "dw", Rule: "y", Status: "conflict", Tasks: 20}),
		"1 event that route customers has not applied is older than 5m, the oldest by 1h": route(func(r *Route) { r.Lag = Lag{1, noon.Add(-time.Hour), 1} }),
		"route customers has applied nothing for 2h although 1 event waits":               route(func(r *Route) { r.Still, r.Lag.Events = 2*time.Hour, 1 }),
		"schedule s: 1 of its runs has not come when due":                                 func(in *Input) { in.Schedules = []Schedule{{ID: "s", Missed: 1}} },
	} {
		r := assess(in)
		var texts []string
		for _, one := range r.Recommendations {
			texts = append(texts, one.Text)
		}
		if !slices.Contains(texts, want) {
			t.Errorf("the report says %q, want %q", texts, want)
		}
	}
}

// TestCommandsHelp: what is down is tried at once by a resume, what its error names is better, and a slot that is lost has one way out.
func TestCommandsHelp(t *testing.T) {
	for _, test := range []struct {
		name string
		in   func(*Input)
		want []string
	}{
		{"a target that is down", route(func(r *Route) { r.Degraded, r.ErrorText, r.ErrorFix = true, "target_down: refused", "start it" }), []string{"syncline resume customers"}},
		{"a route that reads no further", route(func(r *Route) { r.Degraded, r.ErrorFix = true, "`syncline tasks` shows why they wait" }), []string{"syncline tasks"}},
		{"a source that is down", source(func(s *Source) { s.Degraded = true }), []string{"syncline resume --system crm"}},
		{"a slot that is gone", source(func(s *Source) {
			s.Stopped, s.ErrorCode, s.ErrorFix = true, "slot_missing", "`syncline resume --system crm --accept-gap` goes on behind the gap"
			s.Risk = RiskOf(&syncline.SourceRisk{Slot: "s", State: syncline.SlotMissing})
		}), []string{"syncline resume --system crm --accept-gap", "syncline resume --system crm --accept-gap"}},
	} {
		r := assess(test.in)
		var got []string
		for _, one := range r.Recommendations {
			got = append(got, one.Command)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

// TestLagIsSummedUp: the oldest, the mean of all routes, and the late events of those that are not paused.
func TestLagIsSummedUp(t *testing.T) {
	th := Defaults()
	routes := []Route{{ID: "a", Lag: Lag{10, noon.Add(-time.Minute), 0}}, {ID: "b", Lag: Lag{400, noon.Add(-9 * time.Minute), 101}}, {ID: "c"},
		{ID: "d", Paused: true, Lag: Lag{5000, noon.Add(-2 * time.Hour), 4000}}}
	got := Lags(routes, nil, &th, noon).Total
	want := LagTotal{Routes: 3, Events: 5410, MaxSeconds: 7200, MeanSeconds: (60 + 540 + 7200) / 4.0, LateAfter: 300, Late: 101, Alert: true}
	if got != want {
		t.Errorf("total = %+v, want %+v", got, want)
	}
	routes[1].Lag.Late = 100
	if Lags(routes, nil, &th, noon).Total.Alert {
		t.Error("100 late events are an alert: it takes more")
	}
	wait := 60.0
	past := Past{Span: 600, MaxSeconds: 9, MeanSeconds: 3, Trend: Shrinking, PerSecond: -5, CatchUp: &wait}
	report := Lags(routes, map[string]Past{"b": past, "c": past}, &th, noon)
	if got, want := report.Routes[2].Past, (Past{Span: 600, MaxSeconds: 9, MeanSeconds: 3, Trend: Steady}); got != want || report.Routes[1].Past != past {
		t.Errorf("a route that has caught up since the last sample: %+v, want %+v", got, want)
	}
}

// TestTrends: which way the lag goes, and when it is gone.
func TestTrends(t *testing.T) {
	for _, test := range []struct {
		name   string
		events func(minute float64) float64
		want   Trend
		slope  float64
		caught float64 // seconds; 0 = never
	}{
		{"nothing", func(float64) float64 { return 0 }, Steady, 0, 0},
		{"the same", func(float64) float64 { return 500 }, Steady, 0, 0},
		{"more and more", func(m float64) float64 { return 600 * m }, Growing, 10, 0},
		{"less and less", func(m float64) float64 { return 60000 - 600*m }, Shrinking, -10, 5400},
		{"grows, then shrinks", func(m float64) float64 { return 60000 - 600*math.Abs(m-3) }, Shrinking, -10, 5580},
		{"up and down", func(m float64) float64 { return 1000 + 50*math.Mod(6*m, 2) }, Steady, 0, 0},
		{"nothing, and something under way at last", func(m float64) float64 { return 3000 * math.Floor(m/10) }, Steady, 0, 0},
		{"something under way now and then", func(m float64) float64 { return 900 * math.Floor(math.Mod(6*m, 3)/2) }, Steady, 0, 0},
		{"caught up", func(m float64) float64 { return max(0, 6000-600*m) }, Steady, 0, 0},
	} {
		var r Record
		now := noon
		for i := range 61 { // ten minutes
			now = noon.Add(time.Duration(i) * 10 * time.Second)
			r.Add(now, &Lag{Events: int64(test.events(float64(i) / 6)), Oldest: now.Add(-time.Second)})
			r.Add(now.Add(time.Second), &Lag{Events: 1 << 40}) // too soon after
		}
		p := r.Past(now)
		if p.Trend != test.want || math.Abs(p.PerSecond-test.slope) > 0.2 || p.Span != 600 {
			t.Errorf("%s: %+v, want %s by %v", test.name, p, test.want, test.slope)
		}
		if (p.CatchUp != nil) != (test.caught != 0) || p.CatchUp != nil && math.Abs(*p.CatchUp-test.caught) > test.caught/20 {
			t.Errorf("%s: caught up in %v, want %v", test.name, p.CatchUp, test.caught)
		}
	}
}

// TestThePastIsAnHour, however far apart the samples are.
func TestThePastIsAnHour(t *testing.T) {
	var r Record
	for i := range 400 {
		now := noon.Add(time.Duration(i) * 15 * time.Second)
		r.Add(now, &Lag{Events: 1, Oldest: now.Add(-time.Duration(400-i) * time.Second)})
	}
	if p := r.Past(noon.Add(399 * 15 * time.Second)); p.Span != 3600 || p.MaxSeconds != 241 || p.MeanSeconds != 121 {
		t.Errorf("past %+v", p)
	}
	if p := r.Past(noon.Add(5 * time.Hour)); p != (Past{Trend: Steady}) {
		t.Errorf("long after that %+v", p)
	}
}

// TestThePastIsBounded: no more than an hour is kept, whatever comes.
func TestThePastIsBounded(t *testing.T) {
	var r Record
	for i := range 5000 {
		now := noon.Add(time.Duration(i) * 10 * time.Second)
		r.Add(now, &Lag{Events: int64(i), Oldest: now.Add(-time.Duration(i) * time.Second)})
	}
	p := r.Past(noon.Add(4999 * 10 * time.Second))
	if len(r.samples) != lagSamples || p.Span != 3590 || p.MaxSeconds != 4999 || p.MeanSeconds != 4819.5 {
		t.Errorf("%d samples, past %+v", len(r.samples), p)
	}
}

// TestProgress: only a route that has something to do and does not move stands still.
func TestProgress(t *testing.T) {
	var p Progress
	now := noon
	at := func(seq uint64, done int64, wanted bool) Sighting {
		return Sighting{Place{"log", seq, 0}, done, wanted}
	}
	for i, step := range []struct {
		after time.Duration
		s     Sighting
		want  time.Duration
	}{
		{0, at(1, 0, false), 0},
		{time.Hour, at(1, 0, false), 0}, // nothing to do
		{time.Second, at(1, 0, true), 0},
		{30 * time.Second, at(1, 0, true), 30 * time.Second},
		{30 * time.Second, at(1, 0, true), time.Minute},
		{time.Second, at(2, 0, true), 0},
		{time.Minute, at(2, 0, true), time.Minute},
		{time.Second, at(2, 5, true), 0}, // it tries again what waits
		{time.Minute, at(2, 5, false), 0},
		{time.Hour, at(2, 5, true), 0}, // it has something to do only now
		{-time.Hour, at(2, 5, true), 0},
	} {
		now = now.Add(step.after)
		if got := p.Look(now, step.s); got != step.want {
			t.Errorf("step %d: still for %s, want %s", i, got, step.want)
		}
	}
}

// TestReportsAreStable: the same input gives the same report, the worst first.
func TestReportsAreStable(t *testing.T) {
	make := func() string {
		r := assess(func(in *Input) {
			route(func(r *Route) { r.Degraded, r.Since = true, noon })(in)
			source(func(s *Source) { s.Stopped = true })(in)
			waiting(Waiting{Rule: "x", Status: "failed", Tasks: 99})(in)
		})
		return fmt.Sprint(kinds(&r))
	}
	if got, want := make(), "[critical source_stopped warning route_degraded healthy failed_tasks]"; got != want || make() != got {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestCanariesAge: one that has not arrived counts with what it has taken so far, and one that arrives stands for all before it.
func TestCanariesAge(t *testing.T) {
	var c Canary
	takes := func(at time.Duration, want time.Duration, some bool) {
		t.Helper()
		if d, ok := c.Takes(noon.Add(at)); d != want || ok != some {
			t.Errorf("after %s: %s, %t, want %s, %t", at, d, ok, want, some)
		}
	}
	takes(0, 0, false)
	c.Sent(noon)
	takes(time.Second, time.Second, true)
	c.Sent(noon.Add(time.Minute))
	takes(2*time.Minute, 2*time.Minute, true)
	c.Arrived(noon.Add(time.Minute), noon.Add(3*time.Minute))
	takes(time.Hour, 2*time.Minute, true)
	c.Sent(noon.Add(time.Hour))
	takes(time.Hour+time.Second, 2*time.Minute, true)
	takes(time.Hour+5*time.Minute, 5*time.Minute, true)
	c.Forget()
	takes(2*time.Hour, 2*time.Minute, true)

	late, slow := 30*time.Second, 6*time.Minute
	th := Defaults()
	th.CanaryLate = late
	for _, test := range []struct {
		took *time.Duration
		want []string
	}{{nil, nil}, {&late, []string{"warning canary_late"}}, {&slow, []string{"critical canary_late"}}} {
		in := &Input{From: noon, To: noon}
		route(func(r *Route) { r.Canary = test.took })(in)
		r := Assess(in, &th)
		if diff := cmp.Diff(test.want, kinds(&r)); diff != "" {
			t.Errorf("a mark that takes %v (-want +got):\n%s", test.took, diff)
		}
	}
}

// What has stopped is got going by what its error says, not by trying again.
func TestCommandsOfErrors(t *testing.T) {
	for fix, want := range map[string]string{
		"": "syncline resume crm",
		"find out who dropped it; then `syncline resume --system crm --accept-gap` goes on": "syncline resume --system crm --accept-gap",
		"restore it; else `syncline sync SYSTEM/ENTITY --route crm`":                        "syncline resume crm",
		"`ALTER TABLE x` at the target":                                                     "syncline resume crm",
	} {
		if got := named(fix, "syncline resume crm"); got != want {
			t.Errorf("named(%q) = %q, want %q", fix, got, want)
		}
	}
}

// TestErrorsAreToldOnce: a code that was said already is not said again, and the way out is told from what is wrong.
func TestErrorsAreToldOnce(t *testing.T) {
	if got, want := told("slot_missing", "slot_missing: the slot is gone", "make a new one"), "the slot is gone; fix: make a new one"; got != want {
		t.Errorf("told = %q, want %q", got, want)
	}
	if got, want := differing(1, "r", "dw"), "1 record of rule r differs at dw, by its last verification"; got != want {
		t.Errorf("differing = %q, want %q", got, want)
	}
}
