package rule

import (
	"encoding/json"

	"syncline"
)

// Spec says which events of an entity a rule wants. The zero Spec wants all of them.
type Spec struct {
	// Conditions must all hold for the record.
	Conditions []Condition `json:"conditions,omitempty"`
	// When is an expression over event, before and after that must be true; "" = none.
	When string `json:"when,omitempty"`
	// MinPriority filters events of a lower priority; nil = none.
	MinPriority *syncline.Priority `json:"-"`
	// Ops are the only operations wanted; empty = every operation.
	Ops []syncline.Op `json:"-"`
	// OnlyIfChanged are fields of which an update must change one, see Matcher.Unchanged; empty = none.
	OnlyIfChanged []string `json:"only_if_changed,omitempty"`
}

// MarshalJSON writes the priority and the operations by their names.
func (s Spec) MarshalJSON() ([]byte, error) {
	type plain Spec
	out := struct {
		plain
		MinPriority string   `json:"min_priority,omitempty"`
		Ops         []string `json:"ops,omitempty"`
	}{plain: plain(s)}
	if s.MinPriority != nil {
		out.MinPriority = s.MinPriority.String()
	}
	for _, op := range s.Ops {
		out.Ops = append(out.Ops, op.String())
	}
	return json.Marshal(out)
}

// Operator is how a condition compares.
type Operator string

const (
	Equals      Operator = "equals"
	NotEquals   Operator = "not_equals"
	GreaterThan Operator = "greater_than"
	LessThan    Operator = "less_than"
	Contains    Operator = "contains"
	In          Operator = "in"
	NotIn       Operator = "not_in"
)

// Operators are all of them, for messages.
var Operators = []Operator{Equals, NotEquals, GreaterThan, LessThan, Contains, In, NotIn}

// Condition compares one field of the record with constants.
//
// Both sides are compared by what they mean, not by their text: numbers by amount whatever their kind, a text constant
// against a date, a time or a UUID as one of those. Values of kinds that cannot be compared are not equal. A field path goes
// on into JSON after the column's name ("address.city", "lines.0.sku"); a path that leads nowhere is null. It may begin with
// "after." for the same, with "before." for the record as it was, or be a field of the event ("event.changed"), as in an expression;
// a column that is called so goes before.
//
// Null equals null and nothing else: equals null holds for it, not_equals and not_in hold unless null is named, and
// greater_than, less_than and contains never hold.
type Condition struct {
	Field    string
	Operator Operator
	// Values is one constant (text, int, decimal, float, bool or null), or for in and not_in any number of them.
	Values []syncline.Value
}

// MarshalJSON writes the constants by kind and text, so that 1 and "1" differ.
func (c Condition) MarshalJSON() ([]byte, error) {
	values := make([]string, len(c.Values))
	for i, v := range c.Values {
		values[i] = v.String()
	}
	return json.Marshal(struct {
		Field    string   `json:"field"`
		Operator Operator `json:"operator"`
		Values   []string `json:"values"`
	}{c.Field, c.Operator, values})
}
