package poll

import (
	"context"
	"hash/maphash"
	"slices"

	"syncline"
)

// A sweep that finds more records gone than sweepFew, and more than half of them, or none left at all, is refused: a table that was
// emptied by mistake, a view that lost its rights, or the wrong database would empty every target.
const sweepFew = 20

// knownRows is how many known records are read at once.
const knownRows = 2000

// sweeping is a sweep under way. A crash begins it anew. It reads all keys of the table first, page by page between polls, then compares
// what is known with them, and only then says what is gone, after it has looked for each of those records once more.
type sweeping struct {
	run    run
	entity *Entity
	table  Table
	stage  sweepStage
	after  *Place
	events int

	// there are the hashes of the keys that were found, sorted once all are. They are other hashes in each sweep: where two keys have
	// the same in one, and one of them is gone, the next sweep finds that.
	seed  maphash.Seed
	there []uint64

	known int
	last  syncline.Key
	// gone are known and were not found.
	gone []Seen
}

type sweepStage uint8

const (
	sweepKeys sweepStage = iota
	sweepKnown
	sweepGone
	sweepOver
)

// nextSweep begins the sweep that was asked for first, of an entity that may be polled, and reports whether there is one.
func (s *Source) nextSweep() bool {
	for i := range s.checkpoint.Runs {
		if r := &s.checkpoint.Runs[i]; r.Kind == syncline.RunSweep && (s.ready(r.Entity) || s.entities[r.Entity] == nil) {
			s.sweep = &sweeping{run: *r, entity: s.entities[r.Entity], seed: maphash.MakeSeed()}
			return true
		}
	}
	return false
}

// sweepStep does the next part of the sweep. It returns no batch where nothing in it is an event.
func (s *Source) sweepStep(ctx context.Context) (b *syncline.Batch, err error) {
	w := s.sweep
	if w.table == nil {
		if w.entity == nil {
			err = syncline.Errorf(syncline.Rejected, "entity_unknown", "source %s has no entity %s any more", s.opt.Name, w.run.Entity)
		} else {
			w.table, err = s.table(ctx, w.entity)
		}
	}
	if err == nil {
		switch w.stage {
		case sweepKeys:
			b, err = s.sweepKeys(ctx, w)
		case sweepKnown:
			err = s.sweepKnown(ctx, w)
		case sweepGone:
			b, err = s.sweepGone(ctx, w)
		}
	}
	if b != nil || err == nil && w.stage != sweepOver {
		return b, err
	}
	s.sweep = nil
	return s.ended(&w.run, w.events, err)
}

// sweepKeys reads the next keys. A record that nobody knows of, or only that it is there, was missed by polls, since it came with an old
// watermark or with none: it is read and told of.
func (s *Source) sweepKeys(ctx context.Context, w *sweeping) (*syncline.Batch, error) {
	page, err := w.table.Read(ctx, Range{ByKey: true, KeysOnly: true, After: w.after, Rows: s.opt.PageRows, Bytes: pageBytes})
	if err != nil {
		return nil, err
	}
	rd := s.readerOf(w.entity, w.table)
	keys := make([]syncline.Key, len(page.Rows))
	for i := range page.Rows {
		keys[i] = rd.key(page.Rows[i].Values)
		w.there = append(w.there, maphash.String(w.seed, string(keys[i])))
		w.after = &page.Rows[i].Place
	}
	if !page.More {
		slices.Sort(w.there)
		w.stage = sweepKnown
	}
	known, err := s.opt.Memory.Known(ctx, s.opt.Name, w.entity.Name, keys)
	if err != nil {
		return nil, err
	}
	missed := slices.DeleteFunc(keys, func(k syncline.Key) bool {
		one, is := known[k]
		return is && (len(one.Hash) > 0 || one.State != Live)
	})
	var rows []Row
	for some := range slices.Chunk(missed, LookupKeys) {
		found, err := w.table.Lookup(ctx, some)
		if err != nil {
			return nil, err
		}
		for _, values := range found.Rows {
			rows = append(rows, Row{Values: values})
		}
	}
	return s.sweepBatch(ctx, w, rd, rows)
}

func (s *Source) sweepBatch(ctx context.Context, w *sweeping, rd *reader, rows []Row) (*syncline.Batch, error) {
	events, seen, err := s.compare(ctx, rd, rows)
	if err != nil || len(events) == 0 {
		return nil, err
	}
	w.events += len(events)
	if err := s.note(ctx, w.entity.Name, seen); err != nil {
		return nil, err
	}
	return s.seal(s.stream(events))
}

// sweepKnown compares the next known records with what was found.
func (s *Source) sweepKnown(ctx context.Context, w *sweeping) error {
	list, err := s.opt.Memory.After(ctx, s.opt.Name, w.entity.Name, w.last, knownRows)
	if err != nil {
		return err
	}
	for _, one := range list {
		w.last = one.Key
		if one.State == Live {
			w.known++
		}
		if _, there := slices.BinarySearch(w.there, maphash.String(w.seed, string(one.Key))); !there {
			w.gone = append(w.gone, one)
		}
	}
	if len(list) == knownRows {
		return nil
	}
	w.stage = sweepGone
	return w.judge(s.opt.Name)
}

// judge refuses a sweep that finds too many records gone.
func (w *sweeping) judge(source string) error {
	return Judge(source, w.entity.Name, w.gone, w.known, len(w.there), w.run.Force)
}

// Judge refuses a sweep of an entity of which so many records are known and so many were found, where too many of the known ones are gone.
func Judge(source, entity string, gone []Seen, known, there int, force bool) error {
	live := 0
	for _, one := range gone {
		if one.State == Live {
			live++
		}
	}
	if force || live == 0 || there > 0 && (live <= sweepFew || live*2 <= known) {
		return nil
	}
	return syncline.Errorf(syncline.Fatal, "sweep_refused", "%s/%s: %d of %d known records are not there any more: nothing was done", source, entity, live, known).
		WithFix("look at the source; if they are gone for good: `syncline sync sweep %s/%s --force`", source, entity)
}

// sweepGone looks for the next of the records that were not found, and says which are gone.
func (s *Source) sweepGone(ctx context.Context, w *sweeping) (*syncline.Batch, error) {
	some := w.gone[:min(len(w.gone), LookupKeys)]
	if w.gone = w.gone[len(some):]; len(w.gone) == 0 {
		w.stage = sweepOver
	}
	if len(some) == 0 {
		return nil, nil
	}
	keys := make([]syncline.Key, len(some))
	for i, one := range some {
		keys[i] = one.Key
	}
	// What has become of them since is known by now.
	known, err := s.opt.Memory.Known(ctx, s.opt.Name, w.entity.Name, keys)
	if err != nil {
		return nil, err
	}
	found, err := w.table.Lookup(ctx, keys)
	if err != nil {
		return nil, err
	}
	rd := s.readerOf(w.entity, w.table)
	var events []syncline.Event
	var seen []Seen
	for _, row := range found.Absent {
		k := rd.key(row)
		one, is := known[k]
		if !is {
			continue
		}
		if one.State == Live {
			events = append(events, rd.gone(row))
		}
		seen = append(seen, Seen{Key: k, State: Gone})
	}
	if len(seen) == 0 {
		return nil, nil
	}
	w.events += len(events)
	if err := s.note(ctx, w.entity.Name, seen); err != nil {
		return nil, err
	}
	return s.seal(s.stream(events))
}
