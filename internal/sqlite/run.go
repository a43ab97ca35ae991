package sqlite

import (
	"context"
	"encoding/hex"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"syncline"
)

const (
	// maxDone bounds how many ended runs a checkpoint remembers.
	maxDone = 32
	// maxRequests bounds the runs that wait for Next to see them.
	maxRequests = 1024
	// chunkKeys bounds the keys of a chunk of RunKeys.
	chunkKeys = 500
)

// run is a run in progress, as the checkpoint has it.
type run struct {
	ID     string           `json:"id"`
	Kind   syncline.RunKind `json:"kind"`
	Entity string           `json:"entity"`
	// Keys are those that were not answered yet.
	Keys   []syncline.Key `json:"keys,omitempty"`
	Routes []string       `json:"routes,omitempty"`
	Reset  bool           `json:"reset,omitempty"`
	Empty  bool           `json:"empty,omitempty"`
	// Contains: nobody has the entity's rows before this copy, so that the entity's stream begins at it: earlier changes are in
	// it and are not given out. Only of a table without a key, where they could not be told from the copy's rows.
	Contains bool `json:"contains,omitempty"`
	// From leaves out the records up to this key.
	From syncline.Key `json:"from,omitempty"`
	// Number is the last chunk, After what it ended at (see encodeStored), Cookie the schema version at that time.
	Number uint32   `json:"number,omitempty"`
	After  []string `json:"after,omitempty"`
	Cookie int64    `json:"cookie,omitempty"`

	// started: this Source has read a chunk of the run. Not in the checkpoint.
	started bool
}

