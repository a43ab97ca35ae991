package memsource

import (
	"slices"
	"testing"
	"time"

	"syncline"
	"syncline/internal/sourcetest"
)

func TestSource(t *testing.T) {
	sourcetest.Run(t, sourcetest.Harness{Snapshot: true, Keyless: true, Truncate: true, Concurrent: true,
		New: func(t *testing.T) sourcetest.System { return &bench{sys: NewSystem(t.Name())} }})
}

// TestSourceThatSendsLittle leaves out every unchanged column and every before image that it may.
func TestSourceThatSendsLittle(t *testing.T) {
	sourcetest.Run(t, sourcetest.Harness{Snapshot: true, Truncate: true, Concurrent: true,
		New: func(t *testing.T) sourcetest.System { return &bench{sys: NewSystem(t.Name()), little: true} }})
}

// bench is a system of the suite.
type bench struct {
	sys *System
	// little: leave unsent what may be left unsent.
	little bool
}

func (b *bench) Source(*testing.T) syncline.Source {
	entities := []string{sourcetest.Item, sourcetest.Pair, sourcetest.Loose}
	return New(Options{Name: "mem", System: b.sys, Snapshot: entities, ChunkRows: 10})
}

func (b *bench) Rows(_ *testing.T, entity string) (rows [][]syncline.Value) {
	for _, r := range b.sys.Rows(entity) {
		rows = append(rows, r.Values)
	}
	return rows
}

func (b *bench) Begin(*testing.T) sourcetest.Tx { return &tx{b: b} }

type tx struct {
	b       *bench
	changes []Change
}

func (x *tx) Exec(_ *testing.T, c sourcetest.Change) {
	ch := Change{Op: c.Op, Schema: sourcetest.Tables[c.Entity], Before: c.Old, After: c.New}
	if x.b.little && c.Old != nil {
		ch.Before, ch.After = less(ch.Schema, c.Old, c.New)
	}
	x.changes = append(x.changes, ch)
}

// less returns the row before with its key only, or not at all where the key stays, and the row after without what stays.
func less(s *syncline.Schema, old, row []syncline.Value) (before, after []syncline.Value) {
	before, after = slices.Clone(old), slices.Clone(row)
	moved := row == nil
	for i := range old {
		key := slices.Contains(s.Key, i)
		if !key {
			before[i] = syncline.Unset
		}
		if row == nil || !syncline.Equal(old[i], row[i]) {
			moved = moved || key
			continue
		}
		if !key {
			after[i] = syncline.Unset
		}
	}
	if !moved {
		before = nil
	}
	return before, after
}

func (x *tx) Commit(*testing.T) {
	x.b.sys.Append(Txn{Time: time.UnixMicro(1), Changes: x.changes})
	x.b.sys.Advance(1)
}

func (x *tx) Rollback(*testing.T) { x.changes = nil }

func insert(id int64) Txn {
	return Txn{Changes: []Change{{Op: syncline.OpCreated, Schema: sourcetest.Tables[sourcetest.Item],
		After: []syncline.Value{syncline.Int(id), syncline.Null, syncline.Null, syncline.Null}}}}
}

func TestTryNextGivesOnlyWhatIsVisible(t *testing.T) {
	sys := NewSystem("a")
	sys.Append(insert(1), insert(2), insert(3))
	src := New(Options{Name: "mem", System: sys})
	if err := src.Open(t.Context(), nil, syncline.Position{}); err != nil {
		t.Fatal(err)
	}
	count := func() (n int) {
		for {
			b, ok, err := src.TryNext()
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				return n
			}
			n += len(b.Events)
		}
	}
	for _, step := range []struct{ advance, want int }{{0, 0}, {2, 2}, {0, 0}, {5, 1}, {1, 0}} {
		sys.Advance(step.advance)
		if got := count(); got != step.want {
			t.Errorf("after advance(%d): %d events, want %d", step.advance, got, step.want)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	sys := NewSystem("a")
	sys.Append(insert(1), insert(2))
	sys.Advance(2)
	src := New(Options{Name: "mem", System: sys})
	if err := src.Open(t.Context(), nil, syncline.Position{}); err != nil {
		t.Fatal(err)
	}
	var last *syncline.Batch
	for {
		b, ok, err := src.TryNext()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		last = b
	}
	src.Confirm(last.Position)
	tests := map[string]struct {
		restore    int
		checkpoint []byte
		last       syncline.Position
	}{
		"source_ahead":          {2, last.Checkpoint, syncline.Position{Epoch: 1, Commit: 1, Ordinal: 1}},
		"source_behind":         {1, last.Checkpoint, last.Position},
		"source_changed":        {2, []byte(`{"system":"b"}`), last.Position},
		"checkpoint_unreadable": {2, []byte(`{`), last.Position},
	}
	for code, c := range tests {
		other := NewSystem("a")
		other.Append(insert(1), insert(2))
		other.Advance(2)
		other.confirmed = sys.Confirmed()
		other.Restore(c.restore)
		err := New(Options{Name: "mem", System: other}).Open(t.Context(), c.checkpoint, c.last)
		if syncline.ClassOf(err) != syncline.Fatal || syncline.CodeOf(err) != code {
			t.Errorf("open = %v, want fatal %s", err, code)
		}
	}
}
