package apply

import (
	"fmt"
	"slices"
	"time"

	"syncline"
	"syncline/internal/state"
)

// Limits bound what a slice does at once.
type Limits struct {
	// MaxRows bounds the changes of a Write; 0 = 5,000.
	MaxRows int
	// MaxWait bounds how long a Write that has room waits for changes that are in the log already; 0 = it does not wait. A route
	// that stands at the log's end never does.
	MaxWait time.Duration
	// Window bounds the stored bytes of the entries in hand, which take about four times that in memory; 0 = 4 MiB. One entry is
	// always taken.
	Window int
	// Parked and ParkedBytes bound the tasks that wait and the size of their records, which are kept in memory; at a limit the slice
	// reads no further; 0 = 100,000 and 64 MiB. As many again may wait for the source's answer before the slice asks for a sync
	// instead.
	Parked, ParkedBytes int
}

func (l Limits) withDefaults() Limits {
	if l.MaxRows <= 0 {
		l.MaxRows = 5000
	}
	if l.Window <= 0 {
		l.Window = 4 << 20
	}
	if l.Parked <= 0 {
		l.Parked = 100_000
	}
	if l.ParkedBytes <= 0 {
		l.ParkedBytes = 64 << 20
	}
	return l
}

// machine decides what a slice does next. It has no goroutine, clock, randomness or I/O: what happened goes in through its
// methods, and next says what to do. One plan at most is in flight; the following one is made meanwhile.
//
// A rejected plan is cut until the event is known that the target refuses, see cut.go. Only prefixes are tried, so the cursor never has
// holes. That event is condemned: the next plan parks it.
type machine struct {
	planner
	slice   state.Slice
	version string // of the rules, for the journal
	keeps   bool   // the target holds the cursor
	limits  Limits
	retry   Retry

	committed syncline.Cursor
	window    []*windowed
	bytes     int
	// planned is the window's first entry and event that is in no plan yet.
	planned struct{ entry, event int }
	making  *plan
	// spares are plans that were carried out, whose memory the next ones take: one is made while another is in flight.
	spares []*plan
	// resting is since when there has been nothing to do, where there is something to let go of then.
	resting time.Time
	// more: the log holds what follows the window. filling is since when the plan in making could be applied and waits for
	// that; zero = it does not wait.
	more    bool
	filling time.Time

	// pace bounds plans of new events, retries those of parked slots at a target that takes all or nothing.
	pace, retries pace
	// together: an operator has had many tried again, and the next plan of retries takes all that it can hold, whatever their pace is:
	// records that exchange unique values are refused one by one for ever, and taken together where constraints are checked late.
	together bool
	// cutUpTo is the end of a transaction that was refused by itself, proven that of events which were taken but for the one after them.
	cutUpTo, proven place
	// turn alternates between new events and retries.
	turn bool
	// unsaved: committed is beyond the cursor that the target stores, which was last moved at saved, to stored.
	unsaved bool
	saved   time.Time
	stored  syncline.Seq
	copies  copies
	// decides: a rule has a conflict section. decided is what persons decided about conflicts, by task.
	decides bool
	decided map[string]state.Choice

	// outside: a rule's records are asked for before they are planned. missing: those of the next event are not there. preparing is
	// the question under way, recalled are the answers for parked tasks that were not tried yet.
	outside   bool
	missing   bool
	preparing *preparation
	recalled  map[string]*recalled

	aheads
}

// newMachine returns a machine that goes on at the cursor.
func newMachine(pl planner, slice state.Slice, version string, keeps bool, at syncline.Cursor, limits Limits, retry Retry) *machine {
	pl.condemned = make(map[place]*condemnation)
	m := &machine{planner: pl, slice: slice, version: version, keeps: keeps, committed: at, limits: limits.withDefaults(), retry: retry.withDefaults(),
		retries: pace{limit: 1}}
	for _, r := range pl.rules {
		m.outside = m.outside || r.Outside
		m.decides = m.decides || r.Conflicts != nil || r.Judged
	}
	return m
}

