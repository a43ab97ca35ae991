package apply

import (
	"slices"

	"syncline"
	"syncline/internal/state"
)

// entry is a batch of the log that is not done yet, or the record of a parked task.
type entry struct {
	seq   syncline.Seq
	first int // index in batch seq of Events[0]: 0 but for parked records
	batch *syncline.Batch
	// made is what rules with a Binding.Prepare make of the events, by rule; nil where there is none.
	made map[int32][]Made
}

// task is one event on one rule, inside a plan.
type task struct {
	entry  *entry
	event  int32
	rule   int32
	change int32         // index into plan.changes; -1 = none
	key    syncline.Key  // of an event target's task
	early  bool          // it was done ahead of its turn, and is only counted
	keeps  bool          // its change leaves a record that is only kept, see planner.keep
	code   state.Outcome // of a task without a change; state.Filtered with a change = the change removes a record that left the rule
}

// slot is one record that a rule of the route writes. It is what waits when it is parked.
type slot struct {
	rule int32
	key  syncline.Key
}

// standing is what a plan does to the parking of a slot.
type standing uint8

const (
	_ standing = iota
	// cleared: a change of the plan makes what is parked obsolete.
	cleared
	// holding: an event of the plan waits.
	holding
)

// hold is an event that must wait.
type hold struct {
	task int32
	slot slot
	// why is "held" behind its key, "reading" until the source was asked for the record, "waiting" for what a step needs from
	// outside, "rejected" by the rule itself.
	why string
	err error
	// dropped: a later event of the plan made it obsolete.
	dropped bool
	// keepsOld: the removal of the record under its old key waits too.
	keepsOld bool
}

// plan is one Write in preparation, and what has to be known to settle it: which tasks each change stands for.
//
// A state target gets the last state of each key, merged column by column: a column that a later event did not send keeps the
// value of the earlier one. The newest task of a change carries its outcome, the others are superseded. Nothing is merged in
// an ordered plan.
type plan struct {
	from, to syncline.Cursor
	ordered  bool
	// together: parked records that are tried at once, though they might be refused, see machine.together.
	together bool
	// closed: nothing more may be added (a barrier stands alone).
	closed bool
	// passed: the plan moves the cursor past entries without events of its own.
	passed bool
	// resets is the entry whose objects the plan empties.
	resets *windowed
	// events counts what was taken, events of no concern too; tries those that made a change of their own, condemned those that the target
	// has refused already, or in a plan of retries such tasks.
	events, tries, condemned int
	// whole is the end of the last transaction that is not to be cut.
	whole place

	changes []syncline.Change
	judged  []judged // per change, as far as rules have conflict sections
	newest  []int32  // per change the index of its newest task; -1 for the removal of an old key
	tasks   []task
	sets    map[int32]set // changes that speak of the parents of what is written, see Split
	// children counts the records of the sets.
	children int
	index    map[slot]int32 // change of a slot, in unordered plans
	// asked is the slot that index was asked for last, and absent where it has none: the answer is wanted twice for each event.
	asked   slot
	absent  bool
	parking map[slot]standing
	holds   []hold
	// obsolete are the slots that were cleared, whatever came after.
	obsolete []slot
	// truncated rules: everything parked of them is obsolete.
	truncated []int32
	// lead is the number of tasks at the front that are carried out ahead of their turn, leads are their events, urgent the events
	// that they are because of.
	lead   int
	leads  map[place]bool
	urgent []*urgent
	// retry is set where the plan tries the heads of parked slots again; from and to are equal then. retryEntry are their records.
	retry      []*parked
	retryEntry []*entry
}

// emptied returns a plan with nothing in it but the memory of this one, which nobody may use any more.
func (p *plan) emptied() *plan {
	clear(p.changes)
	clear(p.tasks)
	clear(p.index)
	clear(p.judged)
	return &plan{changes: p.changes[:0], judged: p.judged[:0], newest: p.newest[:0], tasks: p.tasks[:0], index: p.index}
}

// size is what a batch's row limit counts.
func (p *plan) size() int { return len(p.changes) + len(p.holds) + p.children }

func (p *plan) empty() bool { return p.events == 0 && !p.passed && len(p.retry) == 0 }

// single reports whether all tasks are of one event.
func (p *plan) single() bool {
	if len(p.tasks) == 0 {
		return true
	}
	first, last := &p.tasks[0], &p.tasks[len(p.tasks)-1]
	return first.entry == last.entry && first.event == last.event
}

// note appends a task without a change.
func (p *plan) note(it item, c state.Outcome) {
	p.tasks = append(p.tasks, task{entry: it.e, event: int32(it.i), rule: int32(it.r), change: -1, code: c})
}

// hold appends a task that waits.
func (p *plan) hold(it item, key syncline.Key, why string, err error) {
	s := slot{int32(it.r), key}
	p.holds = append(p.holds, hold{task: int32(len(p.tasks)), slot: s, why: why, err: err})
	p.stand(s, holding)
	p.note(it, state.Parked)
}

