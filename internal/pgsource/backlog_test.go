package pgsource

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"syncline"
	"syncline/internal/sourcetest"
	"syncline/internal/testserver"
)

// bySQL reads everything by SQL that is behind.
func bySQL(o Options) Options {
	o.Backlog = 1
	return o
}

func TestConformanceOfABacklog(t *testing.T) {
	sourcetest.Run(t, sourcetest.Harness{Snapshot: true, Keyless: true, Truncate: true, Concurrent: true, New: func(t *testing.T) sourcetest.System {
		s := newSystem(t).(system)
		s.backlog = true
		return s
	}})
}

// steps is a backlog of several steps, of rows with so many bytes. It returns how many rows there are.
func (d *db) steps(width int) int {
	d.t.Helper()
	const transactions, rows = 40, 1000
	for i := range transactions {
		d.exec("INSERT INTO t SELECT i, repeat('x', $3::int) FROM generate_series($1::int, $2::int) i", 1+i*rows, (i+1)*rows, width)
	}
	return transactions * rows
}

// inOrder checks that the stream has the rows 1 to n, each once and in order.
func (p *tape) inOrder(n int) {
	p.t.Helper()
	events := p.events(n)
	if len(events) != n {
		p.t.Errorf("%d events, want %d", len(events), n)
	}
	for i, e := range events {
		if id := string(e.After[0].Bytes()); id != strconv.Itoa(i+1) {
			p.t.Fatalf("event %d has the id %s", i+1, id)
		}
	}
}

// sending tells whether the source has come to the walsender.
func (p *tape) sending() bool { _, ok := p.src.stream.feed.(*wire); return ok }

// TestBacklog: what is far behind comes by SQL, in steps, each row once and in order, however the process ends between; the slot is moved by what
// the log has, and by nothing else. Then the walsender goes on.
func TestBacklog(t *testing.T) {
	d := newDB(t, oneTable)
	p := record(t, bySQL(d.options("t")))
	p.copied()
	p.close()
	before := d.confirmed()
	n := d.steps(300)
	p.open()
	if p.sending() {
		t.Error("the walsender is asked for the backlog")
	}
	p.events(n / 3)
	p.crash(1)
	p.events(n / 2)
	p.crash(2)
	p.events(n)
	if at := lsn(p.log[len(p.log)-1].Position.Commit); d.confirmed() > at || before > at {
		t.Errorf("the slot is at %s, the log at %s", d.confirmed(), at)
	}
	p.until(p.sending)
	d.exec("INSERT INTO t VALUES ($1)", n+1)
	p.inOrder(n + 1)
	if got := d.text("SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"); got != "1" {
		t.Errorf("%s slots are left, want ours", got)
	}
	last := p.log[len(p.log)-1].Position
	p.src.Confirm(last)
	await(t, func() bool { return d.confirmed() == lsn(last.Commit) })
}

// TestBacklogLeavesTheSlot: everything is read, and nothing is confirmed.
func TestBacklogLeavesTheSlot(t *testing.T) {
	d := newDB(t, oneTable)
	p := record(t, bySQL(d.options("t")))
	p.copied()
	p.close()
	logged := p.log[len(p.log)-1].Position
	n := d.steps(300)
	p.open()
	p.inOrder(n)
	if at := d.confirmed(); at > lsn(logged.Commit) {
		t.Errorf("the slot is at %s, beyond %s, which was logged last", at, lsn(logged.Commit))
	}
}

