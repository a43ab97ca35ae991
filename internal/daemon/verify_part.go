package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/capture"
	"syncline/internal/state"
	"syncline/internal/verify"
)

const (
	// firstPage and largestPage are how many records are listed at once; pageBytes is about how much memory they may take.
	firstPage   = 200
	largestPage = 4000
	pageBytes   = 4 << 20
	// settleKeys is how many records are looked at closely at once.
	settleKeys = 500
)

// verifying compares one rule for one entity with the object that it writes. It has connections of its own on both sides, so that it
// waits for nobody and nobody waits for it. It is used by one goroutine.
type verifying struct {
	d    *Daemon
	r    *route // the one at work
	own  *route // the same configuration: what is compiled is used by one goroutine
	spec *verify.Spec
	part *verify.Part

	rule    *fitting
	binding *apply.Binding // of the schema that the source has now
	matcher *verify.Matcher
	lister  *capture.Lister
	target  syncline.Target
	current syncline.Current
	// begun is the end of the log before anything was read.
	begun syncline.Seq
	seen  *verify.KeySet
	// resumed: what was seen before is not in seen.
	resumed bool

	found []state.Difference
	// resend is set for a two-way rule, whose records are repaired in another way.
	resend func(context.Context, []state.Difference) error
	// publish shows the part as it is, show does so and saves it now and then.
	publish func()
	show    func(ctx context.Context) error
	pace    pacer
}

// verifies opens what the comparison of a rule needs. Its error says why it cannot be compared.
func (d *Daemon) verifies(ctx context.Context, r *route, at int) (v *verifying, err error) {
	own := &route{id: r.id, rules: r.rules, source: r.source, target: r.target}
	own.outside.systems = r.outside.systems
	v = &verifying{d: d, r: r, own: own, seen: verify.NewKeySet()}
	defer func() {
		if err != nil {
			v.close()
			v = nil
		}
	}()
	rules, err := own.compile()
	if err != nil {
		return v, err
	}
	v.rule = fit(&rules[at])
	if v.lister, err = r.source.capture.Lister(); err != nil {
		return v, err
	}
	schema, err := d.describeEntity(ctx, r.source, v.rule.Entity)
	if err != nil {
		return v, err
	}
	if len(schema.Key) == 0 {
		return v, syncline.Errorf(syncline.Rejected, "verify_keyless", "%s/%s has no key, and records without one are not compared", r.source.system.Name, v.rule.Entity).
			WithFix("declare the entity's key")
	}
	if v.binding, err = v.rule.Fit(schema); err != nil {
		return v, err
	}
	v.matcher = verify.NewMatcher(v.binding.Written(), v.binding.Outside)
	v.matcher.Documents = holdsDocuments(r.target)
	if v.target, err = r.open(ctx); err != nil {
		return v, err
	}
	var ok bool
	if v.current, ok = v.target.(syncline.Current); !ok {
		return v, unreadable(r)
	}
	bounds, err := r.source.log.Bounds(ctx)
	v.begun = bounds.Last
	return v, err
}

// expires reports whether records vanish from the target by themselves.
func (v *verifying) expires() bool { return v.r.target.Redis != nil && v.r.target.Redis.TTL > 0 }

// unreadable is the error of a target that only takes.
func unreadable(r *route) error {
	return syncline.Errorf(syncline.Rejected, "target_unreadable", "what %s holds cannot be read", r.target.Name).
		WithFix("compare there, or with what was delivered: `syncline tasks --route %s`", r.id)
}

func (v *verifying) close() {
	if v.lister != nil {
		_ = v.lister.Close() // it was only read
	}
	if v.target != nil {
		_ = v.target.Close()
	}
	_ = v.own.outside.Close()
}

// listed compares the source's records with what the target holds, page by page.
func (v *verifying) listed(ctx context.Context) error {
	limit := firstPage
	for {
		b, next, err := v.lister.List(ctx, syncline.Listing{Entity: v.rule.Entity, After: v.part.After, Limit: limit})
		if err != nil {
			return fmt.Errorf("list the source: %w", err)
		}
		if err := v.whole(ctx, b); err != nil || next == "" {
			return err
		}
		v.part.After = next
		if err := v.show(ctx); err != nil {
			return err
		}
		if err := v.pace.rest(ctx, len(b.Events)); err != nil {
			return err
		}
		limit = nextPage(limit, b)
	}
}

// sampled compares records that were chosen at random.
func (v *verifying) sampled(ctx context.Context) error {
	b, _, err := v.lister.List(ctx, syncline.Listing{Entity: v.rule.Entity, Limit: v.spec.Sample, Sample: true})
	if err != nil {
		return fmt.Errorf("list the source: %w", err)
	}
	for from := 0; from < len(b.Events); from += largestPage {
		page := *b
		page.Events = b.Events[from:min(from+largestPage, len(b.Events))]
		if err := v.whole(ctx, &page); err != nil {
			return err
		}
		if err := v.show(ctx); err != nil {
			return err
		}
		if err := v.pace.rest(ctx, len(page.Events)); err != nil {
			return err
		}
	}
	return nil
}

