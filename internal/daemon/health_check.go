package daemon

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"syncline/internal/health"
	"syncline/internal/ops"
	"syncline/internal/schedule"
	"syncline/internal/state"
)

// Checks are kept for this long, and no more than this many.
const (
	keepHealth = 30 * 24 * time.Hour
	maxHealth  = 10_000
)

// checked is what the last scheduled check has counted. Metrics and alerts go by it: to count is dear, how everything is now is cheap.
type checked struct {
	mu     sync.Mutex
	at     time.Time
	counts health.Input
}

// CheckHealth makes a report and keeps it in short, for metrics, alerts and the history.
func (d *Daemon) CheckHealth(ctx context.Context) (health.Report, error) {
	now := time.Now()
	c := &d.set().config.Health
	in := health.Input{From: now.Add(-c.Window), To: now}
	if err := d.count(ctx, &in); err != nil {
		return health.Report{}, err
	}
	d.checked.mu.Lock()
	d.checked.at, d.checked.counts = now, in
	d.checked.mu.Unlock()
	note(d.alerting.look)
	if err := d.present(ctx, &in); err != nil {
		return health.Report{}, err
	}
	r := health.Assess(&in, &c.Thresholds)
	summary, err := json.Marshal(ops.Summarize(&r))
	if err != nil {
		return r, err
	}
	return r, d.state.AddHealth(ctx, state.HealthCheck{At: now, Level: string(r.Level), Summary: summary}, now.Add(-keepHealth), maxHealth)
}

// lastCheck is when the health was checked last; zero = not yet.
func (d *Daemon) lastCheck() time.Time {
	d.checked.mu.Lock()
	defer d.checked.mu.Unlock()
	return d.checked.at
}

// healthNow is how everything is, with the rates of the last check.
func (d *Daemon) healthNow(ctx context.Context) (health.Report, error) {
	now := time.Now()
	d.checked.mu.Lock()
	in := d.checked.counts
	d.checked.mu.Unlock()
	in.To = now
	if in.From.IsZero() {
		in.From = now
	}
	if err := d.present(ctx, &in); err != nil {
		return health.Report{}, err
	}
	return health.Assess(&in, &d.set().config.Health.Thresholds), nil
}

// HealthChecks returns what scheduled checks came to.
func (e engine) HealthChecks(ctx context.Context, after string, limit int) ([]ops.HealthCheck, string, error) {
	kept, next, err := e.state.Health(ctx, after, limit)
	if err != nil {
		return nil, "", err
	}
	list := make([]ops.HealthCheck, len(kept))
	for i := range kept {
		if list[i], err = ops.HealthCheckOf(&kept[i]); err != nil {
			return nil, "", err
		}
	}
	return list, next, nil
}

// scheduledHealth checks the health, and tells the log of a level that was not there at the check before.
func (d *Daemon) scheduledHealth(ctx context.Context, _ schedule.Work) (schedule.Outcome, error) {
	before, _, err := d.state.Health(ctx, "", 1)
	if err != nil {
		return schedule.Outcome{}, err
	}
	r, err := d.CheckHealth(ctx)
	if err != nil {
		return schedule.Outcome{}, err
	}
	short := ops.Summarize(&r)
	if was := health.Healthy; len(before) > 0 && before[0].Level != string(r.Level) || len(before) == 0 && r.Level != was {
		if len(before) > 0 {
			was = health.Level(before[0].Level)
		}
		d.log.Info("health has changed", "level", r.Level, "was", was, "reasons", short.Reasons)
	}
	return schedule.Outcome{Counts: map[string]int64{"completed": r.Tasks.Completed, "failed": r.Tasks.Failed, "conflict": r.Tasks.Conflict, "late": r.Lag.Late},
		Note: strings.Join(append([]string{string(r.Level)}, short.Reasons...), ", ")}, nil
}

// countAtStart has metrics and alerts know the rates before the first check is due.
func (d *Daemon) countAtStart(ctx context.Context) {
	now := time.Now()
	in := health.Input{From: now.Add(-d.set().config.Health.Window), To: now}
	if err := d.count(ctx, &in); err != nil {
		return // the first check says what is wrong
	}
	d.checked.mu.Lock()
	defer d.checked.mu.Unlock()
	if d.checked.at.IsZero() {
		d.checked.at, d.checked.counts = now, in
	}
}
