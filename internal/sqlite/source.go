package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"syncline"
)

// A batch is closed at the first of these.
const (
	maxEvents = 4000
	maxBytes  = 1 << 20
)

// The application's commits are noticed by asking SQLite whether the database has changed, which reads shared memory and
// no file. While changes come the pause between two questions is the shortest one; it doubles up to the longer one, and up
// to the longest when there was no change for restAfter: each question costs a wake-up of the process.
const (
	minPause  = 2 * time.Millisecond
	maxPause  = 20 * time.Millisecond
	restPause = 50 * time.Millisecond
	restAfter = 2 * time.Second
)

// Confirmed changes are deleted in transactions of at most forgetRows, which hold the application's lock for a few
// milliseconds; forgetPause is the least time between two of them, forgetIdle while there is less to delete than that.
const (
	forgetRows  = 2000
	forgetPause = 20 * time.Millisecond
	forgetIdle  = time.Second
)

// Options configure a Source.
type Options struct {
	// Name is the source's name in batches.
	Name string
	// URL names the database file; see Path.
	URL string
	// Entities are the tables to capture, by the name that the configuration gives them.
	Entities map[string]Entity
	// Manage allows the source to make its tables and triggers in the database and to switch on the write-ahead log. Without
	// it, Open tells which SQL is missing.
	Manage bool
	// Snapshot: copy entities when nothing was ever captured.
	Snapshot bool
	// InitialRoutes names the entities that the first copy is of and, for each, the routes that it is for (none = all routes).
	// nil = every entity, for all routes. Of a table without a key, the stream begins at its copy for every route.
	InitialRoutes map[string][]string
	// Gap, where it is declared at the log's end, has the stream begin anew behind it.
	Gap *syncline.Gap
	// ChunkRows bounds a chunk of a run; 0 = 2000.
	ChunkRows int
	// Logger is told of what changes; nil = nobody.
	Logger *slog.Logger
}

// Entity is a table to capture.
type Entity struct {
	// Table is an SQL identifier.
	Table string
	// Key are the columns of the record's identity; empty = the primary key, and where there is none, the table is keyless.
	Key []string
	// Version is the column with the record's version, "" = none.
	Version string
}

// Source captures a SQLite database. See the package's documentation.
type Source struct {
	opt Options
	log *slog.Logger

	path string
	file os.FileInfo
	db   *sql.DB
	// reader reads; the view, while there is one, is its transaction. writer installs and deletes.
	reader, writer *sql.Conn
	// view is set while a snapshot is open: within Next, and between the chunks of a copy of a table without a key.
	view bool
	// keysLast: the last chunk that was read was one of keys.
	keysLast bool
	// waiting is a chunk that stands behind the changes that Next returned last.
	waiting *syncline.Batch

	checkpoint checkpoint
	// at is the sequence of the last change that was given out, or skipped.
	at    uint64
	epoch uint32
	// begun: the batch that makes the identity durable was given out, or is in the log.
	begun bool

	// cookie is the schema version of the database that the tables and layouts below were read at.
	cookie  int64
	tables  map[string]*captured
	layouts map[int64]*layout
	// current is the newest layout of each entity.
	current map[string]*layout
	// changed is the database's own count of commits, as last seen, at the time lastChange.
	changed    int64
	lastChange time.Time
	// forgotten is the sequence below which changes were deleted, at the time lastForget.
	forgotten  uint64
	lastForget time.Time
	// listing is of a source that is not opened, see List.
	listing *listing

	mu        sync.Mutex
	confirmed uint64
	requests  []run
	keyParts  map[string]int // of each entity's key
	// paces is how runs are to be read; a run without one as fast as it goes.
	paces map[string]syncline.Pace
	// wake has room for one signal: StartRun sends, Next receives, nobody closes.
	wake chan struct{}
}

// checkpoint is what the log keeps for us.
type checkpoint struct {
	// Database is the identity stored in the database.
	Database string `json:"database"`
	// Mark is a hash of the change at the batch's position, "" where there was none.
	Mark string `json:"mark,omitempty"`
	// Shape is the highest shape that is known; later ones may ask for a table to be read again.
	Shape int64 `json:"shape"`
	// Entities are captured. Left were once, and their changes are not in the log since then.
	Entities []string `json:"entities,omitempty"`
	Left     []string `json:"left,omitempty"`
	Runs     []run    `json:"runs,omitempty"`
	// Done are the runs that ended last, oldest first, at most maxDone.
	Done []string `json:"done,omitempty"`
}

var (
	_ syncline.RunPacer  = (*Source)(nil)
	_ syncline.Sizer     = (*Source)(nil)
	_ syncline.KeyLister = (*Source)(nil)
)

