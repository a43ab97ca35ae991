package rule

import (
	"bytes"
	"slices"
	"strings"

	"syncline"
	"syncline/internal/expression"
)

// check finds what is wrong with a condition whatever the record.
func (c Condition) check() error {
	bad := func(format string, args ...any) error {
		return syncline.Errorf(syncline.Fatal, "bad_condition", format, args...)
	}
	list := c.Operator == In || c.Operator == NotIn
	switch {
	case c.Field == "" || slices.Contains(strings.Split(c.Field, "."), ""):
		return bad("a condition needs a field, like tier or address.city")
	case !slices.Contains(Operators, c.Operator):
		return bad("there is no operator %q", c.Operator)
	case !list && len(c.Values) != 1:
		return bad("%s takes one value, not %d", c.Operator, len(c.Values))
	case list && len(c.Values) == 0:
		return bad("%s needs at least one value", c.Operator)
	}
	for _, v := range c.Values {
		switch v.Kind() {
		case syncline.KindNull:
			if c.Operator == GreaterThan || c.Operator == LessThan || c.Operator == Contains {
				return bad("%s null never holds; use equals or not_equals", c.Operator)
			}
		case syncline.KindText, syncline.KindInt, syncline.KindUint, syncline.KindFloat, syncline.KindDecimal, syncline.KindBool:
		default:
			return bad("a value of kind %s cannot be compared with", v.Kind())
		}
	}
	return nil
}

// bound is a condition on a column.
type bound struct {
	Condition
	column int // -1 where an open schema does not have it
	name   string
	elem   syncline.Kind
	path   []string
	// texts are the constants where all are texts and the column is, so that most rows need no conversion.
	texts    [][]byte
	operands []expression.Operand
}

func (c Condition) bind(schema *syncline.Schema) (bound, error) {
	b := bound{Condition: c, name: c.Field}
	if b.column = schema.Index(c.Field); b.column < 0 {
		first, rest, _ := strings.Cut(c.Field, ".")
		if b.column = schema.Index(first); b.column < 0 && !expression.Open(schema) {
			return b, unknownField(schema, first)
		}
		b.name, b.path = first, strings.Split(rest, ".")
		if rest == "" {
			b.path = nil
		}
	}
	column := &syncline.Column{Name: b.name, Kind: syncline.KindJSON}
	if b.column >= 0 {
		if column = &schema.Columns[b.column]; column.Generated != "" {
			e := expression.Computed(schema, b.column)
			e.Msg = "condition on " + c.Field + ": " + e.Msg
			return b, e
		}
	}
	b.elem = column.Elem
	// What an open schema says of a column is what its records have held so far; each value has a kind of its own.
	typed := !expression.Open(schema)
	if typed && len(b.path) > 0 && column.Kind != syncline.KindJSON && column.Kind != syncline.KindArray {
		return b, syncline.Errorf(syncline.Fatal, "bad_condition", "condition on %s: column %s of %s is %s, which has no fields",
			c.Field, b.name, schema.Entity, column.Kind)
	}
	allTexts := column.Kind == syncline.KindText && len(b.path) == 0
	for _, v := range c.Values {
		if column.Kind == syncline.KindUUID && v.Kind() == syncline.KindText {
			v = syncline.Text(strings.ToLower(v.Text()))
		}
		if typed && len(b.path) == 0 && !comparable(column.Kind, v.Kind()) {
			return b, syncline.Errorf(syncline.Fatal, "bad_condition", "condition on %s: column %s of %s is %s, the value is %s",
				c.Field, b.name, schema.Entity, column.Kind, v.Kind()).WithFix("write numbers without quotes and texts with quotes")
		}
		allTexts = allTexts && v.Kind() == syncline.KindText
		operand, err := expression.Load(v, syncline.KindNull)
		if err != nil {
			return b, syncline.Errorf(syncline.Fatal, "bad_condition", "condition on %s: the value cannot be read: %w", c.Field, err)
		}
		b.operands = append(b.operands, operand)
	}
	if allTexts {
		for _, v := range c.Values {
			b.texts = append(b.texts, v.Bytes())
		}
	}
	return b, nil
}

// comparable tells whether values of a column can be equal to a constant at all.
func comparable(column, constant syncline.Kind) bool {
	switch column {
	case syncline.KindInt, syncline.KindUint, syncline.KindFloat, syncline.KindDecimal:
		return constant != syncline.KindText && constant != syncline.KindBool
	case syncline.KindBool:
		return constant == syncline.KindBool || constant == syncline.KindNull
	case syncline.KindText, syncline.KindDate, syncline.KindTime, syncline.KindTimestamp, syncline.KindTimestampTZ, syncline.KindUUID, syncline.KindRaw:
		return constant == syncline.KindText || constant == syncline.KindNull
	}
	return true
}

func unknownField(schema *syncline.Schema, name string) error {
	names := make([]string, 0, len(schema.Columns))
	for i := range schema.Columns {
		names = append(names, schema.Columns[i].Name)
	}
	slices.Sort(names)
	return syncline.Errorf(syncline.Fatal, "unknown_column", "condition on %s: %s has no such column", name, schema.Entity).
		WithFix("it has %s", strings.Join(names, ", "))
}

// holds judges a row; whole says that a column which the row does not have is null.
func (b *bound) holds(row []syncline.Value, whole bool) (bool, error) {
	v := syncline.Unset
	switch {
	case b.column >= 0:
		v = row[b.column]
	case whole:
		v = syncline.Null
	}
	if v.IsUnset() {
		return false, &expression.UnsetError{Column: b.name}
	}
	if b.texts != nil && v.Kind() == syncline.KindText {
		return b.textHolds(v.Bytes()), nil
	}
	have, err := expression.Load(v, b.elem)
	if err != nil {
		return false, syncline.Errorf(syncline.Rejected, "bad_value", "read column %s as %s: %w", b.name, v.Kind(), err)
	}
	if len(b.path) > 0 {
		have = have.At(b.path)
	}
	want := b.operands[0]
	switch b.Operator {
	case Equals:
		return have.Equal(want), nil
	case NotEquals:
		return !have.Equal(want), nil
	case GreaterThan:
		order, ok := have.Compare(want)
		return ok && order > 0, nil
	case LessThan:
		order, ok := have.Compare(want)
		return ok && order < 0, nil
	case Contains:
		return have.Contains(want), nil
	}
	return slices.ContainsFunc(b.operands, have.Equal) == (b.Operator == In), nil
}

func (b *bound) textHolds(v []byte) bool {
	want := b.texts[0]
	switch b.Operator {
	case Equals:
		return bytes.Equal(v, want)
	case NotEquals:
		return !bytes.Equal(v, want)
	case GreaterThan:
		return bytes.Compare(v, want) > 0
	case LessThan:
		return bytes.Compare(v, want) < 0
	case Contains:
		return bytes.Contains(v, want)
	}
	return slices.ContainsFunc(b.texts, func(w []byte) bool { return bytes.Equal(v, w) }) == (b.Operator == In)
}
