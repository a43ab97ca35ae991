package transform

import (
	"slices"

	"syncline"
	"syncline/internal/expression"
)

func (s Convert) compile() (binder, error) {
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
	}
	return s, some(len(s.Fields))
}

// bind makes a new register for each field, so that an unset value stays unset and no other field changes.
func (s Convert) bind(l *layout) error {
	for _, c := range s.Fields {
		at, err := l.value(c.Field)
		if err != nil {
			return err
		}
		if at < 0 {
			continue
		}
		f := &l.fields[at]
		from, elem, kind := f.register, f.Elem, c.To
		f.register = l.compute(operation{reads: []int{from}, recordOnly: true, formula: c.To.String(), field: c.Field}, l.origins[from],
			func(r *registers, to int) (err error) {
				r.values[to], err = expression.Convert(r.values[from], elem, kind)
				return err
			})
		if kind != f.Kind {
			f.Column = syncline.Column{Name: f.Name, Kind: kind, Nullable: f.Nullable}
		}
	}
	return nil
}
