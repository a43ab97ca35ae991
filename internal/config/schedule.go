package config

import (
	"time"

	"syncline/internal/timetable"
)

// Schedule is timed work.
type Schedule struct {
	ID string `json:"id"`
	// Cron or Every says when.
	Cron     string        `json:"cron,omitempty"`
	Every    time.Duration `json:"every,omitempty"`
	Timezone string        `json:"timezone"`
	Jitter   time.Duration `json:"jitter"`
	Misfire  string        `json:"misfire"` // run_once or skip
	Overlap  string        `json:"overlap"` // skip or queue
	Do       Do            `json:"do"`
	Enabled  bool          `json:"enabled"`
	// Implicit: it was not written down.
	Implicit bool `json:"implicit,omitempty"`
}

// Do is what a schedule does: one of these.
type Do struct {
	Sync   *DoSync   `json:"sync,omitempty"`
	Verify *DoVerify `json:"verify,omitempty"`
	Health bool      `json:"health,omitempty"`
}

// DoSync reads an entity.
type DoSync struct {
	Entity Ref `json:"entity"`
	// Mode is full, incremental or sweep.
	Mode string `json:"mode"`
	// To are the target systems; none = all.
	To []string `json:"to,omitempty"`
}

// DoVerify compares what rules make of their sources with what their targets hold.
type DoVerify struct {
	// Rules are those that are verified; none = all.
	Rules []string `json:"rules,omitempty"`
	// Repair is off, plan or auto.
	Repair string `json:"repair"`
}

// Timing is when it is due.
func (s *Schedule) Timing() timetable.Spec {
	return timetable.Spec{Cron: s.Cron, Every: s.Every, Zone: s.Timezone, Jitter: s.Jitter}
}

// Schedule returns the schedule of this id, or nil.
func (c *Config) Schedule(id string) *Schedule {
	for _, s := range c.Schedules {
		if s.ID == id {
			return s
		}
	}
	return nil
}
