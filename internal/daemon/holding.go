package daemon

import (
	"context"
	"errors"
	"time"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/document"
	"syncline/internal/expression"
	"syncline/internal/ops"
)

// holdingTime is how long a target may take to be opened and asked.
const holdingTime = 10 * time.Second

// wish is what a rule wants its target to hold of a record of the source, by the event that decides.
type wish struct {
	by     *occurrence
	schema *syncline.Schema
	// rows are the records that should be there, keys those to look for where none should: rows of which only the key counts.
	rows, keys []syncline.Row
	// unknown says why it cannot be told.
	unknown string
}

// fitting is a rule that looks at single events, each of which brings its schema along.
type fitting struct {
	*apply.Rule
	bindings map[uint64]*apply.Binding // by the schema's fingerprint
	// last is the schema that was asked for last, and its binding.
	last    *syncline.Schema
	binding *apply.Binding
}

func fit(r *apply.Rule) *fitting { return &fitting{Rule: r, bindings: make(map[uint64]*apply.Binding)} }

// Fit binds the rule to the schema, or to one like it.
func (f *fitting) Fit(s *syncline.Schema) (*apply.Binding, error) {
	if s == f.last {
		return f.binding, nil
	}
	print := s.Fingerprint()
	b := f.bindings[print]
	if b == nil {
		var err error
		if b, err = f.Rule.Fit(s); err != nil {
			return nil, err
		}
		f.bindings[print] = b
	}
	f.last, f.binding = s, b
	return b, nil
}

// wished returns what the rule wants by the newest event that it does not pass over; nil where there is none.
func wished(ctx context.Context, rule *fitting, events []occurrence) *wish {
	for i := len(events) - 1; i >= 0; i-- {
		o := &events[i]
		binding, err := rule.Fit(o.event().Schema)
		if err != nil {
			return &wish{by: o, unknown: err.Error()}
		}
		if passes(rule, binding, o) {
			continue
		}
		return wishBy(ctx, rule, binding, events[:i+1])
	}
	return nil
}

// passes reports whether the rule leaves the target as it is at such an event.
func passes(rule *fitting, binding *apply.Binding, o *occurrence) bool {
	ev := o.event()
	if ev.Op == syncline.OpTruncated || o.gone {
		return false
	}
	if rule.Action(ev) == apply.ActionIgnore || ev.Meta != nil && ev.Meta.Superseded || ev.After != nil && binding.Admits != nil && !binding.Admits(ev) {
		return true
	}
	if binding.Unchanged == nil || ev.Op != syncline.OpUpdated {
		return false
	}
	same, err := binding.Unchanged(o.batch, 0)
	return err == nil && same
}

// wishBy is what the last of the events wants.
func wishBy(ctx context.Context, rule *fitting, binding *apply.Binding, events []occurrence) *wish {
	o := &events[len(events)-1]
	ev := o.event()
	w := &wish{by: o, schema: binding.Written()}
	switch {
	case len(ev.Schema.Key) == 0:
		w.unknown = "the table has no key"
		return w
	case ev.Stub > 0:
		w.unknown = "the record was too large for the log"
		return w
	}
	if !o.gone && ev.After != nil {
		whole := filled(events)
		rows, err := rule.Records(ctx, binding, whole, 0)
		switch {
		case errors.Is(err, expression.ErrUnset):
			w.unknown = "a column that the rule needs was not sent: it is read from the source"
		case err != nil:
			w.unknown = err.Error()
		case len(rows) == 0 && rule.Action(ev) == apply.ActionUpdate && rule.Left == apply.ActionIgnore:
			w.unknown = "the rule does not want the record, and leaves what the target has (on: {left: ignore})"
		}
		if w.unknown != "" {
			return w
		}
		for _, values := range rows {
			w.rows = append(w.rows, syncline.Row{Schema: w.schema, Values: values})
		}
	}
	if len(w.rows) == 0 {
		w.lookFor(binding, events)
	}
	return w
}

