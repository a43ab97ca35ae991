package search

import (
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

// rig is a target with the cursor to write with; the changes are of customers.
type rig struct {
	*Target
	*targettest.Rig[*Target]
}

var (
	customer = targettest.Customer
	put      = targettest.Put
	del      = targettest.Delete
	truncate = targettest.Truncate
)

func newRig(tb testing.TB, d *Directory, o Options) *rig {
	tb.Helper()
	target, err := OpenTarget(d, o)
	if err != nil {
		tb.Fatal(err)
	}
	r := &rig{target, targettest.NewRig(tb, target)}
	r.Ordered = true
	return r
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
				r.Write(changes...)
			}
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// TestTheCursorIsFoundWhateverTheOrderOfTheObjects also where it is in the index of another object, because the first one joined later.
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
