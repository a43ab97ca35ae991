package push

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"syncline"
	"syncline/internal/cloudevent"
)

// A batch takes requests until it has one of these; a larger request is a batch for itself.
const (
	batchBytes  = 1 << 20
	batchEvents = 4000
)

// checkpointVersion is the first byte of a checkpoint; the shapes follow.
const checkpointVersion = 1

// Source is one system's events between Open and Close.
type Source struct {
	in  *Intake
	sys *system
	log *slog.Logger

	wake    chan struct{} // buffered by one: an admission leaves a note, Next takes it
	closed  chan struct{} // closed by Close
	confirm chan struct{} // buffered by one: Confirm leaves a note, the indexer takes it
	stop    context.CancelFunc
	workers sync.WaitGroup

	// gate is held by an admission, shared, from its look into the index until its events are in ids, and by the indexer
	// before it takes saved ids out of ids: no id can leave memory unseen between the two looks.
	gate sync.RWMutex

	// Next and Open, which one goroutine calls, have these for themselves.
	shapes *cloudevent.Shapes
	epoch  uint32

	mu     sync.Mutex
	ready  bool // Open is done, Close has not begun
	queue  []*request
	flight []*request // handed to capture and not confirmed, in commit order
	ids    map[string]entry
	// unsaved are the durable ids that the index lacks.
	unsaved map[string][]byte
	// versions are the highest ones that were handed out and that the index may lack, by versionID.
	versions map[string]int64
	// commit is that of the last request handed out, confirmed that of the last durable one.
	commit, confirmed uint64
	stalled           error         // why nothing can be appended, or nil
	stall             chan struct{} // closed while stalled
}

// request is what of one HTTP request is new.
type request struct {
	records  []*cloudevent.Record
	ordinals []uint32 // the events' places in the request, from 1
	prints   [][]byte // the fingerprints of the bodies
	bytes    int
	received time.Time
	// versions are the highest versions so far of the keys whose records have one, by versionID: those in the index when the request
	// was admitted, and what was saved since.
	versions map[string]int64
	// superseded and raised are decided when the request leaves the queue: its records that are older than one before them, and the
	// versions that are the highest after it.
	superseded []bool
	raised     map[string]int64
	commit     uint64        // of its transaction, once it is in flight
	done       chan struct{} // closed when err is final
	err        error         // nil = durable; read after done
}

// entry is an id that is in memory.
type entry struct {
	print []byte
	req   *request
}

func newSource(in *Intake, sys *system) *Source {
	return &Source{in: in, sys: sys, log: in.opts.Logger.With("source", sys.name), wake: make(chan struct{}, 1), closed: make(chan struct{}),
		confirm: make(chan struct{}, 1), ids: map[string]entry{}, versions: map[string]int64{}, unsaved: map[string][]byte{}, stall: make(chan struct{})}
}

