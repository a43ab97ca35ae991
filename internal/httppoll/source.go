package httppoll

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"syncline"
	"syncline/internal/cloudevent"
	"syncline/internal/poll"
)

// A batch is closed at the first of these.
const (
	maxEvents = 4000
	maxBytes  = 1 << 20
)

// SourceOptions configure a Source. Name, Client, Entities and Memory are required.
type SourceOptions struct {
	// Name is the source's name in batches.
	Name string
	// Client asks the service. It is the caller's, who keeps it for the next source.
	Client   *Client
	Entities []Entity
	// Memory keeps what was seen last of each record.
	Memory poll.Memory
	// Snapshot: copy entities when nothing was ever captured.
	Snapshot bool
	// InitialRoutes names the entities that the first copy is of and, for each, the routes that it is for (none = all routes). nil =
	// every entity, for all routes. What there is of the others at the start is taken note of, and is no event.
	InitialRoutes map[string][]string
	Now           func() time.Time // nil = time.Now
	Logger        *slog.Logger     // nil = none
}

// Source captures a service by asking it. See the package's documentation.
type Source struct {
	o        SourceOptions
	log      *slog.Logger
	entities map[string]*Entity

	checkpoint checkpoint
	shapes     *cloudevent.Shapes
	// at is the position of the last batch that told or noted anything.
	at    syncline.Position
	open  bool
	begun bool
	// works are the runs that have begun since the source was opened, by their ids.
	works map[string]*work
	step  int64
	turns poll.Turns
	// beside is for a source that is not opened.
	beside *beside
	// caches are the pages that looks have read, by entity.
	caches map[string]pageCache

	mu        sync.Mutex
	confirmed uint64
	settled   uint64
	requests  []run
	warnings  map[string]string
	paces     map[string]syncline.Pace
	// wake has room for one signal: StartRun and Confirm send, Next receives, nobody closes.
	wake chan struct{}
}

// checkpoint is what the log keeps for us.
type checkpoint struct {
	// Form tells it from those of other kinds of sources.
	Form string `json:"form"`
	// Noted is the position that something was noted for last.
	Noted uint64 `json:"noted,omitempty"`
	// Entities are all that were ever captured: one that comes back goes on where it was.
	Entities map[string]*progress `json:"entities"`
	// Shapes are the columns that records have had (cloudevent.Shapes.Append).
	Shapes []byte `json:"shapes,omitempty"`
	Runs   []run  `json:"runs,omitempty"`
	// Done are the runs that ended last, oldest first, at most maxDone.
	Done []string `json:"done,omitempty"`
}

// form is that of this version's checkpoints.
const form = "http"

// progress is how far an entity is.
type progress struct {
	// Key are the fields of its key: what is known of records is known by them. Asked is how its listing is asked for, as a hash: the
	// watermark is of that.
	Key   []string `json:"key"`
	Asked uint64   `json:"asked,string"`
	// Ready: it was copied, or taken note of, once. Before that nothing is an event.
	Ready bool `json:"ready,omitempty"`
	// Mark is the watermark; nil = none. Next is one that the last listing had, and that is the watermark once another listing, which began
	// when it was known, has been read.
	Mark *Mark `json:"mark,omitempty"`
	Next *Mark `json:"next,omitempty"`
}

// reach takes note of the highest watermark of a listing. It is not sure where records on earlier pages may have changed before it came about: a
// number does not tell when.
func (p *progress) reach(m *Mark, sure bool) {
	if sure {
		p.Next = nil
	} else {
		m, p.Next = p.Next, m
	}
	if m != nil && (p.Mark == nil || m.compare(*p.Mark) > 0) {
		p.Mark = m
	}
}

var (
	_ syncline.RunPacer = (*Source)(nil)
	_ syncline.Checker  = (*Source)(nil)
)

// NewSource returns a source that is to be opened.
func NewSource(o SourceOptions) *Source {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Source{o: o, log: o.Logger.With("system", o.Name), entities: make(map[string]*Entity), works: make(map[string]*work),
		caches: make(map[string]pageCache), warnings: make(map[string]string), paces: make(map[string]syncline.Pace), wake: make(chan struct{}, 1)}
	for i := range o.Entities {
		e := o.Entities[i]
		e.parsed = cloudevent.Entity{Name: e.Name, Key: e.Key, Version: e.Version}
		s.entities[e.Name] = &e
		s.caches[e.Name] = pageCache{}
	}
	return s
}

