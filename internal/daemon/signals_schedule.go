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
		missed, failed := trouble(&known[i])
		list = append(list, alert.Signal{Name: "schedule_missed", Labels: labels, Value: float64(missed)},
			alert.Signal{Name: "schedule_failed", Labels: labels, Value: float64(failed)})
	}
	return list, nil
}

// trouble counts, since the schedule's last run that was done, the occurrences of which none came, with one that is overdue, and the runs that
// failed. A schedule that is disabled or paused has none: it does what an operator wants.
func trouble(s *schedule.Status) (missed, failed int64) {
	switch {
	case !s.Plan.Enabled || s.Standing.Paused:
		return 0, 0
	case s.Overdue:
		return s.Standing.Missed + 1, s.Standing.Failures
	}
	return s.Standing.Missed, s.Standing.Failures
}
