package apply

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"syncline"
	"syncline/internal/conflict"
	"syncline/internal/document"
	"syncline/internal/state"
)

// Judge is a target that finds conflicts by itself: it is asked about keys and looks at more than one place. Records are in the terms of
// the binding's Out.
type Judge interface {
	syncline.Target
	// Choose gives the next Apply what people have decided about its changes.
	Choose(map[int]conflict.Choice)
	// Conflicts are what the last Apply found, by change. It may be called once the Apply calls Commit.
	Conflicts() map[int]*conflict.Record
}

// judged is what a plan must remember of a change for the sake of conflicts.
type judged struct {
	// rule is nil where the rule has no conflict section.
	rule *bound
	// base is what the first event in the change replaced, as far as it tells.
	base []syncline.Value
	// parts are the events in the change, one after the other.
	parts []spoken
}

// judge notes the change at this place. The first event in it tells what the change replaces.
func (p *plan) judge(at int32, it item) {
	for len(p.judged) <= int(at) {
		p.judged = append(p.judged, judged{})
	}
	j := &p.judged[at]
	first := j.rule == nil
	j.rule = it.rule
	j.parts = append(j.parts, spoken{batch: it.e.batch, event: it.i, order: it.order})
	ev := it.event()
	if !first || ev.Before == nil {
		return
	}
	before := ev.Before
	if it.rule.binding.Before != nil {
		before = it.rule.binding.Before(it.e.batch, it.i)
	}
	if len(before) == len(it.rule.binding.Out.Columns) {
		j.base = before
	}
}

// decider decides about the changes of one plan, for Write.Decide. It touches nothing of the machine that changes meanwhile.
type decider struct {
	m        *machine
	p        *plan
	verdicts map[int]*conflict.Record
	// earlier are the conflicts of events in a change that are not its newest.
	earlier map[int][]spokenConflict
	// present is the event that is being decided.
	present conflict.Event
	id      []byte // its id
	log     conflict.Digest
}

func (m *machine) decider(p *plan) *decider {
	return &decider{m: m, p: p, log: conflict.DigestOf(m.committed.Log), verdicts: make(map[int]*conflict.Record), earlier: make(map[int][]spokenConflict)}
}

func (d *decider) decide(i int, held syncline.Held) (syncline.Decision, error) {
	c := &d.p.changes[i]
	if held.Untouched && (i >= len(d.p.judged) || d.p.judged[i].rule == nil || d.p.judged[i].rule.Marks != nil) {
		return syncline.Decision{}, syncline.ErrUnread
	}
	if i >= len(d.p.judged) || d.p.judged[i].rule == nil {
		return asIs(c, held), nil
	}
	j := &d.p.judged[i]
	delete(d.verdicts, i)
	delete(d.earlier, i)
	stored := held.Values != nil || held.Untouched
	held = j.rule.present(held)
	if len(j.parts) > 1 && d.choice(c) == nil && !d.p.leftover(i) {
		if decision, err := d.inTurn(i, j, held, stored); !errors.Is(err, errAsOne) {
			return decision, err
		}
	}
	ours, kept := c.Row.Values, j.parts[len(j.parts)-1].kept
	if c.Op == syncline.ChangeDelete || kept != nil {
		ours = nil
	}
	ev := d.event(j.rule, spoken{batch: c.Batch, event: c.Event, order: c.Order, values: ours})
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
	if v.Conflict != nil && v.Outcome == syncline.OutcomeConflict && d.p.leftover(i) {
		v.Outcome = syncline.OutcomeKept
		v.Conflict.Action, v.Conflict.Result = conflict.Skip, held.Values
		v.Conflict.Note = "the source gave the record another key; what is left under the old one was changed at the target"
	}
	if v.Conflict != nil {
		d.verdicts[i] = v.Conflict
	}
	if kept != nil && c.Op != syncline.ChangeDelete {
		kept = over(c.Row.Values, kept)
	}
	return j.rule.keeping(v.Decision, kept, stored), nil
}

