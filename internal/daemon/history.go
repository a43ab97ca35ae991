package daemon

import (
	"context"
	"slices"
	"time"

	"syncline"
	"syncline/internal/ops"
)

// What is looked at for one record is bounded by time: the log is read from its end backwards, a window of entries at a time.
const (
	historyTime   = 10 * time.Second
	historyWindow = 128
)

// occurrence is an event of a record, alone in a batch of its own.
type occurrence struct {
	spot
	appended time.Time
	batch    *syncline.Batch
	// gone: the event gave the record another key, and the record of the key that was asked for is not there any more.
	gone bool
	// moved is the other key.
	moved syncline.Key
}

func (o *occurrence) event() *syncline.Event { return &o.batch.Events[0] }

// history returns the newest events of a record in the order of the log, and whether there are older ones.
func (d *Daemon) history(ctx context.Context, log syncline.Log, entity string, key syncline.Key, since time.Time, limit int) ([]occurrence, ops.Looked, bool, error) {
	begun := time.Now()
	bounds, err := log.Bounds(ctx)
	if err != nil || bounds.Last < bounds.First {
		return nil, ops.Looked{Whole: err == nil}, false, err
	}
	first := bounds.First
	if !since.IsZero() {
		if first, err = d.firstYounger(ctx, &source{stream: &stream{log: log}}, bounds, since); err != nil {
			return nil, ops.Looked{}, false, err
		}
	}
	looked := ops.Looked{To: uint64(bounds.Last)}
	var found []occurrence
	for high := bounds.Last + 1; high > first && len(found) <= limit && time.Since(begun) < historyTime; {
		low := max(first, high-min(high, historyWindow))
		window, at, err := occurrences(ctx, log, low, high, entity, key, limit+1)
		if err != nil {
			return nil, looked, false, err
		}
		found = append(window, found...)
		high, looked.From, looked.Oldest = low, uint64(low), &at
	}
	found = slices.DeleteFunc(found, func(o occurrence) bool { return o.appended.Before(since) })
	looked.Entries, looked.Whole = looked.To-looked.From+1, looked.From <= uint64(first)
	looked.Seconds = time.Since(begun).Seconds()
	more := len(found) > limit
	return found[max(0, len(found)-limit):], looked, more, nil
}

// occurrences returns the record's newest events, as many as keep says, in the entries from low up to high, and when the first entry was appended.
func occurrences(ctx context.Context, log syncline.Log, low, high syncline.Seq, entity string, key syncline.Key, keep int) (found []occurrence, at time.Time, err error) {
	reader, err := log.Read(ctx, low)
	if err != nil {
		return nil, at, err
	}
	defer reader.Close() //nolint:errcheck // it holds nothing that could be lost
	for {
		e, err := reader.Next(ctx)
		if err != nil {
			return nil, at, err
		}
		if at.IsZero() {
			at = e.Time
		}
		if e.Seq < high {
			some, err := inEntry(&e, entity, key)
			if err != nil {
				return nil, at, err
			}
			found = append(found, some...)
			found = slices.Delete(found, 0, max(0, len(found)-keep))
		}
		if e.Seq+1 >= high {
			return found, at, nil
		}
	}
}

// inEntry returns the record's events in an entry. The directory tells whether there can be any: by the key's hash, or because an
// event may have taken the key away, which stands there under the new one.
func inEntry(e *syncline.Entry, entity string, key syncline.Key) ([]occurrence, error) {
	d, err := syncline.DecodeDirectory(e.Data)
	if err != nil || !slices.ContainsFunc(d.Schemas, func(s *syncline.Schema) bool { return s.Entity == entity }) {
		return nil, err
	}
	if d.Chunk != nil && !hasHash(d, key.Hash()) { // what is read does not move
		return nil, nil
	}
	b, err := syncline.DecodeBatch(e.Data)
	if err != nil {
		return nil, err
	}
	var found []occurrence
	for i := range b.Events {
		ev := &b.Events[i]
		if ev.Schema.Entity != entity {
			continue
		}
		is, ok := ev.Key()
		was, moved := ev.OldKey()
		o := occurrence{spot: spot{e.Seq, i}, appended: e.Time}
		switch {
		case ev.Op == syncline.OpTruncated:
		case moved && was == key:
			o.gone, o.moved = true, is
		case !ok || is != key:
			continue
		case moved:
			o.moved = was
		}
		if o.batch, err = alone(b, i); err != nil {
			return nil, err
		}
		found = append(found, o)
	}
	return found, nil
}

// alone returns the i-th event in a batch of its own, which keeps nothing else of the batch in memory.
func alone(b *syncline.Batch, i int) (*syncline.Batch, error) {
	ev := b.Events[i]
	txn := syncline.Txn{}
	if ev.Txn < len(b.Txns) {
		txn = b.Txns[ev.Txn]
	}
	ev.Txn = 0
	data, err := syncline.AppendBatch(nil, &syncline.Batch{Source: b.Source, Position: b.Position, Chunk: b.Chunk, Txns: []syncline.Txn{txn},
		Events: []syncline.Event{ev}})
	if err != nil {
		return nil, err
	}
	return syncline.DecodeBatch(data)
}

func hasHash(d *syncline.Directory, hash uint32) bool {
	for i := range d.Count {
		if d.KeyHash(i) == hash {
			return true
		}
	}
	return false
}
