// Package memsource is a source in memory: a script of transactions that becomes visible step by step, and a Source that
// captures it. Simulations drive it, and it shows what the contract of a source asks for without a database in the way.
//
// Nothing here starts a goroutine or reads a clock. A Source knows nothing but its checkpoint: closing it is a crash.
package memsource

import (
	"cmp"
	"slices"
	"strconv"
	"sync"
	"time"

	"syncline"
)

// Change is one change of a transaction.
type Change struct {
	// Op is OpCreated, OpUpdated, OpDeleted or OpTruncated; 0 = the table has Schema from here on, which is no event.
	Op     syncline.Op
	Schema *syncline.Schema
	// Reshape makes of a row of the table as it was one of Schema, where Op is 0.
	Reshape func(syncline.Row) []syncline.Value
	// Before is what the source sends of the row before; a delete, and an update that changes the key, have at least the key.
	// A keyless table has the whole row.
	Before []syncline.Value
	// After is the row after an insert or update. A column that is Unset was not changed and is not sent.
	After []syncline.Value
}

// Txn is a committed transaction.
type Txn struct {
	Time    time.Time
	Origin  string
	Changes []Change
}

// System is the database: a history of transactions of which the first few are visible. It is safe for concurrent use.
type System struct {
	id string

	mu      sync.Mutex
	history []Txn
	visible int
	// confirmed is the highest position that a source was told to forget.
	confirmed syncline.Position
	// changed is closed and replaced when there may be something for a Next that waits.
	changed chan struct{}
}

// NewSystem returns a system whose identity is id.
func NewSystem(id string) *System {
	return &System{id: id, changed: make(chan struct{})}
}

// Append adds transactions to the end of the history. They are not visible yet, and must not be changed any more.
func (s *System) Append(txns ...Txn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.history = append(s.history, txns...)
}

// Advance makes up to n more transactions visible and returns how many are.
func (s *System) Advance(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.visible = min(s.visible+n, len(s.history))
	s.wakeLocked()
	return s.visible
}

// Restore makes the system an older copy of itself: only the first n transactions ever happened.
func (s *System) Restore(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.history = s.history[:n:n]
	s.visible = min(s.visible, n)
}

// Confirmed returns the highest position that was confirmed. A source that is opened below it is refused: what stood
// between is forgotten.
func (s *System) Confirmed() syncline.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.confirmed
}

// Rows returns what the entity holds after the visible transactions: by key order, for a keyless one in order of arrival.
func (s *System) Rows(entity string) []syncline.Row {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := content{}
	for _, t := range s.history[:s.visible] {
		for i := range t.Changes {
			c.apply(&t.Changes[i])
		}
	}
	return c.table(entity).sorted("")
}

// Each gives the visible changes after the position, in order, each with its place. Those that only change a schema are not among them.
func (s *System) Each(after syncline.Position, each func(at syncline.Position, c *Change) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.history[:s.visible] {
		for j := range s.history[i].Changes {
			at := syncline.Position{Epoch: after.Epoch, Commit: uint64(i) + 1, Ordinal: uint32(j) + 1}
			if c := &s.history[i].Changes[j]; c.Op != 0 && at.Compare(after) > 0 {
				if err := each(at, c); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// lastOrdinalLocked is the number of changes of the last visible transaction.
func (s *System) lastOrdinalLocked() int {
	if s.visible == 0 {
		return 0
	}
	return len(s.history[s.visible-1].Changes)
}

func (s *System) wakeLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// content is what every entity holds at some point of the history.
type content map[string]*table

type table struct {
	keyed map[syncline.Key]syncline.Row
	loose []syncline.Row
}

func (c content) table(entity string) *table {
	if c[entity] == nil {
		c[entity] = &table{keyed: map[syncline.Key]syncline.Row{}}
	}
	return c[entity]
}

func (c content) apply(ch *Change) {
	t := c.table(ch.Schema.Entity)
	before, after := syncline.Row{Schema: ch.Schema, Values: ch.Before}, syncline.Row{Schema: ch.Schema, Values: ch.After}
	switch {
	case ch.Op == 0:
		t.reshape(ch)
	case ch.Op == syncline.OpTruncated:
		*t = table{keyed: map[syncline.Key]syncline.Row{}}
	case len(ch.Schema.Key) == 0:
		t.replaceLoose(before, after)
	default:
		key, _ := after.Key()
		if was, ok := before.Key(); ok {
			key = was
		}
		old, had := t.keyed[key]
		if had {
			delete(t.keyed, key)
		}
		if ch.After == nil {
			return
		}
		is, _ := after.Key()
		t.keyed[is] = merged(old, after)
	}
}

func (t *table) reshape(ch *Change) {
	for k, r := range t.keyed {
		t.keyed[k] = syncline.Row{Schema: ch.Schema, Values: ch.Reshape(r)}
	}
	loose := make([]syncline.Row, len(t.loose))
	for i, r := range t.loose {
		loose[i] = syncline.Row{Schema: ch.Schema, Values: ch.Reshape(r)}
	}
	t.loose = loose
}

func (t *table) replaceLoose(before, after syncline.Row) {
	if before.Values != nil {
		i := slices.IndexFunc(t.loose, func(r syncline.Row) bool { return slices.EqualFunc(r.Values, before.Values, syncline.Equal) })
		t.loose = slices.Delete(slices.Clone(t.loose), i, i+1)
	}
	if after.Values != nil {
		t.loose = append(t.loose[:len(t.loose):len(t.loose)], after)
	}
}

// merged returns the new row with what was not sent from the old one.
func merged(old, after syncline.Row) syncline.Row {
	if after.Whole() || old.Values == nil {
		return after
	}
	row := syncline.Row{Schema: after.Schema, Values: slices.Clone(after.Values)}
	for i, v := range row.Values {
		if v.IsUnset() {
			row.Values[i] = old.Field(after.Schema.Columns[i].Name)
		}
	}
	return row
}

// sorted returns the rows whose key is above after, in key order; for a keyless table all of them.
func (t *table) sorted(after syncline.Key) []syncline.Row {
	keys := make([]syncline.Key, 0, len(t.keyed))
	for k := range t.keyed {
		if after == "" || compareKeys(k, after) > 0 {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, compareKeys)
	rows := slices.Clone(t.loose)
	for _, k := range keys {
		rows = append(rows, t.keyed[k])
	}
	return rows
}

// compareKeys orders whole numbers as numbers, and other keys by their text.
func compareKeys(a, b syncline.Key) int {
	m, noNumber := strconv.ParseInt(string(a), 10, 64)
	n, noOther := strconv.ParseInt(string(b), 10, 64)
	if noNumber == nil && noOther == nil {
		return cmp.Compare(m, n)
	}
	return cmp.Compare(a, b)
}
