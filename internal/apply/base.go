package apply

import (
	"errors"
	"time"

	"syncline"
	"syncline/internal/state"
)

// A task that is parked under a rule with a conflict section keeps what its first event replaced: when the task is tried again, and nothing is
// remembered of the record, that is the base of its conflict.

// base is what the first of the events that the i-th task stands for replaced under the key, as far as it tells.
func (s *settling) base(i int, key syncline.Key) []syncline.Value {
	t := &s.p.tasks[i]
	newest := &t.entry.batch.Events[t.event]
	for j := range s.p.tasks[:i] {
		if t.change >= 0 && s.p.tasks[j].change == t.change {
			t = &s.p.tasks[j]
			break
		}
	}
	return s.beforeOf(t.rule, key, newest.Schema, &t.entry.batch.Events[t.event])
}

// beforeOf returns what the event replaced, in the terms of the schema; nil where that is nothing of this key.
func (s *settling) beforeOf(rule int32, key syncline.Key, schema *syncline.Schema, ev *syncline.Event) []syncline.Value {
	if ev.Before == nil {
		return nil
	}
	before := fillFrom(schema, unsent(schema), ev.Schema, ev.Before)
	if k, _, err := s.m.rules[rule].key(before); err != nil || k != key {
		return nil
	}
	return before
}

// timeOf is when the task's event happened, zero where that is not known.
func timeOf(x *state.Exception) time.Time {
	b, err := syncline.DecodeBatch(x.Record)
	if err != nil {
		return time.Time{}
	}
	return b.TimeOf(0)
}

// inheritBase gives x what the older task of its slot replaced, and, to a record that was read again, the time of it.
func (s *settling) inheritBase(x, old *state.Exception) {
	sl, ok := s.m.parking.slotOf(x)
	if !ok || s.m.rules[sl.rule].Conflicts == nil {
		return
	}
	n, err := syncline.DecodeBatch(x.Record)
	o, older := syncline.DecodeBatch(old.Record)
	if errors.Join(err, older) != nil {
		return
	}
	ev := &n.Events[0]
	if n.TimeOf(0).IsZero() {
		ev.Meta.Time = o.TimeOf(0)
	}
	if ev.After != nil && ev.Stub == 0 && o.Events[0].Stub == 0 {
		before := s.beforeOf(sl.rule, x.Key, ev.Schema, &o.Events[0])
		// Where the older one does not tell, neither does the newer: what it replaced is what the older one made. An old key is something else.
		if before != nil || s.beforeOf(sl.rule, x.Key, ev.Schema, ev) != nil {
			ev.Before = before
		}
	}
	if rec, err := syncline.AppendBatch(nil, n); err == nil {
		x.Record = rec
	}
}
