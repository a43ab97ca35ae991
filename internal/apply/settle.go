package apply

import (
	"errors"
	"slices"
	"time"

	"syncline"
	"syncline/internal/state"
)

// settle turns the result of a plan into what the state store must know before the target commits: the batch's journal row,
// tasks that are parked from now on, and changes of tasks that were. It is pure and reads only what does not change while the
// plan is in flight.
func (m *machine) settle(p *plan, res syncline.Result, d *decider, start, end time.Time) *state.Commit {
	s := settling{m: m, p: p, res: res, d: d, now: end, at: make(map[slot]int)}
	s.commit = &state.Commit{Slice: m.slice, Cursor: p.to}
	if d != nil {
		s.commit.Conflicts = d.conflicts(res, end)
	}
	if len(p.retry) > 0 {
		s.retried()
		return s.commit
	}
	s.obsolete()
	if len(p.tasks) == 0 {
		return s.commit
	}
	codes := s.codes()
	s.ahead(codes)
	j := &state.Journal{From: p.from, To: p.to, RuleVersion: m.version, Start: start, End: end}
	byRule := make([]state.Counts, len(m.rules))
	for i, c := range codes {
		t := &p.tasks[i]
		if i >= p.lead {
			byRule[t.rule].Count(c, 1)
		}
		if t.early {
			continue
		}
		if when := t.entry.batch.TimeOf(int(t.event)); !when.IsZero() && t.entry.batch.Chunk == nil {
			took := max(end.Sub(when), 0)
			j.Latency.Observe(took, 1)
			j.LatencySum += took
		}
	}
	for r := range byRule {
		if byRule[r].Read > 0 {
			j.Counts.Add(byRule[r])
			j.Rules = append(j.Rules, state.RuleCounts{Rule: m.rules[r].ID, Counts: byRule[r]})
		}
	}
	j.Outcomes = state.AppendOutcomes(nil, codes[p.lead:])
	s.commit.Journal = j
	s.commit.Park = append(s.commit.Park, s.park...)
	return s.commit
}

type settling struct {
	m      *machine
	p      *plan
	res    syncline.Result
	d      *decider // nil where nothing is decided
	now    time.Time
	commit *state.Commit
	park   []state.Exception
	at     map[slot]int // for state targets: the slot's place in park
}

// outcome is what became of a change. Nothing has to be noted of a record that is not there.
func (s *settling) outcome(change int32) syncline.Outcome {
	o := s.res.Outcomes[change]
	if newest := s.p.newest[change]; o == syncline.OutcomeMissing && newest >= 0 && s.p.tasks[newest].keeps {
		return syncline.OutcomeApplied
	}
	return o
}

// codes decides every task, and parks those that must be.
func (s *settling) codes() []state.Outcome {
	p := s.p
	codes := make([]state.Outcome, len(p.tasks))
	next := 0
	var older map[int32][]int // tasks of changes that did not take effect, but for the newest
	for i := range p.tasks {
		t := &p.tasks[i]
		if t.change < 0 {
			codes[i] = t.code
			if next < len(p.holds) && int(p.holds[next].task) == i {
				if h := &p.holds[next]; !h.dropped {
					s.parkHold(i, h, codes)
				}
				next++
			}
			continue
		}
		outcome := s.outcome(t.change)
		if outcome == syncline.OutcomeApplied && len(s.park) > 0 {
			s.overtaken(t, codes)
		}
		newest := int(p.newest[t.change]) == i
		switch {
		case i < p.lead && outcome > syncline.OutcomeStale:
			codes[i] = state.Parked // by nobody: it comes in its turn
		case outcome == syncline.OutcomeApplied && t.code == state.Filtered:
			codes[i] = state.Filtered
		case outcome == syncline.OutcomeApplied && newest:
			codes[i] = state.Applied
		case outcome == syncline.OutcomeKept && newest:
			codes[i] = state.Skipped
		case outcome <= syncline.OutcomeKept:
			codes[i] = state.Superseded
		case !newest:
			if older == nil {
				older = make(map[int32][]int)
			}
			older[t.change] = append(older[t.change], i)
			codes[i] = state.Superseded
		default:
			s.parkChange(i, older[t.change], codes)
		}
	}
	return codes
}

// overtaken drops what this very plan, which is in the order of the log, would have the source asked for: the target has a later record of the
// slot. Tried again, the older event would be written over it.
func (s *settling) overtaken(t *task, codes []state.Outcome) {
	key, ok := s.p.changes[t.change].Row.Key()
	at, waits := s.at[slot{t.rule, key}]
	if !ok || !waits || s.park[at].Status != state.StatusReading {
		return
	}
	s.uncount(&s.park[at], codes)
	s.park = slices.Delete(s.park, at, at+1)
	delete(s.at, slot{t.rule, key})
	for sl, i := range s.at {
		if i > at {
			s.at[sl] = i - 1
		}
	}
}

