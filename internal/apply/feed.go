package apply

import (
	"context"
	"sync"
	"time"

	"syncline"
)

// feedBytes is how much of the log's end, in stored bytes, a Feed keeps decoded.
const feedBytes = 4 << 20

// Feed reads and decodes a log once for all routes that stand at its end. The shared reader goes with the route that is ahead of the
// others; a route that is behind reads for itself until it has caught up.
type Feed struct {
	log syncline.Log

	mu      sync.Mutex
	ring    []Fed // consecutive, the newest last
	bytes   int
	tail    syncline.LogReader // reads the entry after the ring; nil until the first route asks
	next    syncline.Seq       // that entry's sequence
	reading bool               // somebody is in tail.Next
	changed chan struct{}      // closed and replaced when the ring grew or the reader gave up
}

// Fed is a decoded entry. The batch is shared: nobody changes it.
type Fed struct {
	Seq   syncline.Seq
	Time  time.Time
	Batch *syncline.Batch
	Size  int
	// More: the entry that follows is in the log already.
	More bool
}

// NewFeed returns the feed of a log.
func NewFeed(log syncline.Log) *Feed {
	return &Feed{log: log, changed: make(chan struct{})}
}

// Close releases the shared reader. Routes must have stopped.
func (f *Feed) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tail == nil {
		return nil
	}
	err := f.tail.Close()
	f.tail = nil
	return err
}

// Reader returns a reader that begins at from.
func (f *Feed) Reader(from syncline.Seq) *FeedReader { return &FeedReader{feed: f, seq: from} }

// FeedReader is one route's place in a Feed. It is used by one goroutine.
type FeedReader struct {
	feed *Feed
	seq  syncline.Seq
	own  syncline.LogReader // while the route is behind the ring
}

// Close releases what the reader holds for itself.
func (r *FeedReader) Close() error {
	if r.own == nil {
		return nil
	}
	err := r.own.Close()
	r.own = nil
	return err
}

// Next blocks until there is a next entry.
func (r *FeedReader) Next(ctx context.Context) (Fed, error) {
	f := r.feed
	for {
		f.mu.Lock()
		if d, ok := f.at(r.seq); ok {
			d.More = d.More || d.Seq+1 < f.next
			f.mu.Unlock()
			_ = r.Close() // the route has caught up
			r.seq++
			return d, nil
		}
		if f.tail == nil || f.next < r.seq && !f.reading { // whoever opened it may read no further
			if err := f.open(ctx, r.seq); err != nil {
				f.mu.Unlock()
				return Fed{}, err
			}
		}
		if r.seq != f.next {
			f.mu.Unlock()
			return r.readOwn(ctx)
		}
		if f.reading {
			changed := f.changed
			f.mu.Unlock()
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				return Fed{}, ctx.Err()
			}
		}
		f.reading = true
		tail := f.tail
		f.mu.Unlock()
		d, err := read(ctx, tail)
		f.mu.Lock()
		f.reading = false
		if err != nil {
			_ = tail.Close()
			f.tail = nil // the next one to ask opens it again
		} else {
			f.push(d)
		}
		close(f.changed)
		f.changed = make(chan struct{})
		f.mu.Unlock()
		if err != nil {
			return Fed{}, err
		}
	}
}

// open has the shared reader begin at seq.
func (f *Feed) open(ctx context.Context, seq syncline.Seq) error {
	tail, err := f.log.Read(ctx, seq)
	if err != nil {
		return err
	}
	if f.tail != nil {
		_ = f.tail.Close() // it holds nothing that could be lost
	}
	f.tail, f.next, f.ring, f.bytes = tail, seq, nil, 0
	return nil
}

// readOwn reads the next entry for this route alone.
func (r *FeedReader) readOwn(ctx context.Context) (Fed, error) {
	if r.own == nil {
		own, err := r.feed.log.Read(ctx, r.seq)
		if err != nil {
			return Fed{}, err
		}
		r.own = own
	}
	d, err := read(ctx, r.own)
	if err != nil {
		_ = r.Close()
		return Fed{}, err
	}
	r.seq = d.Seq + 1
	return d, nil
}

// at returns the entry if the ring has it.
func (f *Feed) at(seq syncline.Seq) (Fed, bool) {
	if len(f.ring) == 0 || seq < f.ring[0].Seq || seq > f.ring[len(f.ring)-1].Seq {
		return Fed{}, false
	}
	return f.ring[seq-f.ring[0].Seq], true
}

func (f *Feed) push(d Fed) {
	if len(f.ring) > 0 && d.Seq != f.ring[len(f.ring)-1].Seq+1 {
		f.ring, f.bytes = nil, 0
	}
	f.ring = append(f.ring, d)
	f.bytes += d.Size
	f.next = d.Seq + 1
	for f.bytes > feedBytes && len(f.ring) > 1 {
		f.bytes -= f.ring[0].Size
		f.ring[0] = Fed{}
		f.ring = f.ring[1:]
	}
}

func read(ctx context.Context, from syncline.LogReader) (Fed, error) {
	e, err := from.Next(ctx)
	if err != nil {
		return Fed{}, err
	}
	b, err := syncline.DecodeBatch(e.Data)
	if err != nil {
		return Fed{}, syncline.Errorf(syncline.Fatal, "log_corrupt", "read log at sequence %d: %w", e.Seq, err).
			WithFix("restore the log directory; the routes of this source cannot go on beyond this batch")
	}
	return Fed{Seq: e.Seq, Time: e.Time, Batch: b, Size: len(e.Data), More: e.More}, nil
}
