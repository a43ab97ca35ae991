package daemon

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"syncline/internal/health"
)

// healthMetrics are how everything is, at each scrape: the rates are those of the last check, all else is of the moment.
type healthMetrics struct {
	d *Daemon

	level, routeLevel, sourceLevel, ratio, checked  *prometheus.Desc
	failed, late, keys, still, breaker, canary      *prometheus.Desc
	quiet, slotHeld, slotSafe, slotLag, risk, quota *prometheus.Desc
	diskFree                                        *prometheus.Desc
	// told are those of verifications, by the signal's name.
	told map[string]*prometheus.Desc
}

func newHealthMetrics(d *Daemon) *healthMetrics {
	return &healthMetrics{d: d,
		level:       desc("health_level", "How everything is: 0 healthy, 1 warning, 2 critical."),
		routeLevel:  desc("route_health_level", "How the route is: 0 healthy, 1 warning, 2 critical.", "route"),
		sourceLevel: desc("source_health_level", "How the source is: 0 healthy, 1 warning, 2 critical.", "source"),
		ratio:       desc("tasks_ratio", "Share of the tasks that were over in the window of the last health check; missing where there were none.", "status"),
		checked:     desc("health_check_timestamp_seconds", "When the health was checked last, in Unix time."),
		failed:      desc("failed_tasks", "Tasks that were given up and wait for a person.", "rule"),
		late:        desc("late_events", "Events that the route has not applied and that are older than health.late.after.", "route"),
		keys:        desc("parked_keys", "Records whose tasks wait.", "route"),
		still:       desc("route_still_seconds", "For how long the route has had something to do and has not got on.", "route"),
		breaker:     desc("breaker_open", "1 while the target is left alone for a while because it does not answer, or the route has stopped.", "route"),
		canary:      desc("canary_seconds", "How long the last mark took from the source to the target, or the one under way so far; missing without health.canary.", "route"),
		quiet:       desc("source_quiet_seconds", "How long ago the source was last heard of; missing where it does not speak by itself.", "source"),
		slotHeld:    desc("slot_held_bytes", "What the source's system keeps for it and could otherwise remove.", "source"),
		slotSafe:    desc("slot_safe_bytes", "How much more may be written before the system removes what the source needs; missing where nothing bounds it.", "source"),
		slotLag:     desc("slot_lag_bytes", "How much was written behind what the source has confirmed.", "source"),
		risk:        desc("slot_at_risk", "1 where something that the source needs was lost, or is about to be.", "source"),
		quota:       desc("log_limit_bytes", "How large each source's log may be: its share of log.max_bytes, or of half the disk where that is less."),
		told: map[string]*prometheus.Desc{
			"verify_differences": desc("verify_differences", "Records that differ by the rule's last whole verification.", "rule"),
			"verify_age_seconds": desc("verify_age_seconds", "How long ago the rule's last whole verification ended.", "rule"),
		},
		diskFree: desc("log_disk_free_ratio", "Share of the logs' disk that is free; missing where that cannot be measured."),
	}
}

// Describe implements prometheus.Collector.
func (m *healthMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.level, m.routeLevel, m.sourceLevel, m.ratio, m.checked, m.failed, m.late, m.keys, m.still, m.breaker, m.canary, m.quiet, m.slotHeld,
		m.slotSafe, m.slotLag, m.risk, m.quota, m.diskFree} {
		ch <- d
	}
	for _, d := range m.told {
		ch <- d
	}
}

// Collect implements prometheus.Collector. What cannot be read is missing: a number from before would be taken for one of now.
func (m *healthMetrics) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	r, err := m.d.healthNow(ctx)
	if err != nil {
		m.d.log.Warn("metrics of the health cannot be read", "err", err)
		return
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(m.level, float64(r.Level.Number()))
	if at := m.d.lastCheck(); !at.IsZero() {
		gauge(m.checked, float64(at.UnixMilli())/1000)
	}
	for status, share := range map[string]*float64{"completed": r.Success, "failed": r.Failure, "conflict": r.Conflict} {
		if share != nil {
			gauge(m.ratio, *share, status)
		}
	}
	if r.DiskFree != nil {
		gauge(m.diskFree, *r.DiskFree)
	}
	if limit, err := m.d.limit(ctx); err == nil {
		gauge(m.quota, float64(limit))
	}
	if list, err := m.d.verifySignals(ctx); err == nil {
		for _, s := range list {
			gauge(m.told[s.Name], s.Value, s.Labels["rule"])
		}
	}
	m.routes(gauge, &r)
	m.sources(gauge, &r)
	if failed, err := m.d.failedTasks(ctx); err == nil {
		for _, rule := range m.d.set().config.Rules {
			gauge(m.failed, float64(failed[rule.ID]), rule.ID)
		}
	}
}

func (m *healthMetrics) routes(gauge func(*prometheus.Desc, float64, ...string), r *health.Report) {
	for i := range r.Routes {
		rt := &r.Routes[i]
		gauge(m.routeLevel, float64(rt.Level.Number()), rt.ID)
		gauge(m.late, float64(rt.Late), rt.ID)
		gauge(m.keys, float64(rt.Waiting.Keys), rt.ID)
		gauge(m.still, rt.Still, rt.ID)
		if rt.Canary != nil {
			gauge(m.canary, *rt.Canary, rt.ID)
		}
		gauge(m.breaker, up(rt.Breaker == health.BreakerOpen), rt.ID)
	}
}

func (m *healthMetrics) sources(gauge func(*prometheus.Desc, float64, ...string), r *health.Report) {
	for i := range r.Sources {
		s := &r.Sources[i]
		gauge(m.sourceLevel, float64(s.Level.Number()), s.Name)
		if s.Quiet != nil {
			gauge(m.quiet, *s.Quiet, s.Name)
		}
		if s.Risk == nil || s.Risk.Slot == "" {
			continue
		}
		gauge(m.slotHeld, float64(s.Risk.HeldBytes), s.Name)
		gauge(m.slotLag, float64(s.Risk.LagBytes), s.Name)
		gauge(m.risk, up(s.Risk.AtRisk), s.Name)
		if s.Risk.SafeBytes != nil {
			gauge(m.slotSafe, float64(*s.Risk.SafeBytes), s.Name)
		}
	}
}
