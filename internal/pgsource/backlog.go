package pgsource

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"syncline/internal/plant"
)

const (
	// backlogLeast is how much WAL behind the slot is worth reading by SQL.
	backlogLeast = 2 << 20
	// backlogReach bounds how far before a step's end its decoding begins: at the slot's restart point, which stays where it is while a transaction is
	// open, and between the server's own marks (15 s). It also bounds the largest transaction that the server has to hold.
	backlogReach = 512 << 20
	// backlogKept bounds the WAL that the server keeps although the log has it, and backlogWord the time between two words to our slot: it is not in
	// use meanwhile, and a server may remove such a slot, an operator may, and the WAL budget counts what it keeps.
	backlogKept = 256 << 20
	backlogWord = 10 * time.Second

	// A step is so much WAL. The server holds what comes out of it, which may be much more: a step is made as large as brings stepOutput, as the last
	// one tells, for which it is allowed stepMemory in MiB. Small steps keep the target at work; large ones begin less often at the restart point.
	firstStep  = 1 << 20
	stepGrowth = 4
	maxStep    = 32 << 20
	stepOutput = 32 << 20
	stepMemory = 64
	// stepTime is how long the rows of a step may take to be sent: meanwhile the server keeps a snapshot.
	stepTime = 10 * time.Second
	// backlogAhead bounds what is read ahead, in slabs: the server decodes the next step while the log takes the rows of the last one.
	backlogAhead = 48

	// beginTimeout is for what the server does to make the copy, stepDecode for what it does before it gives the first row of a step out. Until then it
	// writes what the step brings to its disk, values as they are uncompressed: a large transaction could fill that. stepSilence is for a server of
	// which not a byte comes while it sends a step, which may take longer. stepStall is for whoever takes the rows: meanwhile the server keeps a snapshot.
	beginTimeout = 30 * time.Second
	stepDecode   = 15 * time.Second
	stepSilence  = time.Minute
	stepStall    = time.Minute
	// stepAbsent is how long the server waits for us where our system takes nothing: we are stopped, or the line is cut.
	stepAbsent = 5 * time.Minute
)

var (
	// errCaughtUp ends a backlog behind which the walsender goes on.
	errCaughtUp = errors.New("the backlog is read as far as it is worth it")
	errSilent   = fmt.Errorf("the server has said nothing for %s", stepSilence)
)

// backlog reads what is far behind by the SQL functions of slots, a bounded step of WAL at a time: the walsender makes a system call for each row, and a
// packet; the functions give out many rows at once, for less than half of the CPU. They move the slot that they read, whether the log has the rows
// or not; so they read a copy of ours, which lives as long as the connection. Ours follows the log.
type backlog struct {
	conn      *pgconn.PgConn
	slot      string    // ours, as an SQL literal
	copied    string    // the copy
	options   string    // of pgoutput
	from      lsn       // where the copy stands
	told      lsn       // how far ours was moved
	word      time.Time // when that was
	confirmed *atomic.Uint64
	least     lsn // less is not worth a step
	step      lsn // the size of the next one

	// blocks is sent to and closed by the reader. A block that is larger than a slab takes as many places: empty ones before it.
	blocks chan []byte
	err    error // why blocks was closed; valid after that
	vigil  vigil
	cancel context.CancelCauseFunc
	done   sync.WaitGroup
}

// catchUp begins to read a backlog from the position, where there is one that is worth it. Whatever speaks against it is for the walsender to say, or
// does not matter to that.
func (s *Source) catchUp(ctx context.Context, from lsn) *backlog {
	if s.standby || plant.ResumeByChangeLSN {
		return nil
	}
	end, err := s.walEnd(ctx)
	if err != nil || end < from+lsn(s.opt.Backlog) {
		return nil
	}
	sl, err := s.findSlot(ctx)
	if err != nil || sl == nil || sl.failover { // of such a slot the server gives out only what its standbys have, of a copy everything
		return nil
	}
	from = max(from, sl.confirmed) // more than the log has is refused by forgo
	b := newBacklog(from, lsn(s.opt.Backlog), &s.confirmed)
	config := s.config.Copy()
	config.DialFunc = b.heeds(config.DialFunc)
	c, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil
	}
	b.conn, b.slot, b.copied, b.options = c.PgConn(), literal(s.opt.Slot), literal(fmt.Sprintf("syncline_tmp_%d", c.PgConn().PID())), s.outputOptions("'%s', %s")
	if err := s.whileInUse(ctx, func() error { return b.begin(ctx) }); err != nil {
		s.log.Info("the backlog is left to the walsender", "error", err)
		hangUp(c)
		return nil
	}
	s.log.Info("reading the backlog", "slot", s.opt.Slot, "position", from.String(), "bytes", uint64(end-from))
	b.start(func() { hangUp(c) })
	return b
}

func newBacklog(from, least lsn, confirmed *atomic.Uint64) *backlog {
	return &backlog{from: from, told: from, word: time.Now(), confirmed: confirmed, least: least, step: firstStep, blocks: make(chan []byte, backlogAhead)}
}

