// Package memlog is a syncline.Log in memory, for tests and for the simulation. It keeps the encoded bytes of each batch,
// as a real log does, and tells what is synced from what is not: Crash leaves only what was synced.
//
// It starts no goroutine, and with Options.Now and Options.NewID it reads no clock and no randomness: the same calls in the
// same order give the same logs.
package memlog

import (
	"crypto/rand"
	"sync"
	"time"

	"syncline"
)

// Options configure a Store.
type Options struct {
	// Now is the clock of Entry.Time; nil = time.Now.
	Now func() time.Time
	// NewID makes the identity of a new log; nil = random.
	NewID func() string
	// MaxBatch is the limit of syncline.Log; 0 = 32 MiB, about that of the real one.
	MaxBatch int
}

// Store is the disk: it holds the log of each source and outlives the handles on them.
type Store struct {
	opts Options

	mu      sync.Mutex
	sources map[string]*disk
}

// disk is one log as it is stored. Entry i has sequence first+i; those from synced on are not durable and no reader sees
// them.
type disk struct {
	id      string
	first   syncline.Seq
	entries []stored
	synced  int
	bytes   int64
	// grown is closed, and replaced, whenever a reader may find more than before: something was synced, or its handle died.
	grown chan struct{}
	// boot counts crashes: a handle of an earlier boot is dead.
	boot int
}

type stored struct {
	syncline.Entry
	// writer is the handle that appended the entry, by which it recognises its own append after a lost answer.
	writer *Log
}

// New returns an empty store.
func New(opts Options) *Store {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.NewID == nil {
		opts.NewID = rand.Text
	}
	if opts.MaxBatch == 0 {
		opts.MaxBatch = 32 << 20
	}
	return &Store{opts: opts, sources: make(map[string]*disk)}
}

// Log opens the log of the source, and makes it if there is none. Whoever opens it finds what another handle has written, and that is durable then.
func (s *Store) Log(source string) *Log {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.sources[source]
	if d == nil {
		d = &disk{id: s.opts.NewID(), first: 1, grown: make(chan struct{})}
		s.sources[source] = d
	}
	d.sync()
	return &Log{store: s, disk: d, source: source, id: d.id, boot: d.boot, last: d.writtenLast()}
}

// Crash is the end of the process or the power: what was not synced is gone, and every handle and reader that was open
// returns errors from now on. Log opens what is left.
func (s *Store) Crash() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.sources {
		for _, e := range d.entries[d.synced:] {
			d.bytes -= int64(len(e.Data))
		}
		d.entries = d.entries[:d.synced]
		d.boot++
		d.wake()
	}
}

// last is the newest sequence that is durable, 0 for an empty log.
func (d *disk) last() syncline.Seq { return d.first + syncline.Seq(d.synced) - 1 }

func (d *disk) writtenLast() syncline.Seq { return d.first + syncline.Seq(len(d.entries)) - 1 }

func (d *disk) sync() {
	d.synced = len(d.entries)
	d.wake()
}

func (d *disk) wake() {
	close(d.grown)
	d.grown = make(chan struct{})
}
