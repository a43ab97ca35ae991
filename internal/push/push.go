// Package push is the source whose changes arrive by themselves: applications POST CloudEvents to /v1/events, and each
// system of mode push is a syncline.Source that hands them to capture.
//
// An event is answered with 202 only after the batch that holds it is durable in the log. Requests that arrive while a
// batch is being appended go into the next one together: many clients share one fsync. A request is taken whole or not at
// all, and its events are one transaction.
//
// # Repeated events
//
// The same (source, id) with the same body is accepted again and not repeated, also after a restart; with another body it
// is refused. What the log holds decides. An id is looked for in two places that together are always complete: in memory,
// from its admission until it is in the index, and in the index, which the state store keeps. The index is written after
// the answer, and never by halves: beside the ids it holds a mark, "complete below this sequence of this log", and a
// source that opens first reads the log from the mark on and adds what a crash kept out of the index. The body's
// fingerprint is computed from the stored event, so the log alone is enough for that. An index that is ahead of its log, or
// belongs to another one (a log that was restored or begun anew), is emptied and made from the log.
//
// Ids are forgotten when the log entry that holds them is purged.
package push

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"syncline"
	"syncline/internal/cloudevent"
)

// Index remembers the ids of the events in the logs, with the fingerprints of their bodies; and beside them the versions of keys.
type Index interface {
	// SeenIDs returns those of the ids that are known.
	SeenIDs(ctx context.Context, source string, ids []string) (map[string][]byte, error)
	// SaveIDs adds ids or replaces what is known of them, all or none. They belong to entries of the log up to seq.
	SaveIDs(ctx context.Context, source string, seq syncline.Seq, ids map[string][]byte) error
	// TrimIDs forgets the ids that were saved with a sequence below this one.
	TrimIDs(ctx context.Context, source string, below syncline.Seq) error
}

// Log is what a source reads of its own log.
type Log interface {
	ID() string
	Bounds(ctx context.Context) (syncline.Bounds, error)
	Read(ctx context.Context, from syncline.Seq) (syncline.LogReader, error)
	MaxBatch() int
}

// System is a system that pushes.
type System struct {
	Name     string
	Entities []cloudevent.Entity
	// Log is the one that capture appends the system's batches to.
	Log Log
}

// Options configure an Intake. Systems and Index are required.
type Options struct {
	Systems []System
	Index   Index
	// MaxBody bounds a request's body in bytes; 0 = 8 MiB. Half of what the system's log takes is another bound: a request is one
	// batch, a little larger there, and an event that did not fit could be answered for by nobody later.
	MaxBody int64
	// MaxBatch bounds the events of a request; 0 = 1,000.
	MaxBatch int
	// MaxDepth bounds the nesting of an event's JSON; 0 = 32.
	MaxDepth int
	// MaxPending bounds the bodies of all requests that are under way, in bytes; 0 = 64 MiB. Beyond it requests are refused
	// with 503.
	MaxPending int64
	// Timeout bounds how long a request waits for the log; 0 = 10 s.
	Timeout time.Duration
	// Logger is nil for none.
	Logger *slog.Logger
}

// Intake takes the events of all systems. Its Serve answers POST /v1/events. It is safe for concurrent use.
type Intake struct {
	opts    Options
	pending atomic.Int64 // bytes of the requests under way

	mu      sync.Mutex
	systems map[string]*system
}

// system is what outlives the sources of one System.
type system struct {
	name string
	log  Log

	mu       sync.Mutex
	entities map[string]*cloudevent.Entity // replaced as a whole
	open     *Source                       // nil while there is none
}

// New returns an Intake whose systems are not open yet: their events are refused with 503 until capture has opened them.
func New(opts Options) (*Intake, error) {
	if opts.MaxBody == 0 {
		opts.MaxBody = 8 << 20
	}
	if opts.MaxPending == 0 {
		opts.MaxPending = 64 << 20
	}
	opts.MaxPending = max(opts.MaxPending, opts.MaxBody)
	if opts.Timeout == 0 {
		opts.Timeout = 10 * time.Second
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	in := &Intake{opts: opts}
	if err := in.Configure(opts.Systems); err != nil {
		return nil, err
	}
	return in, nil
}

// Configure replaces the systems and their entities. One that stays goes on taking events. After an error nothing has changed.
func (in *Intake) Configure(list []System) error {
	entities := make(map[string]map[string]*cloudevent.Entity, len(list))
	for _, s := range list {
		if _, twice := entities[s.Name]; twice || s.Name == "" {
			return syncline.Errorf(syncline.Fatal, "system_invalid", "the push system %q has no name of its own", s.Name)
		}
		entities[s.Name] = make(map[string]*cloudevent.Entity, len(s.Entities))
		for i := range s.Entities {
			e := s.Entities[i]
			if len(e.Key) == 0 {
				return syncline.Errorf(syncline.Fatal, "key_missing", "the entity %s of %s has no key", e.Name, s.Name).
					WithFix("declare the fields that identify a record: key: [id]")
			}
			entities[s.Name][e.Name] = &e
		}
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	systems := make(map[string]*system, len(list))
	for _, s := range list {
		sys := in.systems[s.Name]
		if sys == nil {
			sys = &system{name: s.Name, log: s.Log}
		}
		sys.mu.Lock()
		sys.entities = entities[s.Name]
		sys.mu.Unlock()
		systems[s.Name] = sys
	}
	in.systems = systems
	return nil
}

// system returns the system of this name, or nil, and its entities.
func (in *Intake) system(name string) (*system, map[string]*cloudevent.Entity) {
	in.mu.Lock()
	sys := in.systems[name]
	in.mu.Unlock()
	if sys == nil {
		return nil, nil
	}
	sys.mu.Lock()
	defer sys.mu.Unlock()
	return sys, sys.entities
}

// Source returns a source of the system that has not been opened. Capture makes a new one after each error; the one that was
// opened last takes the events.
func (in *Intake) Source(name string) (*Source, error) {
	sys, _ := in.system(name)
	if sys == nil {
		return nil, syncline.Errorf(syncline.Fatal, "unknown_source", "there is no push system %q", name)
	}
	return newSource(in, sys), nil
}

// source returns the open source of the system, or nil.
func (s *system) source() *Source {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open
}

// unavailable is the answer to a request that may be repeated as it is.
func unavailable(code, format string, args ...any) *cloudevent.Error {
	return &cloudevent.Error{Status: http.StatusServiceUnavailable, Event: -1, Err: syncline.Errorf(syncline.Transient, code, format, args...)}
}
