package transform

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"syncline"
	"syncline/internal/expression"
)

// Plan is a transform bound to a schema. It is used by one goroutine at a time.
type Plan struct {
	in, out   *syncline.Schema
	ops       []operation
	registers int
	// gather is the register of each column that comes out.
	gather []int
	// leftOut are the generated columns that do not come out.
	leftOut []string
	// identity: the columns that come out are the source's, in their order.
	identity bool
	// keyOps are the operations that the key depends on.
	keyOps  []operation
	scratch registers
	// stages are what the record looks like after each step, for Trace.
	stages []stage
	// children is set where the records are split.
	children *Children
}

// registers is a row in the making.
type registers struct {
	values []syncline.Value
	input  expression.Input
}

// Out returns the schema of the records that come out; the very schema that went in where nothing changes.
func (p *Plan) Out() *syncline.Schema { return p.out }

// LeftOut returns the source's generated columns that no step removes and that do not come out all the same: nobody sends their
// values, and the target gets other records than their expressions speak of.
func (p *Plan) LeftOut() []string { return p.leftOut }

// Children makes the records that come out where a step splits those of Out; nil where none does.
func (p *Plan) Children() *Children { return p.children }

// Identity reports whether every record comes out as it went in, and all of them do.
func (p *Plan) Identity() bool { return p.identity && len(p.ops) == 0 }

// Apply makes the record that the i-th event leaves; keep is false where a step filtered it. The values are written to dst
// if it is large enough; where there is nothing to do they are the event's own. A column that was not sent comes out unset, and
// an expression that needs one ends in an expression.ErrUnset that names the source's column. Any other error is rejected and
// names the step and the field.
func (p *Plan) Apply(b *syncline.Batch, i int, dst []syncline.Value) (values []syncline.Value, keep bool, err error) {
	e := &b.Events[i]
	return p.apply(b, i, e.After, e.Before, dst)
}

// apply is Apply for a row that the event has led to.
func (p *Plan) apply(b *syncline.Batch, i int, row, before, dst []syncline.Value) (values []syncline.Value, keep bool, err error) {
	if p.Identity() {
		return row, true, nil
	}
	p.begin(row)
	p.scratch.input.Batch, p.scratch.input.Index, p.scratch.input.Before = b, i, before
	for o := range p.ops {
		keep, err := p.ops[o].run(&p.scratch)
		if err != nil {
			return nil, false, p.failed(&p.ops[o], err)
		}
		if !keep {
			return nil, false, nil
		}
	}
	if p.identity {
		return row, true, nil
	}
	return p.collect(dst), true, nil
}

// Before makes the record that was there before the i-th event, as far as it was sent; nil where it was not. Filters do not
// apply to it. What a step cannot make of it is unset: the event that corrects a record is not to fail for what it corrects. The values
// are new, or the event's own where there is nothing to do.
func (p *Plan) Before(b *syncline.Batch, i int) []syncline.Value {
	e := &b.Events[i]
	if e.Before == nil || p.Identity() {
		return e.Before
	}
	p.begin(e.Before)
	p.scratch.input.Batch, p.scratch.input.Index, p.scratch.input.Before = b, i, e.Before
	for o := range p.ops {
		to := p.ops[o].writes
		if to < 0 {
			continue
		}
		if _, err := p.ops[o].run(&p.scratch); err != nil {
			p.scratch.values[to] = syncline.Unset // it may have the value that the step was to hide
		}
	}
	return p.collect(nil)
}

// Key makes, from a source row that may have no more than its key, a record with the target's key; the other columns are as
// far as they can be told without computing. It is the row itself where nothing changes.
func (p *Plan) Key(row []syncline.Value) ([]syncline.Value, error) {
	if p.Identity() {
		return row, nil
	}
	p.begin(row)
	for o := range p.keyOps {
		if _, err := p.keyOps[o].run(&p.scratch); err != nil {
			return nil, p.failed(&p.keyOps[o], err)
		}
	}
	return p.collect(nil), nil
}

// KeyMapping describes how the target's key is made of the source's; "" where there is no key. A transform with another one gives
// the same records other keys.
func (p *Plan) KeyMapping() string {
	made := make(map[int]string, len(p.keyOps))
	of := func(register int) string {
		if register < len(p.in.Columns) {
			return p.in.Columns[register].Name
		}
		return made[register]
	}
	for _, op := range p.keyOps {
		var from []string
		for _, r := range op.reads {
			from = append(from, of(r))
		}
		made[op.writes] = fmt.Sprintf("%q of %s", op.formula, strings.Join(from, ", "))
		if op.formula == "" {
			made[op.writes] = of(op.reads[0])
		}
	}
	parts := make([]string, len(p.out.Key))
	for i, c := range p.out.Key {
		parts[i] = p.out.Columns[c].Name + " = " + of(p.gather[c])
	}
	mapping := strings.Join(parts, "; ")
	if p.children != nil {
		mapping += p.children.keyMapping()
	}
	return mapping
}

// begin fills the registers with a source row; those to be computed are unset.
func (p *Plan) begin(row []syncline.Value) {
	r := &p.scratch
	if r.values == nil {
		r.values = make([]syncline.Value, p.registers)
	}
	n := copy(r.values, row)
	for i := n; i < p.registers; i++ {
		r.values[i] = syncline.Unset
	}
	r.input = expression.Input{After: r.values}
}

// collect returns the columns that come out.
func (p *Plan) collect(dst []syncline.Value) []syncline.Value {
	if cap(dst) < len(p.gather) {
		dst = make([]syncline.Value, len(p.gather))
	}
	dst = dst[:len(p.gather)]
	for i, r := range p.gather {
		dst[i] = p.scratch.values[r]
	}
	return dst
}

func (p *Plan) failed(op *operation, err error) error {
	var unset *expression.UnsetError
	if errors.As(err, &unset) {
		if source, ok := op.sources[unset.Column]; ok {
			return &expression.UnsetError{Column: source}
		}
		return unset
	}
	return stepError(syncline.Rejected, "transform_failed", op.step, op.kind, op.field, err)
}

// planKey finds the operations that the key depends on, and refuses a key that depends on more than the key.
func (p *Plan) planKey() error {
	var needed []int
	for _, c := range p.out.Key {
		needed = append(needed, p.gather[c])
	}
	for o := len(p.ops) - 1; o >= 0; o-- {
		op := p.ops[o]
		if op.writes < 0 || !slices.Contains(needed, op.writes) {
			continue
		}
		outside := slices.ContainsFunc(op.reads, func(r int) bool { return r < len(p.in.Columns) && !slices.Contains(p.in.Key, r) })
		if !op.recordOnly || outside {
			return syncline.Errorf(syncline.Fatal, "bad_key", "step %d (%s %s): the key would depend on more than the key of %s",
				op.step+1, op.kind, op.field, p.in.Entity).WithFix("compute key columns from key columns only, or set another column")
		}
		needed = append(needed, op.reads...)
		p.keyOps = append(p.keyOps, op)
	}
	for _, r := range needed {
		if field, ok := p.fromOutside(r); ok {
			return syncline.Errorf(syncline.Fatal, "bad_key", "the key of %s would depend on %s, which comes from outside", p.in.Entity, field).
				WithFix("compute key columns from key columns only, or write another column")
		}
	}
	slices.Reverse(p.keyOps)
	return nil
}
