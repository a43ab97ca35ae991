// Package pgsource captures the changes of a PostgreSQL database by logical replication.
package pgsource

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"syncline"
	"syncline/internal/pgoutput"
)

// Options describe a source.
type Options struct {
	// Name is the system's name, Batch.Source.
	Name string
	// URL is a PostgreSQL connection string.
	URL string
	// Slot and Publication are names on the server; "" = "syncline_" and Name.
	Slot, Publication string
	// Manage allows the source to create, and at an interrupted birth to drop, its slot and publication.
	Manage bool
	// Snapshot is "initial" or "never": whether tables are copied at the first start; "" = "initial".
	Snapshot string
	// Entities are the tables to capture.
	Entities []Entity
	// InitialRoutes names the entities that are copied at the first start and, for each, the routes that the copy is for
	// (none = all routes). nil = every entity, for all routes.
	InitialRoutes map[string][]string
	// ChunkRows bounds the rows of a batch of a run; 0 = 4,000.
	ChunkRows int
	// Heartbeat is how often an otherwise idle source writes a logical message when the server's WAL grows elsewhere;
	// 0 = 10 s.
	Heartbeat time.Duration
	// Marker is how often at most an idle source emits a batch that only moves the position; 0 = 10 s.
	Marker time.Duration
	// Backlog is how far behind the slot must be, in bytes of WAL, to be read by SQL instead of from the walsender; 0 = 2 MiB.
	Backlog int64
	// Gap, where it is declared at the log's end, has the stream begin anew behind it.
	Gap *syncline.Gap
	// Logged is the log's last sequence, for Check alone: what was logged needs the slot that it came from.
	Logged syncline.Seq
	Logger *slog.Logger
}

// Entity is a table that is captured.
type Entity struct {
	Name string
	// Table is an SQL identifier: optional schema, double quotes as in SQL.
	Table string
	// Key are the columns that identify a record; empty = those of the replica identity's index, else the primary key.
	Key []string
	// Version is the column of the record's version; "" = none.
	Version string
}

const (
	batchEvents = 4000
	batchBytes  = 1 << 20
	// firstEpoch is Position.Epoch of a slot's first birth. Each gap behind which the stream begins anew has the next one.
	firstEpoch = 1
)

// phase is how far the birth of the slot has come.
type phase uint8

const (
	phaseClosed phase = iota
	// phaseIntent: the next batch says that the slot is going to be made.
	phaseIntent
	// phaseCreate: the intent is in the log. A slot of our name is ours, from a birth that was cut.
	phaseCreate
	// phaseRecord: the next batch brings a changed checkpoint, and must be in the log before anything else.
	phaseRecord
	// phaseRun: copying or streaming.
	phaseRun
)

// Source captures one database. It is opened once. The fields above mu belong to the goroutine that calls Open, Next and
// Close.
type Source struct {
	opt    Options
	log    *slog.Logger
	config *pgx.ConnConfig

	phase    phase
	sql      *pgx.Conn // for the catalog, snapshots and heartbeats
	version  int       // server_version_num
	standby  bool
	rawText  bool // the database may hold text that is not UTF-8
	identity identity
	types    map[uint32]typeInfo
	tables   []*table // one for each of opt.Entities
	names    []string // the publications that are read
	young    []string // those that are not yet, see postpone

	state      checkpoint
	checkpoint []byte // state as stored; nil = state changed

	epoch   uint32            // Position.Epoch
	pos     syncline.Position // where the stream stands, at or inside a transaction
	resume  syncline.Position // events at or below it are in the log
	emitted syncline.Position // of the last batch
	marked  time.Time         // when the last batch was returned
	outbox  []*syncline.Batch // chunks that are ready and must follow each other

	stream *stream
	// landmark is what the stream begins with, until it has; nil = with anything.
	landmark *landmark
	copier   *copier // reads on an exported snapshot; the stream rests meanwhile
	chunk    *chunk  // is being read beside the stream
	undo     *rewind // the stream is read ahead of the log
	pin      *pin    // an exported snapshot whose position the stream has to reach
	runs     runQueue
	floor    uint64 // chunks wait for the transactions below it

	listing *listing // of a source that is not opened, see List

	confirmed atomic.Uint64 // a position of the epoch
	// copying is since when the copier waits for a word of the server, in Unix nanoseconds; 0 = it does not.
	copying atomic.Int64
	spill   atomic.Bool // the stream comes first
	// looked is when Next last looked whether the tables are the same.
	looked time.Time

	mu       sync.Mutex
	requests []syncline.Run             // not yet seen by Next
	known    map[string]struct{}        // ids of runs that are requested, going on or finished
	keyKinds map[string][]syncline.Kind // of each entity's key
	paces    map[string]syncline.Pace   // how runs are to be read; one without as fast as it goes
	warnings []string
	wake     chan struct{} // a request waits; sent by StartRun, never closed, one is enough
}

