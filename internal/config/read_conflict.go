package config

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"syncline"
	"syncline/internal/conflict"
)

// conflictSource is a conflict section and where what the target must agree with stands.
type conflictSource struct {
	at       value
	strategy *value
	sum      *value
	sources  []value
	told     bool // something was reported in it
}

func (l *loader) conflict(v value, r *ruleSource) {
	p := &conflict.Policy{}
	r.Conflict, r.conflict = p, &conflictSource{at: v}
	before := len(l.problems)
	defer func() { r.conflict.told = len(l.problems) > before }()
	seen := l.object(v, "conflict", fields{
		"detect": func(v value) {
			l.list(v, "detect", true, func(v value) {
				var d conflict.Detector
				if choose(&l.decoder, v, &d, nil, conflict.Detectors...); d == "" {
					return
				}
				if slices.Contains(p.Detect, d) {
					l.report(v, DuplicateID, "", "%s is listed twice", v.shown())
					return
				}
				p.Detect = append(p.Detect, d)
			})
			l.some(v, "version, data or business")
		},
		"strategy": func(v value) {
			r.conflict.strategy = &v
			choose(&l.decoder, v, &p.Strategy, nil, conflict.Strategies...)
		},
		"sources": func(v value) {
			l.list(v, "sources", true, func(v value) { l.rankedSource(v, r, &p.Sources) })
		},
		"time_field":    func(v value) { p.TimeField, _ = l.text(v) },
		"version_field": func(v value) { p.VersionField, _ = l.text(v) },
		"no_base":       func(v value) { choose(&l.decoder, v, &p.NoBase, nil, conflict.Sides...) },
		"deleted":       func(v value) { choose(&l.decoder, v, &p.Deleted, nil, conflict.Sides...) },
		"fields": func(v value) {
			p.Fields = make(map[string]conflict.Field)
			l.entries(v, "fields", func(key, val value) { l.conflictField(key.node.Value, val, r) })
		},
		"business": func(v value) {
			l.list(v, "business", false, func(v value) {
				var c conflict.Condition
				seen := l.object(v, "a business rule", fields{
					"name": func(v value) { c.Name, _ = l.text(v) },
					"when": func(v value) { c.When = l.expressionOver(v, "ours", "theirs") },
				}, nil)
				l.need(v, seen, "the business rule", "name", "when")
				p.Business = append(p.Business, c)
			})
		},
	}, nil)
	l.need(v, seen, "conflict", "detect")
}

// rankedSource reads the name of a system whose records compete.
func (l *loader) rankedSource(v value, r *ruleSource, list *[]string) {
	name, ok := l.text(v)
	switch {
	case !ok:
	case slices.Contains(*list, name):
		l.report(v, DuplicateID, "", "%s is listed twice", v.shown())
	default:
		*list = append(*list, name)
		r.conflict.sources = append(r.conflict.sources, v)
	}
}

// conflictField reads how a field is decided: a policy by its name, or a mapping where it needs more.
func (l *loader) conflictField(name string, v value, r *ruleSource) {
	var f conflict.Field
	defer func() { r.Conflict.Fields[name] = f }()
	policies := conflict.FieldPolicies
	if v.node.Kind != yaml.MappingNode {
		choose(&l.decoder, v, &f.Policy, nil, policies...)
	} else {
		seen := l.object(v, "the policy of "+name, fields{
			"policy":  func(v value) { choose(&l.decoder, v, &f.Policy, nil, policies...) },
			"sources": func(v value) { l.list(v, "sources", true, func(v value) { l.rankedSource(v, r, &f.Sources) }) },
			"expression": func(v value) {
				f.Policy, f.Expression = conflict.FieldExpression, l.expressionOver(v, "ours", "theirs")
			},
		}, nil)
		_, policy := seen["policy"]
		if _, expression := seen["expression"]; policy == expression {
			l.report(v, MissingField, "{expression: 'max(ours.score, theirs.score)'}", "%s needs a policy or an expression", v.path)
		}
	}
	if f.Policy == conflict.FieldSum {
		r.conflict.sum = &v
	}
}

// checkConflict checks a conflict section against the rule and its target, and fills in the target's strategy.
func (l *loader) checkConflict(r *ruleSource, to *System) {
	p, at := r.Conflict, r.conflict.at
	if p.Strategy == "" && r.conflict.strategy == nil {
		p.Strategy = to.Conflict.Strategy
	}
	switch {
	case to.Type.Events():
		l.report(at, BadValue, "take the section out", "%s is sent events and cannot be asked what it has: there are no conflicts to find", to.Name)
		return
	case p.Strategy == "" && r.conflict.strategy == nil:
		l.report(at, MissingField, "strategy: manual", "conflict needs a strategy; %s has none of its own", to.Name)
		return
	}
	if r.conflict.sum != nil && !to.Type.SQL() {
		l.report(*r.conflict.sum, BadValue, "use another policy", "sum needs a target with transactions, which %s is not: a change could be added twice", to.Name)
	}
	known := append(r.Sources(), to.Name)
	for _, other := range l.rules {
		if other.To == r.To {
			known = append(known, other.Sources()...)
		}
	}
	slices.Sort(known)
	known = slices.Compact(known)
	for _, v := range r.conflict.sources {
		if name := v.node.Value; !slices.Contains(known, name) {
			l.report(v, UnknownSystem, suggestName(name, known), "%q neither writes %s by a rule nor is it the target", name, r.To)
		}
	}
	if _, err := conflict.Compile(*p, to.Name); err != nil && syncline.CodeOf(err) == "bad_conflict" && !r.conflict.told {
		l.report(at, BadValue, "", "%s", strings.TrimPrefix(err.Error(), "bad_conflict: "))
	}
}