// parkedFull reports whether so much waits that nothing more is read. What waits for the source's answer does not count: the
// answer comes through the log.
func (m *machine) parkedFull() bool {
	return m.parking.waiting.reaches(m.limits)
}

// crowded returns an error where so many tasks wait for the source's answer that a copy of all records is the shorter way.
func (m *machine) crowded() error {
	if !m.parking.asked.reaches(m.limits) {
		return nil
	}
	return syncline.Errorf(syncline.Fatal, "needs_sync", "%d changes wait for their records to be read from the source: the target lacks most of them",
		m.parking.asked.tasks).WithFix("%s", anew)
}

// move is what the slice does next.
type move uint8

const (
	// moveWait: nothing until something happens.
	moveWait move = iota
	// moveApply: apply machine.inflight.
	moveApply
	// moveDefine: tell the target of machine.wantSchema for machine.wantRule, then call defined.
	moveDefine
	// movePrepare: ask what machine.preparing asks, then call prepared. A plan may be in flight meanwhile.
	movePrepare
)

// next decides. It is called again after everything that happened.
func (m *machine) next(now time.Time) move {
	if m.inflight != nil {
		if len(m.inflight.retry) == 0 { // else whether a key still waits is not known yet
			m.make()
		}
		return m.nextPreparation()
	}
	if m.turn = !m.turn; m.turn && m.tryParked(now, company) {
		return moveApply
	}
	needDefine := m.make()
	if m.making != nil && len(m.making.tasks) == 0 && len(m.making.changes) == 0 {
		m.pass()
		needDefine = m.make() || needDefine
	}
	if m.making != nil && !m.making.empty() && !m.fills(now) {
		m.inflight, m.making, m.filling = m.making, nil, time.Time{}
		return moveApply
	}
	if needDefine {
		return moveDefine
	}
	if m.tryParked(now, 0) {
		return moveApply
	}
	if m.nextPreparation() == movePrepare {
		return movePrepare
	}
	if m.unsaved && !now.Before(m.saveAt()) {
		m.save()
		return moveApply
	}
	m.rest(now)
	return moveWait
}

// fills reports whether the plan in making, which has room, waits for entries that the log holds.
func (m *machine) fills(now time.Time) bool {
	if m.limits.MaxWait <= 0 || !m.more || !m.wants() || m.planned.entry < len(m.window) || m.making.closed || m.full(m.making) || m.making.lead > 0 || m.pace.careful() {
		return false
	}
	if m.filling.IsZero() {
		m.filling = now
	}
	return now.Sub(m.filling) < m.limits.MaxWait
}

// saveEvery is how often a route with nothing to write still moves its stored cursor: sooner where it has come far, for the log is kept from
// there on, than where there are only the marks of a source in which nothing happens.
const (
	saveEvery = 10 * time.Second
	saveFar   = 30 // entries
	saveMarks = 5 * time.Minute
)

// saveAt is when a route with nothing to write moves its stored cursor.
func (m *machine) saveAt() time.Time {
	if m.committed.Seq-m.stored >= saveFar {
		return m.saved.Add(saveEvery)
	}
	return m.saved.Add(saveMarks)
}

// save has the cursor stored.
func (m *machine) save() { m.inflight = &plan{from: m.committed, to: m.committed, passed: true} }

// leave reports whether the cursor is to be stored before the route ends, and puts that in flight: the next start would read again what is
// none of the route's.
func (m *machine) leave() bool {
	if m.inflight != nil || !m.unsaved || m.committed.Seq-m.stored < saveFar {
		return false
	}
	m.save()
	return true
}

// pass moves on behind events that are none of the route's, without a write. The stored cursor follows with the next one.
func (m *machine) pass() {
	if m.making.to == m.committed {
		return
	}
	m.committed, m.unsaved = m.making.to, true
	m.making = nil
	m.trim()
}

