package pgsource

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"syncline"
	"syncline/internal/pgoutput"
	"syncline/internal/plant"
)

// originPrefix marks the logical message by which a writer of ours names itself inside its transaction.
const originPrefix = "syncline_origin"

// feed is where the stream's messages come from: a wire, or a backlog before it.
type feed interface {
	// arrivals are blocks of whole messages, or of none. The channel is closed at the end, of which failure is the reason from then on.
	arrivals() <-chan []byte
	failure() error
	// nudge passes a confirmation on soon, poll asks the server how far it has read its WAL.
	nudge()
	poll()
	// heard is when the server was heard of last.
	heard() time.Time
	close()
}

// stream is the running replication: what the feed brings, decoded into the batch that is being built.
type stream struct {
	feed  feed
	block []byte // whole messages that are not decoded yet
	dec   pgoutput.Decoder
	msg   pgoutput.Message

	// The transaction that is being read; open is false between transactions.
	open    bool
	commit  uint64
	xid     uint32
	ordinal uint32
	txn     int // index into txns, -1 before the transaction's first event of the batch
	time    time.Time
	origin  string
	written uint64 // where the change stands in the WAL; a planted bug alone goes by it

	// The batch that is being built.
	events []syncline.Event
	txns   []syncline.Txn
	bytes  int

	recent   unseen
	dangling bool      // it is to be said at once that a transaction has ended: the last batch said that it goes on, or it is a canary
	walEnd   uint64    // by the last keepalive
	activity time.Time // when a transaction or a heartbeat of ours was last seen or made
	quietEnd uint64    // walEnd at that time
}

// fill decodes what has arrived until the batch is full, or there is no more, or the stream must rest. It does not block.
// more is false where everything that has arrived is decoded.
func (s *Source) fill(ctx context.Context) (more bool, err error) {
	st := s.stream
	for {
		if len(st.block) == 0 {
			select {
			case block, ok := <-st.feed.arrivals():
				if !ok {
					return false, s.fed(ctx)
				}
				st.block = block
			default:
				return false, nil
			}
		}
		for len(st.block) > 0 {
			n := 1 + int(binary.BigEndian.Uint32(st.block[1:]))
			rest, err := s.frame(ctx, st.block[0], st.block[5:n:n])
			if err != nil {
				return false, err
			}
			if rest {
				return true, nil
			}
			st.block = st.block[n:]
			if s.full() {
				return true, nil
			}
		}
	}
}

// full tells whether the batch is to be returned: at the end of a transaction where it is nearly full or something waits for
// such an end, inside a transaction only where it is quite full.
func (s *Source) full() bool {
	st := s.stream
	if st.open {
		return len(st.events) >= batchEvents || st.bytes >= batchBytes
	}
	return len(st.events) >= batchEvents*3/4 || st.bytes >= batchBytes*3/4 || s.wantsBoundary() ||
		len(st.events) == 0 && s.markerDue(st.activity)
}

// markerDue tells whether it is time to say that the position has moved.
func (s *Source) markerDue(now time.Time) bool {
	return s.pos.Compare(s.emitted) > 0 && now.Sub(s.marked) >= s.opt.Marker
}

func (s *Source) broken(err error) error {
	if err == nil {
		err = errors.New("the server ended the stream")
	}
	return s.lost("read the replication stream", err)
}

// frame takes one message of the connection. rest is true where the message must stay for later.
func (s *Source) frame(ctx context.Context, kind byte, body []byte) (rest bool, err error) {
	switch kind {
	case 'd':
		return s.copyData(ctx, body)
	case 'E':
		var e pgproto3.ErrorResponse
		if err := e.Decode(body); err != nil {
			return false, s.broken(err)
		}
		err := pgconn.ErrorResponseToPgError(&e)
		switch err.Code {
		case codeNotInState:
			return false, s.slotLost()
		case codeUndefinedObject:
			return false, s.publicationLate()
		}
		return false, s.fault("read the replication stream", err)
	case 'c', 'C', 'Z':
		return false, s.broken(nil)
	case 'N', 'S':
		return false, nil
	}
	return false, s.malformed(fmt.Errorf("unexpected message %q", kind))
}