var (
	_ syncline.RunPacer  = (*Source)(nil)
	_ syncline.Sizer     = (*Source)(nil)
	_ syncline.KeyLister = (*Source)(nil)
	_ syncline.Checker   = (*Source)(nil)
)

// New checks the options. It does not connect.
func New(o Options) (*Source, error) {
	if o.Slot == "" {
		o.Slot = "syncline_" + o.Name
	}
	if o.Publication == "" {
		o.Publication = "syncline_" + o.Name
	}
	if o.ChunkRows <= 0 {
		o.ChunkRows = batchEvents
	}
	if o.Heartbeat <= 0 {
		o.Heartbeat = 10 * time.Second
	}
	if o.Marker <= 0 {
		o.Marker = 10 * time.Second
	}
	if o.Backlog <= 0 {
		o.Backlog = backlogLeast
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Snapshot != "" && o.Snapshot != "initial" && o.Snapshot != "never" {
		return nil, syncline.Errorf(syncline.Fatal, "snapshot_invalid", "source %s: snapshot is %q", o.Name, o.Snapshot).WithFix("write initial or never")
	}
	if len(o.Entities) == 0 {
		return nil, syncline.Errorf(syncline.Fatal, "no_entities", "source %s captures no table", o.Name)
	}
	if !slotName(o.Slot) {
		return nil, syncline.Errorf(syncline.Fatal, "slot_name_invalid", "source %s: slot name %q", o.Name, o.Slot).
			WithFix("use up to 63 lower-case letters, digits and underscores")
	}
	config, err := pgx.ParseConfig(o.URL)
	if err != nil {
		// The parser's message repeats parts of the URL.
		return nil, syncline.Errorf(syncline.Fatal, "url_invalid", "source %s: the url is not a PostgreSQL connection string", o.Name).
			WithFix("write it as postgres://user@host:5432/database?sslmode=require")
	}
	sessionSettings(config)
	return &Source{opt: o, log: o.Logger.With("source", o.Name), config: config, types: map[uint32]typeInfo{},
		known: map[string]struct{}{}, keyKinds: map[string][]syncline.Kind{}, wake: make(chan struct{}, 1)}, nil
}

func slotName(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return s != "" && len(s) <= 63
}

// Confirm implements syncline.Source.
func (s *Source) Confirm(p syncline.Position) {
	for p.Epoch == s.epoch {
		old := s.confirmed.Load()
		if p.Commit <= old {
			return
		}
		if s.confirmed.CompareAndSwap(old, p.Commit) {
			break
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stream != nil {
		s.stream.feed.nudge()
	}
}

// Heard is when the server was heard of last, by its stream or by the copy that goes before it, whichever is longer ago; zero while neither
// waits for it. It is safe beside everything.
func (s *Source) Heard() (at time.Time) {
	s.mu.Lock()
	if s.stream != nil {
		at = s.stream.feed.heard()
	}
	s.mu.Unlock()
	if since := s.copying.Load(); since != 0 && (at.IsZero() || at.UnixNano() > since) {
		at = time.Unix(0, since)
	}
	return at
}

// Close implements syncline.Source.
func (s *Source) Close() error {
	s.mu.Lock()
	stream := s.stream
	s.stream = nil
	s.mu.Unlock()
	if stream != nil {
		stream.feed.close()
	}
	if s.copier != nil {
		s.copier.close()
	}
	if s.chunk != nil {
		s.chunk.close()
	}
	s.runs.close()
	if s.pin != nil {
		s.pin.close()
	}
	hangUp(s.sql)
	if s.listing != nil {
		hangUp(s.listing.probe.sql)
		s.listing = nil
	}
	s.phase = phaseClosed
	return nil
}

// batch returns a batch at the present position, with the present checkpoint.
func (s *Source) batch() *syncline.Batch {
	if s.checkpoint == nil {
		s.checkpoint = s.state.encode()
	}
	return &syncline.Batch{Source: s.opt.Name, Position: s.pos, Checkpoint: s.checkpoint}
}

// entity returns the table of the entity, or nil.
func (s *Source) entity(name string) *table {
	for _, t := range s.tables {
		if t.entity.Name == name {
			return t
		}
	}
	return nil
}

// tableOf returns the table of this oid, or nil.
func (s *Source) tableOf(oid uint32) *table {
	for _, t := range s.tables {
		if t.oid == oid {
			return t
		}
	}
	return nil
}

// hangUp closes a connection that may be nil, broken or in the middle of something.
func hangUp(c *pgx.Conn) {
	if c == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = c.Close(ctx) // nobody can do anything about a connection that does not close
}

// bound is the Tag of a layout: whose rows these are.
type bound struct {
	table  *table
	schema *syncline.Schema
}

func boundOf(l *pgoutput.Layout) bound { return l.Tag.(bound) }
