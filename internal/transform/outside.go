package transform

import (
	"context"
	"errors"
	"slices"

	"syncline"
	"syncline/internal/expression"
)

// Some steps need what no expression has: a script runs in a process of its own, an enrichment asks a database. They are declared and
// bound like all others, so that the shape of what comes out is known before anything is asked; what they ask is put to an Asker,
// for many records at once (Plan.ApplyAll). The key of a record never depends on them.

// Asker answers what one step asks.
type Asker interface {
	// Ask sets, of each Ask, Out, or Drop, Err or Later; Later not of all of them. It may block. An error is no record's fault: it
	// concerns all of them.
	Ask(ctx context.Context, asks []*Ask) error
}

// Ask is what a step wants to know of one record.
type Ask struct {
	Batch *syncline.Batch
	Index int
	// Record is the record as the steps above left it.
	Record syncline.Row
	// Key is the value of an enrichment's key.
	Key syncline.Value

	// Out has a value for each of the step's fields. Unset leaves the field as it was.
	Out []syncline.Value
	// Drop leaves the record out.
	Drop bool
	// Later: there was no time for it. It is asked again, with what comes next.
	Later bool
	// Err is why there is no answer: an expression.ErrUnset where a field is needed that was not sent, or a *syncline.Error, which is
	// transient where the answer may come by itself.
	Err error
}

// Output is a field that a step which asks outside writes.
type Output struct {
	Field string `json:"field"`
	// Kind is what its values are; KindNull = what they were before, where the record has the field.
	Kind syncline.Kind `json:"kind,omitempty"`
}

// At is one event of a batch.
type At struct {
	Batch *syncline.Batch
	Index int
}

// Made is the record that an event leaves.
type Made struct {
	Values []syncline.Value
	// Keep is false where a step filtered it.
	Keep bool
	// Err is as Plan.Apply returns it.
	Err error
	// Later: a step had no time for the record, which has to be made anew.
	Later bool
}

// asking is a step that asks outside.
type asking interface {
	Step
	// Outputs are the fields that it writes.
	Outputs() []Output
}

// question is what an operation asks.
type question struct {
	step   int
	shape  *syncline.Schema // of Ask.Record
	gather []int            // the register of each of its columns
	key    *expression.Bound
	outs   []answerTo
}

// answerTo is where an answer goes.
type answerTo struct {
	field string
	from  int // the register of the field as it was, -1 = it was not there
	to    int
	kind  syncline.Kind
	elem  syncline.Kind
}

// Steps returns the steps that ask outside by their numbers from 0; nil where there is none.
func (t *Transform) Steps() map[int]Step {
	return t.outside
}

// errAsks is of an event that was applied by itself.
var errAsks = errors.New("the transform has steps that ask outside: their records are made by ApplyAll")

// Asks reports whether records are made by ApplyAll.
func (p *Plan) Asks() bool {
	return slices.ContainsFunc(p.ops, func(o operation) bool { return o.asks != nil })
}

// Outside returns the columns that come out whose values are from outside, as they are or computed from one.
func (p *Plan) Outside() []string {
	from := make(map[int]bool)
	for _, op := range p.ops {
		if op.asks != nil {
			for _, a := range op.asks.outs {
				from[a.to] = true
			}
		} else if op.writes >= 0 && slices.ContainsFunc(op.reads, func(r int) bool { return from[r] }) {
			from[op.writes] = true
		}
	}
	var names []string
	for i, r := range p.gather {
		if from[r] {
			names = append(names, p.out.Columns[i].Name)
		}
	}
	return names
}

// ApplyAll is Apply for many events, each of which has an After. askers are those of the steps that ask, by step. An error is no
// event's fault. The plan must not be used for anything else meanwhile.
func (p *Plan) ApplyAll(ctx context.Context, events []At, askers map[int]Asker) ([]Made, error) {
	made := make([]Made, len(events))
	rows := make([]registers, len(events))
	live := make([]int, 0, len(events))
	for i, at := range events {
		e := &at.Batch.Events[at.Index]
		rows[i].values = make([]syncline.Value, p.registers)
		for r := copy(rows[i].values, e.After); r < p.registers; r++ {
			rows[i].values[r] = syncline.Unset
		}
		rows[i].input = expression.Input{Batch: at.Batch, Index: at.Index, After: rows[i].values, Before: e.Before}
		live = append(live, i)
	}
	for o := range p.ops {
		op := &p.ops[o]
		if op.asks == nil {
			live = slices.DeleteFunc(live, func(i int) bool {
				keep, err := op.run(&rows[i])
				if err != nil {
					made[i].Err = p.failed(op, err)
				}
				return err != nil || !keep
			})
			continue
		}
		var err error
		if live, err = p.ask(ctx, op, askers[op.asks.step], rows, live, made); err != nil {
			return nil, err
		}
	}
	for _, i := range live {
		out := make([]syncline.Value, len(p.gather))
		for c, r := range p.gather {
			out[c] = rows[i].values[r]
		}
		made[i] = Made{Values: out, Keep: true}
	}
	return made, nil
}

