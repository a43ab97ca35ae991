package config

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"syncline/internal/timetable"
)

// captureMode returns the mode that the capture section names, where it names one of these, else the first: which keys the section has
// depends on it, wherever it stands.
func captureMode(v value, modes ...Mode) Mode {
	if v.node.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(v.node.Content); i += 2 {
			if v.node.Content[i].Value == "mode" && slices.Contains(modes, Mode(v.node.Content[i+1].Value)) {
				return Mode(v.node.Content[i+1].Value)
			}
		}
	}
	return modes[0]
}

// pollFields are the keys of a polled entity that do not depend on the type of its system.
func (l *loader) pollFields(e *Entity) fields {
	p := &Poll{Compare: true, Every: DefaultEvery}
	e.Poll = p
	return fields{
		"watermark": func(v value) {
			l.list(v, v.path, true, func(v value) { l.fieldName(v, &p.Watermark) })
			l.some(v, "name the fields that grow with every change, or leave it out")
		},
		"overlap": func(v value) { l.overlap(v, p) },
		"deleted": func(v value) { p.Deleted = l.flag(v) },
		"created": func(v value) { p.Created = l.flag(v) },
		"compare": func(v value) { l.boolean(v, &p.Compare) },
		"every":   func(v value) { l.duration(v, &p.Every, time.Second) },
		"sweep":   func(v value) { l.sweep(v, p) },
	}
}

// overlap reads a time, or a number for watermarks that are one.
func (l *loader) overlap(v value, p *Poll) {
	text, _, ok := l.scalar(v, "a duration or a whole number")
	if !ok {
		return
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		if n < 0 {
			l.report(v, BadValue, "0 or more", "%s must not be negative", v.path)
			return
		}
		p.Overlap = &Overlap{Amount: n}
		return
	}
	p.Overlap = &Overlap{}
	l.duration(v, &p.Overlap.Time, 0)
}

func (l *loader) flag(v value) *Flag {
	f := &Flag{}
	seen := l.object(v, v.path, fields{
		"field": func(v value) { f.Field, _ = l.text(v) },
		"value": func(v value) {
			if text, _, ok := l.scalar(v, "true, false, a number or text"); ok {
				f.Value = &text
			}
		},
	}, nil)
	l.need(v, seen, v.path, "field")
	return f
}

// sweep reads an interval or a cron expression, with seconds or without.
func (l *loader) sweep(v value, p *Poll) {
	text, ok := l.text(v)
	if !ok {
		return
	}
	every, err := parseDuration(text)
	switch n := len(strings.Fields(text)); {
	case err == nil && every < time.Second:
		l.report(v, BadDuration, "", "%s must be at least %s", v.path, time.Second)
	case err != nil && n != 5 && n != 6 && !strings.HasPrefix(text, "@"):
		l.report(v, BadDuration, `an interval (1h) or a cron expression ("0 3 * * *")`, "%s must be an interval or a cron expression", v.path)
	default:
		p.Sweep = text
		var wrong *timetable.Error
		if _, e := timetable.New(timetable.Spec{Cron: text}); err != nil && errors.As(e, &wrong) {
			l.timingProblem(v, text, wrong)
		}
	}
}

// checkPolled looks at what the keys of a polled entity are together.
func (l *loader) checkPolled(e *Entity, seen map[string]value) {
	p := e.Poll
	at := func(key string) value { return seen[key] }
	if _, given := seen["overlap"]; given && len(p.Watermark) == 0 {
		l.report(at("overlap"), BadValue, "name the watermark, or leave the overlap out", "%s is for an entity with a watermark", at("overlap").path)
	}
	if p.Compare {
		return
	}
	switch {
	case len(p.Watermark) == 0:
		l.report(at("compare"), BadValue, "name a watermark, or leave compare out", "%s needs a watermark: without both, every poll would send every record again",
			at("compare").path)
	case p.Overlap != nil && *p.Overlap != Overlap{}:
		l.report(at("overlap"), BadValue, "leave one of the two out", "%s needs compare: what is read again would be sent again at every poll", at("overlap").path)
	case p.Sweep != "":
		l.report(at("sweep"), BadValue, "leave one of the two out", "%s needs compare: without it nothing is known of records that are gone", at("sweep").path)
	}
}

// polledQuery reads what a polled entity of an SQL system is read from.
func (l *loader) polledQuery(v value, e *Entity) {
	text, ok := l.text(v)
	if !ok {
		return
	}
	statement := func(s string) string { return strings.TrimRight(strings.TrimSpace(s), ";") }
	text = statement(text)
	first, _, _ := strings.Cut(strings.ToLower(text), " ")
	if first = strings.Fields(first + " ")[0]; first != "select" && first != "with" && first != "values" && first != "table" {
		l.report(v, BadValue, "SELECT …", "%s must be a query that reads", v.path)
		return
	}
	e.Poll.Query = NewText(text, statement(v.node.Value))
}

// checkPolledSQL looks at what a polled entity of an SQL system is read from. The key of a query cannot be found out.
func (l *loader) checkPolledSQL(s *systemSource, e *Entity, v value, seen map[string]value) {
	at, query := seen["query"]
	if !s.Type.SQL() || !query {
		return
	}
	if _, both := seen["table"]; both {
		l.report(at, DuplicateKey, "give table or query", "%s has a table already", v.path)
	}
	e.Table = ""
	l.need(v, seen, "the query of entity "+e.Name, "key")
}
