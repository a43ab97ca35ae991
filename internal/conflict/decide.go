package conflict

import (
	"crypto/sha256"
	"encoding/binary"

	"syncline"
	"syncline/internal/expression"
)

// Event is the newest event of a change, as far as conflicts depend on it.
type Event struct {
	// Log, Seq and Index say where it stands: an event at or before the last one of its log is never decided about again.
	Log   Digest
	Seq   syncline.Seq
	Index int
	Stamp Stamp
	// Version is the record's own; 0 = none.
	Version int64
	// Reread: the record was read again, and did not change now: an equal version is no duplicate.
	Reread bool
	// Batch and At are the event itself, for expressions.
	Batch *syncline.Batch
	At    int
}

// Action is what became of a conflict.
type Action string

const (
	Overwrite Action = "overwrite" // the event's values stand
	Skip      Action = "skip"      // the target's values stand
	Merged    Action = "merge"     // some of each
	Review    Action = "review"    // a person decides
)

// Record tells of one conflict, for the conflict log. Rows are in the terms of the resolver's schema; nil = no record.
type Record struct {
	Detector Detector
	// Rule is the name of the business rule.
	Rule string
	// Fields are those that the two disagree about.
	Fields             []string
	Base, Ours, Theirs []syncline.Value
	// Result is what the target has afterwards; nil for Review, and where there is no record then.
	Result   []syncline.Value
	Strategy Strategy
	Action   Action
	// Note says what the decision had to do without.
	Note string
	// State identifies what the target held, see StateOf.
	State []byte
	// Latest is the latest of the stamps that were compared; the zero value where time decided nothing.
	Latest Stamp
}

// Verdict is what Decide makes of a change.
type Verdict struct {
	syncline.Decision
	// Conflict is nil where there was none.
	Conflict *Record
}

// StateOf identifies a record as a target holds it.
func StateOf(values []syncline.Value) []byte {
	h := sha256.New()
	var buf []byte
	for _, v := range values {
		buf = syncline.AppendCanonical(buf[:0], v)
		h.Write(binary.AppendUvarint(nil, uint64(len(buf)))) //nolint:errcheck // a hash never fails
		h.Write(buf)                                         //nolint:errcheck // the same
	}
	if values == nil {
		return []byte{}
	}
	return h.Sum(nil)[:16]
}

// deciding is the decision about one event of a turn.
type deciding struct {
	*Turn
	ev   *Event
	ours []syncline.Value // nil = the event removes the record
	base []syncline.Value // what the event replaced, as far as it tells
	// overlaps are the columns that both sides changed.
	overlaps []int
	notes    []string
	latest   Stamp // of those that were compared
}

// Decide judges a change. ours is the record as the rule made it, with unset values for what the source did not send, nil for a
// removal; base what the first event in the change replaced, nil or unset where it does not tell.
func (r *Resolver) Decide(ev *Event, ours, base []syncline.Value, held syncline.Held) (Verdict, error) {
	t, err := r.Begin(held)
	if err != nil {
		return Verdict{}, err
	}
	v, err := t.judge(ev, ours, base)
	if err != nil {
		return Verdict{}, err
	}
	v.Shadow, v.Recallable = t.stored(), t.recallable(v.Values)
	return v, nil
}

// judge decides about the next event.
func (t *Turn) judge(ev *Event, ours, base []syncline.Value) (Verdict, error) {
	d := t.next(ev, ours, base)
	if d.shadow.knows(ev.Log, ev.Seq, ev.Index) {
		return d.leave(syncline.OutcomeStale), nil
	}
	if v, stop := d.version(); stop {
		return v, nil
	}
	if d.recalled && ours == nil {
		return Verdict{}, syncline.ErrUnread
	}
	detector, rule, err := d.detect()
	if err != nil {
		return Verdict{}, err
	}
	if d.recalled && detector != "" { // who disagrees is shown what the other has
		return Verdict{}, syncline.ErrUnread
	}
	if detector == "" {
		return d.agree(), nil
	}
	return d.resolve(detector, rule)
}

// leave changes nothing at all.
func (d *deciding) leave(o syncline.Outcome) Verdict {
	return Verdict{Decision: syncline.Decision{Outcome: o}}
}

// version finds out whether the event repeats a version.
func (d *deciding) version() (Verdict, bool) {
	if !d.r.detects(Version) || d.ev.Version == 0 || d.ev.Reread || d.theirVersion() != d.ev.Version {
		return Verdict{}, false
	}
	return d.leave(syncline.OutcomeStale), true
}