// ask puts an operation's question for the live rows, and returns those that go on.
func (p *Plan) ask(ctx context.Context, op *operation, asker Asker, rows []registers, live []int, made []Made) ([]int, error) {
	q := op.asks
	asks := make([]*Ask, 0, len(live))
	live = slices.DeleteFunc(live, func(i int) bool {
		a := &Ask{Batch: rows[i].input.Batch, Index: rows[i].input.Index, Record: syncline.Row{Schema: q.shape, Values: make([]syncline.Value, len(q.gather))}}
		for c, r := range q.gather {
			a.Record.Values[c] = rows[i].values[r]
		}
		if q.key != nil {
			var err error
			if a.Key, err = q.key.Value(&rows[i].input); err != nil {
				made[i].Err = p.failed(op, err)
				return true
			}
		}
		asks = append(asks, a)
		return false
	})
	if len(asks) == 0 {
		return live, nil
	}
	if err := asker.Ask(ctx, asks); err != nil {
		return nil, err
	}
	n := -1
	return slices.DeleteFunc(live, func(i int) bool {
		n++
		a := asks[n]
		if made[i].Later = a.Later; a.Later {
			return true
		}
		if a.Err == nil && !a.Drop {
			a.Err = q.take(a, &rows[i])
		}
		if a.Err != nil {
			made[i].Err = p.unanswered(op, a.Err)
		}
		return a.Err != nil || a.Drop
	}), nil
}

// take puts an answer into the registers.
func (q *question) take(a *Ask, r *registers) error {
	for i, out := range q.outs {
		v := a.Out[i]
		if v.IsUnset() && out.from >= 0 {
			v = r.values[out.from]
		}
		if v.Kind() != out.kind {
			converted, err := expression.Convert(v, out.elem, out.kind)
			if err != nil {
				return syncline.Errorf(syncline.Rejected, "transform_failed", "field %s: %v", out.field, err)
			}
			v = converted
		}
		r.values[out.to] = v
	}
	return nil
}

// unanswered says where there was no answer; class and code are the answer's own.
func (p *Plan) unanswered(op *operation, err error) error {
	var e *syncline.Error
	if errors.Is(err, expression.ErrUnset) || !errors.As(err, &e) {
		return p.failed(op, err)
	}
	return stepError(e.Class, e.Code, op.step, op.kind, op.field, err)
}

// ask adds an operation that asks outside. key may be nil.
func (l *layout) ask(outputs []Output, key *expression.Bound, reads []int) error {
	q := &question{step: l.step, key: key, shape: &syncline.Schema{Entity: l.in.Entity, Table: l.in.Table, Version: -1}}
	for _, f := range l.fields {
		if f.Generated == "" {
			q.shape.Columns, q.gather = append(q.shape.Columns, f.Column), append(q.gather, f.register)
		}
	}
	op := operation{asks: q, writes: -1, reads: reads, sources: l.sources(), step: l.step, kind: l.kind}
	op.run = func(*registers) (bool, error) { return false, errAsks }
	for _, o := range outputs {
		at := l.index(o.Field)
		column := syncline.Column{Name: o.Field, Kind: o.Kind, Nullable: true}
		out := answerTo{field: o.Field, from: -1, to: len(l.origins)}
		if at >= 0 {
			f := &l.fields[at]
			if f.key >= 0 {
				return syncline.Errorf(syncline.Fatal, "bad_key", "%s is part of the key of %s, which cannot come from outside", o.Field, l.in.Entity).
					WithFix("write another field, or compute the key with set")
			}
			out.from = f.register
			if o.Kind == syncline.KindNull || o.Kind == f.Kind {
				column = f.Column
				column.Nullable, column.Generated = true, ""
			}
		}
		if column.Kind == syncline.KindNull {
			if !l.open {
				return syncline.Errorf(syncline.Fatal, "unknown_column", "%s has no column %q at this step", l.in.Entity, o.Field).
					WithFix("say of which kind it is: %s: text", o.Field)
			}
			column.Kind = syncline.KindText
		}
		out.kind, out.elem = column.Kind, column.Elem
		l.origins = append(l.origins, "")
		q.outs = append(q.outs, out)
		if at >= 0 {
			l.fields[at].Column, l.fields[at].register = column, out.to
		} else {
			l.fields = append(l.fields, field{Column: column, register: out.to, key: -1})
		}
	}
	l.ops = append(l.ops, op)
	return nil
}

// fromOutside returns the field whose answer the register holds.
func (p *Plan) fromOutside(register int) (field string, ok bool) {
	for _, op := range p.ops {
		if op.asks == nil {
			continue
		}
		for _, a := range op.asks.outs {
			if a.to == register {
				return a.field, true
			}
		}
	}
	return "", false
}

// checkOutputs returns an error where a step's fields cannot be.
func checkOutputs(outputs []Output) error {
	for i, o := range outputs {
		if err := named(o.Field); err != nil {
			return err
		}
		if slices.ContainsFunc(outputs[:i], func(p Output) bool { return p.Field == o.Field }) {
			return syncline.Errorf(syncline.Fatal, "bad_step", "%s is written twice", o.Field)
		}
		if err := makes(o.Field, o.Kind); err != nil {
			return err
		}
	}
	return nil
}
