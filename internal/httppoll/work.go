package httppoll

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"time"

	"syncline"
	"syncline/internal/cloudevent"
	"syncline/internal/poll"
)

// work is a run that this source has begun to read.
type work struct {
	s      *Source
	id     string
	entity *Entity
	// last is when it was worked on last, in steps of the source.
	last int64

	list  *listing
	queue []found
	// first: nothing was known of the entity when the run began: what it brings is taken note of, and is no event.
	first bool
	// since is the watermark that the service was asked with; nil = for all records.
	since *Mark
	// resumed: it goes on where another source had got to, and has read nothing yet.
	resumed bool
	// began is when its listing did.
	began time.Time
	// mark is the highest watermark that was read, unmarked whether a record had none.
	mark     *Mark
	unmarked bool
	// gone is what a sweep has found, once it has looked.
	gone   []poll.Seen
	looked bool
	// wanted are the keys that are looked for in the listing, true for those that were found.
	wanted map[syncline.Key]bool
	// asked is how many of them the service was asked for one by one.
	asked int
}

// work returns that of the run, which begins with it.
func (s *Source) work(r *run) *work {
	s.step++
	if w := s.works[r.ID]; w != nil {
		w.last = s.step
		return w
	}
	w := &work{s: s, id: r.ID, entity: s.entities[r.Entity], last: s.step, first: !s.ready(r.Entity), began: s.o.Now()}
	s.works[r.ID] = w
	if w.entity == nil || r.Kind == syncline.RunKeys && w.entity.Get != nil {
		return w
	}
	var cache pageCache
	if r.Kind == syncline.RunPoll && !w.first {
		cache = s.caches[r.Entity]
		if m := s.checkpoint.Entities[r.Entity].Mark; m != nil && w.entity.Incremental() {
			before, _ := m.back(w.entity.Overlap)
			w.since = &before
		}
	}
	w.list = w.entity.list(s.o.Client, w.since, cache)
	w.list.strict = w.entity.Get == nil && (r.Kind == syncline.RunSweep || r.Kind == syncline.RunKeys)
	if r.Place != nil {
		w.list.place.resume(r.Place)
		w.mark, w.began, w.resumed = r.Mark, r.Began, true
	}
	return w
}

// step does a little of the run: at most one page is read, or a few records one by one. It returns what is to be appended, nil where
// there is nothing yet.
func (w *work) step(ctx context.Context) (*syncline.Batch, error) {
	r := w.run()
	if w.entity == nil { // it left the configuration
		b := r.chunk()
		b.Chunk.Failed = "entity_unknown: source " + w.s.o.Name + " has no entity " + r.Entity + " any more"
		w.s.finish(r, b)
		return b, nil
	}
	if p, _ := w.s.pace(r); p.End {
		b := r.chunk()
		b.Chunk.Reset, b.Chunk.Events = false, r.Events
		w.s.finish(r, b)
		return b, nil
	}
	b, err := w.proceed(ctx, r)
	if err != nil && w.fails(r, err) {
		w.s.warn(r.Entity, "the last "+r.Kind.String()+" run of "+r.Entity+" failed: "+err.Error())
		b = r.chunk()
		b.Chunk.Failed, b.Chunk.Events = poll.Told(err), r.Events
		w.s.finish(r, b)
		return b, nil
	}
	return b, err
}

func (w *work) run() *run {
	for i := range w.s.checkpoint.Runs {
		if w.s.checkpoint.Runs[i].ID == w.id {
			return &w.s.checkpoint.Runs[i]
		}
	}
	panic("httppoll: work on a run that has ended")
}

func (w *work) proceed(ctx context.Context, r *run) (*syncline.Batch, error) {
	if r.Kind == syncline.RunKeys {
		return w.answer(ctx, r)
	}
	if len(w.queue) == 0 && !w.list.done {
		list, err := w.list.next(ctx)
		if w.resumed && err != nil && syncline.ClassOf(err) == syncline.Fatal {
			w.s.log.Info("copy begins anew: the service does not know its place any more", "entity", r.Entity, "run", r.ID, "code", syncline.CodeOf(err))
			r.Place, r.Mark = nil, nil
			delete(w.s.works, r.ID)
			return nil, nil
		}
		if w.resumed = false; err != nil {
			return nil, err
		}
		w.queue = list
		w.note(list)
	}
	if len(w.queue) > 0 {
		if r.copies() {
			return w.copied(ctx, r)
		}
		return w.told(ctx, r)
	}
	switch {
	case !w.list.done:
		return nil, nil
	case r.Kind == syncline.RunSweep && !w.first:
		if b, more, err := w.sweep(ctx, r); b != nil || more || err != nil {
			return b, err
		}
	}
	return w.end(r), nil
}

