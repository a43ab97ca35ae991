package transform

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"syncline"
	"syncline/internal/expression"
)

// maxChildren bounds what becomes of one record.
const maxChildren = 10_000

// split is a compiled Split, with the steps behind it, which work on its children.
type split struct {
	Splitting
	step  int
	after *Transform
}

func (s Split) compile() (binder, error) {
	d := s.Split
	if err := named(d.Field); err != nil {
		return nil, err
	}
	if (d.Key == "") == (d.Index == "") {
		return nil, syncline.Errorf(syncline.Fatal, "bad_step", "what tells the records apart is either `key`, a field of an element, or `index`, its place")
	}
	var names []string
	for _, p := range d.Fields {
		if err := complete(p.Path); err != nil && p.Path != "." {
			return nil, err
		}
		if err := makes(p.To, p.Kind); err != nil {
			return nil, err
		}
		names = append(names, p.To)
	}
	if d.Key != "" && !slices.Contains(names, d.Key) {
		return nil, syncline.Errorf(syncline.Fatal, "bad_step", "the key %s is none of the fields", d.Key)
	}
	if d.Index != "" {
		names = append(names, d.Index)
	}
	return splitter{}, once(append(names, d.With...), "made")
}

// splitter stands for the split among the steps of the parent: it does nothing to it.
type splitter struct{}

func (splitter) bind(*layout) error { return nil }

// Children makes several records of each that a plan makes, its parents. It is used by one goroutine at a time.
type Children struct {
	*split
	parent *syncline.Schema
	in     *syncline.Schema
	plan   *Plan
	// at is the parent's column that holds the list, -1 for one that an open schema has not had; source is what the source calls it.
	at     int
	path   []string
	source string
	// carried are the parent's columns that begin a child's.
	carried []int
	key     int // of the child's own key in its columns
}

// children binds the split to the records that the plan makes.
func (s *split) children(p *Plan, l *layout) (*Children, error) {
	c := &Children{split: s, parent: p.out, at: -1}
	if len(p.out.Key) == 0 {
		return nil, syncline.Errorf(syncline.Fatal, "bad_step", "%s has no key that would tell whose the records are", p.out.Entity).WithFix("declare a key for the entity")
	}
	at, path, err := l.locate(s.Field)
	if err != nil {
		return nil, err
	}
	c.source, c.path = s.Field, path
	if at >= 0 {
		f := l.fields[at]
		if len(path) == 0 && f.Kind != syncline.KindJSON && f.Kind != syncline.KindArray && !l.open {
			return nil, syncline.Errorf(syncline.Fatal, "bad_step", "%s is of kind %s: only a list can be split", s.Field, f.Kind)
		}
		c.at = p.out.Index(f.Name)
		if origin := l.origins[f.register]; origin != "" {
			c.source = origin
		}
	}
	in := &syncline.Schema{Entity: p.out.Entity, Table: p.out.Table, Version: -1}
	for _, k := range p.out.Key {
		c.carried = append(c.carried, k)
		in.Key = append(in.Key, len(in.Columns))
		in.Columns = append(in.Columns, p.out.Columns[k])
	}
	for _, name := range s.With {
		at, err := l.need(name)
		if err != nil {
			return nil, err
		}
		if at < 0 || slices.Contains(c.carried, p.out.Index(name)) {
			continue
		}
		c.carried = append(c.carried, p.out.Index(name))
		in.Columns = append(in.Columns, p.out.Columns[p.out.Index(name)])
	}
	for _, f := range s.Fields {
		kind := f.Kind
		if kind == syncline.KindNull {
			kind = syncline.KindText
		}
		in.Columns = append(in.Columns, syncline.Column{Name: f.To, Kind: kind, Nullable: f.To != s.Key})
	}
	name := s.Key
	if s.Index != "" {
		name = s.Index
		in.Columns = append(in.Columns, syncline.Column{Name: name, Kind: syncline.KindInt})
	}
	seen := map[string]bool{}
	for _, col := range in.Columns {
		if seen[col.Name] {
			return nil, exists(col.Name)
		}
		seen[col.Name] = true
	}
	c.key = in.Index(name)
	in.Key = append(in.Key, c.key)
	if c.in = in; c.after == nil {
		c.after = &Transform{}
	}
	if c.plan, err = c.after.bind(in, l.open); err != nil {
		return nil, err
	}
	for i := range len(p.out.Key) {
		if c.plan.gather[c.plan.out.Key[i]] != in.Key[i] {
			return nil, syncline.Errorf(syncline.Fatal, "bad_key", "%s says whose the records are: behind the split it can only be renamed", in.Columns[in.Key[i]].Name).
				WithFix("make it before the split")
		}
	}
	return c, nil
}

