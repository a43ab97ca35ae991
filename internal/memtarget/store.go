// Package memtarget is a target in memory, for tests and the simulator: a state target with or without transactions, and a
// recorder of events. It has no goroutines, no clock and no randomness. What it holds stands in a Store, which outlives the
// targets opened on it as a database outlives its connections; the Store can lose what was not synced and fail on demand.
package memtarget

import (
	"maps"
	"sync"

	"syncline"
)

// Store holds objects, cursors and injected faults. It is safe for concurrent use.
type Store struct {
	mu      sync.Mutex
	objects map[string]*object
	cursors map[slice]cursorRow
	epochs  map[string]syncline.LogEpochs // by object; never changed in place
	faults
	// steps undo what is not synced, oldest first. A transactional Write is one step; without transactions each record and
	// the cursor are steps of their own. Define, Own, Place and LogEpoch are one step each.
	steps []undo
}

type slice struct {
	route  string
	number int
}

type cursorRow struct {
	cursor syncline.Cursor
	state  string
}

// object is one table. Its records are never changed in place, so an undo keeps only references.
type object struct {
	columns []syncline.Column
	key     []string
	records map[syncline.Key]*record
	heap    []*record // the rows of a keyless object
	shadows map[syncline.Key][]byte
}

// record is the stored form of a row; order guards it, and gone marks the tombstone of a guarded delete.
type record struct {
	values map[string]syncline.Value
	order  syncline.Order
	gone   bool
}

type undo []func()

// NewStore returns an empty store.
func NewStore() *Store {
	return &Store{objects: map[string]*object{}, cursors: map[slice]cursorRow{}, epochs: map[string]syncline.LogEpochs{}, faults: newFaults()}
}

// Sync makes everything so far survive LoseTail.
func (s *Store) Sync() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps = nil
}

// LoseTail takes back the last n steps that were not synced, rows and cursor together, and returns how many there were: a
// failover to a lagging replica, a restore, a crash with asynchronous commits.
func (s *Store) LoseTail(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n = min(n, len(s.steps))
	for range n {
		last := s.steps[len(s.steps)-1]
		s.steps = s.steps[:len(s.steps)-1]
		for i := len(last) - 1; i >= 0; i-- {
			last[i]()
		}
	}
	return n
}

// DropCursor forgets the cursor of a slice, as an operator's mistake would.
func (s *Store) DropCursor(route string, number int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps = append(s.steps, undo{s.dropCursorLocked(slice{route, number})})
}

func (s *Store) dropCursorLocked(at slice) func() {
	old, had := s.cursors[at]
	delete(s.cursors, at)
	return func() {
		if had {
			s.cursors[at] = old
		}
	}
}

func (s *Store) setCursorLocked(at slice, row cursorRow) func() {
	old, had := s.cursors[at]
	s.cursors[at] = row
	return func() {
		if had {
			s.cursors[at] = old
		} else {
			delete(s.cursors, at)
		}
	}
}

func (s *Store) setObjectLocked(name string, o *object) func() {
	old := s.objects[name]
	s.objects[name] = o
	return func() {
		if old == nil {
			delete(s.objects, name)
		} else {
			s.objects[name] = old
		}
	}
}

func (o *object) setRecord(k syncline.Key, r *record) func() {
	old := o.records[k]
	if r == nil {
		delete(o.records, k)
	} else {
		o.records[k] = r
	}
	return func() {
		if old == nil {
			delete(o.records, k)
		} else {
			o.records[k] = old
		}
	}
}

// setShadow keeps the shadow of a key; nil = none.
func (o *object) setShadow(k syncline.Key, shadow []byte) func() {
	old := o.shadows[k]
	o.putShadow(k, shadow)
	return func() { o.putShadow(k, old) }
}

func (o *object) putShadow(k syncline.Key, shadow []byte) {
	switch {
	case shadow == nil:
		delete(o.shadows, k)
	case o.shadows == nil:
		o.shadows = map[syncline.Key][]byte{k: shadow}
	default:
		o.shadows[k] = shadow
	}
}

func (o *object) setShadows(shadows map[syncline.Key][]byte) func() {
	old := o.shadows
	o.shadows = shadows
	return func() { o.shadows = old }
}

func (o *object) setRows(records map[syncline.Key]*record, heap []*record) func() {
	oldRecords, oldHeap := o.records, o.heap
	o.records, o.heap = records, heap
	return func() { o.records, o.heap = oldRecords, oldHeap }
}

// merged returns values with the set columns of row in place; columns that the object lacks are left out.
func (o *object) merged(values map[string]syncline.Value, row syncline.Row) map[string]syncline.Value {
	out := make(map[string]syncline.Value, len(o.columns))
	maps.Copy(out, values)
	for i, c := range row.Schema.Columns {
		if v := row.Values[i]; !v.IsUnset() && o.has(c.Name) {
			out[c.Name] = v
		}
	}
	return out
}

func (o *object) has(column string) bool {
	for i := range o.columns {
		if o.columns[i].Name == column {
			return true
		}
	}
	return false
}

// render gives a record in the terms of a schema: null where the record has no value, unset where the object has no column.
func (o *object) render(r *record, s *syncline.Schema) []syncline.Value {
	out := make([]syncline.Value, len(s.Columns))
	for i, c := range s.Columns {
		v, ok := r.values[c.Name]
		switch {
		case ok:
			out[i] = v
		case !o.has(c.Name):
			out[i] = syncline.Unset
		}
	}
	return out
}
