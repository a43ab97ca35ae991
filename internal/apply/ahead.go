package apply

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"syncline"
	"syncline/internal/plant"
	"syncline/internal/state"
)

// Urgent events are carried out before those that come first in the log, together with everything of their record that stands before
// them: order per key holds. They lead a plan that goes on with the events whose turn it is. What led is not counted by that plan's
// journal, which has the events of its range only, but noted in the state store beside it: if the target turns out to stand before the
// plan's end, the notes go with the journal row, whoever holds the cursor. In its turn, an event that is done is counted and not
// carried out again.
//
// What cannot be done without parking something or clearing what is parked is left to its turn, and so is what the target refuses.

// aheadTasks bounds what is done ahead and not yet counted.
const aheadTasks = 10_000

// aheads is what a machine knows of urgent events.
type aheads struct {
	// on: the route takes urgent events ahead.
	on bool
	// urgent wait to lead a plan, the most urgent first. blocked are hashes of keys that wait for their turn, up to a place.
	urgent  []*urgent
	blocked map[uint32]place
	// known is what was scouted, up to scoutNext. stopped: that entry must be passed first. due: something has happened since the
	// last scouting; busy: one is under way.
	known     []scouted
	scoutNext syncline.Seq
	stopped   bool
	due       bool
	busy      bool
}

// startAhead takes over what is done.
func (m *machine) startAhead(on bool, done []state.Ahead) {
	m.on = on && !m.outside && !m.decides && !plant.NoPriorities
	for _, r := range m.rules {
		m.on = m.on && !r.shared
	}
	m.early = make(map[place]map[int32]state.Outcome)
	m.blocked = make(map[uint32]place)
	m.note(done)
}

func (m *machine) note(done []state.Ahead) {
	for _, a := range done {
		r, ok := m.parking.rules[a.Rule]
		if !ok {
			continue
		}
		at := place{a.Seq, a.Index}
		if m.early[at] == nil {
			m.early[at] = make(map[int32]state.Outcome)
		}
		m.early[at][int32(r)] = a.Outcome
	}
}

// wantsScout reports whether there may be something urgent beyond what the next plans take.
func (m *machine) wantsScout() bool {
	return m.on && m.due && !m.busy && len(m.urgent) < scoutUrgent && len(m.early) < aheadTasks && (m.more || m.inHand() > m.limits.MaxRows)
}

// remembered is the number of events that are scouted.
func (m *machine) remembered() (n int) {
	for i := range m.known {
		n += len(m.known[i].hashes)
	}
	return n
}

// inHand is the number of events in the window that are in no plan.
func (m *machine) inHand() (n int) {
	for i := m.planned.entry; i < len(m.window); i++ {
		n += len(m.window[i].batch.Events)
	}
	return n - m.planned.event
}

// scout returns what to look for next; nil where that must wait.
func (m *machine) scout() *scouting {
	m.due = false
	from := m.at().Seq
	switch {
	case m.making != nil:
		from = m.making.from.Seq
	case m.planned.entry >= len(m.window):
		from = m.expects()
	}
	if m.stopped && from <= m.scoutNext {
		return nil
	}
	keep := slices.IndexFunc(m.known, func(s scouted) bool { return s.seq >= from })
	if m.stopped || keep < 0 {
		m.known, m.scoutNext, m.stopped = nil, from, false
	} else {
		m.known = slices.Clone(m.known[keep:])
	}
	if m.remembered() >= scoutEvents {
		return nil
	}
	m.busy = true
	s := &scouting{route: m.slice.Route, schemas: make(map[string]uint64), known: m.known, from: m.scoutNext}
	for entity, rules := range m.byEntity {
		for _, r := range rules {
			if s.schemas[entity] = m.rules[r].fingerprint; m.rules[r].binding == nil {
				s.schemas[entity] = 0
				break
			}
		}
	}
	return s
}

// scoutedAll takes over what was found. The plan in making is made anew where something is urgent.
func (m *machine) scoutedAll(s *scouting, err error) {
	m.busy = false
	if err != nil {
		m.known, m.scoutNext, m.stopped = nil, 0, false // what is wrong with the log is told by whoever reads it in order
		return
	}
	m.known, m.scoutNext, m.stopped = s.known, s.next, s.stopped && !s.unbound
	if len(s.urgent) == 0 {
		return
	}
	m.urgent = append(m.urgent, s.urgent...)
	slices.SortStableFunc(m.urgent, func(a, b *urgent) int { return cmp.Compare(b.priority, a.priority) })
	m.unmake()
}

// unmake drops the plan in making, whatever is in flight: its events are offered again.
func (m *machine) unmake() {
	if m.making == nil {
		return
	}
	if m.making.resets != nil {
		m.making.resets.reset = false
	}
	from := m.making.from
	m.making, m.filling = nil, time.Time{}
	for i, w := range m.window {
		if w.seq == from.Seq {
			m.planned.entry, m.planned.event = i, from.Index
			return
		}
	}
}

// lead puts urgent events at the front of a plan that has just begun.
func (m *machine) lead(p *plan) {
	if len(m.urgent) == 0 || len(m.condemned) > 0 {
		return
	}
	p.ordered = false
	from := place{p.from.Seq, p.from.Index}
	m.urgent = slices.DeleteFunc(m.urgent, func(u *urgent) bool { return u.blocked || u.at.before(from) })
	for again := true; again; {
		again = false
		for _, u := range m.urgent {
			if len(p.tasks) >= aheadTasks-len(m.early) || p.size() >= max(m.limits.MaxRows/2, 1) {
				break
			}
			if !m.mayLead(p, u, from) {
				continue
			}
			if !m.leadWith(p, u, from) {
				u.blocked, again = true, true
				break
			}
		}
		if again { // what it left in the plan cannot be taken out of it
			at := p.from
			*p = plan{from: at, to: at}
		}
	}
	p.lead = len(p.tasks)
	p.ordered = p.lead == 0 && m.careful(p.from)
}

