package transform

import (
	"slices"
	"strings"

	"syncline"
	"syncline/internal/expression"
)

// layout is what records look like between two steps while a plan is made.
//
// Values live in registers: first the source's columns, then one for each value that is computed. A register is written once,
// so that moving, copying and removing fields costs nothing per row: they only change which fields there are, and where.
type layout struct {
	in     *syncline.Schema
	open   bool
	fields []field
	// origins is the source column that each register comes from unchanged but for its kind, "" for a computed one.
	origins []string
	ops     []operation
	step    int
	kind    string
}

// field is a column of the record and the register that it is in.
type field struct {
	syncline.Column
	register int
	key      int // place in the key, -1 = none
	version  bool
}

// operation is something to do for each row.
type operation struct {
	run func(r *registers) (keep bool, err error)
	// asks is what it asks outside instead; nil = nothing.
	asks *question
	// writes is the register that it fills, -1 for a filter.
	writes int
	// reads are the registers that it depends on.
	reads []int
	// recordOnly: it depends on nothing but those.
	recordOnly bool
	// formula is what it does to them, in the configuration's words; "" = it copies.
	formula string
	// sources are the source's names of columns that were renamed since, for messages.
	sources map[string]string
	step    int
	kind    string
	field   string
}

func newLayout(in *syncline.Schema) *layout {
	l := &layout{in: in}
	for i := range in.Columns {
		f := field{Column: in.Columns[i], register: i, key: slices.Index(in.Key, i), version: in.Version == i}
		l.fields = append(l.fields, f)
		l.origins = append(l.origins, f.Name)
	}
	return l
}

// index returns where the field is, -1 if there is none, those at other places left aside.
func (l *layout) index(name string, aside ...int) int {
	for i := range l.fields {
		if l.fields[i].Name == name && !slices.Contains(aside, i) {
			return i
		}
	}
	return -1
}

// remove takes away the fields at these places: a new one may have the name of one that goes.
func (l *layout) remove(at []int) {
	kept := make([]field, 0, len(l.fields))
	for i, f := range l.fields {
		if !slices.Contains(at, i) {
			kept = append(kept, f)
		}
	}
	l.fields = kept
}

// need returns where the field is that a step names; -1 where the source's schema is open and the field was not sent, with
// which nothing has to be done then.
func (l *layout) need(name string) (int, error) {
	if i := l.index(name); i >= 0 || l.open {
		return i, nil
	}
	e := syncline.Errorf(syncline.Fatal, "unknown_column", "%s has no column %q at this step", l.in.Entity, name)
	names := make([]string, 0, len(l.fields))
	for _, f := range l.fields {
		if strings.EqualFold(f.Name, name) {
			return 0, e.WithFix("write it as %q", f.Name)
		}
		names = append(names, f.Name)
	}
	return 0, e.WithFix("it has %s", strings.Join(names, ", "))
}

// value is need for a step that does something with the field's value, which a generated column does not have.
func (l *layout) value(name string) (int, error) {
	i, err := l.need(name)
	if i < 0 || err != nil || l.fields[i].Generated == "" {
		return i, err
	}
	return 0, expression.Computed(l.in, l.fields[i].register)
}

// compute adds an operation that fills a new register and returns the register.
func (l *layout) compute(op operation, origin string, fill func(r *registers, to int) error) int {
	to := len(l.origins)
	op.writes, op.step, op.kind = to, l.step, l.kind
	op.run = func(r *registers) (bool, error) { return true, fill(r, to) }
	l.origins = append(l.origins, origin)
	l.ops = append(l.ops, op)
	return to
}

// sources maps the names that fields have now to those that the source gave them, where they differ.
func (l *layout) sources() map[string]string {
	names := map[string]string{}
	for _, f := range l.fields {
		if origin := l.origins[f.register]; origin != "" && origin != f.Name {
			names[f.Name] = origin
		}
	}
	return names
}

// view is the record as an expression sees it: one column for each register, those without a field without a name.
func (l *layout) view() *syncline.Schema {
	s := &syncline.Schema{Entity: l.in.Entity, Table: l.in.Table, Version: -1, Columns: make([]syncline.Column, len(l.origins))}
	for _, f := range l.fields {
		s.Columns[f.register] = f.Column
	}
	return s
}

// reads are the registers that an expression over the layout uses.
func (l *layout) reads(p *expression.Program) []int {
	names, all := p.Columns()
	var regs []int
	for _, f := range l.fields {
		if all || slices.Contains(names, f.Name) {
			regs = append(regs, f.register)
		}
	}
	return regs
}

// lacks reports whether an expression needs columns and the record has none of them: what is computed from nothing that was
// sent was not sent either.
func (l *layout) lacks(p *expression.Program) bool {
	names, all := p.Columns()
	return !all && len(names) > 0 && !slices.ContainsFunc(names, func(n string) bool { return l.index(n) >= 0 })
}

// untouched reports whether the record is the source's, column for column.
func (l *layout) untouched() bool {
	if len(l.fields) != len(l.in.Columns) {
		return false
	}
	for i, f := range l.fields {
		if f.register != i || f.Name != l.in.Columns[i].Name {
			return false
		}
	}
	return true
}

// plan finishes the layout: the shape of what comes out, and what has to be done for it.
func (l *layout) plan() (*Plan, error) {
	p := &Plan{in: l.in, ops: l.ops, registers: len(l.origins)}
	if !l.untouched() {
		// The expression of a generated column may speak of columns by other names, and its source sends no value.
		l.fields = slices.DeleteFunc(l.fields, func(f field) bool {
			if f.Generated != "" {
				p.leftOut = append(p.leftOut, f.Name)
			}
			return f.Generated != ""
		})
	}
	p.gather = make([]int, len(l.fields))
	out := &syncline.Schema{Entity: l.in.Entity, Table: l.in.Table, Version: -1, Columns: make([]syncline.Column, len(l.fields))}
	keys := make([]int, len(l.in.Key))
	for i := range keys {
		keys[i] = -1
	}
	p.identity = len(l.fields) == len(l.in.Columns)
	for i, f := range l.fields {
		out.Columns[i], p.gather[i] = f.Column, f.register
		if f.key >= 0 {
			keys[f.key] = i
		}
		if f.version {
			out.Version = i
		}
		p.identity = p.identity && f.register == i
	}
	if p.out = out; l.untouched() {
		p.out = l.in
	}
	for k, i := range keys {
		if i < 0 {
			name := l.in.Columns[l.in.Key[k]].Name
			return nil, syncline.Errorf(syncline.Fatal, "key_dropped", "the transform removes %s, which is part of the key of %s", name, l.in.Entity).
				WithFix("keep the column; rename it if it has another name at the target")
		}
	}
	out.Key = keys
	if len(keys) == 0 {
		out.Key = nil
	}
	return p, p.planKey()
}
