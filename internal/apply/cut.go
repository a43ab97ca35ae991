package apply

import (
	"slices"

	"syncline"
)

// rejected takes over that the target refused the plan in flight as a whole. It returns false where that settles the plan: the
// retry of one slot, which must be recorded by calling settle with the returned result.
func (m *machine) rejected(err error, culprit int) (again bool, res syncline.Result) {
	p := m.inflight
	if len(p.retry) > 1 {
		m.together = max(m.before(p, culprit), 1)
		m.inflight = nil
		m.forget()
		return true, res
	}
	if len(p.retry) == 1 {
		res.Outcomes = make([]syncline.Outcome, len(p.changes))
		res.Rejected = make(map[int]error)
		for i := range p.changes {
			res.Outcomes[i], res.Rejected[i] = syncline.OutcomeRejected, err
		}
		return false, res
	}
	m.inflight = nil
	if p.lead > 0 {
		m.refusedAhead(p)
		m.forget()
		return true, res
	}
	switch {
	case p.single():
		for i := range p.tasks {
			t := &p.tasks[i]
			at := place{t.entry.seq, t.entry.first + int(t.event)}
			_, again := m.condemned[at]
			m.condemned[at] = &condemnation{err: err, again: again}
		}
		m.inOrder = false
	case culprit >= 0 && culprit < len(p.changes) && p.newest[culprit] >= 0:
		before := m.eventsBefore(p, &p.tasks[p.newest[culprit]])
		m.suspects, m.inOrder = p.events, p.ordered
		m.try, m.alone = before, true
		if before == 0 {
			m.try, m.alone = 1, false
		}
	case !p.ordered:
		m.suspects, m.try, m.inOrder = p.events, p.events, true
	default:
		m.suspects, m.try, m.inOrder = p.events, (p.events+1)/2, false
	}
	m.forget()
	return true, res
}

// eventsBefore counts the events of the plan that stand before the task's.
func (m *machine) eventsBefore(p *plan, t *task) int {
	n := 0
	for _, w := range m.window {
		if w.seq < p.from.Seq {
			continue
		}
		from, to := 0, len(w.batch.Events)
		if !m.concerns(w.batch) {
			to = 0
		}
		if w.seq == p.from.Seq {
			from = p.from.Index
		}
		if w.seq == t.entry.seq {
			return n + int(t.event) - from
		}
		n += max(to-from, 0)
	}
	return n
}

// before returns how many slots of a retry come before the one that the change belongs to; half of them where it is not known which change
// was refused.
func (m *machine) before(p *plan, change int) int {
	for i := range p.tasks {
		if int(p.tasks[i].change) != change || change < 0 {
			continue
		}
		if n := slices.Index(p.retryEntry, p.tasks[i].entry); n >= 0 {
			return n
		}
	}
	return len(p.retry) / 2
}
