package poll

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"syncline"
	"syncline/internal/failpoint"
)

// Options configure a Source. Name, Entities, Dialect and Memory are required.
type Options struct {
	// Name is the source's name in batches.
	Name     string
	Entities []Entity
	Dialect  Dialect
	Memory   Memory
	// Snapshot: copy entities when nothing was ever captured.
	Snapshot bool
	// InitialRoutes names the entities that the first copy is of and, for each, the routes that it is for (none = all routes). nil =
	// every entity, for all routes. What there is of the others at the start is taken note of, and is no event.
	InitialRoutes map[string][]string
	// PageRows bounds the rows of a batch; 0 = 2000.
	PageRows int
	Now      func() time.Time // nil = time.Now; of events that have no time of their own
	Logger   *slog.Logger     // nil = none
}

// Source captures a database by asking it. See the package's documentation.
type Source struct {
	opt      Options
	log      *slog.Logger
	entities map[string]*Entity

	checkpoint checkpoint
	// at and ordinal are the position of the last batch that told of records.
	at      uint64
	ordinal uint32
	epoch   uint32
	open    bool
	listing bool // the dialect was opened to list records
	// begun: the batch that makes the identity durable was given out, or is in the log.
	begun bool
	// cleared: what was noted for batches that are not in the log is discarded.
	cleared bool
	readers map[string]*reader

	// poll and sweep are under way, nil where none is.
	poll  *polling
	sweep *sweeping
	turns Turns
	// copied: of the rest, a copy had the last step.
	copied bool

	mu        sync.Mutex
	confirmed uint64
	settled   uint64
	requests  []run
	keyParts  map[string]int // of each entity's key
	paces     map[string]syncline.Pace
	warnings  map[string][]string
	// wake has room for one signal: StartRun and Confirm send, Next receives, nobody closes.
	wake chan struct{}
}

const form = "poll"

// checkpoint is what the log keeps for us.
type checkpoint struct {
	// Form tells it from those of other kinds of sources.
	Form string `json:"form"`
	// Identity is what tells the database from others; "" where nothing does.
	Identity string `json:"identity,omitempty"`
	// Noted is the position that something was noted for last.
	Noted uint64 `json:"noted,omitempty"`
	// Entities are all that were ever captured: one that comes back goes on where it was.
	Entities map[string]*entityState `json:"entities"`
	Runs     []run                   `json:"runs,omitempty"`
	// Done are the runs that ended last, oldest first, at most maxDone.
	Done []string `json:"done,omitempty"`
}

// entityState is how far an entity is.
type entityState struct {
	// Read is what it is read from, in the form of signature.
	Read string `json:"read"`
	// Ready: it has been copied, or taken note of, once. Before that it is not polled.
	Ready    bool     `json:"ready"`
	Progress Progress `json:"progress"`
}

var (
	_ syncline.RunPacer  = (*Source)(nil)
	_ syncline.Checker   = (*Source)(nil)
	_ syncline.Describer = (*Source)(nil)
)

