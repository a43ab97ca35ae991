package daemon

import (
	"context"
	"sync"
	"time"

	"syncline"
	"syncline/internal/config"
	"syncline/internal/ops"
)

const (
	// riskEvery is how often sources are asked what their system keeps for them.
	riskEvery = 10 * time.Second
	// riskTimeout bounds one question.
	riskTimeout = 5 * time.Second
)

// asked is what a source's system has told of what it keeps.
type asked struct {
	risk syncline.SourceRisk
	// at is when, or zero; err is why it did not answer the last time, and until when it is to be left alone for that.
	at    time.Time
	err   error
	until time.Time
}

// risks returns what the systems of the sources keep for them, as far as it is known: by name, as they have told last. It asks nobody.
func (d *Daemon) risks(context.Context) map[string]syncline.SourceRisk {
	known := make(map[string]syncline.SourceRisk)
	for _, s := range d.set().sources {
		if a := s.asked.Load(); a != nil && !a.at.IsZero() {
			known[s.system.Name] = a.risk
		}
	}
	return known
}

// watchRisks asks every source, again and again.
func (d *Daemon) watchRisks(ctx context.Context) {
	timer := time.NewTimer(riskEvery)
	defer timer.Stop()
	for {
		d.askRisks(ctx)
		timer.Reset(d.untilRisks())
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
	}
}

// untilRisks is when sources are asked again: sooner where a slot may be due to be released by then.
func (d *Daemon) untilRisks() time.Duration {
	wait := riskEvery
	for _, s := range d.set().sources {
		b := s.system.Capture.WALBudget
		if b == nil || b.OnLimit != config.OnLimitRelease {
			continue
		}
		s.walMu.Lock()
		if s.wal.level == walOver {
			wait = min(wait, b.ReleaseAfter)
		}
		s.walMu.Unlock()
	}
	return wait
}

// askRisks asks all sources at once: one that does not answer holds up none of the others.
func (d *Daemon) askRisks(ctx context.Context) {
	var waiting sync.WaitGroup
	for _, s := range d.set().sources {
		waiting.Go(func() { d.askRisk(ctx, s) })
	}
	waiting.Wait()
}

// askRisk asks one source's system by a Source that is not opened, so that the one at work is left alone. That it does not answer is no
// news: its capture says so.
func (d *Daemon) askRisk(ctx context.Context, s *source) {
	was := s.asked.Load()
	if was != nil && time.Now().Before(was.until) {
		return
	}
	open, err := connectors[s.system.Type].source(d, s)
	if err != nil {
		return
	}
	one, err := open()
	if err != nil {
		return
	}
	risky, ok := one.(syncline.Risky)
	if !ok {
		s.asked.Store(nil) // what was told of another source, in whose place this one came
		return
	}
	ctx, cancel := context.WithTimeout(ctx, riskTimeout)
	defer cancel()
	next := &asked{}
	if was != nil {
		*next = *was
	}
	var r syncline.SourceRisk
	if r, next.err = risky.Risk(ctx); next.err == nil {
		if bounds, err := s.log.Bounds(ctx); r.State == syncline.SlotMissing && err == nil && bounds.Last <= 1 {
			r.State = syncline.SlotNone // it is yet to be made
		}
		d.watchBudget(ctx, s, &r, time.Now())
		next.risk, next.at = r, time.Now()
	}
	next.until = time.Now().Add(syncline.RetryAfter(next.err))
	s.asked.Store(next)
}

// riskStatus shows what the source's system keeps; nil where nothing is known of it.
func riskStatus(s *source) *ops.SourceRisk {
	a := s.asked.Load()
	if a == nil || a.at.IsZero() {
		return nil
	}
	r := a.risk
	return &ops.SourceRisk{At: a.at, System: r.System, Slot: r.Slot, SlotState: string(r.State), Reason: r.Reason, Active: r.Active, HeldBytes: r.HeldBytes,
		SafeBytes: r.SafeBytes, LagBytes: r.LagBytes, LagSeconds: r.Lag.Seconds(), HeldChanges: r.HeldChanges, AtRisk: r.AtRisk()}
}
