package expression

import "syncline"

// Operand is one side of a comparison outside of an expression, with the meaning that values have inside.
type Operand struct{ v any }

// Load returns the operand of a value that is not unset; elem is the kind of an array's elements.
func Load(v syncline.Value, elem syncline.Kind) (Operand, error) {
	inner, err := load(v, elem)
	return Operand{inner}, err
}

// At goes on into JSON by the names of fields and the numbers of elements; a path that leads nowhere is null.
func (o Operand) At(path []string) Operand {
	for _, step := range path {
		if list, ok := asList(o.v); ok {
			o.v = nil
			if i, err := parseDecimal(step); err == nil {
				if n, err := i.Int64(); err == nil && n >= 0 && n < int64(len(list)) {
					o.v = list[n]
				}
			}
			continue
		}
		object, _ := o.v.(map[string]any)
		o.v = object[step]
	}
	return o
}

// IsNull reports whether the operand is null.
func (o Operand) IsNull() bool { return o.v == nil }

// Equal is what == is in an expression.
func (o Operand) Equal(p Operand) bool {
	same, err := equal(&meter{}, o.v, p.v)
	return same && err == nil
}

// Compare orders two operands; ok is false where they have no order, as null has none.
func (o Operand) Compare(p Operand) (order int, ok bool) {
	if o.v == nil || p.v == nil {
		return 0, false
	}
	c, err := compare(&meter{}, o.v, p.v)
	return c, err == nil
}

// Contains reports whether o, a text, holds the text p, or o, a list, an element equal to p.
func (o Operand) Contains(p Operand) bool {
	has, err := contains(&meter{}, []any{o.v, p.v})
	return has == true && err == nil
}
