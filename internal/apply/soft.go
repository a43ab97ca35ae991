package apply

import (
	"slices"

	"syncline"
)

// A rule that keeps records (Marks) and has a conflict section decides about a removal as every other rule does: a record that is only kept
// is none, and whether one goes is decided by what others changed in it. What differs is how it goes: it is written with the note.

// present is what the target holds as decisions are to see it. A column that notes nothing says that the record is there, whichever way.
func (r *bound) present(held syncline.Held) syncline.Held {
	if r.Marks == nil || held.Values == nil {
		return held
	}
	columns, cloned := r.binding.Out.Columns, false
	for i := len(columns) - len(r.Marks.Columns); i < len(columns); i++ {
		mark, v := columns[i].Mark, held.Values[i]
		if mark.IsGone(v) {
			return syncline.Held{Shadow: held.Shadow}
		}
		if v.IsNull() && !mark.Live.IsNull() {
			if !cloned {
				held.Values, cloned = slices.Clone(held.Values), true
			}
			held.Values[i] = mark.Live
		}
	}
	return held
}

// leaves returns what there is of the record once the event is decided, given what the events before it in the change wrote; nil where it
// is removed and not kept.
func (s *spoken) leaves(d syncline.Decision, before []syncline.Value) []syncline.Value {
	switch {
	case d.Op == syncline.ChangePut:
		return over(before, d.Values)
	case d.Op == syncline.ChangeDelete && s.kept == nil:
		return nil
	case d.Op == syncline.ChangeDelete:
		return over(before, s.kept)
	}
	return before
}

// over is the row with the values that are set in another one.
func over(row, values []syncline.Value) []syncline.Value {
	if row == nil {
		return values
	}
	out := slices.Clone(row)
	for i, v := range values {
		if !v.IsUnset() {
			out[i] = v
		}
	}
	return out
}

// keeping turns the removal of a record into the note that it is gone. stored tells whether the target has it: none is made of which no
// more than the key and the note are known.
func (r *bound) keeping(d syncline.Decision, values []syncline.Value, stored bool) syncline.Decision {
	if d.Op != syncline.ChangeDelete || values == nil || !stored && !r.row(values).Whole() {
		return d
	}
	d.Op, d.Values = syncline.ChangePut, values
	return d
}
