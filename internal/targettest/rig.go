package targettest

import (
	"context"
	"testing"

	"syncline"
)

// Keeper is a target that holds its cursor and can be read.
type Keeper interface {
	syncline.Target
	syncline.CursorKeeper
	syncline.Scanner
}

// Rig is a target that owns its slice, and the cursor to write with: for tests of what only one kind of target does.
type Rig[T Keeper] struct {
	TB     testing.TB
	Target T
	// Cursor is where the target stands.
	Cursor syncline.Cursor
	// Ordered is how Write writes.
	Ordered bool
}

// NewRig places the cursor at the target and takes it over.
func NewRig[T Keeper](tb testing.TB, target T) *Rig[T] {
	tb.Helper()
	r := &Rig[T]{TB: tb, Target: target, Cursor: syncline.Cursor{Log: "log", Seq: 1}}
	if err := target.Place(tb.Context(), r.Cursor, "state"); err != nil {
		tb.Fatalf("Place: %v", err)
	}
	r.TakeOver()
	return r
}

// TakeOver becomes the owner of the slice, at the cursor that the target has.
func (r *Rig[T]) TakeOver() {
	r.TB.Helper()
	c, _, found, err := r.Target.Own(r.TB.Context(), r.Cursor.Epoch)
	if err != nil || !found {
		r.TB.Fatalf("Own = %v, %v", found, err)
	}
	r.Cursor = c
}

// PlaceOver begins anew over a cursor that cannot be read, and writes.
func (r *Rig[T]) PlaceOver() {
	r.TB.Helper()
	r.Cursor = syncline.Cursor{Log: "log", Seq: 9, Epoch: r.Cursor.Epoch + 1}
	if err := r.Target.Place(r.TB.Context(), r.Cursor, "state"); err != nil {
		r.TB.Fatalf("Place over a damaged cursor: %v", err)
	}
	if _, err := r.Try(false); err != nil {
		r.TB.Errorf("Apply after Place = %v", err)
	}
	want := r.Cursor
	want.Epoch++
	if got, state, found, err := r.Target.Own(r.TB.Context(), 0); err != nil || !found || got != want || state != "state" {
		r.TB.Errorf("Own after Place = %+v, %q, %v, %v, want %+v", got, state, found, err, want)
	}
	r.Cursor = want
}

// Try writes the changes, and moves the cursor by one batch where that succeeds.
func (r *Rig[T]) Try(ordered bool, changes ...syncline.Change) (syncline.Result, error) {
	next := r.Cursor
	next.Seq++
	res, err := r.Target.Apply(r.TB.Context(), &syncline.Write{Changes: changes, Ordered: ordered, Cursor: next,
		Commit: func(context.Context, syncline.Result) error { return nil }})
	if err == nil {
		r.Cursor = next
	}
	return res, err
}

// Write is a Try that must succeed.
func (r *Rig[T]) Write(changes ...syncline.Change) syncline.Result {
	r.TB.Helper()
	res, err := r.Try(r.Ordered, changes...)
	if err != nil {
		r.TB.Fatalf("Apply: %v", err)
	}
	return res
}

// Names reads the object's Customers back, by their ids.
func (r *Rig[T]) Names(object string) map[string]string {
	r.TB.Helper()
	got := map[string]string{}
	err := r.Target.Scan(r.TB.Context(), object, Customer, func(row syncline.Row) error {
		got[row.Values[0].Text()] = row.Values[1].Text()
		return nil
	})
	if err != nil {
		r.TB.Fatalf("Scan: %v", err)
	}
	return got
}

// RefusesParts writes the changes that a target which takes whole records cannot carry out.
func (r *Rig[T]) RefusesParts() {
	r.TB.Helper()
	partial, moved, insert := Put("c", 1, "", 5), Put("c", 1, "", 5), Put("c", 1, "", 5)
	partial.Row.Values[1] = syncline.Unset
	moved.OldKey = []syncline.Value{syncline.Int(2)}
	insert.Op = syncline.ChangeInsert
	for _, c := range []syncline.Change{partial, moved, insert} {
		if _, err := r.Try(true, c); syncline.CodeOf(err) != "change_unsupported" || syncline.ClassOf(err) != syncline.Fatal {
			r.TB.Errorf("Apply of %+v = %v, want fatal change_unsupported", c, err)
		}
	}
}

// Customer is the schema of what a Rig's tests write: an id and a name.
var Customer = &syncline.Schema{Entity: "customer", Key: []int{0}, Version: -1, Columns: []syncline.Column{
	{Name: "id", Kind: syncline.KindInt}, {Name: "name", Kind: syncline.KindText, Nullable: true}}}

// Put is the change of a Customer by the event at seq of the log with epoch 1.
func Put(object string, id int64, name string, seq syncline.Seq) syncline.Change {
	return syncline.Change{Op: syncline.ChangePut, Object: object, Order: syncline.Order{Epoch: 1, Seq: seq},
		Row: syncline.Row{Schema: Customer, Values: []syncline.Value{syncline.Int(id), syncline.Text(name)}}}
}

// Delete is the removal of a Customer, as Put.
func Delete(object string, id int64, seq syncline.Seq) syncline.Change {
	c := Put(object, id, "", seq)
	c.Op, c.Row.Values[1] = syncline.ChangeDelete, syncline.Unset
	return c
}

// Truncate is the removal of all Customers, as Put.
func Truncate(object string, seq syncline.Seq) syncline.Change {
	return syncline.Change{Op: syncline.ChangeTruncate, Object: object, Row: syncline.Row{Schema: Customer}, Order: syncline.Order{Epoch: 1, Seq: seq}}
}
