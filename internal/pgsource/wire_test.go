package pgsource

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"syncline"
)

// TestStatusGoesOnWithoutNext: the server ends connections that say nothing for wal_sender_timeout. Nobody calls Next, and more
// than the source buffers is waiting.
func TestStatusGoesOnWithoutNext(t *testing.T) {
	d := newDB(t, oneTable)
	o := d.options("t")
	o.URL += "&wal_sender_timeout=1000"
	p := record(t, o)
	p.copied()
	d.exec("INSERT INTO t VALUES (0)")
	p.events(1)
	const rows = 60000
	d.exec("INSERT INTO t SELECT i, repeat('x', 400) FROM generate_series(1, $1::int) i", rows)
	pid := d.text("SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1", d.slotOf())
	until := time.Now().Add(3 * time.Second)
	await(t, func() bool { return time.Now().After(until) })
	p.events(rows + 1)
	if now := d.text("SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1", d.slotOf()); now != pid {
		t.Errorf("walsender %s, was %s", now, pid)
	}
}

func (d *db) confirmed() lsn {
	d.t.Helper()
	l, err := parseLSN(d.text("SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = $1", d.slotOf()))
	if err != nil {
		d.t.Fatal(err)
	}
	return l
}

// TestConfirmsOnlyWhatItIsTold: received is not confirmed; a confirmation arrives without anybody calling Next.
func TestConfirmsOnlyWhatItIsTold(t *testing.T) {
	d := newDB(t, oneTable)
	p := record(t, d.options("t"))
	p.copied()
	before := d.confirmed()
	d.exec("INSERT INTO t VALUES (1)")
	p.events(1)
	d.exec("INSERT INTO t VALUES (2)")
	p.events(2)
	p.src.stream.feed.poll()
	if now := d.confirmed(); now != before {
		t.Errorf("slot is at %s without a confirmation, was %s", now, before)
	}
	last := p.log[len(p.log)-1].Position
	p.src.Confirm(last)
	p.src.Confirm(syncline.Position{Epoch: firstEpoch, Commit: 1})
	await(t, func() bool { return d.confirmed() == lsn(last.Commit) })
}

// TestIdleSourceFollowsTheWAL: another database of the server is busy. The position moves by keepalives, at most once per
// Marker, and the slot follows.
func TestIdleSourceFollowsTheWAL(t *testing.T) {
	d, other := newDB(t, oneTable), newDB(t, "CREATE TABLE busy (v text)")
	o := d.options("t")
	o.Marker, o.Heartbeat = 50*time.Millisecond, 100*time.Millisecond
	p := record(t, o)
	p.copied()
	p.next()
	start, begun := d.confirmed(), time.Now()
	markers := 0
	other.exec("INSERT INTO busy SELECT repeat('x', 1000) FROM generate_series(1, 5000)")
	target, err := parseLSN(other.text("SELECT pg_current_wal_lsn()::text"))
	if err != nil {
		t.Fatal(err)
	}
	for lsn(p.log[len(p.log)-1].Position.Commit) < target {
		if b := p.next(); len(b.Events) > 0 || b.Chunk != nil {
			t.Errorf("batch = %+v, want only a position", b)
		}
		markers++
	}
	if limit := int(time.Since(begun)/o.Marker) + 1; markers > limit {
		t.Errorf("%d markers in %s, want at most %d", markers, time.Since(begun), limit)
	}
	p.src.Confirm(p.log[len(p.log)-1].Position)
	await(t, func() bool { return d.confirmed() >= target })
	if d.confirmed() <= start {
		t.Error("the slot did not move")
	}
}

