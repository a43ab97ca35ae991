package conflict

import (
	"slices"
	"strings"

	"syncline"
	"syncline/internal/expression"
	"syncline/internal/plant"
)

// winner is whose value of a field stands.
type winner uint8

const (
	nobody winner = iota // a person decides
	us
	them
	both // a value made of both
)

// resolve decides what was detected, field by field where the target has the record and the event does not remove it, else as a whole.
func (d *deciding) resolve(detector Detector, rule string) (Verdict, error) {
	rec := d.record(detector, rule)
	if d.ours == nil || d.theirs == nil {
		return d.whole(rec), nil
	}
	values, err := d.mix(rec)
	if err != nil {
		return Verdict{}, err
	}
	rec.Latest = d.latest
	if rec.Action == Review {
		return d.review(rec), nil
	}
	v := d.put(values, syncline.OutcomeApplied)
	if v.Outcome == syncline.OutcomeApplied && rec.Action == Skip && !slices.ContainsFunc(d.unkeyed(values), func(i int) bool { return !values[i].IsUnset() }) {
		v.Op, v.Values, v.Outcome = 0, nil, syncline.OutcomeKept
	}
	rec.Result = merged(values, d.theirs)
	return d.decided(v, rec), nil
}

// record begins the record of a conflict.
func (d *deciding) record(detector Detector, rule string) *Record {
	rec := &Record{Detector: detector, Rule: rule, Base: d.known(), Ours: d.ours, Theirs: d.theirs, Strategy: d.r.Strategy, State: StateOf(d.theirs)}
	for _, i := range d.overlaps {
		rec.Fields = append(rec.Fields, d.r.schema.Columns[i].Name)
	}
	return rec
}

// known is what our source said last, as far as it is known.
func (d *deciding) known() []syncline.Value {
	row := make([]syncline.Value, len(d.r.schema.Columns))
	any := false
	for i := range row {
		row[i] = syncline.Unset
		if d.r.key[i] && d.ours != nil {
			row[i] = d.ours[i]
		} else if v, ok := d.lastSaid(i); ok {
			row[i], any = v, true
		}
	}
	if !any {
		return nil
	}
	return row
}

// unkeyed are the columns outside of the key.
func (d *deciding) unkeyed(values []syncline.Value) []int {
	var list []int
	for i := range values {
		if !d.r.key[i] {
			list = append(list, i)
		}
	}
	return list
}

// mix makes the values to write: those that only we changed, and of the overlaps what their policies say.
func (d *deciding) mix(rec *Record) ([]syncline.Value, error) {
	values := slices.Clone(d.ours)
	if d.r.detects(Data) && !d.fresh {
		for i := range values {
			if !d.r.key[i] && !values[i].IsUnset() && !d.theirs[i].IsUnset() && !d.weChanged(i) && !slices.Contains(d.overlaps, i) {
				values[i] = syncline.Unset
			}
		}
	}
	var ours, theirs, mixed int
	for _, i := range d.overlaps {
		w, v, err := d.field(i)
		if err != nil {
			return nil, err
		}
		switch w {
		case us:
			ours++
		case them:
			theirs++
			values[i] = syncline.Unset
		case both:
			mixed++
			values[i] = v
		default:
			rec.Action, rec.Note = Review, d.note()
			return nil, nil
		}
	}
	switch {
	case mixed > 0 || ours > 0 && theirs > 0:
		rec.Action = Merged
	case ours > 0:
		rec.Action = Overwrite
	default:
		rec.Action = Skip
	}
	rec.Note = d.note()
	return values, nil
}

// field resolves one field that both sides changed.
func (d *deciding) field(i int) (winner, syncline.Value, error) {
	if _, known := d.lastSaid(i); d.fresh && !known {
		return map[Side]winner{Ours: us, "": us, Theirs: them}[d.r.NoBase], syncline.Unset, nil
	}
	f := &d.r.fields[i]
	policy := f.Policy
	if policy == "" {
		policy = map[Strategy]FieldPolicy{LastWriteWins: FieldNewest, SourcePriority: FieldPriority, Merge: FieldManual, Manual: FieldManual}[d.r.Strategy]
	}
	switch policy {
	case FieldNewest:
		return d.newer(d.theirStamp(i)), syncline.Unset, nil
	case FieldPriority:
		sources := d.r.Sources
		if len(f.Sources) > 0 {
			sources = f.Sources
		}
		return d.better(sources, d.theirStamp(i)), syncline.Unset, nil
	case FieldOurs:
		return us, syncline.Unset, nil
	case FieldTheirs:
		return them, syncline.Unset, nil
	case FieldSum:
		base, ok := d.lastSaid(i)
		if !ok {
			d.notes = append(d.notes, d.r.schema.Columns[i].Name+": nothing tells what the two changes began with")
			return nobody, syncline.Unset, nil
		}
		v, err := Sum(d.ours[i], d.theirs[i], base)
		return both, v, err
	case FieldUnion:
		v, err := Union(d.ours[i], d.theirs[i])
		return both, v, err
	case FieldExpression:
		v, err := f.expression.Value(&expression.Input{Batch: d.ev.Batch, Index: d.ev.At, After: d.ours, Before: d.theirs})
		if err != nil {
			return nobody, v, syncline.Errorf(syncline.Rejected, "conflict_failed", "field %s: %w", d.r.schema.Columns[i].Name, err)
		}
		return both, v, nil
	}
	return nobody, syncline.Unset, nil
}

