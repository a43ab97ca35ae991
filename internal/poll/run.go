package poll

import (
	"context"
	"slices"

	"syncline"
)

const (
	// maxDone bounds how many ended runs a checkpoint remembers.
	maxDone = 64
	// maxRequests bounds the runs that wait for Next to see them.
	maxRequests = 1024
)

// run is a run in progress, as the checkpoint has it.
type run struct {
	ID     string           `json:"id"`
	Kind   syncline.RunKind `json:"kind,omitempty"`
	Entity string           `json:"entity"`
	// Keys are those that were not answered yet.
	Keys   []syncline.Key `json:"keys,omitempty"`
	Routes []string       `json:"routes,omitempty"`
	Reset  bool           `json:"reset,omitempty"`
	Force  bool           `json:"force,omitempty"`
	Empty  bool           `json:"empty,omitempty"`
	// From leaves out the records up to this key.
	From syncline.Key `json:"from,omitempty"`
	// Silent takes note of what there is, and nothing else: it has no chunks.
	Silent bool `json:"silent,omitempty"`
	// Number is the last chunk, After the place that it ended at.
	Number uint32 `json:"number,omitempty"`
	After  *Place `json:"after,omitempty"`
	// Start is where polls begin once the entity is copied, or taken note of: what there was before the first chunk.
	Start *Progress `json:"start,omitempty"`
}

// initial: the run makes the entity ready for polls.
func (r *run) initial() bool { return r.Silent || r.Kind == syncline.RunSnapshot && r.Empty }

// polls: the run's events are of the stream.
func (r *run) polls() bool { return r.Kind == syncline.RunPoll || r.Kind == syncline.RunSweep }

// StartRun implements syncline.RunReader.
func (s *Source) StartRun(r syncline.Run) error {
	e, here := s.entities[r.Entity]
	if !here {
		return syncline.Errorf(syncline.Rejected, "entity_unknown", "source %s has no entity %s", s.opt.Name, r.Entity)
	}
	if r.Kind == syncline.RunSweep && !e.Compare {
		return syncline.Errorf(syncline.Rejected, "sweep_blind", "source %s: entity %s: nothing is known of records that are gone", s.opt.Name, r.Entity).
			WithFix("leave compare: false out of the entity")
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
	s.requests = append(s.requests, run{ID: r.ID, Kind: r.Kind, Entity: r.Entity, Keys: slices.Clone(r.Keys), Routes: slices.Clone(r.Routes), Reset: r.Reset, Force: r.Force,
		From: r.From})
	s.wakeUp()
	return nil
}

// Pace implements syncline.RunPacer. Polls and sweeps do not heed it: they are short.
func (s *Source) Pace(id string, p syncline.Pace) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paces[id] = p
	s.wakeUp()
}

// paceOf is how a run is to be read; due is false where it has to wait.
func (s *Source) paceOf(r *run) (p syncline.Pace, due bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, paced := s.paces[r.ID]
	return p, !paced || p.End || r.Number < p.Upto
}

// takeRequests adds what StartRun was asked for, unless it is known.
func (s *Source) takeRequests() {
	s.mu.Lock()
	requests := s.requests
	s.requests = nil
	s.mu.Unlock()
	c := &s.checkpoint
	for _, r := range requests {
		if !slices.Contains(c.Done, r.ID) && !slices.ContainsFunc(c.Runs, func(o run) bool { return o.ID == r.ID }) {
			c.Runs = append(c.Runs, r)
		}
	}
}

// ready reports whether the entity may be polled.
func (s *Source) ready(entity string) bool {
	e := s.checkpoint.Entities[entity]
	return e != nil && e.Ready
}

// chunkRuns are the runs that are read next, of single records and of whole entities, -1 where there is none. What makes an entity ready goes before
// everything else of it.
func (s *Source) chunkRuns() (keys, rows int) {
	keys, rows = -1, -1
	waits := make(map[string]bool) // entities that are being made ready
	for i := range s.checkpoint.Runs {
		r := &s.checkpoint.Runs[i]
		switch {
		case r.polls() || waits[r.Entity]:
		case r.Kind == syncline.RunKeys:
			if keys < 0 {
				keys = i
			}
		default:
			waits[r.Entity] = r.initial()
			if _, due := s.paceOf(r); due && rows < 0 {
				rows = i
			}
		}
	}
	return keys, rows
}

