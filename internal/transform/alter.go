package transform

import (
	"strings"

	"syncline"
)

// alteration is what a step does to the value of one field, or of a part of a JSON column.
type alteration struct {
	field string
	// change makes the new value; it is not asked about unset values, nor about null and missing ones without nulls.
	change func(v syncline.Value, elem syncline.Kind) (syncline.Value, error)
	nulls  bool
	// kind is what comes out, KindNull: what was there; its column is then the same.
	kind     syncline.Kind
	nullable bool
	formula  string
	// merges: different values may come out as one, and fix says what to do where that is not wanted.
	merges bool
	fix    string
}

// alter adds an alteration. The field gets a new register, so that an unset value stays unset and nothing else changes.
func (l *layout) alter(a alteration) error {
	at, path, err := l.locate(a.field)
	if err != nil || at < 0 {
		return err
	}
	f := &l.fields[at]
	if a.merges {
		if err := l.protect(f, a.fix); err != nil {
			return err
		}
	}
	from, elem := f.register, f.Elem
	fill := func(r *registers, to int) error {
		v := r.values[from]
		if r.values[to] = v; v.IsUnset() || v.IsNull() && !a.nulls {
			return nil
		}
		out, err := a.change(v, elem)
		r.values[to] = out
		return err
	}
	if len(path) > 0 {
		fill = func(r *registers, to int) error { return a.inside(r, from, to, path) }
	}
	formula := strings.TrimSpace(a.formula + " " + strings.Join(path, "."))
	f.register = l.compute(operation{reads: []int{from}, recordOnly: true, formula: formula, field: a.field}, l.origins[from], fill)
	if len(path) == 0 && a.kind != syncline.KindNull {
		f.Column = syncline.Column{Name: f.Name, Kind: a.kind, Nullable: f.Nullable || a.nullable}
	}
	return nil
}

func (a *alteration) inside(r *registers, from, to int, path []string) error {
	v := r.values[from]
	if r.values[to] = v; v.IsUnset() {
		return nil
	}
	text, err := document(v)
	if err != nil {
		return err
	}
	inner, _, err := part(text, path)
	if err != nil {
		return err
	}
	old, err := fromJSON(inner)
	if err != nil || old.IsNull() && !a.nulls {
		return err
	}
	changed, err := a.change(old, syncline.KindNull)
	if err != nil {
		return err
	}
	if inner, err = toJSON(changed, syncline.KindNull); err != nil {
		return err
	}
	if text, err = put(text, path, inner); err == nil {
		r.values[to] = syncline.JSON(text)
	}
	return err
}

// protect refuses a field of the key.
func (l *layout) protect(f *field, fix string) error {
	if f.key < 0 {
		return nil
	}
	return syncline.Errorf(syncline.Fatal, "bad_key", "%s is part of the key of %s: different records could get one key", f.Name, l.in.Entity).WithFix("%s", fix)
}

// add puts a computed field at the end, or in the place of one of that name, which must not be part of the key.
func (l *layout) add(column syncline.Column, register int) error {
	at := l.index(column.Name)
	if at < 0 {
		l.fields = append(l.fields, field{Column: column, register: register, key: -1})
		return nil
	}
	if err := l.protect(&l.fields[at], "give the result another name"); err != nil {
		return err
	}
	l.fields[at].Column, l.fields[at].register = column, register
	return nil
}
