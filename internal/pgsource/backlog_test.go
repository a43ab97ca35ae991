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

// streams writes rows behind the first n, until the walsender brings them. An idle one brings nothing for many seconds.
func (p *tape) streams(d *db, n int) int {
	p.t.Helper()
	for !p.sending() {
		n++
		d.exec("INSERT INTO t VALUES ($1)", n)
		p.events(n)
	}
	return n
}

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
	if _, ok := p.src.stream.feed.(*backlog).conn.Conn().(heeded); !ok {
		t.Error("what arrives is not heeded: a step that takes long to arrive would be given up")
	}
	p.events(n / 3)
	p.crash(1)
	if p.sending() {
		t.Error("the walsender is asked for the rest of the backlog")
	}
	p.events(n / 2)
	p.crash(2)
	p.events(n)
	if at := lsn(p.log[len(p.log)-1].Position.Commit); d.confirmed() > at || before > at {
		t.Errorf("the slot is at %s, the log at %s", d.confirmed(), at)
	}
	n = p.streams(d, n)
	p.inOrder(n)
	if got := d.text("SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"); got != "1" {
		t.Errorf("%s slots are left, want ours", got)
	}
	last := p.log[len(p.log)-1].Position
	p.src.Confirm(last)
	await(t, func() bool { return d.confirmed() == lsn(last.Commit) })
	p.close()
	d.exec("INSERT INTO t VALUES ($1)", n+1)
	p.open()
	if p.sending() {
		t.Error("the walsender is asked for the backlog behind a stream")
	}
	p.inOrder(n + 1)
}

// TestLittleIsLeftToTheWalsender: to copy a slot costs more than a few rows by themselves.
func TestLittleIsLeftToTheWalsender(t *testing.T) {
	d := newDB(t, oneTable)
	p := record(t, d.options("t"))
	p.copied()
	n := 0
	for _, c := range []struct {
		width int
		sends bool
	}{{1 << 20, true}, {3 << 20, false}} {
		p.close()
		d.exec("SELECT pg_logical_emit_message(true, 'width', repeat('x', $1))", c.width)
		p.open()
		if p.sending() != c.sends {
			t.Errorf("behind by %d bytes: from the walsender is %t, want %t", c.width, p.sending(), c.sends)
		}
		d.exec("INSERT INTO t VALUES ($1)", n+1)
		p.events(n + 1)
		n = p.streams(d, n+1)
		last := p.log[len(p.log)-1].Position
		p.src.Confirm(last)
		await(t, func() bool { return d.confirmed() >= lsn(last.Commit) })
	}
}

