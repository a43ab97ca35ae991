package transform

import (
	"slices"
	"strings"

	"syncline"
	"syncline/internal/expression"
)

func (s Flatten) compile() (binder, error) {
	var names []string
	for _, f := range s.Fields {
		for _, p := range f.Parts {
			if err := named(p.Path, p.To); err != nil {
				return nil, err
			}
			if err := complete(p.Path); err != nil {
				return nil, err
			}
			if err := makes(p.To, p.Kind); err != nil {
				return nil, err
			}
			names = append(names, p.To)
		}
	}
	return s, once(names, "made")
}

func (s Flatten) bind(l *layout) error {
	var gone []int
	for _, f := range s.Fields {
		at, path, err := l.locate(f.Field)
		if err != nil {
			return err
		}
		if at < 0 {
			continue
		}
		if len(path) == 0 && l.fields[at].Kind != syncline.KindJSON && !l.open {
			return syncline.Errorf(syncline.Fatal, "bad_step", "%s is of kind %s: only a JSON column has parts", f.Field, l.fields[at].Kind)
		}
		from := l.fields[at]
		for _, p := range f.Parts {
			l.fields = append(l.fields, l.take(from, append(slices.Clone(path), strings.Split(p.Path, ".")...), p.To, p.Kind))
		}
		switch {
		case f.Keep:
		case len(path) > 0:
			l.cut(at, path)
		default:
			gone = append(gone, at)
		}
	}
	l.remove(gone)
	return l.distinct()
}

func (s Nest) compile() (binder, error) {
	var made, taken []string
	for _, n := range s.Fields {
		made = append(made, n.To)
		var inner []string
		for _, m := range n.Members {
			inner = append(inner, m.To)
			if !n.Keep {
				taken = append(taken, m.From)
			}
		}
		if err := once(inner, "put into "+n.To); err != nil {
			return nil, err
		}
	}
	if err := once(made, "made"); err != nil {
		return nil, err
	}
	if len(taken) > 0 {
		return s, once(taken, "moved")
	}
	return s, nil
}

// bind makes the documents of the record as it is before the step, then removes what they took.
func (s Nest) bind(l *layout) error {
	before := *l
	before.fields = slices.Clone(l.fields)
	var gone []string
	for _, n := range s.Fields {
		op := operation{recordOnly: true, formula: "nest", field: n.To, sources: l.sources()}
		var members []Pair
		var elems []syncline.Kind
		for _, m := range n.Members {
			at, err := before.value(m.From)
			if err != nil {
				return err
			}
			if at < 0 {
				continue
			}
			f := before.fields[at]
			op.reads = append(op.reads, f.register)
			op.formula += " " + m.To
			members, elems = append(members, m), append(elems, f.Elem)
			if !n.Keep {
				gone = append(gone, m.From)
			}
		}
		if len(members) == 0 {
			continue
		}
		register := l.compute(op, "", func(r *registers, to int) error { return nest(r, to, op.reads, members, elems) })
		column := syncline.Column{Name: n.To, Kind: syncline.KindJSON}
		if slices.Contains(gone, n.To) {
			l.fields = slices.DeleteFunc(l.fields, func(f field) bool { return f.Name == n.To && f.key < 0 })
			gone = slices.DeleteFunc(gone, func(name string) bool { return name == n.To })
		}
		if l.index(n.To) >= 0 {
			return exists(n.To)
		}
		l.fields = append(l.fields, field{Column: column, register: register, key: -1})
	}
	l.fields = slices.DeleteFunc(l.fields, func(f field) bool { return slices.Contains(gone, f.Name) })
	return nil
}

// nest makes a document of all members, or of none where none was sent: half of it would take the other half's place.
func nest(r *registers, to int, reads []int, members []Pair, elems []syncline.Kind) error {
	missing, text := 0, []byte{'{'}
	for i, from := range reads {
		v := r.values[from]
		if v.IsUnset() {
			missing++
			continue
		}
		value, err := toJSON(v, elems[i])
		if err != nil {
			return err
		}
		if i > missing {
			text = append(text, ',')
		}
		text = append(append(appendQuoted(text, members[i].To), ':'), value...)
	}
	switch {
	case missing == len(reads):
		r.values[to] = syncline.Unset
		return nil
	case missing > 0:
		for i, from := range reads {
			if r.values[from].IsUnset() {
				return &expression.UnsetError{Column: members[i].From}
			}
		}
	}
	r.values[to] = syncline.JSON(append(text, '}'))
	return nil
}
