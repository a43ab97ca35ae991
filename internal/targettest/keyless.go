package targettest

import (
	"context"
	"testing"

	"syncline"
)

// runKeyless checks objects without a key: a change touches exactly one equal row.
func runKeyless(t *testing.T, h Harness) {
	if !h.Open(t).Target.Traits().Keyless {
		return
	}
	s := &syncline.Schema{Entity: "heap", Table: "public.heap", Version: -1, Columns: []syncline.Column{
		{Name: "a", Kind: syncline.KindInt, Nullable: true},
		{Name: "b", Kind: syncline.KindText, Nullable: true},
		{Name: "c", Kind: syncline.KindJSON, Nullable: true},
	}}
	insert := func(o string, v ...syncline.Value) syncline.Change {
		return syncline.Change{Op: syncline.ChangeInsert, Object: o, Row: syncline.Row{Schema: s, Values: v}}
	}
	drop := func(o string, v ...syncline.Value) syncline.Change {
		return syncline.Change{Op: syncline.ChangeDelete, Object: o, Row: syncline.Row{Schema: s, Values: v}, Before: v}
	}
	replace := func(o string, from, to []syncline.Value) syncline.Change {
		return syncline.Change{Op: syncline.ChangeReplace, Object: o, Row: syncline.Row{Schema: s, Values: to}, Before: from}
	}
	js := syncline.JSON([]byte(`{"k": 1}`))
	one, nulls := vals(syncline.Int(1), syncline.Text("x"), js), vals(syncline.Null, syncline.Null, syncline.Null)

	t.Run("equal rows are kept apart", func(t *testing.T) {
		e := open(t, h)
		o := e.object(s)
		e.applied(false, insert(o, one...), insert(o, one...), insert(o, one...), insert(o, nulls...), insert(o, nulls...))
		e.holds(o, s, one, one, one, nulls, nulls)
		e.applied(true, drop(o, one...), drop(o, nulls...))
		e.holds(o, s, one, one, nulls)
		two := vals(syncline.Int(2), syncline.Null, syncline.Null)
		e.applied(true, replace(o, one, two), replace(o, nulls, one), insert(o, two...), drop(o, two...))
		e.holds(o, s, one, one, two)
	})
	t.Run("many rows", func(t *testing.T) {
		e := open(t, h)
		o := e.object(s)
		var changes []syncline.Change
		var want [][]syncline.Value
		for i := range 1200 {
			v := vals(syncline.Int(int64(i%7)), syncline.Text("tab\t\\N"), syncline.Null)
			changes = append(changes, insert(o, v...))
			want = append(want, v)
		}
		e.applied(false, changes...)
		e.holds(o, s, want...)
		e.applied(true, syncline.Change{Op: syncline.ChangeTruncate, Object: o, Row: syncline.Row{Schema: s}}, insert(o, one...))
		e.holds(o, s, one)
	})
	t.Run("a row that is not there is refused", func(t *testing.T) {
		for _, c := range []func(o string) syncline.Change{
			func(o string) syncline.Change { return drop(o, syncline.Int(9), syncline.Null, syncline.Null) },
			func(o string) syncline.Change {
				return replace(o, vals(syncline.Int(9), syncline.Null, syncline.Null), nulls)
			},
		} {
			e := open(t, h)
			o := e.object(s)
			e.applied(false, insert(o, one...))
			e.reopen() // it may be the first thing that a connection is asked for
			w := e.write(true, insert(o, nulls...), c(o))
			w.Commit = func(context.Context, syncline.Result) error { return nil }
			_, err := e.Target.Apply(t.Context(), w)
			wantError(t, err, syncline.Rejected, "row_not_found")
			e.holds(o, s, one)
			e.applied(true, insert(o, nulls...), replace(o, nulls, one))
			e.holds(o, s, one, one)
		}
	})
}
