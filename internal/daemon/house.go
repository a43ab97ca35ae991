package daemon

import (
	"context"
	"time"

	"syncline"
	"syncline/internal/config"
	"syncline/internal/state"
)

const (
	// houseEvery is how often the logs are looked at.
	houseEvery = 10 * time.Second
	// purgeStep is the least number of bytes worth a purge.
	purgeStep = 64 << 20
	// fullAt is the share of its quota at which a log counts as full.
	fullAt = 0.95
)

// keepHouse purges what every route has applied and nobody must keep any more, and lets go of the route that is farthest behind
// when a log is full and the configuration says so.
func (d *Daemon) keepHouse(ctx context.Context) {
	tick := time.NewTicker(houseEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, s := range d.sources {
			if err := d.keep(ctx, s); err != nil && ctx.Err() == nil {
				d.log.Warn("log cannot be purged", "source", s.system.Name, "err", err)
			}
		}
	}
}

// keep looks after one source's log.
func (d *Daemon) keep(ctx context.Context, s *source) error {
	bounds, err := s.log.Bounds(ctx)
	if err != nil || bounds.Last == 0 {
		return err
	}
	quota := d.quota()
	full := quota > 0 && float64(bounds.Bytes) > fullAt*float64(quota)
	slowest, cursor, err := d.slowest(ctx, s, bounds)
	if err != nil {
		return err
	}
	if full && slowest != nil && cursor <= bounds.Last/2+bounds.First/2 && d.o.Config.Log.OnFull == config.OnFullRelease {
		if err := d.release(ctx, slowest, cursor, bounds.Last); err != nil {
			return err
		}
		if _, cursor, err = d.slowest(ctx, s, bounds); err != nil {
			return err
		}
	}
	below := cursor
	if !full {
		old, err := d.firstYounger(ctx, s, bounds, time.Now().Add(-d.o.Config.Log.Retain))
		if err != nil {
			return err
		}
		below = min(below, old)
	}
	share := float64(below-min(below, bounds.First)) / float64(bounds.Last-bounds.First+1)
	if below <= bounds.First || share*float64(bounds.Bytes) < purgeStep && !full {
		return nil
	}
	if err := s.log.Purge(ctx, below); err != nil {
		return err
	}
	s.tally.forget(below)
	if err := d.state.Trim(ctx, s.system.Name, below); err != nil {
		return err
	}
	if err := d.state.TrimIDs(ctx, s.system.Name, below); err != nil {
		return err
	}
	d.log.Info("log purged", "source", s.system.Name, "below", below)
	return nil
}

// slowest returns the source's route whose stored cursor is lowest and that still has a hold on the log; nil and the log's end if
// there is none.
func (d *Daemon) slowest(ctx context.Context, s *source, bounds syncline.Bounds) (*route, syncline.Seq, error) {
	var slow *route
	cursor := bounds.Last + 1
	for _, r := range d.routes {
		if r.source != s {
			continue
		}
		known, err := d.state.Route(ctx, state.Slice{Route: r.id})
		if err != nil {
			return nil, 0, err
		}
		if !known.Known || known.GapTo > 0 {
			continue
		}
		at := known.Cursor.Seq
		if st := r.apply.Status(); st.Cursor.Seq > 0 && st.Cursor.Seq < at {
			at = st.Cursor.Seq // the target is behind the store's copy: a refill
		}
		if at < cursor || slow == nil {
			slow, cursor = r, min(at, cursor)
		}
	}
	return slow, cursor, nil
}

// release takes a route's hold on a full log: the exact gap is recorded, and the route waits for a sync.
func (d *Daemon) release(ctx context.Context, r *route, from, last syncline.Seq) error {
	d.log.Error("log is full: the route that is farthest behind gives up its hold and needs a sync", "route", r.id, "code", "needs_sync",
		"from_seq", from, "to_seq", last)
	if err := d.state.UpdateRoute(ctx, state.Slice{Route: r.id}, func(row *state.Route) { row.GapFrom, row.GapTo = from, last }); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	return r.apply.Recheck(ctx)
}

// firstYounger returns the first entry that was appended after t, by bisection.
func (d *Daemon) firstYounger(ctx context.Context, s *source, b syncline.Bounds, t time.Time) (syncline.Seq, error) {
	low, high := b.First, b.Last
	for low < high {
		mid := low + (high-low)/2
		e, err := entryAt(ctx, s.log, mid)
		if err != nil {
			return 0, err
		}
		if e.Time.Before(t) {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low, nil
}

func entryAt(ctx context.Context, log syncline.Log, seq syncline.Seq) (syncline.Entry, error) {
	r, err := log.Read(ctx, seq)
	if err != nil {
		return syncline.Entry{}, err
	}
	defer r.Close() //nolint:errcheck // it holds nothing that could be lost
	return r.Next(ctx)
}
