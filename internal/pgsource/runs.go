package pgsource

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"syncline"
)

// maxRequests bounds the runs that wait for Next to see them.
const maxRequests = 1024

// runQueue is what serves s.state.Runs.
type runQueue struct {
	retry time.Time // nothing is begun before
	// keys: the last chunk that was begun was one of keys.
	keys bool
	conn *pgx.Conn // for chunks; nil until the first, and while a chunk has it
}

func (q *runQueue) close() {
	hangUp(q.conn)
	q.conn = nil
}

// StartRun implements syncline.RunReader.
func (s *Source) StartRun(r syncline.Run) error {
	at := slices.IndexFunc(s.opt.Entities, func(e Entity) bool { return e.Name == r.Entity })
	if at < 0 {
		return syncline.Errorf(syncline.Rejected, "entity_unknown", "source %s has no entity %s", s.opt.Name, r.Entity)
	}
	if r.ID == "" || r.Kind < syncline.RunSnapshot || r.Kind > syncline.RunKeys {
		return syncline.Errorf(syncline.Rejected, "run_invalid", "source %s: a run without an id, or of an unknown kind", s.opt.Name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.known[r.ID]; ok {
		return nil
	}
	if kinds, seen := s.keyKinds[r.Entity]; seen && r.Kind == syncline.RunKeys {
		if err := syncline.CheckKeys(r.Entity, r.Keys, len(kinds)); err != nil {
			return err
		}
		if err := checkTypes(r.Entity, r.Keys, kinds); err != nil {
			return err
		}
	}
	if kinds, seen := s.keyKinds[r.Entity]; seen && r.From != "" {
		from := []syncline.Key{r.From}
		if err := syncline.CheckKeys(r.Entity, from, len(kinds)); err != nil {
			return err
		}
		if err := checkTypes(r.Entity, from, kinds); err != nil {
			return err
		}
	}
	if len(s.requests) >= maxRequests {
		return syncline.Errorf(syncline.Transient, "runs_exhausted", "source %s: %d runs wait already", s.opt.Name, maxRequests)
	}
	s.known[r.ID] = struct{}{}
	s.requests = append(s.requests, r)
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return nil
}

// noteRuns makes the runs of the checkpoint known. A run of keys is not: its keys have to be given again.
func (s *Source) noteRuns() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range s.state.Finished {
		s.known[id] = struct{}{}
	}
	dormant := 0
	for _, p := range s.state.Runs {
		if p.Kind != syncline.RunKeys {
			s.known[p.Run] = struct{}{}
		} else {
			dormant++
		}
	}
	s.state.Runs = slices.DeleteFunc(s.state.Runs, func(p *progress) bool {
		drop := p.Kind == syncline.RunKeys && dormant > maxDormant
		if drop {
			dormant--
		}
		return drop
	})
}

// takeRequests puts what was asked for into the queue.
func (s *Source) takeRequests() {
	s.mu.Lock()
	requests := s.requests
	s.requests = nil
	s.mu.Unlock()
	for _, r := range requests {
		at := slices.IndexFunc(s.state.Runs, func(p *progress) bool { return p.Run == r.ID })
		if at < 0 {
			at = len(s.state.Runs)
			s.state.Runs = append(s.state.Runs, &progress{Run: r.ID, Kind: r.Kind, Entity: r.Entity, Routes: r.Routes, Reset: r.Reset, From: r.From})
			s.checkpoint = nil
		}
		p := s.state.Runs[at]
		if p.Kind == syncline.RunKeys {
			p.keys = r.Keys
			p.Done = min(p.Done, len(p.keys))
			p.waiting = true
		}
	}
}

// finishRun forgets the run but for its id.
func (s *Source) finishRun(p *progress) {
	was := slices.Clone(s.state.Finished)
	s.state.finish(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.paces, p.Run)
	for _, id := range was {
		if !slices.Contains(s.state.Finished, id) {
			delete(s.known, id)
		}
	}
}

// nextRun is the run to serve now: one of keys first, because routes wait for it. Where both wait they take turns: routes can ask for keys as
// fast as they are answered.
func (s *Source) nextRun() *progress {
	var keys, other *progress
	for _, p := range s.state.Runs {
		switch {
		case s.entity(p.Entity).early: // the stream does not bring what comes after the rows
		case p.Kind == syncline.RunKeys:
			if keys == nil && p.waiting {
				keys = p
			}
		case other == nil && s.due(p):
			other = p
		}
	}
	if keys == nil || s.runs.keys && other != nil {
		return other
	}
	return keys
}

// Pace implements syncline.RunPacer.
func (s *Source) Pace(run string, p syncline.Pace) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paces == nil {
		s.paces = map[string]syncline.Pace{}
	}
	s.paces[run] = p
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// pace is how the run is to be read; paced is false where nobody said.
func (s *Source) pace(p *progress) (pace syncline.Pace, paced bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pace, paced = s.paces[p.Run]
	if t := s.entity(p.Entity); p.Chunk > 0 && t != nil && len(t.current.Key) == 0 { // its reset is in the log
		return syncline.Pace{}, false
	}
	return pace, paced
}

// due tells whether the run may be read on, or given up.
func (s *Source) due(p *progress) bool {
	pace, paced := s.pace(p)
	return !paced || pace.End || p.Chunk < pace.Upto
}

// giveUp ends the run without the rest of its rows. failed says why, where nobody wanted that.
func (s *Source) giveUp(p *progress, failed string) {
	b := s.chunkBatch(p, nil, true, copyMode{})
	b.Chunk.Failed = failed
	s.outbox = append(s.outbox, b)
}

// runsPending tells whether something is waiting for its turn.
func (s *Source) runsPending() bool {
	return s.chunk == nil && s.pin == nil && s.nextRun() != nil
}

// wantsBoundary tells whether stepRuns could do something if the stream stood between two transactions.
func (s *Source) wantsBoundary() bool {
	switch {
	case s.chunk != nil:
		return s.chunk.arrived() && s.pos.Commit >= uint64(s.chunk.until)
	case s.pin != nil:
		return s.pos.Commit >= uint64(s.pin.point)
	}
	return s.runsPending() && !time.Now().Before(s.runs.retry)
}

// stepRuns moves the runs on by one step, between two transactions. It reports whether there was anything to do.
func (s *Source) stepRuns(ctx context.Context) (did bool, err error) {
	if !s.wantsBoundary() {
		return false, nil
	}
	if s.chunk != nil {
		return true, s.emitChunk()
	}
	if s.pin != nil {
		return true, s.startPinned(ctx)
	}
	p := s.nextRun()
	t := s.entity(p.Entity)
	if pace, _ := s.pace(p); pace.End && p.Kind != syncline.RunKeys {
		s.giveUp(p, "")
		return true, nil
	}
	if p.From != "" && len(p.Reached) == 0 {
		if p.Reached = keyParts(t.current, p.From); p.Reached == nil {
			s.giveUp(p, noFrom(p.Entity).Error())
			return true, nil
		}
	}
	if len(t.current.Key) == 0 {
		if p.Kind == syncline.RunKeys { // nothing can be read by key
			p.waiting = false
			s.outbox = append(s.outbox, s.chunkBatch(p, nil, true, copyMode{}))
			return true, nil
		}
		return true, s.preparePin(ctx, p, t)
	}
	if p.Reset && p.Chunk == 0 {
		// The chunks' rows stand after the reset: a row that a transaction touched before it would be lost.
		s.outbox = append(s.outbox, s.chunkBatch(p, nil, false, copyMode{reset: true}))
		return true, nil
	}
	return true, s.startChunk(ctx, p, t)
}

// noFrom is why a run ends that is to begin behind what is no key.
func noFrom(entity string) error {
	return syncline.Errorf(syncline.Rejected, "bad_key", "the key to begin behind cannot be of %s", entity)
}

// later lets the queue rest.
func (s *Source) later(d time.Duration) { s.runs.retry = time.Now().Add(d) }
