package httppoll

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"strconv"

	"syncline"
	"syncline/internal/cloudevent"
)

var (
	_ syncline.Describer = (*Source)(nil)
	_ syncline.Lister    = (*Source)(nil)
	_ syncline.KeyLister = (*Source)(nil)
)

// Describe implements syncline.Describer. Which columns records have is known once some were captured: one page would say too little.
func (s *Source) Describe(context.Context) (list []*syncline.Schema, err error) {
	shapes, err := s.o.Client.shapes()
	if err != nil {
		return nil, err
	}
	for _, e := range s.entities {
		if schema := shapes.Schema(&e.parsed); schema != nil {
			list = append(list, schema)
		}
	}
	return list, nil
}

// Estimate implements syncline.Lister: no service says.
func (s *Source) Estimate(context.Context, string) (int64, error) { return -1, nil }

// beside is a listing that goes on from one call of List to the next.
type beside struct {
	token string
	list  *listing
}

// List implements syncline.Lister: one page of the service, however many records that has. Records by their keys are asked for one by one
// where that can be done; those chosen at random are out of the whole listing.
func (s *Source) List(ctx context.Context, q syncline.Listing, each func(syncline.Row) error) (next string, err error) {
	e := s.entities[q.Entity]
	if e == nil {
		return "", syncline.Errorf(syncline.Rejected, "entity_unknown", "source %s has no entity %s", s.o.Name, q.Entity)
	}
	switch {
	case q.Keys != nil:
		list, err := s.named(ctx, e, q.Keys)
		if err != nil {
			return "", err
		}
		return "", s.rows(e, list, each)
	case q.Sample:
		list, err := s.sample(ctx, e, q.Limit)
		if err != nil {
			return "", err
		}
		return "", s.rows(e, list, each)
	}
	if s.beside == nil || q.After == "" || s.beside.token != q.After {
		s.beside = &beside{list: e.list(s.o.Client, nil, nil)}
		if q.After != "" {
			var place Place
			if json.Unmarshal([]byte(q.After), &place) != nil || place.Read == 0 {
				return "", syncline.Errorf(syncline.Rejected, "listing_invalid", "a listing of %s cannot go on: its place is not known any more", q.Entity).WithFix("begin again")
			}
			s.beside.list.place.resume(&place)
		}
	}
	l := s.beside.list
	list, err := l.next(ctx)
	if err == nil {
		err = s.rows(e, list, each)
	}
	if err != nil || l.done {
		s.beside = nil
		return "", err
	}
	if place := l.place.keep(); place != nil && l.pass == 1 {
		text, err := json.Marshal(place)
		s.beside.token = string(text)
		return s.beside.token, err
	}
	s.beside.token = "page " + strconv.Itoa(l.pass) + "." + strconv.Itoa(l.place.read)
	return s.beside.token, nil
}

// named returns the records that have one of the keys.
func (s *Source) named(ctx context.Context, e *Entity, keys []syncline.Key) (list []found, err error) {
	if e.Get != nil {
		for _, k := range keys {
			got, err := e.one(ctx, s.o.Client, k)
			if err != nil {
				return nil, err
			}
			if got != nil {
				list = append(list, *got)
			}
		}
		return list, nil
	}
	wanted := setOf(keys)
	err = s.whole(ctx, e, func(f found) {
		if _, ok := wanted[f.key]; ok {
			list = append(list, f)
		}
	})
	return list, err
}

// sample returns about so many records at random.
func (s *Source) sample(ctx context.Context, e *Entity, limit int) (list []found, err error) {
	n := 0
	err = s.whole(ctx, e, func(f found) {
		if n++; len(list) < limit || limit == 0 {
			list = append(list, f)
		} else if at := rand.IntN(n); at < limit {
			list[at] = f
		}
	})
	return list, err
}

// whole reads the whole listing.
func (s *Source) whole(ctx context.Context, e *Entity, each func(found)) error {
	for l := e.list(s.o.Client, nil, nil); !l.done; {
		list, err := l.next(ctx)
		if err != nil {
			return err
		}
		for _, f := range list {
			each(f)
		}
	}
	return nil
}

// rows gives the records the columns that are known. One with another column, or with a value that widens one, is not compared in the
// terms of others: the capture learns of it at its next look.
func (s *Source) rows(e *Entity, list []found, each func(syncline.Row) error) error {
	shapes, err := s.o.Client.shapes()
	if err != nil {
		return err
	}
	known := shapes.Schema(&e.parsed)
	records := make([]*cloudevent.Record, len(list))
	for i := range list {
		records[i] = list[i].record
	}
	shapes.Learn(records)
	if is := shapes.Schema(&e.parsed); known != nil && (is == nil || is.Fingerprint() != known.Fingerprint()) {
		return syncline.Errorf(syncline.Transient, "schema_changed", "records of %s have columns that are not known yet", e.Name).
			WithFix("begin again after the next look: `syncline sync incremental %s/%s`", s.o.Name, e.Name)
	}
	for i := range list {
		ev := shapes.Event(list[i].record)
		if e.Deleted.Is(ev.Schema, ev.After) {
			continue
		}
		if err := each(ev.Row()); err != nil {
			return err
		}
	}
	return nil
}

// Keys implements syncline.KeyLister.
func (s *Source) Keys(ctx context.Context, entity string, each func(syncline.Key) error) error {
	e := s.entities[entity]
	if e == nil {
		return syncline.Errorf(syncline.Rejected, "entity_unknown", "source %s has no entity %s", s.o.Name, entity)
	}
	l := e.list(s.o.Client, nil, nil)
	l.strict = true // what it does not tell of may be deleted
	for !l.done {
		list, err := l.next(ctx)
		if err != nil {
			return err
		}
		for i := range list {
			one := list[i].record
			if e.Deleted != nil {
				shapes := cloudevent.NewShapes()
				shapes.Learn([]*cloudevent.Record{one})
				if ev := shapes.Event(one); e.Deleted.Is(ev.Schema, ev.After) {
					continue
				}
			}
			if err := each(list[i].key); err != nil {
				return err
			}
		}
	}
	if l.unsettled {
		return unsettled(s.o.Client, entity)
	}
	return nil
}
