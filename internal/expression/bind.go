package expression

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"

	"syncline"
)

// ErrUnset is what an evaluation ends with that needs a column which the source did not send. The error is an *UnsetError.
var ErrUnset = errors.New("a column that the source did not send is needed")

// UnsetError names the column.
type UnsetError struct{ Column string }

func (e *UnsetError) Error() string { return fmt.Sprintf("%s: %s", ErrUnset, e.Column) }

// Is makes it an ErrUnset.
func (e *UnsetError) Is(target error) bool { return target == ErrUnset }

// Input is what an expression is evaluated over. Batch, Index give the event; After and Before begin with a row of the
// schemas that the program was bound to, nil where there is none.
type Input struct {
	Batch         *syncline.Batch
	Index         int
	After, Before []syncline.Value
}

// Bound is a program bound to the shape of its rows. It is used by one goroutine at a time.
type Bound struct {
	program *Program
	kind    syncline.Kind
	loads   []loading
	// direct is set where the whole expression is one column: its value is handed on as it is.
	direct *loading
	env    map[string]any
	meter  meter
	vm     vm.VM
}

// loading fills one variable of the environment.
type loading struct {
	ref
	name string
	// column is -1 for one that the events of an open schema do not have.
	column int
	schema *syncline.Schema
}

// Open reports whether a schema is that of a source which has none (pushed JSON): no column has a type, and each event has
// the columns that it has. A column that is not there was not sent; in a created record it is null.
func Open(s *syncline.Schema) bool {
	return !slices.ContainsFunc(s.Columns, func(c syncline.Column) bool { return c.Type != "" })
}

// Bind plans the evaluation over rows of these schemas; that of before is the source's. A column without a name is not part
// of the record. One that is used and not there is an error, which says what there is, unless the source's schema is Open.
func (p *Program) Bind(after, before *syncline.Schema) (*Bound, error) {
	b := &Bound{program: p, env: make(map[string]any, len(p.refs)+1)}
	for _, r := range p.refs {
		if r.field == "" && r.what == accessField {
			return nil, p.unknownColumn(r, after)
		}
		l := loading{ref: r, name: r.name(), schema: after}
		if r.side == "before" {
			l.schema = before
		}
		if r.side != "event" && r.what == accessField {
			if l.column = l.schema.Index(r.field); l.column < 0 && !Open(before) {
				return nil, p.unknownColumn(r, l.schema)
			}
			if l.column >= 0 && l.schema.Columns[l.column].Generated != "" {
				e := Computed(l.schema, l.column)
				e.Msg += " (expression " + p.place(r) + ")"
				return nil, e
			}
		}
		b.loads = append(b.loads, l)
	}
	b.kind = infer(p.root, after, before)
	if m, ok := p.root.(*ast.MemberNode); ok && len(b.loads) == 1 && b.loads[0].what == accessField && b.loads[0].side != "event" && b.loads[0].column >= 0 {
		if _, ok := m.Node.(*ast.IdentifierNode); ok {
			b.direct = &b.loads[0]
		}
	}
	b.env[envMeter] = &b.meter
	return b, nil
}

// Computed is the error of a rule that needs a generated column. Its values are nowhere: asking the source for them would
// bring the same answer again and again.
func Computed(schema *syncline.Schema, column int) *syncline.Error {
	c := &schema.Columns[column]
	return syncline.Errorf(syncline.Fatal, "column_computed", "column %q of %s is computed by the source, which does not send it", c.Name, schema.Entity).
		WithFix("use the columns that it is computed from: %s", c.Generated)
}

// place is where the expression refers to something: line and column from 1.
func (p *Program) place(r ref) string {
	at := (&file.Error{Location: r.at}).Bind(file.NewSource(p.source))
	return fmt.Sprintf("%d:%d", max(at.Line, 1), at.Column+1)
}

