// Package rule decides which events a rule wants. It is pure.
package rule

import (
	"errors"
	"slices"

	"syncline"
	"syncline/internal/expression"
)

// Rule is a compiled Spec. It is immutable and safe for concurrent use.
type Rule struct {
	conditions []Condition
	when       *expression.Program
	priority   syncline.Priority
	ops        []syncline.Op
	changed    []string
}

// Compile checks a spec. A bad condition has the code bad_condition, a bad expression is an *expression.Error.
func Compile(s Spec) (*Rule, error) {
	r := &Rule{conditions: s.Conditions, priority: syncline.PriorityLow, ops: s.Ops, changed: s.OnlyIfChanged}
	for _, c := range s.Conditions {
		if err := c.check(); err != nil {
			return nil, err
		}
	}
	if s.When != "" {
		var err error
		if r.when, err = expression.Compile(s.When); err != nil {
			return nil, err
		}
	}
	if s.MinPriority != nil {
		r.priority = *s.MinPriority
	}
	return r, nil
}

// Matcher is a rule bound to the shape of its rows. It is used by one goroutine at a time.
type Matcher struct {
	rule       *Rule
	conditions []bound
	when       *expression.Bound
	input      expression.Input
	// watched are the columns that Unchanged looks at, if watches.
	watched []int
	watches bool
}

// Bind prepares the rule for rows of the schema. A field that the schema does not have (unless it is expression.Open) and a
// constant that its column can never equal are fatal errors: the rule would silently match nothing.
func (r *Rule) Bind(schema *syncline.Schema) (*Matcher, error) {
	m := &Matcher{rule: r}
	for _, c := range r.conditions {
		b, err := c.bind(schema)
		if err != nil {
			return nil, err
		}
		m.conditions = append(m.conditions, b)
	}
	if r.when != nil {
		var err error
		if m.when, err = r.when.Bind(schema, schema); err != nil {
			return nil, err
		}
	}
	return m, m.bindChanged(schema)
}

// All reports whether the matcher matches every event, so that it need not be asked.
func (m *Matcher) All() bool {
	return len(m.conditions) == 0 && m.when == nil && len(m.rule.ops) == 0 && m.rule.priority == syncline.PriorityLow
}

// Admits tells whether the rule wants events of this operation and priority, whatever the record. An update that is not
// admitted says nothing about whether its record still belongs to the rule.
func (m *Matcher) Admits(e *syncline.Event) bool {
	return e.Priority() >= m.rule.priority && m.wants(e.Op)
}

func (m *Matcher) wants(op syncline.Op) bool {
	return len(m.rule.ops) == 0 || slices.Contains(m.rule.ops, op)
}

// Match reports whether the rule wants the i-th event: by its operation, its priority and the record after it. An event
// without an after (a delete, a truncate) is judged by its before where that is whole, and else passes; whether a delete is
// judged at all is the caller's decision. A column that is needed and was not sent is an expression.ErrUnset.
func (m *Matcher) Match(b *syncline.Batch, i int) (bool, error) {
	e := &b.Events[i]
	row := e.After
	if row == nil {
		return m.matchGone(b, i)
	}
	if !m.Admits(e) {
		return false, nil
	}
	return m.matchRow(b, i, row)
}

// matchGone judges an event that leaves no record.
func (m *Matcher) matchGone(b *syncline.Batch, i int) (bool, error) {
	e := &b.Events[i]
	if !m.wants(e.Op) || !e.Row().Whole() {
		return m.wants(e.Op), nil
	}
	ok, err := m.matchRow(b, i, e.Before)
	if errors.Is(err, expression.ErrUnset) {
		return true, nil
	}
	return ok && m.Admits(e), err
}

// matchRow reports whether a record would belong to the rule if the i-th event left it, operation and priority aside.
func (m *Matcher) matchRow(b *syncline.Batch, i int, row []syncline.Value) (bool, error) {
	m.input = expression.Input{Batch: b, Index: i, After: row, Before: b.Events[i].Before}
	for c := range m.conditions {
		ok, err := m.conditions[c].holds(&m.input)
		if !ok || err != nil {
			return false, err
		}
	}
	if m.when == nil {
		return true, nil
	}
	return m.when.True(&m.input)
}
