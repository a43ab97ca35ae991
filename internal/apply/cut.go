package apply

import (
	"slices"

	"syncline"
)

// A batch that the target refuses is tried again in commit order without coalescing, because values swapped between rows are refused only
// when they are merged. In that order the first event that the target names is condemned: those before it were taken. The plan that is made
// next has them again and parks it; where they are many, they are written by themselves and merged. Where the target names none, fewer are
// tried, until one is refused alone. See pace.

// condemnation is what is known of an event that the target refused in its turn.
type condemnation struct {
	err error
	// again: even the removal of its old key was refused.
	again bool
}

func (c *condemnation) Error() string { return c.err.Error() }
func (c *condemnation) Unwrap() error { return c.err }

// place is where an event stands in the log.
type place struct {
	seq   syncline.Seq
	index int
}

func placeOf(o syncline.Order) place { return place{o.Seq, o.Index} }

func placeAt(c syncline.Cursor) place { return place{c.Seq, c.Index} }

func (p place) before(q place) bool { return p.seq < q.seq || p.seq == q.seq && p.index < q.index }

// rejected takes over that the target refused the plan in flight as a whole, because of the change culprit if it is not negative.
func (m *machine) rejected(err error, culprit int) {
	p := m.inflight
	m.inflight = nil
	m.forget()
	ordered := p.ordered || m.traits.Events
	switch {
	case len(p.retry) > 0:
		m.refusedAgain(p, err, culprit)
		return
	case p.lead > 0 && !m.pace.careful(): // by the many that follow, as far as anybody knows
		m.pace.merged(p.events)
		return
	case p.lead > 0:
		m.refusedAhead(p)
		return
	case !ordered && placeAt(p.from).before(m.proven):
		m.proven = place{}
		return
	case !ordered && !p.single():
		m.pace.merged(p.events)
		return
	}
	tried := p.places()
	guilty := 0
	if len(tried) > 1 {
		if culprit < 0 || culprit >= len(p.changes) {
			m.pace.unnamed(len(tried))
			m.mayCut(tried)
			return
		}
		guilty = slices.Index(tried, placeOf(p.changes[culprit].Order))
	}
	_, again := m.condemned[tried[guilty]]
	m.condemned[tried[guilty]] = &condemnation{err: err, again: again}
	m.pace.named(guilty)
	if guilty >= fewest {
		m.proven = tried[guilty]
	}
}

// careful reports whether a plan that begins there is small and in commit order. What was taken in that order already may be merged.
func (m *machine) careful(at syncline.Cursor) bool {
	return m.pace.careful() && !placeAt(at).before(m.proven)
}

// places are the events that the changes of an ordered plan are of, in their order.
func (p *plan) places() (list []place) {
	for i := range p.changes {
		if at := placeOf(p.changes[i].Order); len(list) == 0 || list[len(list)-1] != at {
			list = append(list, at)
		}
	}
	return list
}

// refusedAgain takes over that the target refused parked records once more. The next plan of retries counts the attempt of the one that is
// known to be refused.
func (m *machine) refusedAgain(p *plan, err error, culprit int) {
	var tried []*entry
	guilty := -1
	if p.together && p.tries > 1 { // they are tried by themselves now, as the others are
		m.retries = pace{limit: 1}
		return
	}
	for i := range p.tasks {
		t := &p.tasks[i]
		if t.change < 0 {
			continue
		}
		if n := len(tried); n == 0 || tried[n-1] != t.entry {
			tried = append(tried, t.entry)
		}
		if int(t.change) == culprit {
			guilty = len(tried) - 1
		}
	}
	if len(tried) == 1 {
		guilty = 0
	}
	if guilty < 0 {
		m.retries.unnamed(len(tried))
		return
	}
	m.retries.named(guilty)
	p.retry[slices.Index(p.retryEntry, tried[guilty])].refused = err
}

// mostWhole bounds the transactions that careful plans do not cut.
const mostWhole = 64

// stops reports whether a careful plan ends before the i-th event of the entry. Constraints that are checked late may need all of a
// transaction: one that is not long is cut only if it was refused by itself.
func (m *machine) stops(p *plan, w *windowed, i int) bool {
	if !m.pace.careful() {
		return false
	}
	enough := p.tries >= m.pace.limit || p.condemned >= mostCondemned
	events, at := w.batch.Events, place{w.seq, i}
	switch {
	case at.before(m.proven):
		return false
	case placeAt(p.from).before(m.proven):
		return !p.empty()
	}
	if i > 0 && events[i-1].Txn == events[i].Txn {
		return enough && !at.before(p.whole)
	}
	n := 1
	for n <= mostWhole && i+n < len(events) && events[i+n].Txn == events[i].Txn {
		n++
	}
	if n <= mostWhole && !at.before(m.cutUpTo) {
		p.whole = place{w.seq, i + n}
	}
	return enough || p.tries > 0 && p.tries+n > m.pace.limit
}

// mayCut lets plans cut the transaction that all of the events are of, if they are of one.
func (m *machine) mayCut(tried []place) {
	first, last := tried[0], tried[len(tried)-1]
	if first.seq != last.seq {
		return
	}
	for _, w := range m.window {
		if w.seq == first.seq && w.batch.Events[first.index].Txn == w.batch.Events[last.index].Txn {
			m.cutUpTo = place{last.seq, last.index + 1}
		}
	}
}
