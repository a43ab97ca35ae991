package apply

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	"syncline"
	"syncline/internal/state"
)

// A rule whose steps need something from outside (a script's process, a database, a service) is not planned row by row: what it
// makes of the events that come next is asked for in one go (Binding.Prepare), beside the apply of the batch before, and planned
// once it is there. The machine says what to ask for and never asks itself. Answers are kept with the events for as long as those are
// in hand, and asked for again in the next session.

// Place is one event of a batch.
type Place struct {
	Batch *syncline.Batch
	Index int
}

// Made is what Prepare made of an event.
type Made struct {
	Values []syncline.Value
	// Keep is false where a step filtered the record.
	Keep bool
	// Err is why there is no record: an expression.ErrUnset has it read from the source, a *syncline.Error of class transient has the
	// event wait and be tried again, which counts as no attempt, and any other error parks it.
	Err error
	// Later: there was no time for the event. What is made of those before it goes on to the target, and it is asked for again; Prepare
	// makes at least one of those that it is asked for.
	Later bool

	there bool // it was asked for
}

// preparation is a question for what rules make of events.
type preparation struct {
	parts []part
	// recalled are the retries among them, by task.
	recalled map[string]*recalled
	begun    bool
}

// part is what is asked of one rule.
type part struct {
	binding *Binding
	rule    int32
	places  []Place
	entries []*entry // of each place
}

// recalled is a parked task's record, made ready to be tried again.
type recalled struct {
	entry *entry
	rule  *bound
}

// later reports whether there was no time for it.
func (r *recalled) later() bool {
	for _, made := range r.entry.made {
		if !made[0].there {
			return true
		}
	}
	return false
}

func (p *preparation) add(r int, binding *Binding, e *entry, i int) {
	at := -1
	for j := range p.parts {
		if p.parts[j].binding == binding {
			at = j
		}
	}
	if at < 0 {
		at = len(p.parts)
		p.parts = append(p.parts, part{binding: binding, rule: int32(r)})
	}
	q := &p.parts[at]
	q.places, q.entries = append(q.places, Place{e.batch, i}), append(q.entries, e)
}

// asks reports whether what the rule makes of the event must be asked for and is not there yet.
func (pl *planner) asks(rule *bound, r int, e *entry, i int) bool {
	ev := &e.batch.Events[i]
	if rule.binding.Prepare == nil || ev.After == nil || ev.Stub > 0 || ev.Meta != nil && ev.Meta.Superseded {
		return false
	}
	if !pl.traits.Events && rule.Action(ev) != ActionUpdate {
		return false
	}
	made := e.made[int32(r)]
	return made == nil || !made[i].there
}

// unprepared reports whether the event cannot be planned because a rule's answer is missing.
func (m *machine) unprepared(e *entry, i int) bool {
	s := e.batch.Events[i].Schema
	for _, r := range m.byEntity[s.Entity] {
		if rule := m.rules[r]; rule.binding == nil || !rule.fits(s) {
			return false // it is bound first
		}
	}
	for _, r := range m.byEntity[s.Entity] {
		if m.asks(m.rules[r], r, e, i) {
			return true
		}
	}
	return false
}

// nextPreparation returns movePrepare where a question is to be asked now.
func (m *machine) nextPreparation() move {
	if m.missing && m.preparing == nil {
		m.ask()
	}
	if m.preparing == nil || m.preparing.begun {
		return moveWait
	}
	m.preparing.begun = true
	return movePrepare
}

// ask has the events prepared that come next, up to the first whose schema is not known yet.
func (m *machine) ask() {
	p := &preparation{}
	defer func() {
		if len(p.parts) > 0 {
			m.preparing = p
		}
	}()
	n := 0
	index := m.planned.event
	for _, w := range m.window[m.planned.entry:] {
		if !m.concerns(w.batch) {
			index = 0
			continue
		}
		for i := index; i < len(w.batch.Events); i++ {
			s := w.batch.Events[i].Schema
			for _, r := range m.byEntity[s.Entity] {
				if rule := m.rules[r]; rule.binding == nil || !rule.fits(s) {
					return
				}
			}
			for _, r := range m.byEntity[s.Entity] {
				if m.asks(m.rules[r], r, &w.entry, i) {
					p.add(r, m.rules[r].binding, &w.entry, i)
					n++
				}
			}
			if n >= m.limits.MaxRows {
				return
			}
		}
		index = 0
	}
}

