package daemon

import (
	"context"
	"time"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/config"
	"syncline/internal/plant"
	"syncline/internal/state"
)

const (
	// houseEvery is how often the logs are looked at.
	houseEvery = 10 * time.Second
	// purgeStep is the least number of bytes worth a purge.
	purgeStep = 64 << 20
	// leastTaskEvents and maxTaskEvents bound the changes of tasks that are kept: as long as the log, but a day at least, and so many.
	leastTaskEvents = 24 * time.Hour
	maxTaskEvents   = 1_000_000
	// auditEvery is how often the audit log is trimmed.
	auditEvery = time.Hour
	// fullAt is the share of its quota at which a log counts as full.
	fullAt = 0.95
)

// Decided conflicts are kept for this long, and no more than this many.
const (
	keepConflicts = 30 * 24 * time.Hour
	maxConflicts  = 1_000_000
	// keepPolls is for how long polls are remembered that were done. What schedules asked for is in their history for longer.
	keepPolls = 24 * time.Hour
	// keepVerifications is for how long verifications are remembered that are over.
	keepVerifications = 30 * 24 * time.Hour
	// keepGaps is for how long gaps are remembered that are closed.
	keepGaps = 30 * 24 * time.Hour
)

// keepHouse purges what every route has applied and nobody must keep any more, and lets go of the route that is farthest behind
// when a log is full and the configuration says so. It counts what a route that was taken back has before it.
func (d *Daemon) keepHouse(ctx context.Context) {
	tick := time.NewTicker(houseEvery)
	defer tick.Stop()
	var trimmed time.Time
	for {
		round := false
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			round = true
		case <-d.housework:
		}
		if round && time.Since(trimmed) >= auditEvery {
			trimmed = time.Now()
			if err := d.state.TrimAudit(ctx, trimmed.Add(-d.set().config.Audit.Retain)); err != nil && ctx.Err() == nil {
				d.log.Warn("audit log cannot be trimmed", "err", err)
			}
			if err := d.state.TrimVerifications(ctx, trimmed.Add(-keepVerifications)); err != nil && ctx.Err() == nil {
				d.log.Warn("old verifications are kept", "err", err)
			}
			if err := d.state.TrimConflicts(ctx, trimmed.Add(-keepConflicts), maxConflicts); err != nil && ctx.Err() == nil {
				d.log.Warn("decided conflicts are not removed", "err", err)
			}
			if err := d.state.TrimPolls(ctx, trimmed.Add(-keepPolls)); err != nil && ctx.Err() == nil {
				d.log.Warn("polls that were done are not forgotten", "err", err)
			}
			if err := d.state.TrimGaps(ctx, trimmed.Add(-keepGaps)); err != nil && ctx.Err() == nil {
				d.log.Warn("gaps that are closed are not forgotten", "err", err)
			}
		}
		if round {
			if err := d.state.TrimTaskEvents(ctx, time.Now().Add(-max(d.set().config.Log.Retain, leastTaskEvents)), maxTaskEvents); err != nil && ctx.Err() == nil {
				d.log.Warn("changes of tasks cannot be trimmed", "err", err)
			}
		}
		d.round(ctx, round)
	}
}

// round looks after every log.
func (d *Daemon) round(ctx context.Context, round bool) {
	if round {
		defer d.countAgain(ctx)
	}
	d.changing.RLock()
	defer d.changing.RUnlock()
	for _, s := range d.set().sources {
		if err := d.keep(ctx, s, round); err != nil && ctx.Err() == nil {
			d.log.Warn("log cannot be purged", "source", s.system.Name, "err", err)
		}
	}
}

// stalled takes note that the source's log did not take a batch. A full one is looked after at once: its source waits.
func (d *Daemon) stalled(s *source, err error) {
	if syncline.CodeOf(err) != "log_full" {
		return
	}
	d.relieve(s)
}

// relieve has the source's log looked after at once, as a full one.
func (d *Daemon) relieve(s *source) {
	s.refused.Store(true)
	select {
	case d.housework <- struct{}{}:
	default:
	}
}

