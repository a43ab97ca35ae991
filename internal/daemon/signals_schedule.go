package daemon

import (
	"context"

	"syncline/internal/alert"
)

// scheduleSignals tell, schedule by schedule, what did not come and what went wrong since the last run that was done.
func (d *Daemon) scheduleSignals(ctx context.Context) ([]alert.Signal, error) {
	known, err := d.schedules.List(ctx)
	if err != nil {
		return nil, err
	}
	var list []alert.Signal
	for i := range known {
		labels := map[string]string{"schedule": known[i].Plan.ID}
		missed := known[i].Standing.Missed
		if known[i].Overdue {
			missed++
		}
		list = append(list, alert.Signal{Name: "schedule_missed", Labels: labels, Value: float64(missed)},
			alert.Signal{Name: "schedule_failed", Labels: labels, Value: float64(known[i].Standing.Failures)})
	}
	return list, nil
}
