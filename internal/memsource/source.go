package memsource

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"syncline"
)

// Options configure a Source.
type Options struct {
	// Name is the source's name in batches.
	Name   string
	System *System
	// Snapshot names the entities that are copied when nothing was ever captured.
	Snapshot []string
	// MaxEvents bounds a batch; 0 = 4000.
	MaxEvents int
	// ChunkRows bounds a chunk of a run; 0 = 1000.
	ChunkRows int
}

// Source captures a System. Its checkpoint is the system's identity and what its runs have read.
//
// A chunk is read from the content at exactly the position that the stream has reached, between two transactions, so that
// its rows are neither older nor newer than the events around it.
type Source struct {
	opt Options

	checkpoint checkpoint
	// at is the position of the last event that was handed out, begun whether the first batch was.
	at    syncline.Position
	begun bool
	// content is what the system held at the position at; schemas the newest schema of each entity.
	content content
	schemas map[string]*syncline.Schema
	// turn says that the stream had its turn and the next batch is a chunk, if there is one.
	turn bool
	// paces is how runs are to be read; a run without one as fast as it goes.
	paces map[string]syncline.Pace
}

type checkpoint struct {
	System string `json:"system"`
	Runs   []run  `json:"runs,omitempty"`
	// Done are the runs that ended last, oldest first.
	Done []string `json:"done,omitempty"`
}

var _ syncline.RunPacer = (*Source)(nil)

// New returns a source that is to be opened.
func New(opt Options) *Source {
	if opt.MaxEvents == 0 {
		opt.MaxEvents = 4000
	}
	if opt.ChunkRows == 0 {
		opt.ChunkRows = 1000
	}
	return &Source{opt: opt}
}

// Open implements syncline.Source. Where nothing was ever captured, the stream begins with what is not yet visible: what
// is there already is for the snapshot to read.
func (s *Source) Open(_ context.Context, data []byte, last syncline.Position) error {
	sys := s.opt.System
	sys.mu.Lock()
	defer sys.mu.Unlock()
	s.checkpoint = checkpoint{System: sys.id}
	s.begun, s.at = data != nil, syncline.Position{Epoch: max(last.Epoch, 1), Commit: last.Commit, Ordinal: last.Ordinal}
	if s.begun {
		if err := json.Unmarshal(data, &s.checkpoint); err != nil {
			return syncline.Errorf(syncline.Fatal, "checkpoint_unreadable", "read checkpoint: %w", err)
		}
	} else {
		s.at.Commit, s.at.Ordinal = uint64(sys.visible), uint32(sys.lastOrdinalLocked())
		for _, e := range s.opt.Snapshot {
			s.checkpoint.Runs = append(s.checkpoint.Runs, run{ID: "snapshot-" + e, Kind: syncline.RunSnapshot, Entity: e, Empty: true})
		}
	}
	switch {
	case s.checkpoint.System != sys.id:
		return syncline.Errorf(syncline.Fatal, "source_changed", "the log is of system %s, this is %s", s.checkpoint.System, sys.id)
	case last.Commit > uint64(sys.visible):
		return syncline.Errorf(syncline.Fatal, "source_behind", "the log has commit %d, the system ends at %d", last.Commit, sys.visible)
	case last.Compare(sys.confirmed) < 0:
		return syncline.Errorf(syncline.Fatal, "source_ahead", "the log ends at %v, and the system has forgotten everything up to %v", last, sys.confirmed)
	}
	s.content, s.schemas = content{}, map[string]*syncline.Schema{}
	for i := range sys.history[:s.at.Commit] {
		for j := range sys.history[i].Changes {
			if uint64(i)+1 < s.at.Commit || uint32(j) < s.at.Ordinal {
				s.take(&sys.history[i].Changes[j])
			}
		}
	}
	return nil
}

func (s *Source) take(c *Change) {
	s.content.apply(c)
	s.schemas[c.Schema.Entity] = c.Schema
}

