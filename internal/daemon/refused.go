package daemon

import (
	"context"
	"maps"
	"slices"
	"time"

	"syncline"
)

// refused takes note of a run that its source will not do, of which the routes that have asked for it do not know yet.
func (d *Daemon) refused(run syncline.Run, _ error) {
	d.mu.Lock()
	for _, id := range run.Routes {
		d.unheard[id] = true
	}
	d.mu.Unlock()
	select {
	case d.refusals <- struct{}{}:
	default:
	}
}

// tellRefused has routes ask again for what their sources have refused: the answer fails the tasks that wait for it. One that hangs at
// its target is told later.
func (d *Daemon) tellRefused(ctx context.Context) {
	again := time.NewTicker(houseEvery)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.refusals:
		case <-again.C:
		}
		for _, id := range d.takeUnheard() {
			if err := d.recheck(ctx, id); err != nil && ctx.Err() == nil {
				d.log.Warn("route has not taken note of a refused run yet", "route", id, "err", err)
				d.mu.Lock()
				d.unheard[id] = true
				d.mu.Unlock()
			}
		}
	}
}

func (d *Daemon) takeUnheard() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	ids := slices.Sorted(maps.Keys(d.unheard))
	clear(d.unheard)
	return ids
}

// recheck has the route begin anew with what it waits for. One that has no session does so in any case when it begins the next.
func (d *Daemon) recheck(ctx context.Context, id string) error {
	r := d.route(id)
	if r == nil || r.apply.Status().Waits(time.Now()) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	return r.apply.Recheck(ctx)
}
