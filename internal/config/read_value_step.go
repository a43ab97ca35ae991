package config

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"syncline"
	"syncline/internal/transform"
)

// flattenStep reads {column: [path, …]} and {column: {fields: [path, …] or {path: kind}, prefix: text, keep: true}}.
func (l *loader) flattenStep(v value) transform.Step {
	var step transform.Flatten
	l.entries(v, "flatten", func(key, val value) {
		f := transform.Flattening{Field: key.node.Value}
		prefix := key.node.Value + "_"
		parts := func(v value) {
			if l.isMapping(v) {
				l.entries(v, "the fields of flatten", func(key, val value) {
					p := transform.Part{Path: key.node.Value}
					l.kind(val, &p.Kind)
					f.Parts = append(f.Parts, p)
				})
				return
			}
			for _, path := range l.fieldNames(v) {
				f.Parts = append(f.Parts, transform.Part{Path: path})
			}
		}
		if l.isMapping(val) {
			seen := l.object(val, "the flattening of "+f.Field, fields{
				"fields": parts,
				"prefix": func(v value) { prefix, _, _ = l.scalar(v, "text") },
				"keep":   func(v value) { l.boolean(v, &f.Keep) },
			}, nil)
			l.need(val, seen, "the flattening of "+f.Field, "fields")
		} else {
			parts(val)
		}
		prefix = strings.ReplaceAll(prefix, ".", "_")
		for i := range f.Parts {
			f.Parts[i].To = prefix + strings.ReplaceAll(f.Parts[i].Path, ".", "_")
		}
		step.Fields = append(step.Fields, f)
	})
	return step
}

// nestStep reads {column: [field, …]} and {column: {fields: [field, …] or {field: name}, keep: true}}.
func (l *loader) nestStep(v value) transform.Step {
	var step transform.Nest
	l.entries(v, "nest", func(key, val value) {
		n := transform.Nesting{To: key.node.Value}
		members := func(v value) {
			if l.isMapping(v) {
				l.entries(v, "the fields of nest", func(key, val value) {
					name, _ := l.text(val)
					n.Members = append(n.Members, transform.Pair{From: key.node.Value, To: name})
				})
				return
			}
			for _, name := range l.fieldNames(v) {
				n.Members = append(n.Members, transform.Pair{From: name, To: name})
			}
		}
		if l.isMapping(val) {
			seen := l.object(val, "the nesting of "+n.To, fields{
				"fields": members,
				"keep":   func(v value) { l.boolean(v, &n.Keep) },
			}, nil)
			l.need(val, seen, "the nesting of "+n.To, "fields")
		} else {
			members(val)
		}
		step.Fields = append(step.Fields, n)
	})
	return step
}

// defaultStep reads {field: value}.
func (l *loader) defaultStep(v value) transform.Step {
	var step transform.Defaults
	l.entries(v, "default", func(key, val value) {
		if c, ok := l.constant(val); ok {
			step.Fields = append(step.Fields, transform.Filling{Field: key.node.Value, Value: transform.Constant{Value: c}})
		}
	})
	return step
}

// policy reads what becomes of a value that cannot be made; null is the word, too.
func (l *loader) policy(dst *transform.Policy, allowed ...transform.Policy) func(value) {
	return func(v value) {
		if v.node.Kind == yaml.ScalarNode && v.node.Tag == "!!null" && slices.Contains(allowed, transform.PolicyNull) {
			*dst = transform.PolicyNull
			return
		}
		choose(&l.decoder, v, dst, nil, allowed...)
	}
}

func (l *loader) defaultTo(dst **transform.Constant) func(value) {
	return func(v value) {
		if c, ok := l.constant(v); ok {
			*dst = &transform.Constant{Value: c}
		}
	}
}

// calculateStep reads {field: expression} and {field: {value: expression, scale: 2, …}}.
func (l *loader) calculateStep(v value) transform.Step {
	var step transform.Calculate
	l.entries(v, "calculate", func(key, val value) {
		c := transform.Calculation{Field: key.node.Value}
		if l.isMapping(val) {
			seen := l.object(val, "the calculation of "+c.Field, fields{
				"value": func(v value) { c.Expression = l.expression(v) },
				"kind":  func(v value) { l.kind(v, &c.To) },
				"scale": func(v value) {
					c.Scale = new(int)
					l.integer(v, c.Scale, 0, 100)
				},
				"precision": func(v value) { l.integer(v, &c.Precision, 1, 1000) },
				"round":     func(v value) { choose(&l.decoder, v, &c.Round, nil, transform.Roundings...) },
				"invalid":   l.policy(&c.Invalid, transform.PolicyReject, transform.PolicyNull, transform.PolicyDefault),
				"default":   l.defaultTo(&c.Default),
			}, nil)
			l.need(val, seen, "the calculation of "+c.Field, "value")
		} else {
			c.Expression = l.expression(val)
		}
		step.Fields = append(step.Fields, c)
	})
	return step
}