// note keeps the highest watermark. One that is a time the clock has not reached does not count: a single date in a far year would hide
// every change until then. Its record is read at every look instead. Nor does one that came about while the pages were read, where they are
// read once: a record on a page before it may have changed earlier.
func (w *work) note(list []found) {
	if w.entity.Watermark == "" {
		return
	}
	clock := w.s.o.Now()
	if w.entity.Page.By == ByCursor {
		clock = w.began
	}
	for i := range list {
		f := &list[i]
		switch {
		case !f.marked:
			w.unmarked = true
		case f.mark.ahead(clock):
		case w.mark == nil || f.mark.compare(*w.mark) > 0:
			w.mark = &f.mark
		}
	}
}

// cut takes as much of the queue as fits into a batch, most records at most.
func (w *work) cut(most int) []found {
	n, size := 0, 0
	for n < len(w.queue) && n < most && (n == 0 || size < maxBytes) {
		size += w.queue[n].size
		n++
	}
	list := w.queue[:n:n]
	w.queue = w.queue[n:]
	return list
}

// learn lets the columns of the records be known before the first of them is given out.
func (w *work) learn(list []found) {
	records := make([]*cloudevent.Record, len(list))
	for i := range list {
		records[i] = list[i].record
	}
	w.s.shapes.Learn(records)
}

// event gives a record its columns: one that it lacks is null, because it is whole.
func (w *work) event(f *found) syncline.Event {
	e := w.s.shapes.Event(f.record)
	e.Meta = nil
	if at, ok := f.mark.time(); f.marked && ok {
		e.Meta = &syncline.Meta{Time: at}
	}
	return e
}

// seen is what is to be known of a record.
func (w *work) seen(f *found, e *syncline.Event) poll.Seen {
	one := poll.Seen{Key: f.key, Hash: f.record.Fingerprint()[:hashBytes]}
	if w.entity.Deleted.Is(e.Schema, e.After) {
		one.State = poll.Flagged
	}
	return one
}

// hashBytes is how much of a fingerprint tells two contents of a record apart.
const hashBytes = 16

// advance moves the position to the next batch, of so many events.
func (s *Source) advance(events int) {
	s.at.Commit++
	s.at.Ordinal = uint32(max(events, 1))
}

// remember notes records at the position of the batch that tells of them.
func (s *Source) remember(ctx context.Context, entity string, seen []poll.Seen) error {
	if len(seen) == 0 {
		return nil
	}
	if err := s.o.Memory.Note(ctx, s.o.Name, entity, s.at.Commit, seen); err != nil {
		return err
	}
	s.checkpoint.Noted = s.at.Commit
	return nil
}

// told returns what has become of the next records since they were seen last, nil where nothing has.
func (w *work) told(ctx context.Context, r *run) (*syncline.Batch, error) {
	list := w.cut(maxEvents)
	if w.first && !w.entity.Compare {
		return nil, nil
	}
	w.learn(list)
	w.outdate(list, nil)
	known, err := w.known(ctx, list)
	if err != nil {
		return nil, err
	}
	var events []syncline.Event
	var noted []poll.Seen
	for i := range list {
		f := &list[i]
		if !w.entity.Compare && w.since != nil && f.marked && f.mark.compare(*w.since) <= 0 {
			continue
		}
		e := w.event(f)
		is := w.seen(f, &e)
		was, before := known[f.key]
		if before && was.State == is.State && bytes.Equal(was.Hash, is.Hash) {
			continue
		}
		noted = append(noted, is)
		if known != nil {
			known[f.key] = is
		}
		if (before || !w.first) && w.becomes(&e, is, was, before) { // a first copy that was given up has brought it
			events = append(events, e)
		}
	}
	return w.tell(ctx, r, events, noted)
}