// TestABacklogWaitsForASlotInUse: a process of ours that was killed holds it for a moment, and leaves a backlog.
func TestABacklogWaitsForASlotInUse(t *testing.T) {
	d := newDB(t, oneTable)
	p := record(t, bySQL(d.options("t")))
	p.copied()
	d.exec("INSERT INTO t VALUES (1)")
	p.events(1)
	n := p.streams(d, 1)
	first := p.src
	p.src = nil
	d.exec("INSERT INTO t VALUES ($1)", n+1)
	done := make(chan error)
	go func() { done <- p.tryOpen() }()
	await(t, func() bool {
		return d.text("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT end_lsn = %' AND state <> 'active' AND datname = current_database()") != "0"
	})
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if p.sending() {
		t.Error("the walsender is asked for the backlog")
	}
	p.inOrder(n + 1)
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
	await(t, func() bool {
		return d.text("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_copy_logical_replication_slot(%' AND pid <> pg_backend_pid()") == "0"
	})
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
		"cut header":   copied("one")[0][:15],
		"other header": append([]byte{'X'}, copied("one")[0][1:]...),
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
		began, ended := time.Now(), make(chan error)
		go func() { ended <- w.hand() }()
		time.Sleep(stepStall / 2)
		if silent := time.Since(b.heard()); silent != 0 {
			t.Errorf("the server is called silent for %s, and waits for us", silent)
		}
		if err := <-ended; err == nil || time.Since(began) != stepStall {
			t.Errorf("error = %v after %s, want one after %s", err, time.Since(began), stepStall)
		}
		time.Sleep(stepSilence / 2)
		if silent := time.Since(b.heard()); silent != stepSilence/2 {
			t.Errorf("the server is called silent for %s, and we have waited for it for %s", silent, stepSilence/2)
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

// stepServer answers what a backlog asks. Its WAL ends behind the last step, or always so far behind the one that is asked for.
type stepServer struct {
	t       *testing.T
	steps   []step
	later   lsn
	copying time.Duration    // how long it takes to make the copy
	refuses string           // what it refuses, as a part of it
	asked   func(sql string) // is told of each statement; nil = nobody is
}

// step is rows of one size that come after these pauses.
type step struct {
	size   int
	pauses []time.Duration
}

func (s stepServer) serve(conn net.Conn) {
	server := pgproto3.NewBackend(conn, conn)
	send := func(messages ...pgproto3.BackendMessage) bool {
		for _, m := range messages {
			server.Send(m)
		}
		return server.Flush() == nil
	}
	ready := &pgproto3.ReadyForQuery{TxStatus: 'I'}
	if _, err := server.ReceiveStartupMessage(); err != nil {
		s.t.Error(err)
	}
	send(&pgproto3.AuthenticationOk{}, ready)
	var timeout time.Duration
	end := "0/10000000"
	for {
		message, err := server.Receive()
		q, ok := message.(*pgproto3.Query)
		if err != nil || !ok {
			return // the connection was ended
		}
		if s.asked != nil {
			s.asked(q.String)
		}
		if !strings.HasPrefix(q.String, "COPY") {
			row := pgproto3.DataRow{Values: [][]byte{[]byte("t")}}
			if s.refuses != "" && strings.Contains(q.String, s.refuses) {
				send(&pgproto3.ErrorResponse{Severity: "ERROR", Code: codeUndefinedObject}, ready)
				continue
			}
			if strings.Contains(q.String, "pg_copy_logical_replication_slot") && s.copying > 0 {
				if time.Sleep(min(s.copying, timeout)); s.copying > timeout {
					send(&pgproto3.ErrorResponse{Severity: "ERROR", Code: codeQueryCanceled}, ready)
					continue
				}
			}
			if _, set, ok := strings.Cut(q.String, "'statement_timeout', '"); ok && strings.HasSuffix(set, "', false)") {
				ms, _, _ := strings.Cut(set, "'")
				if timeout, err = time.ParseDuration(ms + "ms"); err != nil {
					s.t.Error(err)
				}
			}
			if strings.Contains(q.String, "restart_lsn") {
				row.Values = [][]byte{[]byte(end), []byte("0/100000")}
			}
			send(&pgproto3.RowDescription{Fields: make([]pgproto3.FieldDescription, len(row.Values))}, &row, &pgproto3.CommandComplete{}, ready)
			continue
		}
		if len(s.steps) == 0 {
			s.t.Errorf("%s: it has all", q.String)
			return
		}
		pauses, text := s.steps[0].pauses, strings.Repeat("r", max(s.steps[0].size, 1))
		if s.steps = s.steps[1:]; len(s.steps) == 0 || s.later > 0 {
			end = (stepEnd(q.String) + s.later).String()
		}
		began := time.Now()
		server.Send(&pgproto3.CopyOutResponse{OverallFormat: 1, ColumnFormatCodes: []uint16{1}}) // it arrives with the first row
		for i, row := range copied(slices.Repeat([]string{text}, len(pauses))...) {
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

// stepEnd is where the step that is asked for ends; 0 = it is something else.
func stepEnd(sql string) lsn {
	_, args, ok := strings.Cut(sql, "pg_logical_slot_get_binary_changes(")
	if !ok {
		return 0
	}
	at, _ := parseLSN(strings.Split(args, "'")[3])
	return at
}

// backlogOf is what came of a backlog: rows, and where keepalives said that it is.
type backlogOf struct {
	rows int
	at   []lsn
	took time.Duration
	err  error
}

// readSteps reads what the server has, from 0/100000 on.
func readSteps(t *testing.T, server stepServer, confirmed *atomic.Uint64) (got backlogOf) {
	b := newBacklog(1<<20, 2<<20, confirmed)
	config, err := pgconn.ParseConfig("postgres://u@127.0.0.1/d?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	b.slot, b.copied = "'ours'", "'copy'"
	ours, theirs := net.Pipe()
	served, dialled := make(chan struct{}), false
	config.DialFunc = b.heeds(func(context.Context, string, string) (net.Conn, error) {
		if dialled {
			return nil, errors.New("the server hangs")
		}
		dialled = true
		go func() {
			defer close(served)
			server.serve(theirs)
		}()
		return ours, nil
	})
	if b.conn, err = pgconn.ConnectConfig(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if got.err = b.begin(t.Context()); got.err == nil {
		b.start(func() { closeNow(b.conn) })
		for block := range b.blocks {
			for len(block) > 0 {
				n := 1 + int(binary.BigEndian.Uint32(block[1:]))
				if block[5] == 'k' {
					got.at = append(got.at, lsn(binary.BigEndian.Uint64(block[6:])))
				} else {
					got.rows++
				}
				block = block[n:]
			}
		}
		b.close()
		got.err = b.failure()
	} else {
		closeNow(b.conn)
	}
	got.took = time.Since(began)
	_ = theirs.Close() // the client says goodbye, and may do so for ever
	<-served
	<-b.conn.CleanupDone()
	return got
}

// TestABacklogThatTakesLong to send is read to its end, or else it would be read again and again. A server that says nothing is not waited for: where
// it has given nothing out, the walsender may do better.
func TestABacklogThatTakesLong(t *testing.T) {
	for name, c := range map[string]struct {
		step step
		rows int
		want error
		took time.Duration
	}{
		"a narrow network":        {step{pauses: append([]time.Duration{stepDecode - 1}, slices.Repeat([]time.Duration{20 * time.Second}, 29)...)}, 30, errCaughtUp, stepDecode - 1 + 29*20*time.Second},
		"decoding takes too long": {step{pauses: []time.Duration{time.Hour}}, 0, errCaughtUp, stepDecode},
		"silence in the middle":   {step{pauses: []time.Duration{0, time.Hour}}, 0, errSilent, stepSilence},
		"silence behind a block":  {step{slabSize, []time.Duration{0, time.Hour}}, 1, errSilent, stepSilence},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := readSteps(t, stepServer{t: t, steps: []step{c.step}}, new(atomic.Uint64))
				if !errors.Is(got.err, c.want) || got.rows != c.rows {
					t.Errorf("%d rows, then %v; want %d, then %v", got.rows, got.err, c.rows, c.want)
				}
				if got.took != c.took {
					t.Errorf("it took %s, want %s", got.took, c.took)
				}
			})
		})
	}
}

// TestACopyThatTakesLongToMake is not waited for.
func TestACopyThatTakesLongToMake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := readSteps(t, stepServer{t: t, copying: time.Hour}, new(atomic.Uint64))
		if sqlState(got.err) != codeQueryCanceled || got.took != beginTimeout {
			t.Errorf("error = %v after %s, want that it was canceled after %s", got.err, got.took, beginTimeout)
		}
	})
}

