package config

import (
	"slices"

	"syncline/internal/transform"
)

// splitStep reads {field: lines, key: sku, fields: [sku, …] or {sku: kind or {path: …, kind: …}}, with: [field, …]}.
func (l *loader) splitStep(v value) transform.Step {
	var s transform.Splitting
	seen := l.object(v, "split", fields{
		"field": func(v value) { s.Field, _ = l.text(v) },
		"fields": func(v value) {
			if !l.isMapping(v) {
				for _, name := range l.fieldNames(v) {
					s.Fields = append(s.Fields, transform.Part{Path: name, To: name})
				}
				return
			}
			l.entries(v, "the fields of split", func(key, val value) {
				p := transform.Part{Path: key.node.Value, To: key.node.Value}
				if l.isMapping(val) {
					l.object(val, "a field of split", fields{
						"path": func(v value) { p.Path, _ = l.text(v) },
						"kind": func(v value) { l.kind(v, &p.Kind) },
					}, nil)
				} else {
					l.kind(val, &p.Kind)
				}
				s.Fields = append(s.Fields, p)
			})
		},
		"key":   func(v value) { s.Key, _ = l.text(v) },
		"index": func(v value) { s.Index, _ = l.text(v) },
		"with":  func(v value) { s.With = l.fieldNames(v) },
	}, nil)
	l.need(v, seen, "split", "field")
	return transform.Split{Split: s}
}

func splits(r *Rule) bool {
	return slices.ContainsFunc(r.Transform, func(s transform.Step) bool { return s.Kind() == "split" })
}

// checkSteps looks at the steps together, and at what a rule that splits records needs.
func (l *loader) checkSteps(r *ruleSource, to *System) {
	if _, err := transform.Compile(r.Transform); err != nil {
		l.report(r.at, BadValue, fixOf(err), "rule %s: %s", r.ID, messageOf(err))
		return
	}
	if !splits(r.Rule) {
		return
	}
	switch {
	case !to.Type.SQL() && !to.Type.Events():
		l.report(r.to, BadValue, "a table at postgres or sqlite, or a webhook", "rule %s splits records, and %s cannot remove what a record does not have any more", r.ID, to.Name)
	case r.Conflict != nil:
		l.report(r.at, BadValue, "take one of the two out", "rule %s splits records and has a conflict section, which decides about single records: a set of them is replaced as a whole", r.ID)
	case len(r.On.Marks) > 0:
		l.report(*r.on, BadValue, "hard", "rule %s splits records and keeps those that are gone: which of them are gone is not noted", r.ID)
	case len(r.From) > 1:
		l.report(r.at, BadValue, "one rule and one object for each entity", "rule %s splits records of several entities: they would take each other's", r.ID)
	}
}
