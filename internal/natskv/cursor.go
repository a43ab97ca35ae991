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

// readCursor returns the cursor and its revision; found is false where there is none.
func (t *Target) readCursor(ctx context.Context) (c cursorRecord, revision uint64, found bool, err error) {
	s, err := t.readLatest(ctx, t.cursor)
	if err != nil {
		return c, 0, false, classify(err, "read the cursor in bucket "+t.bucket)
	}
	if !s.live {
		return c, s.revision, false, nil
	}
	if err := json.Unmarshal(s.data, &c); err != nil {
		return c, 0, false, syncline.Errorf(syncline.Fatal, "cursor_damaged", "read the cursor in bucket %s: %w", t.bucket, err).
			WithFix("find out who changed it, then `syncline sync SYSTEM/ENTITY --route ROUTE`")
	}
	return c, s.revision, true, nil
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

// change reads the cursor and writes what edit makes of it, anew whenever somebody else wrote it in between.
func (t *Target) change(ctx context.Context, doing string, edit func(c *cursorRecord, found bool) (write bool, err error)) error {
	for range maxRounds {
		c, revision, found, err := t.readCursor(ctx)
		if err != nil {
			return err
		}
		write, err := edit(&c, found)
		if err != nil || !write {
			return err
		}
		if err = t.writeCursor(ctx, c, revision); err == nil {
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
	var got cursorRecord
	var owned bool
	err := t.change(ctx, "take ownership", func(c *cursorRecord, found bool) (bool, error) {
		if !found {
			return false, nil
		}
		c.Epoch = max(c.Epoch, atLeast) + 1
		got, owned = *c, true
		return true, nil
	})
	if err != nil || !owned {
		return syncline.Cursor{}, "", false, err
	}
	return got.cursor(), got.State, true, nil
}

// Place writes the cursor.
func (t *Target) Place(ctx context.Context, c syncline.Cursor, state string) error {
	return t.change(ctx, "place the cursor", func(r *cursorRecord, _ bool) (bool, error) {
		*r = cursorRecord{Log: c.Log, Seq: c.Seq, Index: c.Index, Epoch: c.Epoch, State: state}
		return true, nil
	})
}

// move writes the cursor at the end of a Write.
func (t *Target) move(ctx context.Context, c syncline.Cursor) error {
	return t.change(ctx, "move the cursor", func(r *cursorRecord, found bool) (bool, error) {
		if err := t.fence(*r, found, c.Epoch); err != nil {
			return false, err
		}
		r.Log, r.Seq, r.Index = c.Log, c.Seq, c.Index
		return true, nil
	})
}

// fence refuses to go on for an owner whose epoch is not the cursor's.
func (t *Target) fence(c cursorRecord, found bool, epoch uint64) error {
	switch {
	case !found:
		return syncline.Errorf(syncline.Fatal, "cursor_lost", "the cursor is gone from bucket %s", t.bucket).
			WithFix("find out who removed it, then `syncline sync SYSTEM/ENTITY --route ROUTE`")
	case c.Epoch != epoch:
		return syncline.Errorf(syncline.Fatal, "fenced", "another instance owns this slice of bucket %s", t.bucket)
	}
	return nil
}