func (s *Source) malformed(err error) error {
	return syncline.Errorf(syncline.Fatal, "stream_malformed", "source %s: the replication stream does not follow the protocol: %w", s.opt.Name, err)
}

func (s *Source) copyData(ctx context.Context, body []byte) (rest bool, err error) {
	switch {
	case len(body) == keepaliveSize && body[0] == 'k':
		return false, s.keepalive(binary.BigEndian.Uint64(body[1:]), body[17] != 0)
	case len(body) > 25 && body[0] == 'w': // where it is in the WAL, the WAL's end, and a time stand before the message
		if plant.ResumeByChangeLSN {
			s.stream.written = binary.BigEndian.Uint64(body[1:])
		}
		return s.message(ctx, body[25:])
	}
	return false, s.malformed(errors.New("a frame that is neither data nor a keepalive"))
}

// keepalive moves the position where nothing is in flight: every transaction that committed before walEnd was sent.
func (s *Source) keepalive(walEnd uint64, reply bool) error {
	st := s.stream
	st.walEnd = max(st.walEnd, walEnd)
	if st.open {
		return nil
	}
	if err := s.passes(walEnd, 0); err != nil {
		return err
	}
	if s.pin != nil {
		walEnd = min(walEnd, uint64(s.pin.point))
	}
	s.advance(walEnd)
	if reply { // the server shuts down and waits for a confirmation
		s.marked = time.Time{}
	}
	return nil
}

// advance moves the position to before whatever commits at or after to.
func (s *Source) advance(to uint64) {
	if to > s.pos.Commit {
		s.pos = syncline.Position{Epoch: s.epoch, Commit: to}
	}
}

// message takes one message of pgoutput.
func (s *Source) message(ctx context.Context, data []byte) (rest bool, err error) {
	st := s.stream
	if s.pin != nil && pgoutput.Type(data[0]) == pgoutput.Begin && len(data) > 8 && lsn(binary.BigEndian.Uint64(data[1:])) >= s.pin.point {
		s.advance(uint64(s.pin.point))
		return true, nil
	}
	m := &st.msg
	if err := st.dec.Decode(data, m); err != nil {
		return false, s.malformed(err)
	}
	switch m.Type {
	case pgoutput.Begin:
		if err := s.passes(m.LSN, m.XID); err != nil {
			return false, err
		}
		st.open, st.commit, st.xid, st.ordinal, st.txn, st.time, st.origin = true, m.LSN, m.XID, 0, -1, m.Time, ""
		st.recent.add(m.XID)
	case pgoutput.Commit:
		st.open = false
		st.activity, st.quietEnd = time.Now(), max(st.walEnd, m.End)
		s.advance(m.End)
		if st.dangling && len(st.events) == 0 { // nothing more of it is wanted: say at once that it has ended
			s.marked, st.dangling = time.Time{}, false
		}
	case pgoutput.Origin:
		st.origin = m.Name
	case pgoutput.Logical:
		switch {
		case !m.Transactional:
		case m.Name == originPrefix:
			st.origin = string(m.Content)
		case m.Name == canaryPrefix:
			st.dangling = true
		}
	case pgoutput.Relate:
		return false, s.relate(ctx, m.Table)
	case pgoutput.Truncate:
		for _, id := range m.Tables {
			st.ordinal++
			if l := st.dec.Layout(id); l != nil {
				s.add(m, boundOf(l), 0)
			}
		}
	case pgoutput.Insert, pgoutput.Update, pgoutput.Delete:
		st.ordinal++
		if m.Type == pgoutput.Update && m.Old {
			st.ordinal++ // the change of a key is two events to whom it concerns as a delete and an insert
		}
		if m.Layout != nil {
			s.add(m, boundOf(m.Layout), len(data))
		}
	}
	return false, nil
}

