package httppoll

import (
	"context"
	"slices"
	"strings"

	"github.com/cockroachdb/apd/v3"

	"syncline"
	"syncline/internal/cloudevent"
	"syncline/internal/poll"
)

// answer returns the next answers of a run for single records.
func (w *work) answer(ctx context.Context, r *run) (*syncline.Batch, error) {
	if w.entity.Get == nil {
		return w.search(ctx, r)
	}
	keys := w.s.asEvents(w.entity, r.Keys[:min(len(r.Keys), askedOnce)])
	var list []found
	var absent []syncline.Key
	size := 0
	for i, k := range keys {
		got, err := w.entity.one(ctx, w.s.o.Client, k)
		if err != nil {
			return nil, err
		}
		if got != nil {
			list, size = append(list, *got), size+got.size
		} else {
			absent = append(absent, k)
		}
		if size > maxBytes {
			keys = keys[:i+1]
			break
		}
	}
	b, err := w.answers(ctx, r, list, absent)
	if err != nil {
		return nil, err
	}
	r.Keys = slices.Clone(r.Keys[len(keys):])
	if len(r.Keys) == 0 {
		w.s.finish(r, b)
	}
	return b, nil
}

// search looks for the records in the listing. Those that are not in it are absent once it was read to its end.
func (w *work) search(ctx context.Context, r *run) (*syncline.Batch, error) {
	if w.wanted == nil {
		r.Keys = w.s.asEvents(w.entity, r.Keys)
		w.wanted = setOf(r.Keys)
	}
	if !w.list.done {
		list, err := w.list.next(ctx)
		if err != nil {
			return nil, err
		}
		for _, f := range list {
			if _, wanted := w.wanted[f.key]; wanted {
				w.queue, w.wanted[f.key] = append(w.queue, f), true
			}
		}
	}
	if len(w.queue) > 0 {
		return w.answers(ctx, r, w.cut(maxEvents), nil)
	}
	if !w.list.done {
		return nil, nil
	}
	var missing []syncline.Key
	for _, k := range r.Keys {
		if !w.wanted[k] && !w.list.unsettled { // else nobody can say that it is not there
			missing = append(missing, k)
		}
	}
	b, err := w.answers(ctx, r, nil, missing)
	if err == nil {
		w.s.finish(r, b)
	}
	return b, err
}

// setOf returns the keys with false for each: it was not found.
func setOf(keys []syncline.Key) map[syncline.Key]bool {
	set := make(map[syncline.Key]bool, len(keys))
	for _, k := range keys {
		set[k] = false
	}
	return set
}

// answers makes a chunk of what was found of keys.
func (w *work) answers(ctx context.Context, r *run, list []found, absent []syncline.Key) (*syncline.Batch, error) {
	w.learn(list)
	w.outdate(list, absent)
	b := r.chunk()
	var seen []poll.Seen
	add := func(e syncline.Event, op syncline.Op) {
		e.Op, e.Ordinal = op, uint32(len(b.Events)+1)
		b.Events = append(b.Events, e)
	}
	for i := range list {
		e := w.event(&list[i])
		seen = append(seen, w.seen(&list[i], &e))
		if !w.entity.Deleted.Is(e.Schema, e.After) {
			add(e, syncline.OpRepair)
		} else if gone, ok := w.s.keyed(w.entity, list[i].key); ok {
			add(gone, syncline.OpAbsent)
		}
	}
	for _, k := range absent {
		if e, ok := w.s.keyed(w.entity, k); ok {
			seen = append(seen, poll.Seen{Key: k, State: poll.Gone})
			add(e, syncline.OpAbsent)
		}
	}
	if !w.entity.Compare || len(seen) == 0 {
		return b, nil
	}
	return b, w.notice(ctx, seen)
}

// asEvents returns the keys in the spelling of events: people and targets write numbers in other ways.
func (s *Source) asEvents(e *Entity, keys []syncline.Key) []syncline.Key {
	out := make([]syncline.Key, len(keys))
	for i, key := range keys {
		out[i] = key
		parts, err := key.Parts()
		if err != nil || len(parts) != len(e.Key) || slices.Contains(parts, "\x00") {
			continue
		}
		values := make([]syncline.Value, len(parts))
		for j, text := range parts {
			values[j] = syncline.Text(text)
			if kind, _ := s.shapes.Kind(e.Name, e.Key[j]); kind != syncline.KindInt && kind != syncline.KindDecimal {
				continue
			}
			if n, err := parseNumber(text); err == nil && n.Form == apd.Finite && !strings.ContainsAny(text, "eE") {
				values[j] = syncline.Decimal(n.Text('f'))
			}
		}
		out[i] = syncline.MakeKey(values...)
	}
	return out
}

// keyed returns the event of a record of which there is only the key; ok is false where it is certainly none of the entity: a target
// might take it for another one.
func (s *Source) keyed(e *Entity, key syncline.Key) (ev syncline.Event, ok bool) {
	record, ok := cloudevent.KeyRecord(&e.parsed, key)
	if !ok {
		return ev, false
	}
	if _, known := s.shapes.Kind(e.Name, e.Key[0]); !known { // no record was ever seen: the key is all there is to go by
		s.shapes.Learn([]*cloudevent.Record{record})
	}
	ev = s.shapes.Event(record)
	ev.Meta = nil
	for _, c := range ev.Schema.Key {
		kind := ev.Schema.Columns[c].Kind
		if ev.Before[c].Kind() == kind {
			continue
		}
		if _, err := parseNumber(ev.Before[c].Text()); kind != syncline.KindDecimal || err != nil {
			return ev, false
		}
		ev.Before[c] = syncline.Raw(kind, ev.Before[c].Bytes())
	}
	is, _ := ev.Key()
	return ev, is == key
}
