package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"syncline"
	"syncline/internal/ops"
	"syncline/internal/state"
	"syncline/internal/verify"
)

const (
	// vanishedPercent and leastVanished bound what is removed of a target without being asked for: the larger of the two.
	vanishedPercent = 10
	leastVanished   = 100
)

// proof is how far the filling of a gap has got: the records are read, what the source does not have any more is removed, everything is
// compared. It is begun again by a process that begins: each part can be repeated.
type proof struct {
	stage proofStage
	// end is where the log ended when what is waited for was in it; 0 = it is not in it yet.
	end syncline.Seq
	// vanished gets the one word of whoever looks for what has vanished; runs are those by which it goes.
	vanished chan vanished
	runs     []string
	// verification is the id of the comparison.
	verification string
	// tries counts what failed, after is when to go on.
	tries int
	after time.Time
}

type proofStage uint8

const (
	proofRead proofStage = iota
	proofVanished
	proofRemoved
	proofCompared
)

type vanished struct {
	runs []string
	err  error
}

// prove closes a gap once everything is at the targets and a comparison has shown that. While a target is down it waits.
func (d *Daemon) prove(ctx context.Context, s *source, g *state.Gap, routes []*route, now time.Time) error {
	p := d.proofs[g.ID]
	if p == nil {
		p = &proof{}
		d.proofs[g.ID] = p
	}
	if now.Before(p.after) {
		return nil
	}
	g.Error = ""
	err := d.proceed(ctx, s, g, routes, p)
	if err != nil && syncline.CodeOf(err) != "gap_waits" {
		p.tries++
		p.after = now.Add(gapDelay(p.tries))
	}
	return err
}

func (d *Daemon) proceed(ctx context.Context, s *source, g *state.Gap, routes []*route, p *proof) error {
	switch p.stage {
	case proofRead:
		if done, err := d.arrived(ctx, s, routes, p, func(r *state.RunRow) bool { return runsOf(g, r) }); !done {
			return err
		}
		failed, err := d.failedRun(ctx, s, g)
		if err != nil {
			return err
		}
		if failed != "" {
			delete(d.proofs, g.ID)
			g.Attempts = max(g.Attempts, 1) // also that of an operator who has begun the route anew
			g.Status, g.Next = state.GapOpen, time.Now().Add(gapDelay(g.Attempts))
			return errors.New(failed)
		}
		p.stage, p.end = proofVanished, 0
		fallthrough
	case proofVanished:
		if p.vanished == nil {
			p.vanished = make(chan vanished, 1) // has room, so that whoever looks can always leave
			found := p.vanished
			d.provers.Go(func() { found <- d.removeVanished(ctx, s, routes) })
		}
		select {
		case found := <-p.vanished:
			p.vanished = nil
			if found.err != nil {
				return found.err
			}
			p.stage, p.runs = proofRemoved, found.runs
		default:
			return syncline.Errorf(syncline.Transient, "gap_waits", "looking for records that the source does not have any more")
		}
		fallthrough
	case proofRemoved:
		if done, err := d.arrived(ctx, s, routes, p, func(r *state.RunRow) bool { return slices.Contains(p.runs, r.ID) }); !done {
			return err
		}
		p.stage = proofCompared
	}
	return d.compared(ctx, g, routes, p)
}

// arrived reports whether the runs are in the log and the routes have come to its end as it was then; the error says what is waited for.
func (d *Daemon) arrived(ctx context.Context, s *source, routes []*route, p *proof, of func(*state.RunRow) bool) (bool, error) {
	for _, r := range routes {
		known, err := d.state.Route(ctx, state.Slice{Route: r.id})
		if err != nil {
			return false, err
		}
		if known.Placing { // it has yet to ask for its records
			return false, syncline.Errorf(syncline.Transient, "gap_waits", "route %s is %s and has not begun", r.id, r.apply.Status().State)
		}
	}
	if p.end == 0 {
		open, err := d.state.OpenRuns(ctx, s.system.Name)
		if err != nil {
			return false, err
		}
		for i := range open {
			if of(&open[i]) {
				return false, nil // they show for themselves
			}
		}
		bounds, err := s.log.Bounds(ctx)
		if err != nil {
			return false, err
		}
		p.end = bounds.Last
	}
	for _, r := range routes {
		if st := r.apply.Status(); st.Cursor.Seq <= p.end {
			return false, syncline.Errorf(syncline.Transient, "gap_waits", "route %s is %s and has not come to the end of what was read", r.id, st.State)
		}
	}
	return true, nil
}

