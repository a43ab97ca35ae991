package transform

import (
	"slices"

	"syncline"
	"syncline/internal/expression"
)

func (s Defaults) compile() (binder, error) {
	names := make([]string, len(s.Fields))
	for i, f := range s.Fields {
		names[i] = f.Field
		if f.Value.IsNull() {
			return nil, syncline.Errorf(syncline.Fatal, "bad_step", "the default of %s is null, which is what it would be anyway", f.Field)
		}
	}
	return s, once(names, "given a default")
}

func (s Defaults) bind(l *layout) error {
	for _, d := range s.Fields {
		value := whole(d.Value.Value)
		at, path, err := l.locate(d.Field)
		if err != nil {
			return err
		}
		if at < 0 {
			l.absent(d.Field, value)
			continue
		}
		if kind := l.fields[at].Kind; len(path) == 0 && slices.Contains(Kinds, kind) && !l.open {
			if value, err = expression.Convert(value, syncline.KindNull, kind); err != nil {
				return syncline.Errorf(syncline.Fatal, "bad_step", "the default of %s: %v", d.Field, err)
			}
		}
		if err := l.alter(alteration{field: d.Field, nulls: true, formula: "else " + d.Value.String(), merges: true, fix: "let a record without a key be parked",
			change: func(v syncline.Value, _ syncline.Kind) (syncline.Value, error) {
				if v.IsNull() {
					return value, nil
				}
				return v, nil
			}}); err != nil {
			return err
		}
	}
	return nil
}

// absent adds a field that no event of an open schema has had: a record that is sent whole has it null, and gets the default.
func (l *layout) absent(name string, value syncline.Value) {
	register := l.compute(operation{formula: "else " + Constant{value}.String(), field: name}, "", func(r *registers, to int) error {
		if r.input.Batch != nil && r.input.Batch.Events[r.input.Index].Op == syncline.OpCreated {
			r.values[to] = value
		} else {
			r.values[to] = syncline.Unset
		}
		return nil
	})
	l.fields = append(l.fields, field{Column: syncline.Column{Name: name, Kind: value.Kind(), Nullable: true}, register: register, key: -1})
}

// whole makes an int of a number without a fraction: a configuration writes both alike.
func whole(v syncline.Value) syncline.Value {
	if v.Kind() == syncline.KindDecimal {
		if n, err := expression.Convert(v, syncline.KindNull, syncline.KindInt); err == nil && slices.Index(v.Bytes(), '.') < 0 {
			return n
		}
	}
	return v
}
