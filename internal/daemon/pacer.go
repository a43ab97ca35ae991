package daemon

import (
	"context"
	"time"
)

// pacer bounds how fast records are compared.
type pacer struct {
	rate  int // records a second; 0 = no bound
	since time.Time
	done  int
}

// rest waits as long as that many more records take at the rate.
func (p *pacer) rest(ctx context.Context, records int) error {
	if p.rate <= 0 {
		return ctx.Err()
	}
	now := time.Now()
	if p.since.IsZero() || now.Sub(p.since) > time.Minute {
		p.since, p.done = now, 0
	}
	p.done += records
	due := p.since.Add(time.Duration(float64(p.done) / float64(p.rate) * float64(time.Second)))
	if !due.After(now) {
		return ctx.Err()
	}
	timer := time.NewTimer(due.Sub(now))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
