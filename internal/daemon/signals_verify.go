package daemon

import (
	"context"
	"time"

	"syncline/internal/alert"
)

// verifySignals tell, rule by rule, what the last verification found, and how long ago it was.
func (d *Daemon) verifySignals(ctx context.Context) ([]alert.Signal, error) {
	known, err := d.state.Verified(ctx)
	if err != nil {
		return nil, err
	}
	c, now := d.set().config, time.Now()
	differ, age := make(map[string]int64), make(map[string]time.Duration)
	for _, v := range known {
		rule := wholeRule(v.Rule)
		if r := c.Rule(rule); r == nil || !r.Enabled {
			continue
		}
		differ[rule] += v.Differences
		age[rule] = max(age[rule], now.Sub(v.At))
	}
	var list []alert.Signal
	for _, r := range c.Rules {
		if _, ok := differ[r.ID]; !ok {
			continue
		}
		labels := map[string]string{"rule": r.ID}
		list = append(list, alert.Signal{Name: "verify_differences", Labels: labels, Value: float64(differ[r.ID])},
			alert.Signal{Name: "verify_age_seconds", Labels: labels, Value: age[r.ID].Seconds()})
	}
	return list, nil
}
