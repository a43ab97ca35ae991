package apply

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"syncline"
	"syncline/internal/conflict"
	"syncline/internal/document"
	"syncline/internal/state"
)

// judged is what a plan must remember of a change for the sake of conflicts.
type judged struct {
	// rule is nil where the rule has no conflict section.
	rule *bound
	// base is what the first event in the change replaced, as far as it tells.
	base []syncline.Value
}

// judge notes the change at this place. The first event in it tells what the change replaces.
func (p *plan) judge(at int32, it item) {
	for len(p.judged) <= int(at) {
		p.judged = append(p.judged, judged{})
	}
	j := &p.judged[at]
	first := j.rule == nil
	j.rule = it.rule
	ev := it.event()
	if !first || ev.Before == nil {
		return
	}
	if it.rule.binding.Before == nil {
		j.base = ev.Before
		return
	}
	if before, err := it.rule.binding.Before(it.e.batch, it.i); err == nil { // else it does not tell
		j.base = before
	}
}

// decider decides about the changes of one plan, for Write.Decide. It touches nothing of the machine that changes meanwhile.
type decider struct {
	m        *machine
	p        *plan
	verdicts map[int]*conflict.Record
}

func (m *machine) decider(p *plan) *decider {
	return &decider{m: m, p: p, verdicts: make(map[int]*conflict.Record)}
}

func (d *decider) decide(i int, held syncline.Held) (syncline.Decision, error) {
	c := &d.p.changes[i]
	var j judged
	if i < len(d.p.judged) {
		j = d.p.judged[i]
	}
	if j.rule == nil {
		return asIs(c, held), nil
	}
	ours := c.Row.Values
	if c.Op == syncline.ChangeDelete {
		ours = nil
	}
	ev := d.event(c)
	var v conflict.Verdict
	var err error
	if choice := d.choice(c); choice != nil {
		v, err = d.settle(j.rule, ev, ours, held, choice)
	} else {
		v, err = j.rule.binding.Resolver.Decide(ev, ours, j.base, held)
	}
	if err != nil {
		return syncline.Decision{}, atChange(err, i)
	}
	if v.Conflict == nil {
		delete(d.verdicts, i)
	} else {
		d.verdicts[i] = v.Conflict
	}
	return v.Decision, nil
}

// atChange names the change that a rejection is about.
func atChange(err error, i int) error {
	if syncline.ClassOf(err) != syncline.Rejected {
		return err
	}
	e := syncline.Errorf(syncline.Rejected, syncline.CodeOf(err), "%w", err)
	return e.At(i)
}

// asIs decides as a target does without decisions.
func asIs(c *syncline.Change, held syncline.Held) syncline.Decision {
	d := syncline.Decision{Op: c.Op, Values: c.Row.Values, Shadow: held.Shadow}
	if c.Op == syncline.ChangePut && held.Values == nil && !c.Row.Whole() {
		d.Op, d.Outcome = 0, syncline.OutcomeMissing
	}
	return d
}

// event is the newest event of a change.
func (d *decider) event(c *syncline.Change) *conflict.Event {
	e := &c.Batch.Events[c.Event]
	ev := &conflict.Event{Log: d.m.committed.Log, Seq: c.Order.Seq, Index: c.Order.Index,
		Stamp:  conflict.Stamp{Time: c.Batch.TimeOf(c.Event), Source: c.Batch.Source, Event: c.Batch.EventID(c.Event)},
		Reread: e.Op == syncline.OpSnapshot || e.Op == syncline.OpRepair, Batch: c.Batch, At: c.Event}
	if e.Meta != nil {
		ev.Version = e.Meta.Version
	}
	if at := e.Schema.Version; ev.Version == 0 && at >= 0 && e.Row().Values != nil {
		if n, err := e.Row().Values[at].AsInt(); err == nil {
			ev.Version = n
		}
	}
	return ev
}

// choice is what a person decided about the parked task that the change is made of, nil where nobody did.
func (d *decider) choice(c *syncline.Change) *state.Choice {
	for n, e := range d.p.retryEntry {
		if e.batch == c.Batch {
			return d.p.retry[n].choice
		}
	}
	return nil
}