// make extends the plan in making with events of the window. It returns true where an event's schema must be defined first.
func (m *machine) make() (needDefine bool) {
	m.missing = false
	for m.planned.entry < len(m.window) {
		w := m.window[m.planned.entry]
		if m.making == nil {
			at := syncline.Cursor{Log: m.committed.Log, Epoch: m.committed.Epoch, Seq: w.seq, Index: m.planned.event}
			m.making = m.begin(at)
			m.lead(m.making)
		}
		p := m.making
		events := w.batch.Events
		if !m.concerns(w.batch) {
			events = nil
		}
		if c := w.batch.Chunk; c != nil && c.First && c.Reset && m.planned.event == 0 && !w.reset && m.concerns(w.batch) {
			if !p.empty() {
				return false
			}
			if len(events) > 0 && m.unfit(events[0].Schema) {
				return true
			}
			w.reset, p.resets = true, w
			m.reset(p, &w.entry)
			return false
		}
		for m.planned.event < len(events) {
			if m.full(p) || m.stops(p, w, m.planned.event) || m.on && m.leads(p, place{w.seq, m.planned.event}) {
				return false
			}
			if m.outside && m.unprepared(&w.entry, m.planned.event) {
				m.missing = true
				return false
			}
			switch m.offer(p, &w.entry, m.planned.event) {
			case flush:
				return false
			case define:
				return true
			}
			m.planned.event++
			p.to.Index = m.planned.event
		}
		m.planned.entry++
		m.planned.event = 0
		p.to.Seq, p.to.Index = w.seq+1, 0
		if len(events) == 0 {
			p.passed = true
		}
	}
	return false
}

// begin returns an empty plan that begins at the cursor.
func (m *machine) begin(at syncline.Cursor) *plan {
	p := &plan{}
	if n := len(m.spares); n > 0 {
		p, m.spares = m.spares[n-1], m.spares[:n-1]
	}
	p.from, p.to, p.ordered = at, at, m.careful(at)
	return p
}

func (m *machine) full(p *plan) bool {
	if p.lead > 0 && p.events == 0 {
		return false // whatever leads it, a plan moves the cursor
	}
	if p.size() >= m.limits.MaxRows {
		return true
	}
	return m.pace.careful() && (p.lead > 0 || len(p.tasks) >= max(mostPlanned, m.pace.limit))
}

// company is how long a retry that is due waits for others while there are new events: a batch of retries costs about the same for one
// and for many.
const company = time.Second

// tryParked makes a plan of parked slots whose time has come, that long ago for one of them.
func (m *machine) tryParked(now time.Time, wait time.Duration) bool {
	if at, due := m.parking.wake(); !due || at.Add(wait).After(now) {
		return false
	}
	n, tries := m.limits.MaxRows, m.limits.MaxRows
	together := m.together && m.traits.Transactional
	if m.traits.Transactional {
		tries = m.retries.limit
		if together {
			tries = min(mostPlanned, m.limits.MaxRows)
		}
		n = min(n, tries+mostCondemned)
	}
	var ready []*parked
	if m.outside {
		ready = m.askParked(m.parking.ready(now, m.limits.MaxRows), n)
	} else {
		ready = m.parking.ready(now, n)
	}
	if len(ready) == 0 {
		return false
	}
	m.together = false
	p := &plan{from: m.committed, to: m.committed, ordered: true, together: together}
	for _, k := range ready {
		if p.tries >= tries || p.condemned >= mostCondemned {
			break
		}
		x := k.head()
		e := &entry{seq: x.Seq, first: x.Index}
		it := item{r: int(k.slot.rule), order: syncline.Order{Epoch: m.rules[k.slot.rule].epoch, Seq: x.Seq, Index: x.Index}}
		var err error
		switch known := m.recalled[x.Task]; {
		case k.refused != nil:
			err = k.refused
			p.condemned++
		case known != nil:
			e, it.rule = known.entry, known.rule
			delete(m.recalled, x.Task)
		default:
			e.batch, it.rule, err = m.recall(k)
		}
		it.e = e
		p.retry, p.retryEntry = append(p.retry, k), append(p.retryEntry, e)
		if err != nil {
			p.hold(it, k.slot.key, "rejected", err) // counts as an attempt: it must come to an end
			continue
		}
		p.stand(k.slot, cleared)
		if m.outgrown(x, it) {
			m.readAnew(p, it, k.slot.key)
			continue
		}
		before := len(p.changes)
		m.plan(p, it)
		if len(p.changes) > before {
			p.tries++
		}
	}
	m.forget()
	m.inflight = p
	return true
}

