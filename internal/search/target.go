package search

import (
	"context"
	"encoding/json"
	"log/slog"
	"strconv"
	"time"

	"syncline"
)

// DefaultTombstone is how long a deleted record's version is kept.
const DefaultTombstone = 24 * time.Hour

// Options describe one slice of one route into the indexes of a directory.
type Options struct {
	// Object is the route's own object, or one of them: its index holds the cursor.
	Object string
	// Route and Slice name the cursor.
	Route string
	Slice int
	// Tombstone is how long a deleted record's version is remembered; it must not be shorter than the log is retained.
	// 0 = DefaultTombstone.
	Tombstone time.Duration
	// Logger is nil for none.
	Logger *slog.Logger
}

// Target is one slice of one route. See syncline.Target for who may call what.
type Target struct {
	directory *Directory
	home      *Index
	cursor    []byte
	tombstone time.Duration
	log       *slog.Logger
}

var (
	_ syncline.Guarded = (*Target)(nil)
	_ syncline.Scanner = (*Target)(nil)
	_ syncline.Current = (*Target)(nil)
)

// OpenTarget opens the object's index. The directory stays the caller's, who closes it after the targets.
func OpenTarget(d *Directory, o Options) (*Target, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Tombstone == 0 {
		o.Tombstone = DefaultTombstone
	}
	home, err := d.Index(o.Object)
	if err != nil {
		return nil, err
	}
	return &Target{directory: d, home: home, tombstone: o.Tombstone, log: o.Logger,
		cursor: []byte("cursor/" + o.Route + "/" + strconv.Itoa(o.Slice))}, nil
}

// Traits says that the target holds the last state of each key.
func (t *Target) Traits() syncline.Traits { return syncline.Traits{} }

// Close leaves the indexes open: they are the directory's.
func (t *Target) Close() error { return nil }

// cursorRecord is the cursor as the index has it.
type cursorRecord struct {
	Log   string       `json:"log"`
	Seq   syncline.Seq `json:"seq"`
	Index int          `json:"index"`
	Epoch uint64       `json:"epoch"`
	State string       `json:"state"`
}

// readCursor returns the cursor, nil where there is none. The home index is locked.
func (t *Target) readCursorLocked() (*cursorRecord, error) {
	data, err := t.home.bleve.GetInternal(t.cursor)
	if err != nil {
		return nil, t.home.failed("read the cursor in", err)
	}
	if data == nil {
		return nil, nil
	}
	c := new(cursorRecord)
	if err := json.Unmarshal(data, c); err != nil {
		return nil, syncline.Errorf(syncline.Fatal, "cursor_damaged", "read the cursor in index %s: %w", t.home.name, err).
			WithFix("sync the route in full")
	}
	return c, nil
}

// writeCursorLocked writes the cursor by itself. The home index is locked.
func (t *Target) writeCursorLocked(c cursorRecord) error {
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	batch := t.home.bleve.NewBatch()
	batch.SetInternal(t.cursor, data)
	if err := t.home.bleve.Batch(batch); err != nil {
		return t.home.failed("write the cursor in", err)
	}
	return nil
}

// Own takes ownership under the index' lock, which a Write in hand holds until its end.
func (t *Target) Own(_ context.Context, atLeast uint64) (syncline.Cursor, string, bool, error) {
	t.home.mu.Lock()
	defer t.home.mu.Unlock()
	c, err := t.readCursorLocked()
	if err != nil || c == nil {
		return syncline.Cursor{}, "", false, err
	}
	c.Epoch = max(c.Epoch, atLeast) + 1
	if err := t.writeCursorLocked(*c); err != nil {
		return syncline.Cursor{}, "", false, err
	}
	return syncline.Cursor{Log: c.Log, Seq: c.Seq, Index: c.Index, Epoch: c.Epoch}, c.State, true, nil
}

// Place writes the cursor.
func (t *Target) Place(_ context.Context, c syncline.Cursor, state string) error {
	t.home.mu.Lock()
	defer t.home.mu.Unlock()
	return t.writeCursorLocked(cursorRecord{Log: c.Log, Seq: c.Seq, Index: c.Index, Epoch: c.Epoch, State: state})
}