// TestHeartbeat: WAL grows elsewhere, and the source writes one message of its own; while nothing grows it writes none.
func TestHeartbeat(t *testing.T) {
	d, other := newDB(t, oneTable), newDB(t, "CREATE TABLE busy (v text)")
	o := d.options("t")
	o.Heartbeat = 20 * time.Millisecond
	p := record(t, o)
	p.copied()
	p.next()
	other.exec("INSERT INTO busy SELECT repeat('x', 1000) FROM generate_series(1, 5000)")
	before := p.src.stream.quietEnd
	p.until(func() bool { return p.src.stream.quietEnd > before })
	// The WAL is noted when the heartbeat is written, and when its commit arrives: its own WAL is no reason for another one.
	noted := map[uint64]bool{p.src.stream.quietEnd: true}
	ctx, cancel := context.WithTimeout(t.Context(), 10*o.Heartbeat)
	defer cancel()
	for ctx.Err() == nil {
		if _, err := p.src.Next(ctx); err != nil && ctx.Err() == nil {
			t.Fatal(err)
		}
		noted[p.src.stream.quietEnd] = true
	}
	if len(noted) > 2 || len(p.streamed()) != 0 {
		t.Errorf("WAL noted at %d places, %d events, want one heartbeat and no event", len(noted), len(p.streamed()))
	}
}

func TestServerShutdownIsNotHeldUp(t *testing.T) {
	d := newDB(t, oneTable)
	o := d.options("t")
	o.Marker = time.Hour
	p := record(t, o)
	p.copied()
	d.exec("INSERT INTO t VALUES (1)")
	p.events(1)
	// A keepalive that wants a reply, as a server that shuts down sends it, brings the position out at once.
	walEnd := p.src.pos.Commit + 100
	body := append([]byte{'k'}, make([]byte, 17)...)
	binary.BigEndian.PutUint64(body[1:], walEnd)
	body[17] = 1
	if _, err := p.src.frame(deadline(t), 'd', body); err != nil {
		t.Fatal(err)
	}
	if b := p.next(); b.Position.Commit < walEnd {
		t.Errorf("position = %v, want %d", b.Position, walEnd)
	}
}

// TestKeepalives: inside a transaction they say nothing about what was received; one that wants a reply is answered at once.
func TestKeepalives(t *testing.T) {
	keepalive := func(walEnd uint64, reply byte) []byte {
		body := binary.BigEndian.AppendUint64([]byte{'k'}, walEnd)
		return append(append(body, make([]byte, 8)...), reply)
	}
	s := &Source{config: &pgx.ConnConfig{}, stream: &stream{txn: -1}}
	begin := append(append([]byte("w"), make([]byte, 24)...), 'B')
	begin = append(binary.BigEndian.AppendUint64(begin, 500), make([]byte, 12)...)
	for _, body := range [][]byte{keepalive(100, 0), begin, keepalive(1000, 0)} {
		if _, err := s.frame(t.Context(), 'd', body); err != nil {
			t.Fatal(err)
		}
	}
	if s.pos.Commit != 100 {
		t.Errorf("position inside a transaction = %v, want 100, from before it", s.pos)
	}
	for reply := range byte(2) {
		w := &wire{urgent: make(chan struct{}, 1)}
		message := binary.BigEndian.AppendUint32([]byte{'d'}, keepaliveSize+4)
		if _, _, err := w.scan(append(message, keepalive(7, reply)...)); err != nil || len(w.urgent) != int(reply) || w.seen.Load() != 7 {
			t.Errorf("keepalive with reply %d: %d answers asked for, WAL end %d, %v", reply, len(w.urgent), w.seen.Load(), err)
		}
	}
}