// parkHold parks an event that the planner let wait.
func (s *settling) parkHold(i int, h *hold, codes []state.Outcome) {
	ev := &s.p.tasks[i].entry.batch.Events[s.p.tasks[i].event]
	x := s.exception(i, h.slot, ev.After, h.keepsOld)
	switch h.why {
	case "held":
		x.Status = state.StatusHeld
	case "reading":
		x.Status, x.Code = state.StatusReading, "column_unsent"
	case "waiting":
		s.await(&x, h.err)
	default:
		var condemned *condemnation
		if errors.As(h.err, &condemned) {
			s.rejected(&x, condemned.err)
			break
		}
		x.Status, x.Attempts = state.StatusFailed, 1
		if fault(&x, h.err); x.Code == "unknown" {
			x.Code, x.Class = "rule_failed", syncline.Rejected.String()
		}
	}
	s.wait(i, h.slot, x, codes)
}

// parkChange parks the newest task of a change that the target did not take, with what the older ones had sent.
func (s *settling) parkChange(i int, older []int, codes []state.Outcome) {
	t := &s.p.tasks[i]
	c := &s.p.changes[t.change]
	ev := &t.entry.batch.Events[t.event]
	after := ev.After
	for j := len(older) - 1; j >= 0; j-- {
		o := &s.p.tasks[older[j]]
		oe := &o.entry.batch.Events[o.event]
		after = fillFrom(ev.Schema, after, oe.Schema, oe.After)
	}
	key, ok := t.key, t.key != ""
	if !ok {
		if key, ok = c.Row.Key(); !ok {
			key = placeKey(t.entry.seq, t.entry.first+int(t.event))
		}
	}
	sl := slot{t.rule, key}
	x := s.exception(i, sl, after, false)
	switch s.res.Outcomes[t.change] {
	case syncline.OutcomeMissing:
		x.Status, x.Code = state.StatusReading, "row_missing"
	case syncline.OutcomeHeld:
		x.Status = state.StatusHeld
	case syncline.OutcomeConflict:
		s.conflict(&x, int(t.change))
	default:
		s.rejected(&x, s.res.Rejected[int(t.change)])
	}
	s.wait(i, sl, x, codes)
}

// conflict has x wait for a person.
func (s *settling) conflict(x *state.Exception, change int) {
	rec := s.d.verdicts[change]
	x.Status, x.NextTry, x.Updated = state.StatusConflict, time.Time{}, s.now
	x.Code, x.Class, x.Error = "conflict", syncline.Rejected.String(), why(rec)
	if s.m.again(x.Task, rec) != nil {
		x.Status, x.NextTry = state.StatusRetrying, s.now
	}
}

// rejected counts an attempt of x that failed with err.
func (s *settling) rejected(x *state.Exception, err error) {
	x.Attempts++
	x.Code, x.Class, x.Error = "rejected", syncline.Rejected.String(), ""
	if err != nil {
		fault(x, err)
	}
	x.Status, x.Updated = state.StatusRetrying, s.now
	x.NextTry = s.now.Add(s.m.retry.after(x.Attempts))
	if x.Attempts >= s.m.retry.Max || x.Code == codeTooLarge {
		x.Status, x.NextTry = state.StatusFailed, time.Time{}
	}
}

// fault notes why x was not applied.
func fault(x *state.Exception, err error) {
	x.Code, x.Class, x.Error = syncline.CodeOf(err), syncline.ClassOf(err).String(), err.Error()
}

// wait puts x behind what waits in its slot. A state target keeps one task per slot: what x did not send is filled in from the
// older ones, which are superseded. New data for a failed record is a reason to try it again.
func (s *settling) wait(i int, sl slot, x state.Exception, codes []state.Outcome) {
	codes[i] = state.Parked
	if s.m.traits.Events {
		s.park = append(s.park, x)
		return
	}
	if j, ok := s.at[sl]; ok {
		s.inherit(&x, &s.park[j])
		s.uncount(&s.park[j], codes)
		s.park[j] = x
		return
	}
	if k := s.m.parking.slots[sl]; k != nil && !s.replaced(sl) {
		for j := range k.tasks {
			old := k.tasks[j]
			s.inherit(&x, &old)
			s.resolve(&old, state.Superseded)
		}
	}
	s.at[sl] = len(s.park)
	s.park = append(s.park, x)
}