// lookFor adds the key of the record that should not be there.
func (w *wish) lookFor(binding *apply.Binding, events []occurrence) {
	if binding.Split != nil {
		w.unknown = "which records it made is not known"
		return
	}
	for i := len(events) - 1; i >= 0; i-- {
		o := &events[i]
		ev := o.event()
		row := ev.Row().Values
		if o.gone {
			row = ev.Before
		}
		if row == nil { // a TRUNCATE
			continue
		}
		if binding.Key != nil {
			var err error
			if row, err = binding.Key(row); err != nil {
				w.unknown = err.Error()
				return
			}
		}
		w.keys = []syncline.Row{{Schema: w.schema, Values: row}}
		return
	}
	w.unknown = "the log has no event of the record itself"
}

// filled is the last event with what it did not send taken from those before, as far as they are of the same record.
func filled(events []occurrence) *syncline.Batch {
	last := &events[len(events)-1]
	ev := *last.event()
	ev.After = append([]syncline.Value(nil), ev.After...)
	for c := range ev.After {
		for i := len(events) - 2; i >= 0 && ev.After[c].IsUnset(); i-- {
			before := &events[i]
			from := before.event()
			at := from.Schema.Index(ev.Schema.Columns[c].Name)
			if before.gone || from.After == nil || at < 0 || from.Stub > 0 {
				break
			}
			ev.After[c] = from.After[at]
		}
	}
	b := *last.batch
	b.Events = []syncline.Event{ev}
	return &b
}

// held asks the target for what the wishes speak of, and returns the records in their order: of each those of its rows, or of its keys.
// Records that are only kept are not there.
func held(ctx context.Context, target syncline.Current, object string, wishes []*wish) ([][][]syncline.Value, error) {
	out := make([][][]syncline.Value, len(wishes))
	for from := 0; from < len(wishes); {
		to, schema := from, wishes[from].schema
		var rows []syncline.Row
		for ; to < len(wishes) && wishes[to].schema == schema; to++ {
			rows = append(append(rows, wishes[to].rows...), wishes[to].keys...)
		}
		var got [][]syncline.Value
		if len(rows) > 0 {
			var err error
			if got, err = target.Current(ctx, object, schema, rows); err != nil {
				return nil, err
			}
		}
		for i := from; i < to; i++ {
			n := len(wishes[i].rows) + len(wishes[i].keys)
			for _, values := range got[:n] {
				if values != nil && kept(schema, values) {
					values = nil
				}
				out[i] = append(out[i], values)
			}
			got = got[n:]
		}
		from = to
	}
	return out, nil
}

func kept(s *syncline.Schema, values []syncline.Value) bool {
	for i := range s.Columns {
		if m := s.Columns[i].Mark; m != nil && m.IsGone(values[i]) {
			return true
		}
	}
	return false
}

// compareHeld sets what the target holds beside what the wish wants.
func compareHeld(w *wish, got [][]syncline.Value) []ops.HeldRecord {
	var list []ops.HeldRecord
	at := func(key syncline.Row) ops.HeldRecord {
		k, _ := key.Key()
		return ops.HeldRecord{Key: string(k), Seq: uint64(w.by.seq), Index: w.by.index}
	}
	for i, row := range w.rows {
		r := at(row)
		r.Wanted = document.Show(row)
		if r.State = "missing"; got[i] != nil {
			r.Held = document.Show(syncline.Row{Schema: w.schema, Values: got[i]})
			r.Fields = differing(row, got[i])
			if r.State = "equal"; len(r.Fields) > 0 {
				r.State = "differs"
			}
		}
		list = append(list, r)
	}
	for i, key := range w.keys {
		r := at(key)
		if r.State = "absent"; got[i] != nil {
			r.State, r.Held = "extra", document.Show(syncline.Row{Schema: w.schema, Values: got[i]})
		}
		list = append(list, r)
	}
	return list
}

// differing are the fields of which the target holds something else. What was not sent, what the target computes and what it cannot tell
// is left out.
func differing(want syncline.Row, held []syncline.Value) []ops.HeldField {
	var list []ops.HeldField
	for i := range want.Schema.Columns {
		c, w, h := &want.Schema.Columns[i], want.Values[i], held[i]
		if c.Generated != "" || c.Mark != nil || w.IsUnset() || h.IsUnset() || syncline.Equal(w, h) {
			continue
		}
		list = append(list, ops.HeldField{Name: c.Name, Wanted: document.ShowValue(c, w), Held: document.ShowValue(c, h)})
	}
	return list
}
