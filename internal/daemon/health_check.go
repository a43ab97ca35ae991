package daemon

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"syncline/internal/health"
	"syncline/internal/ops"
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

// CheckHealth makes a report and keeps it in short, for metrics, alerts and the history. Schedules call it.
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

// checkHealth checks the health again and again, as the configuration says, and soon after the start. A check that fails is told, and done
// at the next time.
func (d *Daemon) checkHealth(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	level, last := health.Healthy, time.Time{}
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if now.Sub(last) < d.set().config.Health.Every {
				continue
			}
			last = now
		}
		r, err := d.CheckHealth(ctx)
		if err != nil {
			if ctx.Err() == nil {
				d.log.Warn("health cannot be checked", "err", err)
			}
			continue
		}
		if r.Level != level {
			d.log.Info("health has changed", "level", r.Level, "was", level, "reasons", ops.Summarize(&r).Reasons)
			level = r.Level
		}
	}
}
