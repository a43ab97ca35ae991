package memlog

import (
	"bytes"
	"context"

	"syncline"
)

// Fault is what goes wrong with one append.
type Fault uint8

const (
	// FaultFull refuses the append: nothing is stored, and the error is transient with the code log_full.
	FaultFull Fault = iota + 1
	// FaultLost loses the append on its way and returns an error.
	FaultLost
	// FaultAnswerLost stores and syncs the append and returns an error.
	FaultAnswerLost
	// FaultUnsynced writes the append without syncing it and returns an error: no reader sees it, a crash drops it, and the
	// next append syncs it.
	FaultUnsynced
)

// Log is a handle on the log of one source.
type Log struct {
	store  *Store
	disk   *disk
	source string
	id     string
	boot   int

	// All below is guarded by store.mu.

	// last is the newest sequence that this handle knows of: another appender has been here when the log is beyond it.
	last   syncline.Seq
	fenced bool
	closed bool
	faults []Fault
	// unknown is what the last append tried to store if it ended without an answer, else nil.
	unknown []byte
}

var _ syncline.Log = (*Log)(nil)

// FailNext makes the next appends of this handle fail, one after the other.
func (l *Log) FailNext(faults ...Fault) {
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	l.faults = append(l.faults, faults...)
}

// ID implements syncline.Log.
func (l *Log) ID() string { return l.id }

// Append implements syncline.Log.
func (l *Log) Append(ctx context.Context, b *syncline.Batch) (syncline.Seq, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	data, err := syncline.AppendBatch(nil, b)
	if err != nil {
		return 0, syncline.Errorf(syncline.Fatal, "log_encode", "append to log of %s: %w", l.source, err)
	}
	if limit := l.MaxBatch(); len(data) > limit {
		return 0, syncline.Errorf(syncline.Rejected, "log_batch_too_large", "append to log of %s: a batch of %d bytes, the limit is %d",
			l.source, len(data), limit)
	}
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	if err := l.usableLocked(); err != nil {
		return 0, err
	}
	d := l.disk
	if stored, err := l.resolveLocked(data); stored || err != nil {
		return l.last, err
	}
	if l.fenced = l.fenced || d.writtenLast() != l.last; l.fenced {
		return 0, l.fencedError()
	}
	fault := l.nextFaultLocked()
	switch fault {
	case FaultFull:
		return 0, syncline.Errorf(syncline.Transient, "log_full", "append to log of %s: the log is full", l.source)
	case FaultLost:
		l.unknown = data
		return 0, l.unansweredError()
	}
	seq := l.last + 1
	d.entries = append(d.entries, stored{syncline.Entry{Seq: seq, Time: l.store.opts.Now(), Data: data}, l})
	d.bytes += int64(len(data))
	switch fault {
	case FaultUnsynced:
		l.unknown = data
		return 0, l.unansweredError()
	case FaultAnswerLost:
		d.sync()
		l.unknown = data
		return 0, l.unansweredError()
	}
	d.sync()
	l.last = seq
	return seq, nil
}

// MaxBatch implements syncline.Log.
func (l *Log) MaxBatch() int { return l.store.opts.MaxBatch }

// resolveLocked finds out what became of an append without an answer. It reports whether that append was stored and is
// what the caller wants to append again.
func (l *Log) resolveLocked(data []byte) (bool, error) {
	if l.unknown == nil {
		return false, nil
	}
	d := l.disk
	if d.writtenLast() > l.last {
		i := int(l.last + 1 - d.first)
		if d.entries[i].writer != l || d.writtenLast() > l.last+1 {
			l.fenced = true
			return false, l.fencedError()
		}
		d.sync()
		l.last++
		same := bytes.Equal(l.unknown, data)
		l.unknown = nil
		if !same {
			return false, syncline.Errorf(syncline.Transient, "log_moved", "append to log of %s: an earlier append was stored after all", l.source)
		}
		return true, nil
	}
	l.unknown = nil
	return false, nil
}

func (l *Log) nextFaultLocked() Fault {
	if len(l.faults) == 0 {
		return 0
	}
	f := l.faults[0]
	l.faults = l.faults[1:]
	return f
}

// Bounds implements syncline.Log.
func (l *Log) Bounds(context.Context) (syncline.Bounds, error) {
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	if err := l.usableLocked(); err != nil {
		return syncline.Bounds{}, err
	}
	return syncline.Bounds{First: l.disk.first, Last: l.disk.last(), Bytes: l.disk.bytes}, nil
}

// Purge implements syncline.Log.
func (l *Log) Purge(_ context.Context, below syncline.Seq) error {
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	if err := l.usableLocked(); err != nil {
		return err
	}
	d := l.disk
	below = min(below, d.last())
	if below <= d.first {
		return nil
	}
	n := int(below - d.first)
	for _, e := range d.entries[:n] {
		d.bytes -= int64(len(e.Data))
	}
	d.entries = append([]stored(nil), d.entries[n:]...)
	d.synced -= n
	d.first = below
	return nil
}

// Close implements syncline.Log. Readers of this handle return errors from now on.
func (l *Log) Close() error {
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	if !l.closed {
		l.closed = true
		l.disk.wake()
	}
	return nil
}

func (l *Log) usableLocked() error {
	if l.closed || l.boot != l.disk.boot {
		return syncline.Errorf(syncline.Transient, "log_closed", "the log of %s is closed", l.source)
	}
	return nil
}

func (l *Log) unansweredError() error {
	return syncline.Errorf(syncline.Transient, "log_unanswered", "append to log of %s: no answer", l.source)
}

func (l *Log) fencedError() error {
	return syncline.Errorf(syncline.Fatal, "log_fenced", "append to log of %s: another appender has written to it", l.source)
}