// TestStepsGrowAndShrink: the server holds what comes out of a step, and while it sends that, a snapshot, and with it the dead rows of every table.
func TestStepsGrowAndShrink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const mebibyte = 1<<20 - 6 // with its row's head
		rows := func(size, n int) step { return step{size, slices.Repeat([]time.Duration{time.Millisecond}, n)} }
		slow := func(sent time.Duration) step { // decoding is not sending
			return step{pauses: []time.Duration{stepDecode - 1, sent, time.Millisecond}}
		}
		steps := []step{rows(1, 3), rows(1, 3), rows(1, 3), slow(stepTime), slow(stepTime), slow(stepTime), rows(1, 3), slow(stepTime / stepGrowth), slow(stepTime / 2),
			rows(1, 3), rows(mebibyte, 8), rows(mebibyte, 64), rows(mebibyte, 16), rows(mebibyte, 128), rows(mebibyte, 16), rows(1, 1)}
		want := []lsn{1, 4, 16, 32, 8, 2, 1, 4, 4, 4, 16, 32, 16, 32, 8, 16}
		var sizes, ends []lsn
		at, n := lsn(1<<20), 0
		for _, s := range steps {
			n += len(s.pauses)
		}
		got := readSteps(t, stepServer{t: t, steps: steps, asked: func(sql string) {
			if to := stepEnd(sql); to > 0 {
				sizes, ends, at = append(sizes, (to-at)>>20), append(ends, to), to
			}
		}}, new(atomic.Uint64))
		if !errors.Is(got.err, errCaughtUp) || got.rows != n {
			t.Errorf("%d rows of %d, then %v", got.rows, n, got.err)
		}
		if !slices.Equal(sizes, want) {
			t.Errorf("steps of %d MiB, want %d", sizes, want)
		}
		if !slices.Equal(got.at, ends) {
			t.Errorf("they end at %s, want %s", got.at, ends)
		}
	})
}