// formatStep reads {field: upper}, {field: [trim, upper]} and {field: {layout: …, decimals: …, …}}.
func (l *loader) formatStep(v value) transform.Step {
	var step transform.Format
	l.entries(v, "format", func(key, val value) {
		f := transform.Formatting{Field: key.node.Value, With: " "}
		texts := func(v value) {
			l.list(v, "text", true, func(v value) {
				var name string
				choose(&l.decoder, v, &name, nil, transform.Texts...)
				f.Text = append(f.Text, name)
			})
		}
		if !l.isMapping(val) {
			texts(val)
			f.With = ""
			step.Fields = append(step.Fields, f)
			return
		}
		number := transform.Number{Decimals: -1, Point: "."}
		side := "left"
		seen := l.object(val, "the format of "+f.Field, fields{
			"layout":   func(v value) { f.Layout, _ = l.text(v) },
			"zone":     func(v value) { f.Zone, _ = l.text(v) },
			"decimals": func(v value) { l.integer(v, &number.Decimals, 0, 100) },
			"group":    func(v value) { number.Group, _ = l.text(v) },
			"point":    func(v value) { number.Point, _ = l.text(v) },
			"text":     texts,
			"pattern":  func(v value) { f.Pattern, _ = l.text(v) },
			"max":      func(v value) { l.integer(v, &f.Max, 1, 1<<30) },
			"pad":      func(v value) { l.integer(v, &f.Pad, 1, 10_000) },
			"with":     func(v value) { l.character(v, &f.With) },
			"side":     func(v value) { choose(&l.decoder, v, &side, nil, "left", "right") },
			"invalid":  l.policy(&f.Invalid, transform.PolicyReject, transform.PolicyNull, transform.PolicyDefault, transform.PolicyKeep),
			"default":  l.defaultTo(&f.Default),
		}, nil)
		if oneOfKeys(seen, "decimals", "group", "point") {
			f.Number = &number
		}
		if f.Right = side == "right"; f.Pad == 0 {
			f.With = ""
			if oneOfKeys(seen, "with", "side") && !oneOfKeys(seen, "pad") {
				l.report(val, BadValue, "pad: the width", "with and side say how to pad, and there is no pad")
			}
		}
		step.Fields = append(step.Fields, f)
	})
	return step
}

// oneOfKeys reports whether one of the keys was there.
func oneOfKeys(seen map[string]value, keys ...string) bool {
	return slices.ContainsFunc(keys, func(k string) bool { _, ok := seen[k]; return ok })
}

func (l *loader) character(v value, dst *string) {
	text, _, ok := l.scalar(v, "one character")
	if ok && utf8.RuneCountInString(text) != 1 {
		l.report(v, BadValue, "", "%s must be one character", v.path)
		return
	}
	*dst = text
}

// lookupStep reads {field: {from: field, table: {key: value} or file: path, …}}.
func (l *loader) lookupStep(v value) transform.Step {
	var step transform.Lookup
	l.entries(v, "lookup", func(key, val value) {
		f := transform.LookupField{Field: key.node.Value}
		file := transform.TableFile{}
		seen := l.object(val, "the lookup of "+f.Field, fields{
			"from": func(v value) { f.From, _ = l.text(v) },
			"table": func(v value) {
				l.entries(v, "the table of "+f.Field, func(key, val value) {
					k := syncline.Text(key.node.Value)
					if c, ok := l.constant(val); ok {
						f.Table = append(f.Table, transform.Entry{Key: transform.Constant{Value: k}, Value: transform.Constant{Value: c}})
					}
				})
			},
			"file":    func(v value) { l.path(v, &file.Path) },
			"key":     func(v value) { file.Key, _ = l.text(v) },
			"value":   func(v value) { file.Value, _ = l.text(v) },
			"reload":  func(v value) { l.duration(v, &file.Reload, time.Millisecond) },
			"kind":    func(v value) { l.kind(v, &f.To) },
			"missing": l.policy(&f.Missing, transform.PolicyReject, transform.PolicyNull, transform.PolicyDefault, transform.PolicyKeep),
			"default": l.defaultTo(&f.Default),
		}, nil)
		l.need(val, seen, "the lookup of "+f.Field, "from")
		if oneOfKeys(seen, "file") {
			f.File = &file
		} else if oneOfKeys(seen, "key", "value", "reload") {
			l.report(val, BadValue, "", "key, value and reload are of a file, and there is none")
		}
		step.Fields = append(step.Fields, f)
	})
	return step
}

// maskStep reads {field: email}, {field: all} and {field: {keep_first: 2, keep_last: 4, with: "*"}}, {field: {fixed: text}}.
func (l *loader) maskStep(v value) transform.Step {
	var step transform.Mask
	l.entries(v, "mask", func(key, val value) {
		m := transform.Masking{Field: key.node.Value, With: "*"}
		if !l.isMapping(val) {
			var how string
			choose(&l.decoder, val, &how, nil, "all", "email")
			m.Email = how == "email"
			step.Fields = append(step.Fields, m)
			return
		}
		seen := l.object(val, "the mask of "+m.Field, fields{
			"keep_first": func(v value) { l.integer(v, &m.KeepFirst, 0, 1000) },
			"keep_last":  func(v value) { l.integer(v, &m.KeepLast, 0, 1000) },
			"with":       func(v value) { l.character(v, &m.With) },
			"fixed": func(v value) {
				if text, _, ok := l.scalar(v, "text"); ok {
					m.Fixed, m.With = &text, ""
				}
			},
		}, nil)
		if len(seen) == 0 {
			l.report(val, BadValue, "all, email, {keep_last: 4}, {fixed: text}", "the mask of %s says nothing", m.Field)
		}
		step.Fields = append(step.Fields, m)
	})
	return step
}

// hashStep reads {field: ${KEY}} and {field: {key: ${KEY}, form: base64}}.
func (l *loader) hashStep(v value) transform.Step {
	var step transform.Hash
	l.entries(v, "hash", func(key, val value) {
		h := transform.Hashing{Field: key.node.Value}
		var secret Secret
		if l.isMapping(val) {
			form := "hex"
			seen := l.object(val, "the hash of "+h.Field, fields{
				"key":  func(v value) { l.secret(v, &secret) },
				"form": func(v value) { choose(&l.decoder, v, &form, nil, "hex", "base64") },
			}, nil)
			h.Base64 = form == "base64"
			l.need(val, seen, "the hash of "+h.Field, "key")
		} else {
			l.secret(val, &secret)
		}
		h.Key = secret
		step.Fields = append(step.Fields, h)
	})
	return step
}
