package daemon

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/capture"
	"syncline/internal/config"
	"syncline/internal/state"
)

const (
	// mendEvery is how often gaps are looked at, mendSoon while one is being filled: each look moves it on by a step.
	mendEvery = 5 * time.Second
	mendSoon  = time.Second
	// gapMemory is for how long a gap counts against the next one: what is lost again and again is read again ever more rarely.
	gapMemory = 24 * time.Hour
	// maxGapDelay bounds the wait before what is missing is read.
	maxGapDelay = time.Hour
	// probeEvery is how often a target is tried that did not answer.
	probeEvery = 10 * time.Second
	// roomToMend is the share of a log's quota that routes may hold when a gap begins to be read: all of it goes through the log.
	roomToMend = 0.5
)

// gapDelay is the wait after so many tries or gaps lately.
func gapDelay(before int) time.Duration {
	if before == 0 {
		return 0
	}
	return min(time.Minute<<min(before-1, 10), maxGapDelay)
}

// mendGaps has what is missing read anew, until it is there.
func (d *Daemon) mendGaps(ctx context.Context) {
	timer := time.NewTimer(mendEvery)
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
	again = mendEvery
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
			again = mendSoon // its target is asked then
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
			again = mendSoon
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
			delete(d.proofs, g.ID)
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
		if g.Route == "" || g.Status != state.GapOpen || now.Before(g.Next) {
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
		FromSeq: known.GapFrom, ToSeq: known.GapTo, Next: now.Add(gapDelay(before))}
	return &g, d.state.AddGap(ctx, g)
}

// gapsBefore counts the gaps of the source, or of the route, that are remembered.
func (d *Daemon) gapsBefore(ctx context.Context, source, route string, now time.Time) (int, error) {
	list, err := d.state.Gaps(ctx, source, now.Add(-gapMemory))
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
	r := d.route(g.Route)
	if r == nil {
		g.Status, g.Error = state.GapClosed, "the route is gone"
		return nil
	}
	if len(d.pausesOf(r)) > 0 {
		return nil
	}
	st := r.apply.Status()
	lost := st.State == apply.RouteNeedsSync
	switch {
	case g.Status == state.GapFilling && lost:
		delete(d.proofs, g.ID) // it is of what the route has lost again
		g.Status, g.Next = state.GapOpen, now.Add(gapDelay(g.Attempts))
		return st.Err
	case g.Status == state.GapFilling:
		return d.prove(ctx, s, g, []*route{r}, now)
	case !lost && g.Attempts == 0: // an operator has begun it anew
		g.Status, g.Next, g.Error = state.GapFilling, g.Created, ""
		return nil
	case now.Before(g.Next):
		return nil
	}
	if lost {
		known, err := d.state.Route(ctx, state.Slice{Route: r.id})
		if err != nil {
			return err
		}
		g.FromSeq, g.ToSeq = known.GapFrom, known.GapTo
	}
	if err := d.mayMend(ctx, s); err != nil {
		return err
	}
	err, asked := answers[r.target.Name]
	if !asked {
		return nil // the next look asks it
	}
	if err != nil {
		g.Next = now.Add(probeEvery)
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	d.log.Info("reading again what the route lacks", "route", r.id, "gap", g.ID, "from_seq", g.FromSeq, "to_seq", g.ToSeq, "attempt", g.Attempts+1)
	g.Attempts++
	if lost {
		err = r.apply.Restart(ctx)
	} else { // it has begun, and what it asked for has failed
		err = refill(ctx, s, g, r)
	}
	if err != nil {
		g.Next = now.Add(gapDelay(g.Attempts))
		return err
	}
	g.Status, g.Next, g.Error = state.GapFilling, now, ""
	return nil
}

// refill has the records of the route's entities read again, for the route alone.
func refill(ctx context.Context, s *source, g *state.Gap, r *route) error {
	for _, e := range s.system.Capture.Entities {
		if !r.reads(s, e.Name) {
			continue
		}
		if err := s.capture.RequestRun(ctx, syncline.Run{ID: refillRun(g, e.Name), Kind: syncline.RunFull, Entity: e.Name, Routes: []string{r.id}}); err != nil {
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
	if kept > roomToMend*float64(limit) {
		return syncline.Errorf(syncline.Transient, "gap_waits", "route %s holds more than half of what the log of %s may have: there is no room to read records again",
			slow.id, s.system.Name).WithFix("see what keeps the route from going on")
	}
	return nil
}

// mendSource has every record of a source read again that has begun its stream anew.
func (d *Daemon) mendSource(ctx context.Context, s *source, g *state.Gap, now time.Time) error {
	if now.Before(g.Next) {
		return nil
	}
	if g.Status == state.GapDeclared {
		if syncline.CodeOf(s.capture.Status().Err) == "slot_released" && d.crowded(ctx, s) == nil {
			s.capture.Resume() // else it waits for up to half a minute more
		}
		return nil
	}
	var routes []*route
	entities := make(map[string][]string)
	for _, r := range d.set().routes {
		if r.source.stream != s.stream || !mendable(r) || r.apply.Status().State == apply.RouteNeedsSync { // that one reads for itself
			continue
		}
		routes = append(routes, r)
		for _, e := range s.system.Capture.Entities {
			if r.reads(s, e.Name) {
				entities[e.Name] = append(entities[e.Name], r.id)
			}
		}
	}
	if g.Status == state.GapFilling {
		return d.prove(ctx, s, g, routes, now)
	}
	if err := d.mayMend(ctx, s); err != nil {
		return err
	}
	g.Attempts++
	for _, e := range s.system.Capture.Entities {
		if len(entities[e.Name]) == 0 {
			continue
		}
		run := syncline.Run{ID: refillRun(g, e.Name), Kind: syncline.RunFull, Entity: e.Name, Routes: entities[e.Name]}
		if err := s.capture.RequestRun(ctx, run); err != nil {
			g.Next = now.Add(gapDelay(g.Attempts))
			return err
		}
	}
	d.log.Info("reading again what the source's log lacks", "source", g.Source, "gap", g.ID, "from", g.From.String(), "to", g.To.String(), "attempt", g.Attempts)
	g.Status, g.Error = state.GapFilling, ""
	return nil
}

// refillPrefix begins the ids of runs that fill gaps.
const refillPrefix = "refill-"

// refillRun is the id of the run that reads the entity in the gap's present try: asking again after a crash is the same run.
func refillRun(g *state.Gap, entity string) string {
	return fmt.Sprintf("%s%s-%d-%s", refillPrefix, strings.TrimPrefix(g.ID, "gap-"), g.Attempts, entity)
}

// runsOf reports whether the run reads for the gap's present try: it was asked for here, or by the route when it began anew. What failed of
// the tries before does not count, nor what an operator has read for the route.
func runsOf(g *state.Gap, run *state.RunRow) bool {
	if strings.HasPrefix(run.ID, fmt.Sprintf("%s%s-%d-", refillPrefix, strings.TrimPrefix(g.ID, "gap-"), g.Attempts)) {
		return true
	}
	return g.Route != "" && strings.HasPrefix(run.ID, "start-") && slices.Equal(run.Routes, []string{g.Route}) &&
		!run.Created.Before(g.Next.Truncate(time.Microsecond)) // the store's unit
}
