package config

import (
	"fmt"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"syncline"
	jsontext "syncline/internal/document"
	"syncline/internal/trial"
)

// tests reads the tests of a rule.
func (l *loader) tests(v value, r *ruleSource) {
	l.list(v, "tests", false, func(v value) {
		c := trial.Case{Name: fmt.Sprintf("test %d", len(r.Tests)+1), Place: fmt.Sprintf("%s:%d", v.doc.name, v.node.Line)}
		known := l.eventFields(&c.Event)
		event := known
		seen := l.object(v, "a test", fields{
			"name": func(v value) { c.Name, _ = l.text(v) },
			"event": func(v value) {
				l.object(v, "the event of a test", event, nil)
			},
			"types":  known["types"],
			"expect": func(v value) { l.want(v, &c.Want) },
		}, nil)
		l.need(v, seen, c.Name, "event", "expect")
		r.Tests = append(r.Tests, c)
	})
}

// eventFields are what an event is written with.
func (l *loader) eventFields(e *trial.Event) fields {
	text := func(dst *string) func(value) { return func(v value) { *dst, _ = l.text(v) } }
	return fields{
		"op": func(v value) {
			var name string
			choose(&l.decoder, v, &name, nil, "created", "updated", "deleted", "merged", "archived", "snapshot", "repair")
			e.Op = syncline.ParseOp(name)
		},
		"before": func(v value) { e.Before = l.record(v) },
		"after":  func(v value) { e.After = l.record(v) },
		"key":    func(v value) { e.Key = l.fieldNames(v) },
		"types": func(v value) {
			l.entries(v, "types", func(key, val value) {
				t := trial.Type{Name: key.node.Value}
				l.kind(val, &t.Kind)
				e.Types = append(e.Types, t)
			})
		},
		"priority": func(v value) {
			var name string
			choose(&l.decoder, v, &name, nil, "low", "normal", "high", "critical")
			e.Meta.Priority, _ = syncline.ParsePriority(name)
		},
		"time": func(v value) {
			text, _, ok := l.scalar(v, "a time")
			if !ok {
				return
			}
			var err error
			if e.Time, err = time.Parse(time.RFC3339Nano, text); err != nil {
				l.report(v, BadValue, "2026-03-04T05:06:07Z", "%s is not a time", v.path)
			}
		},
		"id": text(&e.Meta.ID), "correlation": text(&e.Meta.Correlation), "user": text(&e.Meta.User), "session": text(&e.Meta.Session),
		"reason": text(&e.Meta.Reason),
		"tags": func(v value) {
			l.list(v, "tags", true, func(v value) { t, _ := l.text(v); e.Meta.Tags = append(e.Meta.Tags, t) })
		},
		"into": func(v value) { t, _, _ := l.scalar(v, "a key"); e.Meta.Into = syncline.Key(t) },
	}
}

// want reads what is to come of an event: a record, a list of them, filtered, removed, or {error: code}.
func (l *loader) want(v value, w *trial.Want) {
	switch {
	case v.node.Kind == yaml.ScalarNode:
		var word string
		choose(&l.decoder, v, &word, nil, "filtered", "removed")
		w.Filtered, w.Removed = word == "filtered", word == "removed"
	case v.node.Kind == yaml.SequenceNode:
		l.list(v, "expect", false, func(v value) { w.Records = append(w.Records, l.record(v)) })
		w.Filtered = len(w.Records) == 0
	case len(v.node.Content) == 2 && v.node.Content[0].Value == "error" && v.node.Content[1].Kind == yaml.ScalarNode:
		w.Error = v.node.Content[1].Value
	default:
		w.Records = [][]trial.Field{l.record(v)}
	}
}

