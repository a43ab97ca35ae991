package pgsource

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

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
