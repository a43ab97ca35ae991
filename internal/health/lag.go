package health

import "time"

// Lag is what a route has not applied yet.
type Lag struct {
	Events int64
	// Oldest is when the oldest of them came into the log; zero = there is none.
	Oldest time.Time
	// Late are those that are older than Thresholds.Late.After.
	Late int64
}

// Seconds is the age of the oldest event, 0 where there is none.
func (l *Lag) Seconds(now time.Time) float64 {
	if l.Events == 0 || l.Oldest.IsZero() {
		return 0
	}
	return max(now.Sub(l.Oldest).Seconds(), 0)
}

// LagTotal sums up the lag of routes.
type LagTotal struct {
	Routes      int     `json:"lagging_routes" doc:"Routes that have something to apply."`
	Events      int64   `json:"events" doc:"What all routes have to apply; an event counts for each route that has not applied it."`
	MaxSeconds  float64 `json:"max_seconds" doc:"Age of the oldest event that a route has not applied."`
	MeanSeconds float64 `json:"mean_seconds" doc:"The same, as the mean of all routes; 0 where there are none."`
	LateAfter   float64 `json:"late_after_seconds" doc:"How old an event may be that is not applied."`
	Late        int64   `json:"late" doc:"Events that are older than that, of routes that are not paused."`
	Alert       bool    `json:"alert" doc:"Whether there are more of them than health.late.tasks allows."`
}

// sumLag adds up the lag of all routes. Late events of a paused route are what its operator wants.
func sumLag(routes []Route, th *Thresholds, now time.Time) LagTotal {
	t := LagTotal{LateAfter: th.Late.After.Seconds()}
	var sum float64
	for i := range routes {
		r := &routes[i]
		seconds := r.Lag.Seconds(now)
		t.Events += r.Lag.Events
		t.MaxSeconds = max(t.MaxSeconds, seconds)
		sum += seconds
		if r.Lag.Events > 0 {
			t.Routes++
		}
		if !r.Paused {
			t.Late += r.Lag.Late
		}
	}
	if len(routes) > 0 {
		t.MeanSeconds = sum / float64(len(routes))
	}
	t.Alert = t.Late > th.Late.Tasks
	return t
}

// LagReport tells how far behind routes are.
type LagReport struct {
	At    time.Time `json:"at"`
	Total LagTotal  `json:"total"`
	// Routes are in the order of the configuration.
	Routes []RouteLag `json:"routes" nullable:"false"`
}

// RouteLag is how far behind one route is.
type RouteLag struct {
	ID      string     `json:"id"`
	Source  string     `json:"source"`
	Target  string     `json:"target"`
	State   string     `json:"state"`
	Events  int64      `json:"events" doc:"Events of the log that the route has not applied."`
	Seconds float64    `json:"seconds" doc:"Age of the oldest of them, since it came into the log; 0 where there is none."`
	Oldest  *time.Time `json:"oldest,omitempty" doc:"When that one came into the log."`
	Late    int64      `json:"late" doc:"How many of them are older than the threshold."`
	Past    Past       `json:"past"`
}

// Lags makes the report. A route without a past has none.
func Lags(routes []Route, pasts map[string]Past, th *Thresholds, now time.Time) LagReport {
	r := LagReport{At: now, Total: sumLag(routes, th, now), Routes: []RouteLag{}}
	for i := range routes {
		rt := &routes[i]
		one := RouteLag{ID: rt.ID, Source: rt.Source, Target: rt.Target, State: rt.State, Events: rt.Lag.Events, Seconds: rt.Lag.Seconds(now),
			Late: rt.Lag.Late, Past: pasts[rt.ID]}
		if rt.Lag.Events == 0 || one.Past.Trend == "" { // what it was a few seconds ago goes nowhere any more
			one.Past.Trend, one.Past.PerSecond, one.Past.CatchUp = Steady, 0, nil
		}
		if rt.Lag.Events > 0 && !rt.Lag.Oldest.IsZero() {
			one.Oldest = &rt.Lag.Oldest
		}
		r.Routes = append(r.Routes, one)
	}
	return r
}