// leftover reports whether the change removes what is left under the old key of a record: no task of its own stands for it.
func (p *plan) leftover(i int) bool {
	n, c := p.newest[i], &p.changes[i]
	return n < 0 || p.tasks[n].entry.batch != c.Batch || int(p.tasks[n].event) != c.Event
}

// atChange names the change that a rejection is about.
func atChange(err error, i int) error {
	var known *syncline.Error
	if !errors.As(err, &known) || known.Class != syncline.Rejected {
		return err
	}
	named := *known
	return named.At(i)
}

// asIs decides as a target does without decisions.
func asIs(c *syncline.Change, held syncline.Held) syncline.Decision {
	d := syncline.Decision{Op: c.Op, Values: c.Row.Values, Shadow: held.Shadow}
	if c.Op == syncline.ChangePut && held.Values == nil && !c.Row.Whole() {
		d.Op, d.Outcome = 0, syncline.OutcomeMissing
	}
	return d
}

// event is one event of a change, as far as a verdict depends on it, until the next one.
func (d *decider) event(rule *bound, s spoken) *conflict.Event {
	e := &s.batch.Events[s.event]
	ev := &d.present
	d.id = s.batch.AppendEventID(d.id[:0], s.event)
	*ev = conflict.Event{Log: d.log, Seq: s.order.Seq, Index: s.order.Index,
		Stamp:  conflict.Stamp{Time: d.time(rule, s), Source: s.batch.Source, Event: conflict.DigestOf(d.id)},
		Reread: e.Op == syncline.OpSnapshot || e.Op == syncline.OpRepair, Batch: s.batch, At: s.event}
	if e.Meta != nil {
		ev.Version = e.Meta.Version
	}
	if at := e.Schema.Version; ev.Version == 0 && at >= 0 && e.Row().Values != nil {
		if n, err := e.Row().Values[at].AsInt(); err == nil {
			ev.Version = n
		}
	}
	if ev.Version == 0 {
		ev.Version = rule.binding.Resolver.VersionOf(s.values)
	}
	return ev
}

// time is when the event happened. A record that was read for the sake of events that wait tells what they do, and has no time of its own.
func (d *decider) time(rule *bound, s spoken) time.Time {
	when := s.batch.TimeOf(s.event)
	if !when.IsZero() || s.batch.Chunk == nil {
		return when
	}
	key, _, err := rule.key(s.batch.Events[s.event].Row().Values)
	r := slices.IndexFunc(d.m.rules, func(o *bound) bool { return o.Rule == rule.Rule })
	if err != nil || r < 0 {
		return when
	}
	if k := d.m.parking.slots[slot{int32(r), key}]; k != nil { // a state target has one task for each
		when = timeOf(k.head())
	}
	return when
}

// choice is what a person decided about the parked task that the change is made of, nil where nobody did.
func (d *decider) choice(c *syncline.Change) *state.Choice {
	for n, e := range d.p.retryEntry {
		if e.batch == c.Batch {
			if c, ok := d.m.decided[d.p.retry[n].head().Task]; ok {
				return &c
			}
		}
	}
	return nil
}

// remember takes over what became of conflicts. A decision that did not fit is forgotten: the next one is another.
func (m *machine) remember(list []state.Conflict) {
	for i := range list {
		if c := list[i].Choice; c != nil {
			m.decided[list[i].Task] = *c
		} else {
			delete(m.decided, list[i].Task)
		}
	}
}

// again returns what a person decided about the task when the target held the same, before it lost that.
func (m *machine) again(task string, rec *conflict.Record) *state.Choice {
	c, ok := m.decided[task]
	if !ok || !bytes.Equal(c.Held, rec.State) {
		return nil
	}
	return &c
}

