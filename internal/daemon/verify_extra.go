package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"syncline"
	"syncline/internal/verify"
)

// What the target has and no rule makes. A record belongs to the rules that write its object: it is extra only if none of them makes it.

const (
	// extraKeys is how many records that nobody was seen to make are looked at at once.
	extraKeys = 500
	// keptKeys is how many of them are kept until the listing is over. A target may hold a snapshot for as long as it is listed, so that
	// nothing else is done meanwhile unless there are more.
	keptKeys = 100_000
)

// extras lists the target's records and looks at those that were not seen among what the rule makes. others are the other rules that
// write the object.
func (v *verifying) extras(ctx context.Context, others []*verifying) error {
	target, err := v.r.open(ctx) // beside the one that is asked for records
	if err != nil {
		return err
	}
	defer target.Close() //nolint:errcheck // it was only read
	scanner, ok := target.(syncline.Scanner)
	if !ok {
		return unreadable(v.r)
	}
	schema := verify.KeysOf(v.binding.Written())
	var some []syncline.Row
	count := 0
	flush := func() error {
		for len(some) > 0 {
			n := min(extraKeys, len(some))
			if err := v.unseen(ctx, some[:n], others); err != nil {
				return err
			}
			some = some[n:]
		}
		some = nil
		return nil
	}
	err = scanner.Scan(ctx, v.rule.Object, schema, func(r syncline.Row) error {
		if verify.Kept(schema, r.Values) {
			return nil
		}
		v.part.Target++
		if count++; count%largestPage == 0 {
			if err := v.show(ctx); err != nil {
				return err
			}
		}
		k, ok := r.Key()
		if !ok || v.seen.Has(k) || slices.ContainsFunc(others, func(o *verifying) bool { return o.seen.Has(k) }) {
			return nil
		}
		if some = append(some, r); len(some) >= keptKeys {
			return flush()
		}
		return nil
	})
	if err != nil && syncline.CodeOf(err) != "object_missing" { // it is made with the first record
		return fmt.Errorf("list the target: %w", err)
	}
	if err := flush(); err != nil {
		return err
	}
	if lister, ok := target.(syncline.StrayLister); ok {
		if err := v.strays(ctx, lister, schema, others); err != nil {
			return err
		}
	}
	return v.pace.rest(ctx, count)
}

// unseen looks at records of the target that nobody was seen to make: they came meanwhile, or are extra.
func (v *verifying) unseen(ctx context.Context, rows []syncline.Row, others []*verifying) error {
	findings := make(map[syncline.Key]finding)
	for _, w := range append([]*verifying{v}, others...) {
		var err error
		if rows, err = w.disowns(ctx, rows, findings); err != nil || len(rows) == 0 {
			return err
		}
	}
	for i := range rows {
		k, _ := rows[i].Key()
		f := findings[k]
		f.Target, f.Kind = k, verify.Extra
		if f.Class != verify.ClassEqual { // else it is gone by now
			v.count(&f)
		}
	}
	return v.show(ctx)
}

// disowns returns which of the target's records the rule does not make. findings gets what each came to, of the first rule that was asked.
func (v *verifying) disowns(ctx context.Context, rows []syncline.Row, findings map[syncline.Key]finding) ([]syncline.Row, error) {
	if !v.inverts() {
		return v.untouched(ctx, rows, findings)
	}
	keys := make([]syncline.Key, len(rows))
	for i := range rows {
		keys[i] = v.sourceKey(&rows[i])
	}
	var list []candidate
	if v.resumed || !v.seen.Whole() { // most of them are simply not remembered
		made, err := v.makes(ctx, keys)
		if err != nil {
			return nil, err
		}
		rows = slices.DeleteFunc(rows, func(r syncline.Row) bool {
			k, _ := r.Key()
			return made[k]
		})
	}
	for i := range rows {
		list = append(list, candidate{key: v.sourceKey(&rows[i]), extra: &rows[i]})
	}
	found, err := v.settle(ctx, list)
	if err != nil {
		return nil, err
	}
	var left []syncline.Row
	for i := range found {
		f := &found[i]
		if f.Wanted {
			continue // it came after its place in the list was read, and is compared the next time
		}
		k, _ := f.extra.Key()
		if _, known := findings[k]; !known {
			findings[k] = *f
		}
		left = append(left, *f.extra)
	}
	return left, nil
}

// inverts reports whether the source's key can be told from the target's.
func (v *verifying) inverts() bool { return v.binding.Key == nil || v.binding.SameKey }

// sourceKey is the key of the source's record of which one with this key would be made.
func (v *verifying) sourceKey(row *syncline.Row) syncline.Key {
	n := len(row.Schema.Key)
	if s := v.binding.Split; s != nil {
		n = min(n, s.Parent)
	}
	parts := make([]syncline.Value, n)
	for i, at := range row.Schema.Key[:n] {
		parts[i] = row.Values[at]
	}
	return syncline.MakeKey(parts...)
}

