package rule

import (
	"bytes"
	"errors"
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
		return bad("a condition needs a field, like tier, address.city or event.changed")
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
	// before: the record as it was is judged. event gives a field of the event, which is judged instead.
	before bool
	event  *expression.Bound
	column int // -1 where an open schema does not have it
	name   string
	elem   syncline.Kind
	path   []string
	// texts are the constants where all are texts and the column is, so that most rows need no conversion.
	texts    [][]byte
	operands []expression.Operand
}

func (c Condition) bind(schema *syncline.Schema) (bound, error) {
	b := bound{Condition: c}
	column := &syncline.Column{Kind: syncline.KindJSON}
	if err := b.find(c.Field, schema, column); err != nil {
		return b, err
	}
	if b.column >= 0 {
		if column = &schema.Columns[b.column]; column.Generated != "" {
			e := expression.Computed(schema, b.column)
			e.Msg = "condition on " + c.Field + ": " + e.Msg
			return b, e
		}
	}
	b.elem = column.Elem
	// What an open schema says of a column is what its records have held so far; each value has a kind of its own.
	typed := !expression.Open(schema) || b.event != nil
	if typed && len(b.path) > 0 && column.Kind != syncline.KindJSON && column.Kind != syncline.KindArray {
		return b, syncline.Errorf(syncline.Fatal, "bad_condition", "condition on %s: %s is %s, which has no fields", c.Field, b.what(schema), column.Kind)
	}
	allTexts := column.Kind == syncline.KindText && len(b.path) == 0
	for _, v := range c.Values {
		if len(b.path) == 0 {
			if typed && !comparable(column.Kind, v.Kind()) {
				return b, syncline.Errorf(syncline.Fatal, "bad_condition", "condition on %s: %s is %s, the value is %s",
					c.Field, b.what(schema), column.Kind, v.Kind()).WithFix("write numbers without quotes and texts with quotes")
			}
			as, ok := meant(c.Operator, column.Kind, v)
			if !ok && typed {
				return b, syncline.Errorf(syncline.Fatal, "bad_condition", "condition on %s: %s is %s, and %q is written as none",
					c.Field, b.what(schema), column.Kind, v.Text()).WithFix("write it like 2026-01-31, 2026-01-31T09:30:00Z, 09:30:00 or 0b6e2a5e-0000-4000-8000-000000000001")
			}
			v = as
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

// find takes the field apart. A column that has the field's first name goes before the record's or the event's.
func (b *bound) find(field string, schema *syncline.Schema, column *syncline.Column) error {
	side, rest, _ := strings.Cut(field, ".")
	switch b.column = schema.Index(field); {
	case b.column >= 0:
		b.name = field
		return nil
	case rest == "" || schema.Index(side) >= 0:
	case side == "event":
		return b.findEvent(rest, column)
	case side == "before" || side == "after":
		b.before, field = side == "before", rest
	}
	if b.column = schema.Index(field); b.column >= 0 {
		b.name = field
		return nil
	}
	b.name, rest, _ = strings.Cut(field, ".")
	if rest != "" {
		b.path = strings.Split(rest, ".")
	}
	if b.column = schema.Index(b.name); b.column < 0 && !expression.Open(schema) {
		return unknownField("condition on "+b.Field, schema, b.name)
	}
	return nil
}

// findEvent finds a field of the event.
func (b *bound) findEvent(field string, column *syncline.Column) error {
	name, rest, _ := strings.Cut(field, ".")
	if rest != "" {
		b.path = strings.Split(rest, ".")
	}
	none := &syncline.Schema{Version: -1}
	p, err := expression.Compile("event." + name)
	if err == nil {
		b.event, err = p.Bind(none, none)
	}
	if err != nil {
		return syncline.Errorf(syncline.Fatal, "bad_condition", "condition on %s: %w", b.Field, err)
	}
	b.column, b.name = -1, "event."+name
	if column.Kind = b.event.Kind(); column.Kind == syncline.KindNull {
		column.Kind = syncline.KindJSON // a list of texts
	}
	return nil
}

// what is compared, for messages.
func (b *bound) what(schema *syncline.Schema) string {
	if b.event != nil {
		return b.name
	}
	return "column " + b.name + " of " + schema.Entity
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

// meant is a constant text as a column of the kind has it: a time of day and a UUID by its canonical text, by which they are compared.
// It is not ok where no value of the column can be compared with it. The beginning of a UUID is enough to say which are greater.
func meant(op Operator, column syncline.Kind, v syncline.Value) (syncline.Value, bool) {
	if v.Kind() != syncline.KindText || op == Contains {
		return v, true
	}
	switch column {
	case syncline.KindDate, syncline.KindTimestamp, syncline.KindTimestampTZ:
		_, err := expression.Convert(v, syncline.KindNull, column)
		return v, err == nil || errors.Is(err, expression.ErrInexact) // a date with a time can still be compared
	case syncline.KindTime, syncline.KindUUID:
		as, err := expression.Convert(v, syncline.KindNull, column)
		if err == nil {
			return syncline.Text(as.Text()), true
		}
		return syncline.Text(strings.ToLower(v.Text())), column == syncline.KindUUID && (op == GreaterThan || op == LessThan)
	}
	return v, true
}

func unknownField(where string, schema *syncline.Schema, name string) error {
	names := make([]string, 0, len(schema.Columns))
	for i := range schema.Columns {
		names = append(names, schema.Columns[i].Name)
	}
	slices.Sort(names)
	return syncline.Errorf(syncline.Fatal, "unknown_column", "%s: %s has no column %q", where, schema.Entity, name).
		WithFix("it has %s", strings.Join(names, ", "))
}

// value is what the condition judges. A record that a created event sends is whole: what it does not have is null. There was none before
// it; that another event did not send the record as it was does not mean that there was none.
func (b *bound) value(in *expression.Input) (syncline.Value, error) {
	if b.event != nil {
		return b.event.Value(in)
	}
	op, row := in.Batch.Events[in.Index].Op, in.After
	if b.before {
		if row = in.Before; row == nil && (op == syncline.OpCreated || op == syncline.OpSnapshot || op == syncline.OpRepair) {
			return syncline.Null, nil
		}
	}
	switch {
	case b.column >= 0 && row != nil && !row[b.column].IsUnset():
		return row[b.column], nil
	case b.column < 0 && op == syncline.OpCreated:
		return syncline.Null, nil
	}
	return syncline.Null, &expression.UnsetError{Column: b.name}
}

// holds judges an event.
func (b *bound) holds(in *expression.Input) (bool, error) {
	v, err := b.value(in)
	if err != nil {
		return false, err
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