// keep looks after one source's log: on a round, or because the log has refused a batch.
func (d *Daemon) keep(ctx context.Context, s *source, round bool) error {
	bounds, err := s.log.Bounds(ctx)
	if err != nil || bounds.Last == 0 {
		return err
	}
	limit, err := d.limit(ctx)
	if err != nil {
		return err
	}
	// A large batch is refused long before the log is full to the brim.
	refused := s.refused.Swap(false)
	full := refused || float64(bounds.Bytes) > fullAt*float64(limit)
	below := bounds.Last
	if !full && !s.spilling.Load() { // what the source's server holds needs the room more
		old, err := d.firstYounger(ctx, s, bounds, time.Now().Add(-d.set().config.Log.Retain))
		if err != nil || old <= bounds.First {
			return err
		}
		below = min(below, old)
	}
	slowest, cursor, err := d.slowest(ctx, s, bounds, nil)
	if err != nil {
		return err
	}
	middle := bounds.First + (bounds.Last-bounds.First)/2
	if full && slowest != nil && cursor <= middle && d.set().config.Log.OnFull == config.OnFullRelease && overrun(slowest, middle, round) {
		if cursor, err = d.release(ctx, s, slowest, cursor, bounds); err != nil {
			return err
		}
	}
	below = min(below, cursor)
	share := float64(below-min(below, bounds.First)) / float64(bounds.Last-bounds.First+1)
	if below <= bounds.First || share*float64(bounds.Bytes) < purgeStep && !full {
		return nil
	}
	if err := d.widenGaps(ctx, s, below); err != nil {
		return err
	}
	if err := s.log.Purge(ctx, below); err != nil {
		return err
	}
	if refused {
		s.capture.Resume()
	}
	s.tally.forget(below)
	if err := d.state.Trim(ctx, s.system.Name, below); err != nil {
		return err
	}
	if err := d.state.TrimRuns(ctx, s.system.Name, time.Now().Add(-d.set().config.Log.Retain)); err != nil {
		return err
	}
	if err := d.state.TrimIDs(ctx, s.system.Name, below); err != nil {
		return err
	}
	d.log.Info("log purged", "source", s.system.Name, "below", below)
	return nil
}

// limit is how large each source's log may be: its share of max_bytes, or of half of what the disk has for logs where that is less.
// A log that is smaller than what is worth a purge has its disk filled by others, and to give it up would free nothing.
func (d *Daemon) limit(ctx context.Context) (int64, error) {
	disk, err := d.room()
	if err != nil {
		return 0, err
	}
	for _, s := range d.set().sources {
		b, err := s.log.Bounds(ctx)
		if err != nil {
			return 0, err
		}
		disk += b.Bytes
	}
	return min(quota(d.set().config), max(disk/2/int64(len(d.set().sources)), purgeStep)), nil
}

// slowest returns the source's route whose stored cursor is lowest and that still has a hold on the log, but for one; nil and the
// log's end if there is none.
func (d *Daemon) slowest(ctx context.Context, s *source, bounds syncline.Bounds, but *route) (*route, syncline.Seq, error) {
	var slow *route
	cursor := bounds.Last + 1
	for _, r := range d.set().routes {
		if r.source.stream != s.stream || r == but {
			continue
		}
		known, err := d.state.Route(ctx, state.Slice{Route: r.id})
		if err != nil {
			return nil, 0, err
		}
		st := r.apply.Status()
		if !known.Known || known.GapTo > 0 || st.State == apply.RouteNeedsSync { // a sync begins at the log's end
			continue
		}
		// The store's copy is ahead of the target while a batch is in flight, after a crash in between, and during a refill.
		at := min(known.Cursor.Seq, known.Settled)
		if st.Settled > 0 && !known.Placing { // the target was asked, and where it stood before a new beginning is nothing
			at = min(known.Cursor.Seq, st.Settled)
		}
		if at < cursor || slow == nil {
			slow, cursor = r, min(at, cursor)
		}
	}
	return slow, cursor, nil
}

// overrun reports whether a route whose stored cursor is in the older half of a full log is to give up its hold. One whose target is
// down is at once. One that works is given until the next round, for it may be about to catch up; and it may be there already, because
// with nothing to write it stores its cursor only now and then.
func overrun(r *route, middle syncline.Seq, round bool) bool {
	st := r.apply.Status()
	if st.State == apply.RouteRunning || st.State == apply.RouteStarting {
		return round && st.Cursor.Seq <= middle
	}
	return true
}

// release takes a route's hold on a full log, and returns the place of the route that is then farthest behind.
func (d *Daemon) release(ctx context.Context, s *source, r *route, from syncline.Seq, bounds syncline.Bounds) (syncline.Seq, error) {
	_, cursor, err := d.slowest(ctx, s, bounds, r)
	if err != nil {
		return 0, err
	}
	if plant.SilentGap {
		return cursor, nil
	}
	d.log.Error("log is full: the route that is farthest behind gives up its hold and needs a sync", "route", r.id, "code", "needs_sync", "from_seq", from)
	return cursor, d.setGap(ctx, r, from, max(from, min(cursor, bounds.Last)-1))
}

