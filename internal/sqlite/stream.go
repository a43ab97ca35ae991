package sqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"os"
	"strconv"
	"time"

	"syncline"
)

// Next implements syncline.Source.
func (s *Source) Next(ctx context.Context) (*syncline.Batch, error) {
	if s.db == nil {
		return nil, fmt.Errorf("read from a source that is not open")
	}
	if !s.begun {
		s.begun = true
		return s.seal(&syncline.Batch{Sync: true})
	}
	pause := minPause
	for {
		if err := s.forget(ctx); err != nil {
			return nil, err
		}
		s.takeRequests()
		b, err := s.read(ctx)
		if b != nil || err != nil {
			return b, err
		}
		if pause, err = s.wait(ctx, pause); err != nil {
			return nil, err
		}
	}
}

// wait returns when the database has changed, a run was asked for or there is something to delete.
func (s *Source) wait(ctx context.Context, pause time.Duration) (time.Duration, error) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	looked := time.Now()
	for {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-s.wake:
			return minPause, nil
		case <-timer.C:
		}
		var version int64
		// It does not wait for anything, and a context that can end costs a goroutine.
		if err := s.reader.QueryRowContext(context.WithoutCancel(ctx), "PRAGMA data_version").Scan(&version); err != nil && !isBusy(err) {
			return 0, classify(err, "look for changes in %s", s.path)
		} else if err == nil && version != s.changed {
			s.changed, s.lastChange = version, time.Now()
			return minPause, nil
		}
		if time.Since(looked) >= forgetIdle {
			if now, err := os.Stat(s.path); err != nil || !os.SameFile(now, s.file) {
				return 0, syncline.Errorf(syncline.Transient, "database_replaced", "%s is not the file that was opened any more", s.path)
			}
			return pause, nil
		}
		limit := maxPause
		if time.Since(s.lastChange) > restAfter {
			limit = restPause
		}
		pause = min(pause*2, limit)
		timer.Reset(pause)
	}
}

// read returns the next batch, nil if there is none. Nothing is left open while the caller has it, because the application's
// write-ahead log would grow for as long: the next view goes on behind the last change. What needs the very view that the changes were
// read in, the next chunk of a run, is read with the last of them and waits. Only the copy of a table without a key keeps its view.
func (s *Source) read(ctx context.Context) (*syncline.Batch, error) {
	if b := s.waiting; b != nil {
		s.waiting = nil
		return b, nil
	}
	if !s.view {
		if err := s.openView(ctx); err != nil {
			return nil, err
		}
	}
	b, more, err := s.changes(ctx)
	if err == nil && b != nil {
		b, err = s.seal(b)
	}
	if err != nil {
		return nil, err
	}
	keep := false
	if at, pace := s.due(); !more && at >= 0 {
		var c *syncline.Batch
		if c, keep, err = s.chunk(ctx, at, pace); err == nil {
			c, err = s.seal(c)
		}
		if err != nil {
			return nil, err
		}
		if b == nil {
			b = c
		} else {
			s.waiting = c
		}
	}
	if keep {
		return b, nil
	}
	return b, s.closeView(ctx)
}

// openView begins a snapshot in which the tables have the shapes that are known.
func (s *Source) openView(ctx context.Context) error {
	for {
		if _, err := s.reader.ExecContext(ctx, "BEGIN"); err != nil {
			return classify(err, "begin in %s", s.path)
		}
		s.view = true
		var cookie int64
		if err := s.reader.QueryRowContext(ctx, "PRAGMA schema_version").Scan(&cookie); err != nil {
			return classify(err, "read the schema version of %s", s.path)
		}
		if cookie == s.cookie {
			return nil
		}
		if err := s.closeView(ctx); err != nil {
			return err
		}
		if err := s.adopt(ctx); err != nil {
			return err
		}
	}
}

func (s *Source) closeView(ctx context.Context) error {
	s.view = false
	_, err := s.reader.ExecContext(ctx, "COMMIT")
	return classify(err, "end a snapshot of %s", s.path)
}

// changes returns the next changes of the view, and whether it has more; nil where it has none.
func (s *Source) changes(ctx context.Context) (b *syncline.Batch, more bool, err error) {
	rows, err := s.reader.QueryContext(ctx, "SELECT * FROM _syncline_changes WHERE seq > ? ORDER BY seq LIMIT ?", int64(s.at), maxEvents+1)
	if err != nil {
		return nil, false, classify(err, "read changes of %s", s.path)
	}
	defer rows.Close() //nolint:errcheck // rows.Err has it
	columns, err := rows.Columns()
	if err != nil {
		return nil, false, fmt.Errorf("read changes of %s: %w", s.path, err)
	}
	stored, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range stored {
		into[i] = &stored[i]
	}
	b = &syncline.Batch{}
	n, bytes := 0, 0
	for ; rows.Next(); n++ {
		if n == maxEvents || bytes > maxBytes {
			more = true
			break
		}
		if err := rows.Scan(into...); err != nil {
			return nil, false, classify(err, "read changes of %s", s.path)
		}
		seq, ok := stored[0].(int64)
		if !ok || uint64(seq) != s.at+1 {
			return nil, false, s.gone(uint64(seq))
		}
		s.at++
		s.checkpoint.Mark = markOf(stored)
		size, err := s.add(b, stored)
		if err != nil {
			return nil, false, err
		}
		bytes += size
	}
	if err := rows.Err(); err != nil {
		return nil, false, classify(err, "read changes of %s", s.path)
	}
	if n == 0 {
		return nil, false, nil
	}
	b.Partial = more
	return b, more, nil
}

