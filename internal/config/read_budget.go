package config

import "time"

// OnLimit is what happens to a slot at WALBudget.Limit.
type OnLimit string

const (
	// OnLimitHold keeps the slot, whatever it costs the server.
	OnLimitHold OnLimit = "hold"
	// OnLimitRelease drops the slot, and has everything read again once it is made anew.
	OnLimitRelease OnLimit = "release"
)

// WALBudget is how much WAL a PostgreSQL server may hold for a source, and what is done about it.
type WALBudget struct {
	// Warn is where it is said, Spill where everything else waits until the WAL is in the log, Limit where OnLimit decides.
	Warn    int64   `json:"warn"`
	Spill   int64   `json:"spill"`
	Limit   int64   `json:"limit"`
	OnLimit OnLimit `json:"on_limit"`
	// ReleaseAfter is for how long the server must hold more than Limit, without any of it being taken away, before a slot is released. A source
	// that catches up is let be: to read everything again would take longer.
	ReleaseAfter time.Duration `json:"release_after"`
}

// defaultHeartbeat is how often an idle source writes a heartbeat at most.
const defaultHeartbeat = 10 * time.Second

func defaultBudget() *WALBudget {
	return &WALBudget{Warn: 5e9, Spill: 10e9, Limit: 20e9, OnLimit: OnLimitHold, ReleaseAfter: 30 * time.Second}
}

// leastBudget is what a server holds for a source that keeps up.
const leastBudget = 1 << 20

// walBudget reads the budget. One bound that is given moves those that are not, so that they stay in order.
func (l *loader) walBudget(v value, dst *WALBudget) {
	seen := l.object(v, "wal_budget", fields{
		"warn":          func(v value) { l.size(v, &dst.Warn, leastBudget) },
		"spill":         func(v value) { l.size(v, &dst.Spill, leastBudget) },
		"limit":         func(v value) { l.size(v, &dst.Limit, leastBudget) },
		"on_limit":      func(v value) { choose(&l.decoder, v, &dst.OnLimit, nil, OnLimitHold, OnLimitRelease) },
		"release_after": func(v value) { l.duration(v, &dst.ReleaseAfter, time.Second) },
	}, nil)
	given := func(key string) bool { _, ok := seen[key]; return ok }
	if !given("spill") {
		switch {
		case given("limit") && dst.Limit < dst.Spill:
			dst.Spill = max(dst.Limit/2, leastBudget)
		case given("warn") && dst.Warn > dst.Spill:
			dst.Spill = dst.Warn
		}
	}
	if !given("warn") && dst.Warn > dst.Spill {
		dst.Warn = max(dst.Spill/2, leastBudget)
	}
	if !given("limit") && dst.Limit < dst.Spill {
		dst.Limit = dst.Spill * 2
	}
	if dst.Warn > dst.Spill || dst.Spill > dst.Limit {
		l.report(v, BadValue, "for example {warn: 5GB, spill: 10GB, limit: 20GB}", "%s must have warn, spill and limit in growing order, not %s, %s and %s", v.path,
			formatSize(dst.Warn), formatSize(dst.Spill), formatSize(dst.Limit))
	}
}

// mayRelease refuses to have a slot dropped that may not be made again.
func (l *loader) mayRelease(c *Capture, at value) {
	if c.WALBudget.OnLimit == OnLimitRelease && !c.Manage {
		l.report(at, BadValue, "manage: true, or on_limit: hold", "%s: release drops the slot and makes it again, which needs manage: true", at.field("on_limit"))
	}
}
