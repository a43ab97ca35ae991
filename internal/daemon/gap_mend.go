package daemon

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/capture"
	"syncline/internal/config"
	"syncline/internal/gap"
	"syncline/internal/state"
)

// mendGaps has what is missing read anew, until it is there.
func (d *Daemon) mendGaps(ctx context.Context) {
	timer := time.NewTimer(gap.Every)
	defer timer.Stop()
	defer d.provers.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		again, err := d.mend(ctx, time.Now())
		if err != nil && ctx.Err() == nil {
			d.log.Warn("gaps cannot be looked at", "err", err)
		}
		timer.Reset(again)
	}
}

// mend moves every gap on by a step, if it can be, and returns after how long to look again.
func (d *Daemon) mend(ctx context.Context, now time.Time) (again time.Duration, err error) {
	again = gap.Every
	d.mending.Lock()
	defer d.mending.Unlock()
	answers, err := d.probeTargets(ctx, now)
	if err != nil {
		return again, err
	}
	d.changing.RLock()
	defer d.changing.RUnlock()
	open, err := d.state.OpenGaps(ctx)
	if err != nil {
		return again, err
	}
	for _, r := range d.set().routes {
		noted, err := d.noteRouteGap(ctx, r, open, now)
		if err != nil {
			return again, err
		}
		if noted != nil {
			again = gap.Soon // its target is asked then
			open = append(open, *noted)
		}
	}
	for i := range open {
		g := &open[i]
		was := *g
		s := d.source(g.Source)
		switch {
		case s == nil:
			continue // it is not in the configuration
		case g.Route != "":
			err = d.mendRoute(ctx, s, g, answers, now)
		default:
			err = d.mendSource(ctx, s, g, now)
		}
		if err != nil && ctx.Err() != nil {
			return again, err
		}
		if g.Status == state.GapDeclared || g.Status == state.GapFilling {
			again = gap.Soon
		}
		if g.Status != state.GapFilling { // if it is filled once more, what was seen before proves nothing
			delete(d.proofs, g.ID)
		}
		if err != nil {
			if g.Error = err.Error(); syncline.FixOf(err) != "" {
				g.Error += ": " + syncline.FixOf(err)
			}
		}
		if *g == was {
			continue
		}
		if err := d.state.UpdateGap(ctx, g.ID, func(row *state.Gap) {
			row.Status, row.Attempts, row.Next, row.Error, row.FromSeq, row.ToSeq = g.Status, g.Attempts, g.Next, g.Error, g.FromSeq, g.ToSeq
		}); err != nil {
			return again, err
		}
		if g.Status == state.GapClosed {
			d.log.Info("gap is closed: what was missing is at the targets", "gap", g.ID, "source", g.Source, "route", g.Route, "attempts", g.Attempts)
		}
	}
	return again, nil
}

// probeTargets tries the targets whose routes are to read again, each once, and returns by their names what they answered. It is done before the
// configuration is kept from changing: a target that is down would keep it so for as long as a connection takes to fail.
func (d *Daemon) probeTargets(ctx context.Context, now time.Time) (map[string]error, error) {
	open, err := d.state.OpenGaps(ctx)
	if err != nil {
		return nil, err
	}
	answers := make(map[string]error)
	for i := range open {
		g := &open[i]
		if g.Route == "" || g.Status != state.GapOpen || !gap.Due(g, now) {
			continue
		}
		s, r := d.source(g.Source), d.route(g.Route)
		if s == nil || r == nil || len(d.pausesOf(r)) > 0 || s.capture.Status().State != capture.StateRunning {
			continue
		}
		if _, asked := answers[r.target.Name]; !asked {
			answers[r.target.Name] = r.answers(ctx)
		}
	}
	return answers, nil
}

// answers reports why the route's target does not answer.
func (r *route) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	target, err := r.open(ctx)
	if err == nil {
		err = target.Close()
	}
	return err
}

// mendable reports whether what the route lacks is read again without being asked: its source can read it, and its target is to hold it.
// A target that is told every event would be told every record.
func mendable(r *route) bool {
	if r.source.system.Capture.Mode == config.ModePush {
		return false
	}
	return !r.events || r.rules[0].Start == config.StartFull
}

// noteRouteGap notes what a route lacks that needs a sync; nil where that is nothing, or noted.
func (d *Daemon) noteRouteGap(ctx context.Context, r *route, open []state.Gap, now time.Time) (*state.Gap, error) {
	st := r.apply.Status()
	if st.State != apply.RouteNeedsSync || !mendable(r) {
		return nil, nil
	}
	if slices.ContainsFunc(open, func(g state.Gap) bool { return g.Route == r.id }) {
		return nil, nil
	}
	known, err := d.state.Route(ctx, state.Slice{Route: r.id})
	if err != nil {
		return nil, err
	}
	before, err := d.gapsBefore(ctx, r.source.system.Name, r.id, now)
	if err != nil {
		return nil, err
	}
	g := state.Gap{ID: "gap-" + uuid.NewString(), Source: r.source.system.Name, Route: r.id, Reason: syncline.CodeOf(st.Err), By: byPolicy, Status: state.GapOpen,
		FromSeq: known.GapFrom, ToSeq: known.GapTo, Next: now.Add(gap.Delay(before))}
	return &g, d.state.AddGap(ctx, g)
}

