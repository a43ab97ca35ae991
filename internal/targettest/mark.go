package targettest

import (
	"context"
	"testing"

	"syncline"
)

// kept is the schema of records that can stay although they are gone.
func kept() *syncline.Schema {
	s := customer()
	s.Entity = "kept"
	s.Columns = append(s.Columns,
		syncline.Column{Name: "gone", Kind: syncline.KindBool, Nullable: true, Mark: &syncline.Mark{Live: syncline.Bool(false), Gone: []syncline.Value{syncline.Bool(true)}}},
		syncline.Column{Name: "since", Kind: syncline.KindTimestampTZ, Nullable: true, Mark: &syncline.Mark{Any: true}},
		syncline.Column{Name: "state", Kind: syncline.KindText, Nullable: true,
			Mark: &syncline.Mark{Gone: []syncline.Value{syncline.Text(`left 'us' \`)}, Other: []syncline.Value{syncline.Text("archived")}}})
	return s
}

func mark(object string, s *syncline.Schema, values ...syncline.Value) syncline.Change {
	return syncline.Change{Op: syncline.ChangeMark, Object: object, Row: syncline.Row{Schema: s, Values: values}}
}

// runMarks sees that a record which is only kept is not there for a change that tells some of its columns, and takes everything else.
func runMarks(t *testing.T, h Harness) {
	unset, null, no, yes := syncline.Unset, syncline.Null, syncline.Bool(false), syncline.Bool(true)
	at := syncline.Raw(syncline.KindTimestampTZ, []byte("2026-01-02 03:04:05+00"))
	left := syncline.Text(`left 'us' \`)
	for name, ordered := range map[string]bool{"in any order": false, "in order": true} {
		t.Run(name, func(t *testing.T) {
			e := open(t, h)
			if !e.traits.Marks {
				return
			}
			s := kept()
			o := e.object(s)
			id := syncline.Int
			var puts []syncline.Change
			for n := range int64(6) {
				puts = append(puts, put(o, s, id(n), syncline.Text("a"), null, no, null, null))
			}
			e.applied(ordered, puts...)
			e.outcomes(e.apply(ordered,
				mark(o, s, id(0), unset, unset, yes, unset, unset),
				mark(o, s, id(1), unset, unset, unset, at, unset),
				mark(o, s, id(2), unset, unset, unset, unset, left),
				mark(o, s, id(3), syncline.Text("b"), unset, unset, unset, syncline.Text("archived")),
				mark(o, s, id(77), unset, unset, yes, unset, unset),
				mark(o, s, id(78), syncline.Text("whole"), null, yes, null, null)),
				syncline.OutcomeApplied, syncline.OutcomeApplied, syncline.OutcomeApplied, syncline.OutcomeApplied, syncline.OutcomeMissing, syncline.OutcomeMissing)
			var some []syncline.Change
			for n := range int64(5) {
				some = append(some, put(o, s, id(n), unset, syncline.Decimal("7"), no, null, null))
			}
			e.outcomes(e.apply(ordered, some...),
				syncline.OutcomeMissing, syncline.OutcomeMissing, syncline.OutcomeMissing, syncline.OutcomeApplied, syncline.OutcomeApplied)
			e.holds(o, s,
				vals(id(0), syncline.Text("a"), null, yes, null, null),
				vals(id(1), syncline.Text("a"), null, no, at, null),
				vals(id(2), syncline.Text("a"), null, no, null, left),
				vals(id(3), syncline.Text("b"), syncline.Decimal("7"), no, null, null),
				vals(id(4), syncline.Text("a"), syncline.Decimal("7"), no, null, null),
				vals(id(5), syncline.Text("a"), null, no, null, null))
			e.applied(ordered,
				put(o, s, id(0), syncline.Text("back"), null, no, null, null),
				mark(o, s, id(1), unset, unset, yes, unset, unset),
				remove(o, s, id(2)))
			e.holds(o, s,
				vals(id(0), syncline.Text("back"), null, no, null, null),
				vals(id(1), syncline.Text("a"), null, yes, at, null),
				vals(id(3), syncline.Text("b"), syncline.Decimal("7"), no, null, null),
				vals(id(4), syncline.Text("a"), syncline.Decimal("7"), no, null, null),
				vals(id(5), syncline.Text("a"), null, no, null, null))
		})
	}
	t.Run("many at once", func(t *testing.T) {
		e := open(t, h)
		if !e.traits.Marks {
			return
		}
		s := kept()
		o := e.object(s)
		const n = 1500
		var puts, marks, some, whole []syncline.Change
		for i := range int64(n) {
			puts = append(puts, put(o, s, syncline.Int(i), syncline.Text("a"), null, no, null, null))
			marks = append(marks, mark(o, s, syncline.Int(2*i), unset, unset, yes, unset, unset))
			some = append(some, put(o, s, syncline.Int(i), syncline.Text("b"), unset, no, null, null))
			whole = append(whole, put(o, s, syncline.Int(i), syncline.Text("c"), null, no, null, null))
		}
		e.applied(false, puts...)
		res := e.apply(false, marks...)
		for i, got := range res.Outcomes {
			if want := missing(2*i >= n); got != want {
				t.Fatalf("mark of %d = %d, want %d", 2*i, got, want)
			}
		}
		for i, got := range e.apply(false, some...).Outcomes {
			if want := missing(i%2 == 0); got != want {
				t.Fatalf("put of some columns of %d = %d, want %d", i, got, want)
			}
		}
		e.applied(false, whole...)
		for _, r := range e.scan(o, s) {
			if r.Values[1].Text() != "c" || !syncline.Equal(r.Values[3], no) {
				t.Fatalf("record %v, want it live again", r.Values)
			}
		}
	})
	t.Run("the columns must be there", func(t *testing.T) {
		e := open(t, h)
		d, shaped := e.Target.(syncline.Definer)
		if !e.traits.Marks || !shaped || e.Object != nil {
			return
		}
		s := customer()
		o := e.object(s)
		with := kept()
		_, err := d.Define(t.Context(), syncline.Definition{Object: o, Schema: with, Policy: syncline.SchemaIgnore})
		if syncline.CodeOf(err) != "column_missing" || syncline.ClassOf(err) != syncline.Fatal {
			t.Errorf("Define = %v, want a fatal column_missing", err)
		}
		reread := false
		_, err = d.Define(t.Context(), syncline.Definition{Object: o, Schema: with, Previous: s, Policy: syncline.SchemaEvolve,
			Reread: func(context.Context) error { reread = true; return nil }})
		if err != nil || reread {
			t.Errorf("Define = %v, reread %v, want the columns made and nothing read: null means that a record is there", err, reread)
		}
		e.applied(false, put(o, with, syncline.Int(1), syncline.Text("a"), null, no, null, null))
	})
}

func missing(yes bool) syncline.Outcome {
	if yes {
		return syncline.OutcomeMissing
	}
	return syncline.OutcomeApplied
}
