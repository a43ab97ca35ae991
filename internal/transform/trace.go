package transform

import (
	"context"

	"syncline"
	"syncline/internal/expression"
)

// stage is what a step has made of a record.
type stage struct {
	step   int
	kind   string
	schema *syncline.Schema
	gather []int
	ops    int // how many operations there are up to its end
}

// stage takes down what the record looks like after the step that was bound last.
func (l *layout) stage() stage {
	s := stage{step: l.step, kind: l.kind, ops: len(l.ops), gather: make([]int, len(l.fields)),
		schema: &syncline.Schema{Entity: l.in.Entity, Table: l.in.Table, Version: -1, Columns: make([]syncline.Column, len(l.fields))}}
	keys := make(map[int]int)
	for i, f := range l.fields {
		s.schema.Columns[i], s.gather[i] = f.Column, f.register
		if f.key >= 0 {
			keys[f.key] = i
		}
	}
	for k := range len(keys) {
		s.schema.Key = append(s.schema.Key, keys[k])
	}
	return s
}

// StepResult is what one step has made of an event's record.
type StepResult struct {
	// Step counts from 1.
	Step int
	Kind string
	// Records are what there is after the step: one record, or its children behind a split; none where it was left out.
	Records []syncline.Row
	// Err is why the step made nothing, as Plan.Apply returns it. No step follows.
	Err error
}

// Trace makes the record that the event leaves, as ApplyAll does, and calls each with what every step has made of it, in order. It ends
// with the step that leaves the record out or fails. The error is that of an asker. It is for looking at a few records: it is slow.
func (p *Plan) Trace(ctx context.Context, at At, askers map[int]Asker, each func(StepResult)) error {
	e := &at.Batch.Events[at.Index]
	r, err := p.trace(ctx, at, e.After, e.Before, askers, func(s StepResult, _ *stage) { each(s) })
	if err != nil || r == nil || p.children == nil {
		return err
	}
	return p.children.trace(ctx, at, r, each)
}

// trace returns the record that comes out, nil where there is none.
func (p *Plan) trace(ctx context.Context, at At, after, before []syncline.Value, askers map[int]Asker, each func(StepResult, *stage)) ([]syncline.Value, error) {
	rows := []registers{{values: make([]syncline.Value, p.registers)}}
	r := &rows[0]
	for i := copy(r.values, after); i < p.registers; i++ {
		r.values[i] = syncline.Unset
	}
	r.input = expression.Input{Batch: at.Batch, Index: at.Index, After: r.values, Before: before}
	done := 0
	for s := range p.stages {
		st := &p.stages[s]
		result := StepResult{Step: st.step + 1, Kind: st.kind}
		keep := true
		for ; done < st.ops && keep && result.Err == nil; done++ {
			op := &p.ops[done]
			if op.asks == nil {
				var err error
				if keep, err = op.run(r); err != nil {
					result.Err = p.failed(op, err)
				}
				continue
			}
			made := make([]Made, 1)
			live, err := p.ask(ctx, op, askers[op.asks.step], rows, []int{0}, made)
			if err != nil {
				return nil, err
			}
			keep, result.Err = len(live) > 0, made[0].Err
		}
		if keep && result.Err == nil {
			result.Records = []syncline.Row{{Schema: st.schema, Values: gathered(r.values, st.gather)}}
		}
		each(result, st)
		if result.Records == nil {
			return nil, nil
		}
	}
	return gathered(r.values, p.gather), nil
}

func gathered(values []syncline.Value, gather []int) []syncline.Value {
	out := make([]syncline.Value, len(gather))
	for i, r := range gather {
		out[i] = values[r]
	}
	return out
}

// trace follows all children through the steps behind the split.
func (c *Children) trace(ctx context.Context, at At, parent []syncline.Value, each func(StepResult)) error {
	result := StepResult{Step: c.step + 1, Kind: "split"}
	list, fault := c.list(at.Batch, at.Index, parent)
	if fault == nil {
		_, fault = c.Rows(at.Batch, at.Index, parent) // two of one key
	}
	for n, element := range list {
		row, name, bad := c.row(parent, element, n)
		if bad != nil {
			fault = c.failed(bad, name)
			break
		}
		result.Records = append(result.Records, syncline.Row{Schema: c.in, Values: row})
	}
	later := make([]StepResult, len(c.plan.stages))
	for i := range later {
		later[i] = StepResult{Step: c.plan.stages[i].step + 1, Kind: c.plan.stages[i].kind}
	}
	for _, child := range result.Records {
		n := 0
		if _, asked := c.plan.trace(ctx, at, child.Values, nil, nil, func(s StepResult, _ *stage) {
			later[n].Records = append(later[n].Records, s.Records...)
			if later[n].Err == nil {
				later[n].Err = s.Err
			}
			n++
		}); asked != nil {
			return asked
		}
	}
	failed := false
	for i := range later {
		if later[i].Err != nil {
			failed, later[i].Records = true, nil // one child that fails parks the parent
		}
	}
	if fault != nil && !failed {
		result.Err, result.Records, later = c.failed(fault, ""), nil, nil
	}
	if each(result); len(result.Records) == 0 {
		return nil
	}
	for _, s := range later {
		if each(s); len(s.Records) == 0 {
			return nil
		}
	}
	return nil
}
