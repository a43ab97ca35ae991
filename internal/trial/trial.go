// Package trial gives a rule one event and tells what comes of it: which conditions hold, and what the record is after every step. It is
// how rules are tested beside where they are written, and tried on an event at hand, without a source and without a target.
package trial

import (
	"context"
	"fmt"
	"slices"
	"time"

	"syncline"
	"syncline/internal/expression"
	"syncline/internal/rule"
	"syncline/internal/transform"
)

// Rule is what is tried.
type Rule struct {
	ID     string
	Source string
	Entity string
	// Key names the fields of the identity; empty = the event's, else `id`, else the first field.
	Key   []string
	Match rule.Spec
	Steps []transform.Step
	// Askers answer the steps that ask outside, by number.
	Askers map[int]transform.Asker
}

// Event is what happens. No source tells what its columns are: the fields that are given are all there are, each of the kind that it is
// written in, or of that which Types names.
type Event struct {
	Op            syncline.Op
	Before, After []Field
	Key           []string
	Types         []Type
	Time          time.Time
	Meta          syncline.Meta
}

// Field is one field of a record.
type Field struct {
	Name  string
	Value syncline.Value
}

// Type is the kind of a field.
type Type struct {
	Name string
	Kind syncline.Kind
}

// Check is one condition of the rule on the event.
type Check struct {
	What  string
	Holds bool
	// Event: it is about the event (its priority, its kind). Changed: it is about what changed. Where these do not hold, the event is left
	// out and the record stays; where another one does not, the record leaves.
	Event, Changed bool
	// Err is why it could not be told.
	Err error
}

// Outcome is what came of an event.
type Outcome struct {
	// Checks are the rule's conditions, in the order in which they are written.
	Checks []Check
	// Matched: all of them hold. Without that no step is taken.
	Matched bool
	// Input is the record as it came.
	Input syncline.Row
	Steps []transform.StepResult
	// Records are what the target gets; none where the record was left out, or is removed.
	Records []syncline.Row
	// Removed: the event takes the record away, and Records are empty.
	Removed bool
	// Err is why there are none: of a condition or a step.
	Err error
}

// Run tries the rule on the event. The error is of a rule that does not fit the event's fields, or of an event that is none; what goes
// wrong with the record is in the Outcome.
func Run(ctx context.Context, r Rule, e Event) (*Outcome, error) {
	batch, err := e.batch(r)
	if err != nil {
		return nil, err
	}
	return On(ctx, r, transform.At{Batch: batch})
}

// On tries the rule on an event as its source sent it. The errors are those of Run.
func On(ctx context.Context, r Rule, at transform.At) (*Outcome, error) {
	ev := &at.Batch.Events[at.Index]
	out := &Outcome{Input: ev.Row()}
	steps, err := transform.Compile(r.Steps)
	if err != nil {
		return nil, err
	}
	plan, err := steps.Bind(ev.Schema)
	if err != nil {
		return nil, err
	}
	if out.Checks, err = checks(r.Match, plan.FilterColumns(), at); err != nil {
		return nil, err
	}
	out.Matched = true
	for _, c := range out.Checks {
		out.Matched = out.Matched && c.Holds
		if out.Err == nil {
			out.Err = c.Err
		}
	}
	if ev.After == nil {
		// Conditions never keep a record that is gone.
		out.Removed, out.Err, out.Matched = true, nil, true
	}
	if out.Removed || !out.passes() {
		return out, nil
	}
	if err := plan.Trace(ctx, at, r.Askers, func(s transform.StepResult) { out.Steps = append(out.Steps, s) }); err != nil {
		return nil, err
	}
	if n := len(out.Steps); n == 0 {
		out.Records = []syncline.Row{out.Input}
	} else {
		out.Records, out.Err = out.Steps[n-1].Records, out.Steps[n-1].Err
	}
	return out, nil
}

// passes reports whether the steps are taken.
func (o *Outcome) passes() bool { return o.Matched && o.Err == nil }

