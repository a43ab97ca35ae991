package apply

import (
	"syncline"
	"syncline/internal/state"
)

// record plans an event for a target that holds state.
func (pl *planner) record(p *plan, it item) {
	ev := it.event()
	switch action := it.rule.Action(ev); {
	case ev.Op == syncline.OpTruncated:
		c := p.change(it, "")
		c.Op, c.Row = syncline.ChangeTruncate, it.rule.row(nil)
		p.truncated = append(p.truncated, int32(it.r))
		return
	case action == ActionIgnore:
		pl.ignore(p, it)
		return
	case action == ActionHard:
		pl.remove(p, it)
		return
	case action == ActionSoft:
		source := ev.Before
		if source == nil {
			source = ev.After
		}
		pl.keep(p, it, source, it.rule.note(ev.Op))
		return
	}
	if it.rule.binding.Admits != nil && !it.rule.binding.Admits(ev) {
		p.note(it, state.Filtered)
		return
	}
	if ev.Stub > 0 {
		pl.stub(p, it)
		return
	}
	if it.rule.binding.Match != nil {
		ok, err := it.rule.binding.Match(it.e.batch, it.i)
		if err != nil {
			pl.cannot(p, it, err)
			return
		}
		if !ok {
			pl.leave(p, it)
			return
		}
	}
	if it.rule.binding.Unchanged != nil && pl.unchanged(p, it) {
		return
	}
	values := ev.After
	if it.rule.binding.Row != nil {
		var keep bool
		var err error
		if values, keep, err = it.row(); err != nil {
			pl.cannot(p, it, err)
			return
		}
		if !keep {
			pl.leave(p, it)
			return
		}
	}
	if err := it.rule.noted(it.rule.binding, it.e.batch, it.i, values); err != nil {
		pl.cannot(p, it, err)
		return
	}
	pl.put(p, it, values)
}

// put plans the record as the rule made it.
func (pl *planner) put(p *plan, it item, values []syncline.Value) {
	ev, row := it.event(), it.rule.row(values)
	if len(row.Schema.Key) == 0 {
		c := p.change(it, "")
		c.Op, c.Row = syncline.ChangeInsert, row
		if ev.Before != nil {
			c.Op, c.Before = syncline.ChangeReplace, ev.Before
		}
		return
	}
	key, ok := row.Key()
	if !ok {
		pl.cannot(p, it, errNoKey)
		return
	}
	var oldKey []syncline.Value
	if ev.Before != nil {
		if old, oldRow, err := it.rule.key(ev.Before); err == nil && old != key {
			oldKey = pl.move(p, it, old, oldRow, &row)
		}
	}
	s := slot{int32(it.r), key}
	before, held := p.pending(it.r, key), pl.held(p, s)
	gone := before != nil && p.gone(it.r, key)
	own := row.Values
	if before != nil && !gone && !held { // else it is older than what waits
		row.Values = fill(row.Values, before.Row.Values)
	}
	rows, ok := pl.children(p, it, row.Values)
	if !ok {
		return
	}
	whole := row.Whole()
	if held {
		if !whole || !pl.parking.reading(s) {
			pl.hold(p, it, key, "held", nil)
			return
		}
		p.stand(s, cleared)
	}
	// After a removal in this plan the target still has the old record: its columns are not the ones that were not sent.
	if !whole && oldKey == nil && (gone || !pl.traits.Partial) {
		pl.hold(p, it, key, "reading", nil)
		return
	}
	fresh := ev.Op == syncline.OpCreated || ev.Op == syncline.OpSnapshot && it.e.batch.Chunk != nil && it.e.batch.Chunk.EmptyBefore
	if before != nil {
		fresh = !gone && before.Fresh
	}
	c := p.change(it, key)
	c.Op, c.Row, c.OldKey, c.Fresh = syncline.ChangePut, row, oldKey, fresh
	if it.rule.Conflicts != nil {
		p.says(own)
	}
	if split := it.rule.binding.Split; split != nil {
		p.divide(p.tasks[len(p.tasks)-1].change, split, rows)
	}
}