// end is the last batch of a run: it is over.
func (s *Source) end(at int) {
	c := &s.checkpoint
	c.Done = append(c.Done, c.Runs[at].ID)
	c.Done = c.Done[max(0, len(c.Done)-maxDone):]
	s.mu.Lock()
	delete(s.paces, c.Runs[at].ID)
	s.mu.Unlock()
	c.Runs = slices.Delete(c.Runs, at, at+1)
}

// indexOf is the index of the run of this id.
func (s *Source) indexOf(id string) int {
	return slices.IndexFunc(s.checkpoint.Runs, func(r run) bool { return r.ID == id })
}

// ended is the batch that ends a poll or a sweep. A failure that is worth another try is the error.
func (s *Source) ended(r *run, events int, failure error) (*syncline.Batch, error) {
	b := &syncline.Batch{Chunk: &syncline.Chunk{Run: r.ID, Kind: r.Kind, Number: 1, Entity: r.Entity, Routes: r.Routes, First: true, Last: true, Events: int64(events)}}
	if failure != nil {
		if transient(failure) {
			return nil, failure
		}
		b.Chunk.Failed = Told(failure)
	}
	s.end(s.indexOf(r.ID))
	return s.seal(b)
}

// transient: the source is to be opened anew, and what was begun is begun again.
func transient(err error) bool { return syncline.ClassOf(err) == syncline.Transient }

// Told is what a run's row says of an error.
func Told(err error) string {
	if fix := syncline.FixOf(err); fix != "" {
		return err.Error() + " (" + fix + ")"
	}
	return err.Error()
}

// chunk reads the next chunk of a run.
func (s *Source) chunk(ctx context.Context, at int) (*syncline.Batch, error) {
	r := &s.checkpoint.Runs[at]
	e := s.entities[r.Entity]
	if e == nil { // it has left the configuration
		return s.failedChunk(at, syncline.Errorf(syncline.Rejected, "entity_unknown", "source %s has no entity %s any more", s.opt.Name, r.Entity))
	}
	t, err := s.table(ctx, e)
	if err != nil {
		return s.failedChunk(at, err)
	}
	next := *r
	b := &syncline.Batch{}
	pace, _ := s.paceOf(r)
	next.Number++
	if !r.Silent {
		b.Chunk = &syncline.Chunk{Run: r.ID, Kind: r.Kind, Number: next.Number, Entity: r.Entity, Routes: r.Routes, First: next.Number == 1, Reset: r.Reset,
			EmptyBefore: r.Empty, Cut: r.From != ""}
	}
	var last bool
	over := pace.End && !r.Silent && r.Kind != syncline.RunKeys
	switch {
	case over:
		last, b.Chunk.Cut, b.Chunk.Reset = true, true, false
	case r.Kind == syncline.RunKeys:
		last, err = s.readKeys(ctx, t, &next, b)
	default:
		most := s.opt.PageRows
		if pace.Rows > 0 {
			most = min(most, pace.Rows)
		}
		last, err = s.readRows(ctx, e, t, &next, b, most)
	}
	if err != nil {
		return s.failedChunk(at, err)
	}
	*r = next
	if b.Chunk != nil {
		b.Chunk.Last = last
	}
	switch {
	case last && over && r.initial(): // the entity has yet to be made ready: of what was not copied is only taken note
		rest := baseline(r.Entity)
		rest.After, rest.Start = r.After, r.Start
		s.end(at)
		s.checkpoint.Runs = slices.Insert(s.checkpoint.Runs, at, rest)
	case last:
		if r.initial() {
			state := s.checkpoint.Entities[r.Entity]
			state.Ready, state.Progress = true, *r.Start
		}
		s.end(at)
	}
	return s.seal(b)
}

// baseline is the run that takes note of what there is of an entity.
func baseline(entity string) run { return run{ID: "baseline-" + entity, Entity: entity, Silent: true} }

// failedChunk ends a run that cannot be done. An entity that cannot be made ready stops the source: everything of it depends on that.
func (s *Source) failedChunk(at int, err error) (*syncline.Batch, error) {
	r := s.checkpoint.Runs[at]
	if transient(err) || r.initial() && s.entities[r.Entity] != nil {
		return nil, err
	}
	b := &syncline.Batch{}
	if !r.Silent {
		b.Chunk = &syncline.Chunk{Run: r.ID, Kind: r.Kind, Number: r.Number + 1, Entity: r.Entity, Routes: r.Routes, First: r.Number == 0, Last: true, Failed: Told(err)}
	}
	s.end(at)
	return s.seal(b)
}