// TestBacklogFromAConnectionThatEnds in the middle of a step: it is tried again, and nothing is lost or twice.
func TestBacklogFromAConnectionThatEnds(t *testing.T) {
	d := newDB(t, oneTable)
	p := record(t, bySQL(d.options("t")))
	p.copied()
	p.close()
	n := d.steps(1500) // more than the socket, its buffers and we read ahead
	p.open()
	await(t, func() bool { blocks := p.src.stream.feed.arrivals(); return len(blocks) == cap(blocks) })
	d.exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY (SELECT data%'")
	var err error
	for err == nil && len(p.streamed()) < n {
		_, err = p.tryNext()
	}
	if err == nil || syncline.ClassOf(err) != syncline.Transient || syncline.CodeOf(err) != "connection_lost" {
		t.Fatalf("error = %v, want a connection that is lost, after %d events", err, len(p.streamed()))
	}
	p.crash(0)
	p.inOrder(n)
}

// TestBacklogWithoutAFreeSlot: the server refuses the copy, and the walsender brings everything.
func TestBacklogWithoutAFreeSlot(t *testing.T) {
	t.Parallel()
	pg := testserver.NewPostgres(t, "max_replication_slots=1")
	c, err := pgx.Connect(t.Context(), pg.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	d := &db{t: t, url: pg.URL("postgres"), conn: c}
	t.Cleanup(func() { hangUp(c) })
	d.exec(oneTable)
	p := record(t, bySQL(d.options("t")))
	p.copied()
	p.close()
	n := d.steps(300)
	p.open()
	if !p.sending() {
		t.Error("it does not come from the walsender")
	}
	p.inOrder(n)
}

func copied(rows ...string) (messages [][]byte) {
	for i, row := range rows {
		var m []byte
		if i == 0 {
			m = append(append(m, copySignature...), make([]byte, 8)...)
		}
		m = binary.BigEndian.AppendUint32(append(m, 0, 1), uint32(len(row)))
		messages = append(messages, append(m, row...))
	}
	return append(messages, []byte{0xff, 0xff})
}

func newStepWriter() (*stepWriter, *backlog) {
	b := newBacklog(0, 1, nil)
	b.vigil.timer = time.NewTimer(time.Hour)
	return &stepWriter{b: b, header: true}, b
}

func TestStepWriter(t *testing.T) {
	w, b := newStepWriter()
	for _, m := range copied("one", "two") {
		if n, err := w.Write(m); n != len(m) || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
	if err := w.hand(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for block := <-b.blocks; len(block) > 0; {
		n := 1 + int(binary.BigEndian.Uint32(block[1:]))
		got = append(got, string(block[5+len(dataHead):n]))
		block = block[n:]
	}
	if len(got) != 2 || got[0] != "one" || got[1] != "two" {
		t.Errorf("frames of %q", got)
	}
	for name, m := range map[string][]byte{
		"no header":    copied("one")[0][1:],
		"two fields":   bytes.Replace(copied("one")[0], []byte{0, 1, 0}, []byte{0, 2, 0}, 1),
		"too short":    copied("one")[0][:22],
		"null":         binary.BigEndian.AppendUint32(append(copied("")[0][:19], 0, 1), 1<<32-1),
		"wrong length": append(copied("one")[0], 'x'),
	} {
		w, _ := newStepWriter()
		if _, err := w.Write(m); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestNobodyTakesTheBacklog: the server is not kept waiting, with its snapshot, for ever.
func TestNobodyTakesTheBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, b := newStepWriter()
		for range cap(b.blocks) {
			if err := w.hand(); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		if err := w.hand(); err == nil || time.Since(began) != stepStall {
			t.Errorf("error = %v after %s, want one after %s", err, time.Since(began), stepStall)
		}
		b.vigil.end()
	})
}

// always is a connection on which something always arrives.
type always struct{ net.Conn }

func (always) Read(p []byte) (int, error) { return len(p), nil }

// TestAVigilThatHasEndedStaysSo, whatever arrives just then: pgx may read in the background while rows are handed out.
func TestAVigilThatHasEndedStaysSo(t *testing.T) {
	_, b := newStepWriter()
	c, err := b.heeds(func(context.Context, string, string) (net.Conn, error) { return always{}, nil })(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	for range 5000 {
		b.vigil.begin()
		var reading sync.WaitGroup
		reading.Go(func() { _, _ = c.Read(make([]byte, 1)) })
		b.vigil.end()
		reading.Wait()
		if b.vigil.since.Load() != 0 || b.vigil.timer.Stop() {
			t.Fatal("it goes on after its end")
		}
	}
}

// TestLargeRowsAreNotGathered: rows of any size may be read ahead, but not many large ones.
func TestLargeRowsAreNotGathered(t *testing.T) {
	for _, size := range []int{1 << 10, 700 << 10, 5 << 20, 30 << 20} {
		synctest.Test(t, func(t *testing.T) {
			w, b := newStepWriter()
			stop, ended := make(chan struct{}), make(chan error)
			w.done, w.header = stop, false
			go func() {
				row := copied("", strings.Repeat("x", size))[1]
				for {
					if _, err := w.Write(row); err != nil {
						ended <- err
						return
					}
				}
			}()
			synctest.Wait() // it can give out nothing more
			close(stop)
			<-ended
			ahead, largest := 0, 0
			for range len(b.blocks) {
				n := len(<-b.blocks)
				ahead, largest = ahead+n, max(largest, n)
			}
			if limit := backlogAhead*slabSize + largest; ahead == 0 || ahead > limit {
				t.Errorf("%d bytes are read ahead of rows of %d, want at most %d", ahead, size, limit)
			}
			b.vigil.end()
		})
	}
}

// stepServer answers what a backlog asks, in one step whose rows come after these pauses.
func stepServer(t *testing.T, conn net.Conn, pauses []time.Duration) {
	server := pgproto3.NewBackend(conn, conn)
	send := func(messages ...pgproto3.BackendMessage) bool {
		for _, m := range messages {
			server.Send(m)
		}
		return server.Flush() == nil
	}
	ready := &pgproto3.ReadyForQuery{TxStatus: 'I'}
	if _, err := server.ReceiveStartupMessage(); err != nil {
		t.Error(err)
	}
	send(&pgproto3.AuthenticationOk{}, ready)
	var timeout time.Duration
	for {
		message, err := server.Receive()
		q, ok := message.(*pgproto3.Query)
		if err != nil || !ok {
			return // the connection was ended
		}
		if !strings.HasPrefix(q.String, "COPY") {
			row := pgproto3.DataRow{Values: [][]byte{[]byte("t")}}
			if _, set, ok := strings.Cut(q.String, "'statement_timeout', '"); ok {
				ms, _, _ := strings.Cut(set, "'")
				if timeout, err = time.ParseDuration(ms + "ms"); err != nil {
					t.Error(err)
				}
			}
			if strings.Contains(q.String, "restart_lsn") {
				row.Values = [][]byte{[]byte("0/180000"), []byte("0/100000")}
			}
			send(&pgproto3.RowDescription{Fields: make([]pgproto3.FieldDescription, len(row.Values))}, &row, &pgproto3.CommandComplete{}, ready)
			continue
		}
		began := time.Now()
		send(&pgproto3.CopyOutResponse{OverallFormat: 1, ColumnFormatCodes: []uint16{1}})
		for i, row := range copied(slices.Repeat([]string{"row"}, len(pauses))...) {
			if i < len(pauses) {
				time.Sleep(pauses[i])
			}
			if timeout > 0 && time.Since(began) > timeout {
				send(&pgproto3.ErrorResponse{Severity: "ERROR", Code: codeQueryCanceled}, ready)
				break
			}
			if !send(&pgproto3.CopyData{Data: row}) {
				return
			}
		}
		send(&pgproto3.CopyDone{}, &pgproto3.CommandComplete{}, ready)
	}
}

// TestABacklogThatTakesLong to send is read to its end, or else it would be read again and again. A server that says nothing is not waited for: where
// it has given nothing out, the walsender may do better.
func TestABacklogThatTakesLong(t *testing.T) {
	for name, c := range map[string]struct {
		pauses []time.Duration
		rows   int
		want   error
	}{
		"a narrow network":        {slices.Repeat([]time.Duration{20 * time.Second}, 30), 30, errCaughtUp},
		"decoding takes too long": {[]time.Duration{time.Hour}, 0, errCaughtUp},
		"silence in the middle":   {[]time.Duration{0, time.Hour}, 0, errSilent},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBacklog(1<<20, 2<<20, new(atomic.Uint64))
				config, err := pgconn.ParseConfig("postgres://u@127.0.0.1/d?sslmode=disable")
				if err != nil {
					t.Fatal(err)
				}
				ours, theirs := net.Pipe()
				served, dialled := make(chan struct{}), false
				config.DialFunc = b.heeds(func(context.Context, string, string) (net.Conn, error) {
					if dialled {
						return nil, errors.New("the server hangs")
					}
					dialled = true
					go func() {
						defer close(served)
						stepServer(t, theirs, c.pauses)
					}()
					return ours, nil
				})
				if b.conn, err = pgconn.ConnectConfig(t.Context(), config); err != nil {
					t.Fatal(err)
				}
				if err := b.begin(t.Context()); err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				b.start(func() { closeNow(b.conn) })
				rows := 0
				for block := range b.blocks {
					rows += bytes.Count(block, []byte("row"))
				}
				b.close()
				if err := b.failure(); !errors.Is(err, c.want) || rows != c.rows {
					t.Errorf("%d rows, then %v; want %d, then %v", rows, err, c.rows, c.want)
				}
				if took := time.Since(began); c.rows == 0 && took > 2*stepSilence {
					t.Errorf("it was waited for for %s", took)
				}
				_ = theirs.Close() // the client says goodbye, and may do so for ever
				<-served
				<-b.conn.CleanupDone()
			})
		})
	}
}

func FuzzStepWriter(f *testing.F) {
	f.Add(copied("row")[0])
	f.Fuzz(func(t *testing.T, data []byte) {
		w, _ := newStepWriter()
		_, _ = w.Write(data) // no input may panic
	})
}
