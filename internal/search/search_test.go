package search

import (
	"context"
	"fmt"
	"testing"

	"syncline"
	"syncline/internal/targettest"
)

func directory(tb testing.TB, path string) *Directory {
	tb.Helper()
	d, err := Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := d.Close(); err != nil {
			tb.Errorf("Close: %v", err)
		}
	})
	return d
}

func TestConforms(t *testing.T) {
	targettest.Run(t, targettest.Harness{
		Refuses: []string{"text_invalid_utf8"},
		Stored: func(name string, v syncline.Value) syncline.Value {
			if name == "json_null" {
				return syncline.Null // a document has one null
			}
			return v
		},
		Open: func(t *testing.T) targettest.Instance {
			d := directory(t, t.TempDir())
			open := func() syncline.Target {
				target, err := OpenTarget(d, Options{Objects: []string{"customer"}, Route: "r"})
				if err != nil {
					t.Fatal(err)
				}
				return target
			}
			return targettest.Instance{
				Target: open(),
				Reopen: open,
				Refuse: func(_ string, row syncline.Row) syncline.Row {
					row.Values[1] = syncline.Text("not UTF-8: \xff")
					return row
				},
			}
		},
	})
}

var customer = &syncline.Schema{Entity: "customer", Key: []int{0}, Version: -1, Columns: []syncline.Column{
	{Name: "id", Kind: syncline.KindInt}, {Name: "name", Kind: syncline.KindText, Nullable: true}}}

// put is the change of a customer by the event at seq.
func put(object string, id int64, name string, seq syncline.Seq) syncline.Change {
	return syncline.Change{Op: syncline.ChangePut, Object: object, Order: syncline.Order{Epoch: 1, Seq: seq},
		Row: syncline.Row{Schema: customer, Values: []syncline.Value{syncline.Int(id), syncline.Text(name)}}}
}

func del(object string, id int64, seq syncline.Seq) syncline.Change {
	c := put(object, id, "", seq)
	c.Op, c.Row.Values[1] = syncline.ChangeDelete, syncline.Unset
	return c
}

func truncate(object string, seq syncline.Seq) syncline.Change {
	return syncline.Change{Op: syncline.ChangeTruncate, Object: object, Row: syncline.Row{Schema: customer}, Order: syncline.Order{Epoch: 1, Seq: seq}}
}

// rig is a target that owns its slice, and the cursor to write with.
type rig struct {
	*Target
	tb     testing.TB
	cursor syncline.Cursor
}

func newRig(tb testing.TB, d *Directory, o Options) *rig {
	tb.Helper()
	target, err := OpenTarget(d, o)
	if err != nil {
		tb.Fatal(err)
	}
	r := &rig{Target: target, tb: tb, cursor: syncline.Cursor{Log: "log", Seq: 1}}
	if err := r.Place(tb.Context(), r.cursor, "state"); err != nil {
		tb.Fatalf("Place: %v", err)
	}
	r.own()
	return r
}

func (r *rig) own() {
	r.tb.Helper()
	c, _, found, err := r.Own(r.tb.Context(), r.cursor.Epoch)
	if err != nil || !found {
		r.tb.Fatalf("Own = %v, %v", found, err)
	}
	r.cursor = c
}

// placeOver begins anew over a cursor that cannot be read, and writes.
func (r *rig) placeOver() {
	r.tb.Helper()
	r.cursor = syncline.Cursor{Log: "log", Seq: 9, Epoch: r.cursor.Epoch + 1}
	if err := r.Place(r.tb.Context(), r.cursor, "state"); err != nil {
		r.tb.Fatalf("Place over a damaged cursor: %v", err)
	}
	if _, err := r.try(false); err != nil {
		r.tb.Errorf("Apply after Place = %v", err)
	}
	want := r.cursor
	want.Epoch++
	if got, state, found, err := r.Own(r.tb.Context(), 0); err != nil || !found || got != want || state != "state" {
		r.tb.Errorf("Own after Place = %+v, %q, %v, %v, want %+v", got, state, found, err, want)
	}
	r.cursor = want
}

func (r *rig) try(ordered bool, changes ...syncline.Change) (syncline.Result, error) {
	next := r.cursor
	next.Seq++
	res, err := r.Apply(r.tb.Context(), &syncline.Write{Changes: changes, Ordered: ordered, Cursor: next,
		Commit: func(context.Context, syncline.Result) error { return nil }})
	if err == nil {
		r.cursor = next
	}
	return res, err
}

func (r *rig) apply(changes ...syncline.Change) syncline.Result {
	r.tb.Helper()
	res, err := r.try(true, changes...)
	if err != nil {
		r.tb.Fatalf("Apply: %v", err)
	}
	return res
}

// names reads the object's customers back.
func (r *rig) names(object string) map[string]string {
	r.tb.Helper()
	got := map[string]string{}
	err := r.Scan(r.tb.Context(), object, customer, func(row syncline.Row) error {
		got[row.Values[0].Text()] = row.Values[1].Text()
		return nil
	})
	if err != nil {
		r.tb.Fatalf("Scan: %v", err)
	}
	return got
}

func BenchmarkApply(b *testing.B) {
	for _, rows := range []int{1, 100, 5000} {
		b.Run(fmt.Sprint(rows), func(b *testing.B) {
			r := newRig(b, directory(b, b.TempDir()), Options{Objects: []string{"bench"}, Route: "r"})
			seq := syncline.Seq(1)
			for b.Loop() {
				seq++
				changes := make([]syncline.Change, rows)
				for i := range changes {
					changes[i] = put("bench", int64(i), "a name of ordinary length", seq)
				}
				r.apply(changes...)
			}
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// TestTheCursorIsFoundWhateverTheOrderOfTheObjects also where it is in the index of another object, as earlier versions kept it.
func TestTheCursorIsFoundWhateverTheOrderOfTheObjects(t *testing.T) {
	d := directory(t, t.TempDir())
	own := func(objects ...string) (syncline.Cursor, bool) {
		t.Helper()
		target, err := OpenTarget(d, Options{Objects: objects, Route: "r"})
		if err != nil {
			t.Fatal(err)
		}
		c, state, found, err := target.Own(t.Context(), 0)
		if err != nil || found && state != "state" {
			t.Fatalf("Own of %v = %+v, %q, %v", objects, c, state, err)
		}
		return c, found
	}
	newRig(t, d, Options{Objects: []string{"b"}, Route: "r"}) // it has written a cursor at sequence 1 and owns it
	for i, objects := range [][]string{{"b", "a", "c"}, {"c", "a", "b"}, {"a", "b", "c"}} {
		if c, found := own(objects...); !found || c.Seq != 1 || c.Epoch != uint64(2+i) {
			t.Errorf("Own of %v = %+v, %v, want the cursor with epoch %d", objects, c, found, 2+i)
		}
	}
	if c, found := own("b"); found {
		t.Errorf("the index of b still has the cursor %+v: it would hide that the one of a is lost", c)
	}
}
