package transform

import (
	"errors"
	"slices"

	"syncline"
	"syncline/internal/expression"
)

// convert is a compiled Convert.
type convert []conversion

type conversion struct {
	Conversion
	invalid, overflow outcome
	clock             *clock
}

func (s Convert) compile() (binder, error) {
	out := make(convert, len(s.Fields))
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
		out[i].Conversion = c
		var err error
		if out[i].invalid, err = decide(c.Field, c.Invalid, c.Default, c.To); err != nil {
			return nil, err
		}
		if out[i].overflow, err = decide(c.Field, c.Overflow, c.Default, c.To); err != nil {
			return nil, err
		}
		if c.Default != nil && out[i].invalid.policy != PolicyDefault && out[i].overflow.policy != PolicyDefault {
			return nil, syncline.Errorf(syncline.Fatal, "bad_step", "the default of %s is never taken", c.Field)
		}
		if c.Layout == "" && c.Zone == "" {
			continue
		}
		if !isTime(c.To) {
			return nil, syncline.Errorf(syncline.Fatal, "bad_step", "%s becomes %s, which has no layout and no zone", c.Field, c.To)
		}
		if out[i].clock, err = newClock(c.Layout, c.Zone); err != nil {
			return nil, err
		}
	}
	return out, some(len(s.Fields))
}

func isTime(k syncline.Kind) bool {
	return k == syncline.KindDate || k == syncline.KindTime || k == syncline.KindTimestamp || k == syncline.KindTimestampTZ
}

func (s convert) bind(l *layout) error {
	for i := range s {
		c := &s[i]
		formula := c.To.String()
		if c.clock != nil {
			formula += " " + c.clock.String()
		}
		formula += c.invalid.String()
		if o := c.overflow.String(); o != c.invalid.String() {
			formula += " overflow" + o
		}
		a := alteration{field: c.Field, change: c.change, formula: formula, nullable: c.invalid.nullable() || c.overflow.nullable(),
			merges: c.invalid.lossy() || c.overflow.lossy(), fix: "let such a record be parked: no default, and no policy but reject"}
		if at := l.index(c.Field); at < 0 || l.fields[at].Kind != c.To {
			a.kind = c.To
		}
		if err := l.alter(a); err != nil {
			return err
		}
	}
	return nil
}

func (c *conversion) change(v syncline.Value, elem syncline.Kind) (syncline.Value, error) {
	var out syncline.Value
	var err error
	if c.clock != nil {
		out, err = c.clock.read(v, c.To)
	} else {
		out, err = expression.Convert(v, elem, c.To)
	}
	switch {
	case err == nil:
		return out, nil
	case errors.Is(err, expression.ErrInexact):
		return c.overflow.of(v, err)
	}
	return c.invalid.of(v, err)
}