// askParked returns those of the slots that can be tried now. It begins the preparation of all others, if there are no more of
// the first kind and none is under way.
func (m *machine) askParked(slots []*parked, n int) (ready []*parked) {
	p := &preparation{recalled: make(map[string]*recalled)}
	for _, k := range slots {
		x := k.head()
		if m.recalled[x.Task] != nil || k.refused != nil {
			ready = append(ready, k)
			continue
		}
		if m.preparing != nil {
			continue
		}
		b, rule, err := m.recall(k)
		if err != nil {
			ready = append(ready, k) // it fails there again, and is told
			continue
		}
		e := &entry{seq: x.Seq, first: x.Index, batch: b}
		if !m.asks(rule, int(k.slot.rule), e, 0) {
			ready = append(ready, k)
			continue
		}
		p.add(int(k.slot.rule), rule.binding, e, 0)
		as := *rule // the rule may be bound to another schema before the task is tried
		p.recalled[x.Task] = &recalled{e, &as}
	}
	if len(ready) == 0 && len(p.parts) > 0 && m.preparing == nil {
		m.preparing = p
	}
	return ready[:min(n, len(ready))]
}

// answers asks for the preparation. It touches nothing of the machine that changes meanwhile.
func (p *preparation) answers(ctx context.Context) ([][]Made, error) {
	answers := make([][]Made, len(p.parts))
	for i := range p.parts {
		q := &p.parts[i]
		var err error
		if answers[i], err = q.binding.Prepare(ctx, q.places); err != nil {
			return nil, &outsideError{err}
		}
		if len(answers[i]) != len(q.places) {
			panic(fmt.Sprintf("%d answers to %d questions", len(answers[i]), len(q.places)))
		}
	}
	return answers, nil
}

// prepared takes over the answers to the preparation under way.
func (m *machine) prepared(answers [][]Made) {
	p := m.preparing
	m.preparing = nil
	for i := range p.parts {
		q := &p.parts[i]
		for j, e := range q.entries {
			if e.made == nil {
				e.made = make(map[int32][]Made)
			}
			if e.made[q.rule] == nil {
				e.made[q.rule] = make([]Made, len(e.batch.Events))
			}
			answers[i][j].there = !answers[i][j].Later
			e.made[q.rule][q.places[j].Index] = answers[i][j]
		}
	}
	if p.recalled != nil {
		maps.DeleteFunc(p.recalled, func(_ string, r *recalled) bool { return r.later() })
		m.recalled = p.recalled
	}
}

// row makes the record that the rule makes of the event; binding.Row is not nil.
func (it item) row() (values []syncline.Value, keep bool, err error) {
	if it.rule.binding.Prepare == nil {
		return it.rule.binding.Row(it.e.batch, it.i)
	}
	made := it.e.made[int32(it.r)][it.i]
	if !made.there {
		panic("an event is planned before what its rule makes of it is there")
	}
	return made.Values, made.Keep, made.Err
}

// waits reports whether err only makes the event wait: what it needs may come without anybody's help.
func waits(err error) bool {
	var e *syncline.Error // what has no class is the rule's own fault, not nobody's
	return errors.As(err, &e) && e.Class == syncline.Transient
}

// await has x, whose event needs something that is not there yet, wait for as long again as it has waited.
func (s *settling) await(x *state.Exception, err error) {
	x.Status, x.Code, x.Error, x.Updated = state.StatusRetrying, syncline.CodeOf(err), err.Error(), s.now
	x.NextTry = s.now.Add(min(max(s.now.Sub(x.Created), s.m.retry.Delay), s.m.retry.MaxDelay))
}

// outsideError is of a session that ended because a step got no answer from outside: it is not the target that failed.
type outsideError struct{ error }

func (e *outsideError) Unwrap() error { return e.error }

// preparedWith is what came of a preparation.
type preparedWith struct {
	answers [][]Made
	err     error
}

// prepareNow carries out the preparation under way.
func (s *Session) prepareNow(ctx context.Context) error {
	answers, err := s.m.preparing.answers(ctx)
	if err != nil {
		return err
	}
	s.m.prepared(answers)
	return nil
}

// prepareBeside carries out the preparation under way beside everything else.
func (s *Session) prepareBeside(ctx context.Context, workers *sync.WaitGroup, answers chan<- preparedWith) {
	p := s.m.preparing
	workers.Go(func() {
		a, err := p.answers(ctx)
		answers <- preparedWith{a, err}
	})
}