// theirVersion is the version that the target has: by the record's own field, else as the last event told it.
func (d *deciding) theirVersion() int64 {
	if d.r.version >= 0 && d.theirs != nil {
		if n, err := d.theirs[d.r.version].AsInt(); err == nil {
			return n
		}
	}
	return d.shadow.version
}

// detect asks the detectors one after the other. "" = nobody disagrees.
func (d *deciding) detect() (Detector, string, error) {
	if d.r.detects(Version) && d.ev.Version > 0 && d.theirVersion() > d.ev.Version {
		if d.overlaps = d.differing(); len(d.overlaps) > 0 {
			return Version, "", nil
		}
	}
	if d.r.detects(Data) && d.data() {
		return Data, "", nil
	}
	if d.theirs == nil || d.ours == nil {
		return "", "", nil
	}
	in := expression.Input{Batch: d.ev.Batch, Index: d.ev.At, After: d.ours, Before: d.theirs}
	for i, b := range d.r.business {
		yes, err := b.True(&in)
		if err != nil {
			return "", "", syncline.Errorf(syncline.Rejected, "conflict_failed", "business rule %s: %w", d.r.Business[i].Name, err)
		}
		if !yes {
			continue
		}
		if d.overlaps = d.differing(); len(d.overlaps) > 0 {
			return Business, d.r.Business[i].Name, nil
		}
	}
	return "", "", nil
}

// differing are the columns in which the event and the target differ.
func (d *deciding) differing() []int {
	var list []int
	for i := range d.r.schema.Columns {
		switch {
		case d.r.key[i]:
		case d.ours == nil || d.theirs == nil:
			list = append(list, i)
		case !d.ours[i].IsUnset() && !d.theirs[i].IsUnset() && !d.same(i):
			list = append(list, i)
		}
	}
	return list
}

// data looks for fields that both sides changed.
func (d *deciding) data() bool {
	switch {
	case d.ours == nil && d.theirs == nil, d.unopposed():
		return false
	case d.ours == nil: // we remove what they may have changed
		d.overlaps = d.columns(func(i int) bool { return d.theyChanged(i) })
	case d.theirs == nil && d.shadow.gone >= 0: // another source removed it
		if d.shadow.stamps[d.shadow.gone].Source == d.ev.Stamp.Source {
			return false
		}
		d.overlaps = d.columns(func(int) bool { return true })
	case d.theirs == nil && d.fresh:
		return false
	case d.theirs == nil: // they removed what we may have changed
		d.overlaps = d.columns(func(i int) bool { return d.weChanged(i) })
	default:
		d.overlaps = d.columns(func(i int) bool {
			return d.theyChanged(i) && d.weChanged(i) && !d.same(i) // in most cases the first tells, and it costs the least
		})
	}
	return len(d.overlaps) > 0
}

// unopposed reports whether what the target has is what the event's source itself wrote, so that nobody can disagree.
func (d *deciding) unopposed() bool { return d.alone && d.shadow.logs[0].source == d.ev.Stamp.Source }

// columns lists those outside of the key that both sides have and for which the condition holds.
func (d *deciding) columns(holds func(i int) bool) []int {
	var list []int
	for i := range d.r.schema.Columns {
		if d.r.key[i] || d.ours != nil && d.ours[i].IsUnset() || d.theirs != nil && d.theirs[i].IsUnset() {
			continue
		}
		if holds(i) {
			list = append(list, i)
		}
	}
	return list
}

// lastSaid is what our source said last of a field; ok is false where that is not known.
func (d *deciding) lastSaid(i int) (syncline.Value, bool) {
	if f := &d.shadow.columns[i]; f.there {
		if v, ok := d.shadow.said(f, d.ev.Stamp.Source); ok && !v.IsUnset() {
			return v, true
		}
	}
	if d.base != nil && !d.base[i].IsUnset() {
		return d.base[i], true
	}
	return syncline.Unset, false
}

// written tells which source stands for what the target has in a column; ok is false where none does.
func (d *deciding) written(i int) (Stamp, bool) {
	f := &d.shadow.columns[i]
	if !f.there || f.stamp < 0 || d.theirs == nil || !d.r.holds(i, d.theirs[i], f.value) {
		return Stamp{}, false
	}
	return d.shadow.stamps[f.stamp], true
}

// same reports whether the event and the target have the same value. It is known by column once it was asked.
func (d *deciding) same(i int) bool {
	return d.answers[i].same.of(func() bool { return d.r.holds(i, d.theirs[i], d.ours[i]) })
}

// weChanged reports whether the event says something new of the field. It is known by column once it was asked.
func (d *deciding) weChanged(i int) bool {
	return d.answers[i].changed.of(func() bool {
		said, ok := d.lastSaid(i)
		return !ok || !syncline.Equal(d.ours[i], said)
	})
}

