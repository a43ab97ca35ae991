package transform

import (
	"slices"
	"strings"

	"syncline"
	"syncline/internal/expression"
)

func (s Map) compile() (binder, error) {
	for i, m := range s.Fields {
		if err := named(m.From, m.To); err != nil {
			return nil, err
		}
		if m.From == m.To || slices.ContainsFunc(s.Fields[:i], func(o Mapping) bool { return o.To == m.To }) {
			return nil, syncline.Errorf(syncline.Fatal, "bad_step", "%s to %s: one of the names is used twice", m.From, m.To)
		}
		if err := makes(m.To, m.Kind); err != nil {
			return nil, err
		}
		if err := complete(m.To); err != nil {
			return nil, err
		}
	}
	return s, some(len(s.Fields))
}

// bind adds the fields at the end, then removes those that are not kept. A field that moves takes its place in the key along;
// a copy does not.
func (s Map) bind(l *layout) error {
	var gone []int
	for _, m := range s.Fields {
		i, path, err := l.locate(m.From)
		if err != nil {
			return err
		}
		if i < 0 {
			continue
		}
		f := l.fields[i]
		name, inner, nested := strings.Cut(m.To, ".")
		moves := len(path) == 0 && !nested && !m.Keep && m.Kind == syncline.KindNull
		switch {
		case moves:
		case len(path) > 0:
			f = l.take(f, path, m.To, m.Kind)
		default:
			f = l.copy(f, m.To, m.Kind)
		}
		f.Name = m.To
		if nested {
			if err := l.insert(f, name, strings.Split(inner, "."), gone); err != nil {
				return err
			}
		} else {
			l.fields = append(l.fields, f)
		}
		switch {
		case m.Keep:
		case len(path) > 0:
			l.cut(i, path)
		default:
			gone = append(gone, i)
		}
	}
	l.remove(gone)
	return l.distinct()
}

// copy makes a field of its own register, so that expressions can tell the two apart.
func (l *layout) copy(f field, to string, kind syncline.Kind) field {
	f.key, f.version = -1, false
	from, elem := f.register, f.Elem
	f.register = l.compute(operation{reads: []int{from}, recordOnly: true, field: to}, l.origins[from], func(r *registers, to int) (err error) {
		if r.values[to] = r.values[from]; kind != syncline.KindNull {
			r.values[to], err = expression.Convert(r.values[from], elem, kind)
		}
		return err
	})
	if kind != syncline.KindNull && kind != f.Kind {
		f.Column = syncline.Column{Name: f.Name, Kind: kind, Nullable: f.Nullable}
	}
	return f
}

// take makes a field of a part of a JSON column; what is not there is null. Without a kind it becomes text.
func (l *layout) take(f field, path []string, to string, kind syncline.Kind) field {
	if kind == syncline.KindNull {
		kind = syncline.KindText
	}
	from := f.register
	register := l.compute(operation{reads: []int{from}, recordOnly: true, formula: kind.String() + " of " + strings.Join(path, "."), field: to}, "",
		func(r *registers, to int) error {
			v := r.values[from]
			if v.IsUnset() {
				r.values[to] = v
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
			if v, err = fromJSON(inner); err == nil {
				r.values[to], err = expression.Convert(v, syncline.KindNull, kind)
			}
			return err
		})
	return field{Column: syncline.Column{Name: to, Kind: kind, Nullable: true}, register: register, key: -1}
}

// insert puts a field's value into a JSON column, which it makes where there is none but one that goes. Where one of the two was not
// sent, the whole is not known.
func (l *layout) insert(f field, column string, path []string, gone []int) error {
	at := l.index(column, gone...)
	from, elem, into := f.register, f.Elem, -1
	reads := []int{from}
	if at >= 0 {
		target := &l.fields[at]
		if err := l.protect(target, "put the value into another column"); err != nil {
			return err
		}
		if target.Kind != syncline.KindJSON && !l.open {
			return syncline.Errorf(syncline.Fatal, "bad_step", "%s is of kind %s: only a JSON column has parts", column, target.Kind)
		}
		into = target.register
		reads = append(reads, into)
	}
	name := f.Name
	register := l.compute(operation{reads: reads, recordOnly: true, formula: "into " + strings.Join(path, "."), field: f.Name, sources: l.sources()}, "",
		func(r *registers, to int) error {
			v, text := r.values[from], []byte(nil)
			if into >= 0 {
				if r.values[into].IsUnset() != v.IsUnset() {
					if v.IsUnset() {
						return &expression.UnsetError{Column: name}
					}
					return &expression.UnsetError{Column: column}
				}
				var err error
				if text, err = document(r.values[into]); err != nil && !v.IsUnset() {
					return err
				}
			}
			if r.values[to] = v; v.IsUnset() {
				return nil
			}
			value, err := toJSON(v, elem)
			if err == nil {
				text, err = put(text, path, value)
			}
			r.values[to] = syncline.JSON(text)
			return err
		})
	made := field{Column: syncline.Column{Name: column, Kind: syncline.KindJSON, Nullable: true}, register: register, key: -1}
	if at >= 0 {
		made.Column = l.fields[at].Column
		l.fields[at] = made
	} else {
		l.fields = append(l.fields, made)
	}
	return nil
}

// cut removes a part of a JSON column.
func (l *layout) cut(at int, path []string) {
	f := &l.fields[at]
	from := f.register
	f.register = l.compute(operation{reads: []int{from}, recordOnly: true, formula: "without " + strings.Join(path, "."), field: f.Name}, l.origins[from],
		func(r *registers, to int) error {
			v := r.values[from]
			if r.values[to] = v; v.IsUnset() || v.IsNull() {
				return nil
			}
			text, err := document(v)
			if err == nil && text != nil {
				if text, err = put(text, path, nil); err == nil {
					r.values[to] = syncline.Raw(v.Kind(), text)
				}
			}
			return err
		})
}