// outdate puts these records in the place of what the other runs of the entity have read of them before: that is older, and would go back
// behind what is told now. Those that are absent have none. A copy still brings each record, for it may be for other routes than those that
// are told now. A sweep has seen them.
func (w *work) outdate(list []found, absent []syncline.Key) {
	is, gone := make(map[syncline.Key]*found, len(list)), setOf(absent)
	for i := range list {
		is[list[i].key] = &list[i]
	}
	for _, o := range w.s.works {
		if o == w || o.entity != w.entity || o.list == nil {
			continue
		}
		o.queue = slices.DeleteFunc(o.queue, func(f found) bool { _, absent := gone[f.key]; return absent })
		for i := range o.queue {
			if now := is[o.queue[i].key]; now != nil {
				o.queue[i] = *now
			}
		}
		for i := range list {
			o.list.exists(list[i].key)
		}
		asked := o.gone[:o.asked]
		o.asked -= len(asked)
		for _, one := range asked {
			if is[one.Key] == nil {
				o.asked++
			}
		}
		o.gone = slices.DeleteFunc(o.gone, func(one poll.Seen) bool { return is[one.Key] != nil })
	}
}

func (w *work) known(ctx context.Context, list []found) (map[syncline.Key]poll.Seen, error) {
	if !w.entity.Compare {
		return nil, nil
	}
	keys := make([]syncline.Key, len(list))
	for i := range list {
		keys[i] = list[i].key
	}
	return w.s.o.Memory.Known(ctx, w.s.o.Name, w.entity.Name, keys)
}

// becomes makes the event what has happened to the record; false where that is nothing that anybody must be told.
func (w *work) becomes(e *syncline.Event, is, was poll.Seen, known bool) bool {
	live := known && was.State == poll.Live
	switch flag := w.entity.Created; {
	case is.State == poll.Flagged && known && !live:
		return false // it was told that it is deleted
	case is.State == poll.Flagged: // where nothing is known of it, targets may have it all the same
		e.Op, e.Before, e.After = syncline.OpDeleted, e.After, nil
	case live:
		e.Op = syncline.OpUpdated
	case known, flag == nil && w.entity.Compare, flag != nil && flag.Is(e.Schema, e.After): // it was deleted, or is new
		e.Op = syncline.OpCreated
	default:
		e.Op = syncline.OpUpdated
	}
	return true
}

// tell returns the batch of these events, nil where there is nothing to tell nor to know. What it tells is noted first, and is known once
// the batch is in the log.
func (w *work) tell(ctx context.Context, r *run, events []syncline.Event, noted []poll.Seen) (*syncline.Batch, error) {
	if len(events) == 0 && len(noted) == 0 || len(events) == 0 && !w.entity.Compare {
		return nil, nil
	}
	s := w.s
	s.advance(len(events))
	if w.entity.Compare {
		if err := s.remember(ctx, w.entity.Name, noted); err != nil {
			return nil, err
		}
	}
	b := &syncline.Batch{Events: events}
	if len(events) > 0 {
		b.Txns = []syncline.Txn{{Commit: s.at.Commit, Time: s.o.Now().UTC()}}
		for i := range events {
			events[i].Ordinal = uint32(i + 1)
		}
		r.Events += int64(len(events))
	}
	return b, nil
}

// end ends a run whose listing was read to its end: only now does the watermark move.
func (w *work) end(r *run) *syncline.Batch {
	p := w.s.checkpoint.Entities[r.Entity]
	warning := ""
	switch {
	case w.list.unsettled:
		warning = "the listing of " + r.Entity + " moves while its pages are read: it is read again from the same watermark each time"
	case w.unmarked:
		warning = "there are records of " + r.Entity + " with nothing at " + w.entity.Watermark + ": their changes are found by a sweep only"
	}
	if r.Kind != syncline.RunFull || w.first {
		w.s.warn(r.Entity, warning)
	}
	if w.first || r.Kind == syncline.RunPoll {
		p.Ready = true
		if w.mark != nil && !w.list.unsettled && w.entity.Incremental() {
			_, clocked := w.mark.time()
			p.reach(w.mark, clocked || w.entity.Page.By != ByCursor || w.list.place.read == 1)
		}
	}
	b := r.chunk()
	b.Chunk.Events = r.Events
	w.s.finish(r, b)
	return b
}

// fails reports whether the error is the end of the run, rather than of the source: one that is about this listing, and not about the
// service. A first copy is not given up.
func (w *work) fails(r *run, err error) bool {
	code := syncline.CodeOf(err)
	switch {
	case r.Kind == syncline.RunSnapshot, code == "api_unreachable", code == "api_refused":
		return false
	}
	return code == "sweep_refused" || strings.HasPrefix(code, "api_")
}