func (s *Source) gone(found uint64) error {
	return syncline.Errorf(syncline.Fatal, "source_gap", "%s has change %d after change %d: those between were deleted by somebody else, or were confirmed by a log that is newer than ours", s.path, found, s.at).
		WithFix("only one syncline can capture a database: see that no other does; then %s", s.acceptGap())
}

// add appends the event of a change and returns its size in bytes. A change of a table that is not captured, or that a
// copy still to come has in it, moves the position and nothing else.
func (s *Source) add(b *syncline.Batch, stored []any) (size int, err error) {
	const fixed = 4 // seq, shape, op, at
	id, _ := stored[1].(int64)
	op, _ := stored[2].(int64)
	at, _ := stored[3].(int64)
	l := s.layouts[id]
	if l == nil || len(stored) < fixed+2*len(l.types) || op < opInsert || op > opTouch {
		return 0, syncline.Errorf(syncline.Fatal, "capture_damaged", "change %d of %s is not one that our triggers write", s.at, s.path)
	}
	if l.entity == "" || s.contained(l.entity) {
		return 0, nil
	}
	n := len(l.types)
	e := syncline.Event{Schema: l.schema, Txn: len(b.Txns), Ordinal: 1}
	switch op {
	case opInsert:
		e.Op = syncline.OpCreated
	case opDelete:
		e.Op = syncline.OpDeleted
	default:
		e.Op = syncline.OpUpdated
	}
	if op == opUpdate || op == opDelete {
		e.Before = l.row(stored[fixed:fixed+n], &size)
	}
	if op != opDelete {
		e.After = l.row(stored[fixed+n:fixed+2*n], &size)
	}
	b.Txns = append(b.Txns, syncline.Txn{Commit: s.at, Time: time.UnixMilli(at).UTC()})
	b.Events = append(b.Events, e)
	return size, nil
}

// row turns stored values into those of the schema.
func (l *layout) row(stored []any, size *int) []syncline.Value {
	row := make([]syncline.Value, len(stored))
	for i, v := range stored {
		row[i] = l.types[i].read(v)
		*size += len(row[i].Bytes()) + 1
	}
	return row
}

// seal adds what every batch carries.
func (s *Source) seal(b *syncline.Batch) (*syncline.Batch, error) {
	data, err := json.Marshal(s.checkpoint)
	if err != nil {
		return nil, fmt.Errorf("write checkpoint: %w", err)
	}
	b.Source, b.Checkpoint = s.opt.Name, data
	b.Position = syncline.Position{Epoch: s.epoch, Commit: s.at, Ordinal: 1}
	return b, nil
}

// markAt returns the mark of the change, "" if it is not there.
func (s *Source) markAt(ctx context.Context, seq uint64) (string, error) {
	rows, err := s.reader.QueryContext(ctx, "SELECT * FROM _syncline_changes WHERE seq = ?", int64(seq))
	if err != nil {
		return "", classify(err, "read a change of %s", s.path)
	}
	defer rows.Close() //nolint:errcheck // rows.Err has it
	columns, err := rows.Columns()
	if err != nil {
		return "", fmt.Errorf("read a change of %s: %w", s.path, err)
	}
	stored, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range stored {
		into[i] = &stored[i]
	}
	if !rows.Next() {
		return "", classify(rows.Err(), "read a change of %s", s.path)
	}
	if err := rows.Scan(into...); err != nil {
		return "", classify(err, "read a change of %s", s.path)
	}
	return markOf(stored), nil
}

// markOf hashes a change. Nulls at the end do not count: the table gets wider.
func markOf(stored []any) string {
	for len(stored) > 0 && stored[len(stored)-1] == nil {
		stored = stored[:len(stored)-1]
	}
	h := fnv.New64a()
	var buf []byte
	for _, v := range stored {
		buf = append(buf[:0], 'n')
		switch v := v.(type) {
		case int64:
			buf = strconv.AppendInt(append(buf[:0], 'i'), v, 10)
		case float64:
			buf = strconv.AppendUint(append(buf[:0], 'r'), math.Float64bits(v), 16)
		case string:
			buf = append(append(buf[:0], 't'), v...)
		case []byte:
			buf = append(append(buf[:0], 'b'), v...)
		}
		buf = append(buf, 0)
		h.Write(buf) //nolint:errcheck // a hash never fails
	}
	return strconv.FormatUint(h.Sum64(), 16)
}
