package transform

import (
	"slices"

	"syncline"
	"syncline/internal/expression"
)

// convert is a compiled Convert: its defaults are of the kinds that they stand for.
type convert struct{ fields []Conversion }

func (s Convert) compile() (binder, error) {
	out := convert{fields: slices.Clone(s.Fields)}
	for i, c := range s.Fields {
		if err := named(c.Field); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(s.Fields[:i], func(o Conversion) bool { return o.Field == c.Field }) {
			return nil, syncline.Errorf(syncline.Fatal, "bad_step", "%s is converted twice", c.Field)
		}
		if !slices.Contains(Kinds, c.To) {
			return nil, syncline.Errorf(syncline.Fatal, "bad_step", "%s cannot become %s", c.Field, c.To)
		}
		if c.Default == nil {
			continue
		}
		v, err := expression.Convert(c.Default.Value, syncline.KindNull, c.To)
		if err != nil {
			return nil, syncline.Errorf(syncline.Fatal, "bad_step", "the default of %s: %v", c.Field, err)
		}
		out.fields[i].Default = &Constant{v}
	}
	return out, some(len(s.Fields))
}

// bind makes a new register for each field, so that an unset value stays unset and no other field changes.
func (s convert) bind(l *layout) error {
	for _, c := range s.fields {
		at, err := l.value(c.Field)
		if err != nil {
			return err
		}
		if at < 0 {
			continue
		}
		f := &l.fields[at]
		if c.Default != nil && f.key >= 0 {
			return syncline.Errorf(syncline.Fatal, "bad_key", "%s is part of the key of %s: with a default, different records would have one key", c.Field, l.in.Entity).
				WithFix("take the default away, so that such a record is parked")
		}
		from, elem, kind, fallback := f.register, f.Elem, c.To, c.Default
		formula, nullable := kind.String(), f.Nullable
		if fallback != nil {
			formula += " else " + fallback.String()
			nullable = nullable || fallback.IsNull()
		}
		f.register = l.compute(operation{reads: []int{from}, recordOnly: true, formula: formula, field: c.Field}, l.origins[from],
			func(r *registers, to int) error {
				v, err := expression.Convert(r.values[from], elem, kind)
				if err != nil && fallback != nil {
					v, err = fallback.Value, nil
				}
				r.values[to] = v
				return err
			})
		if kind != f.Kind {
			f.Column = syncline.Column{Name: f.Name, Kind: kind, Nullable: nullable}
		}
	}
	return nil
}
