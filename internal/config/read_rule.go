package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"syncline"
	"syncline/internal/expression"
	"syncline/internal/rule"
)

// ruleName is what routes, metrics and URLs can carry.
var ruleName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// ruleSource is a rule and where what other parts must agree with stands.
type ruleSource struct {
	*Rule
	at, to, start, group value
	from                 []value
	ops, on, changed     *value
	continuous           *value
	hasStart             bool
	conflict             *conflictSource
	between              *betweenSource
	// asked are the systems that steps ask.
	asked []value
}

func (l *loader) rulesSection(v value) {
	if v.node.Tag == "!!null" {
		return
	}
	l.cfg.RulesGiven = true
	l.list(v, "rules", false, l.rule)
}

func (l *loader) rule(v value) {
	if v.node.Tag == "!!null" {
		l.report(v, WrongType, "", "%s must be a mapping, not nothing", v.path)
		return
	}
	r := &ruleSource{at: v, Rule: &Rule{
		Enabled: true,
		On:      On{Deleted: ActionHard, Archived: ActionSoft, Merged: ActionRedirect, Left: ActionHard},
		Retry:   Retry{Max: 5, Delay: time.Second, MaxDelay: 5 * time.Minute},
		Batch:   Batch{MaxWait: 50 * time.Millisecond},
	}}
	l.cfg.Rules = append(l.cfg.Rules, r.Rule)
	l.rules = append(l.rules, r)
	if isTwoWay(v) {
		l.twoWay(v, r)
		return
	}
	var policy string
	seen := l.object(v, "a rule", fields{
		"id": func(v value) { l.ruleID(v, r) },
		"from": func(v value) {
			l.list(v, "from", true, func(v value) { l.from(v, r) })
			l.some(v, "system/entity, like crm/customer")
		},
		"to":     func(v value) { l.to(v, r) },
		"create": func(v value) { l.boolean(v, &r.Create) },
		"start": func(v value) {
			r.start, r.hasStart = v, true
			choose(&l.decoder, v, &r.Start, nil, StartFull, StartNow, StartEarliest)
		},
		"schema":       func(v value) { choose(&l.decoder, v, &policy, nil, "evolve", "ignore", "halt") },
		"when":         func(v value) { r.Match.When = l.test(v) },
		"conditions":   func(v value) { l.list(v, "conditions", false, func(v value) { l.condition(v, r) }) },
		"min_priority": func(v value) { l.priority(v, r) },
		"only_if_changed": func(v value) {
			r.changed = &v
			l.list(v, "only_if_changed", true, func(v value) { l.fieldName(v, &r.Match.OnlyIfChanged) })
			l.some(v, "name the fields of interest, or leave it out")
		},
		"ops":       func(v value) { r.ops = &v; l.list(v, "ops", true, func(v value) { l.op(v, r) }) },
		"transform": func(v value) { l.list(v, "transform", false, func(v value) { l.step(v, r) }) },
		"on":        func(v value) { l.on(v, r) },
		"retry":     func(v value) { l.retry(v, &r.Retry) },
		"batch":     func(v value) { l.batch(v, &r.Batch) },
		"tests":     func(v value) { l.tests(v, r) },
		"enabled":   func(v value) { l.boolean(v, &r.Enabled) },
		"group":     func(v value) { r.group = v; l.name(v, &r.Group, ruleName, "letters, digits, ., _ and -") },
		"conflict":  func(v value) { l.conflict(v, r) },
		"verify":    func(v value) { l.verify(v, r) },
	}, nil)
	what := "the rule"
	if r.ID != "" {
		what = "rule " + r.ID
	}
	l.need(v, seen, what, "id", "from", "to")
	switch {
	case policy == "evolve" || policy == "" && r.Create:
		r.Schema = syncline.SchemaEvolve
	case policy == "halt":
		r.Schema = syncline.SchemaHalt
	}
}

func (l *loader) ruleID(v value, r *ruleSource) {
	l.name(v, &r.ID, ruleName, "letters, digits, ., _ and -, beginning with a letter or a digit")
	for _, other := range l.rules {
		if other != r && other.ID == r.ID && r.ID != "" {
			l.report(v, DuplicateID, "", "a rule %s is already declared in %s line %d", r.ID, other.at.doc.name, other.at.node.Line)
			return
		}
	}
}

func (l *loader) from(v value, r *ruleSource) {
	text, ok := l.text(v)
	if !ok {
		return
	}
	system, entity, _ := strings.Cut(text, "/")
	ref := Ref{system, entity}
	switch {
	case system == "" || entity == "":
		l.report(v, BadValue, "system/entity, like crm/customer", "%s must name a system and an entity", v.path)
	case slices.Contains(r.From, ref):
		l.report(v, DuplicateID, "", "%s is listed twice", v.shown())
	default:
		r.From = append(r.From, ref)
		r.from = append(r.from, v)
	}
}

func (l *loader) to(v value, r *ruleSource) {
	r.to = v
	text, ok := l.text(v)
	if !ok {
		return
	}
	system, object, _ := strings.Cut(text, "/")
	if system == "" {
		l.report(v, BadValue, "system/object, like warehouse/dim_customer", "%s must name a system and an object", v.path)
		return
	}
	r.To = Ref{system, object}
}

// expression checks that the text compiles and returns it. References are not resolved in expressions: an expression is
// code, and what the environment holds is not.
func (l *loader) expression(v value) string { return l.expressionOver(v, "after", "before") }