// start reads until the end, or close.
func (b *backlog) start(end func()) {
	ctx, cancel := context.WithCancelCause(context.Background()) // until close
	b.cancel = cancel
	b.vigil.timer = time.AfterFunc(stepSilence, func() { cancel(errSilent) })
	b.done.Go(func() {
		defer close(b.blocks)
		defer end()
		b.vigil.begin()
		defer b.vigil.end()
		b.err = b.read(ctx)
	})
}

// begin takes the slot to where the log ends, as the first word to a walsender does, and copies it.
func (b *backlog) begin(ctx context.Context) error {
	at := literal(b.from.String())
	for _, q := range []struct{ sql, want string }{
		{fmt.Sprintf("SELECT set_config('statement_timeout', '%d', false)", beginTimeout.Milliseconds()), ""},
		{fmt.Sprintf("SELECT set_config('tcp_user_timeout', '%d', false)", stepAbsent.Milliseconds()), ""},
		{fmt.Sprintf("SELECT set_config('work_mem', '%dMB', false)", stepMemory), ""},
		{"SELECT end_lsn = " + at + " FROM pg_replication_slot_advance(" + b.slot + ", " + at + ")", "t"},
		{"SELECT lsn = " + at + " FROM pg_copy_logical_replication_slot(" + b.slot + ", " + b.copied + ", true)", "t"},
		// It counts the time in which the rows are sent, too: where that takes long, the same rows would be sent again and again.
		{"SELECT set_config('statement_timeout', '0', false)", ""},
	} {
		row, err := command(ctx, b.conn, q.sql)
		if err != nil {
			return err
		}
		if q.want != "" && row[0] != q.want {
			return errors.New("the slot is not where the log ends")
		}
	}
	return nil
}

// read takes steps until little is left, or the walsender can do it better. It returns errCaughtUp at the end of a step only: everything that commits
// before from has left the backlog, and nothing else.
func (b *backlog) read(ctx context.Context) error {
	for {
		to, last, err := b.next(ctx)
		if err != nil {
			return orCaughtUp(ctx, err)
		}
		if err := b.take(ctx, to); err != nil {
			return err
		}
		b.from = to
		if last {
			return errCaughtUp
		}
		if now := max(lsn(b.confirmed.Load()), b.told); now >= b.told+backlogKept || time.Since(b.word) >= backlogWord {
			if _, err := command(ctx, b.conn, fmt.Sprintf("SELECT end_lsn FROM pg_replication_slot_advance(%s, '%s')", b.slot, now)); err != nil {
				return orCaughtUp(ctx, err)
			}
			b.told, b.word = now, time.Now()
		}
	}
}

// next is where the next step ends, and whether that is the WAL's end: what is behind it is little.
func (b *backlog) next(ctx context.Context) (to lsn, last bool, err error) {
	row, err := command(ctx, b.conn, "SELECT pg_current_wal_flush_lsn(), restart_lsn FROM pg_replication_slots WHERE slot_name = "+b.copied)
	if err != nil {
		return 0, false, err
	}
	end, err1 := parseLSN(row[0])
	restart, err2 := parseLSN(row[1])
	if err := errors.Join(err1, err2); err != nil {
		return 0, false, err
	}
	to, last = min(b.from+b.step, end), end < b.from+b.least
	if to <= b.from || to > restart+backlogReach {
		return 0, false, errCaughtUp
	}
	return to, last, nil
}

// orCaughtUp leaves to the walsender what the server refuses, or takes too long for: it will say why, or does not mind.
func orCaughtUp(ctx context.Context, err error) error {
	if sqlState(err) != "" || errors.Is(context.Cause(ctx), errSilent) {
		return errCaughtUp
	}
	return err
}

// take reads what commits from where the copy stands up to the place. The server looks whether it is there behind each record that it has decoded, so
// that nothing that begins before it is left out.
func (b *backlog) take(ctx context.Context, to lsn) error {
	w := stepWriter{b: b, done: ctx.Done(), header: true}
	b.vigil.timer.Reset(stepDecode)
	_, err := b.conn.CopyTo(ctx, &w, fmt.Sprintf("COPY (SELECT data FROM pg_logical_slot_get_binary_changes(%s, '%s', NULL, %s)) TO STDOUT (FORMAT binary)",
		b.copied, to, b.options))
	switch {
	case err != nil && w.bytes == 0:
		return orCaughtUp(ctx, err)
	case err != nil && errors.Is(context.Cause(ctx), errSilent):
		return errSilent
	case err != nil:
		return fmt.Errorf("read a step of the backlog: %w", err)
	}
	b.step = nextStep(b.step, to-b.from, w.bytes, w.sent())
	// To the stream the end of a step is what a keepalive is: everything before it was sent.
	w.frame(binary.BigEndian.AppendUint64([]byte{'k'}, uint64(to)), make([]byte, 9))
	return w.hand()
}

