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

// makes refuses a kind that no step makes; KindNull leaves it open.
func makes(field string, kind syncline.Kind) error {
	if kind != syncline.KindNull && !slices.Contains(Kinds, kind) {
		return syncline.Errorf(syncline.Fatal, "bad_step", "%s cannot be of kind %s", field, kind)
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
