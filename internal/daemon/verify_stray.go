package daemon

import (
	"context"
	"fmt"
	"slices"

	"syncline"
	"syncline/internal/verify"
)

// strays looks at what stands at the target where records of the object would, and no route has written. What a route would write there is
// looked at as any record that no rule was seen to make. Anything else is somebody else's: it is told, and no repair touches it.
func (v *verifying) strays(ctx context.Context, lister syncline.StrayLister, schema *syncline.Schema, others []*verifying) error {
	err := lister.Strays(ctx, v.rule.Object, schema, func(_ int, found []syncline.Stray) error {
		var records, foreign []syncline.Row
		for _, s := range found {
			k, ok := s.Row.Key()
			if !ok || s.Record && verify.Kept(schema, s.Row.Values) || v.seen.Has(k) || slices.ContainsFunc(others, func(o *verifying) bool { return o.seen.Has(k) }) {
				continue // what a rule makes was compared with what stands there
			}
			if v.part.Target++; s.Record {
				records = append(records, s.Row)
			} else {
				foreign = append(foreign, s.Row)
			}
		}
		for len(records) > 0 {
			n := min(extraKeys, len(records))
			if err := v.unseen(ctx, records[:n], others); err != nil {
				return err
			}
			records = records[n:]
		}
		if err := v.foreign(ctx, foreign, others); err != nil {
			return err
		}
		return v.show(ctx)
	})
	switch {
	case syncline.CodeOf(err) == "redis_no_prefix":
		v.part.Note(err.Error())
		return nil
	case err != nil:
		return fmt.Errorf("look for what no route has written: %w", err)
	}
	return nil
}

// foreign counts what is no record, unless a rule makes one that was not seen yet and will take its place.
func (v *verifying) foreign(ctx context.Context, rows []syncline.Row, others []*verifying) error {
	for _, w := range append([]*verifying{v}, others...) {
		if len(rows) == 0 {
			return nil
		}
		if !w.inverts() {
			continue // all that it makes was seen
		}
		keys := make([]syncline.Key, len(rows))
		for i := range rows {
			keys[i] = w.sourceKey(&rows[i])
		}
		made, err := w.makes(ctx, keys)
		if err != nil {
			return err
		}
		rows = slices.DeleteFunc(rows, func(r syncline.Row) bool {
			k, _ := r.Key()
			return made[k]
		})
	}
	for i := range rows {
		f := finding{Finding: verify.Finding{Class: verify.ClassDiffers, Kind: verify.Extra}, foreign: true}
		f.Target, _ = rows[i].Key()
		v.count(&f)
	}
	if len(rows) > 0 {
		v.part.Note("among what is extra is what holds no record of the rule and was written by somebody else: no repair removes it")
	}
	return nil
}