// choices are what people decided about the plan's changes. One that cannot be read is left out: the task stays in conflict.
func (d *decider) choices() map[int]conflict.Choice {
	var list map[int]conflict.Choice
	for i := range d.p.changes {
		c := d.choice(&d.p.changes[i])
		if c == nil || i >= len(d.p.judged) || d.p.judged[i].rule == nil {
			continue
		}
		if choice, err := chosen(d.p.judged[i].rule, c); err == nil {
			if list == nil {
				list = make(map[int]conflict.Choice)
			}
			list[i] = choice
		}
	}
	return list
}

// chosen is a person's decision in the terms of the rule.
func chosen(rule *bound, c *state.Choice) (conflict.Choice, error) {
	choice := conflict.Choice{Action: conflict.Action(c.Action), State: c.Held}
	if c.Values != nil {
		var err error
		if choice.Values, err = document.Parse(rule.binding.Out, c.Values, syncline.Unset); err != nil {
			return choice, syncline.Errorf(syncline.Rejected, "conflict_values", "the values that were decided on do not fit the record: %w", err)
		}
	}
	return choice, nil
}

// settle carries out a person's decision.
func (d *decider) settle(rule *bound, ev *conflict.Event, ours []syncline.Value, held syncline.Held, c *state.Choice) (conflict.Verdict, error) {
	choice, err := chosen(rule, c)
	if err != nil {
		return conflict.Verdict{}, err
	}
	return rule.binding.Resolver.Settle(ev, ours, held, choice)
}

// conflicts are the plan's, as they were decided at this time. What the target has refused was not carried out.
func (d *decider) conflicts(res syncline.Result, now time.Time) (list []state.Conflict) {
	for i := range res.Rejected {
		delete(d.verdicts, i)
		delete(d.earlier, i)
	}
	for _, i := range slices.Sorted(maps.Keys(d.verdicts)) {
		c, rule := &d.p.changes[i], d.p.judged[i].rule
		key, _ := c.Row.Key()
		task := TaskID(rule.ID, c.Batch.Source, c.Order.Seq, c.Order.Index)
		if d.p.leftover(i) {
			task += "/old" // the event may have a conflict under its new key, too
		}
		row := row{task, rule, c.Batch.Source, key}
		found := row.conflict(d.verdicts[i])
		switch choice := d.choice(&d.p.changes[i]); {
		case found.Open:
			found.Choice = d.m.again(found.Task, d.verdicts[i])
		case choice != nil:
			found.By, found.Reason, found.Choice = choice.By, choice.Reason, choice
		}
		found.Created, found.Updated = now, now
		skewed(&found, d.verdicts[i].Latest, now)
		list = append(list, found)
	}
	return append(list, d.earlierConflicts(now)...)
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
	text := "the target disagrees about " + strings.Join(rec.Fields, ", ")
	if len(rec.Fields) == 0 {
		text = "one side has removed the record, and the other has changed it"
	}
	if what != "" { // after a decision nothing is detected again
		text = what + ": " + text
	}
	if rec.Note != "" {
		text += "; " + rec.Note
	}
	return text
}

// foundBy takes over what the target found by itself, after it had an outcome for each change.
func (d *decider) foundBy(judge Judge, res *syncline.Result) {
	d.verdicts = judge.Conflicts()
	for i, rec := range d.verdicts {
		if rec.Action == conflict.Review && d.p.leftover(i) {
			rec.Action, rec.Result, res.Outcomes[i] = conflict.Skip, rec.Theirs, syncline.OutcomeKept
			rec.Note = "the source gave the record another key; what is left under the old one was changed at the target"
		}
	}
}

// choices takes over what people have decided. What is not carried out yet, or is to be carried out again, comes first.
func (s *Session) choices(ctx context.Context) error {
	if !s.m.decides {
		return nil
	}
	all, err := s.r.o.State.Choices(ctx, s.r.slice)
	if err != nil {
		return err
	}
	s.m.decided = all
	for _, k := range s.m.parking.slots {
		if _, ok := all[k.head().Task]; ok {
			s.m.parking.force(k)
		}
	}
	return nil
}
