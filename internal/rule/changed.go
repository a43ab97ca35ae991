package rule

import (
	"errors"
	"slices"

	"syncline"
	"syncline/internal/expression"
)

// bindChanged finds the columns of Spec.OnlyIfChanged.
func (m *Matcher) bindChanged(schema *syncline.Schema) error {
	m.watches = len(m.rule.changed) > 0
	for _, name := range m.rule.changed {
		at := schema.Index(name)
		switch {
		case at < 0 && expression.Open(schema): // not sent is not changed
			continue
		case at < 0:
			return unknownField("only_if_changed: "+name, schema, name)
		case schema.Columns[at].Generated != "":
			e := expression.Computed(schema, at)
			e.Msg = "only_if_changed: " + e.Msg
			return e
		}
		m.watched = append(m.watched, at)
	}
	return nil
}

// Watches reports whether Unchanged can ever be true.
func (m *Matcher) Watches() bool { return m.watches }

// Watch has Unchanged look at more columns, because what becomes of the record depends on them.
func (m *Matcher) Watch(columns []int) {
	for _, c := range columns {
		if !slices.Contains(m.watched, c) {
			m.watched = append(m.watched, c)
		}
	}
}

// Unchanged reports whether the i-th event, which matches, is an update that touches none of the fields of Spec.OnlyIfChanged, so that the
// rule does not want it. A field without a before image counts as changed where it was sent. A record that did not match before, or of
// which that is not known, is wanted whatever changed; so is one that got another key.
func (m *Matcher) Unchanged(b *syncline.Batch, i int) (bool, error) {
	e := &b.Events[i]
	if !m.watches || e.Op != syncline.OpUpdated || slices.ContainsFunc(m.watched, e.Changed) {
		return false, nil
	}
	if _, moved := e.OldKey(); moved {
		return false, nil
	}
	if len(m.conditions) == 0 && m.when == nil {
		return true, nil
	}
	if e.Before == nil {
		return false, nil
	}
	matched, err := m.matchRow(b, i, e.Before)
	if errors.Is(err, expression.ErrUnset) {
		return false, nil
	}
	return matched, err
}