// nextPage is how many records are listed next, by the size of those of this page.
func nextPage(limit int, b *syncline.Batch) int {
	size := 0
	for i := range b.Events {
		for _, v := range b.Events[i].After {
			size += len(v.Bytes()) + 32
		}
	}
	if len(b.Events) == 0 || size == 0 {
		return limit
	}
	return max(min(4*limit, largestPage, pageBytes*len(b.Events)/size), 1)
}

// whole compares a page, or counts nothing of it: it is compared again.
func (v *verifying) whole(ctx context.Context, b *syncline.Batch) error {
	was, found := *v.part, len(v.found)
	was.Samples, was.Notes = slices.Clone(was.Samples), slices.Clone(was.Notes)
	err := v.page(ctx, b)
	if err != nil {
		*v.part, v.found = was, v.found[:found]
	}
	return err
}

// page compares the records of a listing. What differs at first sight is looked at closely.
func (v *verifying) page(ctx context.Context, b *syncline.Batch) error {
	var rows []syncline.Row
	var ends []int // of each event's rows
	var of []int   // the events
	var unequal []candidate
	var schema *syncline.Schema
	for i := range b.Events {
		ev := &b.Events[i]
		v.part.Source++
		binding, err := v.rule.Fit(ev.Schema)
		if err != nil {
			return err
		}
		key, ok := ev.Key()
		if !ok {
			return syncline.Errorf(syncline.Transient, "schema_changed", "the key of %s changes", v.rule.Entity)
		}
		if binding.Admits != nil && !binding.Admits(ev) {
			v.part.Policy++
			v.part.Note("the rule chooses events, by priority or type: what the target holds of a record cannot be told by the record")
			v.remember(binding, ev)
			continue
		}
		made, err := v.rule.Records(ctx, binding, b, i)
		switch {
		case err != nil && ctx.Err() != nil:
			return ctx.Err()
		case err != nil && syncline.ClassOf(err) == syncline.Transient:
			return err
		case err != nil: // it is parked, or will be
			unequal = append(unequal, candidate{key: key})
			v.remember(binding, ev)
			continue
		case len(made) == 0:
			v.part.Filtered++
			continue
		}
		schema = binding.Written()
		for _, values := range made {
			row := syncline.Row{Schema: schema, Values: values}
			if k, ok := row.Key(); ok && v.seen != nil {
				v.seen.Add(k)
			}
			rows = append(rows, row)
		}
		of, ends = append(of, i), append(ends, len(rows))
	}
	if len(rows) > 0 {
		got, err := v.current.Current(ctx, v.rule.Object, schema, rows)
		if err != nil {
			return fmt.Errorf("read the target: %w", err)
		}
		from := 0
		for n, i := range of {
			equal, enriched, expired := true, false, false
			for ; from < ends[n]; from++ {
				if got[from] == nil && v.expires() {
					expired = true
					continue
				}
				same, outside := got[from] != nil && !verify.Kept(schema, got[from]), false
				if same {
					same, outside = v.matcher.Equal(rows[from].Values, got[from])
				}
				equal, enriched = equal && same, enriched || outside
			}
			if !equal {
				key, _ := b.Events[i].Key()
				unequal = append(unequal, candidate{key: key})
				continue
			}
			if expired { // it is not asked for: of a cache, that may be most records
				v.part.Count(&verify.Finding{Class: verify.ClassPolicy})
				v.part.Note("records expire at the target (ttl): one that is not there is no difference")
				continue
			}
			v.part.Count(&verify.Finding{Enriched: enriched})
		}
	}
	return v.look(ctx, unequal)
}

// remember takes note of a record's target key although nothing is made of it: it is not one that nobody makes.
func (v *verifying) remember(binding *apply.Binding, ev *syncline.Event) {
	if k, ok := binding.TargetKey(ev.Row().Values); ok && v.seen != nil {
		v.seen.Add(k)
	}
}

// look settles what differs at first sight, and counts what it comes to.
func (v *verifying) look(ctx context.Context, list []candidate) error {
	for len(list) > 0 {
		some := list[:min(settleKeys, len(list))]
		list = list[len(some):]
		findings, err := v.settle(ctx, some)
		if err != nil {
			return err
		}
		for i := range findings {
			v.count(&findings[i])
		}
	}
	return nil
}

// count counts a finding.
func (v *verifying) count(f *finding) {
	v.part.Count(&f.Finding)
	if f.Class != verify.ClassDiffers {
		return
	}
	d := state.Difference{Rule: v.rule.ID, Key: f.Target, Source: f.key, Kind: string(f.Kind), Fields: f.Fields, State: differenceFound}
	if f.foreign {
		d.State = differenceForeign
	}
	v.found = append(v.found, d)
}

// isTransient reports whether it is worth while to try again.
func isTransient(err error) bool {
	return syncline.ClassOf(err) == syncline.Transient && !errors.Is(err, context.Canceled)
}
