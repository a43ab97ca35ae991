package apply

import (
	"context"
	"hash/fnv"
	"slices"

	"syncline"
)

// A scout reads what the log holds beyond the plans, and finds urgent events: those with a priority above normal. It remembers of every
// entry only a hash of each event's key, so that it can fetch, for an urgent event, all that the log has of its record before it. It stops
// at what nothing may be reordered across: a TRUNCATE, a copy that begins with a reset, a changed schema, a record that moves to another
// key, and rows without a key.

const (
	// scoutEvents bounds what one scout looks at, and what is remembered of it: four bytes each.
	scoutEvents = 500_000
	// scoutUrgent bounds the urgent events that wait to be taken, and what one of them may take along.
	scoutUrgent = 1000
)

// scouted is what is remembered of an entry: a hash of each event's key, 0 for those of no concern.
type scouted struct {
	seq    syncline.Seq
	hashes []uint32
}

// urgent is an urgent event with everything of its record before it that the log has and the route has not planned.
type urgent struct {
	priority syncline.Priority
	at       place
	hash     uint32
	// since is the entry from which on nothing of the record is missing.
	since syncline.Seq
	// events are single events, in order, the urgent one last.
	events []*entry
	// blocked: it is left to its turn.
	blocked bool
}

// scouting is a request to look at the log from an entry on, and what came of it.
type scouting struct {
	route string
	// schemas are the fingerprints of the rows that the rules are bound to, by entity; 0 where they are bound to none yet.
	schemas map[string]uint64
	known   []scouted
	from    syncline.Seq

	next    syncline.Seq // the first entry that was not looked at
	stopped bool         // by that entry
	unbound bool         // because no rule was bound yet: it is worth while to look again
	urgent  []*urgent
}

// find looks at the log.
func (s *scouting) find(ctx context.Context, log syncline.Log) error {
	s.next = s.from
	bounds, err := log.Bounds(ctx)
	if err != nil || s.from > bounds.Last || s.from < bounds.First {
		return err
	}
	r, err := log.Read(ctx, s.from)
	if err != nil {
		return err
	}
	defer r.Close() //nolint:errcheck // it holds nothing that could be lost
	wanted := make(map[uint32][]*urgent)
	for n := 0; s.next <= bounds.Last && n < scoutEvents && len(s.urgent) < scoutUrgent; {
		b, err := readSeq(ctx, r, s.next)
		if err != nil {
			return err
		}
		entry, found := s.look(b)
		if s.stopped {
			break
		}
		s.known = append(s.known, entry)
		for _, u := range found {
			wanted[u.hash] = append(wanted[u.hash], u)
		}
		s.urgent = append(s.urgent, found...)
		n += len(b.Events) + 1
		s.next++
	}
	if len(wanted) == 0 {
		return nil
	}
	return s.fetch(ctx, log, wanted)
}

// readSeq reads the entry of this sequence, which is the reader's next.
func readSeq(ctx context.Context, r syncline.LogReader, seq syncline.Seq) (*syncline.Batch, error) {
	e, err := r.Next(ctx)
	if err != nil {
		return nil, err
	}
	if e.Seq != seq {
		return nil, syncline.Errorf(syncline.Transient, "log_moved", "the log goes on at sequence %d where %d was expected", e.Seq, seq)
	}
	return syncline.DecodeBatch(e.Data)
}

// look takes note of the next entry and its urgent events, or stops before it.
func (s *scouting) look(b *syncline.Batch) (entry scouted, found []*urgent) {
	entry.seq = s.next
	if !concerns(b, s.route) {
		return entry, nil
	}
	if b.Chunk != nil && b.Chunk.First && b.Chunk.Reset {
		s.stopped = true
		return entry, nil
	}
	entry.hashes = make([]uint32, len(b.Events))
	var fits *syncline.Schema
	for i := range b.Events {
		e := &b.Events[i]
		bound, ours := s.schemas[e.Schema.Entity]
		if !ours {
			continue
		}
		if e.Schema != fits {
			if e.Schema.Fingerprint() != bound {
				s.stopped, s.unbound = true, bound == 0
				return entry, nil
			}
			fits = e.Schema
		}
		key, ok := e.Key()
		_, moves := e.OldKey()
		if !ok || moves || e.Barrier() {
			s.stopped = true
			return entry, nil
		}
		entry.hashes[i] = hashOf(e.Schema.Entity, key)
		if e.Priority() > syncline.PriorityNormal && b.Chunk == nil {
			found = append(found, &urgent{priority: e.Priority(), at: place{s.next, i}, hash: entry.hashes[i]})
		}
	}
	return entry, found
}

// hashOf is never 0.
func hashOf(entity string, key syncline.Key) uint32 {
	h := fnv.New32a()
	h.Write([]byte(entity)) //nolint:errcheck // a hash never fails
	h.Write([]byte{0})      //nolint:errcheck // a hash never fails
	h.Write([]byte(key))    //nolint:errcheck // a hash never fails
	return max(h.Sum32(), 1)
}

// fetch gives every urgent event all that stands before it of its hash. Records whose hashes are equal are taken together, which does no
// harm.
func (s *scouting) fetch(ctx context.Context, log syncline.Log, wanted map[uint32][]*urgent) error {
	last := s.urgent[len(s.urgent)-1].at
	for _, u := range s.urgent {
		u.since = s.known[0].seq
	}
	for _, known := range s.known {
		if known.seq > last.seq {
			break
		}
		if !slices.ContainsFunc(known.hashes, func(h uint32) bool { return wanted[h] != nil }) {
			continue
		}
		r, err := log.Read(ctx, known.seq)
		if err != nil {
			return err
		}
		b, err := readSeq(ctx, r, known.seq)
		_ = r.Close() // it holds nothing that could be lost
		if err != nil {
			return err
		}
		for i, h := range known.hashes {
			var one *entry
			for _, u := range wanted[h] {
				if at := (place{known.seq, i}); u.blocked || u.at.before(at) {
					continue
				}
				if one == nil {
					if one, err = single(known.seq, b, i); err != nil {
						return err
					}
				}
				if u.events = append(u.events, one); len(u.events) > scoutUrgent {
					u.events, u.blocked = nil, true
				}
			}
		}
	}
	return nil
}

// single is an entry of the i-th event alone, which keeps nothing else of its batch in memory.
func single(seq syncline.Seq, b *syncline.Batch, i int) (*entry, error) {
	ev := b.Events[i]
	txn := syncline.Txn{}
	if ev.Txn < len(b.Txns) {
		txn = b.Txns[ev.Txn]
	}
	ev.Txn = 0
	alone := &syncline.Batch{Source: b.Source, Position: b.Position, Chunk: b.Chunk, Txns: []syncline.Txn{txn}, Events: []syncline.Event{ev}}
	data, err := syncline.AppendBatch(nil, alone)
	if err != nil {
		return nil, err
	}
	alone, err = syncline.DecodeBatch(data)
	return &entry{seq: seq, first: i, batch: alone}, err
}