// record reads a record; it is not nil.
func (l *loader) record(v value) []trial.Field {
	list := []trial.Field{}
	if v.node.Kind != yaml.MappingNode {
		l.report(v, WrongType, "{id: 1, name: Zoë}", "a record must be a mapping, not %s", typeName(v.node))
		return list
	}
	l.entries(v, "a record", func(key, val value) {
		f := trial.Field{Name: key.node.Value}
		if val.node.Kind != yaml.ScalarNode {
			text, ok := l.json(val, nil)
			if !ok {
				return
			}
			f.Value = syncline.JSON(text)
		} else {
			var ok bool
			if f.Value, ok = l.constant(val); !ok {
				return
			}
			f.Value = whole(f.Value)
		}
		list = append(list, f)
	})
	return list
}

// json writes a node as JSON.
func (l *loader) json(v value, dst []byte) ([]byte, bool) {
	if !l.enter(&v) {
		return dst, false
	}
	ok := true
	switch v.node.Kind {
	case yaml.MappingNode:
		dst = append(dst, '{')
		n := 0
		l.entries(v, "an object", func(key, val value) {
			if n++; n > 1 {
				dst = append(dst, ',')
			}
			var fine bool
			dst, fine = l.json(val, append(jsontext.AppendString(dst, key.node.Value), ':'))
			ok = ok && fine
		})
		return append(dst, '}'), ok
	case yaml.SequenceNode:
		dst = append(dst, '[')
		n := 0
		l.list(v, "a list", false, func(v value) {
			if n++; n > 1 {
				dst = append(dst, ',')
			}
			var fine bool
			dst, fine = l.json(v, dst)
			ok = ok && fine
		})
		return append(dst, ']'), ok
	}
	c, ok := l.constant(v)
	switch {
	case !ok:
	case c.IsNull():
		dst = append(dst, "null"...)
	case c.Kind() == syncline.KindText:
		dst = jsontext.AppendString(dst, c.Text())
	default:
		dst = append(dst, c.Bytes()...)
	}
	return dst, ok
}

// asWritten writes a node that json can write as what is shown of it: with its references, and not with what they stand for.
func asWritten(n *yaml.Node, dst []byte) []byte {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch n.Kind {
	case yaml.MappingNode:
		dst = append(dst, '{')
		for i := 0; i+1 < len(n.Content); i += 2 {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = asWritten(n.Content[i+1], append(jsontext.AppendString(dst, n.Content[i].Value), ':'))
		}
		return append(dst, '}')
	case yaml.SequenceNode:
		dst = append(dst, '[')
		for i, item := range n.Content {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = asWritten(item, dst)
		}
		return append(dst, ']')
	}
	if n.Tag == "!!str" {
		return jsontext.AppendString(dst, n.Value)
	}
	if n.Tag == "!!null" {
		return append(dst, "null"...)
	}
	return append(dst, n.Value...)
}

// ReadEvent reads an event as the tests of a rule have it, from JSON or YAML: {op, before, after, types, …}, or a record by itself, which is one
// that is created.
func ReadEvent(name string, data []byte) (trial.Event, Problems) {
	var e trial.Event
	l := newLoader(nil)
	l.env = func(string) (string, bool) { return "", false }
	doc := &document{name: name, lines: strings.Split(string(data), "\n")}
	l.docs = append(l.docs, doc)
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil {
		l.yamlError(doc, err)
		return e, l.problems
	}
	if len(root.Content) == 0 {
		l.broken(doc, 1, "the file is empty")
		return e, l.problems
	}
	v := value{root.Content[0], doc, ""}
	isEvent := under(v.node, "before") != nil || under(v.node, "after") != nil
	switch inner := under(v.node, "event"); {
	case isEvent:
		l.object(v, "the event", l.eventFields(&e), nil)
	case inner != nil && (under(inner, "before") != nil || under(inner, "after") != nil):
		l.report(value{inner, doc, "event"}, BadValue, "give what is below `event` by itself, with `types` beside `before` and `after`", "the event stands below `event`")
	default:
		e.Op, e.After = syncline.OpCreated, l.record(v)
	}
	if len(l.problems) > 0 {
		return e, l.problems
	}
	return e, nil
}

// under returns what a mapping has below a key; nil = nothing.
func under(n *yaml.Node, key string) *yaml.Node {
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}
