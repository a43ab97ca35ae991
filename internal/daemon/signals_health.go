package daemon

import (
	"context"

	"syncline/internal/alert"
	"syncline/internal/health"
	"syncline/internal/ops"
)

// healthSignals are how everything is: as a whole, by route and by source; how far routes are behind; and what has failed, by rule.
func (d *Daemon) healthSignals(ctx context.Context) ([]alert.Signal, error) {
	r, err := d.healthNow(ctx)
	if err != nil {
		return nil, err
	}
	list := []alert.Signal{{Name: "health", Value: float64(r.Level.Number())}}
	of := func(name, label, value string, number float64) {
		list = append(list, alert.Signal{Name: name, Labels: map[string]string{label: value}, Value: number})
	}
	for i := range r.Sources {
		of("health", "system", r.Sources[i].Name, float64(r.Sources[i].Level.Number()))
	}
	for i := range r.Routes {
		rt := &r.Routes[i]
		of("health", "route", rt.ID, float64(rt.Level.Number()))
		of("lag_events", "route", rt.ID, float64(rt.LagEvents))
		of("lag_seconds", "route", rt.ID, rt.LagSeconds)
		of("paused", "route", rt.ID, up(rt.State == ops.RoutePaused))
		of("late_events", "route", rt.ID, float64(rt.Late))
		if rt.Canary != nil {
			of("canary_seconds", "route", rt.ID, *rt.Canary)
		}
		of("breaker_open", "route", rt.ID, up(rt.Breaker == health.BreakerOpen))
	}
	failed, err := d.failedTasks(ctx)
	if err != nil {
		return nil, err
	}
	for _, rule := range d.set().config.Rules {
		of("failed_tasks", "rule", rule.ID, float64(failed[rule.ID]))
	}
	return list, nil
}

// failedTasks counts the tasks that were given up, by rule.
func (d *Daemon) failedTasks(ctx context.Context) (map[string]int64, error) {
	list, err := d.waiting(ctx)
	if err != nil {
		return nil, err
	}
	failed := make(map[string]int64)
	for i := range list {
		if list[i].Status == "failed" {
			failed[list[i].Rule] += list[i].Tasks
		}
	}
	return failed, nil
}
