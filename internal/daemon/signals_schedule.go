package daemon

import (
	"context"

	"syncline/internal/alert"
	"syncline/internal/schedule"
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
		list = append(list, alert.Signal{Name: "schedule_missed", Labels: labels, Value: float64(missed(&known[i]))},
			alert.Signal{Name: "schedule_failed", Labels: labels, Value: float64(known[i].Standing.Failures)})
	}
	return list, nil
}

// missed counts the occurrences since the last run that was done of which none came, with one that is overdue.
func missed(s *schedule.Status) int64 {
	if s.Overdue {
		return s.Standing.Missed + 1
	}
	return s.Standing.Missed
}
