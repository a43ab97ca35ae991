package between

import (
	"bytes"

	"syncline"
	"syncline/internal/conflict"
)

// A conflict is told, and waits for a person, on one lane only: on that of the first side wherever that one has changed the record, and so
// hears of it in any case. One about a deletion is told on both: only the lane of the side that deleted the record follows the deletion if the
// change is taken back, and only the lane of the change tells what is left to decide if the record comes back. What a person decides is in the terms of the lane: ours is
// what its own side holds, theirs the other one.

// elsewhere reports whether the conflict is for the other lane to tell.
func (r *round) elsewhere(held [2]Held) bool {
	c := newComparison(held)
	if c.deleted(0) || c.deleted(1) {
		return false
	}
	return r.near == 1 && c.based[0] && c.changed(0)
}

// stateOf identifies what both sides hold.
func (r *round) stateOf(held [2]Held) []byte {
	var all []syncline.Value
	for _, side := range []int{r.near, 1 - r.near} {
		all = append(append(all, syncline.Bool(held[side].Record != nil)), held[side].Record...)
	}
	return conflict.StateOf(all)
}

// choose carries out what a person has decided about the i-th key; ok is false where nobody did, or the sides have changed since.
func (r *round) choose(i int, held [2]Held) (v Verdict, ok bool) {
	c, chosen := r.choices[i]
	if !chosen || !bytes.Equal(c.State, r.stateOf(held)) {
		return v, false
	}
	near, far := held[r.near].Record, held[1-r.near].Record
	switch c.Action {
	case conflict.Overwrite:
		v.Result = near
	case conflict.Skip:
		v.Result = far
	case conflict.Merged:
		base := far
		if base == nil {
			base = near
		}
		v.Result = r.merged(base, c.Values)
	default:
		return v, false
	}
	for side := range held {
		v.Write[side] = !equalRecords(held[side].Record, v.Result)
	}
	v.Note = !v.Write[0] && !v.Write[1]
	v.Fields = Decide(held, r.p.policy).Fields
	return v, true
}

// merged is the record with the values that a person gave, which are in the terms of the near side's rows.
func (r *round) merged(base Record, given []syncline.Value) Record {
	out := append(Record(nil), base...)
	row := syncline.Row{Schema: r.rowSchema, Values: given}
	for i := range out {
		if v := row.Field(r.p.mapping.schemas[r.near].Columns[i].Name); !v.IsUnset() {
			out[i] = v
		}
	}
	return out
}

// record tells of a conflict, or of what was decided about one.
func (r *round) record(held [2]Held, v Verdict, choice *conflict.Choice, moved bool) *conflict.Record {
	fields := v.Fields // those of a choice are what it was made about
	if !v.Conflict && choice == nil {
		fields = v.Decided
	}
	c := newComparison(held)
	near, far := held[r.near].Record, held[1-r.near].Record
	rec := &conflict.Record{Detector: conflict.Data, Fields: []string{}, Base: r.row(c.agreed), Ours: r.row(near), Theirs: r.row(far),
		Strategy: conflict.Manual, Action: conflict.Review, State: r.stateOf(held)}
	for _, i := range fields {
		rec.Fields = append(rec.Fields, r.p.mapping.schemas[r.near].Columns[i].Name)
	}
	switch {
	case v.Conflict:
		if moved {
			rec.Note = "the sides have changed since the decision"
		}
		return rec
	case choice != nil:
		rec.Action = choice.Action
	case equalRecords(v.Result, near):
		rec.Strategy, rec.Action = conflict.Merge, conflict.Overwrite
	case equalRecords(v.Result, far):
		rec.Strategy, rec.Action = conflict.Merge, conflict.Skip
	default:
		rec.Strategy, rec.Action = conflict.Merge, conflict.Merged
	}
	rec.Result = r.row(v.Result)
	if choice == nil {
		rec.Latest = r.latest(held, v.Decided)
	}
	return rec
}

// latest is the later time of the two by which the policy decided columns.
func (r *round) latest(held [2]Held, decided []int) (last conflict.Stamp) {
	if r.p.policy.Timed == nil {
		return last
	}
	for _, i := range decided {
		when := r.p.policy.Timed[i]
		if when < 0 {
			continue
		}
		for side := range held {
			if t := instant(held[side].Record[when]); t.After(last.Time) {
				last = conflict.Stamp{Time: t, Source: r.p.o.Sides[side].System}
			}
		}
	}
	return last
}

// row is a record in the terms of the near side's rows; what is not shared is unset.
func (r *round) row(rec Record) []syncline.Value {
	if rec == nil {
		return nil
	}
	out := make([]syncline.Value, len(r.rowSchema.Columns))
	for i := range out {
		out[i] = syncline.Unset
		if at := r.p.mapping.schemas[r.near].Index(r.rowSchema.Columns[i].Name); at >= 0 {
			out[i] = rec[at]
		}
	}
	return out
}
