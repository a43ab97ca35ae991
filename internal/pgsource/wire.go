package pgsource

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"syncline/internal/pgoutput"
)

const (
	// slabSize is how much is asked of the socket at once, and the memory that received rows live in.
	slabSize = 512 << 10
	// minRoom is the least room in a slab that is worth a read.
	minRoom = 16 << 10
	// maxMessage is more than PostgreSQL ever sends in one message.
	maxMessage = 1<<30 + 1<<20

	// The walsender sends every row by itself, so that reading eagerly costs a system call a row. While messages come faster
	// than busyReads in busyPause, the reader lets them gather for that long. Where much gathers, a backlog is being worked off:
	// then for longer, so that the batches for the log become large.
	busyPause = 2 * time.Millisecond
	busyReads = 16
	busyBytes = 32 << 10
	// It ends before where nothing more comes, looked at every heavyStep: the server has no more, or the window is closed.
	heavyPause = 8 * time.Millisecond
	heavyStep  = time.Millisecond
	heavyBytes = 64 << 10

	statusInterval = 10 * time.Second
	// statusGap bounds how often confirmations are passed on.
	statusGap  = 20 * time.Millisecond
	statusWait = 10 * time.Second
)

// wire is a connection that streams. A reader goroutine cuts what arrives into blocks of whole messages; a second goroutine
// tells the server how far we are, on its own clock, whether anybody takes blocks or not.
type wire struct {
	conn net.Conn
	// blocks is sent to and closed by the reader. Its capacity bounds what is read ahead, beside the kernel's buffers: 2 MiB.
	blocks chan []byte
	err    error // why blocks was closed; valid after that
	stop   chan struct{}
	// urgent asks for a status update now. Anybody sends, nobody closes; one is enough.
	urgent chan struct{}
	ask    atomic.Bool   // the next status update asks the server for its position
	seen   atomic.Uint64 // how far the server has read its WAL
	// waits is since when the reader waits for a word of the server, in Unix nanoseconds; 0 = it waits for us.
	waits atomic.Int64
	// confirmed belongs to the source: what may be forgotten.
	confirmed *atomic.Uint64
	interval  time.Duration // between status updates
	silence   time.Duration // without a word from the server, after which the connection is dead
	done      sync.WaitGroup
	once      sync.Once
}

// newWire takes over a connection that has just begun to stream.
func newWire(conn net.Conn, confirmed *atomic.Uint64, serverTimeout time.Duration) *wire {
	w := &wire{conn: conn, blocks: make(chan []byte, 4), stop: make(chan struct{}), urgent: make(chan struct{}, 1), confirmed: confirmed,
		interval: statusInterval, silence: 5 * time.Minute}
	if serverTimeout > 0 {
		w.interval = min(statusInterval, serverTimeout/3)
		w.silence = max(time.Minute, 2*serverTimeout)
	}
	narrow(conn)
	w.done.Go(w.read)
	w.done.Go(w.report)
	return w
}

func (w *wire) arrivals() <-chan []byte { return w.blocks }
func (w *wire) failure() error          { return w.err }

// close ends both goroutines and the connection.
func (w *wire) close() {
	w.once.Do(func() { close(w.stop) })
	w.done.Wait()
	_ = w.conn.Close() // closed already where an error ended it
}

// nudge sends a status update soon.
func (w *wire) nudge() {
	select {
	case w.urgent <- struct{}{}:
	default:
	}
}

// poll asks the server how far it has read its WAL.
func (w *wire) poll() {
	w.ask.Store(true)
	w.nudge()
}