// gapsBefore counts the gaps of the source, or of the route, that are remembered.
func (d *Daemon) gapsBefore(ctx context.Context, source, route string, now time.Time) (int, error) {
	list, err := d.state.Gaps(ctx, source, now.Add(-gap.Memory))
	n := 0
	for i := range list {
		if list[i].Route == route {
			n++
		}
	}
	return n, err
}

// mendRoute has a route that lost its hold on the log begin anew, once its target answers and the log has room, and waits until it has
// everything. answers are those of probeTargets.
func (d *Daemon) mendRoute(ctx context.Context, s *source, g *state.Gap, answers map[string]error, now time.Time) error {
	is, r := gap.Route{Gone: true}, d.route(g.Route)
	if r != nil {
		is = gap.Route{Paused: len(d.pausesOf(r)) > 0}
		if st := r.apply.Status(); st.State == apply.RouteNeedsSync {
			is.Lost = st.Err
		}
	}
	move, err := gap.OfRoute(g, is, now)
	switch {
	case move == gap.Prove:
		return d.prove(ctx, s, g, []*route{r}, now)
	case move != gap.Look:
		return err
	}
	if is.Lost != nil {
		known, err := d.state.Route(ctx, state.Slice{Route: r.id})
		if err != nil {
			return err
		}
		g.FromSeq, g.ToSeq = known.GapFrom, known.GapTo
	}
	on := gap.Ground{Refused: d.mayMend(ctx, s)}
	on.Silent, on.Asked = answers[r.target.Name] // what was not asked is asked before the next look
	if begin, err := gap.Try(g, on, now); !begin {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	d.log.Info("reading again what the route lacks", "route", r.id, "gap", g.ID, "from_seq", g.FromSeq, "to_seq", g.ToSeq, "attempt", g.Attempts)
	if is.Lost != nil {
		err = r.apply.Restart(ctx)
	} else { // it has begun, and what it asked for has failed
		err = refill(ctx, s, g, []*route{r})
	}
	return gap.Tried(g, err, now)
}

// refill has the records of the source read again, for the routes that read them.
func refill(ctx context.Context, s *source, g *state.Gap, routes []*route) error {
	for _, e := range s.system.Capture.Entities {
		var readers []string
		for _, r := range routes {
			if r.reads(s, e.Name) {
				readers = append(readers, r.id)
			}
		}
		if len(readers) == 0 {
			continue
		}
		if err := s.capture.RequestRun(ctx, gap.Run(g, e.Name, readers...)); err != nil {
			return err
		}
	}
	return nil
}

// mayMend refuses to read while the source does not work or its log is crowded.
func (d *Daemon) mayMend(ctx context.Context, s *source) error {
	if st := s.capture.Status(); st.State != capture.StateRunning {
		return syncline.Errorf(syncline.Transient, "gap_waits", "source %s is %s", s.system.Name, st.State)
	}
	return d.crowded(ctx, s)
}

// crowded says which route holds so much of the source's log that there is no room to read records again; nil = there is.
func (d *Daemon) crowded(ctx context.Context, s *source) error {
	bounds, err := s.log.Bounds(ctx)
	if err != nil {
		return err
	}
	limit, err := d.limit(ctx)
	if err != nil {
		return err
	}
	slow, cursor, err := d.slowest(ctx, s, bounds, nil)
	if err != nil || slow == nil || bounds.Last == 0 {
		return err
	}
	kept := float64(bounds.Last+1-min(cursor, bounds.Last+1)) / float64(bounds.Last+1-bounds.First) * float64(bounds.Bytes)
	if kept > gap.Room*float64(limit) {
		return syncline.Errorf(syncline.Transient, "gap_waits", "route %s holds more than half of what the log of %s may have: there is no room to read records again",
			slow.id, s.system.Name).WithFix("see what keeps the route from going on")
	}
	return nil
}

// mendSource has every record of a source read again that has begun its stream anew.
func (d *Daemon) mendSource(ctx context.Context, s *source, g *state.Gap, now time.Time) error {
	move := gap.OfSource(g, now)
	switch move {
	case gap.Wait:
		return nil
	case gap.Wake:
		if syncline.CodeOf(s.capture.Status().Err) == "slot_released" && d.crowded(ctx, s) == nil {
			s.capture.Resume() // else it waits for up to half a minute more
		}
		return nil
	}
	var routes []*route
	for _, r := range d.set().routes {
		if r.source.stream == s.stream && mendable(r) && r.apply.Status().State != apply.RouteNeedsSync { // else it reads for itself
			routes = append(routes, r)
		}
	}
	if move == gap.Prove {
		return d.prove(ctx, s, g, routes, now)
	}
	if begin, err := gap.Try(g, gap.Ground{Refused: d.mayMend(ctx, s)}, now); !begin {
		return err
	}
	d.log.Info("reading again what the source's log lacks", "source", g.Source, "gap", g.ID, "from", g.From.String(), "to", g.To.String(), "attempt", g.Attempts)
	return gap.Tried(g, refill(ctx, s, g, routes), now)
}
