package jetlog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"syncline"
)

// Headers of an entry. headerExpected is the server's: it refuses the entry unless the log ends there.
const (
	headerExpected = "Nats-Expected-Last-Sequence"
	headerWriter   = "Syncline-Writer"
	headerTime     = "Syncline-Time" // nanoseconds since 1970
)

const (
	// answerPatience is how long the answer to an append may take before it counts as lost. A slow disk is not an error; a
	// failed one is noticed by the watcher of the embedded server.
	answerPatience = 15 * time.Second

	// errStoreFailed is what the server answers where its store refused the message, above all because of the quota.
	errStoreFailed jetstream.ErrorCode = 10077
	// errStorageExceeded and errAccountExceeded: the quota of a cluster's account.
	errStorageExceeded jetstream.ErrorCode = 10047
	errAccountExceeded jetstream.ErrorCode = 10002
	errNoResources     jetstream.ErrorCode = 10023
)

// appender is the writing half of a log. Its state is where the log ends by what this handle knows, and what it does not
// know: an append without an answer may have been stored, or may still be on its way. Each append names the end that it
// expects, so one that arrives late can only ever take the place that it was meant for, and it is recognised there by the
// writer's mark.
type appender struct {
	mu   sync.Mutex
	last syncline.Seq
	// unknown: an append ended without an answer.
	unknown bool
	fenced  bool
	// attempt numbers the answers.
	attempt uint64
	time    time.Time // of the last entry
	// scratch is what batches are encoded in.
	scratch []byte
}

// maxScratch is the memory that an appender keeps; a larger batch is a single huge row.
const maxScratch = 4 << 20

// encode returns the batch encoded, in memory of its own: readers at the log's end share it.
func (a *appender) encode(b *syncline.Batch) ([]byte, error) {
	data, err := syncline.AppendBatch(a.scratch[:0], b)
	if err != nil || cap(data) > maxScratch {
		return data, err
	}
	a.scratch = data
	return bytes.Clone(data), nil
}

// Append implements syncline.Log.
func (l *log) Append(ctx context.Context, b *syncline.Batch) (syncline.Seq, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if l.closed() {
		return 0, l.closedError()
	}
	a := &l.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fenced {
		return 0, l.fencedError()
	}
	data, err := a.encode(b)
	if err != nil {
		return 0, syncline.Errorf(syncline.Fatal, "log_encode", "append to the log of %s: %w", l.source, err)
	}
	if limit := l.MaxBatch(); len(data) > limit {
		return 0, syncline.Errorf(syncline.Rejected, "log_batch_too_large", "append to the log of %s: a batch of %d bytes, the limit is %d",
			l.source, len(data), limit)
	}
	if e := l.server.embedded; e != nil {
		if err := e.failure(); err != nil {
			return 0, err
		}
		if err := e.room(len(data)); err != nil {
			return 0, err
		}
	}
	if err := l.age(ctx); err != nil {
		return 0, err
	}
	for range 3 {
		if a.unknown {
			stored, err := l.resolve(ctx, data)
			if err != nil {
				return 0, err
			}
			if stored {
				return a.last, nil
			}
		}
		seq, err := l.publish(ctx, data)
		if !errors.Is(err, errWrongEnd) {
			return seq, err
		}
		a.unknown = true // the log does not end where we thought: find out why
	}
	return 0, syncline.Errorf(syncline.Transient, "log_unavailable", "append to the log of %s: its end is in motion", l.source)
}

// age finds out of when the last entry is that another handle wrote: the clock may have been set back since.
func (l *log) age(ctx context.Context) error {
	a := &l.appender
	if !a.time.IsZero() || a.last == 0 {
		return nil
	}
	e, _, err := l.entry(ctx, a.last)
	if errors.Is(err, jetstream.ErrMsgNotFound) { // others have appended and purged: the append tells
		return nil
	}
	a.time = e.Time
	return err
}

// MaxBatch implements syncline.Log.
func (l *log) MaxBatch() int { return int(min(maxBatch, l.server.nc.MaxPayload()-headerRoom)) }

var errWrongEnd = errors.New("the log does not end where it was expected to")

// publish appends data behind a.last and waits until it is durable.
func (l *log) publish(ctx context.Context, data []byte) (syncline.Seq, error) {
	a := &l.appender
	now := time.Now().UTC().Round(0)
	if now.Before(a.time) { // entries are never older than those before them
		now = a.time
	}
	a.attempt++
	reply := l.inbox + strconv.FormatUint(a.attempt, 10)
	failed, cut := l.server.failed(), l.server.connectionCut()
	err := l.server.nc.PublishMsg(&nats.Msg{Subject: l.subject, Reply: reply, Data: data, Header: nats.Header{
		headerExpected: {strconv.FormatUint(uint64(a.last), 10)},
		headerWriter:   {l.writer},
		headerTime:     {strconv.FormatInt(now.UnixNano(), 10)},
	}})
	if err != nil {
		a.unknown = true
		return 0, unavailable("append to the log of "+l.source, err)
	}
	answer, err := l.await(ctx, reply, failed, cut)
	if err != nil {
		a.unknown = true
		return 0, err
	}
	seq, err := l.judge(ctx, answer, len(data))
	if err != nil {
		return 0, err
	}
	l.stored(syncline.Entry{Seq: seq, Time: now, Data: data})
	return seq, nil
}

