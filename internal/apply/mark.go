package apply

import (
	"context"
	"slices"

	"syncline"
	"syncline/internal/state"
)

// Marks are the columns in which a rule notes what became of records that stay at the target (on: soft). A record that was deleted,
// merged or has left, and is only kept, is no record to everything else: a change that tells some of its columns finds it missing, and
// what waits for its key is obsolete, as if it had been removed. So a route that keeps records makes the same promises as one that
// removes them.
type Marks struct {
	// Columns follow those that the rule makes, in this order. Each has a syncline.Mark.
	Columns []syncline.Column
	// Deleted, Archived, Merged and Left say what is noted where the rule's action is ActionSoft; Archived also where a record is
	// written as it is.
	Deleted, Archived, Merged, Left *Note
}

// Note is what is noted in one of the columns.
type Note struct {
	Column int
	// Value makes it for the i-th event of a batch. It may look at the event, not at its record.
	Value func(b *syncline.Batch, i int) (syncline.Value, error)
}

// extend makes a binding whose records have the columns of the marks too, each as it is in a record that is there.
func (m *Marks) extend(rule string, b *Binding) (*Binding, error) {
	if len(b.Out.Key) == 0 {
		return nil, syncline.Errorf(syncline.Fatal, "mark_without_key", "rule %s keeps records (on: soft), and %s has no key to find them by", rule, b.Out.Entity).
			WithFix("declare the entity's key, or let the rule remove records: hard")
	}
	if b.Split != nil {
		return nil, syncline.Errorf(syncline.Fatal, "mark_with_split", "rule %s splits records and keeps those that are gone (on: soft): which of them are gone is not noted", rule).
			WithFix("let the rule remove them: hard")
	}
	for i := range m.Columns {
		if name := m.Columns[i].Name; b.Out.Index(name) >= 0 {
			return nil, syncline.Errorf(syncline.Fatal, "mark_taken", "rule %s notes in column %q what became of a record (on: soft), and its records have a value for it", rule, name).
				WithFix("name another column in the rule's on section, or drop the field in its transform")
		}
	}
	out := *b.Out
	out.Columns = slices.Concat(b.Out.Columns, m.Columns)
	next := *b
	next.Out, next.SameKey = &out, b.Key == nil || b.SameKey
	width := len(out.Columns)
	var arena []syncline.Value
	live := func(values []syncline.Value) []syncline.Value {
		if len(arena) < width {
			arena = make([]syncline.Value, 128*width)
		}
		row := arena[:0:width]
		row, arena = append(row, values...), arena[width:]
		for c := range m.Columns {
			row = append(row, m.Columns[c].Mark.Live)
		}
		return row
	}
	next.Row = func(batch *syncline.Batch, i int) ([]syncline.Value, bool, error) {
		values := batch.Events[i].After
		if b.Row != nil {
			made, keep, err := b.Row(batch, i)
			if err != nil || !keep {
				return nil, keep, err
			}
			values = made
		}
		return live(values), true, nil
	}
	if b.Prepare != nil {
		next.Prepare = func(ctx context.Context, places []Place) ([]Made, error) {
			made, err := b.Prepare(ctx, places)
			for i := range made {
				if made[i].Keep && made[i].Err == nil {
					made[i].Values = live(made[i].Values)
				}
			}
			return made, err
		}
	}
	next.Before = func(batch *syncline.Batch, i int) []syncline.Value {
		before := batch.Events[i].Before
		if b.Before != nil {
			before = b.Before(batch, i)
		}
		if before == nil {
			return nil
		}
		return longer(before, m)
	}
	next.Key = func(row []syncline.Value) ([]syncline.Value, error) {
		if b.Key != nil {
			var err error
			if row, err = b.Key(row); err != nil {
				return nil, err
			}
		}
		return longer(row, m), nil
	}
	return &next, nil
}

// longer is a row with the columns of the marks, which are unset.
func longer(row []syncline.Value, m *Marks) []syncline.Value {
	out := append(make([]syncline.Value, 0, len(row)+len(m.Columns)), row...)
	for range m.Columns {
		out = append(out, syncline.Unset)
	}
	return out
}

// place is where the note's column is in the rule's records.
func (r *Rule) place(b *Binding, n *Note) int {
	return len(b.Out.Columns) - len(r.Marks.Columns) + n.Column
}