// New returns a source that is to be opened.
func New(opt Options) *Source {
	if opt.PageRows == 0 {
		opt.PageRows = 2000
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Source{opt: opt, log: opt.Logger.With("system", opt.Name), entities: make(map[string]*Entity), readers: make(map[string]*reader),
		keyParts: make(map[string]int), paces: make(map[string]syncline.Pace), warnings: make(map[string][]string), wake: make(chan struct{}, 1)}
	for i := range opt.Entities {
		s.entities[opt.Entities[i].Name] = &opt.Entities[i]
	}
	return s
}

// Open implements syncline.Source.
func (s *Source) Open(ctx context.Context, data []byte, last syncline.Position) error {
	if err := s.begin(ctx, data, last); err != nil {
		if e := s.Close(); e != nil {
			s.log.Warn("close database", "error", e)
		}
		return err
	}
	return nil
}

func (s *Source) begin(ctx context.Context, data []byte, last syncline.Position) error {
	s.begun, s.at, s.ordinal, s.epoch, s.confirmed, s.open = data != nil, last.Commit, last.Ordinal, max(last.Epoch, 1), last.Commit, true
	s.checkpoint = checkpoint{}
	if s.begun {
		if err := json.Unmarshal(data, &s.checkpoint); err != nil {
			return syncline.Errorf(syncline.Fatal, "checkpoint_unreadable", "read checkpoint of %s: %w", s.opt.Name, err)
		}
		if s.checkpoint.Form != form {
			return syncline.Errorf(syncline.Fatal, "source_changed", "%s was captured in another way before", s.opt.Name).
				WithFix("give the system that is polled a name of its own, or its capture the mode that it had")
		}
	}
	s.checkpoint.Form = form
	if s.checkpoint.Entities == nil {
		s.checkpoint.Entities = make(map[string]*entityState)
	}
	identity, err := s.opt.Dialect.Open(ctx)
	if err != nil {
		return err
	}
	if s.begun && s.checkpoint.Identity != identity {
		return syncline.Errorf(syncline.Fatal, "source_changed", "the database is not the one that %s was captured from", s.opt.Name).
			WithFix("put the right database back; to capture this one instead, give it a system name of its own")
	}
	s.checkpoint.Identity = identity
	for _, name := range s.names() {
		if _, err := s.table(ctx, s.entities[name]); err != nil {
			return err
		}
	}
	if err := s.checkMemory(ctx); err != nil {
		return err
	}
	return s.admit(ctx)
}

// names are those of the entities, in order.
func (s *Source) names() []string { return slices.Sorted(maps.Keys(s.entities)) }

// checkMemory finds out whether what is known of records is of another time than the log: a copy of one of the two was put back, or the
// state store is lost. Then everything is read again, and what cannot be told to be old is an event. Records that went meanwhile are for a verify to find.
func (s *Source) checkMemory(ctx context.Context) error {
	noted, settled, err := s.opt.Memory.Noted(ctx, s.opt.Name)
	if err != nil || noted >= s.checkpoint.Noted && settled <= s.at {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(s.checkpoint.Entities)) {
		if e := s.checkpoint.Entities[name]; e.Ready {
			s.log.Warn("what was known of records is lost: the entity is read anew; verify its rules, for records that are gone are not noticed", "entity", name)
			e.Progress = Progress{}
		}
		if settled > s.at { // of records that the log does not tell of
			if err := s.forget(ctx, name); err != nil {
				return err
			}
		}
	}
	s.checkpoint.Noted = noted
	return nil
}

// signature is what an entity is read from. Another key makes other records of it.
func signature(e *Entity) (key, read string) {
	k, _ := json.Marshal(e.Key) // a list of texts
	all, _ := json.Marshal([]any{e.Table, e.Query, e.Key, e.Watermark})
	return string(k), string(k) + string(all)
}

// admit takes over which entities there are. A new one is copied for the routes that the first copy is for, or just taken note of. One
// that is read from elsewhere, or in another order, is read from its beginning.
func (s *Source) admit(ctx context.Context) error {
	c := &s.checkpoint
	var first []run
	for _, name := range s.names() {
		e := s.entities[name]
		key, read := signature(e)
		was := c.Entities[name]
		if was != nil && was.Read == read {
			continue
		}
		if was != nil && was.Ready {
			s.log.Warn("the entity is read from another place: it is read from its beginning", "entity", name)
			if len(was.Read) < len(key) || was.Read[:len(key)] != key {
				if err := s.forget(ctx, name); err != nil {
					return err
				}
			}
			was.Read, was.Progress = read, Progress{}
			continue
		}
		c.Entities[name] = &entityState{Read: read}
		c.Runs = slices.DeleteFunc(c.Runs, func(r run) bool { return r.Entity == name && r.initial() })
		routes, wanted := s.opt.InitialRoutes[name]
		r := run{ID: "snapshot-" + name, Kind: syncline.RunSnapshot, Entity: name, Routes: slices.Clone(routes), Empty: true}
		if s.begun || !s.opt.Snapshot || s.opt.InitialRoutes != nil && !wanted {
			r = baseline(name)
		}
		first = append(first, r)
	}
	c.Runs = append(first, c.Runs...)
	return nil
}

func (s *Source) forget(ctx context.Context, entity string) error {
	for more := true; more; {
		var err error
		if more, err = s.opt.Memory.Forget(ctx, s.opt.Name, entity); err != nil {
			return err
		}
	}
	return nil
}

// Next implements syncline.Source.
func (s *Source) Next(ctx context.Context) (*syncline.Batch, error) {
	if !s.open {
		return nil, fmt.Errorf("read from a source that is not open")
	}
	if !s.begun {
		s.begun, s.at = true, max(s.at, 1)
		return s.seal(&syncline.Batch{Sync: true})
	}
	for {
		if err := s.settle(ctx); err != nil {
			return nil, err
		}
		s.takeRequests()
		b, did, err := s.step(ctx)
		if b != nil || err != nil {
			return b, err
		}
		if did && ctx.Err() == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-s.wake:
		}
	}
}

