package daemon

import (
	"github.com/prometheus/client_golang/prometheus"
)

// alertMetrics are what fires, and how delivery goes. They are missing where there are neither alerts nor channels.
type alertMetrics struct {
	d                       *Daemon
	firing, waiting, failed *prometheus.Desc
}

func newAlertMetrics(d *Daemon) *alertMetrics {
	return &alertMetrics{d: d,
		firing:  desc("alerts_firing", "How many alerts of the rule fire.", "alert", "severity"),
		waiting: desc("alert_messages_waiting", "Messages that wait for the channel.", "channel"),
		failed:  desc("alert_channel_failing", "1 while the channel does not take what it is sent.", "channel"),
	}
}

// Describe implements prometheus.Collector.
func (m *alertMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.firing, m.waiting, m.failed} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *alertMetrics) Collect(ch chan<- prometheus.Metric) {
	c := m.d.set().config
	m.d.alerting.mu.Lock()
	defer m.d.alerting.mu.Unlock()
	firing := make(map[string]int)
	for _, i := range m.d.alerting.instances {
		if i.Firing() {
			firing[i.Rule]++
		}
	}
	for _, s := range c.Alerts {
		if s.Enabled {
			ch <- prometheus.MustNewConstMetric(m.firing, prometheus.GaugeValue, float64(firing[s.Name]), s.Name, string(s.Severity))
		}
	}
	for _, one := range c.Channels {
		st := m.d.alerting.channels[one.Name]
		if st == nil {
			st = new(channelState)
		}
		ch <- prometheus.MustNewConstMetric(m.waiting, prometheus.GaugeValue, float64(st.waiting), one.Name)
		ch <- prometheus.MustNewConstMetric(m.failed, prometheus.GaugeValue, up(st.err != nil), one.Name)
	}
}
