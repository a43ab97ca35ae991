package apply

import (
	"syncline"
	"syncline/internal/state"
)

// outgrown reports whether a parked task has to be read anew rather than tried again: its record is older than a column of the object
// that has a default. Records that were at the target got the default when the column was added, and this one was not there: written as
// it is it would have null. The source knows better than the default, which may be an expression in its own language.
//
// What a person decided about or edited is written as that person has it.
func (m *machine) outgrown(x *state.Exception, it item) bool {
	ev := it.event()
	if m.traits.Events || ev.After == nil || ev.Stub > 0 || x.Edit != nil || it.rule.Action(ev) != ActionUpdate {
		return false
	}
	if _, decided := m.decided[x.Task]; decided || len(it.rule.binding.Out.Key) == 0 {
		return false
	}
	return m.rules[it.r].outgrown(ev.Schema)
}

// readAnew plans that the item's record is read from the source. The removal of its old key, if it still waits, is tried as it would be
// with the record.
func (m *machine) readAnew(p *plan, it item, key syncline.Key) {
	if ev := it.event(); ev.Before != nil {
		if old, oldRow, err := it.rule.key(ev.Before); err == nil && old != key {
			m.clear(p, slot{int32(it.r), old})
			p.dropOld(it, old, oldRow)
		}
	}
	p.hold(it, key, "reading", nil)
}

// planner makes the session's planner. What the rules' objects fit already is known of earlier sessions.
func (s *Session) planner(epochs []uint8, pending []state.Exception) planner {
	pl := newPlanner(s.r.rules, s.target.Traits(), epochs, pending)
	for _, r := range pl.rules {
		if was, known := s.schemas[r.ID]; known && was.Object == r.Object {
			r.fitted = was.Source
		}
	}
	return pl
}