// makes returns the target keys that the rule makes of the source's records with these keys.
func (v *verifying) makes(ctx context.Context, keys []syncline.Key) (map[syncline.Key]bool, error) {
	made := make(map[syncline.Key]bool)
	b, _, err := v.lister.List(ctx, syncline.Listing{Entity: v.rule.Entity, Keys: keys})
	switch {
	case err == nil:
	case syncline.CodeOf(err) != "bad_key":
		return nil, fmt.Errorf("list the source: %w", err)
	case len(keys) == 1: // it cannot be of the entity
		return made, nil
	default: // the source refuses all where one of them cannot be
		for _, half := range [][]syncline.Key{keys[:len(keys)/2], keys[len(keys)/2:]} {
			some, err := v.makes(ctx, half)
			if err != nil {
				return nil, err
			}
			maps.Copy(made, some)
		}
		return made, nil
	}
	for i := range b.Events {
		binding, err := v.rule.Fit(b.Events[i].Schema)
		if err != nil {
			return nil, err
		}
		rows, err := v.rule.Records(ctx, binding, b, i)
		if err != nil {
			if ctx.Err() != nil || syncline.ClassOf(err) == syncline.Transient {
				return nil, err
			}
			if k, ok := binding.TargetKey(b.Events[i].After); ok {
				made[k] = true
			}
		}
		for _, values := range rows {
			if k, ok := (syncline.Row{Schema: binding.Written(), Values: values}).Key(); ok {
				made[k] = true
			}
		}
	}
	return made, nil
}

// untouched returns which of the records no event speaks of that the log has since the comparison began, for a rule that computes keys:
// a record of the source that was there all the time would have been seen.
func (v *verifying) untouched(ctx context.Context, rows []syncline.Row, findings map[syncline.Key]finding) ([]syncline.Row, error) {
	if v.resumed || !v.seen.Whole() {
		for i := range rows {
			k, _ := rows[i].Key()
			findings[k] = unsettled(candidate{}, "the rule computes keys, and not all that it makes is remembered: which records are extra cannot be told")
		}
		return rows, nil
	}
	waiting, err := v.waiting(ctx, nil)
	if err != nil {
		return nil, err
	}
	bounds, err := v.r.source.log.Bounds(ctx)
	if err != nil {
		return nil, err
	}
	if err := v.passes(ctx, bounds.Last); err != nil {
		if behind := (*behindError)(nil); !errors.As(err, &behind) {
			return nil, err
		}
		for i := range rows {
			k, _ := rows[i].Key()
			findings[k] = unsettled(candidate{}, err.Error())
		}
		return rows, nil
	}
	got, err := v.current.Current(ctx, v.rule.Object, rows[0].Schema, rows)
	if err != nil {
		return nil, fmt.Errorf("read the target: %w", err)
	}
	touched, err := v.touched(ctx)
	if err != nil {
		return nil, err
	}
	var left []syncline.Row
	for i := range rows {
		k, _ := rows[i].Key()
		if touched[k] {
			continue // it came or went meanwhile
		}
		f := finding{Finding: verify.Finding{Class: verify.Unmade(got[i] != nil, waiting[k])}}
		if _, known := findings[k]; !known {
			findings[k] = f
		}
		left = append(left, rows[i])
	}
	return left, nil
}

// touched are the target keys of all events of the entity since the comparison began.
func (v *verifying) touched(ctx context.Context) (map[syncline.Key]bool, error) {
	keys := make(map[syncline.Key]bool)
	bounds, err := v.r.source.log.Bounds(ctx)
	if err != nil || bounds.Last <= v.begun {
		return keys, err
	}
	w, err := v.r.logFrom(ctx, v.begun+1)
	if err != nil {
		return nil, err
	}
	defer w.Close() //nolint:errcheck // it holds nothing that could be lost
	for {
		e, b, err := w.next(ctx)
		if err != nil {
			return nil, err
		}
		for i := range b.Events {
			ev := &b.Events[i]
			if ev.Schema.Entity != v.rule.Entity || ev.Op == syncline.OpTruncated {
				continue
			}
			binding, err := v.rule.Fit(ev.Schema)
			if err != nil {
				return nil, err
			}
			if ev.After != nil {
				rows, err := v.rule.Records(ctx, binding, b, i)
				if err != nil && ctx.Err() != nil {
					return nil, err
				}
				for _, values := range rows {
					if k, ok := (syncline.Row{Schema: binding.Written(), Values: values}).Key(); ok {
						keys[k] = true
					}
				}
			}
			for _, row := range [][]syncline.Value{ev.Before, ev.After} {
				if row != nil {
					if k, ok := binding.TargetKey(row); ok {
						keys[k] = true
					}
				}
			}
		}
		if e.Seq >= bounds.Last {
			return keys, nil
		}
	}
}
