package memlog

import (
	"context"

	"syncline"
)

// Reader reads a log forward.
type Reader struct {
	log    *Log
	next   syncline.Seq
	closed bool
}

var _ syncline.LogReader = (*Reader)(nil)

// Read implements syncline.Log.
func (l *Log) Read(_ context.Context, from syncline.Seq) (syncline.LogReader, error) {
	r, err := l.Reader(from)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Reader is Read with a result that can also be read without blocking.
func (l *Log) Reader(from syncline.Seq) (*Reader, error) {
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	if err := l.usableLocked(); err != nil {
		return nil, err
	}
	return &Reader{log: l, next: max(from, 1)}, nil
}

// TryNext returns the next entry, or false if there is none yet.
func (r *Reader) TryNext() (syncline.Entry, bool, error) {
	e, grown, err := r.poll()
	return e, err == nil && grown == nil, err
}

// Next implements syncline.LogReader.
func (r *Reader) Next(ctx context.Context) (syncline.Entry, error) {
	for {
		e, grown, err := r.poll()
		if err != nil || grown == nil {
			return e, err
		}
		select {
		case <-ctx.Done():
			return syncline.Entry{}, ctx.Err()
		case <-grown:
		}
	}
}

// poll returns the next entry, or a channel that is closed when there may be one.
func (r *Reader) poll() (syncline.Entry, <-chan struct{}, error) {
	l := r.log
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	if r.closed {
		return syncline.Entry{}, nil, syncline.Errorf(syncline.Transient, "log_closed", "the reader of the log of %s is closed", l.source)
	}
	if err := l.usableLocked(); err != nil {
		return syncline.Entry{}, nil, err
	}
	d := l.disk
	seq := max(r.next, d.first)
	if seq > d.last() {
		return syncline.Entry{}, d.grown, nil
	}
	r.next = seq + 1
	e := d.entries[seq-d.first].Entry
	e.More = seq < d.last()
	return e, nil, nil
}

// Close implements syncline.LogReader.
func (r *Reader) Close() error {
	r.log.store.mu.Lock()
	defer r.log.store.mu.Unlock()
	r.closed = true
	return nil
}
