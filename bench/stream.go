package main

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing/iotest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"syncline"
	"syncline/internal/pgoutput"
)

const (
	// ceilingBatch is a batch's number of changes. With 5,000 the ceiling is lower by a third: each update reads much of the table.
	ceilingBatch = 20_000
	streamSlab   = 1 << 20
	// streamBuffer and streamPause let rows gather, of which the server sends each by itself. The socket's buffer is small, so that it is
	// full before the pause is over: from then on the server adds rows to what waits in its own buffer, where one costs a copy, and not a
	// segment, an acknowledgement and a wake-up of whoever polls the socket.
	streamBuffer = 96 << 10
	streamPause  = time.Millisecond
	// streamQuiet is how long nothing comes until a batch goes that is not full.
	streamQuiet = 5 * time.Millisecond
)

// stream reads a replication slot as fast as it can.
type stream struct {
	conn net.Conn
	// batches is sent to and closed by read. One waits while the one before it is written.
	batches   chan *changes
	confirmed atomic.Uint64
	stop      chan struct{}
	once      sync.Once

	dec   pgoutput.Decoder
	msg   pgoutput.Message
	table *incoming
	batch *changes
	open  bool // inside a transaction
}

// incoming is the table as the stream announces it.
type incoming struct {
	names []string
	key   int
}

// changes are the last states of the rows that some transactions changed.
type changes struct {
	table *incoming
	rows  [][]syncline.Value
	index map[string]int // into rows, by key
	count int            // changes, before only the last one of each key was kept
	end   uint64         // of the last transaction
}

// openStream begins to read the slot.
func openStream(ctx context.Context, url, slot string) (*stream, error) {
	config, err := pgconn.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]string{"replication": "database", "DateStyle": "ISO", "TimeZone": "UTC", "bytea_output": "hex", "extra_float_digits": "3"} {
		config.RuntimeParams[name] = value
	}
	// Once it streams, the socket is read from here, and nothing may have been read ahead of that.
	config.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		return pgproto3.NewFrontend(iotest.OneByteReader(r), w)
	}
	c, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	c.Frontend().Send(&pgproto3.Query{String: "START_REPLICATION SLOT " + slot + " LOGICAL 0/0 (proto_version '1', publication_names 'native')"})
	if err := c.Frontend().Flush(); err != nil {
		return nil, errors.Join(err, c.Close(ctx))
	}
	m, err := c.ReceiveMessage(ctx)
	if err != nil {
		return nil, errors.Join(err, c.Close(ctx))
	}
	if _, ok := m.(*pgproto3.CopyBothResponse); !ok {
		return nil, errors.Join(fmt.Errorf("read the slot %s: %T", slot, m), c.Close(ctx))
	}
	h, err := c.Hijack()
	if err != nil {
		return nil, err
	}
	if tcp, ok := h.Conn.(*net.TCPConn); ok {
		if err := tcp.SetReadBuffer(streamBuffer); err != nil {
			return nil, errors.Join(err, tcp.Close())
		}
	}
	return &stream{conn: h.Conn, batches: make(chan *changes, 1), stop: make(chan struct{})}, nil
}

// close ends the reading.
func (s *stream) close() {
	s.once.Do(func() { close(s.stop); _ = s.conn.SetReadDeadline(time.Now()) })
}

// confirm tells the server what it need not send again.
func (s *stream) confirm(end uint64) error {
	s.confirmed.Store(end)
	b := []byte{'d', 0, 0, 0, 38, 'r'}
	for range 3 { // written, flushed, applied
		b = binary.BigEndian.AppendUint64(b, end)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(time.Now().UnixMicro()-pgoutput.Time2000))
	_, err := s.conn.Write(append(b, 0))
	return err
}

