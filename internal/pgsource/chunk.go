package pgsource

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"syncline"
	"syncline/internal/pgoutput"
)

const (
	// rangeChunks is how many chunks are read on one snapshot.
	rangeChunks = 8
	// rangeBytes bounds the text of those rows, but for what one fetch brings.
	rangeBytes = rangeChunks * batchBytes
	// keysChunk is how many keys of a run are read on one snapshot at most.
	keysChunk = 200
	// maxTouched bounds what is remembered of the stream while a chunk is read; beyond it the stream waits for the rows.
	maxTouched = 100_000

	lockRetry = 500 * time.Millisecond
	viewRetry = 5 * time.Millisecond
)

// chunk is a part of a run that is read beside the stream, on a snapshot of its own. Its rows enter the log when the stream
// has passed every transaction that the snapshot sees. Rows that a transaction touched which the snapshot does not see, and
// which therefore is in the stream since the snapshot was taken, are left out: the log has them newer. A row of which such
// transactions left columns unsent is completed from the chunk: nobody has changed those columns.
type chunk struct {
	run    *progress
	table  *table
	schema *syncline.Schema
	view   view
	until  lsn
	keys   []syncline.Key // of a run of keys
	// results has capacity one: the reader sends once and does not wait.
	results chan chunkRows
	rows    *chunkRows
	conn    *pgx.Conn
	cancel  context.CancelFunc
	done    sync.WaitGroup

	touched   map[syncline.Key]*touch
	truncated bool
}

// chunkRows is what the reader found.
type chunkRows struct {
	rows  [][]syncline.Value
	sizes []int // of a range's rows
	whole bool  // there is nothing behind the last row of a range
	keys  int   // how many of the chunk's keys were asked for, from the first
	// absent are the keys that no record has, as PostgreSQL writes them; refused is how many cannot be of the table.
	absent  [][]syncline.Value
	refused int
	err     error
}

// touch is what unseen transactions made of a record.
type touch struct {
	row []syncline.Value // nil = deleted, or now under another key
	// from is the key that the record had at the snapshot, where it is another one.
	from syncline.Key
}

// startChunk takes a snapshot and begins to read the run's next part on it. A snapshot that does not see all that was streamed
// is of no use; soon there will be a better one.
func (s *Source) startChunk(ctx context.Context, p *progress, t *table) error {
	conn := s.runs.conn
	s.runs.conn = nil
	var err error
	if conn == nil {
		if conn, err = s.connect(ctx); err != nil {
			return err
		}
	}
	c, err := s.newChunk(ctx, conn, p, t)
	switch {
	case err != nil:
		hangUp(conn) // it may be in the middle of something
	case c == nil:
		s.runs.conn = conn
	default:
		s.chunk, s.runs.keys = c, p.Kind == syncline.RunKeys
	}
	return err
}

// newChunk returns nil where it has to be tried again later.
func (s *Source) newChunk(ctx context.Context, conn *pgx.Conn, p *progress, t *table) (*chunk, error) {
	v, err := s.openView(ctx, conn, t)
	if sqlState(err) == codeLockNotAvailable {
		s.later(lockRetry)
		return nil, s.abandon(ctx, conn)
	}
	if err != nil {
		return nil, s.tableFault("take a snapshot of", t, err)
	}
	if v.xmin < max(s.floor, s.state.Barriers[p.Entity]) || !s.stream.recent.look(v.snapshot) {
		s.later(viewRetry)
		return nil, s.abandon(ctx, conn)
	}
	if s.state.Barriers[p.Entity] != 0 {
		delete(s.state.Barriers, p.Entity)
		s.checkpoint = nil
	}
	now := &table{entity: t.entity, oid: t.oid, schema: t.schema, name: t.name, partitioned: t.partitioned, identity: t.identity, current: t.current}
	if err := s.loadTable(ctx, conn, now); err != nil {
		return nil, err
	}
	sc, layout, err := s.shape(ctx, now, nil)
	if err != nil {
		return nil, err
	}
	t.current = sc
	reading, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c := &chunk{run: p, table: t, schema: sc, view: v, until: v.until, results: make(chan chunkRows, 1), conn: conn, cancel: cancel, touched: map[syncline.Key]*touch{}}
	read := s.rangeReader(c, now, layout)
	if p.Kind == syncline.RunKeys {
		c.keys = p.keys[p.Done:min(p.Done+keysChunk, len(p.keys))]
		read = keysReader(c, now, layout)
	}
	c.done.Go(func() {
		rows := read(reading)
		if rows.err == nil {
			_, rows.err = c.conn.Exec(reading, "COMMIT")
		}
		c.results <- rows
	})
	return c, nil
}