// theyChanged reports whether the target has a value that another source stands for, or one that nobody does and that our source did not
// say last. Where it is not known what ours said, it is a change if the policy asks about it, or if another source was heard.
func (d *deciding) theyChanged(i int) bool {
	if s, ok := d.written(i); ok {
		return s.Source != d.ev.Stamp.Source
	}
	said, ok := d.lastSaid(i)
	if ok {
		return !d.r.holds(i, d.theirs[i], said)
	}
	return !d.fresh || d.r.NoBase == Theirs || d.r.NoBase == Ask
}

// agree writes what the event changes, and leaves alone what only they changed.
func (d *deciding) agree() Verdict {
	if d.ours == nil {
		return d.remove(syncline.OutcomeApplied)
	}
	values := d.copyOf(d.ours)
	if d.r.detects(Data) {
		if d.theirs == nil && !d.fresh && d.shadow.gone < 0 { // they removed it, and the event changes nothing
			d.heard(nil)
			return Verdict{Decision: syncline.Decision{Outcome: syncline.OutcomeKept}}
		}
		for i := range values {
			if d.theirs != nil && !d.r.key[i] && !values[i].IsUnset() && !d.theirs[i].IsUnset() && !d.weChanged(i) {
				values[i] = syncline.Unset
			}
		}
	}
	return d.put(values, syncline.OutcomeApplied)
}

// put decides that the record gets these values, of which unset ones stay as they are.
func (d *deciding) put(values []syncline.Value, o syncline.Outcome) Verdict {
	if d.theirs == nil && !(syncline.Row{Schema: d.r.schema, Values: values}).Whole() {
		return d.leave(syncline.OutcomeMissing)
	}
	d.heard(values)
	d.shadow.gone = -1
	return Verdict{Decision: syncline.Decision{Op: syncline.ChangePut, Values: values, Outcome: o}}
}

// remove decides that the record goes.
func (d *deciding) remove(o syncline.Outcome) Verdict {
	d.hear()
	d.shadow.remove(d.ev.Stamp)
	return Verdict{Decision: syncline.Decision{Op: syncline.ChangeDelete, Outcome: o}}
}

// hear notes that the event was heard.
func (d *deciding) hear() {
	d.touched = true
	d.shadow.hear(d.ev.Log, d.ev.Stamp.Source, d.ev.Seq, d.ev.Index)
	if d.ev.Version > 0 {
		d.shadow.version = max(d.shadow.version, d.ev.Version)
	}
}

// heard notes what the event says of each field, and what of it is written.
func (d *deciding) heard(written []syncline.Value) {
	if !d.unopposed() {
		for i := range written {
			d.answers[i].affirmed = d.affirmed(written, i)
		}
	}
	d.hear()
	stamp, mixed := d.shadow.stamp(d.ev.Stamp), -1
	for i := range d.r.schema.Columns {
		if d.r.key[i] {
			continue
		}
		said, speaker := syncline.Unset, ""
		if d.ours != nil && !d.ours[i].IsUnset() {
			said, speaker = d.ours[i], d.ev.Stamp.Source
		}
		is := syncline.Unset
		if written != nil {
			is = written[i]
		}
		if said.IsUnset() && is.IsUnset() {
			continue
		}
		f := d.shadow.field(i)
		if same := is.IsUnset() || syncline.Equal(f.value, is); !is.IsUnset() && (f.stamp < 0 || d.answers[i].affirmed || !same) {
			by := stamp
			if said.IsUnset() || !syncline.Equal(is, said) { // made of both sides, or by a person: our source does not stand for it
				if mixed < 0 {
					mixed = d.shadow.stamp(Stamp{Time: d.ev.Stamp.Time, Source: d.r.target, Event: d.ev.Stamp.Event})
				}
				by = mixed
			}
			d.shadow.write(f, is, same, by, speaker)
		}
		if speaker != "" {
			f.say(speaker, said)
		}
	}
}

// affirmed reports whether our source newly says what another one has written in a column, and would win against it: from now on it
// stands for the value. Else the order of two equal statements would decide about a third.
func (d *deciding) affirmed(written []syncline.Value, i int) bool {
	if d.r.key[i] || written[i].IsUnset() || d.theirs == nil || d.ours == nil {
		return false
	}
	theirs, ok := d.written(i)
	if !ok || theirs.Source == d.ev.Stamp.Source || !d.r.holds(i, d.theirs[i], written[i]) || !d.weChanged(i) {
		return false
	}
	w, _, err := d.field(i)
	return err == nil && w == us
}
