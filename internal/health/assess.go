package health

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Assess makes the report.
//
// Its level is the worst of: the rates of all tasks; whatever is not as it should be now, which is among the recommendations; and, no worse
// than a warning, the rates of each route, so that a small one is not hidden behind a large one.
func Assess(in *Input, th *Thresholds) Report {
	r := Report{Level: Healthy, At: in.To, From: in.From, Since: in.Since, Notes: []string{}, Tasks: in.Tasks, Rates: in.Tasks.Rates(),
		MeanExecution: seconds(in.Execution), Lag: sumLag(in.Routes, th, in.To), DiskFree: in.DiskFree,
		Recommendations: []Recommendation{}, Routes: []RouteHealth{}, Sources: []SourceHealth{}}
	if in.Tasks.over() == 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("no task was completed, failed, in conflict or cancelled since %s: the rates say nothing", in.From.UTC().Format(time.RFC3339)))
	}
	a := assessment{in: in, th: th, report: &r}
	a.rates()
	for i := range in.Sources {
		a.source(&in.Sources[i])
	}
	for i := range in.Routes {
		a.route(&in.Routes[i])
	}
	a.lag()
	a.disk()
	a.waiting()
	a.slow()
	a.others()
	slices.SortStableFunc(r.Recommendations, func(x, y Recommendation) int { return cmp.Compare(y.Level.Number(), x.Level.Number()) })
	return r
}

// assessment is a report in the making.
type assessment struct {
	in     *Input
	th     *Thresholds
	report *Report
}

// say adds a recommendation, which is as bad as its level for the whole.
func (a *assessment) say(r Recommendation) {
	a.report.Recommendations = append(a.report.Recommendations, r)
	a.report.Level = a.report.Level.Worse(r.Level)
}

func (a *assessment) note(text string) { a.report.Notes = append(a.report.Notes, text) }

func (a *assessment) rates() {
	if level := a.in.Tasks.level(a.th); level != Healthy {
		a.say(Recommendation{Level: level, Kind: "rates", Count: a.in.Tasks.Failed + a.in.Tasks.Conflict,
			Text:    "of the tasks that are over, " + rateText(&a.in.Tasks),
			Command: "syncline stats"})
	}
}

func rateText(t *Tasks) string {
	percent := func(n int64) string { return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(t.over())) }
	return fmt.Sprintf("%s succeeded, %s failed, %s are in conflict", percent(t.Completed), percent(t.Failed), percent(t.Conflict))
}

func (a *assessment) source(s *Source) {
	one := SourceHealth{Name: s.Name, Type: s.Type, Level: Healthy, State: s.State, Quiet: seconds(s.Quiet), LogBytes: s.LogBytes, Risk: s.Risk}
	say := func(r Recommendation) {
		r.Source = s.Name
		one.Level = one.Level.Worse(r.Level)
		a.say(r)
	}
	age := a.in.To.Sub(s.Since)
	switch {
	case s.Stopped:
		say(Recommendation{Level: Critical, Kind: "source_stopped", Error: s.ErrorCode, Class: s.ErrorClass,
			Text:    fmt.Sprintf("source %s has stopped (%s): nothing of it is captured: %s", s.Name, s.ErrorCode, told(s.ErrorCode, s.ErrorText, s.ErrorFix)),
			Command: named(s.ErrorFix, "syncline resume --system "+s.Name)})
	case s.Degraded:
		say(Recommendation{Level: lasting(age, a.th), Kind: "source_degraded", Error: s.ErrorCode, Class: s.ErrorClass,
			Text: fmt.Sprintf("source %s is held up (%s) since %s; it is tried again, and at once when it is resumed: %s", s.Name, s.ErrorCode,
				s.Since.UTC().Format(time.RFC3339), told(s.ErrorCode, s.ErrorText, s.ErrorFix)),
			Command: named(s.ErrorFix, "syncline resume --system "+s.Name)})
	case s.Starting && age >= a.th.Silent:
		say(Recommendation{Level: Critical, Kind: "source_silent",
			Text:    fmt.Sprintf("source %s has been starting for %s: its system lets it connect, or does not, and says no more; or a transaction there has been open since", s.Name, round(age)),
			Command: "syncline status"})
	case s.Quiet != nil && *s.Quiet >= a.th.Silent:
		say(Recommendation{Level: Critical, Kind: "source_silent",
			Text:    fmt.Sprintf("nothing has been heard of source %s for %s, although its connection stands: changes may be waiting there", s.Name, round(*s.Quiet)),
			Command: "syncline status"})
	}
	if s.Risk != nil {
		for _, r := range s.Risk.recommend() {
			if s.Stopped && s.Risk.Lost() { // that is why it has stopped, or will be: there is one way out
				r.Command = named(s.ErrorFix, "syncline resume --system "+s.Name)
			}
			say(r)
		}
	}
	a.report.Sources = append(a.report.Sources, one)
}

// lasting is the level of a state that mends itself as a rule: after a while it does not.
func lasting(age time.Duration, th *Thresholds) Level {
	if age >= th.Late.After {
		return Critical
	}
	return Warning
}