func (p *Program) unknownColumn(r ref, schema *syncline.Schema) error {
	e := syncline.Errorf(syncline.Fatal, "unknown_column", "%s has no column %q (expression %s)", schema.Entity, r.field, p.place(r))
	for i := range schema.Columns {
		if strings.EqualFold(schema.Columns[i].Name, r.field) {
			return e.WithFix("write it as %q", schema.Columns[i].Name)
		}
	}
	names := make([]string, 0, len(schema.Columns))
	for i := range schema.Columns {
		if name := schema.Columns[i].Name; name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return e.WithFix("it has %s", strings.Join(names, ", "))
}

// Kind is what can be told of the result without evaluating; KindNull = nothing.
func (b *Bound) Kind() syncline.Kind { return b.kind }

// Value evaluates. What goes wrong is a rejected error without any value of the record, or an *UnsetError.
func (b *Bound) Value(in *Input) (syncline.Value, error) {
	if b.direct != nil {
		row, present, err := b.direct.row(in)
		if err != nil || !present {
			return syncline.Null, err
		}
		if row[b.direct.column].IsUnset() {
			return syncline.Null, &UnsetError{b.direct.field}
		}
		return row[b.direct.column], nil
	}
	v, err := b.run(in)
	if err != nil {
		return syncline.Null, err
	}
	stored, err := store(&b.meter, v)
	if err != nil {
		return syncline.Null, b.failed(err, 0, 0)
	}
	return stored, nil
}

// True evaluates a condition: null is false, and anything but true and false is an error.
func (b *Bound) True(in *Input) (bool, error) {
	v, err := b.run(in)
	if err != nil {
		return false, err
	}
	switch v := v.(type) {
	case nil:
		return false, nil
	case bool:
		return v, nil
	}
	return false, b.failed(b.meter.errorf("a condition must be true or false, not %s", typeName(v)), 0, 0)
}

func (b *Bound) run(in *Input) (any, error) {
	b.meter.work = 0
	for i := range b.loads {
		v, err := b.loads[i].value(in)
		if err != nil {
			return nil, err
		}
		b.env[b.loads[i].name] = v
	}
	v, err := b.vm.Run(b.program.code, b.env)
	if err == nil {
		return v, nil
	}
	line, column := 0, 0
	var at *file.Error
	if errors.As(err, &at) {
		line, column = at.Line, at.Column+1
	}
	return nil, b.failed(err, line, column)
}

// failed makes the error of an evaluation. Only our own messages are passed on: those of the virtual machine may show values.
func (b *Bound) failed(err error, line, column int) error {
	message := "an operation does not fit its operands, or needs too much memory"
	var own *evalError
	if errors.As(err, &own) {
		message = own.message
	}
	if line > 0 {
		return syncline.Errorf(syncline.Rejected, "expression_failed", "%s (expression %d:%d)", message, line, column)
	}
	return syncline.Errorf(syncline.Rejected, "expression_failed", "%s", message)
}

// row returns the row of the load's side, and whether there is one. That an update was sent without its before image does not
// mean that there was none.
func (l *loading) row(in *Input) ([]syncline.Value, bool, error) {
	if l.side == "after" {
		return in.After, in.After != nil, nil
	}
	if in.Before == nil && in.Batch != nil {
		switch in.Batch.Events[in.Index].Op {
		case syncline.OpUpdated, syncline.OpArchived, syncline.OpMerged, syncline.OpDeleted:
			return nil, false, &UnsetError{l.missing()}
		}
	}
	return in.Before, in.Before != nil, nil
}

// missing names a column of a row that was not sent.
func (l *loading) missing() string {
	if l.field != "" || len(l.schema.Columns) == 0 {
		return l.field
	}
	return l.schema.Columns[0].Name
}

func (l *loading) value(in *Input) (any, error) {
	if l.side == "event" {
		return eventField(in, l.field), nil
	}
	row, present, err := l.row(in)
	switch {
	case err != nil:
		return nil, err
	case l.what == accessIs:
		return present, nil
	case !present:
		return nil, nil
	case l.what == accessField && l.column < 0:
		return nil, l.absent(in)
	case l.what == accessField:
		return l.cell(row, l.column)
	}
	record := make(map[string]any, len(l.schema.Columns))
	for i := range l.schema.Columns {
		if c := &l.schema.Columns[i]; c.Name == "" || c.Generated != "" {
			continue
		}
		if record[l.schema.Columns[i].Name], err = l.cell(row, i); err != nil {
			return nil, err
		}
	}
	return record, nil
}

// absent is the error of a column that an open schema does not have; none where the event has the whole record.
func (l *loading) absent(in *Input) error {
	if in.Batch != nil && in.Batch.Events[in.Index].Op == syncline.OpCreated {
		return nil
	}
	return &UnsetError{l.field}
}

func (l *loading) cell(row []syncline.Value, i int) (any, error) {
	c := &l.schema.Columns[i]
	if row[i].IsUnset() {
		return nil, &UnsetError{c.Name}
	}
	v, err := load(row[i], c.Elem)
	if err != nil {
		return nil, syncline.Errorf(syncline.Rejected, "bad_value", "read column %s as %s: %w", c.Name, row[i].Kind(), errInvalid)
	}
	return v, nil
}

func eventField(in *Input, name string) any {
	e := &in.Batch.Events[in.Index]
	meta := e.Meta
	if meta == nil {
		meta = &noMeta
	}
	switch name {
	case "id":
		return in.Batch.EventID(in.Index)
	case "op":
		return e.Op.String()
	case "entity":
		return e.Schema.Entity
	case "source":
		return in.Batch.Source
	case "key":
		if key, ok := e.Key(); ok {
			return string(key)
		}
		return nil
	case "time":
		t := in.Batch.TimeOf(in.Index)
		if t.IsZero() {
			return nil
		}
		return moment{kind: syncline.KindTimestampTZ, t: t.UTC()}
	case "priority":
		return e.Priority().String()
	case "changed":
		names := []any{}
		for i := range e.Schema.Columns {
			if e.Changed(i) {
				names = append(names, e.Schema.Columns[i].Name)
			}
		}
		return names
	case "tags":
		tags := make([]any, len(meta.Tags))
		for i, t := range meta.Tags {
			tags[i] = t
		}
		return tags
	case "version":
		if meta.Version == 0 {
			return nil
		}
		return int(meta.Version)
	case "origin":
		if e.Txn < len(in.Batch.Txns) {
			return orNull(in.Batch.Txns[e.Txn].Origin)
		}
		return nil
	case "correlation":
		return orNull(meta.Correlation)
	case "user":
		return orNull(meta.User)
	case "session":
		return orNull(meta.Session)
	case "reason":
		return orNull(meta.Reason)
	}
	return orNull(string(meta.Into))
}

var noMeta syncline.Meta

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}
