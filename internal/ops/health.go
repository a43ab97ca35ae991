package ops

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"syncline/internal/health"
	"syncline/internal/state"
)

// HealthCheck is what a scheduled check came to.
type HealthCheck struct {
	At    time.Time    `json:"at"`
	Level health.Level `json:"level" enum:"healthy,warning,critical"`
	HealthSummary
}

// HealthSummary is a report in short, as it is kept.
type HealthSummary struct {
	Tasks health.Tasks `json:"tasks"`
	health.Rates
	Waiting health.Waits    `json:"waiting"`
	Lag     health.LagTotal `json:"lag"`
	// Reasons are the kinds of the recommendations that made the level, each once, with what they are about.
	Reasons []string `json:"reasons" nullable:"false" doc:"What made the level, in short: kinds of recommendations, and what they are about."`
}

// maxReasons bounds what is kept of one report.
const maxReasons = 50

// Summarize is the report in short.
func Summarize(r *health.Report) HealthSummary {
	s := HealthSummary{Tasks: r.Tasks, Rates: r.Rates, Waiting: r.Waiting, Lag: r.Lag, Reasons: []string{}}
	for _, one := range r.Recommendations {
		if one.Level == health.Healthy || len(s.Reasons) == maxReasons {
			continue
		}
		reason := one.Kind
		if about := cmp.Or(one.Source, one.Route, one.Rule, one.Schedule); about != "" {
			reason += " " + about
		}
		if !slices.Contains(s.Reasons, reason) {
			s.Reasons = append(s.Reasons, reason)
		}
	}
	return s
}

// HealthCheckOf is a check as it is shown.
func HealthCheckOf(c *state.HealthCheck) (HealthCheck, error) {
	shown := HealthCheck{At: c.At, Level: health.Level(c.Level)}
	err := json.Unmarshal(c.Summary, &shown.HealthSummary)
	shown.Reasons = some(shown.Reasons)
	return shown, err
}

func (a *api) registerHealth(h huma.API) {
	add(h, op(h, "health", "GET", "/v1/health", "How everything is: level, reasons and what to do"), a.health)
	add(h, op(h, "health-checks", "GET", "/v1/health/checks", "What the scheduled health checks came to, the newest first"), a.healthChecks)
	add(h, op(h, "lag", "GET", "/v1/lag", "How far behind the routes are"), a.lag)
}

func (a *api) health(ctx context.Context, _ *struct{}) (*reply[health.Report], error) {
	r, err := a.engine.Health(ctx)
	return answer(ctx, a, r, err)
}

func (a *api) healthChecks(ctx context.Context, in *page) (*reply[List[HealthCheck]], error) {
	list, next, err := a.engine.HealthChecks(ctx, in.After, in.Limit)
	return answer(ctx, a, List[HealthCheck]{Items: some(list), Next: next}, err)
}

func (a *api) lag(ctx context.Context, _ *struct{}) (*reply[health.LagReport], error) {
	r, err := a.engine.Lag(ctx)
	return answer(ctx, a, r, err)
}

// Health tells how everything is.
func (c *Client) Health(ctx context.Context) (health.Report, error) {
	return call[health.Report](ctx, c, "GET", "/v1/health", nil)
}

// HealthChecks returns what the latest scheduled checks came to, the newest first, up to most of them; 0 = all.
func (c *Client) HealthChecks(ctx context.Context, most int) ([]HealthCheck, error) {
	return all[HealthCheck](ctx, c, "/v1/health/checks", nil, most)
}

// Lag tells how far behind the routes are.
func (c *Client) Lag(ctx context.Context) (health.LagReport, error) {
	return call[health.LagReport](ctx, c, "GET", "/v1/lag", nil)
}
