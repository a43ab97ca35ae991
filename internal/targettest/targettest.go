// Package targettest decides what a syncline.Target is: a connector exists when Run passes against the real system. The
// suite looks at the target's Traits and upgrades and checks every promise that they make.
package targettest

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

// Harness is how the suite reaches one kind of target.
type Harness struct {
	// Open makes an instance whose objects and cursor nobody else uses. What it opens, it closes with t.Cleanup.
	Open func(t *testing.T) Instance
	// Guarded: records carry the order of their last change although the target is transactional, so that an older change
	// is stale. Targets without transactions are always taken as guarded.
	Guarded bool
	// FreeForm: a Definer whose objects take any row, so that nothing is ever missing or retyped.
	FreeForm bool
	// Refuses names the cases of HostileValues that the target cannot hold. It may reject those; it must store all others.
	Refuses []string
	// Stored returns what the target gives back for v where that is another form of it; nil = v itself.
	Stored func(name string, v syncline.Value) syncline.Value
}

// Instance is one target, empty and open.
type Instance struct {
	Target syncline.Target
	// Reopen opens the same slice of the same route once more, as another process would. The first one stays open: it plays
	// the paused owner. Required for a CursorKeeper.
	Reopen func() syncline.Target
	// Object makes an object for rows of the schema and returns its name; the suite names every schema's Entity apart.
	// nil = the name is Entity, and a Definer is asked to create it.
	Object func(s *syncline.Schema) string
	// Rows reads all records of an object back; nil = the target is a Scanner. Not used for event targets.
	Rows func(object string, s *syncline.Schema) []syncline.Row
	// Refuse arranges that the target refuses the record of this row and returns what to write, which may be another row
	// with the same key. nil = the target cannot be made to refuse, and rejections are not checked.
	Refuse func(object string, row syncline.Row) syncline.Row
	// Deliveries returns what an event target delivered, in order of arrival. Required for event targets.
	Deliveries func() []Delivery
}

// Delivery is one event as the receiver saw it.
type Delivery struct {
	// ID is the event's id on the wire.
	ID string
	// Key is the record's key in canonical text.
	Key string
}

// Run checks the target.
func Run(t *testing.T, h Harness) {
	t.Helper()
	traits := h.Open(t).Target.Traits()
	t.Run("commit", func(t *testing.T) { runCommit(t, h) })
	t.Run("cursor", func(t *testing.T) { runCursor(t, h) })
	if traits.Events {
		t.Run("events", func(t *testing.T) { runEvents(t, h) })
		return
	}
	t.Run("state", func(t *testing.T) { runState(t, h) })
	t.Run("order", func(t *testing.T) { runOrder(t, h) })
	t.Run("epochs", func(t *testing.T) { runEpochs(t, h) })
	t.Run("reject", func(t *testing.T) { runReject(t, h) })
	t.Run("hostile", func(t *testing.T) { runHostile(t, h) })
	t.Run("count", func(t *testing.T) { runCount(t, h) })
	t.Run("current", func(t *testing.T) { runCurrent(t, h) })
	if traits.Decides {
		t.Run("decide", func(t *testing.T) { runDecide(t, h) })
	}
	t.Run("marks", func(t *testing.T) { runMarks(t, h) })
	t.Run("clears", func(t *testing.T) { runClears(t, h) })
	t.Run("keyless", func(t *testing.T) { runKeyless(t, h) })
	t.Run("define", func(t *testing.T) { runDefine(t, h) })
}

// env is one instance under test, with the write position that the apply loop would keep.
type env struct {
	Instance
	t      *testing.T
	h      Harness
	traits syncline.Traits
	cursor syncline.Cursor
}

func open(t *testing.T, h Harness) *env {
	t.Helper()
	e := &env{Instance: h.Open(t), t: t, h: h}
	e.traits = e.Target.Traits()
	e.cursor = syncline.Cursor{Log: "log-a", Seq: 1}
	if k, ok := e.Target.(syncline.CursorKeeper); ok {
		if err := k.Place(t.Context(), e.cursor, "state-a"); err != nil {
			t.Fatalf("Place: %v", err)
		}
		e.own(k)
	}
	return e
}

// own takes ownership and goes on at the cursor that the target holds.
func (e *env) own(k syncline.CursorKeeper) {
	e.t.Helper()
	c, _, found, err := k.Own(e.t.Context(), e.cursor.Epoch)
	if err != nil || !found {
		e.t.Fatalf("Own = found %v, %v, want found", found, err)
	}
	e.cursor = c
}

// reopen goes on with another instance, as a process that starts again does.
func (e *env) reopen() {
	e.t.Helper()
	e.Target = e.Reopen()
	if k, ok := e.Target.(syncline.CursorKeeper); ok {
		e.own(k)
	}
}

// object makes an object for the schema.
func (e *env) object(s *syncline.Schema) string {
	e.t.Helper()
	if e.Object != nil {
		return e.Object(s)
	}
	if d, ok := e.Target.(syncline.Definer); ok {
		if _, err := d.Define(e.t.Context(), syncline.Definition{Object: s.Entity, Schema: s, Create: true, Policy: syncline.SchemaEvolve}); err != nil {
			e.t.Fatalf("Define %s: %v", s.Entity, err)
		}
	}
	return s.Entity
}