func TestMalformedFrames(t *testing.T) {
	for name, f := range map[string]struct {
		kind byte
		body []byte
	}{
		"unknown message":      {'?', nil},
		"empty data":           {'d', nil},
		"short keepalive":      {'d', []byte("k12345")},
		"long keepalive":       {'d', append([]byte("k"), make([]byte, 30)...)},
		"unknown frame":        {'d', []byte("x")},
		"data without message": {'d', append([]byte("w"), make([]byte, 24)...)},
		"bad message":          {'d', append(append([]byte("w"), make([]byte, 24)...), "Bxx"...)},
		"row without relation": {'d', append(append([]byte("w"), make([]byte, 24)...), "I\x00\x00\x00\x01N\x00\x00"...)},
	} {
		s := &Source{config: &pgx.ConnConfig{}, stream: &stream{txn: -1}}
		if _, err := s.frame(t.Context(), f.kind, f.body); syncline.CodeOf(err) != "stream_malformed" || syncline.ClassOf(err) != syncline.Fatal {
			t.Errorf("%s: error = %v, want fatal stream_malformed", name, err)
		}
	}
	s := &Source{config: &pgx.ConnConfig{}, stream: &stream{txn: -1}}
	for name, kind := range map[string]byte{"error without fields": 'E', "end of the stream": 'c'} {
		if _, err := s.frame(t.Context(), kind, []byte{0}); err == nil || syncline.ClassOf(err) != syncline.Transient {
			t.Errorf("%s: error = %v, want a transient one", name, err)
		}
	}
}

// frames makes count data messages of growing length, and keepalives between.
func frames(count int) (all []byte, bodies int) {
	for i := range count {
		n := 26 + i*i%70000
		all = binary.BigEndian.AppendUint32(append(all, 'd'), uint32(n+4))
		body := bytes.Repeat([]byte{byte(i)}, n)
		body[0] = 'w'
		all = append(all, body...)
		all = binary.BigEndian.AppendUint32(append(all, 'd'), keepaliveSize+4)
		all = append(all, 'k')
		all = append(binary.BigEndian.AppendUint64(all, uint64(i)), make([]byte, 9)...)
	}
	return all, 2 * count
}

// TestWireCutsWholeMessages however the network slices them, and never changes what it handed out.
func TestWireCutsWholeMessages(t *testing.T) {
	for _, slice := range []int{1 << 20, 4096, 97} {
		t.Run(strconv.Itoa(slice), func(t *testing.T) {
			ours, theirs := net.Pipe()
			var confirmed atomic.Uint64
			w := newWire(ours, &confirmed, time.Minute)
			defer w.close()
			all, count := frames(min(300, 10*slice/97))
			go io.Copy(io.Discard, theirs) //nolint:errcheck // the status updates
			go func() {
				for rest := all; len(rest) > 0; {
					n := min(slice, len(rest))
					if _, err := theirs.Write(rest[:n]); err != nil {
						return
					}
					rest = rest[n:]
				}
				_ = theirs.Close()
			}()
			var kept [][]byte
			for block := range w.blocks {
				for len(block) > 0 {
					n := 1 + int(binary.BigEndian.Uint32(block[1:]))
					kept = append(kept, block[:n])
					block = block[n:]
				}
			}
			if got := bytes.Join(kept, nil); len(kept) != count || !bytes.Equal(got, all) {
				t.Errorf("%d messages of %d bytes, want %d of %d", len(kept), len(got), count, len(all))
			}
			if w.err == nil || w.seen.Load() != uint64(count/2-1) {
				t.Errorf("error = %v, WAL end = %d, want an error and %d", w.err, w.seen.Load(), count/2-1)
			}
		})
	}
}

func TestWireRefusesImpossibleLengths(t *testing.T) {
	for _, length := range []uint32{0, 3, 1 << 31} {
		ours, theirs := net.Pipe()
		var confirmed atomic.Uint64
		w := newWire(ours, &confirmed, time.Minute)
		go io.Copy(io.Discard, theirs)                                      //nolint:errcheck // the status updates
		go theirs.Write(binary.BigEndian.AppendUint32([]byte{'d'}, length)) //nolint:errcheck // the reader's error is looked at
		for range w.blocks {
			t.Error("a block of an impossible message")
		}
		if w.err == nil {
			t.Error("no error")
		}
		w.close()
	}
}