// move plans the old key's part of a change of key: the old record goes, and whatever was parked of it. Columns that were not
// sent are taken from the old record's change in this plan; else a target that can carry them over is given the old key.
func (pl *planner) move(p *plan, it item, old syncline.Key, oldRow []syncline.Value, row *syncline.Row) (oldKey []syncline.Value) {
	s := slot{int32(it.r), old}
	held := pl.held(p, s)
	if c := p.pending(it.r, old); c != nil && !p.gone(it.r, old) && !held {
		row.Values = fill(row.Values, c.Row.Values)
	}
	if p.ordered && pl.traits.Rekey && it.rule.rekeys() && !row.Whole() && !held {
		return keyValues(it.rule.binding.Out, oldRow)
	}
	pl.clear(p, s)
	p.dropOld(it, old, oldRow)
	return nil
}

// keyValues returns the parts of a record's key, in key order.
func keyValues(s *syncline.Schema, row []syncline.Value) []syncline.Value {
	parts := make([]syncline.Value, len(s.Key))
	for i, c := range s.Key {
		parts[i] = row[c]
	}
	return parts
}

// remove plans the removal of the event's record.
func (pl *planner) remove(p *plan, it item) {
	ev := it.event()
	source := ev.Before
	if source == nil {
		source = ev.After
	}
	if len(it.rule.binding.Out.Key) == 0 {
		if ev.Stub > 0 {
			pl.stub(p, it)
			return
		}
		c := p.change(it, "")
		c.Op, c.Row, c.Before = syncline.ChangeDelete, it.rule.row(nil), source
		return
	}
	key, row, err := it.rule.key(source)
	if err != nil {
		pl.cannot(p, it, err)
		return
	}
	pl.clear(p, slot{int32(it.r), key})
	c := p.change(it, key)
	c.Op, c.Row, c.OldKey = syncline.ChangeDelete, it.rule.row(row), nil
}

// leave plans an event that the rule does not want: the record, which may be there from before, goes.
func (pl *planner) leave(p *plan, it item) {
	ev := it.event()
	if it.rule.Left == ActionIgnore || len(it.rule.binding.Out.Key) == 0 || pl.cannotBeThere(p, it) {
		pl.ignore(p, it)
		return
	}
	if it.rule.Left == ActionSoft {
		pl.leaveBehind(p, it)
		return
	}
	if ev.Before != nil {
		if old, oldRow, err := it.rule.key(ev.Before); err == nil {
			if key, _, err := it.rule.key(ev.After); err == nil && key != old {
				pl.clear(p, slot{int32(it.r), old})
				p.dropOld(it, old, oldRow)
			}
		}
	}
	after := ev.After
	key, row, err := it.rule.key(after)
	if err != nil {
		pl.cannot(p, it, err)
		return
	}
	pl.clear(p, slot{int32(it.r), key})
	c := p.change(it, key)
	c.Op, c.Row, c.OldKey = syncline.ChangeDelete, it.rule.row(row), nil
	p.tasks[len(p.tasks)-1].code = state.Filtered
}

// unchanged plans an event that changes nothing which the rule wants, and reports whether it is one. Where something of its key waits, or
// waited, it is not: that may be what the rule wants.
func (pl *planner) unchanged(p *plan, it item) bool {
	if len(p.retry) > 0 {
		return false
	}
	same, err := it.rule.binding.Unchanged(it.e.batch, it.i)
	if err != nil {
		pl.cannot(p, it, err)
		return true
	}
	if !same {
		return false
	}
	if key, _, err := it.rule.key(it.event().After); !pl.traits.Events && (err != nil || pl.held(p, slot{int32(it.r), key})) {
		return false
	}
	p.note(it, state.Filtered)
	return true
}

// ignore plans an event that changes nothing. What waits for the source to tell the record is obsolete where this event does.
func (pl *planner) ignore(p *plan, it item) {
	if ev := it.event(); ev.Op == syncline.OpAbsent || ev.Row().Whole() {
		if key, _, err := it.rule.key(ev.Row().Values); err == nil {
			if s := (slot{int32(it.r), key}); pl.parking.reading(s) {
				p.stand(s, cleared)
			}
		}
	}
	p.note(it, state.Filtered)
}

// cannotBeThere reports whether the event's record is certainly not at the target: it is new, and nothing of its key waits.
func (pl *planner) cannotBeThere(p *plan, it item) bool {
	if it.event().Op != syncline.OpCreated {
		return false
	}
	key, _, err := it.rule.key(it.event().After)
	return err == nil && p.pending(it.r, key) == nil && !pl.held(p, slot{int32(it.r), key})
}
