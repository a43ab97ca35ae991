package config

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"syncline/internal/transform"
)

// enrichStep reads {by: expression, one of sql, http, file and entity, take: {column: field}, missing: null, …}.
func (l *loader) enrichStep(v value, r *ruleSource) transform.Step {
	step := transform.Enrich{Missing: transform.MissingNull, Timeout: 5 * time.Second, TTL: time.Minute, Negative: 10 * time.Second, Size: 10_000}
	seen := l.object(v, "enrich", fields{
		"by":      func(v value) { step.By = l.expression(v) },
		"sql":     func(v value) { step.SQL = l.fromSQL(v, r) },
		"http":    func(v value) { step.HTTP = l.fromHTTP(v) },
		"file":    func(v value) { step.File = l.fromFile(v) },
		"entity":  func(v value) { step.Entity = l.fromEntity(v, r) },
		"take":    func(v value) { l.take(v, &step.Take) },
		"missing": func(v value) { l.missing(v, &step.Missing) },
		"when_down": func(v value) {
			down := "wait"
			choose(&l.decoder, v, &down, nil, "wait", "missing")
			step.Down = down == "missing"
		},
		"timeout": func(v value) { l.duration(v, &step.Timeout, 10*time.Millisecond) },
		"cache": func(v value) {
			l.object(v, "cache", fields{
				"ttl":      func(v value) { l.duration(v, &step.TTL, 0) },
				"negative": func(v value) { l.duration(v, &step.Negative, 0) },
				"size":     func(v value) { l.integer(v, &step.Size, 0, 1_000_000) },
			}, nil)
		},
	}, nil)
	l.need(v, seen, "enrich", "by", "take")
	sources := 0
	for _, name := range []string{"sql", "http", "file", "entity"} {
		if oneOfKeys(seen, name) {
			sources++
		}
	}
	if l.isMapping(v) && sources != 1 {
		l.report(v, BadValue, "sql: {system: …, query: …, key: …}, http: {url: https://…/{key}}, file: prices.csv, or entity: crm/customer",
			"%s needs one of sql, http, file and entity", v.path)
	}
	for _, name := range []string{"when_down", "timeout", "cache"} {
		if oneOfKeys(seen, "file") && oneOfKeys(seen, name) {
			l.report(v, BadValue, "take it out; a file has reload", "%s.%s is of no use with a file, which is in memory", v.path, name)
		}
	}
	return step
}

// fromFile reads the name of a file, and {path: prices.csv, key: sku, reload: 5s}.
func (l *loader) fromFile(v value) *transform.FromFile {
	from := &transform.FromFile{}
	if !l.isMapping(v) {
		l.path(v, &from.Path)
		return from
	}
	seen := l.object(v, "file", fields{
		"path":   func(v value) { l.path(v, &from.Path) },
		"key":    func(v value) { from.Key, _ = l.text(v) },
		"reload": func(v value) { l.duration(v, &from.Reload, time.Millisecond) },
	}, nil)
	l.need(v, seen, "file", "path")
	return from
}

func (l *loader) fromEntity(v value, r *ruleSource) *transform.FromEntity {
	text, ok := l.text(v)
	if !ok {
		return nil
	}
	from := &transform.FromEntity{}
	from.System, from.Name, _ = strings.Cut(text, "/")
	r.asked = append(r.asked, v)
	return from
}

func (l *loader) fromSQL(v value, r *ruleSource) *transform.FromSQL {
	from := &transform.FromSQL{}
	seen := l.object(v, "sql", fields{
		"system": func(v value) {
			if name, ok := l.text(v); ok {
				from.System = name
				r.asked = append(r.asked, v)
			}
		},
		"query": func(v value) {
			from.Query, _ = l.text(v)
			from.Shown = v.node.Value
			if from.Query != "" && !strings.Contains(from.Query, "$1") {
				l.report(v, BadValue, "WHERE id = ANY($1) at PostgreSQL, WHERE id IN (SELECT value FROM json_each($1)) at SQLite", "%s does not ask for the keys, which are $1", v.path)
			}
		},
		"key": func(v value) { from.Key, _ = l.text(v) },
	}, nil)
	l.need(v, seen, "sql", "system", "query", "key")
	return from
}

