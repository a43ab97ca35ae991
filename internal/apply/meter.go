package apply

import "time"

// meter is a rate over the last seconds.
type meter struct {
	at    time.Time
	value float64
	count int64
}

// meterWindow is how long a count weighs.
const meterWindow = 5 * time.Second

func (m *meter) add(now time.Time, n int64) {
	if m.at.IsZero() {
		m.at = now
	}
	m.count += n
	if d := now.Sub(m.at); d >= time.Second {
		m.value = m.perSecond(now)
		m.at, m.count = now, 0
	}
}

func (m *meter) perSecond(now time.Time) float64 {
	d := now.Sub(m.at).Seconds()
	if m.at.IsZero() || d <= 0 {
		return m.value
	}
	w := min(d/meterWindow.Seconds(), 1)
	return m.value*(1-w) + float64(m.count)/d*w
}