// stored notes that the log has grown by this entry.
func (l *log) stored(e syncline.Entry) {
	a := &l.appender
	a.last, a.time, a.unknown = e.Seq, e.Time, false
	l.tail.append(e)
	if err := l.mark.set(l.id, e.Seq); err != nil {
		l.server.opts.Logger.Warn("end of log is not noted", "source", l.source, "error", err)
	}
	if l.hint != "" {
		_ = l.server.nc.Publish(l.hint, strconv.AppendUint(nil, uint64(e.Seq), 10)) // lost hints are made up for by polling
	}
}

// await returns the answer to an append.
func (l *log) await(ctx context.Context, reply string, failed, cut <-chan struct{}) (*nats.Msg, error) {
	timer := time.NewTimer(answerPatience)
	defer timer.Stop()
	for {
		select {
		case m := <-l.answers:
			if m.Subject == reply {
				return m, nil
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-l.done:
			return nil, l.closedError()
		case <-failed:
			return nil, diskError("append to the log of "+l.source, errors.New("the log server cannot write"))
		case <-cut:
			return nil, syncline.Errorf(syncline.Transient, "log_unavailable", "append to the log of %s: the connection was interrupted", l.source)
		case <-timer.C:
			if e := l.server.embedded; e != nil {
				e.suspect()
			}
			return nil, syncline.Errorf(syncline.Transient, "log_unanswered", "append to the log of %s: no answer within %v", l.source, answerPatience)
		}
	}
}

// judge reads the answer to an append of size bytes.
func (l *log) judge(ctx context.Context, answer *nats.Msg, size int) (syncline.Seq, error) {
	if status := answer.Header.Get("Status"); status != "" {
		return 0, syncline.Errorf(syncline.Transient, "log_unavailable", "append to the log of %s: the log server answers %s", l.source, status)
	}
	var ack struct {
		Seq   syncline.Seq        `json:"seq"`
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(answer.Data, &ack); err != nil {
		l.appender.unknown = true
		return 0, syncline.Errorf(syncline.Transient, "log_unanswered", "append to the log of %s: the answer cannot be read: %w", l.source, err)
	}
	if ack.Error == nil {
		return ack.Seq, nil
	}
	full := false
	switch ack.Error.ErrorCode {
	case jetstream.JSErrCodeStreamWrongLastSequence:
		return 0, errWrongEnd
	case errStoreFailed: // the quota, or the server is shutting down
		state, err := l.state(ctx)
		limit := l.server.maxBytes.Load()
		full = err == nil && limit > 0 && int64(state.Bytes)+int64(size)+1024 > limit
	case errStorageExceeded, errAccountExceeded, errNoResources:
		full = true
	}
	if full {
		return 0, syncline.Errorf(syncline.Transient, "log_full", "append to the log of %s: no room for %d bytes: %w", l.source, size, ack.Error).
			WithFix("raise log.max_bytes, or bring the route that is farthest behind back to work")
	}
	return 0, syncline.Errorf(syncline.Transient, "log_unavailable", "append to the log of %s: %w", l.source, ack.Error)
}

// resolve finds out what became of an append without an answer. It reports whether that was stored and is what the caller
// wants to append; one that was stored and is another is an error, because the caller does not know that its source has
// got further. a.last is right afterwards.
func (l *log) resolve(ctx context.Context, data []byte) (bool, error) {
	a := &l.appender
	state, err := l.state(ctx)
	if err != nil {
		return false, err
	}
	end := boundsOf(state).Last
	switch {
	case end == a.last:
		a.unknown = false
		return false, nil
	case end < a.last:
		return false, lostError(l.source, end, a.last)
	case end > a.last+1:
		a.fenced = true
		return false, l.fencedError()
	}
	e, writer, err := l.entry(ctx, end)
	if err != nil {
		return false, err
	}
	if writer != l.writer {
		a.fenced = true
		return false, l.fencedError()
	}
	same := bytes.Equal(e.Data, data)
	l.stored(e)
	if !same {
		return false, syncline.Errorf(syncline.Transient, "log_moved",
			"append to the log of %s: an earlier append was stored after all; the source must be read on from there", l.source)
	}
	return true, nil
}

// entry reads one entry, and whose it is.
func (l *log) entry(ctx context.Context, seq syncline.Seq) (syncline.Entry, string, error) {
	stream, err := l.server.js.Stream(ctx, l.stream)
	if err != nil {
		return syncline.Entry{}, "", unavailable("read the end of the log of "+l.source, err)
	}
	m, err := stream.GetMsg(ctx, uint64(seq))
	if err != nil {
		return syncline.Entry{}, "", unavailable("read the end of the log of "+l.source, err)
	}
	return syncline.Entry{Seq: seq, Time: entryTime(m.Header, m.Time), Data: m.Data}, m.Header.Get(headerWriter), nil
}

// entryTime is the appender's clock; stored is the server's, for entries of another writer.
func entryTime(h nats.Header, stored time.Time) time.Time {
	if ns, err := strconv.ParseInt(h.Get(headerTime), 10, 64); err == nil {
		return time.Unix(0, ns).UTC()
	}
	return stored
}

func (l *log) fencedError() error {
	return syncline.Errorf(syncline.Fatal, "log_fenced", "append to the log of %s: another appender has written to it", l.source).
		WithFix("stop the other process that captures this source")
}
