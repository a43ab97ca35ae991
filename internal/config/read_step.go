package config

import (
	"errors"
	"slices"
	"strings"

	"syncline"
	"syncline/internal/transform"
)

// step reads one step: a mapping whose one key is the step's kind.
func (l *loader) step(v value, r *ruleSource) {
	var step transform.Step
	before := len(l.problems)
	seen := l.object(v, "a transform step", fields{
		"rename":    func(v value) { step = l.renameStep(v) },
		"map":       func(v value) { step = l.mapStep(v) },
		"set":       func(v value) { step = l.setStep(v) },
		"drop":      func(v value) { step = transform.Drop{Fields: l.fieldNames(v)} },
		"keep":      func(v value) { step = transform.Keep{Fields: l.fieldNames(v)} },
		"filter":    func(v value) { step = transform.Filter{When: l.test(v)} },
		"convert":   func(v value) { step = l.convertStep(v) },
		"flatten":   func(v value) { step = l.flattenStep(v) },
		"nest":      func(v value) { step = l.nestStep(v) },
		"default":   func(v value) { step = l.defaultStep(v) },
		"calculate": func(v value) { step = l.calculateStep(v) },
		"format":    func(v value) { step = l.formatStep(v) },
		"lookup":    func(v value) { step = l.lookupStep(v) },
		"mask":      func(v value) { step = l.maskStep(v) },
		"hash":      func(v value) { step = l.hashStep(v) },
		"split":     func(v value) { step = l.splitStep(v) },
		"script":    func(v value) { step = l.scriptStep(v) },
		"enrich":    func(v value) { step = l.enrichStep(v, r) },
	}, nil)
	if len(l.problems) > before {
		return
	}
	if len(seen) != 1 {
		l.report(v, BadValue, "one list entry for each step, in the order in which they run", "a transform step has one key, not %d", len(seen))
		return
	}
	if _, err := transform.Compile([]transform.Step{step}); err != nil {
		// The line says which step it is; compiled by itself, it is the first.
		text := strings.TrimPrefix(messageOf(err), "step 1 ("+step.Kind()+"): ")
		l.report(v, BadValue, fixOf(err), "%s: %s", step.Kind(), text)
		return
	}
	r.Transform = append(r.Transform, step)
}

func (l *loader) fieldNames(v value) []string {
	var names []string
	l.list(v, v.path, true, func(v value) { l.fieldName(v, &names) })
	return names
}

func (l *loader) renameStep(v value) transform.Step {
	var step transform.Rename
	l.entries(v, "rename", func(key, val value) {
		if to, ok := l.text(val); ok {
			step.Fields = append(step.Fields, transform.Pair{From: key.node.Value, To: to})
		}
	})
	return step
}

// mapStep reads {from: to} and {from: {to: name, keep: false, kind: int}}.
func (l *loader) mapStep(v value) transform.Step {
	var step transform.Map
	l.entries(v, "map", func(key, val value) {
		m := transform.Mapping{Pair: transform.Pair{From: key.node.Value}, Keep: true}
		if l.isMapping(val) {
			seen := l.object(val, "a mapping", fields{
				"to":   func(v value) { m.To, _ = l.text(v) },
				"keep": func(v value) { l.boolean(v, &m.Keep) },
				"kind": func(v value) { l.kind(v, &m.Kind) },
			}, nil)
			l.need(val, seen, "the mapping of "+m.From, "to")
		} else {
			m.To, _ = l.text(val)
		}
		step.Fields = append(step.Fields, m)
	})
	return step
}

// setStep reads {field: expression} and {field: {value: expression, kind: decimal}}.
func (l *loader) setStep(v value) transform.Step {
	var step transform.Set
	l.entries(v, "set", func(key, val value) {
		a := transform.Assignment{Field: key.node.Value}
		if l.isMapping(val) {
			seen := l.object(val, "an assignment", fields{
				"value": func(v value) { a.Expression = l.expression(v) },
				"kind":  func(v value) { l.kind(v, &a.To) },
			}, nil)
			l.need(val, seen, "the assignment of "+a.Field, "value")
		} else {
			a.Expression = l.expression(val)
		}
		step.Fields = append(step.Fields, a)
	})
	return step
}

// convertStep reads {field: kind} and {field: {kind: decimal, default: 0, …}}.
func (l *loader) convertStep(v value) transform.Step {
	var step transform.Convert
	l.entries(v, "convert", func(key, val value) {
		c := transform.Conversion{Field: key.node.Value}
		if l.isMapping(val) {
			seen := l.object(val, "a conversion", fields{
				"kind":     func(v value) { l.kind(v, &c.To) },
				"default":  l.defaultTo(&c.Default),
				"invalid":  l.policy(&c.Invalid, transform.PolicyReject, transform.PolicyNull, transform.PolicyDefault),
				"overflow": l.policy(&c.Overflow, transform.PolicyReject, transform.PolicyNull, transform.PolicyDefault),
				"layout":   func(v value) { c.Layout, _ = l.text(v) },
				"zone":     func(v value) { c.Zone, _ = l.text(v) },
			}, nil)
			l.need(val, seen, "the conversion of "+c.Field, "kind")
		} else {
			l.kind(val, &c.To)
		}
		step.Fields = append(step.Fields, c)
	})
	return step
}

func (l *loader) kind(v value, dst *syncline.Kind) {
	var name string
	names := make([]string, len(transform.Kinds))
	for i, k := range transform.Kinds {
		names[i] = k.String()
	}
	choose(&l.decoder, v, &name, nil, names...)
	if i := slices.Index(names, name); i >= 0 {
		*dst = transform.Kinds[i]
	}
}

// fixOf is the way out that an error names; may be empty.
func fixOf(err error) string {
	var e *syncline.Error
	if errors.As(err, &e) {
		return e.Fix
	}
	return ""
}

// messageOf is what an error says without its code, which in a problem is the problem's.
func messageOf(err error) string {
	var e *syncline.Error
	if errors.As(err, &e) {
		return e.Msg
	}
	return err.Error()
}