func (s *Source) tableFault(doing string, t *table, err error) error {
	if sqlState(err) == codeUndefinedTable {
		return syncline.Errorf(syncline.Fatal, "table_missing", "source %s: entity %s: table %s is gone", s.opt.Name, t.entity.Name, t)
	}
	return s.fault(doing+" "+t.String(), err)
}

func (s *Source) abandon(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, "ROLLBACK")
	return s.fault("give up a snapshot", err)
}

// rangeReader reads the rows behind the run's last key.
func (s *Source) rangeReader(c *chunk, t *table, l *pgoutput.Layout) func(context.Context) chunkRows {
	limit := rangeChunks * s.opt.ChunkRows
	if pace, _ := s.pace(c.run); pace.Rows > 0 {
		limit = min(limit, pace.Rows)
	}
	where := ""
	if len(c.run.Reached) > 0 {
		where = fmt.Sprintf("(%s) > (%s)", keyColumns(c.schema), literals(c.run.Reached))
	}
	sql := selectRows(t, c.schema, where, true, limit)
	return func(ctx context.Context) (out chunkRows) {
		if _, out.err = c.conn.Exec(ctx, "DECLARE part NO SCROLL CURSOR FOR "+sql); out.err != nil {
			return out
		}
		size := 0
		for n := 1; n > 0; { // nobody knows how long the rows are
			before := len(out.rows)
			if out.err = c.read(ctx, fmt.Sprintf("FETCH %d FROM part", n), l, &out); out.err != nil {
				return out
			}
			if len(out.rows)-before < n {
				out.whole = true
				return out
			}
			for _, n := range out.sizes[before:] {
				size += n
			}
			average := size/len(out.rows) + 1
			n = min(4*n, (rangeBytes-size)/average, limit-len(out.rows))
		}
		return out
	}
}

func (c *chunk) read(ctx context.Context, sql string, l *pgoutput.Layout, out *chunkRows) error {
	return readRows(ctx, c.conn.PgConn(), sql, l, func(row []syncline.Value, n int) error {
		out.rows, out.sizes = append(out.rows, row), append(out.sizes, n)
		return nil
	})
}

func (c *chunk) arrived() bool { return c.rows != nil || len(c.results) > 0 }

func (c *chunk) overflows() bool { return len(c.touched) > maxTouched && !c.arrived() }

func (c *chunk) close() {
	c.cancel()
	c.done.Wait()
	hangUp(c.conn)
}

// touch notes an event of the stream that the chunk's snapshot does not see.
func (s *Source) touch(b bound, m *pgoutput.Message) {
	c := s.chunk
	if c.table != b.table || c.view.sees(s.stream.xid) {
		return
	}
	if m.Type == pgoutput.Truncate {
		c.truncated = true
		clear(c.touched)
		return
	}
	e := syncline.Event{Schema: b.schema, Before: m.Before, After: m.After}
	key, ok := e.Key()
	if !ok {
		return
	}
	if m.After == nil {
		c.touched[key] = &touch{}
		return
	}
	now := &touch{row: m.After}
	was := c.touched[key]
	if old, changed := e.OldKey(); changed {
		was, now.from = c.touched[old], old
		c.touched[old] = &touch{}
	}
	if m.Type == pgoutput.Update && was != nil && was.row != nil {
		now.row = complete(now.row, was.row)
		if was.from != "" {
			now.from = was.from
		}
	}
	c.touched[key] = now
}

// complete fills what row leaves unset from base, which may be nil.
func complete(row, base []syncline.Value) []syncline.Value {
	if len(base) != len(row) || !slices.ContainsFunc(row, syncline.Value.IsUnset) {
		return row
	}
	row = slices.Clone(row)
	for i := range row {
		if row[i].IsUnset() {
			row[i] = base[i]
		}
	}
	return row
}
