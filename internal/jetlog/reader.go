package jetlog

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"syncline"
)

const (
	// windowBytes and windowEntries bound what is asked for at once. At most two windows are in memory: one being consumed,
	// one on its way.
	windowBytes   = 2 << 20
	windowEntries = 512
	// pollEvery is how often a waiting reader looks for itself, in case nobody told it of an append.
	pollEvery = time.Second
	// silence is how long nothing may come of a window before it is asked for again.
	silence = 10 * time.Second
)

// reader reads forward by asking the server for windows of entries from a sequence on. The server keeps no state for it, so
// there is none to lose. At the log's end it takes what was appended in this process from memory, and waits for more.
//
// It has a connection of its own, made when it is first needed: a window in front of the answer to an append would delay it.
type reader struct {
	log *log
	// next is the entry that Next returns next; ahead the first that was not received yet, ≥ next.
	next, ahead syncline.Seq
	queue       []syncline.Entry // next … ahead-1
	head        int              // of queue

	nc    *nats.Conn
	inbox string
	// window numbers the windows; its subject tells answers to the current one from late ones.
	window  uint64
	asked   bool // the current window is not complete
	subject string
	deep    int // bytes in queue
	// in takes the server's answers. Sent to by the connection, which drops what does not fit: it holds a window and a few
	// late ones. Never closed.
	in chan *nats.Msg
	// lost is sent to by the connection when it was interrupted: a window may not have arrived. Never closed; one is enough.
	lost   chan struct{}
	closed bool
}

var _ syncline.LogReader = (*reader)(nil)

// Read implements syncline.Log.
func (l *log) Read(_ context.Context, from syncline.Seq) (syncline.LogReader, error) {
	if l.closed() {
		return nil, l.closedError()
	}
	from = max(from, 1)
	return &reader{log: l, next: from, ahead: from}, nil
}

// Next implements syncline.LogReader.
func (r *reader) Next(ctx context.Context) (syncline.Entry, error) {
	if err := ctx.Err(); err != nil {
		return syncline.Entry{}, err
	}
	for {
		if r.closed || r.log.closed() {
			return syncline.Entry{}, r.log.closedError()
		}
		for r.asked && len(r.in) > 0 {
			if err := r.receive(ctx, <-r.in); err != nil {
				return syncline.Entry{}, err
			}
		}
		if r.head < len(r.queue) {
			e := r.pop()
			r.prefetch()
			if e.More = r.head < len(r.queue); !e.More {
				_, last := r.log.tail.state(r.next)
				e.More = last >= r.next
			}
			return e, nil
		}
		if !r.asked {
			e, ok, last, grown := r.log.tail.at(r.next)
			if ok {
				r.next, r.ahead, e.More = e.Seq+1, e.Seq+1, last > e.Seq
				return e, nil
			}
			if last < r.next {
				if err := r.wait(ctx, grown); err != nil {
					return syncline.Entry{}, err
				}
				continue
			}
			if err := r.ask(); err != nil {
				return syncline.Entry{}, err
			}
		}
		if err := r.await(ctx); err != nil {
			return syncline.Entry{}, err
		}
	}
}

func (r *reader) pop() syncline.Entry {
	e := r.queue[r.head]
	r.queue[r.head] = syncline.Entry{}
	r.head++
	if r.head == len(r.queue) {
		r.queue, r.head = r.queue[:0], 0
	}
	r.next = e.Seq + 1
	r.deep -= len(e.Data)
	return e
}

// prefetch asks for the next window while there is still something of the last one to work on. If it cannot, Next asks
// again, and returns the error if it stays, when there is nothing left.
func (r *reader) prefetch() {
	if r.asked || r.nc == nil || r.deep > windowBytes {
		return
	}
	if recent, last := r.log.tail.state(r.ahead); !recent && last >= r.ahead {
		_ = r.ask()
	}
}

// wait returns when the log has grown, or when it is time to look whether it has.
func (r *reader) wait(ctx context.Context, grown <-chan struct{}) error {
	var poll <-chan time.Time
	if r.log.server.embedded == nil { // of an embedded log, everything is appended in this process
		timer := time.NewTimer(pollEvery)
		defer timer.Stop()
		poll = timer.C
	}
	select {
	case <-grown:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-r.log.done:
		return r.log.closedError()
	case <-poll:
	}
	return r.ask()
}

