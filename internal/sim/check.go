package sim

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/google/go-cmp/cmp"

	"syncline"
	"syncline/internal/memsource"
	"syncline/internal/memtarget"
	"syncline/internal/state"
)

// checkAlways is what holds after every step: a target's record never goes back to an older version of its source row, and
// every task is accounted for.
func (w *world) checkAlways() error {
	if err := w.checkConfirmed(); err != nil {
		return err
	}
	for _, r := range w.routes {
		if err := r.checkOrder(); err != nil {
			return fmt.Errorf("route %s: %w", r.id, err)
		}
	}
	return nil
}

// checkConfirmed sees that the source was told to forget nothing that is not durable in the log.
func (w *intake) checkConfirmed() error {
	bounds, err := w.log.Bounds(w.ctx)
	if err != nil {
		return err
	}
	var last syncline.Position
	if bounds.Last > 0 {
		r, err := w.log.Reader(bounds.Last)
		if err != nil {
			return err
		}
		e, _, err := r.TryNext()
		if err != nil {
			return err
		}
		b, err := syncline.DecodeBatch(e.Data)
		if err != nil {
			return err
		}
		last = b.Position
	}
	if p := w.system.Confirmed(); p.Compare(last) > 0 {
		return fmt.Errorf("G1: %s is confirmed, the log ends at %s", p, last)
	}
	return nil
}

