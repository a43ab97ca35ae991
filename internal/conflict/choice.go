package conflict

import (
	"bytes"
	"slices"

	"syncline"
)

// Choice is what a person decided about a record.
type Choice struct {
	Action Action // Overwrite, Skip or Merged
	// Values are those of Merged; unset ones stay as the target has them, or are the event's where the target has no record.
	Values []syncline.Value
	// State is what the target held when it was decided (StateOf).
	State []byte
}

// Settle carries out a person's decision about a change. Where the target no longer holds what the decision was made on, it is a
// conflict again, with the new state.
func (r *Resolver) Settle(ev *Event, ours []syncline.Value, held syncline.Held, choice Choice) (Verdict, error) {
	if held.Untouched {
		return Verdict{}, syncline.ErrUnread
	}
	t, err := r.Begin(held)
	if err != nil {
		return Verdict{}, err
	}
	v := t.settle(ev, ours, choice)
	v.Shadow = t.stored()
	return v, nil
}

func (t *Turn) settle(ev *Event, ours []syncline.Value, choice Choice) Verdict {
	d := t.next(ev, ours, nil)
	if d.shadow.knows(ev.Log, ev.Seq, ev.Index) {
		return d.leave(syncline.OutcomeStale)
	}
	if ours == nil && d.theirs == nil { // both have removed it
		return d.agree()
	}
	d.overlaps = d.differing()
	rec := d.record("", "")
	rec.Strategy, rec.Action = Manual, choice.Action
	if !bytes.Equal(StateOf(d.theirs), choice.State) {
		rec.Note = "the target has changed since the decision"
		return d.review(rec)
	}
	switch choice.Action {
	case Overwrite:
		rec.Result = ours
		if ours == nil {
			return d.decided(d.remove(syncline.OutcomeApplied), rec)
		}
		return d.decided(d.put(slices.Clone(ours), syncline.OutcomeApplied), rec)
	case Merged:
		values := slices.Clone(choice.Values)
		for i := range values {
			switch {
			case d.r.key[i] && ours != nil:
				values[i] = ours[i]
			case d.r.key[i]:
				values[i] = d.theirs[i]
			case d.theirs == nil && ours != nil && values[i].IsUnset():
				values[i] = ours[i]
			}
		}
		rec.Result = merged(values, d.theirs)
		return d.decided(d.put(values, syncline.OutcomeApplied), rec)
	}
	rec.Result = d.theirs
	return d.decided(d.keep(), rec)
}
