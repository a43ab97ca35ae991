package httppoll

import (
	"context"

	"syncline"
	"syncline/internal/poll"
)

const (
	// sweepPage is how many records that are known are looked through at a time.
	sweepPage = 1000
	// askedOnce is how many records are asked for one by one in a step, askedAtMost in a sweep: more of them go by the listing's word.
	askedOnce, askedAtMost = 20, 1000
)

// sweep goes on with a sweep whose listing was read: what was known and is not in it is gone. more: there is another step to do.
//
// A listing that comes back empty, or lacks more than a few records and more than half of them, is rather a fault of the service than the truth: the sweep
// does nothing then, unless it was told to. Where the service can be asked for one record, what is missing is asked for: a listing may
// leave out what is there.
func (w *work) sweep(ctx context.Context, r *run) (b *syncline.Batch, more bool, err error) {
	if !w.looked {
		if w.looked = true; !w.entity.Compare {
			return nil, false, nil
		}
		return nil, true, w.look(ctx, r)
	}
	if w.entity.Get != nil && w.asked < len(w.gone) && len(w.gone) <= askedAtMost {
		return nil, true, w.verify(ctx)
	}
	if len(w.gone) == 0 {
		return nil, false, nil
	}
	n := min(len(w.gone), maxEvents)
	list := w.gone[:n]
	w.gone, w.asked = w.gone[n:], max(w.asked-n, 0)
	b, err = w.vanish(ctx, r, list)
	return b, true, err
}

// look finds what is gone.
func (w *work) look(ctx context.Context, r *run) error {
	s := w.s
	if w.list.unsettled {
		return unsettled(s.o.Client, r.Entity)
	}
	total := 0 // of the records that targets have
	for after, more := syncline.Key(""), true; more; {
		list, err := s.o.Memory.After(ctx, s.o.Name, r.Entity, after, sweepPage)
		if err != nil {
			return err
		}
		more = len(list) == sweepPage
		for _, one := range list {
			if after = one.Key; one.State == poll.Live {
				total++
			}
			if _, here := w.list.seen[hashText(string(one.Key))]; !here {
				w.gone = append(w.gone, one)
			}
		}
	}
	err := poll.Judge(s.o.Name, r.Entity, w.gone, total, len(w.list.seen), r.Force)
	if err != nil {
		w.gone = nil
	}
	return err
}

func unsettled(c *Client, entity string) error {
	return syncline.Errorf(syncline.Transient, "api_unsettled", "the listing of %s at %s moves while its pages are read, so that nobody can say what is gone", entity, c.base.Host).
		WithFix("do it when less is written, ask for larger pages (page.size), or for an order that does not change (by id)")
}

// verify asks for a few of the missing records: those that are there are not gone.
func (w *work) verify(ctx context.Context) error {
	for n := 0; n < askedOnce && w.asked < len(w.gone); n++ {
		got, err := w.entity.one(ctx, w.s.o.Client, w.gone[w.asked].Key)
		if err != nil {
			return err
		}
		if got == nil || got.key != w.gone[w.asked].Key {
			w.asked++
			continue
		}
		w.gone = append(w.gone[:w.asked], w.gone[w.asked+1:]...)
		w.queue = append(w.queue, *got)
	}
	return nil
}

// vanish tells that records are gone. One that was told to be deleted is only forgotten.
func (w *work) vanish(ctx context.Context, r *run, list []poll.Seen) (*syncline.Batch, error) {
	keys := make([]syncline.Key, len(list))
	for i := range list {
		keys[i] = list[i].Key
	}
	w.outdate(nil, keys)
	known, err := w.s.o.Memory.Known(ctx, w.s.o.Name, r.Entity, keys)
	if err != nil {
		return nil, err
	}
	var events []syncline.Event
	var noted []poll.Seen
	for _, key := range keys {
		was, here := known[key]
		if !here {
			continue // that it is gone was told already, by what is on its way into the log
		}
		noted = append(noted, poll.Seen{Key: key, State: poll.Gone})
		if e, ok := w.s.keyed(w.entity, key); ok && was.State == poll.Live {
			events = append(events, e)
		}
	}
	return w.tell(ctx, r, events, noted)
}
