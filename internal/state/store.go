// Package state is the state store: where each slice of each route stands, what became of every batch, the tasks that are
// not simply done, the runs, the logs that a source has had and the ids of pushed events. Its DESIGN.md says what it
// guarantees.
package state

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"syncline"
)

// Options say where the store is.
type Options struct {
	// Path of the database file. Its folder is made, readable by its owner only.
	Path string
	// Logger is nil for none.
	Logger *slog.Logger
}

// Store is the state store. All its methods are safe beside each other. A write returns once it is on disk; one that
// returns a transient error may or may not have happened, and can be repeated: every write is idempotent.
type Store struct {
	id  string
	log *slog.Logger
	// readers see the last committed state; they never block the writer.
	readers *sql.DB

	// queueMu guards queue, the writes that wait for the next transaction.
	queueMu sync.Mutex
	queue   []*request

	// writeMu is held for the length of a transaction. It guards what follows and the fields of a request.
	writeMu sync.Mutex
	writer  *writer

	watchers watchers

	// closed is set before anything is closed, so that whoever finds a connection gone knows why.
	closed atomic.Bool
}

// Open opens the store, makes it if there is none, and brings an older one up to date. It refuses with a fatal error what
// it cannot vouch for: a damaged file (state_corrupt), one of a newer version (state_newer) or of another program
// (state_foreign), a folder that cannot be written (state_unwritable).
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Path == "" {
		return nil, syncline.Errorf(syncline.Fatal, "state_path", "the state store has no path").
			WithFix("set state.url")
	}
	s := &Store{log: o.Logger}
	if err := s.open(ctx, o.Path); err != nil {
		_ = s.Close()
		return nil, classify(err, "open state store "+o.Path)
	}
	return s, nil
}

func (s *Store) open(ctx context.Context, path string) error {
	if err := prepareFile(path); err != nil {
		return err
	}
	db, err := openWriter(ctx, path)
	if err != nil {
		return err
	}
	s.writer = &writer{db: db, stmts: map[string]*sql.Stmt{}}
	if err := checkFile(ctx, db); err != nil {
		return err
	}
	if err := migrate(ctx, db, s.log); err != nil {
		return err
	}
	if s.writer.conn, err = db.Conn(ctx); err != nil {
		return err
	}
	if s.readers, err = openReaders(path); err != nil {
		return err
	}
	return s.identify(ctx)
}

// identify reads the store's id, and gives it one if it is new.
func (s *Store) identify(ctx context.Context) error {
	err := s.readers.QueryRowContext(ctx, sqlStoreID).Scan(&s.id)
	if !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	id := strings.ToLower(rand.Text())
	err = s.write(ctx, "name the store", func(ctx context.Context, w *writer) error {
		_, err := w.exec(ctx, sqlNameStore, id, micros(time.Now()))
		return err
	})
	s.id = id
	return err
}

// ID is the identity of this store, chosen at random when it was made. A target's cursor names it, so that a route does not
// go on from a cursor that another store knows about.
func (s *Store) ID() string { return s.id }

// Close waits for the write in hand and closes the store. What comes later gets state_closed. Repeating it does nothing.
func (s *Store) Close() error {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	if s.closed.Swap(true) {
		return nil
	}
	var errs []error
	if s.readers != nil {
		errs = append(errs, s.readers.Close())
	}
	if s.writer != nil {
		errs = append(errs, s.writer.close())
	}
	return errors.Join(errs...)
}

// micros is how an instant is stored: microseconds since 1970, 0 for the zero time.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
