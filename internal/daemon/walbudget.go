package daemon

import (
	"context"
	"fmt"
	"time"

	"syncline"
	"syncline/internal/config"
	"syncline/internal/gap"
)

const (
	// walBudgetReason is that of a gap for which a slot was released.
	walBudgetReason = "wal_budget"
	// walRelief is the share of a bound that must be reached again for the level below it: what stands at the bound would change its mind at
	// each look.
	walRelief = 0.9
)

// walLevel is how much of its budget a source uses.
type walLevel uint8

const (
	walCalm walLevel = iota
	walWarned
	walSpilling
	walOver
)

// walWatch is what is remembered between two looks at one source. It decides, without I/O and clock.
type walWatch struct {
	level walLevel
	// least is the smallest lag since the level is over, sank when it was seen.
	least int64
	sank  time.Time
}

// look takes over what the server holds now, and tells whether the slot is to be released. What is missing already costs nobody anything.
func (w *walWatch) look(b *config.WALBudget, r *syncline.SourceRisk, now time.Time) (release bool) {
	was := w.level
	w.level = walCalm
	if r.State != syncline.SlotMissing && r.State != syncline.SlotNone {
		for level, bound := range map[walLevel]int64{walWarned: b.Warn, walSpilling: b.Spill, walOver: b.Limit} {
			if r.HeldBytes >= bound || was >= level && float64(r.HeldBytes) >= walRelief*float64(bound) {
				w.level = max(w.level, level)
			}
		}
	}
	if w.level < walOver {
		return false
	}
	if was < walOver || r.LagBytes < w.least-b.Limit/100 {
		w.least, w.sank = r.LagBytes, now
	}
	// What a transaction of the source's own holds, a new slot would wait for.
	ours := r.LagBytes >= b.Limit/2
	return b.OnLimit == config.OnLimitRelease && ours && r.State != syncline.SlotLost && now.Sub(w.sank) >= b.ReleaseAfter
}

// warning says what is done about it, "" while nothing is.
func (w *walWatch) warning(b *config.WALBudget, r *syncline.SourceRisk) string {
	held := fmt.Sprintf("the server holds %s of WAL for slot %s", megabytes(r.HeldBytes), r.Slot)
	if w.level > walCalm && r.LagBytes < r.HeldBytes/2 {
		// Without an open transaction, too, a server moves what it keeps only now and then, so that a burst is held for a while.
		held += ", most of which is in the log: it is kept until the server's next checkpoint, or for a transaction that has been open there for long " +
			"(pg_stat_activity, xact_start)"
	}
	switch w.level {
	case walWarned:
		return fmt.Sprintf("%s, more than %s (wal_budget.warn)", held, megabytes(b.Warn))
	case walSpilling:
		return fmt.Sprintf("%s, more than %s (wal_budget.spill): copies and syncs wait until it is in the log", held, megabytes(b.Spill))
	case walOver:
		if b.OnLimit == config.OnLimitRelease {
			return fmt.Sprintf("%s, more than %s (wal_budget.limit): the slot is released if that does not sink", held, megabytes(b.Limit))
		}
		return fmt.Sprintf("%s, more than %s (wal_budget.limit), and goes on holding it (on_limit: hold): see why its changes are not taken", held, megabytes(b.Limit))
	}
	return ""
}

func megabytes(n int64) string { return fmt.Sprintf("%.0f MB", float64(n)/1e6) }

// watchBudget looks at what was told of a source, and does what its budget says. A source that has none any more is as one within it.
func (d *Daemon) watchBudget(ctx context.Context, s *source, r *syncline.SourceRisk, now time.Time) {
	s.walMu.Lock()
	defer s.walMu.Unlock()
	was, release, text := s.wal.level, false, ""
	if b := s.system.Capture.WALBudget; b != nil {
		release = s.wal.look(b, r, now)
		text = s.wal.warning(b, r)
	} else {
		was, s.wal = walCalm, walWatch{}
	}
	s.walWarning.Store(&text)
	r.Over = s.wal.level == walOver
	s.capture.Spill(s.wal.level >= walSpilling)
	s.spilling.Store(s.wal.level >= walSpilling)
	switch {
	case s.wal.level > was:
		d.log.Warn("source's server holds much WAL", "source", s.system.Name, "slot", r.Slot, "held_bytes", r.HeldBytes, "lag_bytes", r.LagBytes, "doing", text)
	case s.wal.level < was:
		d.log.Info("source's server holds less WAL", "source", s.system.Name, "slot", r.Slot, "held_bytes", r.HeldBytes)
	}
	if !release {
		return
	}
	before, err := d.gapsBefore(ctx, s.system.Name, "", now)
	if err == nil {
		d.changing.RLock()
		err = d.declareGap(ctx, s, walBudgetReason, byPolicy, now.Add(gap.Delay(before)))
		d.changing.RUnlock()
	}
	if err != nil && ctx.Err() == nil {
		d.log.Error("slot is not released", "source", s.system.Name, "slot", r.Slot, "err", err)
	}
}