// Out is the children's schema. Its key begins with the parent's.
func (c *Children) Out() *syncline.Schema { return c.plan.out }

// Parent is how many columns of the key are the parent's.
func (c *Children) Parent() int { return len(c.parent.Key) }

func (c *Children) keyMapping() string {
	return fmt.Sprintf("; each %q of %q: %s", c.Key+"#"+c.Index, c.Field, c.plan.KeyMapping())
}

var (
	errNoList   = errors.New("it holds no list")
	errTooMany  = fmt.Errorf("it has more than %d elements", maxChildren)
	errNoOwnKey = errors.New("an element has no value for the key")
	errSameKey  = errors.New("two elements have the same key")
)

// Rows makes the children of a parent, in the order of the list. A list that was not sent ends in an expression.ErrUnset, null is an empty one.
func (c *Children) Rows(b *syncline.Batch, i int, parent []syncline.Value) ([][]syncline.Value, error) {
	list, err := c.list(b, i, parent)
	if err != nil {
		return nil, c.failed(err, "")
	}
	rows := make([][]syncline.Value, 0, len(list))
	seen := make(map[syncline.Key]bool, len(list))
	for n, element := range list {
		row, name, err := c.row(parent, element, n)
		if err != nil {
			return nil, c.failed(err, name)
		}
		made, keep, err := c.plan.apply(b, i, row, nil, nil)
		if err != nil {
			return nil, err
		}
		key, ok := (syncline.Row{Schema: c.plan.out, Values: made}).Key()
		switch {
		case !keep:
			continue
		case !ok:
			return nil, c.failed(errNoOwnKey, "")
		case seen[key]:
			return nil, c.failed(errSameKey, "")
		}
		seen[key] = true
		rows = append(rows, made)
	}
	return rows, nil
}

func (c *Children) failed(err error, field string) error {
	if errors.Is(err, expression.ErrUnset) || syncline.CodeOf(err) == "transform_failed" {
		return err
	}
	if field == "" {
		field = c.Field
	}
	return stepError(syncline.Rejected, "transform_failed", c.step, "split", field, err)
}

func (c *Children) list(b *syncline.Batch, i int, parent []syncline.Value) (list []json.RawMessage, err error) {
	if c.at < 0 {
		if b.Events[i].Op == syncline.OpCreated {
			return nil, nil
		}
		return nil, &expression.UnsetError{Column: c.source}
	}
	v := parent[c.at]
	if v.IsUnset() {
		return nil, &expression.UnsetError{Column: c.source}
	}
	if v.Kind() == syncline.KindArray {
		if v, err = expression.Convert(v, c.parent.Columns[c.at].Elem, syncline.KindJSON); err != nil {
			return nil, errNoList
		}
	}
	text, err := document(v)
	if err == nil {
		text, _, err = part(text, c.path)
	}
	if err != nil {
		return nil, err
	}
	if text == nil || string(text) == "null" {
		return nil, nil
	}
	if json.Unmarshal(text, &list) != nil {
		return nil, errNoList
	}
	if len(list) > maxChildren {
		return nil, errTooMany
	}
	return list, nil
}

// row makes one child as it is before the steps that follow; name is the field at fault.
func (c *Children) row(parent []syncline.Value, element json.RawMessage, n int) (row []syncline.Value, name string, err error) {
	row = make([]syncline.Value, 0, len(c.in.Columns))
	for _, p := range c.carried {
		if parent[p].IsUnset() {
			return nil, "", &expression.UnsetError{Column: c.parent.Columns[p].Name}
		}
		row = append(row, parent[p])
	}
	for _, f := range c.Fields {
		text := []byte(element)
		if f.Path != "." {
			if text, _, err = part(element, strings.Split(f.Path, ".")); err != nil {
				return nil, f.To, err
			}
		}
		v, err := fromJSON(text)
		if err == nil {
			v, err = expression.Convert(v, syncline.KindNull, c.in.Columns[len(row)].Kind)
		}
		if err == nil && v.IsNull() && f.To == c.Key {
			err = errNoOwnKey
		}
		if err != nil {
			return nil, f.To, err
		}
		row = append(row, v)
	}
	if c.Index != "" {
		row = append(row, syncline.Int(int64(n+1)))
	}
	return row, "", nil
}
