package transform

import (
	"slices"

	"syncline"
)

func (s Rename) compile() (binder, error) {
	for i, p := range s.Fields {
		if err := named(p.From, p.To); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(s.Fields[:i], func(o Pair) bool { return o.To == p.To || o.From == p.From }) {
			return nil, syncline.Errorf(syncline.Fatal, "bad_step", "%s to %s: one of the names is used twice", p.From, p.To)
		}
	}
	return s, some(len(s.Fields))
}

// bind renames all fields at once, so that two can swap their names.
func (s Rename) bind(l *layout) error {
	at := make([]int, len(s.Fields))
	for i, p := range s.Fields {
		var err error
		if at[i], err = l.value(p.From); err != nil {
			return err
		}
	}
	for i, p := range s.Fields {
		if at[i] >= 0 {
			l.fields[at[i]].Name = p.To
		}
	}
	return l.distinct()
}

func (s Map) compile() (binder, error) {
	for i, m := range s.Fields {
		if err := named(m.From, m.To); err != nil {
			return nil, err
		}
		if m.From == m.To || slices.ContainsFunc(s.Fields[:i], func(o Mapping) bool { return o.To == m.To }) {
			return nil, syncline.Errorf(syncline.Fatal, "bad_step", "%s to %s: one of the names is used twice", m.From, m.To)
		}
	}
	return s, some(len(s.Fields))
}

// bind adds the fields at the end, then removes those that are not kept. A field that moves takes its place in the key along;
// a copy does not.
func (s Map) bind(l *layout) error {
	var gone []string
	for _, m := range s.Fields {
		i, err := l.value(m.From)
		if err != nil {
			return err
		}
		if i < 0 {
			continue
		}
		f := l.fields[i]
		f.Name = m.To
		if m.Keep {
			f.key, f.version = -1, false
			// A copy has a register of its own, so that expressions can tell the two apart.
			from := f.register
			f.register = l.compute(operation{reads: []int{from}, recordOnly: true, field: m.To}, l.origins[from],
				func(r *registers, to int) error {
					r.values[to] = r.values[from]
					return nil
				})
		} else {
			gone = append(gone, m.From)
		}
		l.fields = append(l.fields, f)
	}
	l.fields = slices.DeleteFunc(l.fields, func(f field) bool { return slices.Contains(gone, f.Name) })
	return l.distinct()
}

// distinct refuses two fields of one name.
func (l *layout) distinct() error {
	seen := make(map[string]bool, len(l.fields))
	for _, f := range l.fields {
		if seen[f.Name] {
			return exists(f.Name)
		}
		seen[f.Name] = true
	}
	return nil
}

func exists(name string) error {
	return syncline.Errorf(syncline.Fatal, "column_exists", "there is a column %q already", name).WithFix("drop or rename it first")
}

// named refuses fields without a name.
func named(names ...string) error {
	if slices.Contains(names, "") {
		return syncline.Errorf(syncline.Fatal, "bad_step", "a field needs a name")
	}
	return nil
}

// some refuses a step that does nothing.
func some(n int) error {
	if n == 0 {
		return syncline.Errorf(syncline.Fatal, "bad_step", "the step names no field")
	}
	return nil
}