// recall returns the record that the slot's head keeps, and the rule bound to its schema, which may be older than that of the rows
// that come now.
func (m *machine) recall(k *parked) (*syncline.Batch, *bound, error) {
	b, err := syncline.DecodeBatch(k.head().Record)
	if err != nil {
		return nil, nil, fmt.Errorf("read the parked record: %w", err)
	}
	rule, err := m.rules[k.slot.rule].at(b.Events[0].Schema)
	if err != nil {
		return nil, nil, fmt.Errorf("rule %s does not fit the parked record: %w", m.rules[k.slot.rule].ID, err)
	}
	return b, rule, nil
}

// defined takes over that the target knows the wanted schema.
func (m *machine) defined(binding *Binding) {
	r := m.rules[m.wantRule]
	r.schema, r.fingerprint, r.binding, r.fitted = m.wantSchema, m.wantSchema.Fingerprint(), binding, m.wantSchema
}

// done takes over that the plan in flight is applied and its commit is in the state store.
func (m *machine) done(c *state.Commit, now time.Time) {
	p := m.inflight
	m.inflight = nil
	m.parking.fold(c)
	m.remember(c.Conflicts)
	if len(p.retry) > 0 {
		m.retries.taken(p.tries, m.limits.MaxRows)
		m.forget() // the plan that was there before counts on their keys to wait
		return
	}
	m.committed = p.to
	m.saved, m.stored, m.unsaved = now, m.committed.Seq, false
	m.trim()
	m.doneAhead(p, c)
	for at := range m.condemned {
		if at.seq < m.committed.Seq || at.seq == m.committed.Seq && at.index < m.committed.Index {
			delete(m.condemned, at)
		}
	}
	if m.pace.careful() && p.tries > 0 && p.ordered {
		if m.pace.taken(p.tries, m.limits.MaxRows); m.pace.limit >= m.limits.MaxRows {
			m.pace = pace{}
		}
		if !m.pace.careful() {
			m.forget() // the next one may be merged
		}
	}
	// What was parked without the next plan knowing: its later events must wait, and those of the other key that it concerns.
	for i := range c.Park {
		s, ok := m.parking.slotOf(&c.Park[i])
		if _, moves := m.parking.moves.tasks[c.Park[i].Task]; moves || ok && p.parking[s] != holding {
			m.forget()
			break
		}
	}
	if len(m.spares) < maxSpares {
		m.spares = append(m.spares, p.emptied())
	}
}

// maxSpares is the number of plans that there are at once.
const maxSpares = 2

// rest lets go of what only a route with much to do needs, once it has had nothing to do for a while: a target that is faster than the source
// has nothing to do between any two batches.
func (m *machine) rest(now time.Time) {
	large := func(p *plan) bool { return cap(p.changes) > restRows }
	switch {
	case len(m.window) > 0 || !slices.ContainsFunc(m.spares, large):
		m.resting = time.Time{}
	case m.resting.IsZero():
		m.resting = now
	case now.Sub(m.resting) >= restAfter:
		m.spares, m.resting = slices.DeleteFunc(m.spares, large), time.Time{}
	}
}

// restAfter is how long nothing must have been to do.
const restAfter = 5 * time.Second

// restRows is the size of a plan whose memory is kept while there is nothing to do.
const restRows = 256
