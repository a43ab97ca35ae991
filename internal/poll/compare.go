package poll

import (
	"bytes"
	"time"

	"syncline"
)

// reader makes events of an entity's rows.
type reader struct {
	entity *Entity
	schema *syncline.Schema
	// at is where the time of a change stands in a row, -1 where it does not.
	at int
}

func newReader(e *Entity, s *syncline.Schema) *reader {
	r := &reader{entity: e, schema: s, at: -1}
	if len(e.Watermark) > 0 {
		// A time without a zone is nobody's time for sure: it decides no conflict.
		if at := s.Index(e.Watermark[0]); at >= 0 && s.Columns[at].Kind == syncline.KindTimestampTZ {
			r.at = at
		}
	}
	return r
}

func (r *reader) key(row []syncline.Value) syncline.Key {
	k, _ := syncline.Row{Schema: r.schema, Values: row}.Key()
	return k
}

// saw is what is to be known of the row.
func (r *reader) saw(row []syncline.Value) Seen {
	one := Seen{Key: r.key(row), Hash: Hash(row)}
	if r.entity.Deleted.Is(r.schema, row) {
		one.State = Flagged
	}
	return one
}

// marked reports whether the row has a watermark, without which polls do not see it.
func (r *reader) marked(row []syncline.Value) bool {
	for _, name := range r.entity.Watermark {
		if row[r.schema.Index(name)].IsNull() {
			return false
		}
	}
	return true
}

// event returns what happened to the record; ok is false where nothing did.
func (r *reader) event(row []syncline.Value, is Seen, was Seen, known bool) (e syncline.Event, ok bool) {
	if known && was.State == is.State && was.Hash != nil && bytes.Equal(was.Hash, is.Hash) {
		return e, false
	}
	e = syncline.Event{Schema: r.schema}
	live := known && was.State == Live
	switch {
	case is.State == Flagged && known && !live:
		return e, false // it was told that it is deleted
	case is.State == Flagged:
		// Where nothing is known of it, targets may have it all the same.
		e.Op, e.Before = syncline.OpDeleted, row
	default:
		e.Op, e.After = r.op(row, live, known), row
	}
	if at := r.time(row); !at.IsZero() {
		e.Meta = &syncline.Meta{Time: at}
	}
	return e, true
}

func (r *reader) op(row []syncline.Value, live, known bool) syncline.Op {
	switch flag := r.entity.Created; {
	case live:
		return syncline.OpUpdated
	case known || flag == nil && r.entity.Compare: // it was deleted, or is new
		return syncline.OpCreated
	case flag.Is(r.schema, row):
		return syncline.OpCreated
	}
	return syncline.OpUpdated
}

func (r *reader) time(row []syncline.Value) time.Time {
	if r.at < 0 {
		return time.Time{}
	}
	t, err := row[r.at].AsTime()
	if err != nil {
		return time.Time{}
	}
	return t
}

// gone is the event of a record that is not there any more; row has its key and nothing else.
func (r *reader) gone(row []syncline.Value) syncline.Event {
	return syncline.Event{Op: syncline.OpDeleted, Schema: r.schema, Before: row}
}