// StartRun implements syncline.RunReader.
func (s *Source) StartRun(r syncline.Run) error {
	if _, here := s.opt.Entities[r.Entity]; !here {
		return syncline.Errorf(syncline.Rejected, "entity_unknown", "source %s has no entity %s", s.opt.Name, r.Entity)
	}
	if r.Kind > syncline.RunKeys {
		return syncline.Errorf(syncline.Rejected, "run_invalid", "source %s: a run of an unknown kind", s.opt.Name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if parts, known := s.keyParts[r.Entity]; known && r.Kind == syncline.RunKeys {
		if err := syncline.CheckKeys(r.Entity, r.Keys, parts); err != nil {
			return err
		}
	}
	if parts, known := s.keyParts[r.Entity]; known && r.From != "" {
		if err := syncline.CheckKeys(r.Entity, []syncline.Key{r.From}, parts); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(s.requests, func(o run) bool { return o.ID == r.ID }) {
		return nil
	}
	if len(s.requests) >= maxRequests {
		return syncline.Errorf(syncline.Transient, "runs_exhausted", "source %s: %d runs wait already", s.opt.Name, maxRequests)
	}
	s.requests = append(s.requests, run{ID: r.ID, Kind: r.Kind, Entity: r.Entity, Keys: slices.Clone(r.Keys), Routes: slices.Clone(r.Routes), Reset: r.Reset, From: r.From})
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return nil
}

// Pace implements syncline.RunPacer.
func (s *Source) Pace(id string, p syncline.Pace) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paces == nil {
		s.paces = make(map[string]syncline.Pace)
	}
	s.paces[id] = p
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// due returns the place of the run whose turn it is and how it is to be read, -1 for none: one of keys first, because routes wait for it. Where
// both wait they take turns: routes can ask for keys as fast as they are answered.
func (s *Source) due() (at int, p syncline.Pace) {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys, at := -1, -1
	for i := range s.checkpoint.Runs {
		r := &s.checkpoint.Runs[i]
		c := s.tables[r.Entity]
		keyless := c != nil && len(c.key) == 0
		if r.Kind == syncline.RunKeys {
			if keys < 0 {
				keys = i
			}
			continue
		}
		pace, paced := s.paces[r.ID]
		if r.Number > 0 && keyless {
			pace, paced = syncline.Pace{}, false
		}
		if at < 0 && (!paced || pace.End || r.Number < pace.Upto) {
			at, p = i, pace
		}
		if r.started && r.Number > 0 && keyless { // its view is open
			return i, pace
		}
	}
	if keys >= 0 && (at < 0 || !s.keysLast) {
		return keys, syncline.Pace{}
	}
	return at, p
}

// takeRequests adds what StartRun was asked for.
func (s *Source) takeRequests() {
	s.mu.Lock()
	requests := s.requests
	s.requests = nil
	s.mu.Unlock()
	for _, r := range requests {
		if c := s.tables[r.Entity]; c != nil && len(c.key) == 0 && r.Kind != syncline.RunKeys {
			r.Reset = true // rows that the routes have already cannot be told from those that the copy brings
		}
		s.queue(r)
	}
}

// queue adds a run unless it is known.
func (s *Source) queue(r run) {
	if !slices.Contains(s.checkpoint.Done, r.ID) && !slices.ContainsFunc(s.checkpoint.Runs, func(o run) bool { return o.ID == r.ID }) {
		s.checkpoint.Runs = append(s.checkpoint.Runs, r)
	}
}

// resync queues a copy with a reset of each table of which changes may have been missed.
func (s *Source) resync() {
	if !s.begun {
		return
	}
	known := s.checkpoint.Shape
	for id := range s.layouts {
		s.checkpoint.Shape = max(s.checkpoint.Shape, id)
	}
	for _, e := range s.entities() {
		l := s.current[e]
		if l == nil || l.shape.id <= known || !l.shape.resync {
			continue
		}
		s.log.Warn("changes may have been missed: the table is read again", "system", s.opt.Name, "entity", e)
		s.queue(run{ID: "resync-" + strconv.FormatInt(l.shape.id, 10), Kind: syncline.RunFull, Entity: e, Reset: true,
			Contains: len(l.schema.Key) == 0})
	}
}

// contained reports whether a copy still to come has the entity's changes in it.
func (s *Source) contained(entity string) bool {
	return slices.ContainsFunc(s.checkpoint.Runs, func(r run) bool { return r.Contains && r.Entity == entity })
}

// chunk reads the next chunk of a run from the view, whose changes have all been given out. keep asks for the
// next one from the same view.
func (s *Source) chunk(ctx context.Context, at int, p syncline.Pace) (b *syncline.Batch, keep bool, err error) {
	r := &s.checkpoint.Runs[at]
	s.keysLast = r.Kind == syncline.RunKeys
	l := s.current[r.Entity]
	keyless := l != nil && len(l.schema.Key) == 0
	first := r.Number == 0
	if keyless && !r.started && !first {
		first, r.Reset, r.After = true, true, nil
	}
	r.Number, r.started = r.Number+1, true
	b = &syncline.Batch{Chunk: &syncline.Chunk{Run: r.ID, Kind: r.Kind, Number: r.Number, Entity: r.Entity, Routes: r.Routes,
		First: first, Reset: r.Reset, EmptyBefore: r.Empty}}
	switch {
	case p.End:
		b.Chunk.Last, b.Chunk.Reset = true, false
	case l == nil || keyless && (r.Kind == syncline.RunKeys || r.Kind == syncline.RunFull && !r.Reset):
		s.log.Warn("run cannot be done", "system", s.opt.Name, "run", r.ID, "entity", r.Entity)
		if b.Chunk.Last = true; l == nil {
			b.Chunk.Failed = syncline.Errorf(syncline.Rejected, "entity_unknown", "source %s has no entity %s any more", s.opt.Name, r.Entity).Error()
		}
	case r.Kind == syncline.RunKeys:
		err = s.readKeys(ctx, b, r, l)
		b.Chunk.Last = len(r.Keys) == 0
	default:
		most := s.opt.ChunkRows
		if p.Rows > 0 {
			most = min(most, p.Rows)
		}
		err = s.readRows(ctx, b, r, l, most)
	}
	if err != nil {
		return nil, false, err
	}
	if b.Chunk.Last {
		s.checkpoint.Done = append(s.checkpoint.Done, r.ID)
		s.checkpoint.Done = s.checkpoint.Done[max(0, len(s.checkpoint.Done)-maxDone):]
		s.mu.Lock()
		delete(s.paces, r.ID)
		s.mu.Unlock()
		s.checkpoint.Runs = slices.Delete(s.checkpoint.Runs, at, at+1)
		return b, false, nil
	}
	return b, keyless, nil
}

// readRows adds the next rows of the table in the order of their number or primary key. Where VACUUM may have given the
// rows other numbers, which changes the schema version too, the table is read from its start.
func (s *Source) readRows(ctx context.Context, b *syncline.Batch, r *run, l *layout, most int) error {
	t := s.tables[r.Entity].table
	order := []string{t.rowid}
	if t.rowid == "" {
		order = nil
		for _, k := range t.primaryKey() {
			order = append(order, quote(t.columns[k].Name))
		}
	} else if !t.stable && r.Cookie != s.cookie {
		r.After = nil
	}
	r.Cookie = s.cookie
	query := "SELECT " + plain(order) + ", " + plain(t.names()) + " FROM " + quote(t.name)
	var args []any
	where := " WHERE "
	if r.From != "" {
		keys, from, ok := l.behind(r.From)
		if !ok {
			b.Chunk.Last, b.Chunk.Failed = true, syncline.Errorf(syncline.Rejected, "bad_key", "the key to begin behind is none of %s", r.Entity).Error()
			return nil
		}
		query += where + "(" + strings.Join(keys, ", ") + ") > (" + placeholders(len(keys)) + ")"
		args, where = append(args, from...), " AND "
	}
	if len(r.After) == len(order) {
		query += where + "(" + strings.Join(order, ", ") + ") > (" + placeholders(len(order)) + ")"
		for _, a := range r.After {
			args = append(args, decodeStored(a))
		}
	}
	args = append(args, most+1)
	query += " ORDER BY " + strings.Join(order, ", ") + " LIMIT ?"
	b.Chunk.Last = true
	bytes := 0
	return s.each(ctx, query, args, len(order)+len(l.types), func(stored []any) bool {
		if len(b.Events) == most || bytes > maxBytes {
			b.Chunk.Last = false
			return false
		}
		r.After = r.After[:0:0]
		for _, v := range stored[:len(order)] {
			r.After = append(r.After, encodeStored(v))
		}
		b.Events = append(b.Events, syncline.Event{Op: syncline.OpSnapshot, Schema: l.schema, Ordinal: uint32(len(b.Events) + 1),
			After: l.row(stored[len(order):], &bytes)})
		return true
	})
}

// readKeys answers the next keys.
func (s *Source) readKeys(ctx context.Context, b *syncline.Batch, r *run, l *layout) error {
	t := s.tables[r.Entity].table
	keys := r.Keys[:min(len(r.Keys), chunkKeys)]
	r.Keys = slices.Clone(r.Keys[len(keys):])
	found, err := l.answer(keys, plain(t.names()), quote(t.name), func(query string, args []any, f func([]any) bool) error {
		return s.each(ctx, query, args, len(l.types), f)
	})
	if err != nil {
		return err
	}
	for _, row := range found.rows {
		b.Events = append(b.Events, syncline.Event{Op: syncline.OpRepair, Schema: l.schema, Ordinal: uint32(len(b.Events) + 1), After: row})
	}
	for _, row := range found.absent {
		b.Events = append(b.Events, syncline.Event{Op: syncline.OpAbsent, Schema: l.schema, Ordinal: uint32(len(b.Events) + 1), Before: row})
	}
	if found.refused > 0 {
		s.log.Warn("keys that are not of the table get no answer", "system", s.opt.Name, "entity", r.Entity, "run", r.ID, "keys", found.refused)
	}
	return nil
}

// each calls f with the stored values of each row of the view until it returns false. f must not keep the slice.
func (s *Source) each(ctx context.Context, query string, args []any, width int, f func(stored []any) bool) error {
	return classify(eachStored(ctx, s.reader, query, args, width, f), "read a table of %s", s.path)
}

// eachStored calls f with the stored values of each row until it returns false. f must not keep the slice.
func eachStored(ctx context.Context, q querier, query string, args []any, width int, f func(stored []any) bool) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // rows.Err has it
	stored, into := make([]any, width), make([]any, width)
	for i := range stored {
		into[i] = &stored[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if !f(stored) {
			return nil
		}
	}
	return rows.Err()
}

// names lists the columns as SQL.
func (t *table) names() []string {
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = quote(c.Name)
	}
	return names
}

// plain selects expressions that have no declared type: the driver would turn the text of a column that is declared as a
// date into a time, and lose what it was.
func plain(names []string) string { return "+" + strings.Join(names, ", +") }

func placeholders(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

// encodeStored writes a stored value as text; decodeStored reads it back.
func encodeStored(v any) string {
	switch v := v.(type) {
	case int64:
		return "i" + strconv.FormatInt(v, 10)
	case float64:
		return "r" + strconv.FormatUint(math.Float64bits(v), 16)
	case string:
		if utf8.ValidString(v) {
			return "t" + v
		}
		return "x" + hex.EncodeToString([]byte(v))
	case []byte:
		return "b" + hex.EncodeToString(v)
	}
	return "n"
}

func decodeStored(s string) any {
	if s == "" {
		return nil
	}
	switch body := s[1:]; s[0] {
	case 'i':
		if n, err := strconv.ParseInt(body, 10, 64); err == nil {
			return n
		}
	case 'r':
		if n, err := strconv.ParseUint(body, 16, 64); err == nil {
			return math.Float64frombits(n)
		}
	case 't':
		return body
	case 'x':
		if b, err := hex.DecodeString(body); err == nil {
			return string(b)
		}
	case 'b':
		if b, err := hex.DecodeString(body); err == nil {
			return b
		}
	}
	return nil
}
