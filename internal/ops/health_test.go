package ops

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline/internal/health"
)

// TestHealthIsServed: reports come through the API and its client as the engine made them, empty lists as lists.
func TestHealthIsServed(t *testing.T) {
	th := health.Defaults()
	f := &fake{health: health.Assess(&health.Input{To: noon}, &th), lag: health.Lags([]health.Route{{ID: "r", State: "running"}}, nil, &th, noon)}
	f.checks = []HealthCheck{{At: noon, Level: health.Warning, HealthSummary: Summarize(&f.health)}}
	c, _ := serve(t, f)
	report, err := c.Health(t.Context())
	must(t, err)
	if diff := cmp.Diff(f.health, report); diff != "" {
		t.Errorf("report (-made +served):\n%s", diff)
	}
	lag, err := c.Lag(t.Context())
	must(t, err)
	if diff := cmp.Diff(f.lag, lag); diff != "" {
		t.Errorf("lag (-made +served):\n%s", diff)
	}
	checks, err := c.HealthChecks(t.Context(), 5)
	must(t, err)
	if diff := cmp.Diff(f.checks, checks); diff != "" {
		t.Errorf("checks (-kept +served):\n%s", diff)
	}
}

// TestSummariesAreShort: what made the level, each thing once with what it is about, and no more than so much of it.
func TestSummariesAreShort(t *testing.T) {
	r := &health.Report{Recommendations: []health.Recommendation{{Level: health.Critical, Kind: "source_silent", Source: "crm"}, {Level: health.Healthy, Kind: "slow", Route: "r"},
		{Level: health.Warning, Kind: "differences", Rule: "orders", Target: "dw"}, {Level: health.Warning, Kind: "schedule_missed", Schedule: "nightly"},
		{Level: health.Warning, Kind: "log_disk"}, {Level: health.Warning, Kind: "late", Route: "r"}, {Level: health.Warning, Kind: "late", Route: "r"}}}
	s := Summarize(r)
	if diff := cmp.Diff([]string{"source_silent crm", "differences orders", "schedule_missed nightly", "log_disk", "late r"}, s.Reasons); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
	for i := range 2 * maxReasons {
		r.Recommendations = append(r.Recommendations, health.Recommendation{Level: health.Warning, Kind: "late", Route: fmt.Sprint(i)})
	}
	if s := Summarize(r); len(s.Reasons) != maxReasons {
		t.Errorf("%d reasons", len(s.Reasons))
	}
}
