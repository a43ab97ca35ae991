package apply

import (
	"errors"
	"maps"
	"slices"
	"time"

	"syncline"
	"syncline/internal/conflict"
	"syncline/internal/state"
)

// A change can stand for several events of its key. They are decided one after the other, as they would be if each came by itself, and
// written as one: a field belongs to the event that changed it, at that event's time. Else whose value stands would depend on which
// events happened to share a batch. Only where a person has to decide, or the record must be read first, are they one.

// spoken is one event of a change, with the record as it makes it by itself; nil removes it.
type spoken struct {
	batch  *syncline.Batch
	event  int
	order  syncline.Order
	values []syncline.Value
	// kept is, of an event that removes a record which the rule keeps, its key and the note of that.
	kept []syncline.Value
}

// spokenConflict is a conflict about one of them.
type spokenConflict struct {
	spoken
	rec *conflict.Record
}

// says notes the record that the plan's newest task makes by itself.
func (p *plan) says(values []syncline.Value) {
	parts := p.judged[p.tasks[len(p.tasks)-1].change].parts
	parts[len(parts)-1].values = values
}

// keeps notes how the record stays that the plan's newest task removes.
func (p *plan) keeps(noted []syncline.Value) {
	parts := p.judged[p.tasks[len(p.tasks)-1].change].parts
	parts[len(parts)-1].kept = noted
}

// errAsOne: the events of a change must be decided as one.
var errAsOne = errors.New("the events cannot be decided one by one")

// inTurn decides the events of a change one after the other. Its errors are errAsOne and syncline.ErrUnread.
func (d *decider) inTurn(i int, j *judged, held syncline.Held, stored bool) (decision syncline.Decision, err error) {
	turn, err := j.rule.binding.Resolver.Begin(held)
	if err != nil {
		return decision, asOne(err)
	}
	var told []spokenConflict
	base := j.base
	var left []syncline.Value
	for _, s := range j.parts {
		v, err := turn.Decide(d.event(j.rule, s), s.values, base)
		if err != nil || v.Outcome > syncline.OutcomeKept {
			return decision, asOne(err)
		}
		if v.Conflict != nil {
			told = append(told, spokenConflict{s, v.Conflict})
		}
		base = nil
		if j.rule.Marks != nil {
			left = s.leaves(v.Decision, left)
		}
	}
	if last := len(told) - 1; last >= 0 && told[last].order == j.parts[len(j.parts)-1].order {
		d.verdicts[i] = told[last].rec
		told = told[:last]
	}
	if len(told) > 0 {
		d.earlier[i] = told
	}
	return j.rule.keeping(turn.Decision(), left, stored), nil
}

func asOne(err error) error {
	if errors.Is(err, syncline.ErrUnread) {
		return err
	}
	return errAsOne
}

// earlierConflicts are those of events that are not the newest of their changes.
func (d *decider) earlierConflicts(now time.Time) (list []state.Conflict) {
	for _, i := range slices.Sorted(maps.Keys(d.earlier)) {
		rule := d.p.judged[i].rule
		key, _ := d.p.changes[i].Row.Key()
		for _, s := range d.earlier[i] {
			row := row{TaskID(rule.ID, s.batch.Source, s.order.Seq, s.order.Index), rule, s.batch.Source, key}
			found := row.conflict(s.rec)
			found.Created, found.Updated = now, now
			skewed(&found, s.rec.Latest, now)
			list = append(list, found)
		}
	}
	return list
}
