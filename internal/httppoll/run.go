package httppoll

import (
	"slices"
	"time"

	"syncline"
	"syncline/internal/poll"
)

const (
	// maxDone bounds how many ended runs a checkpoint remembers.
	maxDone = 32
	// maxRequests bounds the runs that wait for Next to see them.
	maxRequests = 1024
)

// run is a run in progress, as the checkpoint has it. A copy that is cut goes on at the page behind the last one that is whole in the log.
// Any other begins anew: it compares with what is known, so that reading a page again costs no event.
type run struct {
	ID     string           `json:"id"`
	Kind   syncline.RunKind `json:"kind"`
	Entity string           `json:"entity"`
	// Keys are those that were not answered yet.
	Keys   []syncline.Key `json:"keys,omitempty"`
	Routes []string       `json:"routes,omitempty"`
	Reset  bool           `json:"reset,omitempty"`
	Empty  bool           `json:"empty,omitempty"`
	Force  bool           `json:"force,omitempty"`
	// Number is the last chunk, Events those that it added to the stream.
	Number uint32 `json:"number,omitempty"`
	Events int64  `json:"events,omitempty"`
	// Place is where a copy goes on, nil = at the beginning; Mark the highest watermark that it had by then, Began when it began.
	Place *Place    `json:"place,omitempty"`
	Mark  *Mark     `json:"mark,omitempty"`
	Began time.Time `json:"began,omitzero"`
}

// copies reports whether the run copies records as they are.
func (r *run) copies() bool { return r.Kind == syncline.RunSnapshot || r.Kind == syncline.RunFull }

// StartRun implements syncline.RunReader.
func (s *Source) StartRun(r syncline.Run) error {
	e := s.entities[r.Entity]
	if e == nil {
		return syncline.Errorf(syncline.Rejected, "entity_unknown", "source %s has no entity %s", s.o.Name, r.Entity)
	}
	if r.Kind == syncline.RunKeys {
		if err := syncline.CheckKeys(r.Entity, r.Keys, len(e.Key)); err != nil {
			return err
		}
	}
	if r.From != "" {
		return syncline.Errorf(syncline.Rejected, "from_unsupported", "%s/%s cannot be read from a key on: the service lists in an order of its own", s.o.Name, r.Entity).
			WithFix("leave --from-key out, or name the records with --key")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.ContainsFunc(s.requests, func(o run) bool { return o.ID == r.ID }) {
		return nil
	}
	if len(s.requests) >= maxRequests {
		return syncline.Errorf(syncline.Transient, "runs_exhausted", "source %s: %d runs wait already", s.o.Name, maxRequests)
	}
	s.requests = append(s.requests, run{ID: r.ID, Kind: r.Kind, Entity: r.Entity, Keys: slices.Clone(r.Keys), Routes: slices.Clone(r.Routes),
		Reset: r.Reset, Force: r.Force})
	s.signal()
	return nil
}

// Pace implements syncline.RunPacer. How many rows there are on a page is the service's business: Rows bounds chunks only.
func (s *Source) Pace(id string, p syncline.Pace) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paces[id] = p
	s.signal()
}

// pace is how the run is to be read; paced is false where nobody said.
func (s *Source) pace(r *run) (p syncline.Pace, paced bool) {
	if r.Kind == syncline.RunKeys {
		return p, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p, paced = s.paces[r.ID]
	return p, paced
}

// takeRequests adds what StartRun was asked for.
func (s *Source) takeRequests() {
	s.mu.Lock()
	requests := s.requests
	s.requests = nil
	s.mu.Unlock()
	for _, r := range requests {
		if !slices.Contains(s.checkpoint.Done, r.ID) && !slices.ContainsFunc(s.checkpoint.Runs, func(o run) bool { return o.ID == r.ID }) {
			s.checkpoint.Runs = append(s.checkpoint.Runs, r)
		}
	}
}

// due returns the run to work on next, nil where none is: within a kind of work the oldest; sweeps and copies in turns, where there are several.
// An entity has one look and one sweep at a time, and neither before its first copy is whole.
func (s *Source) due() *run {
	best := map[poll.Work]*run{}
	busy := map[string]bool{} // what has a run before this one that it must wait for
	for i := range s.checkpoint.Runs {
		r := &s.checkpoint.Runs[i]
		for _, lock := range s.locks(r) {
			if busy[lock] {
				r = nil
				break
			}
		}
		if r == nil {
			continue
		}
		for _, lock := range s.locks(r) {
			busy[lock] = true
		}
		if p, paced := s.pace(r); paced && !p.End && r.Number >= p.Upto {
			continue
		}
		work := workOf(r)
		if was := best[work]; was == nil || s.last(r) < s.last(was) {
			best[work] = r
		}
	}
	look := best[poll.WorkLook]
	return best[s.turns.Next(best[poll.WorkKeys] != nil, look != nil, look != nil && s.works[look.ID] != nil, best[poll.WorkRest] != nil)]
}

// locks are what the run has for itself.
func (s *Source) locks(r *run) []string {
	switch {
	case r.Kind == syncline.RunKeys:
		return nil
	case !s.ready(r.Entity):
		return []string{r.Entity + " look", r.Entity + " sweep"}
	case r.Kind == syncline.RunPoll:
		return []string{r.Entity + " look"}
	case r.Kind == syncline.RunSweep:
		return []string{r.Entity + " sweep"}
	}
	return nil
}

func workOf(r *run) poll.Work {
	switch r.Kind {
	case syncline.RunKeys:
		return poll.WorkKeys
	case syncline.RunPoll:
		return poll.WorkLook
	}
	return poll.WorkRest
}

// last is when the run was worked on last; of looks it does not count, they are done one by one.
func (s *Source) last(r *run) int64 {
	if w := s.works[r.ID]; w != nil && workOf(r) == poll.WorkRest {
		return w.last
	}
	return 0
}

func (s *Source) ready(entity string) bool {
	p := s.checkpoint.Entities[entity]
	return p != nil && p.Ready
}

// finish ends a run: with its last chunk.
func (s *Source) finish(r *run, b *syncline.Batch) {
	b.Chunk.Last = true
	s.checkpoint.Done = append(s.checkpoint.Done, r.ID)
	s.checkpoint.Done = s.checkpoint.Done[max(0, len(s.checkpoint.Done)-maxDone):]
	delete(s.works, r.ID)
	s.mu.Lock()
	delete(s.paces, r.ID)
	s.mu.Unlock()
	s.checkpoint.Runs = slices.DeleteFunc(s.checkpoint.Runs, func(o run) bool { return o.ID == r.ID })
}

// chunk begins the next chunk of the run.
func (r *run) chunk() *syncline.Batch {
	r.Number++
	return &syncline.Batch{Chunk: &syncline.Chunk{Run: r.ID, Kind: r.Kind, Number: r.Number, Entity: r.Entity, Routes: r.Routes,
		First: r.Number == 1, Reset: r.Reset, EmptyBefore: r.Empty}}
}