// expressionOver does the same where the two records have other names.
func (l *loader) expressionOver(v value, after, before string) string {
	if !l.enter(&v) {
		return ""
	}
	v.doc.open(v.node)
	text := v.node.Value
	switch {
	case v.node.Kind != 0 && v.node.Kind != yaml.ScalarNode:
		l.report(v, WrongType, "", "%s must be an expression, not %s", v.path, typeName(v.node))
		return ""
	case v.node.Tag == "!!null":
		text = "nil"
	}
	if _, err := expression.CompileSides(text, after, before); err != nil {
		line, column := v.node.Line, v.node.Column
		message, fix := err.Error(), ""
		var at *expression.Error
		if errors.As(err, &at) {
			line, column = v.at(at.Line, at.Column)
			message, fix = at.Message, at.Suggestion
			if fix == "" {
				fix = meant(text, at, after, before)
			}
		}
		if bare.MatchString(text) {
			fix = `a text constant needs quotes of its own: '"` + text + `"'; a field is ` + after + `.` + text
		}
		l.reportAt(v, line, column, BadExpression, fix, "%s", message)
		return ""
	}
	return text
}

// meant says what the writer of an expression probably meant by what stands at the error.
func meant(text string, at *expression.Error, after, before string) string {
	lines := strings.Split(text, "\n")
	if at.Line > len(lines) {
		return ""
	}
	rest := []rune(lines[at.Line-1])
	rest = rest[min(at.Column-1, len(rest)):]
	if len(rest) > 0 && rest[0] == '=' {
		return "two values are compared with =="
	}
	word := leadingWord.FindString(string(rest))
	if n := nearest(word, []string{after, before, "event"}); n != "" && n != word {
		return fmt.Sprintf("did you mean %q?", n)
	}
	return ""
}

// leadingWord is the name that a text begins with.
var leadingWord = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*`)

// bare is text that was probably not meant as an expression.
var bare = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

func (l *loader) condition(v value, r *ruleSource) {
	c := rule.Condition{}
	before := len(l.problems)
	var constant *value
	seen := l.object(v, "a condition", fields{
		"field": func(v value) { c.Field, _ = l.text(v) },
		"operator": func(v value) {
			choose(&l.decoder, v, &c.Operator, nil, rule.Operators...)
		},
		"value": func(v value) { constant = &v },
	}, nil)
	l.need(v, seen, "the condition", "field", "operator", "value")
	if constant != nil {
		add := func(v value) {
			if constant, ok := l.constant(v); ok {
				c.Values = append(c.Values, constant)
			}
		}
		if c.Operator == rule.In || c.Operator == rule.NotIn {
			l.list(*constant, "the value of "+string(c.Operator), false, add)
		} else {
			add(*constant)
		}
	}
	if len(l.problems) > before {
		return
	}
	if _, err := rule.Compile(rule.Spec{Conditions: []rule.Condition{c}}); err != nil {
		l.report(v, BadValue, "", "%s", messageOf(err))
		return
	}
	r.Match.Conditions = append(r.Match.Conditions, c)
}

// constant reads text, a number, a truth value or null. ok is false where a problem was reported.
func (l *loader) constant(v value) (constant syncline.Value, ok bool) {
	if v.node.Kind == yaml.ScalarNode && v.node.Tag == "!!null" {
		return syncline.Null, true
	}
	text, typed, ok := l.scalar(v, "one value")
	if !ok {
		return syncline.Null, false
	}
	constant = syncline.Text(text)
	if typed {
		switch v.node.Tag {
		case "!!bool":
			constant = syncline.Bool(strings.EqualFold(text, "true"))
		case "!!int", "!!float":
			constant, ok = number(text)
		}
	}
	if !ok {
		l.report(v, BadValue, "a number in decimal digits, or text in quotes", "%s is not a number that can be compared", v.path)
	}
	return constant, ok
}

var decimalText = regexp.MustCompile(`^[-+]?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]{1,4})?$`)

// number keeps the digits as they were written.
func number(text string) (syncline.Value, bool) {
	text = strings.ReplaceAll(text, "_", "")
	if !decimalText.MatchString(text) {
		return syncline.Null, false
	}
	return syncline.Decimal(strings.TrimPrefix(text, "+")), true
}

func (l *loader) priority(v value, r *ruleSource) {
	var name string
	choose(&l.decoder, v, &name, nil, "low", "normal", "high", "critical")
	if p, ok := syncline.ParsePriority(name); ok {
		r.Match.MinPriority = &p
	}
}

func (l *loader) op(v value, r *ruleSource) {
	var name string
	choose(&l.decoder, v, &name, nil, "created", "updated", "deleted", "merged", "archived", "snapshot", "repair")
	if op := syncline.ParseOp(name); op != 0 {
		r.Match.Ops = append(r.Match.Ops, op)
	}
}

func (l *loader) retry(v value, retry *Retry) {
	before := len(l.problems)
	l.object(v, "retry", fields{
		"max":       func(v value) { l.integer(v, &retry.Max, 1, 1000) },
		"delay":     func(v value) { l.duration(v, &retry.Delay, time.Millisecond) },
		"max_delay": func(v value) { l.duration(v, &retry.MaxDelay, time.Millisecond) },
	}, nil)
	if len(l.problems) == before && retry.MaxDelay < retry.Delay {
		l.report(v, BadValue, "", "max_delay (%s) is shorter than delay (%s)", retry.MaxDelay, retry.Delay)
	}
}

func (l *loader) batch(v value, batch *Batch) {
	l.object(v, "batch", fields{
		"max_rows": func(v value) { l.integer(v, &batch.MaxRows, 1, 100_000) },
		"max_wait": func(v value) { l.duration(v, &batch.MaxWait, 0) },
	}, nil)
}
