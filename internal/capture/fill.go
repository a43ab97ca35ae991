package capture

import "syncline"

// Limits bound what is put together into one batch while an append is under way. A batch that the source made larger stays as it
// is.
type Limits struct {
	Events int // 0 = 4,000
	Bytes  int // of values; 0 = 1 MiB
}

func (l Limits) withDefaults() Limits {
	if l.Events <= 0 {
		l.Events = 4000
	}
	if l.Bytes <= 0 {
		l.Bytes = 1 << 20
	}
	return l
}

// fill is a batch that waits for its append and grows meanwhile.
type fill struct {
	batch *syncline.Batch
	// bytes is its weight once that was asked for, 0 before.
	bytes int
}

// weight is about what a batch takes in the log, at least 1.
func weight(b *syncline.Batch) int {
	n := 1
	for i := range b.Events {
		e := &b.Events[i]
		for _, v := range e.Before {
			n += len(v.Bytes()) + 1
		}
		for _, v := range e.After {
			n += len(v.Bytes()) + 1
		}
	}
	return n
}

func (f *fill) weight() int {
	if f.bytes == 0 {
		f.bytes = weight(f.batch)
	}
	return f.bytes
}

// alone: a chunk of a run, and what must be in the log before anything else is read, are batches for themselves.
func alone(b *syncline.Batch) bool { return b.Sync || b.Chunk != nil }

// room reports whether it is worth while to read on before the batch is appended. Half a batch is enough: what comes next is
// rarely small then, and would only wait.
func (f *fill) room(l Limits) bool {
	return !alone(f.batch) && len(f.batch.Events)*2 < l.Events && f.weight()*2 < l.Bytes
}

// join adds the batch that follows in the stream, which may be empty and only move the position. It reports false, and has done
// nothing, where the two are not one batch or would be too large.
func (f *fill) join(b *syncline.Batch, l Limits) bool {
	a := f.batch
	if alone(a) || alone(b) || a.Position.Epoch != b.Position.Epoch || len(a.Events)+len(b.Events) > l.Events {
		return false
	}
	more := weight(b)
	if f.weight()+more > l.Bytes {
		return false
	}
	first, txns := len(a.Txns), b.Txns
	if first > 0 && len(txns) > 0 && txns[0].Commit == a.Txns[first-1].Commit { // the transaction goes on
		first, txns = first-1, txns[1:]
	}
	for i := range b.Events {
		b.Events[i].Txn += first
	}
	a.Txns, a.Events = append(a.Txns, txns...), append(a.Events, b.Events...)
	a.Position, a.Checkpoint, a.Partial = b.Position, b.Checkpoint, b.Partial
	f.bytes += more
	return true
}
