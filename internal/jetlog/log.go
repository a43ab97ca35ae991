package jetlog

import (
	"context"
	"crypto/rand"
	"errors"
	"math"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"syncline"
)

// log is a handle on the log of one source.
type log struct {
	server  *Server
	source  string
	id      string
	stream  string
	subject string
	hint    string // where the end of the log is announced to other processes; "" = there are none
	tail    *tail
	mark    *mark
	// writer marks the appends of this handle.
	writer string

	// answers takes the server's answers to appends. Sent to by the connection, which drops what does not fit; one is awaited
	// at a time, others are late. Never closed.
	answers chan *nats.Msg
	inbox   string
	subs    []*nats.Subscription

	done      chan struct{} // closed by Close
	closeOnce sync.Once

	appender appender
}

var _ syncline.Log = (*log)(nil)

func (s *Server) openLog(ctx context.Context, source string) (*log, error) {
	m, err := s.openMark(source)
	if err != nil {
		return nil, err
	}
	info, err := s.openStream(ctx, source, m)
	if err == nil {
		err = m.set(info.Config.Metadata[metaID], boundsOf(info.State).Last)
	}
	if err != nil {
		return nil, errors.Join(err, m.close())
	}
	l := &log{
		server: s, source: source, id: info.Config.Metadata[metaID], stream: info.Config.Name, subject: info.Config.Subjects[0],
		writer: rand.Text(), answers: make(chan *nats.Msg, 64), inbox: nats.NewInbox() + ".", done: make(chan struct{}), mark: m,
	}
	l.appender.last = boundsOf(info.State).Last
	l.tail = s.tailOf(l.stream)
	l.tail.advance(l.appender.last)
	if err := l.subscribe(); err != nil {
		return nil, errors.Join(unavailable("open the log of "+source, err), l.Close())
	}
	s.mu.Lock()
	closed := s.closed
	s.logs[l] = true
	s.mu.Unlock()
	if closed {
		return nil, errors.Join(l.closedError(), l.Close())
	}
	return l, nil
}

func (l *log) subscribe() error {
	sub, err := l.server.nc.ChanSubscribe(l.inbox+"*", l.answers)
	if err != nil {
		return err
	}
	l.subs = append(l.subs, sub)
	if l.server.embedded == nil {
		l.hint = hintPrefix + place(l.source)
		sub, err := l.server.nc.Subscribe(l.hint, func(m *nats.Msg) {
			if seq, err := strconv.ParseUint(string(m.Data), 10, 64); err == nil {
				l.tail.advance(syncline.Seq(seq))
			}
		})
		if err != nil {
			return err
		}
		l.subs = append(l.subs, sub)
	}
	return nil
}

func (s *Server) tailOf(stream string) *tail {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tails[stream]
	if t == nil {
		t = newTail(&s.recent)
		s.tails[stream] = t
	}
	return t
}

// ID implements syncline.Log.
func (l *log) ID() string { return l.id }

// Bounds implements syncline.Log.
func (l *log) Bounds(ctx context.Context) (syncline.Bounds, error) {
	state, err := l.state(ctx)
	return boundsOf(state), err
}

func (l *log) state(ctx context.Context) (jetstream.StreamState, error) {
	if l.closed() {
		return jetstream.StreamState{}, l.closedError()
	}
	stream, err := l.server.js.Stream(ctx, l.stream)
	if err != nil {
		return jetstream.StreamState{}, unavailable("ask for the bounds of the log of "+l.source, err)
	}
	return stream.CachedInfo().State, nil
}

// Purge implements syncline.Log. It also works on a disk that is full up to the server's reserve.
func (l *log) Purge(ctx context.Context, below syncline.Seq) error {
	if e := l.server.embedded; e != nil {
		if err := e.failure(); err != nil {
			return err
		}
	}
	state, err := l.state(ctx)
	if err != nil {
		return err
	}
	b := boundsOf(state)
	below = min(below, b.Last)
	if below <= b.First {
		return nil
	}
	stream, err := l.server.js.Stream(ctx, l.stream)
	if err == nil {
		err = stream.Purge(ctx, jetstream.WithPurgeSequence(uint64(below)))
	}
	if err != nil {
		return unavailable("purge the log of "+l.source, err)
	}
	l.tail.purge(below)
	return nil
}

// Close implements syncline.Log. Readers of this handle return errors from now on.
func (l *log) Close() error {
	var err error
	l.closeOnce.Do(func() {
		close(l.done)
		for _, sub := range l.subs {
			_ = sub.Unsubscribe() // fails only where the connection is gone, and the subscription with it
		}
		l.server.mu.Lock()
		delete(l.server.logs, l)
		last := true
		for other := range l.server.logs {
			last = last && other.stream != l.stream
		}
		l.server.mu.Unlock()
		if last {
			l.tail.purge(math.MaxUint64)
		}
		l.appender.mu.Lock() // an append in flight has seen done
		defer l.appender.mu.Unlock()
		err = l.mark.close()
	})
	return err
}

func (l *log) closed() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

func (l *log) closedError() error {
	return syncline.Errorf(syncline.Transient, "log_closed", "the log of %s is closed", l.source)
}