// Open implements syncline.Source. It asks the service nothing.
func (s *Source) Open(ctx context.Context, data []byte, last syncline.Position) error {
	if err := s.o.Client.held(); err != nil {
		return err
	}
	s.begun, s.at = data != nil, syncline.Position{Epoch: max(last.Epoch, 1), Commit: last.Commit, Ordinal: max(last.Ordinal, 1)}
	s.confirmed = last.Commit
	s.checkpoint = checkpoint{Form: form, Entities: map[string]*progress{}}
	s.shapes = cloudevent.NewShapes()
	if s.begun {
		if err := s.readCheckpoint(data); err != nil {
			return err
		}
	}
	if err := s.checkMemory(ctx); err != nil {
		return err
	}
	// What was noted for batches that did not get into the log never happened.
	if err := s.o.Memory.Discard(ctx, s.o.Name, last.Commit); err != nil {
		return err
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	if err := s.admitEntities(ctx); err != nil {
		return err
	}
	if !s.begun && s.o.Snapshot {
		s.queueSnapshots()
	}
	s.open = true
	return nil
}

func (s *Source) readCheckpoint(data []byte) error {
	err := json.Unmarshal(data, &s.checkpoint)
	if !bytes.HasPrefix(data, []byte("{")) || err == nil && s.checkpoint.Form != form {
		return syncline.Errorf(syncline.Fatal, "source_changed", "%s was captured in another way before", s.o.Name).
			WithFix("give the system that is polled a name of its own, or its capture the mode that it had")
	}
	unreadable := func(err error) error {
		return syncline.Errorf(syncline.Fatal, "checkpoint_unreadable", "read checkpoint of %s: %w", s.o.Name, err).WithFix("run the version that wrote it")
	}
	if err != nil {
		return unreadable(err)
	}
	if s.checkpoint.Entities == nil {
		s.checkpoint.Entities = map[string]*progress{}
	}
	if len(s.checkpoint.Shapes) > 0 {
		shapes, err := cloudevent.ParseShapes(s.checkpoint.Shapes)
		if err != nil {
			return unreadable(err)
		}
		s.shapes = shapes
		s.o.Client.learned(s.checkpoint.Shapes)
	}
	return nil
}

// checkMemory finds out whether what is known of records is of another time than the log: a copy of one of the two was put back, or the
// state store is lost. Then everything is read again, and what cannot be told to be old is an event. Records that went meanwhile are for a
// verify to find.
func (s *Source) checkMemory(ctx context.Context) error {
	noted, settled, err := s.o.Memory.Noted(ctx, s.o.Name)
	if err != nil || noted >= s.checkpoint.Noted && settled <= s.at.Commit {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(s.checkpoint.Entities)) {
		if p := s.checkpoint.Entities[name]; p.Ready {
			s.log.Warn("what was known of records is lost: the entity is read anew; verify its rules, for records that are gone are not noticed", "entity", name)
			p.Mark, p.Next = nil, nil
		}
		if settled > s.at.Commit { // of records that the log does not tell of
			if err := s.forget(ctx, name); err != nil {
				return err
			}
		}
	}
	s.checkpoint.Noted = 0
	return nil
}

func (s *Source) forget(ctx context.Context, entity string) error {
	for {
		more, err := s.o.Memory.Forget(ctx, s.o.Name, entity)
		if !more || err != nil {
			return err
		}
	}
}

// admitEntities takes note of entities that are new, or have another key: what was known of records by another key is forgotten. One that
// is asked for in another way is read from its beginning.
func (s *Source) admitEntities(ctx context.Context) error {
	for name, e := range s.entities {
		p := s.checkpoint.Entities[name]
		if p == nil || !slices.Equal(p.Key, e.Key) {
			if err := s.forget(ctx, name); err != nil {
				return err
			}
			p = &progress{Key: slices.Clone(e.Key)}
			s.checkpoint.Entities[name] = p
		}
		if asked := e.asked(); p.Asked != asked {
			p.Mark, p.Next, p.Asked = nil, nil, asked
		}
	}
	return nil
}

func (s *Source) queueSnapshots() {
	for _, name := range slices.Sorted(maps.Keys(s.entities)) {
		routes, wanted := s.o.InitialRoutes[name]
		if !wanted && s.o.InitialRoutes != nil {
			continue
		}
		s.checkpoint.Runs = append(s.checkpoint.Runs, run{ID: "snapshot-" + name, Kind: syncline.RunSnapshot, Entity: name,
			Routes: slices.Clone(routes), Empty: true})
	}
}

// Next implements syncline.Source.
func (s *Source) Next(ctx context.Context) (*syncline.Batch, error) {
	if !s.open {
		return nil, fmt.Errorf("read from a source that is not open")
	}
	if !s.begun {
		s.begun = true
		return s.seal(&syncline.Batch{Sync: true})
	}
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := s.settle(ctx); err != nil {
			return nil, err
		}
		s.takeRequests()
		if r := s.due(); r != nil {
			b, err := s.work(r).step(ctx)
			if err != nil {
				return nil, err
			}
			if b != nil {
				return s.seal(b)
			}
			continue
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-s.wake:
		}
	}
}