// TestABacklogEndsWhereLittleIsLeft: it would never end where somebody writes all the time.
func TestABacklogEndsWhereLittleIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := readSteps(t, stepServer{t: t, steps: slices.Repeat([]step{{pauses: []time.Duration{0}}}, 2), later: 2<<20 - 1}, new(atomic.Uint64))
		if !errors.Is(got.err, errCaughtUp) || got.rows != 2 {
			t.Errorf("%d rows, then %v, want a step, the one behind it, and the walsender", got.rows, got.err)
		}
	})
}

// TestOurSlotHearsOften, also where little of the backlog is read in a long time: else the server may take it for one that nobody uses, and an
// operator too. That it is gone is noticed then.
func TestOurSlotHearsOften(t *testing.T) {
	const word = "pg_replication_slot_advance('ours', '" // begin asks in another way
	steps := slices.Repeat([]step{{pauses: []time.Duration{4 * time.Second}}}, 10)
	synctest.Test(t, func(t *testing.T) {
		var confirmed atomic.Uint64
		var heard []time.Duration
		began := time.Now()
		got := readSteps(t, stepServer{t: t, steps: steps, asked: func(sql string) {
			if to := stepEnd(sql); to > 0 {
				confirmed.Store(uint64(to) - 1)
			}
			if strings.Contains(sql, word) && !strings.Contains(sql, "end_lsn =") {
				heard = append(heard, time.Since(began))
				if want := lsn(confirmed.Load()).String(); !strings.Contains(sql, want) {
					t.Errorf("%s; the log has what is before %s", sql, want)
				}
			}
		}}, &confirmed)
		if !errors.Is(got.err, errCaughtUp) {
			t.Error(got.err)
		}
		if want := []time.Duration{12 * time.Second, 24 * time.Second, 36 * time.Second}; !slices.Equal(heard, want) {
			t.Errorf("it hears after %v, want after %v", heard, want)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		got := readSteps(t, stepServer{t: t, steps: steps, refuses: "SELECT end_lsn FROM " + word}, new(atomic.Uint64))
		if !errors.Is(got.err, errCaughtUp) || got.rows != 3 {
			t.Errorf("%d rows, then %v, want that the walsender says that the slot is gone", got.rows, got.err)
		}
	})
}

func FuzzStepWriter(f *testing.F) {
	f.Add(copied("row")[0])
	f.Fuzz(func(t *testing.T, data []byte) {
		w, _ := newStepWriter()
		_, _ = w.Write(data) // no input may panic
	})
}