// theirStamp tells who wrote what the target has in a column: a source whose value it still is, else somebody at the target, at the time
// that the record itself tells. Without a time it is older than anything.
func (d *deciding) theirStamp(i int) Stamp {
	if s, ok := d.written(i); ok {
		return s
	}
	return d.atTarget()
}

// atTarget is the stamp of somebody at the target.
func (d *deciding) atTarget() Stamp {
	s := Stamp{Source: d.r.target}
	if d.r.time >= 0 && d.theirs != nil {
		if t, err := expression.Instant(d.theirs[d.r.time]); err == nil {
			s.Time = t
			return s
		}
	}
	d.notes = append(d.notes, "nothing tells when the target was changed")
	return s
}

// newer compares our event with their stamp.
func (d *deciding) newer(theirs Stamp) winner {
	for _, s := range []Stamp{d.ev.Stamp, theirs} {
		if s.Compare(d.latest) > 0 {
			d.latest = s
		}
	}
	if d.ev.Stamp.Compare(theirs) >= 0 || plant.LastHeardWins {
		return us
	}
	return them
}

// better compares the ranks of the sources; of one source, and of two that are not ranked, the later write wins.
func (d *deciding) better(sources []string, theirs Stamp) winner {
	rank := func(source string) int {
		if at := slices.Index(sources, source); at >= 0 {
			return at
		}
		return len(sources)
	}
	switch a, b := rank(d.ev.Stamp.Source), rank(theirs.Source); {
	case a < b:
		return us
	case a > b:
		return them
	}
	return d.newer(theirs)
}

// whole decides about a record that one side removed and the other changed.
func (d *deciding) whole(rec *Record) Verdict {
	w := nobody
	switch d.r.Deleted {
	case Ours:
		w = us
	case Theirs:
		w = them
	case Ask:
	default:
		theirs := d.lastStamp()
		switch d.r.Strategy {
		case LastWriteWins:
			w = d.newer(theirs)
		case SourcePriority:
			w = d.better(d.r.Sources, theirs)
		}
	}
	rec.Note, rec.Latest = d.note(), d.latest
	switch w {
	case us:
		rec.Action, rec.Result = Overwrite, d.ours
		if d.ours == nil {
			return d.decided(d.remove(syncline.OutcomeApplied), rec)
		}
		return d.decided(d.put(d.ours, syncline.OutcomeApplied), rec)
	case them:
		rec.Action, rec.Result = Skip, d.theirs
		return d.decided(d.keep(), rec)
	}
	return d.review(rec)
}

// lastStamp is the newest of what the target has, or of its removal.
func (d *deciding) lastStamp() Stamp {
	if d.theirs == nil {
		if d.shadow.gone >= 0 {
			return d.shadow.stamps[d.shadow.gone]
		}
		return d.atTarget()
	}
	last := Stamp{}
	for n, i := range d.overlaps {
		if s := d.theirStamp(i); n == 0 || s.Compare(last) > 0 {
			last = s
		}
	}
	return last
}

// keep leaves the record as the target has it; that the event was heard is remembered.
func (d *deciding) keep() Verdict {
	d.heard(nil)
	return Verdict{Decision: syncline.Decision{Outcome: syncline.OutcomeKept}}
}

// review puts the record before a person. Nothing is written or remembered: the event comes again with the decision.
func (d *deciding) review(rec *Record) Verdict {
	rec.Action = Review
	v := d.leave(syncline.OutcomeConflict)
	v.Conflict = rec
	return v
}

// decided adds the record, unless the columns that are missing must be read from the source first.
func (d *deciding) decided(v Verdict, rec *Record) Verdict {
	if v.Outcome != syncline.OutcomeMissing {
		v.Conflict = rec
	}
	return v
}

func (d *deciding) note() string {
	slices.Sort(d.notes)
	return strings.Join(slices.Compact(d.notes), "; ")
}

// merged is a record after values have been written over it.
func merged(values, over []syncline.Value) []syncline.Value {
	out := slices.Clone(values)
	for i := range out {
		if out[i].IsUnset() && over != nil {
			out[i] = over[i]
		}
	}
	return out
}
