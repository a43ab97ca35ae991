package search

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"syncline"
)

// DefaultTombstone is how long a deleted record's version is kept.
const DefaultTombstone = 24 * time.Hour

// Options describe one slice of one route into the indexes of a directory.
type Options struct {
	// Objects are those that the route writes, in any order. The index of the first in the alphabet holds the cursor.
	Objects []string
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
	others    []*Index // of the route's other objects
	cursor    []byte
	tombstone time.Duration
	log       *slog.Logger
}

var (
	_ syncline.Guarded = (*Target)(nil)
	_ syncline.Scanner = (*Target)(nil)
	_ syncline.Current = (*Target)(nil)
)

// OpenTarget opens the objects' indexes. The directory stays the caller's, who closes it after the targets.
func OpenTarget(d *Directory, o Options) (*Target, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Tombstone == 0 {
		o.Tombstone = DefaultTombstone
	}
	t := &Target{directory: d, tombstone: o.Tombstone, log: o.Logger, cursor: []byte("cursor/" + o.Route + "/" + strconv.Itoa(o.Slice))}
	for i, name := range slices.Compact(slices.Sorted(slices.Values(o.Objects))) {
		ix, err := d.Index(name)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			t.home = ix
		} else {
			t.others = append(t.others, ix)
		}
	}
	if t.home == nil {
		return nil, syncline.Errorf(syncline.Fatal, "object_missing", "route %s names no search index", o.Route)
	}
	return t, nil
}

// Traits says that the target holds the last state of each key.
func (t *Target) Traits() syncline.Traits { return syncline.Traits{Decides: true} }

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

// readCursorLocked returns the cursor that the index holds, nil where there is none. The index is locked.
func (t *Target) readCursorLocked(ix *Index) (*cursorRecord, error) {
	data, err := ix.bleve.GetInternal(t.cursor)
	if err != nil {
		return nil, ix.failed("read the cursor in", err)
	}
	if data == nil {
		return nil, nil
	}
	c := new(cursorRecord)
	if err := json.Unmarshal(data, c); err != nil {
		return nil, syncline.Errorf(syncline.Fatal, "cursor_damaged", "read the cursor in index %s: %w", ix.name, err).
			WithFix("`syncline sync SYSTEM/ENTITY --route ROUTE`")
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
	c, err := t.readCursorLocked(t.home)
	if err == nil && c == nil {
		c, err = t.straysLocked()
	}
	if err != nil || c == nil {
		return syncline.Cursor{}, "", false, err
	}
	c.Epoch = max(c.Epoch, atLeast) + 1
	if err := t.writeCursorLocked(*c); err != nil {
		return syncline.Cursor{}, "", false, err
	}
	return syncline.Cursor{Log: c.Log, Seq: c.Seq, Index: c.Index, Epoch: c.Epoch}, c.State, true, t.forgetStrays()
}

// straysLocked looks for the cursor in the route's other indexes: the home index was one of those before a rule joined the route whose
// index comes first. The home index is locked; the others come after it in the alphabet, as in a Write.
func (t *Target) straysLocked() (*cursorRecord, error) {
	for _, ix := range t.others {
		ix.mu.Lock()
		c, err := t.readCursorLocked(ix)
		ix.mu.Unlock()
		if err != nil || c != nil {
			return c, err
		}
	}
	return nil, nil
}

// forgetStrays removes the cursor from the other indexes once the home index has it: found there after the home index was lost, it
// would hide the loss.
func (t *Target) forgetStrays() error {
	for _, ix := range t.others {
		ix.mu.Lock()
		data, err := ix.bleve.GetInternal(t.cursor)
		if err == nil && data != nil {
			batch := ix.bleve.NewBatch()
			batch.DeleteInternal(t.cursor)
			err = ix.bleve.Batch(batch)
		}
		ix.mu.Unlock()
		if err != nil {
			return ix.failed("remove an old cursor from", err)
		}
	}
	return nil
}

// Place writes the cursor.
func (t *Target) Place(_ context.Context, c syncline.Cursor, state string) error {
	t.home.mu.Lock()
	defer t.home.mu.Unlock()
	if err := t.writeCursorLocked(cursorRecord{Log: c.Log, Seq: c.Seq, Index: c.Index, Epoch: c.Epoch, State: state}); err != nil {
		return err
	}
	return t.forgetStrays()
}