// nextStep is the size of the step behind one that was so large, of which so much was asked for and so much came out, sent in this time.
func nextStep(step, asked lsn, came int, sent time.Duration) lsn {
	next := min(asked*stepOutput/lsn(max(came, 1)), step*stepGrowth)
	switch {
	case sent > stepTime:
		next = min(next, step/stepGrowth)
	case sent > stepTime/stepGrowth:
		next = min(next, step)
	}
	return min(max(next, firstStep), maxStep)
}

// stepWriter makes the walsender's frames of the rows of a step.
type stepWriter struct {
	b      *backlog
	done   <-chan struct{}
	slab   []byte
	header bool      // the copy's header has still to come, before the first row
	began  time.Time // when it came
	bytes  int
}

// sent is for how long the rows have been sent.
func (w *stepWriter) sent() time.Duration {
	if w.header {
		return 0
	}
	return time.Since(w.began)
}

var (
	copySignature = []byte("PGCOPY\n\377\r\n\000")
	// dataHead stands before the message in a frame: where it is in the WAL, and a time, which nobody asks for.
	dataHead = append([]byte{'w'}, make([]byte, 24)...)
)

// Write takes one row; the server sends each in a message of its own.
func (w *stepWriter) Write(p []byte) (int, error) {
	n := len(p)
	if w.header {
		const size = 11 + 4 + 4 // the signature, flags, and the length of what is not there
		if len(p) < size || !bytes.HasPrefix(p, copySignature) {
			return 0, errors.New("a step of the backlog has no header")
		}
		p, w.header, w.began = p[size:], false, time.Now()
	}
	if len(p) == 2 && p[0] == 0xff && p[1] == 0xff { // the end of the copy
		return n, nil
	}
	const size = 2 + 4 // the number of fields, and the length of the one
	if len(p) <= size || p[0] != 0 || p[1] != 1 || int(binary.BigEndian.Uint32(p[2:])) != len(p)-size {
		return 0, errors.New("a step of the backlog has a row that is none")
	}
	w.bytes += len(p)
	w.frame(dataHead, p[size:])
	if len(w.slab) < slabSize-minRoom {
		return n, nil
	}
	return n, w.hand()
}

func (w *stepWriter) frame(head, body []byte) {
	size := 4 + len(head) + len(body)
	if w.slab == nil {
		w.slab = make([]byte, 0, max(slabSize, size+1))
	}
	w.slab = binary.BigEndian.AppendUint32(append(w.slab, 'd'), uint32(size))
	w.slab = append(append(w.slab, head...), body...)
}

// hand hands the slab out. Rows will refer to it.
func (w *stepWriter) hand() error {
	w.b.vigil.end()
	defer w.b.vigil.begin()
	for range min(len(w.slab)/slabSize, backlogAhead-1) {
		if err := w.send(nil); err != nil {
			return err
		}
	}
	slab := w.slab
	w.slab = nil
	return w.send(slab)
}

func (w *stepWriter) send(block []byte) error {
	timer := time.NewTimer(stepStall)
	defer timer.Stop()
	select {
	case w.b.blocks <- block:
		return nil
	case <-timer.C:
		return errors.New("nobody takes the backlog, for which the server keeps a snapshot")
	case <-w.done:
		return context.Canceled
	}
}

// vigil ends the wait for a server that says nothing. It goes by what arrives, because a row may take long.
type vigil struct {
	mu    sync.Mutex // of what changes it: pgx reads in the background, too
	timer *time.Timer
	since atomic.Int64 // when something was heard, in Unix nanoseconds; 0 = the server waits for us
}

func (v *vigil) begin() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.beginLocked()
}

func (v *vigil) beginLocked() {
	v.since.Store(time.Now().UnixNano())
	v.timer.Reset(stepSilence)
}

func (v *vigil) end() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.timer.Stop()
	v.since.Store(0)
}

// hear begins it anew where it has not ended.
func (v *vigil) hear() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.since.Load() != 0 {
		v.beginLocked()
	}
}

// heeds tells the vigil of what arrives on the connections that dial makes.
func (b *backlog) heeds(dial pgconn.DialFunc) pgconn.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return heeded{c, &b.vigil}, nil
	}
}

type heeded struct {
	net.Conn
	vigil *vigil
}

func (h heeded) Read(p []byte) (int, error) {
	n, err := h.Conn.Read(p)
	if n > 0 {
		h.vigil.hear()
	}
	return n, err
}

func (b *backlog) arrivals() <-chan []byte { return b.blocks }
func (b *backlog) failure() error          { return b.err }
func (b *backlog) nudge()                  {} // it looks itself
func (b *backlog) poll()                   {} // it says where it is as soon as it can

func (b *backlog) heard() time.Time {
	if since := b.vigil.since.Load(); since != 0 {
		return time.Unix(0, since)
	}
	return time.Now()
}

func (b *backlog) close() {
	b.cancel(nil)
	b.done.Wait()
}
