package transform

import (
	"errors"
	"slices"
	"strings"

	"syncline"
	"syncline/internal/expression"
)

// calculate is a compiled Calculate.
type calculate []calculation

type calculation struct {
	Calculation
	program *expression.Program
	invalid outcome
}

var numbers = []syncline.Kind{syncline.KindDecimal, syncline.KindInt, syncline.KindUint, syncline.KindFloat}

func (s Calculate) compile() (binder, error) {
	out := make(calculate, len(s.Fields))
	names := make([]string, len(s.Fields))
	for i, c := range s.Fields {
		names[i] = c.Field
		bad := func(text string, args ...any) error {
			return syncline.Errorf(syncline.Fatal, "bad_step", c.Field+": "+text, args...)
		}
		if c.To == syncline.KindNull {
			c.To = syncline.KindDecimal
		}
		if c.Round == "" {
			c.Round = RoundHalfUp
		}
		switch {
		case !slices.Contains(numbers, c.To):
			return nil, bad("a calculation makes a number, not %s; `set` computes anything else", c.To)
		case c.Scale != nil && (*c.Scale < 0 || *c.Scale > maxScale):
			return nil, bad("scale must be from 0 to %d", maxScale)
		case c.Scale != nil && *c.Scale > 0 && c.To != syncline.KindDecimal && c.To != syncline.KindFloat:
			return nil, bad("kind %s has no places after the point", c.To)
		case !slices.Contains(Roundings, c.Round):
			return nil, bad("there is no rounding %q", c.Round)
		case c.Precision != 0 && c.Precision < scaleOf(c.Scale):
			return nil, bad("precision counts all digits: it cannot be less than scale")
		}
		out[i].Calculation = c
		var err error
		if out[i].program, err = expression.Compile(c.Expression); err != nil {
			return nil, err
		}
		if out[i].invalid, err = decide(c.Field, c.Invalid, c.Default, c.To); err != nil {
			return nil, err
		}
	}
	return out, once(names, "calculated")
}

func scaleOf(scale *int) int {
	if scale == nil {
		return 0
	}
	return *scale
}

// bind computes all fields of the record as it is before the step.
func (s calculate) bind(l *layout) error {
	view := l.view()
	before := *l
	before.fields = slices.Clone(l.fields)
	for i := range s {
		c := &s[i]
		if l.open && before.lacks(c.program) {
			continue
		}
		bound, err := c.program.Bind(view, l.in)
		if err != nil {
			return err
		}
		op := operation{reads: before.reads(c.program), recordOnly: c.program.RecordOnly(), formula: c.Expression, field: c.Field, sources: before.sources()}
		register := l.compute(op, "", func(r *registers, to int) error {
			v, err := bound.Value(&r.input)
			if err == nil {
				v, err = c.fit(v)
			}
			if err != nil && !errors.Is(err, expression.ErrUnset) {
				v, err = c.invalid.of(v, err)
			}
			r.values[to] = v
			return err
		})
		if err := l.add(syncline.Column{Name: c.Field, Kind: c.To, Nullable: true}, register); err != nil {
			return err
		}
	}
	return nil
}

var errTooLong = errors.New("the number has more digits than its precision allows")

// fit makes the result of its kind, with its places.
func (c *calculation) fit(v syncline.Value) (syncline.Value, error) {
	switch v.Kind() {
	case syncline.KindNull:
		return v, nil
	case syncline.KindInt, syncline.KindUint, syncline.KindFloat, syncline.KindDecimal:
	default:
		return v, errNoNumber
	}
	var err error
	if c.Scale != nil || c.To == syncline.KindInt || c.To == syncline.KindUint {
		if v, err = rounded(v, scaleOf(c.Scale), c.Round); err != nil {
			return v, err
		}
	}
	if c.Precision > 0 {
		plain, err := expression.Convert(v, syncline.KindNull, syncline.KindDecimal) // a float may have an exponent
		if err != nil {
			return v, err
		}
		whole, _, _ := strings.Cut(strings.TrimPrefix(plain.Text(), "-"), ".")
		if whole = strings.TrimLeft(whole, "0"); len(whole) > c.Precision-scaleOf(c.Scale) {
			return v, errTooLong
		}
	}
	return expression.Convert(v, syncline.KindNull, c.To)
}

func (s calculate) usesBefore() bool {
	return slices.ContainsFunc(s, func(c calculation) bool { return c.program.UsesBefore() })
}