// write makes the Write of the changes at the next sequence; changes without an order get one.
func (e *env) write(ordered bool, changes ...syncline.Change) *syncline.Write {
	seq := e.cursor.Seq
	b := &syncline.Batch{Source: "src", Position: syncline.Position{Epoch: 1, Commit: uint64(seq), Ordinal: uint32(len(changes))},
		Txns: []syncline.Txn{{Commit: uint64(seq)}}}
	for i := range changes {
		c := &changes[i]
		if c.Order == (syncline.Order{}) {
			c.Order = syncline.Order{Epoch: 1, Seq: seq, Index: i}
		}
		if c.Batch == nil {
			c.Batch, c.Event = b, len(b.Events)
			b.Events = append(b.Events, event(c, i))
		}
	}
	next := e.cursor
	next.Seq++
	return &syncline.Write{Changes: changes, Ordered: ordered, Cursor: next,
		Commit: func(context.Context, syncline.Result) error { return nil }}
}

func event(c *syncline.Change, i int) syncline.Event {
	ev := syncline.Event{Op: syncline.OpUpdated, Schema: c.Row.Schema, Ordinal: uint32(i + 1), Before: c.Before, After: c.Row.Values}
	switch c.Op {
	case syncline.ChangeDelete:
		ev.Op, ev.After, ev.Before = syncline.OpDeleted, nil, c.Row.Values
	case syncline.ChangeInsert:
		ev.Op = syncline.OpCreated
	case syncline.ChangeClear:
		ev.After = nil
	case syncline.ChangeTruncate:
		ev.Op, ev.After = syncline.OpTruncated, nil
	}
	return ev
}

// apply carries out the changes and moves the cursor.
func (e *env) apply(ordered bool, changes ...syncline.Change) syncline.Result {
	e.t.Helper()
	w := e.write(ordered, changes...)
	res, err := e.Target.Apply(e.t.Context(), w)
	if err != nil {
		e.t.Fatalf("Apply: %v", err)
	}
	if len(res.Outcomes) != len(changes) {
		e.t.Fatalf("Apply = %d outcomes for %d changes", len(res.Outcomes), len(changes))
	}
	e.cursor = w.Cursor
	return res
}

// applied is apply where every change must be applied.
func (e *env) applied(ordered bool, changes ...syncline.Change) {
	e.t.Helper()
	e.outcomes(e.apply(ordered, changes...), slices.Repeat([]syncline.Outcome{syncline.OutcomeApplied}, len(changes))...)
}

func (e *env) outcomes(res syncline.Result, want ...syncline.Outcome) {
	e.t.Helper()
	if diff := cmp.Diff(want, res.Outcomes); diff != "" {
		e.t.Errorf("outcomes (-want +got):\n%s", diff)
	}
}

// holds checks that the object has exactly these records.
func (e *env) holds(object string, s *syncline.Schema, want ...[]syncline.Value) {
	e.t.Helper()
	lines := make([]string, len(want))
	for i, v := range want {
		lines[i] = line(v)
	}
	slices.Sort(lines)
	if diff := cmp.Diff(lines, e.lines(object, s)); diff != "" {
		e.t.Errorf("records of %s (-want +got):\n%s", object, diff)
	}
}

func (e *env) lines(object string, s *syncline.Schema) []string {
	e.t.Helper()
	lines := []string{}
	for _, r := range e.scan(object, s) {
		if len(r.Values) != len(s.Columns) {
			e.t.Fatalf("scan of %s = a row of %d values for %d columns", object, len(r.Values), len(s.Columns))
		}
		lines = append(lines, line(r.Values))
	}
	slices.Sort(lines)
	return lines
}

func (e *env) scan(object string, s *syncline.Schema) []syncline.Row {
	e.t.Helper()
	if e.Rows != nil {
		return e.Rows(object, s)
	}
	sc, ok := e.Target.(syncline.Scanner)
	if !ok {
		e.t.Fatal("the harness needs Rows: the target is no Scanner")
	}
	var rows []syncline.Row
	if err := sc.Scan(e.t.Context(), object, s, func(r syncline.Row) error { rows = append(rows, r); return nil }); err != nil {
		e.t.Fatalf("Scan %s: %v", object, err)
	}
	return rows
}

// line writes values so that equal ones are the same text; long ones are shortened to their hash.
func line(values []syncline.Value) string {
	var b []byte
	for i, v := range values {
		if i > 0 {
			b = append(b, ' ')
		}
		if v.IsNull() || v.IsUnset() {
			b = append(b, v.String()...)
			continue
		}
		c := syncline.AppendCanonical(nil, v)
		if len(c) > 200 {
			h := fnv.New64a()
			h.Write(c) //nolint:errcheck // a hash never fails
			c = fmt.Appendf(c[:20:20], "… %d bytes %x", len(c), h.Sum64())
		}
		b = strconv.AppendQuote(b, string(c))
	}
	return string(b)
}

func put(object string, s *syncline.Schema, values ...syncline.Value) syncline.Change {
	return syncline.Change{Op: syncline.ChangePut, Object: object, Row: syncline.Row{Schema: s, Values: values}}
}

// remove deletes by the values of the key, in key order.
func remove(object string, s *syncline.Schema, key ...syncline.Value) syncline.Change {
	values := slices.Repeat([]syncline.Value{syncline.Unset}, len(s.Columns))
	for i, c := range s.Key {
		values[c] = key[i]
	}
	return syncline.Change{Op: syncline.ChangeDelete, Object: object, Row: syncline.Row{Schema: s, Values: values}}
}

func vals(v ...syncline.Value) []syncline.Value { return v }

// customer is the schema of most tests.
func customer() *syncline.Schema {
	return &syncline.Schema{Entity: "customer", Table: "public.customer", Key: []int{0}, Version: -1, Columns: []syncline.Column{
		{Name: "id", Kind: syncline.KindInt},
		{Name: "name", Kind: syncline.KindText, Nullable: true},
		{Name: "credit", Kind: syncline.KindDecimal, Nullable: true},
	}}
}
