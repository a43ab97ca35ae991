package pgsource

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"syncline"
	"syncline/internal/pgoutput"
)

// copier reads whole tables on an exported snapshot, while the stream rests at the snapshot's point.
type copier struct {
	conn *pgx.Conn
	mode copyMode
	// parts is sent to and closed by the reader. One part is read ahead.
	parts  chan part
	err    error         // valid once parts is closed
	waits  *atomic.Int64 // Source.copying
	cancel context.CancelFunc
	done   sync.WaitGroup
}

type copyMode struct {
	// empty: no row of the tables is in the log yet.
	empty bool
	// reset: what the log has of the tables is void.
	reset bool
}

// part is a chunk's rows.
type part struct {
	run    *progress
	schema *syncline.Schema
	rows   [][]syncline.Value
	last   bool
}

// job is a table to read, worked out before the reader starts: the reader shares nothing with the source.
type job struct {
	run    *progress
	sql    string
	schema *syncline.Schema
	layout *pgoutput.Layout
	undo   *bag // nil = nothing
}

// startCopier begins to read the runs' tables in the connection's transaction, which it ends. bags says what is to be undone in
// the rows. Where a table's rows now have another shape than those to undo, there is no copier then.
func (s *Source) startCopier(ctx context.Context, conn *pgx.Conn, runs []*progress, bags map[*progress]*bag, mode copyMode) error {
	var jobs []job
	for _, p := range runs {
		t := s.entity(p.Entity)
		if err := s.loadTable(ctx, conn, t); err != nil {
			hangUp(conn)
			return err
		}
		sc, layout, err := s.shape(ctx, t, nil)
		if err != nil {
			hangUp(conn)
			return err
		}
		undo := bags[p]
		if undo != nil && undo.schema != nil && undo.schema.Fingerprint() != sc.Fingerprint() {
			hangUp(conn)
			return nil
		}
		jobs = append(jobs, job{p, selectRows(t, sc, "", true, 0), sc, layout, undo})
	}
	reading, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c := &copier{conn: conn, mode: mode, parts: make(chan part, 1), waits: &s.copying, cancel: cancel}
	c.done.Go(func() {
		defer close(c.parts)
		defer c.waits.Store(0)
		for _, j := range jobs {
			if c.err = c.read(reading, j, s.opt.ChunkRows); c.err != nil {
				c.err = s.fault("copy "+j.schema.Table, c.err)
				return
			}
		}
		c.listen()
		_, c.err = c.conn.Exec(reading, "COMMIT") // the tables are free before the last part is taken
	})
	s.copier = c
	return nil
}

func (c *copier) read(ctx context.Context, j job, limit int) error {
	p := part{run: j.run, schema: j.schema}
	size := 0
	send := func() error {
		select {
		case c.parts <- p:
		case <-ctx.Done():
			return ctx.Err()
		}
		p.rows, size = nil, 0
		return nil
	}
	add := func(row []syncline.Value, n int) error {
		if len(p.rows) >= limit || size >= batchBytes { // only now it is known not to be the last part
			if err := send(); err != nil {
				return err
			}
		}
		p.rows = append(p.rows, row)
		size += n
		return nil
	}
	c.listen()
	err := readRows(ctx, c.conn.PgConn(), j.sql, j.layout, func(row []syncline.Value, n int) error {
		c.waits.Store(0)
		defer c.listen()
		if j.undo.leavesOut(row) {
			return nil
		}
		return add(row, n)
	})
	c.waits.Store(0)
	if err != nil {
		return err
	}
	if j.undo != nil {
		for _, h := range j.undo.in {
			for range h.count {
				if err := add(h.row, textSize(h.row)); err != nil {
					return err
				}
			}
		}
	}
	p.last = true
	return send()
}

// listen notes that from now on it is the server who has to say something.
func (c *copier) listen() { c.waits.Store(time.Now().UnixNano()) }

func (c *copier) close() {
	c.cancel()
	c.done.Wait()
	hangUp(c.conn)
}

// readRows runs the statement and hands over its rows, with the length of their text.
func readRows(ctx context.Context, c *pgconn.PgConn, sql string, l *pgoutput.Layout, each func([]syncline.Value, int) error) error {
	var arena pgoutput.Arena
	columns := l.Columns()
	rr := c.ExecParams(ctx, sql, nil, nil, nil, nil)
	for rr.NextRow() {
		fields := rr.Values()
		if len(fields) != len(columns) {
			_, _ = rr.Close() // the count is the error
			return fmt.Errorf("row of %d columns, want %d", len(fields), len(columns))
		}
		row := arena.Row(l)
		n := 0
		for i := range columns {
			c := &columns[i]
			if c.Index < 0 || fields[i] == nil {
				continue
			}
			v, err := arena.Value(c, arena.Copy(fields[i]))
			if err != nil {
				_, _ = rr.Close() // the value is the error
				return err
			}
			row[c.Index] = v
			n += len(fields[i])
		}
		if err := each(row, n); err != nil {
			_, _ = rr.Close() // each's error is the first
			return err
		}
	}
	_, err := rr.Close()
	return err
}

// copyRows returns the copier's next chunk; nil when it has ended.
func (s *Source) copyRows(ctx context.Context) (*syncline.Batch, error) {
	c := s.copier
	if s.spill.Load() && c.mode.empty && len(s.cutRuns()) == 0 {
		return nil, s.cutCopy(ctx)
	}
	select {
	case p, ok := <-c.parts:
		if !ok {
			err := c.err
			c.close()
			s.copier, s.pin = nil, nil
			return nil, err
		}
		if n := len(p.rows); n > 0 {
			p.run.Reached = keyTexts(p.schema, p.rows[n-1])
		}
		return s.chunkBatch(p.run, snapshotEvents(p.schema, p.rows), p.last, c.mode), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// cutCopy gives the first copy up where it stands: the stream begins, and what is left is read beside it.
func (s *Source) cutCopy(ctx context.Context) error {
	s.log.Warn("the first copy waits: the server holds too much WAL, and its changes come first")
	s.copier.close()
	s.copier = nil
	return s.setFloor(ctx)
}

// chunkBatch makes the run's next chunk. The caller has moved the run's progress on.
func (s *Source) chunkBatch(p *progress, events []syncline.Event, last bool, mode copyMode) *syncline.Batch {
	p.Chunk++
	c := &syncline.Chunk{Run: p.Run, Kind: p.Kind, Number: p.Chunk, Entity: p.Entity, Routes: p.Routes, Last: last, EmptyBefore: mode.empty}
	c.First = p.Chunk == 1 || mode.reset && !p.begun
	c.Reset = c.First && mode.reset
	p.begun = true
	s.checkpoint = nil
	if last {
		s.finishRun(p)
	}
	b := s.batch()
	b.Chunk, b.Events = c, events
	b.Partial = s.pos.Ordinal > 0 // a copy before the stream goes on may stand inside a transaction
	return b
}

func snapshotEvents(sc *syncline.Schema, rows [][]syncline.Value) []syncline.Event {
	events := make([]syncline.Event, len(rows))
	for i, row := range rows {
		events[i] = syncline.Event{Op: syncline.OpSnapshot, Schema: sc, Ordinal: uint32(i + 1), After: row}
	}
	return events
}