// failedRun is why a run that reads for the gap came to nothing; "" = none did.
func (d *Daemon) failedRun(ctx context.Context, s *source, g *state.Gap) (string, error) {
	latest, err := d.state.Runs(ctx, s.system.Name, len(s.system.Capture.Entities)*len(d.set().routes)+100)
	for i := range latest {
		if r := &latest[i]; runsOf(g, r) && (r.Status == state.RunFailed || r.Status == state.RunCancelled) && r.Created.After(g.Created) {
			return fmt.Sprintf("run %s is %s: %s", r.ID, r.Status, r.Error), err
		}
	}
	return "", err
}

// removeVanished has what the source does not have any more read again, by which it goes from the targets. More than a share of a target is
// not removed: that somebody has to see.
func (d *Daemon) removeVanished(ctx context.Context, s *source, routes []*route) (found vanished) {
	for _, e := range s.system.Capture.Entities {
		q := ops.MissingRequest{Source: s.system.Name, Entity: e.Name, DryRun: true}
		for _, r := range routes {
			if r.reads(s, e.Name) && !r.events {
				q.To = append(q.To, r.id)
			}
		}
		if len(q.To) == 0 {
			continue
		}
		there, err := engine{d}.DeleteMissing(ctx, q)
		if err == nil {
			q.DryRun = false
			q.MaxPercent, err = vanishable(s.system.Name, e.Name, there.Targets)
		}
		if err == nil && slices.ContainsFunc(there.Targets, func(t ops.MissingTarget) bool { return t.Missing > 0 }) {
			there, err = engine{d}.DeleteMissing(ctx, q)
			found.runs = append(found.runs, there.Runs...)
		}
		if syncline.CodeOf(err) == "not_available" { // its runs bring everything that there is
			err = nil
		}
		if err != nil {
			found.err = err
			return found
		}
	}
	return found
}

// vanishable is the share that may be removed of each target: what was seen to be missing and no more, since the source is read again for
// it and may have lost more by then.
func vanishable(source, entity string, seen []ops.MissingTarget) (*float64, error) {
	most := float64(vanishedPercent)
	for _, t := range seen {
		if t.Missing > leastVanished && t.Percent > vanishedPercent {
			return nil, syncline.Errorf(syncline.Rejected, "missing_too_many", "the source does not have %d of the %d records of %s/%s: they are not removed by themselves",
				t.Missing, t.Records, t.Target, t.Object).WithFix("see that the source is the right one and whole; then `syncline sync full %s/%s --delete-missing --max-delete %.0f`",
				source, entity, min(t.Percent+1, 100))
		}
		most = max(most, t.Percent)
	}
	return &most, nil
}

// compared has the rules of the routes verified, and what differs repaired, and closes the gap with what that came to.
func (d *Daemon) compared(ctx context.Context, g *state.Gap, routes []*route, p *proof) error {
	if p.verification == "" {
		spec := verify.Spec{Mode: verify.Full, Repair: verify.RepairAuto}
		for _, r := range routes {
			for _, rule := range r.rules {
				if !r.events && !slices.Contains(spec.Rules, rule.ID) {
					spec.Rules = append(spec.Rules, rule.ID)
				}
			}
		}
		if len(spec.Rules) == 0 {
			g.Status, g.Error = state.GapClosed, ""
			return nil
		}
		job, err := d.startVerification(ctx, spec)
		if err != nil {
			return err
		}
		p.verification = job.id
	}
	v, err := d.state.Verification(ctx, p.verification)
	if err != nil {
		return err
	}
	shown, err := engine{d}.shownVerification(&v)
	switch {
	case err != nil:
		return err
	case v.Status == state.VerificationRunning:
		return syncline.Errorf(syncline.Transient, "gap_waits", "everything is there; verification %s compares it", p.verification)
	case v.Status != state.VerificationDone:
		id := p.verification
		p.verification = ""
		return fmt.Errorf("verification %s is %s", id, v.Status)
	}
	if n := shown.Total.Unsettled; n > 0 { // of these nothing is proven
		id := p.verification
		p.verification = ""
		p.tries++
		p.after = time.Now().Add(min(probeEvery<<min(p.tries-1, 10), maxGapDelay)) // most often a target or the source was away for a moment
		return syncline.Errorf(syncline.Transient, "gap_waits", "of %d records verification %s could not tell in time whether they are there: they are compared again", n, id)
	}
	g.Status, g.Error = state.GapClosed, ""
	if n := shown.Differences; n > 0 {
		g.Error = fmt.Sprintf("verification %s found %d records that differ", p.verification, n)
		d.log.Error("what was missing was read again, and still records differ", "gap", g.ID, "verification", p.verification, "differences", n,
			"fix", "syncline verify --repair")
	}
	return nil
}