// note returns what is noted where the event's operation keeps its record, nil where nothing is.
func (r *bound) note(op syncline.Op) *Note {
	switch {
	case r.Marks == nil:
		return nil
	case op == syncline.OpMerged:
		return r.Marks.Merged
	case op == syncline.OpArchived:
		return r.Marks.Archived
	}
	return r.Marks.Deleted
}

// keep plans that the record of a source row stays, with a note of what became of it. A record that is not there is not made: the event
// says that it is gone, and nothing else. What was planned for the record before goes with it.
func (pl *planner) keep(p *plan, it item, row []syncline.Value, n *Note) bool {
	key, parts, err := it.rule.key(row)
	if err != nil {
		pl.cannot(p, it, err)
		return false
	}
	value, err := n.Value(it.e.batch, it.i)
	if err != nil {
		pl.cannot(p, it, err)
		return false
	}
	pl.clear(p, slot{int32(it.r), key})
	var before syncline.Change
	if c := p.pending(it.r, key); c != nil {
		before = *c
	}
	c := p.change(it, key)
	p.tasks[len(p.tasks)-1].keeps = true
	noted := unsent(it.rule.binding.Out)
	for _, k := range it.rule.binding.Out.Key {
		noted[k] = parts[k]
	}
	noted[it.rule.place(it.rule.binding, n)] = value
	if it.rule.Conflicts != nil {
		p.keeps(noted)
	}
	var values []syncline.Value
	switch before.Op {
	case syncline.ChangeDelete: // nothing is there any more
		return true
	case syncline.ChangePut, syncline.ChangeMark:
		values = over(before.Row.Values, noted)
	default:
		values = noted
	}
	c.Row, c.OldKey, c.Fresh = it.rule.row(values), nil, c.Fresh && before.Op == syncline.ChangePut
	c.Op = syncline.ChangeMark
	if before.Op == syncline.ChangePut && c.Row.Whole() {
		c.Op = syncline.ChangePut // it is not known whether the record is there yet
	}
	return true
}

// gone reports whether what the plan does to the slot so far leaves no record there: removed, or only kept.
func (p *plan) gone(rule int, key syncline.Key) bool {
	if p.ordered {
		return false
	}
	i, ok := p.index[slot{int32(rule), key}]
	if !ok {
		return false
	}
	newest := p.newest[i]
	return p.changes[i].Op == syncline.ChangeDelete || newest >= 0 && p.tasks[newest].keeps
}

// leaveBehind plans that a record which the rule does not want any more stays, with a note of that. One that moved to another key at the
// same time stays under its old one: nothing of it was ever under the other.
func (pl *planner) leaveBehind(p *plan, it item) {
	ev := it.event()
	row := ev.After
	if ev.Before != nil {
		if old, _, err := it.rule.key(ev.Before); err == nil {
			if key, _, err := it.rule.key(ev.After); err == nil && key != old {
				pl.clear(p, slot{int32(it.r), key})
				row = ev.Before
			}
		}
	}
	if pl.keep(p, it, row, it.rule.Marks.Left) {
		p.tasks[len(p.tasks)-1].code = state.Filtered
	}
}

// mayKeep refuses rules that keep records at a target that cannot tell them from others.
func (s *Session) mayKeep() error {
	if s.target.Traits().Marks {
		return nil
	}
	for i := range s.r.rules {
		if m := s.r.rules[i].Marks; m != nil && (m.Deleted != nil || m.Merged != nil || m.Left != nil) {
			return syncline.Errorf(syncline.Fatal, "mark_unsupported", "rule %s keeps records (on: soft), which this target cannot: it takes whole records, and a deleted one is not sent whole", s.r.rules[i].ID).
				WithFix("let the rule remove them (hard) or leave them (ignore)")
		}
	}
	return nil
}

// noted puts the event's note into a record that is written as it is.
func (r *Rule) noted(binding *Binding, b *syncline.Batch, i int, values []syncline.Value) error {
	if r.Marks == nil || r.Marks.Archived == nil || b.Events[i].Op != syncline.OpArchived {
		return nil
	}
	v, err := r.Marks.Archived.Value(b, i)
	if err == nil {
		values[r.place(binding, r.Marks.Archived)] = v
	}
	return err
}