// batch makes the event.
func (e *Event) batch(r Rule) (*syncline.Batch, error) {
	s := &syncline.Schema{Entity: r.Entity, Version: -1}
	for _, side := range [][]Field{e.Before, e.After} {
		for _, f := range side {
			if s.Index(f.Name) < 0 {
				s.Columns = append(s.Columns, syncline.Column{Name: f.Name, Kind: f.Value.Kind(), Nullable: true})
			}
		}
	}
	if len(s.Columns) == 0 {
		return nil, syncline.Errorf(syncline.Rejected, "bad_event", "the event has no record").WithFix("after: {id: 1, …}, and before: for what was there")
	}
	for _, t := range e.Types {
		at := s.Index(t.Name)
		if at < 0 {
			return nil, syncline.Errorf(syncline.Rejected, "bad_event", "types names a field %q that the event does not have", t.Name)
		}
		s.Columns[at].Kind = t.Kind
	}
	names := r.Key
	if len(names) == 0 {
		names = e.Key
	}
	switch {
	case len(names) > 0:
	case s.Index("id") >= 0:
		names = []string{"id"}
	default:
		names = []string{s.Columns[0].Name}
	}
	for _, name := range names {
		at := s.Index(name)
		if at < 0 {
			return nil, syncline.Errorf(syncline.Rejected, "bad_event", "the event does not have the field %q, which is part of the key", name)
		}
		s.Key = append(s.Key, at)
	}
	meta := e.Meta
	ev := syncline.Event{Op: e.Op, Schema: s, Ordinal: 1, Meta: &meta}
	if ev.Op == 0 {
		ev.Op = syncline.OpUpdated
		switch {
		case e.Before == nil:
			ev.Op = syncline.OpCreated
		case e.After == nil:
			ev.Op = syncline.OpDeleted
		}
	}
	var err error
	if ev.Before, err = e.row(s, e.Before, false); err != nil {
		return nil, err
	}
	if ev.After, err = e.row(s, e.After, ev.Op == syncline.OpCreated || ev.Op == syncline.OpSnapshot || ev.Op == syncline.OpRepair); err != nil {
		return nil, err
	}
	if ev.Op == syncline.OpDeleted && ev.Before == nil {
		ev.Before, ev.After = ev.After, nil
	}
	return &syncline.Batch{Source: r.Source, Position: syncline.Position{Epoch: 1, Commit: 1, Ordinal: 1},
		Txns: []syncline.Txn{{Commit: 1, Time: e.Time}}, Events: []syncline.Event{ev}}, nil
}

// row makes a record; what is not given is null in a whole one, and was not sent in another.
func (e *Event) row(s *syncline.Schema, fields []Field, whole bool) ([]syncline.Value, error) {
	if fields == nil {
		return nil, nil
	}
	row := make([]syncline.Value, len(s.Columns))
	for i := range row {
		if row[i] = syncline.Unset; whole {
			row[i] = syncline.Null
		}
	}
	for _, f := range fields {
		v := f.Value
		at := s.Index(f.Name)
		if slices.ContainsFunc(e.Types, func(t Type) bool { return t.Name == f.Name }) {
			var err error
			if v, err = expression.Convert(v, syncline.KindNull, s.Columns[at].Kind); err != nil {
				return nil, syncline.Errorf(syncline.Rejected, "bad_event", "the field %s: %w", f.Name, err)
			}
		}
		row[at] = v
	}
	return row, nil
}

// checks looks at each part of the rule's match by itself; only at what changed together with the others, since a record that they did
// not hold for before is wanted whatever changed, as is one of which a column of the filters changed.
func checks(spec rule.Spec, filters []int, at transform.At) ([]Check, error) {
	var list []Check
	ev := &at.Batch.Events[at.Index]
	one := func(what string, s rule.Spec) error {
		r, err := rule.Compile(s)
		if err != nil {
			return err
		}
		m, err := r.Bind(ev.Schema)
		if err != nil {
			return err
		}
		c := Check{What: what, Event: s.MinPriority != nil || len(s.Ops) > 0, Changed: len(s.OnlyIfChanged) > 0}
		switch {
		case len(s.OnlyIfChanged) > 0:
			m.Watch(filters)
			var same bool
			same, c.Err = m.Unchanged(at.Batch, at.Index)
			c.Holds = c.Err == nil && !same
		case !m.Admits(ev):
		default:
			c.Holds, c.Err = m.Match(at.Batch, at.Index)
		}
		list = append(list, c)
		return nil
	}
	if spec.MinPriority != nil {
		if err := one("min_priority: "+spec.MinPriority.String(), rule.Spec{MinPriority: spec.MinPriority}); err != nil {
			return nil, err
		}
	}
	if len(spec.Ops) > 0 {
		if err := one(fmt.Sprintf("ops: %v", spec.Ops), rule.Spec{Ops: spec.Ops}); err != nil {
			return nil, err
		}
	}
	for _, c := range spec.Conditions {
		what := c.Field + " " + string(c.Operator)
		for i, v := range c.Values {
			if i > 0 {
				what += ","
			}
			what += " " + shown(v)
		}
		if err := one(what, rule.Spec{Conditions: []rule.Condition{c}}); err != nil {
			return nil, err
		}
	}
	if spec.When != "" {
		if err := one("when: "+spec.When, rule.Spec{When: spec.When}); err != nil {
			return nil, err
		}
	}
	if len(spec.OnlyIfChanged) > 0 {
		if err := one(fmt.Sprintf("only_if_changed: %v", spec.OnlyIfChanged),
			rule.Spec{Conditions: spec.Conditions, When: spec.When, OnlyIfChanged: spec.OnlyIfChanged}); err != nil {
			return nil, err
		}
	}
	return list, nil
}
