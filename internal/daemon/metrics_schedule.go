package daemon

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// scheduleMetrics are where each schedule stands, at each scrape.
type scheduleMetrics struct {
	d *Daemon

	missed, failures, next, last *prometheus.Desc
}

func newScheduleMetrics(d *Daemon) *scheduleMetrics {
	return &scheduleMetrics{d: d,
		missed:   desc("schedule_missed", "Occurrences of the schedule since its last run that was done of which none came; 0 while it is paused or disabled.", "schedule"),
		failures: desc("schedule_failures", "Runs of the schedule that failed or were interrupted since the last one that was done; 0 while it is paused or disabled.", "schedule"),
		next:     desc("schedule_next_timestamp_seconds", "When the next run is due, in Unix time; missing while the schedule is paused or disabled.", "schedule"),
		last:     desc("schedule_last_timestamp_seconds", "When the newest run of the schedule's history began, in Unix time.", "schedule", "status"),
	}
}

// Describe implements prometheus.Collector.
func (m *scheduleMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.missed, m.failures, m.next, m.last} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *scheduleMetrics) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	list, err := m.d.schedules.List(ctx)
	if err != nil {
		m.d.log.Warn("metrics of schedules cannot be read", "err", err)
		return
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for i := range list {
		s := &list[i]
		missed, failed := trouble(s)
		gauge(m.missed, float64(missed), s.Plan.ID)
		gauge(m.failures, float64(failed), s.Plan.ID)
		if !s.Due.IsZero() {
			gauge(m.next, unix(s.Due), s.Plan.ID)
		}
		if s.Last != nil {
			gauge(m.last, unix(s.Last.Started), s.Plan.ID, s.Last.Status)
		}
	}
}

func unix(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
