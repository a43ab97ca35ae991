package daemon

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"syncline/internal/apply"
	"syncline/internal/capture"
	"syncline/internal/state"
)

// metrics reads the engine's own account at each scrape, so that the two never differ. Labels are names from the configuration.
type metrics struct {
	e engine

	captured, underived, logBytes, sourceUp       *prometheus.Desc
	tasks, lagEvents, lagSeconds, routeUp, parked *prometheus.Desc
	latency, conflicts, skewed                    *prometheus.Desc
}

// desc describes a metric. Names and labels are promised: docs/operations.md lists them, and a test compares.
func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("syncline_"+name, help, labels, nil)
}

func (d *Daemon) registerMetrics() {
	d.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), newHealthMetrics(d), newAlertMetrics(d), newScheduleMetrics(d), &metrics{e: engine{d},
		captured:   desc("captured_events_total", "Events appended to the log since the process began.", "source"),
		underived:  desc("underived_events_total", "Events of which type_when or priority could not be evaluated, since the process began.", "source", "entity", "reason"),
		logBytes:   desc("log_bytes", "Size of the source's log.", "source"),
		sourceUp:   desc("source_up", "1 while the source is captured.", "source", "state"),
		tasks:      desc("tasks_total", "Tasks by what became of them.", "route", "outcome"),
		parked:     desc("parked_tasks", "Tasks that wait.", "route"),
		lagEvents:  desc("lag_events", "Events of the log that the route has not applied.", "route"),
		lagSeconds: desc("lag_seconds", "Age of the oldest event that the route has not applied.", "route"),
		routeUp:    desc("route_up", "1 while the route works.", "route", "state"),
		conflicts:  desc("open_conflicts", "Conflicts that wait for a person.", "rule"),
		skewed:     desc("skewed_conflicts_total", "Conflicts decided by a time that was still to come, since the process began.", "route"),
		latency:    desc("latency_seconds", "From the source's commit to the target's; a quantile and the sum are at most an eighth too large.", "route"),
	})
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.captured, m.underived, m.logBytes, m.sourceUp, m.tasks, m.parked, m.lagEvents, m.lagSeconds, m.routeUp, m.latency, m.conflicts, m.skewed} {
		ch <- d
	}
}

// scrapeTimeout bounds what a scrape reads from the log and the state store.
const scrapeTimeout = 5 * time.Second

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, s := range m.e.set().sources {
		st := s.capture.Status()
		ch <- prometheus.MustNewConstMetric(m.captured, prometheus.CounterValue, float64(st.Events), s.system.Name)
		for _, u := range st.Underived {
			ch <- prometheus.MustNewConstMetric(m.underived, prometheus.CounterValue, float64(u.Failed), s.system.Name, u.Entity, "failed")
			ch <- prometheus.MustNewConstMetric(m.underived, prometheus.CounterValue, float64(u.Unsent), s.system.Name, u.Entity, "unsent")
		}
		gauge(m.sourceUp, up(st.State == capture.StateRunning), s.system.Name, string(st.State))
		if b, err := s.log.Bounds(ctx); err == nil {
			gauge(m.logBytes, float64(b.Bytes), s.system.Name)
		}
	}
	if open, err := m.e.state.OpenConflicts(ctx); err == nil {
		byRule := make(map[string]int64, len(open))
		for part, n := range open { // RULE, or RULE/ENTITY
			byRule[wholeRule(part)] += n
		}
		for _, r := range m.e.set().config.Rules {
			gauge(m.conflicts, float64(byRule[r.ID]), r.ID)
		}
	}
	for _, r := range m.e.set().routes {
		st, err := m.e.routeStatus(ctx, r)
		if err != nil {
			continue
		}
		for outcome, n := range map[string]int64{"applied": st.Counts.Applied, "filtered": st.Counts.Filtered, "superseded": st.Counts.Superseded,
			"skipped": st.Counts.Skipped} {
			ch <- prometheus.MustNewConstMetric(m.tasks, prometheus.CounterValue, float64(n), r.id, outcome)
		}
		if r.decides || r.pair != nil {
			ch <- prometheus.MustNewConstMetric(m.skewed, prometheus.CounterValue, float64(r.apply.Status().Skewed.Decisions), r.id)
		}
		gauge(m.parked, float64(st.Counts.Parked), r.id)
		gauge(m.lagEvents, float64(st.LagEvents), r.id)
		gauge(m.lagSeconds, st.LagSeconds, r.id)
		gauge(m.routeUp, up(st.State == string(apply.RouteRunning)), r.id, st.State)
		if _, latency, err := m.e.state.Totals(ctx, state.Slice{Route: r.id}); err == nil {
			ch <- prometheus.MustNewConstSummary(m.latency, uint64(latency.Count()), latency.Sum().Seconds(),
				map[float64]float64{0.5: latency.Quantile(0.5).Seconds(), 0.99: latency.Quantile(0.99).Seconds()}, r.id)
		}
	}
}

func up(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
