package pgsource

import (
	"maps"
	"slices"
	"strings"

	"syncline"
)

// emitChunk puts the batches of the chunk into the outbox: the stream has passed its snapshot.
func (s *Source) emitChunk() error {
	c := s.chunk
	if c.rows == nil {
		rows := <-c.results
		c.rows = &rows
	}
	s.chunk = nil
	c.cancel()
	c.done.Wait()
	if c.rows.err != nil {
		hangUp(c.conn)
		if p := c.run; p.From != "" && p.Chunk == 0 && strings.HasPrefix(sqlState(c.rows.err), classDataException) {
			s.giveUp(p, noFrom(p.Entity).Error())
			return nil
		}
		return s.fault("read rows of "+c.table.String(), c.rows.err)
	}
	s.runs.conn = c.conn
	if c.table.current != c.schema {
		return nil // the table's shape changed in the stream since the snapshot: the part is read again
	}
	if c.run.Kind == syncline.RunKeys {
		s.emitKeys(c)
		return nil
	}
	rows, sizes := c.rows.rows, c.rows.sizes
	merged := c.merge()
	for {
		n, size := 0, 0
		for n < len(rows) && n < s.opt.ChunkRows && size < batchBytes {
			size += sizes[n]
			n++
		}
		var events []syncline.Event
		for _, row := range rows[:n] {
			if row = merged.of(c.schema, row); row != nil {
				events = append(events, snapshotEvent(c.schema, row, len(events)))
			}
		}
		if n > 0 {
			c.run.Reached = keyTexts(c.schema, rows[n-1])
		}
		if rows, sizes = rows[n:], sizes[n:]; len(rows) == 0 {
			for _, row := range merged.moved {
				events = append(events, snapshotEvent(c.schema, row, len(events)))
			}
		}
		s.outbox = append(s.outbox, s.chunkBatch(c.run, events, len(rows) == 0 && c.rows.whole, copyMode{}))
		if len(rows) == 0 {
			return nil
		}
	}
}

func snapshotEvent(sc *syncline.Schema, row []syncline.Value, n int) syncline.Event {
	return syncline.Event{Op: syncline.OpSnapshot, Schema: sc, Ordinal: uint32(n + 1), After: row}
}

// repairEvent answers for a key that was asked for.
func repairEvent(sc *syncline.Schema, row []syncline.Value, n int) syncline.Event {
	return syncline.Event{Op: syncline.OpRepair, Schema: sc, Ordinal: uint32(n + 1), After: row}
}

// emitKeys answers for every key of the chunk that no unseen transaction touched. Those that cannot be of the table get no answer:
// in the types of a target, one of them may be the key of another record.
func (s *Source) emitKeys(c *chunk) {
	p, keys := c.run, c.keys[:c.rows.keys]
	merged := c.merge()
	var events []syncline.Event
	found := map[syncline.Key]bool{}
	for _, row := range c.rows.rows {
		key, _ := syncline.Row{Schema: c.schema, Values: row}.Key()
		if found[key] {
			continue
		}
		found[key] = true
		if row = merged.of(c.schema, row); row != nil {
			events = append(events, repairEvent(c.schema, row, len(events)))
		}
	}
	for _, row := range merged.moved {
		events = append(events, repairEvent(c.schema, row, len(events)))
	}
	for _, row := range c.rows.absent {
		key, _ := syncline.Row{Schema: c.schema, Values: row}.Key()
		if !found[key] && !c.truncated && c.touched[key] == nil {
			found[key] = true
			events = append(events, syncline.Event{Op: syncline.OpAbsent, Schema: c.schema, Ordinal: uint32(len(events) + 1), Before: row})
		}
	}
	if n := c.rows.refused; n > 0 {
		s.log.Warn("keys that cannot be of the table get no answer", "entity", p.Entity, "run", p.Run, "keys", n)
	}
	last := p.Done+len(keys) == len(p.keys)
	for {
		n, size := 0, 0
		for n < len(events) && n < s.opt.ChunkRows && size < batchBytes {
			size += textSize(events[n].Row().Values)
			events[n].Ordinal = uint32(n + 1)
			n++
		}
		end := n == len(events)
		if end {
			if p.Done += len(keys); last {
				p.keys = nil
			}
		}
		s.outbox = append(s.outbox, s.chunkBatch(p, events[:n], end && last, copyMode{}))
		if events = events[n:]; end {
			return
		}
	}
}

func textSize(row []syncline.Value) (n int) {
	for _, v := range row {
		n += len(v.Bytes())
	}
	return n
}

// merged is what the chunk's rows are at the stream's position.
type merged struct {
	truncated bool
	rows      map[syncline.Key][]syncline.Value // of touched keys; nil = leave the row out
	moved     [][]syncline.Value                // records whose key was another one at the snapshot
}

func (m merged) of(sc *syncline.Schema, row []syncline.Value) []syncline.Value {
	if m.truncated {
		return nil
	}
	if len(m.rows) == 0 {
		return row
	}
	key, _ := syncline.Row{Schema: sc, Values: row}.Key()
	if now, ok := m.rows[key]; ok {
		return now
	}
	return row
}

// merge works out the rows of the touched keys: those that the log has whole are left out, those with unsent columns are
// completed where the chunk has the record.
func (c *chunk) merge() merged {
	m := merged{truncated: c.truncated}
	if m.truncated || len(c.touched) == 0 {
		return m
	}
	read := make(map[syncline.Key][]syncline.Value, len(c.rows.rows))
	for _, row := range c.rows.rows {
		key, _ := syncline.Row{Schema: c.schema, Values: row}.Key()
		read[key] = row
	}
	m.rows = make(map[syncline.Key][]syncline.Value, len(c.touched))
	for _, key := range slices.Sorted(maps.Keys(c.touched)) {
		t := c.touched[key]
		m.rows[key] = nil
		if t.row == nil || c.has(t.row) {
			continue
		}
		from := key
		if t.from != "" {
			from = t.from
		}
		now := complete(t.row, read[from])
		switch {
		case !c.has(now): // the record is not of this chunk
		case from == key:
			m.rows[key] = now
		default:
			m.moved = append(m.moved, now)
		}
	}
	return m
}

// has tells whether all columns that are ever sent have a value.
func (c *chunk) has(row []syncline.Value) bool {
	if len(row) != len(c.schema.Columns) {
		return true // of another shape of the table: it is not ours to complete
	}
	for i, v := range row {
		if v.IsUnset() && c.schema.Columns[i].Generated == "" {
			return false
		}
	}
	return true
}