// TryNext returns the next batch, and false where there is none yet.
func (s *Source) TryNext() (*syncline.Batch, bool, error) {
	sys := s.opt.System
	sys.mu.Lock()
	defer sys.mu.Unlock()
	return s.tryNextLocked()
}

func (s *Source) tryNextLocked() (*syncline.Batch, bool, error) {
	if s.content == nil {
		return nil, false, fmt.Errorf("read from a source that is not open")
	}
	if !s.begun {
		s.begun = true
		b, err := s.seal(&syncline.Batch{Sync: true})
		return b, err == nil, err
	}
	between := s.at.Ordinal == 0 || s.at.Commit == 0 || int(s.at.Ordinal) >= len(s.opt.System.history[s.at.Commit-1].Changes)
	if at := s.due(); s.turn && between && at >= 0 {
		s.turn = false
		return s.chunk(at)
	}
	s.turn = true
	b := s.stream()
	if b == nil {
		if at := s.due(); between && at >= 0 {
			return s.chunk(at)
		}
		return nil, false, nil
	}
	b, err := s.seal(b)
	return b, err == nil, err
}

// stream returns the visible events after the position, nil if there are none.
func (s *Source) stream() *syncline.Batch {
	sys := s.opt.System
	b := &syncline.Batch{}
	commit, ordinal := s.at.Commit, int(s.at.Ordinal)
	if commit > 0 && ordinal >= len(sys.history[commit-1].Changes) || commit == 0 {
		commit, ordinal = commit+1, 0
	}
	for ; commit <= uint64(sys.visible) && len(b.Events) < s.opt.MaxEvents; commit, ordinal = commit+1, 0 {
		t := &sys.history[commit-1]
		b.Txns = append(b.Txns, syncline.Txn{Commit: commit, XID: commit, Time: t.Time, Origin: t.Origin})
		for ; ordinal < len(t.Changes) && len(b.Events) < s.opt.MaxEvents; ordinal++ {
			c := &t.Changes[ordinal]
			s.take(c)
			if c.Op == 0 || s.inCopy(c) {
				continue
			}
			b.Events = append(b.Events, syncline.Event{Op: c.Op, Schema: c.Schema, Txn: len(b.Txns) - 1, Ordinal: uint32(ordinal + 1), Before: c.Before, After: c.After})
		}
		s.at.Commit, s.at.Ordinal = commit, uint32(ordinal)
		b.Partial = ordinal < len(t.Changes)
	}
	if len(b.Txns) == 0 {
		return nil
	}
	return b
}

// inCopy reports whether the change is one that the first copy of a table without a key, still to come, already has:
// nothing could tell that it was applied twice.
func (s *Source) inCopy(c *Change) bool {
	return len(c.Schema.Key) == 0 && slices.ContainsFunc(s.checkpoint.Runs, func(r run) bool {
		return r.Kind == syncline.RunSnapshot && r.Entity == c.Schema.Entity
	})
}

// seal adds what every batch carries.
func (s *Source) seal(b *syncline.Batch) (*syncline.Batch, error) {
	data, err := json.Marshal(s.checkpoint)
	if err != nil {
		return nil, fmt.Errorf("write checkpoint: %w", err)
	}
	b.Source, b.Position, b.Checkpoint = s.opt.Name, s.at, data
	return b, nil
}

// Next implements syncline.Source.
func (s *Source) Next(ctx context.Context) (*syncline.Batch, error) {
	for {
		sys := s.opt.System
		sys.mu.Lock()
		b, ok, err := s.tryNextLocked()
		changed := sys.changed
		sys.mu.Unlock()
		if ok || err != nil {
			return b, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Confirm implements syncline.Source.
func (s *Source) Confirm(p syncline.Position) {
	sys := s.opt.System
	sys.mu.Lock()
	defer sys.mu.Unlock()
	if p.Compare(sys.confirmed) > 0 {
		sys.confirmed = p
	}
}

// Close implements syncline.Source.
func (s *Source) Close() error {
	s.content = nil
	return nil
}
