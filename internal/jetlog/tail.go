package jetlog

import (
	"sync"

	"syncline"
)

// recentBytes is how much of a log's end is kept in memory, so that readers that keep up need not ask the server.
const recentBytes = 4 << 20

// tail is what this process knows of the end of one log, shared by all handles on it. It only ever holds what is durable.
type tail struct {
	mu sync.Mutex
	// last is the newest entry known to be there; the log may be longer.
	last syncline.Seq
	// recent are the newest entries up to last, without gaps; it may be empty.
	recent []syncline.Entry
	size   int
	// grown is closed, and replaced, when last grows.
	grown chan struct{}
}

func newTail() *tail { return &tail{grown: make(chan struct{})} }

// append notes an entry that was appended here. The tail keeps its data, which nobody may change.
func (t *tail) append(e syncline.Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.Seq <= t.last {
		return
	}
	if e.Seq != t.last+1 {
		t.forgetLocked()
	}
	t.recent = append(t.recent, e)
	t.size += len(e.Data)
	t.dropLocked(func(syncline.Entry) bool { return t.size > recentBytes })
	t.growLocked(e.Seq)
}

// purge forgets the entries below seq.
func (t *tail) purge(below syncline.Seq) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dropLocked(func(e syncline.Entry) bool { return e.Seq < below })
}

// dropLocked forgets the oldest entries for as long as they are unwanted.
func (t *tail) dropLocked(unwanted func(syncline.Entry) bool) {
	drop := 0
	for drop < len(t.recent) && unwanted(t.recent[drop]) {
		t.size -= len(t.recent[drop].Data)
		drop++
	}
	n := copy(t.recent, t.recent[drop:])
	clear(t.recent[n:])
	t.recent = t.recent[:n]
}

// advance notes that the log reaches up to seq.
func (t *tail) advance(seq syncline.Seq) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if seq > t.last {
		t.forgetLocked()
		t.growLocked(seq)
	}
}

// at returns the entry if it is one of the recent ones; otherwise the end of the log as far as it is known, and a
// channel that is closed when that changes.
func (t *tail) at(seq syncline.Seq) (e syncline.Entry, ok bool, last syncline.Seq, grown <-chan struct{}) {
	t.mu.Lock()
	if n := len(t.recent); n > 0 && seq <= t.last && seq >= t.recent[0].Seq {
		e, ok = t.recent[seq-t.recent[0].Seq], true
	}
	last, grown = t.last, t.grown
	t.mu.Unlock()
	return e, ok, last, grown
}

// state tells whether at has the entry, and the end of the log as far as it is known.
func (t *tail) state(seq syncline.Seq) (recent bool, last syncline.Seq) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.recent) > 0 && seq <= t.last && seq >= t.recent[0].Seq, t.last
}

func (t *tail) forgetLocked() {
	clear(t.recent)
	t.recent, t.size = t.recent[:0], 0
}

func (t *tail) growLocked(seq syncline.Seq) {
	t.last = seq
	close(t.grown)
	t.grown = make(chan struct{})
}