// settle carries out a person's decision.
func (d *decider) settle(rule *bound, ev *conflict.Event, ours []syncline.Value, held syncline.Held, c *state.Choice) (conflict.Verdict, error) {
	choice := conflict.Choice{Action: conflict.Action(c.Action), State: c.Held}
	if c.Values != nil {
		var err error
		if choice.Values, err = document.Parse(rule.binding.Out, c.Values, syncline.Unset); err != nil {
			return conflict.Verdict{}, syncline.Errorf(syncline.Rejected, "conflict_values", "the values that were decided on do not fit the record: %w", err)
		}
	}
	return rule.binding.Resolver.Settle(ev, ours, held, choice)
}

// conflicts are the plan's, as they were decided at this time.
func (d *decider) conflicts(now time.Time) (list []state.Conflict) {
	for _, i := range slices.Sorted(maps.Keys(d.verdicts)) {
		newest := d.p.newest[i]
		if newest < 0 {
			continue // the removal of a record under its old key: the task's own change tells of it
		}
		t := &d.p.tasks[newest]
		b, rule := t.entry.batch, d.p.judged[i].rule
		key, _ := d.p.changes[i].Row.Key()
		row := row{TaskID(rule.ID, b.Source, t.entry.seq, t.entry.first+int(t.event)), rule, b.Source, key}
		found := row.conflict(d.verdicts[i])
		if choice := d.choice(&d.p.changes[i]); choice != nil && !found.Open {
			found.By, found.Reason = choice.By, choice.Reason
		}
		found.Created, found.Updated = now, now
		list = append(list, found)
	}
	return list
}

// row is the record that a conflict is about.
type row struct {
	task   string
	rule   *bound
	source string
	key    syncline.Key
}

func (r row) conflict(rec *conflict.Record) state.Conflict {
	out := r.rule.binding.Out
	doc := func(values []syncline.Value) []byte {
		if values == nil {
			return nil
		}
		return document.Append(nil, syncline.Row{Schema: out, Values: values})
	}
	return state.Conflict{Task: r.task, Rule: r.rule.ID, Source: r.source, Entity: r.rule.Entity, Object: r.rule.Object, Key: r.key,
		Detector: string(rec.Detector), Business: rec.Rule, Fields: rec.Fields, Base: doc(rec.Base), Ours: doc(rec.Ours), Theirs: doc(rec.Theirs),
		Result: doc(rec.Result), Strategy: string(rec.Strategy), Action: string(rec.Action), Note: rec.Note, Held: rec.State, Open: rec.Action == conflict.Review}
}

// why says in words what a person has to decide.
func why(rec *conflict.Record) string {
	what := string(rec.Detector)
	if rec.Rule != "" {
		what += " (" + rec.Rule + ")"
	}
	text := what + ": the target disagrees about " + strings.Join(rec.Fields, ", ")
	if rec.Note != "" {
		text += "; " + rec.Note
	}
	return text
}

// choices takes over what people have decided and is not carried out yet.
func (s *Session) choices(ctx context.Context) error {
	if !s.m.decides {
		return nil
	}
	all, err := s.r.o.State.Choices(ctx, s.r.slice)
	if err != nil {
		return err
	}
	for _, k := range s.m.parking.slots {
		if c, ok := all[k.head().Task]; ok {
			k.choice = &c
			s.m.parking.force(k)
		}
	}
	return nil
}

// Resolve has a person's decision about a parked conflict carried out. It is durable; whether the target still is what was decided on is
// looked at when it is carried out.
func (r *Route) Resolve(ctx context.Context, x state.Exception, c state.Choice) error {
	return r.do(ctx, command{settled: true, whileRunning: func(ctx context.Context, s *Session) error { return s.Resolve(ctx, x, c) }})
}

// Resolve is Route.Resolve for whoever steps the session.
func (s *Session) Resolve(ctx context.Context, x state.Exception, c state.Choice) error {
	k, known := s.m.parking.find(&x)
	if !known {
		return s.ruleGone(&x)
	}
	if k == nil || k.head().Task != x.Task || k.head().Status != state.StatusConflict {
		return syncline.Errorf(syncline.Rejected, "conflict_over", "task %s is not in conflict any more", x.Task).
			WithFix("look at it again: `syncline conflicts`")
	}
	if err := s.r.o.State.Choose(ctx, x.Task, c); err != nil {
		return fmt.Errorf("note the decision: %w", err)
	}
	k.choice = &c
	s.m.parking.force(k)
	s.m.forget()
	return nil
}
