package memtarget

import (
	"bytes"

	"syncline"
)

// decide is syncline.Write.Decide.
type decide func(change int, held syncline.Held) (syncline.Decision, error)

// seen is what a decision was made on.
type seen struct {
	key    syncline.Key
	record *record
	shadow []byte
}

var errMoves = syncline.Errorf(syncline.Transient, "target_moves", "a record changed while its conflict was decided")

// decide carries out what is decided for a change, inside the stage's transaction.
func (st *stage) decide(i int, c *syncline.Change, o *staged, decide decide) (syncline.Outcome, error) {
	k, _ := c.Row.Key()
	old, shadow := o.record(k), o.shadow(k)
	d, err := decide(i, o.under.held(old, shadow, c.Row.Schema))
	if err != nil {
		return 0, err
	}
	if _, again := o.records[k]; !again && !o.cleared {
		o.seen = append(o.seen, seen{k, old, shadow})
	}
	switch d.Op {
	case syncline.ChangePut:
		if err := st.store.check(i, c.Object, k); err != nil {
			return 0, err
		}
		o.records[k] = o.under.decided(old, c, d)
	case syncline.ChangeDelete:
		o.records[k] = nil
	}
	o.shadows[k] = d.Shadow
	return d.Outcome, nil
}

func (o *staged) shadow(k syncline.Key) []byte {
	if s, ok := o.shadows[k]; ok || o.cleared {
		return s
	}
	return o.under.shadows[k]
}

// moved reports whether somebody changed what the stage decided on.
func (o *staged) moved() bool {
	for _, s := range o.seen {
		if o.under.records[s.key] != s.record || !bytes.Equal(o.under.shadows[s.key], s.shadow) {
			return true
		}
	}
	return false
}

// decideRecord is one compare-and-set, which nobody can come between.
func (t *Target) decideRecord(i int, c *syncline.Change, key syncline.Key, decide decide) (syncline.Outcome, error) {
	s := t.store
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.objects[c.Object]
	if o == nil {
		return 0, missing(c.Object)
	}
	old := o.records[key]
	d, err := decide(i, o.held(old, o.shadows[key], c.Row.Schema))
	if err != nil {
		return 0, err
	}
	step := undo{}
	switch d.Op {
	case syncline.ChangePut:
		if err := s.check(i, c.Object, key); err != nil {
			return syncline.OutcomeRejected, err
		}
		step = append(step, o.setRecord(key, o.decided(old, c, d)))
	case syncline.ChangeDelete:
		step = append(step, o.setRecord(key, nil))
	}
	s.steps = append(s.steps, append(step, o.setShadow(key, d.Shadow)))
	return d.Outcome, nil
}

// held is what Decide is told of a record.
func (o *object) held(r *record, shadow []byte, s *syncline.Schema) syncline.Held {
	h := syncline.Held{Shadow: shadow}
	if r != nil && !r.gone {
		h.Values = o.render(r, s)
	}
	return h
}

// decided is the record that a Put makes of old.
func (o *object) decided(old *record, c *syncline.Change, d syncline.Decision) *record {
	var values map[string]syncline.Value
	if old != nil && !old.gone {
		values = old.values
	}
	order := c.Order
	if old != nil && old.order.Version() > order.Version() {
		order = old.order // it never goes back
	}
	return &record{order: order, values: o.merged(values, syncline.Row{Schema: c.Row.Schema, Values: d.Values})}
}
