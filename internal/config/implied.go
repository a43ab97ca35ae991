package config

import "time"

// healthSchedule is the id of the schedule that checks the health where no other one does.
const healthSchedule = "health"

// implied adds the schedules that nobody has to write down: a polled entity is asked for what is new, and for what is gone where that is
// declared, unless a schedule of its own does; and the health is checked.
func (l *loader) implied() {
	for _, sys := range l.cfg.Systems {
		if sys.Capture == nil || sys.Capture.Mode != ModePoll {
			continue
		}
		for _, e := range sys.Capture.Entities {
			if e.Poll == nil {
				continue
			}
			ref := Ref{sys.Name, e.Name}
			l.imply(ref, "poll", "incremental", Schedule{Every: e.Poll.Every})
			if every, err := parseDuration(e.Poll.Sweep); err == nil {
				l.imply(ref, "sweep", "sweep", Schedule{Every: every})
			} else if e.Poll.Sweep != "" {
				l.imply(ref, "sweep", "sweep", Schedule{Cron: e.Poll.Sweep})
			}
		}
	}
	for _, other := range l.schedules {
		if other.Do.Health {
			return
		}
	}
	h := &l.cfg.Health
	l.cfg.Schedules = append(l.cfg.Schedules, &Schedule{ID: healthSchedule, Cron: h.Cron, Every: h.Every, Timezone: "UTC", Misfire: "skip", Overlap: "skip",
		Do: Do{Health: true}, Enabled: true, Implicit: true})
}

// maxImpliedJitter bounds how far polls of many entities are spread.
const maxImpliedJitter = 30 * time.Second

func (l *loader) imply(ref Ref, kind, mode string, s Schedule) {
	for _, other := range l.schedules {
		if d := other.Do.Sync; d != nil && d.Entity == ref && d.Mode == mode {
			return
		}
	}
	s.ID, s.Timezone, s.Misfire, s.Overlap, s.Enabled, s.Implicit = kind+"/"+ref.String(), "UTC", "run_once", "skip", true, true
	s.Jitter = min(s.Every/10, maxImpliedJitter)
	s.Do = Do{Sync: &DoSync{Entity: ref, Mode: mode}}
	l.cfg.Schedules = append(l.cfg.Schedules, &s)
}
