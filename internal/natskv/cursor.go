package natskv

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"syncline"
)

// cursorRecord is the cursor as the bucket has it.
type cursorRecord struct {
	Log   string       `json:"log"`
	Seq   syncline.Seq `json:"seq"`
	Index int          `json:"index"`
	Epoch uint64       `json:"epoch"`
	State string       `json:"state"`
}

func (c cursorRecord) cursor() syncline.Cursor {
	return syncline.Cursor{Log: c.Log, Seq: c.Seq, Index: c.Index, Epoch: c.Epoch}
}

// readCursor returns the cursor; nil where there is none.
func (t *Target) readCursor(ctx context.Context) (*cursorRecord, error) {
	s, err := t.readLatest(ctx, t.cursor)
	if err != nil {
		return nil, classify(err, "read the cursor in bucket "+t.bucket)
	}
	return t.parseCursor(s)
}

func (t *Target) parseCursor(s stored) (*cursorRecord, error) {
	if !s.live {
		return nil, nil
	}
	c := new(cursorRecord)
	if err := json.Unmarshal(s.data, c); err != nil {
		return nil, syncline.Errorf(syncline.Fatal, "cursor_damaged", "read the cursor in bucket %s: %w", t.bucket, err).
			WithFix("find out who changed it, then `syncline sync SYSTEM/ENTITY --route ROUTE`")
	}
	return c, nil
}

// writeCursor replaces the revision of the cursor, or returns errConflict.
func (t *Target) writeCursor(ctx context.Context, c cursorRecord, revision uint64) error {
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return t.replace(ctx, t.cursor, data, revision)
}

// replace writes data over the revision of the subject, or returns errConflict.
func (t *Target) replace(ctx context.Context, subject string, data []byte, revision uint64) error {
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	_, err := t.js.PublishMsg(ctx, &nats.Msg{Subject: subject, Data: data}, jetstream.WithExpectLastSequencePerSubject(revision))
	return conflict(err)
}

// change reads the cursor, nil where there is none, and writes what edit makes of it, nothing where that is nil.
func (t *Target) change(ctx context.Context, doing string, edit func(*cursorRecord) (*cursorRecord, error)) error {
	return t.overwrite(ctx, doing, func(s stored) (*cursorRecord, error) {
		c, err := t.parseCursor(s)
		if err != nil {
			return nil, err
		}
		return edit(c)
	})
}

// overwrite writes what next makes of what stands at the cursor, nothing where that is nil; anew whenever somebody else wrote it
// in between.
func (t *Target) overwrite(ctx context.Context, doing string, next func(stored) (*cursorRecord, error)) error {
	for range maxRounds {
		s, err := t.readLatest(ctx, t.cursor)
		if err != nil {
			return classify(err, "read the cursor in bucket "+t.bucket)
		}
		c, err := next(s)
		if err != nil || c == nil {
			return err
		}
		if err = t.writeCursor(ctx, *c, s.revision); err == nil {
			return nil
		}
		if !errors.Is(err, errConflict) {
			return classify(err, doing+" in bucket "+t.bucket)
		}
	}
	return syncline.Errorf(syncline.Transient, "natskv_contended", "%s in bucket %s: somebody else keeps writing it", doing, t.bucket)
}

// Own takes ownership by a write over the cursor's revision.
func (t *Target) Own(ctx context.Context, atLeast uint64) (syncline.Cursor, string, bool, error) {
	var got *cursorRecord
	err := t.change(ctx, "take ownership", func(c *cursorRecord) (*cursorRecord, error) {
		if got = c; c != nil {
			c.Epoch = max(c.Epoch, atLeast) + 1
		}
		return c, nil
	})
	if err != nil || got == nil {
		return syncline.Cursor{}, "", false, err
	}
	return got.cursor(), got.State, true, nil
}

// Place writes the cursor over whatever stands there, which it need not be able to read.
func (t *Target) Place(ctx context.Context, c syncline.Cursor, state string) error {
	return t.overwrite(ctx, "place the cursor", func(stored) (*cursorRecord, error) {
		return &cursorRecord{Log: c.Log, Seq: c.Seq, Index: c.Index, Epoch: c.Epoch, State: state}, nil
	})
}

// move writes the cursor at the end of a Write.
func (t *Target) move(ctx context.Context, c syncline.Cursor) error {
	return t.change(ctx, "move the cursor", func(r *cursorRecord) (*cursorRecord, error) {
		if err := t.fence(r, c.Epoch); err != nil {
			return nil, err
		}
		r.Log, r.Seq, r.Index = c.Log, c.Seq, c.Index
		return r, nil
	})
}

// fence refuses to go on for an owner whose epoch is not the cursor's.
func (t *Target) fence(c *cursorRecord, epoch uint64) error {
	switch {
	case c == nil:
		return syncline.Errorf(syncline.Fatal, "cursor_lost", "the cursor is gone from bucket %s", t.bucket).
			WithFix("find out who removed it, then `syncline sync SYSTEM/ENTITY --route ROUTE`")
	case c.Epoch != epoch:
		return syncline.Errorf(syncline.Fatal, "fenced", "another instance owns this slice of bucket %s", t.bucket)
	}
	return nil
}
