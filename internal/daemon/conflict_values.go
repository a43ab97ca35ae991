package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"syncline"
	"syncline/internal/config"
	"syncline/internal/conflict"
	"syncline/internal/document"
	"syncline/internal/state"
)

// valueCheck checks the values of merges. It remembers the schemas that it has read.
type valueCheck struct {
	e       engine
	schemas map[state.Slice]map[string]state.RuleSchema
}

// check returns why the conflict cannot be decided with the values: they do not fit what the rule makes, as the target was last made to
// fit it. What only the target's own constraints know shows when it is written.
func (v *valueCheck) check(ctx context.Context, c *state.Conflict, action string, doc json.RawMessage) error {
	invalid := func(format string, args ...any) *syncline.Error {
		return syncline.Errorf(syncline.Rejected, "conflict_values", format, args...)
	}
	if action != string(conflict.Merged) {
		if doc != nil {
			return invalid("only a merge has values").WithFix("choose merge, or leave the values out")
		}
		return nil
	}
	var values map[string]json.RawMessage
	if err := json.Unmarshal(doc, &values); err != nil || len(values) == 0 {
		return invalid("a merge needs values: a JSON object of the fields to write").WithFix("`--values FILE` names a file with one")
	}
	known, err := v.schema(ctx, c)
	if err != nil {
		return err
	}
	if known == nil {
		return invalid("rule %s has not written to its target yet", c.Rule)
	}
	for name, raw := range values {
		i := known.Index(name)
		switch {
		case i < 0:
			return invalid("%s has no field %s", c.Object, name)
		case slices.Contains(known.Key, i):
			return invalid("%s is part of the key, which both sides have in common", name)
		}
		column := &known.Columns[i]
		value, err := document.ParseValue(column, raw)
		if err == nil {
			err = fits(column, syncline.Unset, value)
		}
		if err == nil && v.e.refusesZero(c.Route) && zeroIn(column, value) {
			err = errors.New("PostgreSQL takes no text with a zero byte")
		}
		if err != nil {
			return invalid("field %s: %w", name, err)
		}
	}
	return nil
}

// schema is that of the records that the conflict's rule makes; nil where none is known.
func (v *valueCheck) schema(ctx context.Context, c *state.Conflict) (*syncline.Schema, error) {
	all, read := v.schemas[c.Slice]
	if !read {
		var err error
		if all, err = v.e.state.Schemas(ctx, c.Slice); err != nil {
			return nil, err
		}
		if v.schemas == nil {
			v.schemas = make(map[state.Slice]map[string]state.RuleSchema)
		}
		v.schemas[c.Slice] = all
	}
	return all[c.Rule].Made, nil
}

// refusesZero reports whether the route writes to a database whose texts cannot have a zero byte. A two-way rule writes to both of its sides.
func (e engine) refusesZero(id string) bool {
	r := e.route(id)
	return r != nil && (r.target.Type == config.TypePostgres || r.pair != nil && r.source.system.Type == config.TypePostgres)
}

// zeroIn reports whether the value is or contains a text with a zero byte. The column type json keeps a JSON text as it was written.
func zeroIn(c *syncline.Column, v syncline.Value) bool {
	switch {
	case v.Kind() == syncline.KindBytes:
		return false
	case v.Kind() != syncline.KindJSON:
		return bytes.IndexByte(v.Bytes(), 0) >= 0
	case c.Type == "json":
		return false
	}
	in := json.NewDecoder(bytes.NewReader(v.Bytes()))
	for {
		token, err := in.Token()
		if err != nil {
			return false
		}
		if text, ok := token.(string); ok && strings.IndexByte(text, 0) >= 0 {
			return true
		}
	}
}
