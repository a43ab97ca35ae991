package httppoll

import (
	"context"
	"slices"

	"syncline"
	"syncline/internal/poll"
)

// copied returns the next chunk of a copy. The first one of an entity is what is known of it from then on.
func (w *work) copied(ctx context.Context, r *run) (*syncline.Batch, error) {
	most := maxEvents
	if p, paced := w.s.pace(r); paced && p.Rows > 0 {
		most = min(most, p.Rows)
	}
	list := w.cut(most)
	w.learn(list)
	if w.first {
		list, b, err := w.withdraw(ctx, r, list)
		if b != nil || err != nil {
			w.queue = slices.Concat(list, w.queue)
			return b, err
		}
	}
	b := r.chunk()
	if len(w.queue) == 0 && w.list.pass == 1 && !w.list.done {
		r.Place, r.Mark, r.Began = w.list.place.keep(), w.mark, w.began
	}
	var known []poll.Seen
	for i := range list {
		e := w.event(&list[i])
		one := w.seen(&list[i], &e)
		if known = append(known, one); one.State == poll.Flagged {
			continue // targets are not to have it
		}
		e.Op, e.Ordinal = syncline.OpSnapshot, uint32(len(b.Events)+1)
		b.Events = append(b.Events, e)
	}
	switch {
	case !w.entity.Compare:
		return b, nil
	case !w.first:
		return b, w.notice(ctx, known)
	}
	w.s.advance(1)
	return b, w.s.remember(ctx, w.entity.Name, known)
}

// withdraw tells of those records that a page before had alive, and now say that they are deleted, and returns the others. In a copy they would
// only be left out, and the looks that come after the first one would take it for told.
func (w *work) withdraw(ctx context.Context, r *run, list []found) (others []found, b *syncline.Batch, err error) {
	known, err := w.known(ctx, list)
	if err != nil {
		return list, nil, err
	}
	var events []syncline.Event
	var noted []poll.Seen
	for i := range list {
		e := w.event(&list[i])
		is := w.seen(&list[i], &e)
		if was, before := known[list[i].key]; is.State == poll.Flagged && before && was.State == poll.Live && w.becomes(&e, is, was, true) {
			events, noted = append(events, e), append(noted, is)
		} else {
			others = append(others, list[i])
		}
	}
	b, err = w.tell(ctx, r, events, noted)
	return others, b, err
}

// notice takes note of what a run tells of records beside looks: see poll.Brought. A page that has not changed since a look read it may have
// what is to be told again.
func (w *work) notice(ctx context.Context, seen []poll.Seen) error {
	keys := make([]syncline.Key, len(seen))
	for i := range seen {
		keys[i] = seen[i].Key
	}
	known, err := w.s.o.Memory.Known(ctx, w.s.o.Name, w.entity.Name, keys)
	if err != nil {
		return err
	}
	note := poll.Brought(known, seen)
	if len(note) == 0 {
		return nil
	}
	clear(w.s.caches[w.entity.Name])
	w.s.advance(1)
	return w.s.remember(ctx, w.entity.Name, note)
}
