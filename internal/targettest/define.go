package targettest

import (
	"context"
	"errors"
	"testing"

	"syncline"
)

// defined is what came of a Define, and whether it asked for the records to be read again.
type defined struct {
	syncline.Defined
	reread bool
}

// runDefine checks how objects are made and follow their schema.
func runDefine(t *testing.T, h Harness) {
	if _, ok := h.Open(t).Target.(syncline.Definer); !ok || h.FreeForm {
		return
	}
	base := customer()
	wider := customer()
	wider.Columns = append(wider.Columns, syncline.Column{Name: "city", Kind: syncline.KindText, Nullable: true})
	define := func(e *env, s, previous *syncline.Schema, create bool, p syncline.SchemaPolicy) (d defined, err error) {
		d.Defined, err = e.Target.(syncline.Definer).Define(t.Context(), syncline.Definition{Object: base.Entity, Schema: s, Previous: previous,
			Create: create, Policy: p, Reread: func(context.Context) error { d.reread = true; return nil }})
		return d, err
	}
	// made opens an instance with an object of the base schema and one record.
	made := func(t *testing.T) *env {
		e := open(t, h)
		if d, err := define(e, base, nil, true, syncline.SchemaEvolve); err != nil || d.reread {
			t.Fatalf("Define of a new object = %+v, %v", d, err)
		}
		e.applied(false, put(base.Entity, base, syncline.Int(1), syncline.Text("one"), syncline.Null))
		return e
	}
	ann := func(s *syncline.Schema) syncline.Change {
		return put(base.Entity, s, syncline.Int(2), syncline.Text("Ann"), syncline.Null, syncline.Text("Bern"))
	}
	t.Run("a missing object is not made unasked", func(t *testing.T) {
		e := open(t, h)
		_, err := define(e, base, nil, false, syncline.SchemaIgnore)
		wantError(t, err, syncline.Fatal, "object_missing")
	})
	t.Run("again changes nothing", func(t *testing.T) {
		e := made(t)
		for _, create := range []bool{true, false} {
			if d, err := define(e, base, nil, create, syncline.SchemaEvolve); err != nil || d.reread || len(d.Warnings) > 0 {
				t.Errorf("Define of what is there (create %v) = %+v, %v, want nothing", create, d, err)
			}
		}
		e.holds(base.Entity, base, vals(syncline.Int(1), syncline.Text("one"), syncline.Null))
	})
	t.Run("evolve adds a column whose old values must be read", func(t *testing.T) {
		e := made(t)
		d, err := define(e, wider, base, true, syncline.SchemaEvolve)
		if err != nil || !d.reread {
			t.Fatalf("Define with a new column = %+v, %v, want a reread", d, err)
		}
		e.applied(false, ann(wider))
		e.holds(base.Entity, wider,
			vals(syncline.Int(1), syncline.Text("one"), syncline.Null, syncline.Null),
			vals(syncline.Int(2), syncline.Text("Ann"), syncline.Null, syncline.Text("Bern")))
	})
	t.Run("evolve adds a column with its default", func(t *testing.T) {
		e := made(t)
		filled := customer()
		filled.Columns = append(filled.Columns, syncline.Column{Name: "city", Kind: syncline.KindText, Default: "'Rome'"})
		d, err := define(e, filled, base, true, syncline.SchemaEvolve)
		if err != nil || d.reread {
			t.Fatalf("Define with a new column = %+v, %v, want no reread", d, err)
		}
		e.applied(false, ann(filled))
		e.holds(base.Entity, filled,
			vals(syncline.Int(1), syncline.Text("one"), syncline.Null, syncline.Text("Rome")),
			vals(syncline.Int(2), syncline.Text("Ann"), syncline.Null, syncline.Text("Bern")))
	})
	t.Run("ignore leaves a new column out and says so", func(t *testing.T) {
		e := made(t)
		d, err := define(e, wider, base, false, syncline.SchemaIgnore)
		if err != nil || d.reread || len(d.Warnings) == 0 {
			t.Fatalf("Define with a new column = %+v, %v, want a warning", d, err)
		}
		e.applied(false, ann(wider))
		e.holds(base.Entity, base,
			vals(syncline.Int(1), syncline.Text("one"), syncline.Null),
			vals(syncline.Int(2), syncline.Text("Ann"), syncline.Null))
	})
	t.Run("halt stops at a change", func(t *testing.T) {
		e := made(t)
		if _, err := define(e, base, nil, false, syncline.SchemaHalt); err != nil {
			t.Errorf("Define at the start: %v", err)
		}
		_, err := define(e, wider, base, false, syncline.SchemaHalt)
		wantError(t, err, syncline.Fatal, "schema_changed")
		e.holds(base.Entity, base, vals(syncline.Int(1), syncline.Text("one"), syncline.Null))
	})
	t.Run("halt stops at a change that came while nobody looked", func(t *testing.T) {
		e := made(t)
		if _, err := define(e, base, nil, false, syncline.SchemaHalt); err != nil {
			t.Errorf("Define at the start: %v", err)
		}
		e.reopen()
		_, err := define(e, wider, base, false, syncline.SchemaHalt)
		wantError(t, err, syncline.Fatal, "schema_changed")
		if _, err := define(e, base, base, false, syncline.SchemaHalt); err != nil {
			t.Errorf("Define without a change: %v", err)
		}
	})
	t.Run("what must be read again is asked for before anything is altered", func(t *testing.T) {
		e := made(t)
		no := errors.New("not now")
		_, err := e.Target.(syncline.Definer).Define(t.Context(), syncline.Definition{Object: base.Entity, Schema: wider, Previous: base, Create: true,
			Policy: syncline.SchemaEvolve, Reread: func(context.Context) error { return no }})
		if !errors.Is(err, no) {
			t.Errorf("Define = %v, want the error of Reread", err)
		}
		if d, err := define(e, wider, nil, false, syncline.SchemaIgnore); err != nil || len(d.Warnings) == 0 {
			t.Errorf("Define = %+v, %v, want a warning: the column is not there", d, err)
		}
	})
	t.Run("an object that somebody removed is made anew and asked for", func(t *testing.T) {
		e := open(t, h)
		d, err := define(e, base, base, true, syncline.SchemaIgnore)
		if err != nil || !d.reread {
			t.Errorf("Define = %+v, %v, want that its records are asked for", d, err)
		}
		if d, err := define(e, base, base, true, syncline.SchemaIgnore); err != nil || d.reread {
			t.Errorf("Define of an object that is there = %+v, %v, want nothing asked for", d, err)
		}
	})
	t.Run("a column that another process added is asked for again", func(t *testing.T) {
		e := made(t)
		if _, err := define(e, wider, base, true, syncline.SchemaEvolve); err != nil {
			t.Fatal(err)
		}
		e.reopen()
		if d, err := define(e, wider, base, true, syncline.SchemaEvolve); err != nil || !d.reread {
			t.Errorf("Define = %+v, %v, want a reread", d, err)
		}
		if d, err := define(e, wider, wider, true, syncline.SchemaEvolve); err != nil || d.reread {
			t.Errorf("Define = %+v, %v, want no reread", d, err)
		}
	})
	t.Run("a dropped column stays with what it has", func(t *testing.T) {
		e := made(t)
		narrow := customer()
		narrow.Columns = narrow.Columns[:2]
		e.applied(false, put(base.Entity, base, syncline.Int(2), syncline.Text("two"), syncline.Decimal("2")))
		if d, err := define(e, narrow, base, true, syncline.SchemaEvolve); err != nil || d.reread {
			t.Fatalf("Define with a column less = %+v, %v", d, err)
		}
		e.applied(false, put(base.Entity, narrow, syncline.Int(2), syncline.Text("TWO")), put(base.Entity, narrow, syncline.Int(3), syncline.Text("three")))
		kept := syncline.Decimal("2")
		if !e.traits.Partial {
			kept = syncline.Null // a record is written whole
		}
		e.holds(base.Entity, base,
			vals(syncline.Int(1), syncline.Text("one"), syncline.Null),
			vals(syncline.Int(2), syncline.Text("TWO"), kept),
			vals(syncline.Int(3), syncline.Text("three"), syncline.Null))
	})
	t.Run("a type that widens keeps what is there", func(t *testing.T) {
		shape := func(number, flag syncline.Kind) *syncline.Schema {
			return &syncline.Schema{Entity: base.Entity, Table: base.Entity, Key: []int{0}, Version: -1, Columns: []syncline.Column{
				{Name: "id", Kind: syncline.KindInt}, {Name: "n", Kind: number, Nullable: true}, {Name: "flag", Kind: flag, Nullable: true}}}
		}
		narrow, wide := shape(syncline.KindInt, syncline.KindBool), shape(syncline.KindDecimal, syncline.KindText)
		e := open(t, h)
		if _, err := define(e, narrow, nil, true, syncline.SchemaEvolve); err != nil {
			t.Fatal(err)
		}
		e.applied(false, put(base.Entity, narrow, syncline.Int(1), syncline.Int(9007199254740993), syncline.Bool(true)),
			put(base.Entity, narrow, syncline.Int(2), syncline.Null, syncline.Bool(false)), put(base.Entity, narrow, syncline.Int(3), syncline.Int(-7), syncline.Null))
		if d, err := define(e, wide, narrow, true, syncline.SchemaEvolve); err != nil || d.reread {
			t.Fatalf("Define with wider columns = %+v, %v, want no reread", d, err)
		}
		e.applied(false, put(base.Entity, wide, syncline.Int(4), syncline.Decimal("2.50"), syncline.Text("maybe")))
		e.holds(base.Entity, wide,
			vals(syncline.Int(1), syncline.Decimal("9007199254740993"), syncline.Text("true")),
			vals(syncline.Int(2), syncline.Null, syncline.Text("false")),
			vals(syncline.Int(3), syncline.Decimal("-7"), syncline.Null),
			vals(syncline.Int(4), syncline.Decimal("2.50"), syncline.Text("maybe")))
		e.reopen()
		if d, err := define(e, wide, wide, true, syncline.SchemaEvolve); err != nil || d.reread || len(d.Warnings) > 0 {
			t.Errorf("Define again = %+v, %v, want nothing", d, err)
		}
	})
	t.Run("a type that does not widen halts", func(t *testing.T) {
		e := made(t)
		e.reopen()
		retyped := customer()
		retyped.Columns[1].Kind = syncline.KindInt
		for _, p := range []syncline.SchemaPolicy{syncline.SchemaEvolve, syncline.SchemaHalt} {
			code := map[syncline.SchemaPolicy]string{syncline.SchemaEvolve: "schema_retyped", syncline.SchemaHalt: "schema_changed"}[p]
			_, err := define(e, retyped, base, true, p)
			wantError(t, err, syncline.Fatal, code)
		}
		e.holds(base.Entity, base, vals(syncline.Int(1), syncline.Text("one"), syncline.Null))
	})
}