// checkLog sees that the log has each event of the stream, from where that begins, once and in order. What the first copy of a table without a
// key has in its rows need not be told.
func (w *intake) checkLog() error {
	var begins, last syncline.Position
	has, copied := make(map[syncline.Position]bool), make(map[string]syncline.Position)
	err := w.eachBatch(func(b *syncline.Batch) error {
		if begins.Epoch == 0 {
			begins = b.Position
		}
		if c := b.Chunk; c != nil && c.Last && c.Kind == syncline.RunSnapshot {
			copied[c.Entity] = b.Position
		}
		for i := range b.Events {
			if b.Chunk != nil {
				break
			}
			at := b.PositionOf(i)
			if at.Compare(last) <= 0 {
				return fmt.Errorf("G3: event %s stands in the log after %s", at, last)
			}
			last, has[at] = at, true
		}
		if last.Compare(b.Position) > 0 {
			return fmt.Errorf("G2: a batch that ends at %s has event %s", b.Position, last)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return w.system.Each(begins, func(at syncline.Position, c *memsource.Change) error {
		if !has[at] && (len(c.Schema.Key) > 0 || at.Compare(copied[c.Schema.Entity]) > 0) {
			return fmt.Errorf("G1: event %s (%s of %s) is not in the log", at, c.Op, c.Schema.Entity)
		}
		return nil
	})
}

// changeAfter returns the place of the first event of the customer's table from the cursor on that is for the route, which must have
// another schema than the one before it. Records that the route had read again can be the first to tell of a change.
func (w *world) changeAfter(at syncline.Cursor, route string) (*syncline.Cursor, error) {
	seq := syncline.Seq(0)
	var before, after *syncline.Schema
	place := &syncline.Cursor{}
	err := w.eachBatch(func(b *syncline.Batch) error {
		seq++
		for i := range b.Events {
			s := b.Events[i].Schema
			switch {
			case s.Entity != "customer" || b.Chunk != nil && len(b.Chunk.Routes) > 0 && !slices.Contains(b.Chunk.Routes, route):
			case seq < at.Seq || seq == at.Seq && i < at.Index:
				before = s
			case after == nil:
				after, place.Seq, place.Index = s, seq, i
			}
		}
		return nil
	})
	if err == nil && (before == nil || after == nil || before.Fingerprint() == after.Fingerprint()) {
		err = broken("G14: a route halts at %d.%d, where the schema is as before", at.Seq, at.Index)
	}
	return place, err
}

// checkOrder looks for records that went backwards, and events that came out of order for the first time.
func (r *route) checkOrder() error {
	if r.events {
		sent := r.recorder.Sent()
		for ; r.sent < len(sent); r.sent++ {
			if err := r.checkSent(&sent[r.sent]); err != nil {
				return err
			}
		}
		return nil
	}
	if r.entity != "customer" {
		return nil
	}
	if r.splits {
		if err := r.checkSets(); err != nil {
			return err
		}
	}
	return r.eachRow(func(k string, ver int64) error {
		if was := r.versions[k]; ver < was {
			return fmt.Errorf("G4: record %s went back from version %d to %d", k, was, ver)
		}
		r.versions[k] = ver
		return nil
	})
}

// checkSent sees that the first deliveries of each record come in the order of the source, under whichever key; a repeat may come at
// any time after.
func (r *route) checkSent(s *memtarget.Sent) error {
	id := "sent " + s.ID
	if _, again := r.versions[id]; again {
		return nil
	}
	r.versions[id] = 1
	if s.Change.Row.Values == nil {
		return nil
	}
	keys := []syncline.Key{s.Key}
	if len(s.Change.OldKey) > 0 {
		keys = append(keys, syncline.MakeKey(s.Change.OldKey...))
	}
	if r.splits {
		keys = parents(s)
	}
	place := int64(s.Change.Order.Seq)<<20 | int64(s.Change.Order.Index)
	for _, k := range keys {
		if s.Change.Batch.Chunk != nil {
			break
		}
		if was := r.versions["place "+string(k)]; place < was {
			return fmt.Errorf("G4: event %s was sent after a later one of record %s", s.ID, k)
		}
		r.versions["place "+string(k)] = place
	}
	if s.Change.Batch.Chunk == nil {
		if place < r.versions["place"] {
			r.w.did("passed")
		}
		r.versions["place"] = max(r.versions["place"], place)
	}
	ver, err := strconv.ParseInt(s.Change.Row.Values[1].Text(), 10, 64)
	if err != nil {
		return nil //nolint:nilerr // a before image without the version says nothing
	}
	if s.Change.Batch.Chunk != nil {
		return nil
	}
	if was := r.versions[string(s.Key)]; ver < was {
		return fmt.Errorf("G4: version %d of record %s was sent after %d", ver, s.Key, was)
	}
	r.versions[string(s.Key)] = ver
	return nil
}

func (r *route) eachRow(each func(key string, ver int64) error) error {
	var failed error
	err := r.scan(func(row syncline.Row, _ bool) error {
		k, _ := row.Key()
		ver, err := strconv.ParseInt(row.Field("ver").Text(), 10, 64)
		if err != nil {
			failed = fmt.Errorf("record %s has no version: %v", k, row.Values)
			return failed
		}
		failed = each(string(k), ver)
		return failed
	})
	if failed != nil {
		return failed
	}
	if err != nil && syncline.CodeOf(err) != "object_missing" {
		return err
	}
	return nil
}

// checkEnd is what holds once everything has come to rest: each target is what its rule makes of the source, nothing waits,
// and the counts add up.
func (w *world) checkEnd() error {
	if err := w.checkAlways(); err != nil {
		return err
	}
	if err := w.checkLog(); err != nil {
		return err
	}
	for _, r := range w.routes {
		if err := r.checkEnd(); err != nil {
			return fmt.Errorf("route %s: %w", r.id, err)
		}
	}
	return nil
}

func (r *route) checkEnd() error {
	counts, _, err := r.w.state.Totals(r.w.ctx, state.Slice{Route: r.id})
	if err != nil {
		return err
	}
	if !counts.Balanced() {
		return fmt.Errorf("G10: counts do not add up: %+v", counts)
	}
	if r.halted != nil {
		return nil // what waits and what differs is for a person
	}
	if counts.Parked != 0 {
		waiting, err := r.w.state.Pending(r.w.ctx, state.Slice{Route: r.id})
		if err != nil {
			return err
		}
		x := waiting[0]
		return fmt.Errorf("%d tasks are still parked; the first is %s, key %s, %s, %s: %s", counts.Parked, x.Task, x.Key, x.Status, x.Code, x.Error)
	}
	switch {
	case r.events && r.splits:
		return r.checkParts()
	case r.events:
		return r.checkDelivered()
	}
	want := make(map[string]string)
	for _, row := range r.w.system.Rows(r.entity) {
		made, err := r.made(row)
		if err != nil {
			return err
		}
		for _, one := range made {
			want[r.name(one)] = printed(one.Values)
		}
	}
	got, err := r.rows()
	if err != nil && len(want) > 0 {
		return err
	}
	if r.keeps {
		if err := r.scan(func(_ syncline.Row, kept bool) error {
			if kept {
				r.w.did("kept")
			}
			return nil
		}); err != nil && len(want) > 0 {
			return err
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		return fmt.Errorf("target differs from source (-want +got):\n%s", diff)
	}
	return nil
}

// printed is the same for values that are equal: a number's kind does not count.
func printed(row []syncline.Value) string {
	s := ""
	for _, v := range row {
		switch v.Kind() {
		case syncline.KindInt, syncline.KindDecimal:
			s += " " + v.Text()
		default:
			s += fmt.Sprint(" ", v)
		}
	}
	return s
}

// checkDelivered sees that every event of the log reached the recorder, but for stubs.
func (r *route) checkDelivered() error {
	sent := make(map[string]bool)
	for _, s := range r.recorder.Sent() {
		sent[s.ID] = true
	}
	return r.w.eachBatch(func(b *syncline.Batch) error {
		for i := range b.Events {
			if b.Events[i].Schema.Entity != r.entity || b.Chunk != nil && len(b.Chunk.Routes) > 0 {
				continue
			}
			if b.Events[i].Stub > 0 {
				r.w.did("stub")
				continue
			}
			if id := b.EventID(i); !sent[id] {
				return fmt.Errorf("G6: event %s was never sent", id)
			}
		}
		return nil
	})
}