// ask requests a window from r.ahead on.
func (r *reader) ask() error {
	if err := r.connect(); err != nil {
		return err
	}
	r.window++
	r.subject = r.inbox + strconv.FormatUint(r.window, 10)
	request := fmt.Appendf(nil, `{"seq":%d,"batch":%d,"max_bytes":%d}`, r.ahead, windowEntries, windowBytes)
	if err := r.nc.PublishRequest("$JS.API.DIRECT.GET."+r.log.stream, r.subject, request); err != nil {
		return unavailable("read the log of "+r.log.source, err)
	}
	r.asked = true
	return nil
}

func (r *reader) connect() error {
	if r.nc != nil {
		return nil
	}
	lost := make(chan struct{}, 1)
	nc, err := r.log.server.connect("syncline log reader", func() {
		select {
		case lost <- struct{}{}:
		default:
		}
	})
	if err != nil {
		return err
	}
	r.inbox = nats.NewInbox() + "."
	r.in = make(chan *nats.Msg, 4*windowEntries)
	if _, err := nc.ChanSubscribe(r.inbox+"*", r.in); err != nil {
		nc.Close()
		return unavailable("read the log of "+r.log.source, err)
	}
	r.nc, r.lost = nc, lost
	return nil
}

// await blocks until something of the window has arrived.
func (r *reader) await(ctx context.Context) error {
	timer := time.NewTimer(silence)
	defer timer.Stop()
	select {
	case m := <-r.in:
		return r.receive(ctx, m)
	case <-r.lost:
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	case <-r.log.done:
		return r.log.closedError()
	}
	r.asked = false
	return nil
}

// receive takes one answer of the server: an entry, or the word that the window ends.
func (r *reader) receive(ctx context.Context, m *nats.Msg) error {
	if m.Subject != r.subject {
		return nil
	}
	switch status := m.Header.Get("Status"); status {
	case "":
	case "204": // the window is complete; so many entries are behind it
		r.asked = false
		if pending, err := strconv.ParseUint(m.Header.Get("Nats-Num-Pending"), 10, 64); err == nil {
			r.log.tail.advance(r.ahead - 1 + syncline.Seq(pending))
		}
		return nil
	case "404": // nothing at or behind r.ahead
		r.asked = false
		return r.explainNothing(ctx)
	default:
		r.asked = false
		return syncline.Errorf(syncline.Transient, "log_unavailable", "read the log of %s: the log server answers %s", r.log.source, status)
	}
	n, err := strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64)
	seq := syncline.Seq(n)
	if err != nil || seq < r.ahead {
		return syncline.Errorf(syncline.Fatal, "log_corrupt", "the log of %s gave an entry without a sequence in place of %d", r.log.source, r.ahead)
	}
	if seq > r.ahead {
		if err := r.explainGap(ctx, seq); err != nil {
			return err
		}
	}
	stored, _ := time.Parse(time.RFC3339Nano, m.Header.Get("Nats-Time-Stamp"))
	r.queue = append(r.queue, syncline.Entry{Seq: seq, Time: entryTime(m.Header, stored), Data: m.Data})
	r.deep += len(m.Data)
	r.ahead = seq + 1
	return nil
}

// explainNothing: there is nothing to read because the log ends there, unless it does not.
func (r *reader) explainNothing(ctx context.Context) error {
	if _, last := r.log.tail.state(r.ahead); last < r.ahead {
		return nil
	}
	b, err := r.log.Bounds(ctx)
	switch {
	case err != nil:
		return err
	case b.Last < r.ahead:
		return lostError(r.log.source, b.Last, r.ahead)
	case b.First <= r.ahead:
		// It was appended after the question, or it cannot be read: only the second stays.
		if _, _, err := r.log.entry(ctx, r.ahead); err != nil {
			return r.corrupt(r.ahead, b, err)
		}
	}
	return nil
}

// explainGap: entries are missing because they were purged, unless they were not.
func (r *reader) explainGap(ctx context.Context, got syncline.Seq) error {
	b, err := r.log.Bounds(ctx)
	if err != nil || b.First >= got {
		return err
	}
	_, _, err = r.log.entry(ctx, got-1)
	return r.corrupt(got-1, b, err)
}

func (r *reader) corrupt(seq syncline.Seq, b syncline.Bounds, cause error) error {
	return syncline.Errorf(syncline.Fatal, "log_corrupt", "entry %d of the log of %s, which holds %d to %d, cannot be read: %w",
		seq, r.log.source, b.First, b.Last, cause).
		WithFix("check the disk; restore the log directory, or move it away to begin new logs with a full sync")
}

// Close implements syncline.LogReader.
func (r *reader) Close() error {
	r.closed = true
	if r.nc != nil {
		r.nc.Close()
	}
	return nil
}
