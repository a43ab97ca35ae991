package jetlog

import (
	"sync"
	"sync/atomic"

	"syncline"
)

const (
	// recentBytes is how much of a log's end is kept in memory, so that readers that keep up need not ask the server: what they ask for is copied
	// several times on its way. Readers and logs share the bytes. With less, a route that works off a backlog beside its source falls out of it.
	recentBytes = 16 << 20
	// recentOfAll is what the logs of a server keep together. Who comes first keeps what it has until it is purged; what fits into leastRecent each
	// keeps whatever the others do.
	recentOfAll = 32 << 20
	leastRecent = 4 << 20
	// entrySize is what an entry takes in memory beside its data.
	entrySize = 64
)

// tail is what this process knows of the end of one log, shared by all handles on it. It only ever holds what is durable.
type tail struct {
	mu sync.Mutex
	// last is the newest entry known to be there; the log may be longer.
	last syncline.Seq
	// recent are the newest entries up to last, without gaps; it may be empty.
	recent []syncline.Entry
	size   int
	// all is the size of what all logs of the server keep.
	all *atomic.Int64
	// grown is closed, and replaced, when last grows.
	grown chan struct{}
}

func newTail(all *atomic.Int64) *tail { return &tail{all: all, grown: make(chan struct{})} }

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
	t.resizeLocked(sizeOf(e))
	t.dropLocked(func(syncline.Entry) bool {
		return t.size > recentBytes || t.size > leastRecent && t.all.Load() > recentOfAll
	})
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
		t.resizeLocked(-sizeOf(t.recent[drop]))
		drop++
	}
	clear(t.recent[:drop])
	t.recent = t.recent[drop:]
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
	t.recent = t.recent[:0]
	t.resizeLocked(-t.size)
}

func sizeOf(e syncline.Entry) int { return entrySize + len(e.Data) }

func (t *tail) resizeLocked(by int) {
	t.size += by
	t.all.Add(int64(by))
}

func (t *tail) growLocked(seq syncline.Seq) {
	t.last = seq
	close(t.grown)
	t.grown = make(chan struct{})
}
