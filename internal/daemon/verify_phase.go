package daemon

import (
	"context"
	"fmt"

	"syncline"
	"syncline/internal/config"
	"syncline/internal/verify"
)

// work goes through the phases, from the one that the part is in.
func (v *verifying) work(ctx context.Context, job *verification) error {
	p := v.part
	if p.Phase == verify.PhaseWaiting {
		p.Estimate = -1
		if about, err := v.lister.Estimate(ctx, v.rule.Entity); err == nil {
			p.Estimate = about
		} else if ctx.Err() != nil {
			return ctx.Err()
		}
		p.Enter(p.Next(v.spec.Mode))
	}
	if p.Phase == verify.PhaseSource {
		if p.After == "" { // it begins, also again
			p.Tally, p.Samples = verify.Tally{}, nil
			job.beginsAnew(p)
		}
		var err error
		switch v.spec.Mode {
		case verify.Named:
			err = v.named(ctx)
		case verify.Sampled:
			err = v.sampled(ctx)
		default:
			err = v.listed(ctx)
		}
		if err != nil {
			return err
		}
		p.Enter(p.Next(v.spec.Mode))
		if err := v.save(ctx, job); err != nil {
			return err
		}
	}
	if p.Phase == verify.PhaseTarget {
		others, err := v.d.alsoWrite(ctx, v)
		defer func() {
			for _, o := range others {
				o.close()
			}
		}()
		if err == nil && v.resumed && !v.inverts() {
			err = v.fill(ctx)
		}
		if err == nil {
			err = v.extras(ctx, others)
		}
		if err != nil {
			return err
		}
		p.Enter(p.Next(v.spec.Mode))
		if err := v.save(ctx, job); err != nil {
			return err
		}
	}
	return v.repair(ctx, job)
}

// named compares the named records.
func (v *verifying) named(ctx context.Context) error {
	var list []candidate
	for _, k := range v.spec.Keys {
		key, err := canonicalKey(v.rule.Entity, string(k))
		if err != nil {
			return err
		}
		list = append(list, candidate{key: key})
	}
	v.part.Source = int64(len(list))
	return v.look(ctx, list)
}

// alsoWrite opens the other rules that write the object, with what they make remembered.
func (d *Daemon) alsoWrite(ctx context.Context, v *verifying) (others []*verifying, err error) {
	for _, r := range d.set().routes {
		if r.target.Name != v.r.target.Name || r.pair != nil {
			continue
		}
		for at := range r.compiled {
			if r.compiled[at].Object != v.rule.Object || r.id == v.r.id && r.compiled[at].ID == v.rule.ID {
				continue
			}
			if r.source.system.Capture.Mode == config.ModePush {
				return others, syncline.Errorf(syncline.Rejected, "source_cannot_read", "rule %s writes %s, too, and source %s cannot list its records: which are extra cannot be told",
					r.compiled[at].ID, v.part.Object, r.source.system.Name)
			}
			o, err := d.verifies(ctx, r, at)
			if err != nil {
				return others, err
			}
			others = append(others, o)
			o.part, o.spec, o.pace.rate = &verify.Part{}, v.spec, v.spec.Rate
			o.show = v.show
			if err := o.fill(ctx); err != nil {
				return others, err
			}
		}
	}
	return others, nil
}

// fill remembers what the rule makes of the source, without comparing it.
func (v *verifying) fill(ctx context.Context) error {
	v.seen, v.resumed = verify.NewKeySet(), false
	for after, limit := "", firstPage; ; {
		b, next, err := v.lister.List(ctx, syncline.Listing{Entity: v.rule.Entity, After: after, Limit: limit})
		if err != nil {
			return fmt.Errorf("list the source: %w", err)
		}
		for i := range b.Events {
			binding, err := v.rule.Fit(b.Events[i].Schema)
			if err != nil {
				return err
			}
			if binding.Admits != nil && !binding.Admits(&b.Events[i]) {
				v.remember(binding, &b.Events[i])
				continue
			}
			rows, err := v.rule.Records(ctx, binding, b, i)
			if err != nil {
				if ctx.Err() != nil || isTransient(err) {
					return err
				}
				v.remember(binding, &b.Events[i])
			}
			for _, values := range rows {
				if k, ok := (syncline.Row{Schema: binding.Written(), Values: values}).Key(); ok {
					v.seen.Add(k)
				}
			}
		}
		if err := v.show(ctx); err != nil {
			return err
		}
		if after = next; next == "" {
			return nil
		}
		if err := v.pace.rest(ctx, len(b.Events)); err != nil {
			return err
		}
		limit = nextPage(limit, b)
	}
}