// Open makes the index complete and begins to take events.
func (s *Source) Open(ctx context.Context, checkpoint []byte, last syncline.Position) error {
	s.shapes, s.epoch = cloudevent.NewShapes(), max(last.Epoch, 1)
	if len(checkpoint) > 0 {
		shapes, err := cloudevent.ParseShapes(checkpoint[1:])
		if err != nil || checkpoint[0] != checkpointVersion {
			return syncline.Errorf(syncline.Fatal, "checkpoint_invalid", "the log of %s ends with a checkpoint that this version cannot read", s.sys.name).
				WithFix("run the version that wrote it")
		}
		s.shapes = shapes
	}
	ix := indexer{source: s, index: s.in.opts.Index, log: s.sys.log}
	if err := ix.catchUp(ctx); err != nil {
		return err
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	s.workers.Go(func() { ix.run(run) })

	s.mu.Lock()
	s.ready, s.commit, s.confirmed = true, last.Commit, last.Commit
	s.mu.Unlock()
	s.sys.mu.Lock()
	s.sys.open = s
	s.sys.mu.Unlock()
	return nil
}

// Next returns the events of the requests that are queued, each request one transaction. Its batches are as large as what
// has arrived since the last one.
func (s *Source) Next(ctx context.Context) (*syncline.Batch, error) {
	for {
		select {
		case <-s.closed:
			return nil, syncline.Errorf(syncline.Transient, "source_closed", "source %s is closed", s.sys.name)
		default:
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if requests := s.take(); len(requests) > 0 {
			return s.batch(requests), nil
		}
		select {
		case <-ctx.Done():
		case <-s.closed:
		case <-s.wake:
		}
	}
}

// take moves requests from the queue into flight and numbers them.
func (s *Source) take() []*request {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, bytes, events := 0, 0, 0
	for n < len(s.queue) {
		r := s.queue[n]
		if n > 0 && (bytes+r.bytes > batchBytes || events+len(r.records) > batchEvents) {
			break
		}
		n, bytes, events = n+1, bytes+r.bytes, events+len(r.records)
		s.commit++
		r.commit = s.commit
		s.judgeLocked(r)
	}
	requests := s.queue[:n:n]
	s.queue = s.queue[n:]
	s.flight = append(s.flight, requests...)
	return requests
}

func (s *Source) batch(requests []*request) *syncline.Batch {
	var all []*cloudevent.Record
	for _, r := range requests {
		all = append(all, r.records...)
	}
	s.shapes.Learn(all)
	b := &syncline.Batch{Source: s.sys.name, Txns: make([]syncline.Txn, len(requests)), Events: make([]syncline.Event, 0, len(all))}
	for txn, r := range requests {
		b.Txns[txn] = syncline.Txn{Commit: r.commit, Time: r.received}
		for i, record := range r.records {
			e := s.shapes.Event(record)
			e.Txn, e.Ordinal, e.Meta.Superseded = txn, r.ordinals[i], r.superseded[i]
			b.Events = append(b.Events, e)
		}
	}
	b.Position = b.PositionOf(len(b.Events) - 1)
	b.Position.Epoch = s.epoch
	b.Checkpoint = s.shapes.Append([]byte{checkpointVersion})
	return b
}

// Confirm answers the requests up to the position: they are durable.
func (s *Source) Confirm(p syncline.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for n < len(s.flight) && p.Epoch == s.epoch && s.flight[n].commit <= p.Commit {
		r := s.flight[n]
		for i, record := range r.records {
			s.unsaved[record.Meta.ID] = r.prints[i]
		}
		for id, version := range r.raised {
			s.unsaved[id] = versionValue(version)
		}
		s.confirmed = r.commit
		close(r.done)
		n++
	}
	if n == 0 {
		return
	}
	s.flight = s.flight[n:]
	s.recoverLocked()
	note(s.confirm)
}

// Stall tells that nothing can be appended, and with nil that this is over; so does the next Confirm. While it lasts,
// requests are answered at once with 507 (the log or its disk is full) or 503, those that wait too. What capture has in
// hand is stored when it can be; a client that sends it again is answered then.
func (s *Source) Stall(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.recoverLocked()
		return
	}
	if s.stalled == nil {
		close(s.stall)
	}
	s.stalled = err
	for _, r := range s.queue {
		s.failLocked(r, stallError(err))
	}
	s.queue = nil
}

func (s *Source) recoverLocked() {
	if s.stalled != nil {
		s.stalled, s.stall = nil, make(chan struct{})
	}
}

// failLocked ends a request that will not be stored; it is not in the queue any more.
func (s *Source) failLocked(r *request, err error) {
	for _, record := range r.records {
		delete(s.ids, record.Meta.ID)
	}
	r.err = err
	close(r.done)
}

// Close answers the requests that wait with 503 and takes no more. Their events are not stored, but for those that
// capture had in hand, whose fate the log knows.
func (s *Source) Close() error {
	s.sys.mu.Lock()
	if s.sys.open == s {
		s.sys.open = nil
	}
	s.sys.mu.Unlock()
	if s.stop != nil {
		s.stop()
	}
	s.workers.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.closed:
		return nil
	default:
		close(s.closed)
	}
	s.ready = false
	for _, r := range append(s.queue, s.flight...) {
		s.failLocked(r, closedError(s.sys.name))
	}
	s.queue, s.flight = nil, nil
	return nil
}

func closedError(source string) error {
	return unavailable("source_unavailable", "source %s is not taking events now", source)
}

// note leaves a note in a channel that holds one.
func note(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