// widenGaps notes for every route without a hold what a purge below this entry takes from it. It is noted first: what is noted
// and was not purged yet is not applied either.
func (d *Daemon) widenGaps(ctx context.Context, s *source, below syncline.Seq) error {
	for _, r := range d.set().routes {
		if r.source.stream != s.stream {
			continue
		}
		known, err := d.state.Route(ctx, state.Slice{Route: r.id})
		if err != nil {
			return err
		}
		if known.GapTo > 0 && known.GapTo < below-1 {
			if err := d.setGap(ctx, r, known.GapFrom, below-1); err != nil {
				return err
			}
		}
	}
	return nil
}

// setGap records what the log has given up before the route had applied it, and has the route say so. One that hangs at its target
// notices later: what it still applies is in order, and what it would read next is gone.
func (d *Daemon) setGap(ctx context.Context, r *route, from, to syncline.Seq) error {
	if err := d.state.UpdateRoute(ctx, state.Slice{Route: r.id}, func(row *state.Route) { row.GapFrom, row.GapTo = from, to }); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	if err := r.apply.Recheck(ctx); err != nil {
		d.log.Warn("route has not taken note of its gap yet", "route", r.id, "err", err)
	}
	return nil
}

// firstYounger returns the first entry that was not appended before t, else the last one. It goes on from its last answer, because t moves
// on with the clock, and looks at that one first: in most rounds nothing has come of age. Behind it, it searches by bisection. Where the clock was
// set back, and t with it, what was of age is not any more.
func (d *Daemon) firstYounger(ctx context.Context, s *source, b syncline.Bounds, t time.Time) (syncline.Seq, error) {
	t = t.Round(0) // the monotonic clock is not set
	if t.Before(s.youngerThan) {
		s.younger = 0
	}
	s.youngerThan = t
	low, high := min(max(b.First, s.younger), b.Last), b.Last
	for look := low; low < high; look = low + (high-low)/2 {
		e, err := entryAt(ctx, s.log, look)
		if err != nil {
			return 0, err
		}
		if e.Time.Before(t) {
			low = look + 1
		} else {
			high = look
		}
	}
	s.younger = low
	return low, nil
}

// firstUnread is the first entry that a route of the source has still to read, as far as the routes know.
func (d *Daemon) firstUnread(s *source) syncline.Seq {
	seq := ^syncline.Seq(0)
	for _, r := range d.set().routes {
		if at := r.apply.Status().Cursor.Seq; r.source.stream == s.stream && at > 0 {
			seq = min(seq, at)
		}
	}
	return seq
}

// countBacklog counts what was in the source's log at the start more closely than the start itself, where a route has that still to read. That is
// for the state store to say: no route has begun.
func (d *Daemon) countBacklog(ctx context.Context, s *source) {
	from := ^syncline.Seq(0)
	for _, r := range d.set().routes {
		if r.source.stream != s.stream {
			continue
		}
		row, err := d.state.Route(ctx, state.Slice{Route: r.id})
		if err != nil {
			from = 0 // it may be any
			break
		}
		if row.Known && row.GapTo == 0 { // a sync begins at the log's end
			from = min(from, row.Cursor.Seq)
		}
	}
	d.refine(ctx, s, from)
}

// countAgain is countBacklog where a route was taken back since the start. It may read much, and nobody waits for it: a log that is closed meanwhile
// says so.
func (d *Daemon) countAgain(ctx context.Context) {
	for _, s := range d.set().sources {
		d.refine(ctx, s, d.firstUnread(s))
	}
}

// refine has the source's tally count what somebody has still to read from this entry on.
func (d *Daemon) refine(ctx context.Context, s *source, from syncline.Seq) {
	if err := s.tally.refine(ctx, s.log, from); err != nil && ctx.Err() == nil {
		d.log.Warn("the backlog is known roughly only", "source", s.system.Name, "err", err)
	}
}

func entryAt(ctx context.Context, log syncline.Log, seq syncline.Seq) (syncline.Entry, error) {
	r, err := log.Read(ctx, seq)
	if err != nil {
		return syncline.Entry{}, err
	}
	defer r.Close() //nolint:errcheck // it holds nothing that could be lost
	return r.Next(ctx)
}
