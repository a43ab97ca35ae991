package memtarget

import (
	"slices"
	"strings"

	"syncline"
)

// stage is the open transaction of one Write: what its changes would make of the objects, not yet visible to anybody.
type stage struct {
	store    *Store
	objects  map[string]*staged
	names    []string // of objects, in the order of their first change
	outcomes []syncline.Outcome
}

// staged lies over an object. A nil record is a deleted one.
type staged struct {
	under   *object
	records map[syncline.Key]*record
	shadows map[syncline.Key][]byte // nil = removed
	cleared bool
	seen    []seen
	heap    []*record
}

func (t *Target) stage(w *syncline.Write) (*stage, error) {
	t.store.mu.Lock()
	defer t.store.mu.Unlock()
	st := &stage{store: t.store, objects: map[string]*staged{}, outcomes: make([]syncline.Outcome, len(w.Changes))}
	for i := range w.Changes {
		var err error
		if st.outcomes[i], err = st.change(i, &w.Changes[i], w.Decide); err != nil {
			return nil, err
		}
	}
	return st, nil
}

func (st *stage) change(i int, c *syncline.Change, decide decide) (syncline.Outcome, error) {
	o := st.objects[c.Object]
	if o == nil {
		under := st.store.objects[c.Object]
		if under == nil {
			return 0, missing(c.Object)
		}
		o = &staged{under: under, records: map[syncline.Key]*record{}, shadows: map[syncline.Key][]byte{}, heap: slices.Clone(under.heap)}
		st.objects[c.Object] = o
		st.names = append(st.names, c.Object)
	}
	if decide != nil && c.Op != syncline.ChangeTruncate {
		return st.decide(i, c, o, decide)
	}
	switch c.Op {
	case syncline.ChangeTruncate:
		o.cleared, o.records, o.shadows, o.heap = true, map[syncline.Key]*record{}, map[syncline.Key][]byte{}, nil
	case syncline.ChangeInsert:
		o.heap = append(o.heap, &record{values: o.under.merged(nil, c.Row)})
	case syncline.ChangeReplace:
		return 0, o.replace(i, c, &record{values: o.under.merged(nil, c.Row)})
	case syncline.ChangeDelete:
		if len(c.Row.Schema.Key) == 0 {
			return 0, o.replace(i, c, nil)
		}
		k, _ := c.Row.Key()
		o.records[k] = nil
	case syncline.ChangePut:
		k, _ := c.Row.Key()
		if err := st.store.check(i, c.Object, k); err != nil {
			return 0, err
		}
		return o.put(k, c), nil
	case syncline.ChangeClear:
		o.clear(c)
	case syncline.ChangeMark:
		k, _ := c.Row.Key()
		if err := st.store.check(i, c.Object, k); err != nil {
			return 0, err
		}
		return o.mark(k, c), nil
	}
	return syncline.OutcomeApplied, nil
}

func (o *staged) record(k syncline.Key) *record {
	if r, ok := o.records[k]; ok || o.cleared {
		return r
	}
	return o.under.records[k]
}

func (o *staged) put(k syncline.Key, c *syncline.Change) syncline.Outcome {
	from := k
	if c.OldKey != nil {
		from = syncline.MakeKey(c.OldKey...)
	}
	old := o.record(from)
	if old == nil {
		old = o.record(k)
	}
	if !c.Row.Whole() && (old == nil || old.kept(c.Row.Schema)) {
		return syncline.OutcomeMissing
	}
	var values map[string]syncline.Value
	if old != nil {
		values = old.values
	}
	o.records[from] = nil
	o.records[k] = &record{order: c.Order, values: o.under.merged(values, c.Row)}
	return syncline.OutcomeApplied
}

// clear removes the records of a parent that are not kept.
func (o *staged) clear(c *syncline.Change) {
	parts := make([]syncline.Value, c.Parent)
	for i, k := range c.Row.Schema.Key[:c.Parent] {
		parts[i] = c.Row.Values[k]
	}
	prefix := string(syncline.MakeKey(parts...)) + ","
	keep := map[syncline.Key]bool{}
	for _, values := range c.Keep {
		k, _ := syncline.Row{Schema: c.Row.Schema, Values: values}.Key()
		keep[k] = true
	}
	remove := func(records map[syncline.Key]*record) {
		for k := range records {
			if strings.HasPrefix(string(k), prefix) && !keep[k] {
				o.records[k] = nil
			}
		}
	}
	if !o.cleared {
		remove(o.under.records)
	}
	remove(o.records)
}

func (o *staged) mark(k syncline.Key, c *syncline.Change) syncline.Outcome {
	old := o.record(k)
	if old == nil {
		return syncline.OutcomeMissing
	}
	o.records[k] = &record{order: c.Order, values: o.under.merged(old.values, c.Row)}
	return syncline.OutcomeApplied
}

// kept reports whether the record is only kept.
func (r *record) kept(s *syncline.Schema) bool {
	return slices.ContainsFunc(s.Columns, func(c syncline.Column) bool { return c.Mark != nil && c.Mark.IsGone(r.values[c.Name]) })
}

// replace puts next, or nothing, in the place of the first row that is equal to c.Before.
func (o *staged) replace(i int, c *syncline.Change, next *record) error {
	for at, r := range o.heap {
		if !slices.EqualFunc(o.under.render(r, c.Row.Schema), c.Before, syncline.Equal) {
			continue
		}
		if next == nil {
			o.heap = slices.Delete(o.heap, at, at+1)
		} else {
			o.heap[at] = next
		}
		return nil
	}
	return syncline.Errorf(syncline.Rejected, "row_not_found", "object %s has no row equal to the one to change", c.Object).At(i)
}

// mergeLocked makes the staged changes real and returns how to take them back.
func (st *stage) mergeLocked() undo {
	var u undo
	for _, name := range st.names {
		o := st.objects[name]
		live := st.store.objects[name]
		if live == nil {
			continue // the object was taken away meanwhile, by LoseTail of its Define
		}
		records := live.records
		if o.cleared {
			records = map[syncline.Key]*record{}
		}
		u = append(u, live.setRows(records, o.heap))
		if o.cleared {
			u = append(u, live.setShadows(nil))
		}
		for k, r := range o.records {
			u = append(u, live.setRecord(k, r))
		}
		for k, shadow := range o.shadows {
			u = append(u, live.setShadow(k, shadow))
		}
	}
	return u
}