// readRows adds the next rows of the entity, in the order of their keys. A record that says it is deleted is none.
func (s *Source) readRows(ctx context.Context, e *Entity, t Table, r *run, b *syncline.Batch, most int) (last bool, err error) {
	if r.initial() && r.Start == nil {
		if r.Start, err = s.startOf(ctx, e, t); err != nil {
			return false, err
		}
	}
	if r.From != "" && r.After == nil {
		from, ok := t.Place(r.From)
		if !ok {
			return false, syncline.Errorf(syncline.Rejected, "bad_key", "the key to begin behind is none of %s", r.Entity)
		}
		r.After = &from
	}
	ask := Range{ByKey: true, After: r.After, Rows: most, Bytes: pageBytes}
	if r.initial() {
		ask.Mark = r.Start.Mark
	}
	page, err := t.Read(ctx, ask)
	if err != nil {
		return false, err
	}
	rd := s.readerOf(e, t)
	var seen []Seen
	for i := range page.Rows {
		row := &page.Rows[i]
		one := rd.saw(row.Values)
		if one.State == Live && !r.Silent {
			b.Events = append(b.Events, syncline.Event{Op: syncline.OpSnapshot, Schema: rd.schema, Ordinal: uint32(len(b.Events) + 1), After: row.Values})
		}
		if row.Above && rd.marked(row.Values) { // it has changed since: rules that do not want the copy want to hear of it
			one.Hash = nil
		}
		seen = append(seen, one)
		r.After = &row.Place
	}
	switch {
	case !e.Compare:
	case r.initial():
		err = s.note(ctx, e.Name, seen)
	default:
		err = s.notice(ctx, e.Name, seen)
	}
	return !page.More, err
}

// notice takes note of what a run tells of records beside polls: see Brought.
func (s *Source) notice(ctx context.Context, entity string, seen []Seen) error {
	keys := make([]syncline.Key, len(seen))
	for i := range seen {
		keys[i] = seen[i].Key
	}
	known, err := s.opt.Memory.Known(ctx, s.opt.Name, entity, keys)
	if err != nil {
		return err
	}
	note := Brought(known, seen)
	if len(note) == 0 {
		return nil
	}
	return s.note(ctx, entity, note)
}

// startOf is where polls go on that begin after a copy which begins now.
func (s *Source) startOf(ctx context.Context, e *Entity, t Table) (*Progress, error) {
	p := &Progress{}
	if len(e.Watermark) == 0 {
		return p, nil
	}
	h, err := s.opt.Dialect.Horizon(ctx)
	if err != nil {
		return nil, err
	}
	mark, err := t.Newest(ctx, h.Clock)
	if err != nil {
		return nil, err
	}
	// The horizon that counts is one after the watermark was seen.
	if h, err = s.opt.Dialect.Horizon(ctx); err != nil {
		return nil, err
	}
	*p = p.Reached(h, mark, mark)
	return p, nil
}

// readKeys answers the next keys.
func (s *Source) readKeys(ctx context.Context, t Table, r *run, b *syncline.Batch) (last bool, err error) {
	keys := r.Keys[:min(len(r.Keys), LookupKeys)]
	r.Keys = slices.Clone(r.Keys[len(keys):])
	found, err := t.Lookup(ctx, keys)
	if err != nil {
		return false, err
	}
	e := s.entities[r.Entity]
	rd := s.readerOf(e, t)
	add := func(ev syncline.Event) {
		ev.Schema, ev.Ordinal = rd.schema, uint32(len(b.Events)+1)
		b.Events = append(b.Events, ev)
	}
	var seen []Seen
	for _, row := range found.Rows {
		seen = append(seen, rd.saw(row))
		if e.Deleted.Is(rd.schema, row) {
			add(syncline.Event{Op: syncline.OpAbsent, Before: keyOnly(rd.schema, row)})
			continue
		}
		add(syncline.Event{Op: syncline.OpRepair, After: row})
	}
	for _, row := range found.Absent {
		seen = append(seen, Seen{Key: rd.key(row), State: Gone})
		add(syncline.Event{Op: syncline.OpAbsent, Before: row})
	}
	if found.Refused > 0 {
		s.log.Warn("keys that are not of the table get no answer", "entity", r.Entity, "run", r.ID, "keys", found.Refused)
	}
	if e.Compare {
		err = s.notice(ctx, e.Name, seen)
	}
	return len(r.Keys) == 0, err
}

// keyOnly is the row without everything but its key.
func keyOnly(s *syncline.Schema, row []syncline.Value) []syncline.Value {
	out := make([]syncline.Value, len(row))
	for i := range out {
		out[i] = syncline.Unset
	}
	for _, i := range s.Key {
		out[i] = row[i]
	}
	return out
}