func (a *assessment) route(r *Route) {
	one := RouteHealth{ID: r.ID, Source: r.Source, Target: r.Target, Rules: r.Rules, Level: Healthy, State: r.State, Breaker: BreakerClosed, Tasks: r.Tasks,
		Rates: r.Tasks.Rates(), MeanExecution: seconds(r.Execution), LagEvents: r.Lag.Events, LagSeconds: r.Lag.Seconds(a.in.To), Late: r.Lag.Late, Still: r.Still.Seconds(),
		Canary: seconds(r.Canary)}
	if one.Rules == nil {
		one.Rules = []string{}
	}
	for i := range a.in.Waiting {
		if a.in.Waiting[i].Route == r.ID {
			one.Waiting.add(&a.in.Waiting[i])
		}
	}
	one.Waiting.Keys = r.Keys
	a.report.Waiting.Keys += r.Keys
	say := func(x Recommendation) {
		x.Route, x.Target = r.ID, r.Target
		if len(r.Rules) == 1 {
			x.Rule = r.Rules[0]
		}
		one.Level = one.Level.Worse(x.Level)
		a.say(x)
	}
	switch age := a.in.To.Sub(r.Since); {
	case r.Stopped:
		one.Breaker = BreakerOpen
		say(Recommendation{Level: Critical, Kind: "route_stopped", Error: r.ErrorCode, Class: r.ErrorClass,
			Text:    fmt.Sprintf("route %s has stopped (%s): nothing reaches %s: %s", r.ID, r.ErrorCode, r.Target, told(r.ErrorCode, r.ErrorText, r.ErrorFix)),
			Command: named(r.ErrorFix, "syncline resume "+r.ID)})
	case r.Degraded:
		one.Breaker = BreakerOpen
		say(Recommendation{Level: lasting(age, a.th), Kind: "route_degraded", Error: r.ErrorCode, Class: r.ErrorClass,
			Text: fmt.Sprintf("route %s waits for %s (%s) since %s; it tries on, and at once when it is resumed: %s", r.ID, r.Target, r.ErrorCode,
				r.Since.UTC().Format(time.RFC3339), told(r.ErrorCode, r.ErrorText, r.ErrorFix)),
			Command: named(r.ErrorFix, "syncline resume "+r.ID)})
	case r.Still >= a.th.Stalled && r.Lag.Events == 0:
		say(Recommendation{Level: Critical, Kind: "route_stalled",
			Text:    fmt.Sprintf("route %s has been starting for %s: %s lets it connect, or does not, and says no more", r.ID, round(r.Still), r.Target),
			Command: "syncline routes"})
	case r.Still >= a.th.Stalled:
		say(Recommendation{Level: Critical, Kind: "route_stalled",
			Text:    fmt.Sprintf("route %s has applied nothing for %s although %s", r.ID, round(r.Still), verb(r.Lag.Events, "event waits", "events wait")),
			Command: "syncline resume " + r.ID})
	case r.Canary != nil && a.th.CanaryLate > 0 && *r.Canary >= a.th.CanaryLate && !r.Paused:
		say(Recommendation{Level: lasting(*r.Canary, a.th), Kind: "canary_late",
			Text:    fmt.Sprintf("a mark has taken %s from %s through route %s, and may be on its way still", round(*r.Canary), r.Source, r.ID),
			Command: "syncline lag"})
	case r.Paused && r.Lag.Events > 0:
		a.note(fmt.Sprintf("route %s is paused, and %s for it", r.ID, verb(r.Lag.Events, "event waits", "events wait")))
	}
	if level := r.Tasks.level(a.th); level != Healthy {
		one.Level = one.Level.Worse(level)
		x := Recommendation{Level: Warning, Kind: "route_rates", Route: r.ID, Target: r.Target, Count: r.Tasks.Failed + r.Tasks.Conflict,
			Text: fmt.Sprintf("route %s is %s by itself: %s", r.ID, level, rateText(&r.Tasks)), Command: "syncline stats --route " + r.ID}
		if len(r.Rules) == 1 {
			x.Rule = r.Rules[0]
		}
		a.say(x)
	}
	a.report.Routes = append(a.report.Routes, one)
}

func (a *assessment) lag() {
	for i := range a.in.Routes {
		r := &a.in.Routes[i]
		if r.Lag.Late == 0 || r.Paused {
			continue
		}
		a.say(Recommendation{Level: Warning, Kind: "late", Route: r.ID, Target: r.Target, Count: r.Lag.Late,
			Text: fmt.Sprintf("%s older than %s, the oldest by %s",
				verb(r.Lag.Late, "event that route "+r.ID+" has not applied is", "events that route "+r.ID+" has not applied are"), Short(a.th.Late.After),
				round(time.Duration(r.Lag.Seconds(a.in.To)*float64(time.Second)))),
			Command: "syncline lag"})
	}
}

func (a *assessment) disk() {
	if a.in.DiskFree == nil || *a.in.DiskFree >= a.th.DiskFree {
		return
	}
	share := *a.in.DiskFree
	level := Warning
	if share < a.th.DiskFree/2 {
		level = Critical
	}
	a.say(Recommendation{Level: level, Kind: "log_disk",
		Text:    fmt.Sprintf("the disk of the logs has %.1f %% free: when it is full, sources wait", 100*share),
		Command: "syncline status"})
}

func seconds(d *time.Duration) *float64 {
	if d == nil {
		return nil
	}
	s := d.Seconds()
	return &s
}

func round(d time.Duration) string { return Short(d.Round(time.Second)) }

// Short writes a duration without the zeros at its end: 1h for 1h0m0s.
func Short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// verb is so many of something, with what they do.
func verb(n int64, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}