// read hands out batches until the stream is closed.
func (s *stream) read() error {
	defer close(s.batches)
	var slab []byte
	start, end := 0, 0
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		if len(slab)-end < streamSlab/16 || start == 0 && end == len(slab) {
			next := make([]byte, max(streamSlab, 2*(end-start)))
			start, end, slab = 0, copy(next, slab[start:end]), next
		}
		select {
		case <-s.stop:
			return nil
		default:
		}
		if err := s.conn.SetReadDeadline(time.Now().Add(streamQuiet)); err != nil {
			return err
		}
		n, err := s.conn.Read(slab[end:])
		end += n
		quiet := errors.Is(err, os.ErrDeadlineExceeded)
		if err != nil && !quiet {
			return err
		}
		for end-start >= 5 {
			size := 1 + int(binary.BigEndian.Uint32(slab[start+1:]))
			if size > end-start {
				break
			}
			if err := s.frame(slab[start], slab[start+5:start+size:start+size]); err != nil {
				return err
			}
			start += size
			if s.batch != nil && !s.open && s.batch.count >= ceilingBatch && !s.hand() {
				return nil
			}
		}
		if quiet && s.batch != nil && !s.open && !s.hand() {
			return nil
		}
		if n > 0 && end < len(slab) {
			pause.Reset(streamPause)
			select {
			case <-pause.C:
			case <-s.stop:
				return nil
			}
		}
	}
}

// sort puts the rows into the order of their keys: neighbours in the table are then written one after the other.
func (b *changes) sort() {
	key := func(row []syncline.Value) int {
		n, _ := strconv.Atoi(string(row[b.table.key].Bytes()))
		return n
	}
	slices.SortFunc(b.rows, func(x, y []syncline.Value) int { return cmp.Compare(key(x), key(y)) })
}

// hand gives the batch out, and returns false where the stream was closed.
func (s *stream) hand() bool {
	s.batch.sort()
	select {
	case s.batches <- s.batch:
		s.batch = nil
		return true
	case <-s.stop:
		return false
	}
}

// frame takes one message of the connection.
func (s *stream) frame(kind byte, body []byte) error {
	switch {
	case kind == 'd' && len(body) > 25 && body[0] == 'w': // after three numbers of the server's
		return s.message(body[25:])
	case kind == 'd' && len(body) == 18 && body[0] == 'k':
		if body[17] != 0 {
			return s.confirm(s.confirmed.Load())
		}
		return nil
	case kind == 'E':
		var e pgproto3.ErrorResponse
		return errors.Join(e.Decode(body), pgconn.ErrorResponseToPgError(&e))
	}
	return fmt.Errorf("a message %q in the stream", kind)
}

func (s *stream) message(data []byte) error {
	m := &s.msg
	if err := s.dec.Decode(data, m); err != nil {
		return err
	}
	switch m.Type {
	case pgoutput.Begin:
		s.open = true
	case pgoutput.Commit:
		if s.open = false; s.batch != nil {
			s.batch.end = m.End
		}
	case pgoutput.Relate:
		s.relate(m.Table)
	case pgoutput.Insert, pgoutput.Update:
		s.add(m.After)
	default:
		return fmt.Errorf("%q is nothing that this measurement writes", byte(m.Type))
	}
	return nil
}

func (s *stream) relate(r *pgoutput.Relation) {
	t := &incoming{}
	columns := make([]pgoutput.Column, len(r.Columns))
	for i, c := range r.Columns {
		columns[i] = pgoutput.Column{Index: i, Kind: syncline.KindText, Identity: c.Identity}
		if t.names = append(t.names, c.Name); c.Identity {
			t.key = i
		}
	}
	s.table = t
	s.dec.Bind(r.ID, pgoutput.NewLayout(columns, len(columns), nil))
}

// add keeps the row as the last state of its key.
func (s *stream) add(row []syncline.Value) {
	b := s.batch
	if b == nil {
		b = &changes{table: s.table, rows: make([][]syncline.Value, 0, ceilingBatch), index: make(map[string]int, ceilingBatch)}
		s.batch = b
	}
	b.count++
	key := row[s.table.key].Bytes()
	if at, ok := b.index[string(key)]; ok {
		b.rows[at] = row
		return
	}
	b.index[string(key)] = len(b.rows)
	b.rows = append(b.rows, row)
}