func TestSingleReaderStopsAtTheEndOfAMessage(t *testing.T) {
	all, _ := frames(5)
	r := &singleReader{r: bytes.NewReader(all)}
	buf := make([]byte, 1<<20)
	var got []byte
	for {
		n, err := r.Read(buf)
		got = append(got, buf[:n]...)
		if errors.Is(err, io.EOF) {
			break
		}
		if n > 5 && (len(got) > len(all) || all[len(got)-n-5] != 'd') {
			t.Fatalf("read of %d bytes crosses the end of a message", n)
		}
	}
	if !bytes.Equal(got, all) {
		t.Errorf("read %d bytes, want %d", len(got), len(all))
	}
}

func FuzzScan(f *testing.F) {
	all, _ := frames(3)
	f.Add(all)
	f.Add([]byte{'d', 0, 0, 0, 3})
	f.Fuzz(func(t *testing.T, data []byte) {
		w := &wire{urgent: make(chan struct{}, 1)}
		whole, next, err := w.scan(data)
		if err == nil && (whole > len(data) || next < 5 || whole+next <= len(data)) {
			t.Errorf("scan = %d, %d of %d bytes", whole, next, len(data))
		}
	})
}

func FuzzFrame(f *testing.F) {
	f.Add(byte('d'), []byte("w________________________B________________"))
	f.Add(byte('E'), []byte("C42P01\x00\x00"))
	f.Fuzz(func(t *testing.T, kind byte, body []byte) {
		s := &Source{config: &pgx.ConnConfig{}, stream: &stream{txn: -1}}
		_, _ = s.frame(t.Context(), kind, body) // no input may panic
	})
}

func FuzzCheckpoint(f *testing.F) {
	c := checkpoint{Format: 1, State: stateCreated, Runs: []*progress{{Run: "r", Entity: "t", Reached: [][]byte{{0xff}}}}}
	f.Add(c.encode())
	f.Add([]byte(`{"v":1,"state":"created","runs":[null]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := decodeCheckpoint(data)
		if err != nil {
			wantCode(t, err, "checkpoint_unknown")
			return
		}
		again, err := decodeCheckpoint(c.encode())
		if err != nil || !bytes.Equal(again.encode(), c.encode()) {
			t.Errorf("checkpoint does not survive: %v", err)
		}
	})
}

func FuzzLSN(f *testing.F) {
	f.Add("16/B374D848")
	f.Add("/")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := parseLSN(text)
		if err != nil {
			return
		}
		if again, err := parseLSN(l.String()); err != nil || again != l {
			t.Errorf("%q is %s, which is %s, %v", text, l, again, err)
		}
	})
}

// A busy stream is read in gulps, a backlog in large ones, and a quiet stream at once.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		arrived := 0
		more := true // something comes all the time
		p := pacer{stop: make(chan struct{}), since: time.Now(), pause: busyPause, queued: func() int {
			if more {
				arrived += 1000
			}
			return arrived
		}}
		var got []time.Duration
		read := func(n int) {
			began := time.Now()
			if !p.wait(n) {
				t.Fatal("wait = false without a stop")
			}
			got = append(got, time.Since(began))
		}
		for range 3 {
			read(100)
		}
		for _, n := range []int{busyBytes, heavyBytes, heavyBytes, heavyBytes, busyBytes} {
			read(n)
		}
		<-time.After(busyPause) // in the bubble: nothing came for a while
		read(heavyBytes)
		read(busyBytes)
		for range 3 {
			read(heavyBytes)
		}
		more = false // the window is closed
		read(heavyBytes)
		p.eager = true
		read(heavyBytes)
		p.eager = false
		want := []time.Duration{0, 0, 0, busyPause, 2 * busyPause, heavyPause, heavyPause, busyPause, 0, busyPause,
			2 * busyPause, heavyPause, heavyPause, busyPause + heavyStep, 0}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("pauses (-want +got):\n%s", diff)
		}
		close(p.stop)
		if p.wait(busyBytes) {
			t.Error("wait = true after the stop")
		}
	})
}