// read cuts what arrives into blocks. Rows will refer to the slab, so that nothing is written twice to any place of it.
func (w *wire) read() {
	defer close(w.blocks)
	pace := newPacer(w.conn, w.stop)
	var slab []byte
	var start, end, need int // slab[start:end] is received and not handed out; need is the length of the message at start
	for {
		if len(slab)-end < minRoom {
			// The length of a message is believed only as far as its bytes arrive.
			next := make([]byte, max(slabSize, min(need, 2*(end-start))+minRoom))
			start, end, slab = 0, copy(next, slab[start:end]), next
		}
		now := time.Now()
		if err := w.conn.SetReadDeadline(now.Add(w.silence)); err != nil {
			w.err = err
			return
		}
		room := slab[end:]
		w.waits.Store(now.UnixNano())
		n, err := w.conn.Read(room)
		w.waits.Store(0)
		end += n
		if err != nil {
			if w.err = err; errors.Is(err, net.ErrClosed) {
				w.err = errors.New("the connection was closed")
			}
			return
		}
		whole, next, err := w.scan(slab[start:end])
		if err != nil {
			w.err = err
			return
		}
		need = next
		if whole > 0 {
			select {
			case w.blocks <- slab[start : start+whole : start+whole]:
			case <-w.stop:
				w.err = errors.New("the source was closed")
				return
			}
			start += whole
		}
		if n < len(room) && !pace.wait(n) {
			w.err = errors.New("the source was closed")
			return
		}
	}
}

// heard is when the server was heard of last. It answers each status update of the clock, so that it is never long ago.
func (w *wire) heard() time.Time {
	if since := w.waits.Load(); since != 0 {
		return time.Unix(0, since)
	}
	return time.Now() // it waits for us
}

// scan returns the length of the whole messages at the start of data, and the length of the one that is cut off after them
// as far as it is known.
func (w *wire) scan(data []byte) (whole, next int, err error) {
	for {
		rest := data[whole:]
		if len(rest) < 5 {
			return whole, 5, nil
		}
		n := int(binary.BigEndian.Uint32(rest[1:]))
		if n < 4 || n > maxMessage {
			return 0, 0, fmt.Errorf("message of %d bytes", n)
		}
		if n++; n > len(rest) {
			return whole, n, nil
		}
		if rest[0] == 'd' && n >= 5+keepaliveSize && rest[5] == 'k' {
			w.seen.Store(max(w.seen.Load(), binary.BigEndian.Uint64(rest[6:])))
			if rest[22] != 0 {
				w.nudge()
			}
		}
		whole += n
	}
}

// keepaliveSize is of a keepalive: 'k', the end of the WAL, a time, and whether a reply is wanted.
const keepaliveSize = 1 + 8 + 8 + 1

// report sends status updates until the source closes; the last one has the last confirmation.
func (w *wire) report() {
	tick := time.NewTicker(w.interval)
	defer tick.Stop()
	gap := time.NewTimer(0)
	defer gap.Stop()
	for {
		select {
		case <-w.stop:
			_ = w.status(false) // the last word is a courtesy
			_ = w.conn.Close()  // wakes the reader
			return
		case <-tick.C:
			w.ask.Store(true)
		case <-w.urgent:
		}
		if err := w.status(w.ask.Swap(false)); err != nil {
			_ = w.conn.Close() // the reader reports it
			return
		}
		gap.Reset(statusGap)
		select {
		case <-gap.C:
		case <-w.stop:
		}
	}
}

// status tells the server what was received, and as flushed and applied only what was confirmed: never zero, which the
// server would take for what was received.
func (w *wire) status(ask bool) error {
	confirmed := w.confirmed.Load()
	b := make([]byte, 0, 39)
	b = append(b, 'd')
	b = binary.BigEndian.AppendUint32(b, 38)
	b = append(b, 'r')
	b = binary.BigEndian.AppendUint64(b, max(w.seen.Load(), confirmed))
	b = binary.BigEndian.AppendUint64(b, confirmed)
	b = binary.BigEndian.AppendUint64(b, confirmed)
	b = binary.BigEndian.AppendUint64(b, uint64(time.Now().UnixMicro()-pgoutput.Time2000))
	if ask {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	if err := w.conn.SetWriteDeadline(time.Now().Add(statusWait)); err != nil {
		return err
	}
	_, err := w.conn.Write(b)
	return err
}