// NewSource returns a source that is to be opened.
func NewSource(opt Options) *Source {
	if opt.ChunkRows == 0 {
		opt.ChunkRows = 2000
	}
	s := &Source{opt: opt, log: opt.Logger, wake: make(chan struct{}, 1)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s
}

// Open implements syncline.Source. Where nothing was ever captured, the stream begins with the changes after Open; what
// is there already is for the snapshot to read.
func (s *Source) Open(ctx context.Context, data []byte, last syncline.Position) error {
	if err := s.open(ctx, data, last); err != nil {
		if e := s.Close(); e != nil {
			s.log.Warn("close database", "error", e)
		}
		return err
	}
	return nil
}

func (s *Source) open(ctx context.Context, data []byte, last syncline.Position) (err error) {
	if s.path, err = Path(s.opt.URL); err != nil {
		return err
	}
	s.begun, s.at, s.epoch, s.confirmed = data != nil, last.Commit, max(last.Epoch, 1), last.Commit
	behindGap := s.begun && s.opt.Gap.Declared(last)
	if s.begun {
		if err := json.Unmarshal(data, &s.checkpoint); err != nil && !behindGap {
			return syncline.Errorf(syncline.Fatal, "checkpoint_unreadable", "read checkpoint of %s: %w", s.opt.Name, err)
		}
	}
	if s.db, err = openFile(ctx, s.path, false, 2); err != nil {
		return err
	}
	if s.file, err = os.Stat(s.path); err != nil {
		return fmt.Errorf("look at %s: %w", s.path, err)
	}
	if s.reader, err = s.db.Conn(ctx); err != nil {
		return classify(err, "connect to %s", s.path)
	}
	if s.writer, err = s.db.Conn(ctx); err != nil {
		return classify(err, "connect to %s", s.path)
	}
	if behindGap {
		return s.openBehindGap(ctx, last)
	}
	if s.begun { // before anything is written: it may be somebody else's database
		if err := s.checkIdentity(ctx); err != nil {
			return err
		}
	}
	if err := s.adopt(ctx); err != nil {
		return err
	}
	if s.begun {
		if err := s.checkPosition(ctx); err != nil {
			return err
		}
		s.admitEntities()
		return nil
	}
	return s.start(ctx)
}

// start begins a log: the stream from here on, and the copies of what is there.
func (s *Source) start(ctx context.Context) error {
	if err := s.startStream(ctx); err != nil || !s.opt.Snapshot {
		return err
	}
	for _, e := range s.entities() {
		routes, wanted := s.opt.InitialRoutes[e]
		if !wanted && s.opt.InitialRoutes != nil {
			continue
		}
		keyless := len(s.tables[e].key) == 0
		s.checkpoint.Runs = append(s.checkpoint.Runs, run{ID: "snapshot-" + e, Kind: syncline.RunSnapshot, Entity: e, Routes: slices.Clone(routes),
			Empty: true, Contains: keyless})
	}
	return nil
}

// startStream has the stream begin behind the last change that there is.
func (s *Source) startStream(ctx context.Context) (err error) {
	if s.checkpoint.Database, err = s.identity(ctx); err != nil {
		return err
	}
	if s.at, err = s.end(ctx); err != nil {
		return err
	}
	s.confirmed, s.checkpoint.Entities = s.at, s.entities()
	for id := range s.layouts {
		s.checkpoint.Shape = max(s.checkpoint.Shape, id)
	}
	return nil
}

// openBehindGap gives up what the log lacks: the stream begins anew under the next epoch, in this database, whichever it is. Runs go on.
func (s *Source) openBehindGap(ctx context.Context, last syncline.Position) error {
	if err := s.opt.Gap.Begin(ctx, last); err != nil {
		return err
	}
	s.begun, s.epoch, s.at = false, s.opt.Gap.Epoch+1, 0
	s.checkpoint = checkpoint{Runs: s.checkpoint.Runs, Done: s.checkpoint.Done}
	if err := s.adopt(ctx); err != nil {
		return err
	}
	if err := s.startStream(ctx); err != nil {
		return err
	}
	return s.opt.Gap.End(ctx, syncline.Position{Epoch: s.epoch, Commit: s.at})
}

// admitEntities notes which entities have left the configuration and which have come. One that comes back is read anew for the
// routes that copies are for, which go on from where they were and know nothing of the time between; without one, there is nothing but
// to say so.
func (s *Source) admitEntities() {
	c := &s.checkpoint
	for _, e := range c.Entities {
		if _, here := s.opt.Entities[e]; !here {
			c.Left = append(c.Left, e)
		}
	}
	c.Entities = s.entities()
	c.Left = slices.DeleteFunc(c.Left, func(e string) bool {
		if _, here := s.opt.Entities[e]; !here {
			return false
		}
		routes, wanted := s.opt.InitialRoutes[e]
		if !s.opt.Snapshot || s.opt.InitialRoutes != nil && !wanted {
			s.log.Warn("entity is captured again: what changed meanwhile is not known", "system", s.opt.Name, "entity", e)
			return true
		}
		s.log.Warn("entity is captured again: it is read anew, because what changed meanwhile is not known", "system", s.opt.Name, "entity", e)
		s.queue(run{ID: "again-" + e + "-" + rand.Text(), Kind: syncline.RunFull, Entity: e, Routes: slices.Clone(routes),
			Reset: len(s.tables[e].key) == 0})
		return true
	})
}

func (s *Source) entities() []string { return sortedNames(s.opt.Entities) }

// identity returns the identity that the database has inside.
func (s *Source) identity(ctx context.Context) (id string, err error) {
	err = s.reader.QueryRowContext(ctx, "SELECT value FROM _syncline_meta WHERE name = 'database'").Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return id, classify(err, "read the identity of %s", s.path)
}

func (s *Source) checkIdentity(ctx context.Context) error {
	id := ""
	_, err := loadTable(ctx, s.reader, "_syncline_meta")
	if err == nil {
		id, err = s.identity(ctx)
	}
	if err != nil && !errors.Is(err, errNoTable) {
		return err
	}
	if id != s.checkpoint.Database {
		return syncline.Errorf(syncline.Fatal, "source_changed", "%s is not the database that %s was captured from", s.path, s.opt.Name).
			WithFix("put the right file back; or, if this one is to be followed from now on, %s", s.acceptGap())
	}
	return nil
}

// acceptGap is the way out where the stream cannot be continued without a gap.
func (s *Source) acceptGap() string {
	return fmt.Sprintf("`syncline resume --system %s --accept-gap` goes on behind the gap and has every record read again", s.opt.Name)
}

// end returns the highest sequence that a change ever had.
func (s *Source) end(ctx context.Context) (end uint64, err error) {
	err = s.reader.QueryRowContext(ctx, `SELECT max(coalesce((SELECT max(seq) FROM _syncline_changes), 0),
		coalesce((SELECT seq FROM sqlite_sequence WHERE name = '_syncline_changes'), 0))`).Scan(&end)
	return end, classify(err, "read the last change of %s", s.path)
}

// checkPosition makes sure that the database goes on where the log ends. The change at a confirmed position is kept until
// a later one is confirmed, so that it can be compared.
func (s *Source) checkPosition(ctx context.Context) error {
	end, err := s.end(ctx)
	if err != nil {
		return err
	}
	behind := syncline.Errorf(syncline.Fatal, "source_behind", "%s ends at change %d, and the log of %s has change %d: the file is an older copy", s.path, end, s.opt.Name, s.at)
	if end >= s.at && s.checkpoint.Mark != "" {
		mark, err := s.markAt(ctx, s.at)
		if err != nil {
			return err
		}
		if mark != "" && mark != s.checkpoint.Mark {
			behind = syncline.Errorf(syncline.Fatal, "source_behind", "change %d of %s is not the one that the log of %s has: the file is an older copy that was written to", s.at, s.path, s.opt.Name)
			end = 0
		}
	}
	if end < s.at {
		return behind.WithFix("put the newer file back; or %s", s.acceptGap())
	}
	return nil
}

// Confirm implements syncline.Source.
func (s *Source) Confirm(p syncline.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.Epoch == s.epoch {
		s.confirmed = max(s.confirmed, p.Commit)
	}
}

// forget deletes confirmed changes, but for the last. Another process that holds the lock comes first: the next call
// tries again.
func (s *Source) forget(ctx context.Context) error {
	s.mu.Lock()
	confirmed := s.confirmed
	s.mu.Unlock()
	pause := forgetIdle
	if confirmed > s.forgotten+forgetRows {
		pause = forgetPause
	}
	if confirmed <= s.forgotten || time.Since(s.lastForget) < pause {
		return nil
	}
	s.lastForget = time.Now()
	var first sql.NullInt64
	if err := s.writer.QueryRowContext(ctx, "SELECT min(seq) FROM _syncline_changes").Scan(&first); err != nil && !isBusy(err) {
		return classify(err, "look for confirmed changes in %s", s.path)
	}
	to := confirmed
	if first.Valid {
		to = min(to, max(uint64(first.Int64), 1)+forgetRows)
	}
	if _, err := s.writer.ExecContext(ctx, "PRAGMA busy_timeout = 20"); err != nil {
		return classify(err, "set the timeout of %s", s.path)
	}
	_, err := s.writer.ExecContext(ctx, "DELETE FROM _syncline_changes WHERE seq < ?", int64(to))
	switch {
	case err == nil:
		s.forgotten = to
	case !isBusy(err):
		return classify(err, "delete confirmed changes from %s", s.path)
	}
	_, err = s.writer.ExecContext(ctx, fmt.Sprintf("PRAGMA busy_timeout = %d", busyTimeout))
	return classify(err, "set the timeout of %s", s.path)
}

// Close implements syncline.Source.
func (s *Source) Close() error {
	if s.listing != nil {
		l := s.listing
		if s.listing = nil; l.db.Close() != nil {
			s.log.Warn("database did not close cleanly", "system", s.opt.Name)
		}
	}
	if s.db == nil {
		return nil
	}
	for _, c := range []*sql.Conn{s.reader, s.writer} {
		if c != nil {
			if err := c.Close(); err != nil && !errors.Is(err, sql.ErrConnDone) {
				s.log.Warn("close connection", "system", s.opt.Name, "error", err)
			}
		}
	}
	err := s.db.Close()
	s.db, s.reader, s.writer, s.view = nil, nil, nil, false
	s.waiting = nil
	if err != nil {
		return fmt.Errorf("close %s: %w", s.path, err)
	}
	return nil
}
