package transform

import (
	"slices"

	"syncline"
	"syncline/internal/expression"
)

// set is a compiled Set.
type set struct {
	fields   []Assignment
	programs []*expression.Program
}

func (s Set) compile() (binder, error) {
	out := set{fields: s.Fields}
	for i, a := range s.Fields {
		if err := named(a.Field); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(s.Fields[:i], func(o Assignment) bool { return o.Field == a.Field }) {
			return nil, syncline.Errorf(syncline.Fatal, "bad_step", "%s is set twice", a.Field)
		}
		if err := makes(a.Field, a.To); err != nil {
			return nil, err
		}
		p, err := expression.Compile(a.Expression)
		if err != nil {
			return nil, err
		}
		out.programs = append(out.programs, p)
	}
	return out, some(len(s.Fields))
}

func (s set) bind(l *layout) error {
	view := l.view()
	before := *l
	before.fields = slices.Clone(l.fields)
	for i, a := range s.fields {
		if l.open && before.lacks(s.programs[i]) {
			continue
		}
		bound, err := s.programs[i].Bind(view, l.in)
		if err != nil {
			return err
		}
		column := syncline.Column{Name: a.Field, Kind: a.To, Nullable: true}
		if column.Kind == syncline.KindNull {
			column.Kind = bound.Kind()
		}
		if column.Kind == syncline.KindNull {
			column.Kind = syncline.KindText
		}
		if n, all := s.programs[i].Columns(); !all && len(n) == 1 && s.programs[i].String() == "after."+n[0] {
			// A copy of a column is a column of the same type.
			column = view.Columns[view.Index(n[0])]
			column.Name = a.Field
			if a.To != syncline.KindNull && a.To != column.Kind {
				column = syncline.Column{Name: a.Field, Kind: a.To, Nullable: column.Nullable}
			}
		}
		op := operation{reads: before.reads(s.programs[i]), recordOnly: s.programs[i].RecordOnly(), formula: a.To.String() + " " + a.Expression, field: a.Field, sources: before.sources()}
		to := l.compute(op, "", assign(bound, column.Kind, column.Elem, a.To != syncline.KindNull))
		if at := l.index(a.Field); at >= 0 {
			l.fields[at].Column, l.fields[at].register = column, to
		} else {
			l.fields = append(l.fields, field{Column: column, register: to, key: -1})
		}
	}
	return nil
}

// assign evaluates into a register. A declared kind must fit; an inferred one is what most values are, and a value that is not
// keeps its own.
func assign(bound *expression.Bound, kind, elem syncline.Kind, declared bool) func(*registers, int) error {
	return func(r *registers, to int) error {
		v, err := bound.Value(&r.input)
		if err != nil {
			return err
		}
		if v.Kind() != kind {
			converted, err := expression.Convert(v, elem, kind)
			switch {
			case err == nil:
				v = converted
			case declared:
				return err
			}
		}
		r.values[to] = v
		return nil
	}
}

func (s set) usesBefore() bool {
	return slices.ContainsFunc(s.programs, (*expression.Program).UsesBefore)
}
