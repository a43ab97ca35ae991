package capture

import (
	"fmt"
	"slices"

	"syncline"
	"syncline/internal/plant"
)

// machine decides what a capture does next. It has no goroutine, clock, randomness or I/O: what happened goes in through its
// methods, and next says what to do. One batch at most is on its way into the log; what the source gives meanwhile fills the
// following one.
//
// An append that failed is repeated with the same batch until it is known to be stored, so that what was read behind it stays
// right. Only where the log says that another batch was stored (log_moved) is everything in hand void. A source that fails is
// closed after what it gave before is in the log: it might fail at the same place again and again.
type machine struct {
	source string // for batches and messages
	limits Limits

	// state and err are how the capture is, for its Status.
	state State
	err   error

	phase phase
	// due is the next move where that is an announcement of what has just been decided.
	due move
	// busy: what next last asked for is not done yet.
	busy     bool
	stopping bool
	// failures counts what failed in a row.
	failures int

	// born is false until a source that was never captured has said from where on it will miss nothing: before that, it is not
	// running.
	born bool
	// logged is how far the source's stream is in the log, read how far it was taken.
	logged, read syncline.Position
	// reading: the source was asked for a batch.
	reading  bool
	waiting  []*fill // at most the one that fills, and one that it has no room for
	inflight *syncline.Batch
	stage    stage
	// resting: the append in flight is tried again once time has passed.
	resting bool
	// stalled: the source was told that the log takes nothing.
	stalled bool
	// broken is the source's last word. What it gave before goes into the log first.
	broken error
	// failed is why the source is closed now.
	failed error
	// renewed: another source is to be opened once what this one gave is in the log. dropped: at once, and what it gave is void.
	renewed, dropped bool
}

type phase uint8

const (
	phaseClosed  phase = iota // the source is to be opened
	phaseOpen                 // batches go through
	phaseResting              // the source is closed until time has passed
	phaseHalted               // the source is closed until somebody says to go on
	phaseOver
)

// stage is how far the batch in flight has got.
type stage uint8

const (
	stageAppend stage = iota
	stageConfirm
	stageRecord
)

// move is what a capture does next.
type move uint8

const (
	// moveWait: nothing until something happens.
	moveWait move = iota
	// moveOpen: open the source at the log's end, then call opened or closed.
	moveOpen
	// moveAppend: append machine.inflight, then call appended.
	moveAppend
	// moveConfirm: tell the source that machine.logged is safe.
	moveConfirm
	// moveRecord: note in the state store how far the run of machine.inflight is, then call recorded.
	moveRecord
	// moveRelieve: tell the source that the log takes batches again.
	moveRelieve
	// movePause: let time pass, more with machine.failures, then call elapsed. machine.err says why; if machine.stalled, tell the
	// source.
	movePause
	// moveHalt: call resumed when somebody says to go on. machine.err says why.
	moveHalt
	// moveClose: close the source, whatever it is doing, then call closed with machine.failed.
	moveClose
	// moveEnd: it is over.
	moveEnd
)

func newMachine(source string, limits Limits) *machine {
	return &machine{source: source, limits: limits.withDefaults(), state: StateStarting}
}

// next decides. It is called again after everything that happened.
func (m *machine) next() move {
	switch {
	case m.due != moveWait:
		due := m.due
		m.due = moveWait
		return due
	case m.busy:
		return moveWait
	case m.phase == phaseOpen:
		return m.work()
	case m.stopping:
		m.phase, m.state, m.err = phaseOver, StateStopped, nil
		return moveEnd
	case m.phase == phaseClosed:
		return m.begin(moveOpen)
	}
	return moveWait
}

// begin is for a move that takes time.
func (m *machine) begin(v move) move {
	m.busy = true
	return v
}

// work decides while the source is open.
func (m *machine) work() move {
	switch {
	case m.failed != nil, m.dropped:
		return m.begin(moveClose)
	case m.resting:
		return moveWait
	case m.inflight != nil:
		return m.proceed()
	case len(m.waiting) > 0:
		m.inflight, m.stage = m.waiting[0].batch, stageAppend
		m.waiting = slices.Delete(m.waiting, 0, 1)
		return m.begin(moveAppend)
	case m.broken != nil:
		m.failed = m.broken
		return m.begin(moveClose)
	case m.renewed:
		return m.begin(moveClose)
	case m.stopping && !m.reading:
		return m.begin(moveClose)
	}
	return moveWait
}

// proceed takes the batch in flight through its stages: nothing is confirmed before it is in the log, and a run is noted before
// the next append, so that the log's last batch tells what the state store may lack.
func (m *machine) proceed() move {
	switch m.stage {
	case stageAppend:
		return m.begin(moveAppend)
	case stageConfirm:
		if m.inflight.Chunk != nil {
			m.stage = stageRecord
		} else {
			m.inflight = nil
		}
		return moveConfirm
	}
	return m.begin(moveRecord)
}

// opened takes over that the source stands at the log's end. born is false for one that was never captured and has to say first
// where it begins.
func (m *machine) opened(last syncline.Position, born bool) {
	m.busy, m.phase = false, phaseOpen
	m.logged, m.read, m.born = last, last, born
	if born {
		m.state, m.err = StateRunning, nil
	}
}

