package config

import (
	"slices"
	"strings"

	"syncline"
	"syncline/internal/expression"
	"syncline/internal/transform"
)

// onEvents are what a rule's on section speaks of, with what each may say. What the first of them keeps has a column by default.
var onEvents = []struct {
	name    string
	action  func(*On) *Action
	allowed []Action
	// keeps is the action that may name a column.
	keeps Action
	// column is the one that plain `soft` names; "" = it names none.
	column string
}{
	{"deleted", func(o *On) *Action { return &o.Deleted }, []Action{ActionHard, ActionSoft, ActionIgnore}, ActionSoft, "_syncline_deleted"},
	{"archived", func(o *On) *Action { return &o.Archived }, []Action{ActionSoft, ActionHard, ActionIgnore, ActionUpdate}, ActionSoft, ""},
	{"merged", func(o *On) *Action { return &o.Merged }, []Action{ActionRedirect, ActionHard, ActionIgnore, ActionDelete}, ActionRedirect, ""},
	{"left", func(o *On) *Action { return &o.Left }, []Action{ActionHard, ActionSoft, ActionIgnore}, ActionSoft, "_syncline_left"},
}

func (l *loader) on(v value, r *ruleSource) {
	r.on = &v
	known := fields{}
	for i := range onEvents {
		e := &onEvents[i]
		known[e.name] = func(v value) {
			if l.isMapping(v) {
				*e.action(&r.On) = e.keeps
				l.mark(v, e.name, string(e.keeps), r)
				return
			}
			dst := e.action(&r.On)
			switch v.node.Value {
			case "as update", "as delete": // as it is said in words
				v.node.Value = strings.TrimPrefix(v.node.Value, "as ")
			}
			choose(&l.decoder, v, dst, nil, e.allowed...)
			if *dst == ActionSoft && e.column != "" {
				l.addMark(v, Mark{On: e.name, Column: e.column, Kind: syncline.KindBool, Value: &transform.Constant{Value: syncline.Bool(true)},
					Live: transform.Constant{Value: syncline.Bool(false)}}, r)
			}
		}
	}
	l.object(v, "on", known, nil)
}

// mark reads {soft: {column: value}, live: value}, with {value: expression, kind: timestamptz} for one that is computed.
func (l *loader) mark(v value, on, keeps string, r *ruleSource) {
	before := len(l.problems)
	m := Mark{On: on}
	var live *syncline.Value
	seen := l.object(v, v.path, fields{
		keeps: func(v value) { l.markColumn(v, &m) },
		"live": func(v value) {
			if c, ok := l.constant(v); ok {
				c = whole(c)
				live = &c
			}
		},
	}, nil)
	l.need(v, seen, v.path, keeps)
	if len(l.problems) > before {
		return
	}
	switch {
	case live != nil && !live.IsNull() && live.Kind() != m.Kind && m.Value != nil:
		l.report(v, BadValue, "write both in the same way", "%s is of kind %s, and what a record that is there has in the column is %s", v.path, m.Kind, live.Kind())
		return
	case live != nil && m.Value != nil && syncline.Equal(*live, m.Value.Value):
		l.report(v, BadValue, "", "%s notes what a record that is there has in the column, too", v.path)
		return
	case live != nil && m.Value == nil && !live.IsNull():
		c, err := expression.Convert(*live, syncline.KindNull, m.Kind)
		if err != nil {
			l.report(v, BadValue, "", "what %s says of a record that is there is no %s", v.path, m.Kind)
			return
		}
		m.Live.Value = c
	case live != nil:
		m.Live.Value = *live
	case m.Kind == syncline.KindBool && m.Value != nil:
		yes, _ := m.Value.AsBool()
		m.Live.Value = syncline.Bool(!yes)
	}
	l.addMark(v, m, r)
}

func (l *loader) markColumn(v value, m *Mark) {
	n := 0
	l.entries(v, v.path, func(key, val value) {
		if n++; n > 1 {
			return
		}
		if m.Column = key.node.Value; m.Column == "" {
			l.report(key, BadValue, "", "a column needs a name")
		}
		if l.isMapping(val) {
			seen := l.object(val, "a computed value", fields{
				"value": func(v value) { m.Expression = l.expression(v) },
				"kind":  func(v value) { l.kind(v, &m.Kind) },
			}, nil)
			l.need(val, seen, "the value of "+m.Column, "value")
			l.markExpression(val, m)
			return
		}
		c, ok := l.constant(val)
		switch c = whole(c); {
		case !ok:
		case c.IsNull():
			l.report(val, BadValue, "", "null cannot note what became of a record: it is what a record that is there may have")
		default:
			m.Kind, m.Value = c.Kind(), &transform.Constant{Value: c}
		}
	})
	if n != 1 && l.isMapping(v) {
		l.report(v, BadValue, "{is_deleted: true}", "%s names %d columns: it must be one, with its value", v.path, n)
	}
}

// markExpression looks at an expression that gives the value of a note.
func (l *loader) markExpression(v value, m *Mark) {
	p, err := expression.Compile(m.Expression)
	if err != nil {
		return // it is reported
	}
	if !p.EventOnly() {
		l.report(v, BadValue, "event.time, event.into, event.user …", "the value of %s can use the event only: of a record that is gone no more than the key may be known", m.Column)
		return
	}
	if m.Kind == syncline.KindNull {
		if b, err := p.Bind(&syncline.Schema{}, &syncline.Schema{}); err == nil {
			m.Kind = b.Kind()
		}
	}
	if !slices.Contains(transform.Kinds, m.Kind) {
		l.report(v, BadValue, "add kind: text", "the kind of %s cannot be told from the expression", m.Column)
	}
}

// whole makes an int of a number without a fraction.
func whole(v syncline.Value) syncline.Value {
	if v.Kind() == syncline.KindDecimal && !strings.ContainsAny(v.Text(), ".eE") {
		return syncline.Raw(syncline.KindInt, v.Bytes())
	}
	return v
}

// addMark adds the note, which must agree with the others in its column.
func (l *loader) addMark(v value, m Mark, r *ruleSource) {
	for _, o := range r.On.Marks {
		switch {
		case o.Column != m.Column:
		case o.Expression != "" || m.Expression != "":
			l.report(v, BadValue, "give it a column of its own", "%s: on.%s notes a computed value in column %s", v.path, o.On, o.Column)
		case o.Kind != m.Kind || !syncline.Equal(o.Live.Value, m.Live.Value):
			l.report(v, BadValue, "", "%s: on.%s notes in column %s something of another kind, or with another `live`", v.path, o.On, o.Column)
		case (o.On == "archived" || m.On == "archived") && syncline.Equal(o.Value.Value, m.Value.Value):
			l.report(v, BadValue, "", "%s: on.%s notes the same value in column %s, and an archived record is there", v.path, o.On, o.Column)
		}
	}
	r.On.Marks = append(r.On.Marks, m)
}

// checkMarks refuses to keep records where that cannot be.
func (l *loader) checkMarks(r *ruleSource, to *System) {
	for _, m := range r.On.Marks {
		switch {
		case to.Type.Events():
			l.report(*r.on, BadValue, "ignore leaves such events out", "on.%s: %s is sent every event as it is, and keeps nothing", m.On, to.Name)
			return
		case !to.Type.SQL() && m.On != "archived":
			l.report(*r.on, BadValue, "hard or ignore; or a table at postgres or sqlite",
				"on.%s: %s takes whole records, and of one that is gone no more than its key may be known", m.On, to.Name)
			return
		}
	}
}