// opOf is what the message did to a record.
func opOf(t pgoutput.Type) syncline.Op {
	switch t {
	case pgoutput.Insert:
		return syncline.OpCreated
	case pgoutput.Update:
		return syncline.OpUpdated
	case pgoutput.Delete:
		return syncline.OpDeleted
	}
	return syncline.OpTruncated
}

// add puts an event into the batch, unless the log has it.
func (s *Source) add(m *pgoutput.Message, b bound, size int) {
	st := s.stream
	if s.chunk != nil {
		s.touch(b, m)
	}
	at := syncline.Position{Epoch: s.epoch, Commit: st.commit, Ordinal: st.ordinal}
	if st.commit <= s.resume.Commit && at.Compare(s.resume) <= 0 {
		return
	}
	if plant.ResumeByChangeLSN && st.written <= s.resume.Commit {
		return
	}
	if s.undo != nil {
		s.undo.note(b, m.Type, m.Before, m.After)
		return
	}
	if st.txn < 0 {
		st.txn = len(st.txns)
		st.txns = append(st.txns, syncline.Txn{Commit: st.commit, XID: uint64(st.xid), Time: st.time, Origin: st.origin})
	}
	if st.events == nil {
		st.events = make([]syncline.Event, 0, 64)
	}
	st.events = append(st.events, syncline.Event{Op: opOf(m.Type), Schema: b.schema, Txn: st.txn, Ordinal: st.ordinal, Before: m.Before, After: m.After})
	st.bytes += size
	s.pos = at
}

// relate takes the announcement of a table as it is for the following rows. A table is known by its id. Another one that has an entity's
// name is the one that Open found replaced, and nobody's; or it has come since, and the source does not go on (lookAtTables): what was
// in it before is not in the log.
func (s *Source) relate(ctx context.Context, rel *pgoutput.Relation) error {
	t := s.tableOf(rel.ID)
	if t == nil {
		s.stream.dec.Bind(rel.ID, nil)
		if slices.ContainsFunc(s.tables, func(t *table) bool { return t.schema == rel.Namespace && t.name == rel.Name }) {
			s.looked = time.Time{}
			return s.lookAtTables(ctx)
		}
		return nil
	}
	bare := t.appendOnly()
	if rel.Identity != 0 {
		t.identity = rel.Identity
	}
	if err := s.loadTable(ctx, s.sql, t); err != nil {
		return err
	}
	if bare && !t.appendOnly() {
		s.log.Warn("table has a replica identity now: its updates and deletes are captured from the next start on", "entity", t.entity.Name, "table", t.String(),
			"fix", "restart; then syncline sync "+s.opt.Name+"/"+t.entity.Name)
	}
	if !bare && t.appendOnly() {
		s.mu.Lock()
		s.warnOfBareLocked()
		s.mu.Unlock()
	}
	was := t.current
	sc, layout, err := s.shape(ctx, t, rel)
	if err != nil {
		return err
	}
	if sc != was {
		s.log.Info("table changed", "entity", t.entity.Name, "table", t.String(), "columns", len(sc.Columns))
	}
	s.stream.dec.Bind(rel.ID, layout)
	return nil
}

// flush returns the batch that was built; nil where there is nothing in it.
func (s *Source) flush() *syncline.Batch {
	st := s.stream
	if len(st.events) == 0 {
		return nil
	}
	s.mark()
	b := s.batch()
	b.Txns, b.Events, b.Partial = st.txns, st.events, st.open
	st.dangling = b.Partial
	st.events = make([]syncline.Event, 0, min(max(64, len(st.events)), batchEvents+64))
	st.txns, st.bytes, st.txn = nil, 0, -1
	return b
}