// mayLead reports whether it is worth while, and possible, that the urgent event leads the plan.
func (m *machine) mayLead(p *plan, u *urgent, from place) bool {
	if u.blocked || from.seq < u.since || m.near(u.at, from) {
		return false
	}
	if until, ok := m.blocked[u.hash]; ok && !until.before(from) {
		return false
	}
	for _, q := range [2]*plan{p, m.inflight} {
		if q != nil && slices.Contains(q.urgent, u) {
			return false
		}
	}
	anything := false
	for _, e := range u.events {
		at := place{e.seq, e.first}
		if at.before(from) || p.leads[at] || m.isDone(e) {
			continue
		}
		anything = true
		if at == from || m.inflight != nil && m.inflight.leads[at] {
			return false
		}
		for _, r := range m.byEntity[e.batch.Events[0].Schema.Entity] {
			if rule := m.rules[r]; rule.binding == nil || !rule.fits(e.batch.Events[0].Schema) || !rule.binding.ordinary() {
				return false
			}
		}
	}
	return anything
}

// near reports whether the plan takes the event anyway.
func (m *machine) near(at, from place) bool {
	n, rows := -from.index, m.limits.MaxRows
	if m.pace.careful() {
		rows = min(rows, m.pace.limit)
	}
	for _, w := range m.window {
		switch {
		case w.seq < from.seq:
		case w.seq == at.seq:
			return n+at.index < rows
		default:
			n += len(w.batch.Events)
		}
	}
	return false
}

// isDone reports whether every rule has the event done.
func (m *machine) isDone(e *entry) bool {
	for _, r := range m.byEntity[e.batch.Events[0].Schema.Entity] {
		if _, done := m.early[place{e.seq, e.first}][int32(r)]; !done {
			return false
		}
	}
	return true
}

// leadWith puts the urgent event and what stands before it into the plan. It reports false where that would park something, or clear what
// is parked.
func (m *machine) leadWith(p *plan, u *urgent, from place) bool {
	for _, e := range u.events {
		at := place{e.seq, e.first}
		if at.before(from) || p.leads[at] || m.isDone(e) {
			continue
		}
		if p.leads == nil {
			p.leads = make(map[place]bool)
		}
		p.leads[at] = true
		ev := &e.batch.Events[0]
		for _, r := range m.byEntity[ev.Schema.Entity] {
			if _, done := m.early[at][int32(r)]; done {
				continue
			}
			it := item{e: e, r: r, rule: m.rules[r], order: syncline.Order{Epoch: m.rules[r].epoch, Seq: e.seq, Index: e.first}}
			m.plan(p, it)
		}
		if len(p.holds) > 0 || len(p.obsolete) > 0 || len(p.truncated) > 0 {
			return false
		}
	}
	p.urgent = append(p.urgent, u)
	return true
}

// leads reports whether the event leads a plan that is not settled: what becomes of it is not known yet.
func (m *machine) leads(p *plan, at place) bool {
	return p.leads[at] || m.inflight != nil && m.inflight.leads[at]
}

// refusedAhead leaves what led a plan that the target refused to its turn.
func (m *machine) refusedAhead(p *plan) {
	for _, u := range p.urgent {
		u.blocked = true
		if m.blocked[u.hash].before(u.at) {
			m.blocked[u.hash] = u.at
		}
	}
}

// doneAhead takes over what a plan has done ahead. What it has not is left to its turn.
func (m *machine) doneAhead(p *plan, c *state.Commit) {
	if !m.on && len(m.early) == 0 {
		return
	}
	m.due = true
	m.note(c.Ahead)
	if len(c.Ahead) < p.lead {
		m.refusedAhead(p)
	}
	at := place{m.committed.Seq, m.committed.Index}
	for d := range m.early {
		if d.before(at) {
			delete(m.early, d)
		}
	}
	for h, until := range m.blocked {
		if until.before(at) {
			delete(m.blocked, h)
		}
	}
	m.urgent = slices.DeleteFunc(m.urgent, func(u *urgent) bool { return slices.Contains(p.urgent, u) })
}

// ahead returns what led the plan and is done, as the state store must know it, and the number of tasks that led.
func (s *settling) ahead(codes []state.Outcome) {
	for i := range s.p.lead {
		if t := &s.p.tasks[i]; codes[i] != state.Parked {
			s.commit.Ahead = append(s.commit.Ahead, state.Ahead{Rule: s.m.rules[t.rule].ID, Seq: t.entry.seq, Index: t.entry.first + int(t.event), Outcome: codes[i]})
		}
	}
}

// ordinary reports whether records keep the order of their source keys: each has one key at the target, and no other record has it.
func (b *Binding) ordinary() bool { return len(b.Out.Key) > 0 && (b.Key == nil || b.SameKey) }

// scoutNow looks for urgent events.
func (s *Session) scoutNow(ctx context.Context) {
	if !s.m.wantsScout() {
		return
	}
	if look := s.m.scout(); look != nil {
		s.m.scoutedAll(look, look.find(ctx, s.r.o.Log))
	}
}

// scoutBeside does so beside everything else.
func (s *Session) scoutBeside(ctx context.Context, workers *sync.WaitGroup, told chan<- func()) {
	if !s.m.wantsScout() {
		return
	}
	look := s.m.scout()
	if look == nil {
		return
	}
	workers.Go(func() {
		err := look.find(ctx, s.r.o.Log)
		told <- func() { s.m.scoutedAll(look, err) }
	})
}