// inherit gives x the standing of an older task of its slot, and the columns that only the older one had.
func (s *settling) inherit(x, old *state.Exception) {
	defer s.inheritBase(x, old)
	if nb, err := syncline.DecodeBatch(x.Record); err == nil {
		if ob, err := syncline.DecodeBatch(old.Record); err == nil {
			n, o := &nb.Events[0], &ob.Events[0]
			switch {
			case n.Stub > 0:
				return
			case o.Stub > 0:
				s.follow(x, n, old, o)
			case n.After != nil:
				n.After = fillFrom(n.Schema, n.After, o.Schema, o.After)
				if n.Before == nil && o.Before != nil && o.After != nil { // the removal under the old key still waits
					n.Before = fillFrom(n.Schema, unsent(n.Schema), o.Schema, o.Before)
				}
			}
			if rec, err := syncline.AppendBatch(nil, nb); err == nil {
				x.Record = rec
			}
			if o.Stub > 0 {
				return
			}
		}
	}
	if x.Status != state.StatusHeld {
		return
	}
	x.Code, x.Class, x.Error, x.Attempts = old.Code, old.Class, old.Error, old.Attempts
	x.Status, x.NextTry = old.Status, old.NextTry
	if old.Status == state.StatusConflict { // it may be over now, and else is shown as it is now
		x.Status, x.NextTry = state.StatusRetrying, s.now
	}
	if old.Status == state.StatusFailed {
		x.Status, x.Attempts = state.StatusRetrying, s.m.retry.Max-1
		x.NextTry = old.Updated.Add(s.m.retry.after(old.Attempts))
	}
}

// uncount turns the task of x, parked by this very plan, into a superseded one, for which nobody has to decide.
func (s *settling) uncount(x *state.Exception, codes []state.Outcome) {
	s.commit.Conflicts = slices.DeleteFunc(s.commit.Conflicts, func(c state.Conflict) bool { return c.Open && c.Task == x.Task })
	for i := range s.p.tasks {
		t := &s.p.tasks[i]
		if t.entry.seq == x.Seq && t.entry.first+int(t.event) == x.Index && s.m.rules[t.rule].ID == x.Rule {
			codes[i] = state.Superseded
		}
	}
}

// obsolete resolves what the plan's changes replace: cleared slots whose change took effect, and truncated rules.
func (s *settling) obsolete() {
	p := s.p
	resolve := func(k *parked) {
		for _, x := range k.tasks {
			s.resolve(&x, state.Superseded)
		}
	}
	for _, sl := range p.obsolete {
		if k := s.m.parking.slots[sl]; k != nil && s.replaced(sl) {
			resolve(k)
		}
	}
	for _, r := range p.truncated {
		for sl, k := range s.m.parking.slots {
			if sl.rule == r {
				resolve(k)
			}
		}
	}
}

// replaced reports whether what was parked in the slot is obsolete because a change of the plan took effect.
func (s *settling) replaced(sl slot) bool {
	if !slices.Contains(s.p.obsolete, sl) {
		return false
	}
	i, ok := s.p.index[sl]
	return !ok || s.outcome(i) <= syncline.OutcomeKept
}

func (s *settling) resolve(x *state.Exception, o state.Outcome) {
	at := s.p.to
	if len(s.p.retry) > 0 && s.m.keeps {
		at.Index++ // no event was read: only a cursor beyond the present one survives a target that loses this write
	}
	x.Status, x.Outcome, x.ResolvedAt, x.Updated, x.NextTry = state.StatusResolved, o, at, s.now, time.Time{}
	s.commit.Update = append(s.commit.Update, *x)
}

// exception makes the row of the i-th task, with a copy of its event whose After is after. Of a record under a new key the old
// one is removed already, unless keepsOld: trying the event again must not remove it a second time.
func (s *settling) exception(i int, sl slot, after []syncline.Value, keepsOld bool) state.Exception {
	t := &s.p.tasks[i]
	b, rule := t.entry.batch, s.m.rules[t.rule]
	ev := b.Events[t.event]
	ev.After = after
	if after != nil && !keepsOld && !s.m.traits.Events && len(rule.binding.Out.Key) > 0 {
		ev.Before = nil
	}
	if rule.Conflicts != nil && after != nil && !keepsOld {
		ev.Before = s.base(i, sl.key)
	}
	single := &syncline.Batch{Source: b.Source, Position: b.PositionOf(int(t.event)), Events: []syncline.Event{ev}}
	if ev.Txn < len(b.Txns) {
		single.Txns = []syncline.Txn{b.Txns[ev.Txn]}
	} else {
		single.Txns = []syncline.Txn{{}}
	}
	single.Events[0].Txn = 0
	meta := syncline.Meta{}
	if ev.Meta != nil {
		meta = *ev.Meta
	}
	meta.ID = b.EventID(int(t.event))
	single.Events[0].Meta = &meta
	record, err := syncline.AppendBatch(nil, single)
	if err != nil {
		panic("an event that was decoded does not encode: " + err.Error())
	}
	seq, index := t.entry.seq, t.entry.first+int(t.event)
	return state.Exception{Task: TaskID(rule.ID, b.Source, seq, index), Slice: s.m.slice, Rule: rule.ID, Source: b.Source, Entity: rule.Entity,
		Object: rule.Object, Key: sl.key, Seq: seq, Index: index, Created: s.now, Updated: s.now, Record: record}
}