// seal adds what every batch carries.
func (s *Source) seal(b *syncline.Batch) (*syncline.Batch, error) {
	s.checkpoint.Shapes = s.shapes.Append(nil)
	s.o.Client.learned(s.checkpoint.Shapes)
	data, err := json.Marshal(s.checkpoint)
	if err != nil {
		return nil, fmt.Errorf("write checkpoint: %w", err)
	}
	b.Source, b.Checkpoint, b.Position = s.o.Name, data, s.at
	return b, nil
}

// Confirm implements syncline.Source.
func (s *Source) Confirm(p syncline.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.Epoch == s.at.Epoch {
		s.confirmed = max(s.confirmed, p.Commit)
	}
	s.signal()
}

// signal wakes Next.
func (s *Source) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// settle makes what is noted of batches that are in the log what is known.
func (s *Source) settle(ctx context.Context) error {
	s.mu.Lock()
	confirmed, settled := s.confirmed, s.settled
	s.mu.Unlock()
	if confirmed == settled {
		return nil
	}
	for more := true; more; {
		var err error
		if more, err = s.o.Memory.Settle(ctx, s.o.Name, confirmed); err != nil {
			return err
		}
	}
	s.mu.Lock()
	s.settled = confirmed
	s.mu.Unlock()
	return nil
}

// Warnings implements capture.Warner.
func (s *Source) Warnings() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Values(s.warnings))
}

// warn keeps what an operator should know of the entity; "" = nothing any more.
func (s *Source) warn(entity, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if text == "" {
		delete(s.warnings, entity)
		return
	}
	if s.warnings[entity] != text {
		s.log.Warn("entity is not polled as it should be", "entity", entity, "warning", text)
	}
	s.warnings[entity] = text
}

// Close implements syncline.Source. The client stays the caller's.
func (s *Source) Close() error {
	s.open = false
	clear(s.works)
	return nil
}

// Check implements syncline.Checker: it asks for the first page of each entity.
func (s *Source) Check(ctx context.Context) []syncline.Finding {
	var found []syncline.Finding
	for _, name := range slices.Sorted(maps.Keys(s.entities)) {
		e := s.entities[name]
		list, err := e.list(s.o.Client, nil, nil).next(ctx)
		switch {
		case err != nil:
			found = append(found, syncline.Failure(err, ""))
		case len(list) > 0 && e.Watermark != "" && !list[0].marked:
			found = append(found, syncline.Finding{Level: "fail", Code: "watermark_missing", What: "records of " + name + " have nothing at " + e.Watermark,
				Fix: "correct watermark of the entity"})
		default:
			found = append(found, syncline.Finding{Level: "ok", What: fmt.Sprintf("the listing of %s has %d records on its first page", name, len(list))})
		}
	}
	return found
}
