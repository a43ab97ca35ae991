package daemon

import (
	"context"
	"fmt"
	"slices"
	"time"

	"syncline"
	"syncline/internal/gap"
	"syncline/internal/ops"
	"syncline/internal/state"
	"syncline/internal/verify"
)

// proving is a gap that is being filled.
type proving struct {
	gap.Proof
	// vanished gets the one word of whoever looks for what has vanished; nil while nobody does.
	vanished chan vanished
}

type vanished struct {
	runs []string
	err  error
}

// prove closes a gap once everything is at the targets and a comparison has shown that. While a target is down it waits.
func (d *Daemon) prove(ctx context.Context, s *source, g *state.Gap, routes []*route, now time.Time) error {
	p := d.proofs[g.ID]
	if p == nil {
		p = &proving{}
		d.proofs[g.ID] = p
	}
	for last := gap.Rest; g.Status == state.GapFilling; {
		task := p.Next(now)
		if task == last || task == gap.Rest {
			return nil
		}
		g.Error, last = "", task
		if err := d.proceed(ctx, s, g, routes, p, task, now); err != nil {
			return p.Failed(err, now)
		}
	}
	return nil
}

// proceed does what the proof needs next.
func (d *Daemon) proceed(ctx context.Context, s *source, g *state.Gap, routes []*route, p *proving, task gap.Task, now time.Time) error {
	switch task {
	case gap.Await:
		a, err := d.arrival(ctx, s, g, routes, &p.Proof)
		if err != nil {
			return err
		}
		return p.Arrived(a)
	case gap.Check:
		failed, err := d.failedRun(ctx, s, g)
		if err != nil {
			return err
		}
		return p.Checked(g, failed, now)
	case gap.Search:
		return d.search(ctx, s, routes, p)
	case gap.Compare:
		return d.compareAll(ctx, g, routes, p)
	case gap.Judge:
		return d.judge(ctx, g, p, now)
	}
	return nil
}

// arrival sees how far what the proof awaits has got.
func (d *Daemon) arrival(ctx context.Context, s *source, g *state.Gap, routes []*route, p *gap.Proof) (a gap.Arrival, err error) {
	for _, r := range routes {
		known, err := d.state.Route(ctx, state.Slice{Route: r.id})
		if err != nil {
			return a, err
		}
		st := r.apply.Status()
		a.Routes = append(a.Routes, gap.Progress{Route: r.id, State: string(st.State), Placing: known.Placing, Next: st.Cursor.Seq})
	}
	if p.Logged() {
		return a, nil
	}
	open, err := d.state.OpenRuns(ctx, s.system.Name)
	if err != nil {
		return a, err
	}
	a.Open = slices.ContainsFunc(open, func(run state.RunRow) bool { return p.Awaits(g, &run) })
	bounds, err := s.log.Bounds(ctx) // after the runs, so that what they brought is before it
	a.LastEntry = bounds.Last
	return a, err
}

// failedRun is why a run that reads for the gap came to nothing; "" = none did.
func (d *Daemon) failedRun(ctx context.Context, s *source, g *state.Gap) (string, error) {
	latest, err := d.state.Runs(ctx, s.system.Name, len(s.system.Capture.Entities)*len(d.set().routes)+100)
	for i := range latest {
		if r := &latest[i]; gap.Reads(g, r) && (r.Status == state.RunFailed || r.Status == state.RunCancelled) && r.Created.After(g.Created) {
			return fmt.Sprintf("run %s is %s: %s", r.ID, r.Status, r.Error), err
		}
	}
	return "", err
}

// search has somebody look for what has vanished and remove it, beside the looks at gaps: it may take long.
func (d *Daemon) search(ctx context.Context, s *source, routes []*route, p *proving) error {
	if p.vanished == nil {
		found := make(chan vanished, 1) // has room, so that whoever looks can always leave
		p.vanished = found
		d.provers.Go(func() { found <- d.removeVanished(ctx, s, routes) })
	}
	select {
	case found := <-p.vanished:
		if p.vanished = nil; found.err == nil {
			p.Vanished(found.runs)
		}
		return found.err
	default:
		return p.Searching()
	}
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
			q.MaxPercent, err = removable(s.system.Name+"/"+e.Name, there.Targets)
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

// removable is the share that may be removed of each target.
func removable(entity string, targets []ops.MissingTarget) (*float64, error) {
	seen := make([]gap.Absence, len(targets))
	for i, t := range targets {
		seen[i] = gap.Absence{At: t.Target + "/" + t.Object, Missing: t.Missing, Records: t.Records, Percent: t.Percent}
	}
	most, err := gap.Removable(entity, seen)
	return &most, err
}

// compareAll has the rules of the routes verified, and what differs repaired.
func (d *Daemon) compareAll(ctx context.Context, g *state.Gap, routes []*route, p *proving) error {
	spec := verify.Spec{Mode: verify.Full, Repair: verify.RepairAuto}
	for _, r := range routes {
		for _, rule := range r.rules {
			if !r.events && !slices.Contains(spec.Rules, rule.ID) {
				spec.Rules = append(spec.Rules, rule.ID)
			}
		}
	}
	if len(spec.Rules) == 0 {
		p.Comparing(g, "")
		return nil
	}
	job, err := d.startVerification(ctx, spec)
	if err == nil {
		p.Comparing(g, job.id)
	}
	return err
}

// judge closes the gap with what the comparison came to.
func (d *Daemon) judge(ctx context.Context, g *state.Gap, p *proving, now time.Time) error {
	id := p.Verification()
	v, err := d.state.Verification(ctx, id)
	if err != nil {
		return err
	}
	shown, err := engine{d}.shownVerification(&v)
	if err != nil {
		return err
	}
	err = p.Judged(g, gap.Verdict{Status: v.Status, Unsettled: shown.Total.Unsettled, Different: shown.Differences}, now)
	if g.Status == state.GapClosed && shown.Differences > 0 {
		d.log.Error("what was missing was read again, and still records differ", "gap", g.ID, "verification", id, "differences", shown.Differences,
			"fix", "syncline verify show "+id+" tells what differs, and why it was not repaired")
	}
	return err
}
