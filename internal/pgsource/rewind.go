package pgsource

import (
	"context"
	"encoding/binary"
	"strconv"

	"syncline"
	"syncline/internal/pgoutput"
)

// maxUndone bounds the text of the rows that a rewind holds.
const maxUndone = 128 << 20

// rewind is how the copy of a table without a key begins anew after it was cut. The stream must not go on before: its updates
// and deletes would name rows that no target has. So the table is read on a new snapshot, the stream is read once up to the
// snapshot's point, only to learn what it does to the table, and that is undone in the rows: what enters the log, before
// anything else, is the table as it was where the log ends. Then the stream begins there.
//
// A table whose updates and deletes are not captured does not need this: its copy waits for the stream, and the rows that came
// before it are void (pin).
type rewind struct {
	bags map[*table]*bag
	size int
	// failed: too much happened, or a table has another shape now. The copy waits for the stream then.
	failed bool
}

// bag is the difference between two states of a table: what must be left out of the later one, and put in, to get the
// earlier one.
type bag struct {
	out map[string]int
	in  []held
	// at is where a row stands in in.
	at map[string]int
	// schema is what all of these rows have.
	schema *syncline.Schema
}

type held struct {
	row   []syncline.Value
	count int
}

// cutRuns are the copies that have to begin anew before the stream does.
func (s *Source) cutRuns() []*progress {
	var list []*progress
	for _, p := range s.state.Runs {
		t := s.entity(p.Entity)
		if len(t.current.Key) == 0 && !t.early && !t.appendOnly() && !p.waits && (p.Kind == syncline.RunSnapshot || p.Kind == syncline.RunFull && p.Chunk > 0) {
			list = append(list, p)
		}
	}
	return list
}

// startAgain begins to stream where the log ends, after the copies that must come before.
func (s *Source) startAgain(ctx context.Context) error {
	runs := s.cutRuns()
	if len(runs) == 0 {
		return s.startStream(ctx)
	}
	var tables []*table
	undo := &rewind{bags: map[*table]*bag{}}
	for _, p := range runs {
		t := s.entity(p.Entity)
		tables = append(tables, t)
		undo.bags[t] = &bag{out: map[string]int{}, at: map[string]int{}}
	}
	s.log.Info("copying tables without a key anew; waiting for the transactions that are running", "tables", len(tables))
	ex, conn, err := s.exportSnapshot(ctx, s.temporaryName(), " TEMPORARY", tables)
	if err != nil {
		return err
	}
	if err := s.readAhead(ctx, ex.point, undo); err != nil {
		hangUp(conn)
		return err
	}
	bags := map[*progress]*bag{}
	for i, p := range runs {
		bags[p] = undo.bags[tables[i]]
	}
	if undo.failed {
		hangUp(conn)
	} else if err := s.startCopier(ctx, conn, runs, bags, copyMode{reset: true}); err != nil {
		return err
	}
	if s.copier == nil {
		s.log.Warn("tables without a key are copied where the stream stands later: until then, updates and deletes may find no row")
		for _, p := range runs {
			p.waits = true
		}
	}
	return nil
}

// readAhead reads the stream up to the point, only to learn what it does to the tables, and forgets that it did.
func (s *Source) readAhead(ctx context.Context, point lsn, undo *rewind) error {
	was := s.pos
	if err := s.startSending(ctx, s.streamFrom()); err != nil { // a backlog goes on only as the log does
		return err
	}
	s.undo, s.pin = undo, &pin{point: point}
	defer func() {
		s.undo, s.pin, s.pos = nil, nil, was
		s.mu.Lock()
		st := s.stream
		s.stream = nil
		s.mu.Unlock()
		st.feed.close()
	}()
	for s.stream.open || s.pos.Commit < uint64(point) {
		more, err := s.fill(ctx)
		if err != nil {
			return err
		}
		if undo.failed {
			return nil
		}
		if !more {
			if err := s.await(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// note takes an event of the stream.
func (u *rewind) note(b bound, op pgoutput.Type, before, after []syncline.Value) {
	bag := u.bags[b.table]
	if bag == nil || u.failed {
		return
	}
	if bag.schema != nil && bag.schema != b.schema && bag.schema.Fingerprint() != b.schema.Fingerprint() {
		u.failed = true
		return
	}
	bag.schema = b.schema
	if op == pgoutput.Truncate {
		clear(bag.out) // these rows are in neither state
		return
	}
	if before != nil {
		key := rowText(before)
		switch at, ok := bag.at[key]; {
		case bag.out[key] > 1:
			bag.out[key]--
		case bag.out[key] == 1:
			delete(bag.out, key)
		case ok:
			bag.in[at].count++
		default:
			bag.at[key] = len(bag.in)
			bag.in = append(bag.in, held{before, 1})
			u.size += 2 * len(key)
		}
	}
	if after != nil {
		key := rowText(after)
		bag.out[key]++
		u.size += len(key)
	}
	u.failed = u.size > maxUndone
}

// leavesOut tells whether the row of the later state is not in the earlier one; each such row counts once.
func (b *bag) leavesOut(row []syncline.Value) bool {
	if b == nil || len(b.out) == 0 {
		return false
	}
	key := rowText(row)
	n := b.out[key]
	if n > 0 {
		b.out[key]--
	}
	return n > 0
}

// rowText is the same for exactly the rows with the same text.
func rowText(row []syncline.Value) string {
	var b []byte
	for _, v := range row {
		b = append(b, byte(v.Kind()))
		b = binary.AppendUvarint(b, uint64(len(v.Bytes())))
		b = append(b, v.Bytes()...)
	}
	return string(b)
}

// temporaryName is a slot's name that no other connection uses now.
func (s *Source) temporaryName() string {
	return "syncline_tmp_" + strconv.FormatUint(uint64(s.sql.PgConn().PID()), 10)
}
