package daemon

import (
	"context"
	"slices"

	"syncline/internal/state"
	"syncline/internal/verify"
)

// A target whose rules were changed is mixed until all of it was copied again, or was compared by the rules as they are now and found to be
// what they make.

// sameRules notes by which version of the rules a part compares. It is no proof of a version that the route has not begun to work with: what it
// still writes by the one before is not seen.
func (d *Daemon) sameRules(ctx context.Context, job *verification, part *verify.Part, r *route) error {
	known, err := d.state.Route(ctx, state.Slice{Route: r.id})
	if err != nil {
		return err
	}
	by := version(r.rules)
	if known.Version != by && part.Version == "" {
		by = ""
	}
	if !part.By(by) {
		return nil
	}
	job.beginsAnew(part)
	return d.state.ForgetDifferences(ctx, job.id, part.Rule)
}

// unmix takes the mark from the targets that the verification has found to hold what all rules of their routes make.
func (d *Daemon) unmix(ctx context.Context, job *verification) {
	if job.spec.Mode != verify.Full && job.spec.Mode != verify.Continuous {
		return
	}
	parts := job.progress()
	for _, r := range d.set().routes {
		proven := func(rule string) bool {
			return slices.ContainsFunc(parts, func(p verify.Part) bool {
				of := p.Route == r.id || r.pair != nil // one comparison is of both sides
				return of && p.Rule == rule && p.Version == version(r.rules) && p.Proves()
			})
		}
		all := len(r.compiled) > 0
		for i := range r.compiled {
			all = all && proven(r.compiled[i].ID)
		}
		sl := state.Slice{Route: r.id}
		known, err := d.state.Route(ctx, sl)
		if err == nil && all && known.Mixed {
			err = d.state.UpdateRoute(ctx, sl, func(row *state.Route) { row.Mixed = row.Mixed && row.Version != version(r.rules) })
			if err == nil {
				d.log.Info("target holds what its rules make: it is mixed no more", "route", r.id, "verification", job.id)
			}
		}
		if err != nil && ctx.Err() == nil {
			d.log.Warn("the mark of a mixed target cannot be taken away", "route", r.id, "err", err)
		}
	}
}
