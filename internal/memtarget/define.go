package memtarget

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"syncline"
)

// Define makes the object fit the schema. A type widens from int to decimal and from any to text.
func (t *Target) Define(ctx context.Context, d syncline.Definition) (syncline.Defined, error) {
	if err := ctx.Err(); err != nil {
		return syncline.Defined{}, err
	}
	s := t.store
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.objects[d.Object]
	if d.Policy == syncline.SchemaHalt && d.Previous != nil && d.Previous.Fingerprint() != d.Schema.Fingerprint() {
		return syncline.Defined{}, syncline.Errorf(syncline.Fatal, "schema_changed", "the schema of %s changed", d.Schema.Entity)
	}
	if old == nil {
		if !d.Create {
			return syncline.Defined{}, missing(d.Object)
		}
		if d.Previous != nil && d.Reread != nil { // somebody removed it
			if err := d.Reread(ctx); err != nil {
				return syncline.Defined{}, err
			}
		}
		o := &object{columns: slices.Clone(d.Schema.Columns), key: d.Schema.KeyNames(), records: map[syncline.Key]*record{}}
		s.steps = append(s.steps, undo{s.setObjectLocked(d.Object, o)})
		return syncline.Defined{}, nil
	}
	if !slices.Equal(old.key, d.Schema.KeyNames()) {
		return syncline.Defined{}, syncline.Errorf(syncline.Fatal, "key_index_missing", "object %s has another key", d.Object)
	}
	o := &object{columns: slices.Clone(old.columns), key: old.key, records: old.records, heap: old.heap, shadows: old.shadows}
	done, changed, reread, err := o.evolve(d)
	if err == nil && reread && d.Reread != nil {
		err = d.Reread(ctx)
	}
	if err != nil || !changed {
		return done, err
	}
	s.steps = append(s.steps, undo{s.setObjectLocked(d.Object, o)})
	return done, nil
}

func (o *object) evolve(d syncline.Definition) (done syncline.Defined, changed, reread bool, err error) {
	for _, c := range d.Schema.Columns {
		at := slices.IndexFunc(o.columns, func(have syncline.Column) bool { return have.Name == c.Name })
		if at < 0 && c.Mark != nil && d.Policy != syncline.SchemaEvolve {
			return done, false, false, syncline.Errorf(syncline.Fatal, "column_missing", "object %s has no column %q", d.Object, c.Name)
		}
		reread = reread || at >= 0 && d.Regains(c.Name)
		switch {
		case at < 0 && d.Policy != syncline.SchemaEvolve:
			done.Warnings = append(done.Warnings, fmt.Sprintf("object %s has no column %q: it is not written", d.Object, c.Name))
		case at < 0:
			changed = true
			o.columns = append(o.columns, c)
			if v, ok := constant(c); ok {
				o.rewrite(func(values map[string]syncline.Value) { values[c.Name] = v })
			} else {
				reread = reread || c.Mark == nil
			}
		case o.columns[at].Kind == c.Kind:
		case d.Policy == syncline.SchemaEvolve && widens(o.columns[at].Kind, c.Kind):
			changed = true
			o.columns[at] = c
			o.rewrite(func(values map[string]syncline.Value) {
				if v := values[c.Name]; !v.IsNull() && !v.IsUnset() {
					values[c.Name] = syncline.Raw(c.Kind, v.Bytes())
				}
			})
		case d.Policy == syncline.SchemaEvolve:
			return done, false, false, syncline.Errorf(syncline.Fatal, "schema_retyped", "column %q of %s does not widen from %s to %s",
				c.Name, d.Object, o.columns[at].Kind, c.Kind)
		}
	}
	return done, changed, reread, nil
}

func widens(from, to syncline.Kind) bool {
	return to == syncline.KindText || from == syncline.KindInt && to == syncline.KindDecimal
}

// constant reads a default that is a quoted text.
func constant(c syncline.Column) (syncline.Value, bool) {
	d := c.Default
	if len(d) < 2 || d[0] != '\'' || d[len(d)-1] != '\'' {
		return syncline.Unset, false
	}
	return syncline.Raw(c.Kind, []byte(strings.ReplaceAll(d[1:len(d)-1], "''", "'"))), true
}

// rewrite changes the values of every record; the records themselves are replaced.
func (o *object) rewrite(change func(values map[string]syncline.Value)) {
	with := func(r *record) *record {
		next := &record{order: r.order, gone: r.gone, values: maps.Clone(r.values)}
		if !r.gone {
			change(next.values)
		}
		return next
	}
	records := make(map[syncline.Key]*record, len(o.records))
	for k, r := range o.records {
		records[k] = with(r)
	}
	heap := make([]*record, len(o.heap))
	for i, r := range o.heap {
		heap[i] = with(r)
	}
	o.records, o.heap = records, heap
}
