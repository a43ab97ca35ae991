package config

import (
	"slices"

	"syncline"
	"syncline/internal/expression"
)

// typeWhen reads {archived: expression, merged: expression, into: expression or a list of them}.
func (l *loader) typeWhen(v value, e *Entity) {
	e.TypeWhen = &TypeWhen{}
	seen := l.object(v, "type_when", fields{
		"archived": func(v value) { e.TypeWhen.Archived = l.test(v) },
		"merged":   func(v value) { e.TypeWhen.Merged = l.test(v) },
		"into": func(v value) {
			l.list(v, "into", true, func(v value) { e.TypeWhen.Into = append(e.TypeWhen.Into, l.expression(v)) })
		},
	}, nil)
	_, merged := seen["merged"]
	into, named := seen["into"]
	switch {
	case merged && (!named || len(e.TypeWhen.Into) == 0):
		l.report(v, MissingField, "into: after.merged_into", "%s has merged, and nothing says which record survives", v.path)
	case named && !merged:
		l.report(into, MissingField, "add merged: the test for it", "%s says which record survives a merge, and nothing says when there is one", into.path)
	case named && len(e.Key) > 0 && len(e.TypeWhen.Into) != len(e.Key):
		l.report(into, BadValue, "one expression for each part of the key, in its order", "the key of %s has %d parts, and %s gives %d", e.Name, len(e.Key), into.path, len(e.TypeWhen.Into))
	}
}

// test is an expression that must be true or false, as far as that can be told without the columns.
func (l *loader) test(v value) string {
	text := l.expression(v)
	switch kind, known := kindOf(text); {
	case text == "nil":
		l.report(v, BadValue, "a test like after.tier != nil", "%s is always null, which is as good as false", v.path)
	case known && kind != syncline.KindBool:
		l.report(v, BadValue, "a test like after.tier == \"gold\"", "%s is never true or false: it gives %s", v.path, kind)
	}
	return text
}

// priorityExpression is an expression that gives the name of a priority.
func (l *loader) priorityExpression(v value) string {
	text := l.expression(v)
	if kind, known := kindOf(text); known && kind != syncline.KindText {
		l.report(v, BadValue, `after.tier == "gold" ? "high" : "normal"`, "%s gives %s, and a priority is the text low, normal, high or critical", v.path, kind)
		return text
	}
	if constant, ok := constantOf(text); ok {
		if _, known := syncline.ParsePriority(constant.Text()); !known {
			l.report(v, BadValue, "one of: low, normal, high, critical", "%s is never a priority", v.path)
		}
	}
	return text
}

// kindOf tells the kind of what an expression gives, where that does not depend on columns.
func kindOf(text string) (kind syncline.Kind, known bool) {
	none := &syncline.Schema{Version: -1}
	p, err := expression.Compile(text)
	if err != nil {
		return 0, false
	}
	b, err := p.Bind(none, none)
	if err != nil {
		return 0, false
	}
	return b.Kind(), b.Kind() != syncline.KindNull
}

// constantOf evaluates an expression that looks at nothing.
func constantOf(text string) (syncline.Value, bool) {
	none := &syncline.Schema{Version: -1}
	p, err := expression.Compile(text)
	if err != nil || !p.EventOnly() || !p.RecordOnly() {
		return syncline.Null, false
	}
	b, err := p.Bind(none, none)
	if err != nil {
		return syncline.Null, false
	}
	v, err := b.Value(&expression.Input{})
	return v, err == nil && !slices.Contains([]syncline.Kind{syncline.KindNull, syncline.KindUnset}, v.Kind())
}