func (p *plan) stand(s slot, st standing) {
	if p.parking == nil {
		p.parking = make(map[slot]standing)
	}
	p.parking[s] = st
	if st != cleared {
		return
	}
	p.obsolete = append(p.obsolete, s)
	for i := range p.holds {
		if h := &p.holds[i]; h.slot == s {
			h.dropped = true
			p.tasks[h.task].code = state.Superseded
		}
	}
}

// change returns the change that the item's task stands for: the one that the slot already has, or a new one. Ordered plans and
// slots without a key get a new one each time.
func (p *plan) change(it item, key syncline.Key) *syncline.Change {
	at := int32(-1)
	if key != "" && !p.ordered {
		s := slot{int32(it.r), key}
		if p.absent && p.asked == s {
			p.place(s)
		} else if i, ok := p.index[s]; ok {
			at = i
		} else {
			p.place(s)
		}
	}
	if at < 0 {
		at = int32(len(p.changes))
		if len(p.changes) == cap(p.changes) {
			p.changes = slices.Grow(p.changes, max(len(p.changes), 1)) // append adds a quarter at a time
		}
		p.changes = append(p.changes, syncline.Change{})
		p.newest = append(p.newest, 0)
	}
	p.newest[at] = int32(len(p.tasks))
	p.tasks = append(p.tasks, task{entry: it.e, event: int32(it.i), rule: int32(it.r), change: at})
	if it.rule.Conflicts != nil || it.rule.Judged {
		p.judge(at, it)
	}
	c := &p.changes[at]
	c.Object, c.Batch, c.Event, c.Order = it.rule.Object, it.e.batch, it.i, it.order
	if split := it.rule.binding.Split; split != nil {
		p.divide(at, split, nil)
	}
	return c
}

// place notes that the next change stands for the slot.
func (p *plan) place(s slot) {
	if p.index == nil {
		p.index = make(map[slot]int32, 64)
	}
	p.index[s] = int32(len(p.changes))
	p.absent = false
}

// dropOld adds the removal of a record whose key changed. It belongs to the task of the record under its new key.
func (p *plan) dropOld(it item, key syncline.Key, row []syncline.Value) {
	c := p.pending(it.r, key)
	if c == nil {
		if !p.ordered {
			p.place(slot{int32(it.r), key})
		}
		p.changes = append(p.changes, syncline.Change{})
		p.newest = append(p.newest, -1)
		c = &p.changes[len(p.changes)-1]
		if it.rule.Conflicts != nil || it.rule.Judged {
			p.judge(int32(len(p.changes)-1), it)
		}
	}
	*c = syncline.Change{Op: syncline.ChangeDelete, Object: it.rule.Object, Row: it.rule.row(row), Order: it.order, Batch: it.e.batch, Event: it.i}
	if split := it.rule.binding.Split; split != nil {
		at := int32(len(p.changes) - 1)
		if i, ok := p.index[slot{int32(it.r), key}]; ok && !p.ordered {
			at = i
		}
		p.divide(at, split, nil)
	}
}

// pending returns the change that stands for the key so far, or nil.
func (p *plan) pending(rule int, key syncline.Key) *syncline.Change {
	if p.ordered {
		return nil
	}
	s := slot{int32(rule), key}
	i, ok := p.index[s]
	if p.asked, p.absent = s, !ok; ok {
		return &p.changes[i]
	}
	return nil
}

// fillFrom is fill where the older row may have another schema: what its columns have in common with the newer one is taken.
func fillFrom(s *syncline.Schema, values []syncline.Value, olderSchema *syncline.Schema, older []syncline.Value) []syncline.Value {
	if len(older) == 0 || s == olderSchema || s.Fingerprint() == olderSchema.Fingerprint() {
		return fill(values, older)
	}
	fitted := make([]syncline.Value, len(values))
	for i := range fitted {
		fitted[i] = syncline.Unset
		c := &s.Columns[i]
		if j := olderSchema.Index(c.Name); j >= 0 && olderSchema.Columns[j].Kind == c.Kind && olderSchema.Columns[j].Type == c.Type {
			fitted[i] = older[j]
		}
	}
	return fill(values, fitted)
}

// unsent is a row of the schema that tells nothing.
func unsent(s *syncline.Schema) []syncline.Value {
	return slices.Repeat([]syncline.Value{syncline.Unset}, len(s.Columns))
}

// fill returns values with the unset ones taken from older. It copies only where it changes something.
func fill(values, older []syncline.Value) []syncline.Value {
	if len(older) != len(values) {
		return values
	}
	out := values
	for i := range values {
		if values[i].IsUnset() && !older[i].IsUnset() {
			if &out[0] == &values[0] {
				out = append([]syncline.Value(nil), values...)
			}
			out[i] = older[i]
		}
	}
	return out
}