// wants reports whether the source is to be asked for a batch: what is read ahead is bounded, and nothing is read ahead of a batch
// that must be in the log first.
func (m *machine) wants() bool {
	if m.phase != phaseOpen || m.reading || m.stopping || m.renewed || m.dropped || m.broken != nil || m.failed != nil {
		return false
	}
	if len(m.waiting) == 0 {
		return m.inflight == nil || !m.inflight.Sync
	}
	return len(m.waiting) == 1 && m.waiting[0].room(m.limits)
}

// asked takes over that the source was asked for a batch.
func (m *machine) asked() { m.reading = true }

// take takes over what the source gave.
func (m *machine) take(b *syncline.Batch) {
	m.reading = false
	if err := m.check(b); err != nil {
		m.broken = err
		return
	}
	if plant.DropEvents {
		b.Events = plant.Drop(b)
	}
	if plant.SwapEvents {
		plant.Swap(b)
	}
	m.read, b.Source = b.Position, m.source
	if n := len(m.waiting); n == 0 || !m.waiting[n-1].join(b, m.limits) {
		m.waiting = append(m.waiting, &fill{batch: b})
	}
}

// check refuses a batch that would break the order that everything downstream relies on.
func (m *machine) check(b *syncline.Batch) error {
	if b.Position.Compare(m.read) < 0 {
		return syncline.Errorf(syncline.Fatal, "position_backwards", "source %s went back from %s to %s", m.source, m.read, b.Position)
	}
	if b.Chunk == nil && len(b.Events) > 0 {
		if at := b.PositionOf(0); at.Compare(m.read) <= 0 {
			return syncline.Errorf(syncline.Fatal, "position_backwards", "source %s sent %s again after %s", m.source, at, m.read)
		}
	}
	return nil
}

// broke takes over that the source failed, or was interrupted by the stop.
func (m *machine) broke(err error) {
	if m.reading = false; !m.stopping {
		m.broken = err
	}
}

// appended takes over what came of the append of the batch in flight.
func (m *machine) appended(err error) {
	m.busy = false
	switch {
	case err == nil:
	case syncline.ClassOf(err) != syncline.Transient, syncline.CodeOf(err) == "log_moved", m.stopping:
		m.failed = fmt.Errorf("append to the log of %s: %w", m.source, err)
		return
	default:
		m.failures++
		m.resting, m.stalled = true, true
		m.state, m.err, m.due = StateDegraded, err, movePause
		return
	}
	b := m.inflight
	m.logged, m.stage, m.failures = b.Position, stageConfirm, 0
	if m.born = m.born || Born(b); m.born {
		m.state, m.err = StateRunning, nil
	}
	if m.stalled {
		m.stalled, m.due = false, moveRelieve
	}
}

// Born reports whether the source whose last batch in the log this is had begun by then. The first word of one that was never captured
// may say only that it is going to; a place in its stream, even before the first change, says that it has.
func Born(last *syncline.Batch) bool {
	return last.Position.Epoch > 1 || last.Position.Commit > 0 || last.Position.Ordinal > 0 || last.Chunk != nil || !last.Sync
}

// recorded takes over whether the progress of the run was noted.
func (m *machine) recorded(err error) {
	m.busy, m.inflight, m.failed = false, nil, err
}

// elapsed takes over that the time of movePause has passed.
func (m *machine) elapsed() {
	m.resting = false
	if m.phase == phaseResting {
		m.phase = phaseClosed
	}
}

// closed takes over that the source is closed, or did not open, and why.
func (m *machine) closed(err error) {
	m.busy, m.phase, m.reading, m.resting, m.stalled = false, phaseClosed, false, false, false
	m.waiting, m.inflight, m.broken, m.failed, m.renewed, m.dropped = nil, nil, nil, nil, false, false
	switch {
	case m.stopping:
	case err == nil: // another source, or this one behind a gap, has yet to open
		m.state, m.err = StateStarting, nil
	case syncline.ClassOf(err) != syncline.Transient: // a batch that the log refuses is refused again
		m.phase, m.state, m.err, m.due = phaseHalted, StateHalted, err, moveHalt
	default:
		m.failures++
		m.phase, m.state, m.err, m.due = phaseResting, StateDegraded, err, movePause
	}
}

// resumed takes over that somebody wants a capture that is halted, or lets time pass, to go on.
func (m *machine) resumed() {
	if m.phase == phaseHalted {
		m.phase, m.failures = phaseClosed, 0
	}
	m.elapsed()
}

// renew takes over that another source is to be opened in place of this one. One that is closed is tried at once.
func (m *machine) renew() {
	m.renewed = m.phase == phaseOpen
	m.resumed()
}

// drop takes over that the source is to be opened anew at the log's end, whatever it gave: the log may never take that. What is on its
// way into the log is waited for, because it may be stored.
func (m *machine) drop() {
	m.dropped = m.phase == phaseOpen
	m.resumed()
}

// stop makes it come to an end: nothing new is asked for, and what is in hand is appended, or tried once more.
func (m *machine) stop() {
	m.stopping, m.resting = true, false
}