// step does the next piece of work; did is false where there is none.
func (s *Source) step(ctx context.Context) (b *syncline.Batch, did bool, err error) {
	begun := s.poll != nil
	if !begun {
		s.nextPoll()
	}
	keys, rows := s.chunkRuns()
	sweeps := s.sweep != nil || s.nextSweep()
	switch s.turns.Next(keys >= 0, s.poll != nil, begun, rows >= 0 || sweeps) {
	case WorkLook:
		b, err = s.pollStep(ctx)
	case WorkKeys:
		b, err = s.chunk(ctx, keys)
	case WorkRest:
		if s.copied = rows >= 0 && !(sweeps && s.copied); s.copied {
			b, err = s.chunk(ctx, rows)
		} else {
			b, err = s.sweepStep(ctx)
		}
	default:
		return nil, false, nil
	}
	return b, true, err
}

// settle makes what was noted for confirmed batches what is known.
func (s *Source) settle(ctx context.Context) error {
	if !s.cleared {
		if err := s.opt.Memory.Discard(ctx, s.opt.Name, s.at); err != nil {
			return err
		}
		s.cleared = true
	}
	s.mu.Lock()
	confirmed := s.confirmed
	s.mu.Unlock()
	for more := confirmed > s.settled; more; {
		var err error
		if more, err = s.opt.Memory.Settle(ctx, s.opt.Name, confirmed); err != nil {
			return err
		}
	}
	s.settled = max(s.settled, confirmed)
	return nil
}

// note takes note of records for the batch, which gets a position of its own.
func (s *Source) note(ctx context.Context, entity string, seen []Seen) error {
	s.at, s.ordinal = s.at+1, 1
	if len(seen) == 0 {
		return nil
	}
	if err := s.opt.Memory.Note(ctx, s.opt.Name, entity, s.at, seen); err != nil {
		return err
	}
	s.checkpoint.Noted = s.at
	failpoint.Hit("poll.noted")
	return nil
}

// seal adds what every batch carries.
func (s *Source) seal(b *syncline.Batch) (*syncline.Batch, error) {
	data, err := json.Marshal(s.checkpoint)
	if err != nil {
		return nil, fmt.Errorf("write checkpoint: %w", err)
	}
	b.Source, b.Checkpoint = s.opt.Name, data
	b.Position = syncline.Position{Epoch: s.epoch, Commit: s.at, Ordinal: s.ordinal}
	return b, nil
}

// stream is a batch of events that happened, at a position of its own.
func (s *Source) stream(events []syncline.Event) *syncline.Batch {
	for i := range events {
		events[i].Ordinal = uint32(i + 1)
	}
	s.ordinal = uint32(len(events))
	return &syncline.Batch{Txns: []syncline.Txn{{Commit: s.at, Time: s.opt.Now().UTC()}}, Events: events}
}

// Confirm implements syncline.Source.
func (s *Source) Confirm(p syncline.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.Epoch == s.epoch && p.Commit > s.confirmed {
		s.confirmed = p.Commit
		s.wakeUp()
	}
}

func (s *Source) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Close implements syncline.Source.
func (s *Source) Close() error {
	s.open, s.listing, s.poll, s.sweep = false, false, nil, nil
	return s.opt.Dialect.Close()
}