func (l *loader) fromHTTP(v value) *transform.FromHTTP {
	from := &transform.FromHTTP{}
	var at value
	seen := l.object(v, "http", fields{
		"url": func(v value) {
			at = v
			v.doc.hide(v.node)
			l.plainPasswords(v, "https")
			from.URL, _ = l.text(v)
			from.Shown = v.node.Value
		},
		"at":            func(v value) { from.At, _ = l.text(v) },
		"allow_private": func(v value) { l.boolean(v, &from.AllowPrivate) },
		"headers": func(v value) {
			from.Headers = make(map[string]string)
			l.entries(v, "headers", func(key, val value) {
				var name string
				var s Secret
				l.headerName(key, &name)
				l.secret(val, &s)
				l.headerText(val, s.Reveal())
				from.Headers[name] = s.Reveal()
			})
		},
	}, nil)
	l.need(v, seen, "http", "url")
	if from.URL == "" {
		return from
	}
	u, err := url.Parse(strings.ReplaceAll(from.URL, "{key}", "0"))
	_, rest, _ := strings.Cut(from.URL, "://")
	host, path, _ := strings.Cut(rest, "/")
	switch {
	case err != nil, u.Host == "", u.Scheme != "https" && u.Scheme != "http", strings.Contains(host, "{key}"):
		l.report(at, BadURL, "https://host/path/{key}", "%s must be a URL of https", at.path)
	case !strings.Contains(path, "{key}"):
		l.report(at, BadURL, "https://host/path/{key}, or https://host/path?id={key}", "%s does not say where the key goes: {key}", at.path)
	case u.Scheme == "http" && !from.AllowPrivate:
		l.report(at, BadURL, "use https, or set allow_private for a service in the local network", "%s has no TLS", at.path)
	}
	return from
}

// take reads {column: field} and {column: {to: field, kind: int, default: 0}}.
func (l *loader) take(v value, dst *[]transform.Taken) {
	l.entries(v, "take", func(key, val value) {
		t := transform.Taken{From: key.node.Value, Output: transform.Output{Field: key.node.Value}}
		if l.isMapping(val) {
			l.object(val, "a field", fields{
				"to":   func(v value) { t.Field, _ = l.text(v) },
				"kind": func(v value) { l.kind(v, &t.Output.Kind) },
				"default": func(v value) {
					if constant, ok := l.constant(v); ok {
						t.Default = &transform.Constant{Value: constant}
					}
				},
			}, nil)
		} else if val.node.Tag != "!!null" {
			t.Field, _ = l.text(val)
		}
		*dst = append(*dst, t)
	})
}

func (l *loader) missing(v value, dst *transform.Missing) {
	if v.node.Tag == "!!null" {
		*dst = transform.MissingNull
		return
	}
	choose(&l.decoder, v, dst, nil, transform.MissingNull, transform.MissingDefault, transform.MissingReject, transform.MissingWait)
}

// checkAsked looks at the systems and the entities that a rule's steps ask.
func (l *loader) checkAsked(r *ruleSource) {
	databases := func(t Type) bool { return t == TypePostgres || t == TypeSQLite }
	for _, v := range r.asked {
		text, ok := l.text(v)
		if !ok {
			continue
		}
		if !strings.HasSuffix(v.path, ".entity") {
			if names := l.systemNames(databases); !slices.Contains(names, text) {
				l.report(v, UnknownSystem, "one of: "+strings.Join(names, ", "), "%s: there is no database %q among the systems", v.path, text)
			}
			continue
		}
		var names []string
		var found *Entity
		for _, s := range l.cfg.Systems {
			if s.Capture == nil || !databases(s.Type) {
				continue
			}
			for _, e := range s.Capture.Entities {
				if names = append(names, s.Name+"/"+e.Name); names[len(names)-1] == text {
					found = e
				}
			}
		}
		switch {
		case found == nil:
			l.report(v, UnknownEntity, "one of: "+strings.Join(names, ", "), "%s: there is no entity %q that can be read from a database", v.path, text)
		case len(found.Key) > 1:
			l.report(v, BadValue, "take its fields with sql", "%s: the key of %s has several parts", v.path, text)
		}
	}
}
