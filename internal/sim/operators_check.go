package sim

import (
	"fmt"
	"slices"
	"strings"

	"syncline"
	"syncline/internal/memtarget"
	"syncline/internal/state"
)

// rows are the records of an object, by key.
func (s *served) rows(object string) (map[int64][]syncline.Value, error) {
	all := make(map[int64][]syncline.Value)
	err := s.store.Open(memtarget.Options{Route: "reader"}).Scan(s.w.ctx, object, disputedSchema, func(row syncline.Row) error {
		id, err := row.Values[0].AsInt()
		all[id] = row.Values
		return err
	})
	if syncline.CodeOf(err) == "object_missing" {
		err = nil
	}
	return all, err
}

// contents is all that the target holds.
func (s *served) contents() (string, error) {
	if s.recorder != nil {
		return fmt.Sprint(len(s.recorder.Sent())), nil
	}
	var b strings.Builder
	for _, r := range s.rules {
		rows, err := s.rows(r.object)
		if err != nil {
			return "", err
		}
		for id := range int64(disputedKeys) {
			fmt.Fprintln(&b, r.object, rows[id])
		}
	}
	return b.String(), nil
}

// checkAlways is what holds after every step: no record goes back to an older version, deliveries come in order, and no task is lost from the
// counts.
func (w *operators) checkAlways() error {
	if err := w.checkConfirmed(); err != nil {
		return err
	}
	for _, s := range w.routes {
		if err := s.checkOrder(); err != nil {
			return fmt.Errorf("route %s: %w", s.options.ID, err)
		}
	}
	if w.step%8 != 0 {
		return nil
	}
	for _, s := range w.routes {
		c, _, err := w.state.Totals(w.ctx, state.Slice{Route: s.options.ID})
		if err != nil {
			return err
		}
		if !c.Balanced() {
			return broken("G10: the counts of %s are %+v", s.options.ID, c)
		}
		if err := s.checkWaiting(); err != nil {
			return fmt.Errorf("route %s: %w", s.options.ID, err)
		}
	}
	return nil
}

// checkWaiting sees that nothing waits of a record of which the target has a later version: carried out, it would take the record back. Where a
// write can be half done, that is so until the write is repeated.
func (s *served) checkWaiting() error {
	if s.recorder != nil || !s.txn {
		return nil
	}
	waiting, err := s.w.state.Pending(s.w.ctx, state.Slice{Route: s.options.ID})
	if err != nil {
		return err
	}
	for i := range waiting {
		b, err := syncline.DecodeBatch(waiting[i].Record)
		if err != nil {
			return err
		}
		after := b.Events[0].After
		if after == nil {
			continue
		}
		rev, err := after[revColumn].AsInt()
		if err != nil {
			return err
		}
		if is := s.revs[waiting[i].Object+" "+string(waiting[i].Key)]; is > rev {
			return broken("task %s waits with version %d of record %s, of which the target has %d", waiting[i].Task, rev, waiting[i].Key, is)
		}
	}
	return nil
}

func (s *served) checkOrder() error {
	if s.recorder != nil {
		return s.checkSent()
	}
	for _, r := range s.rules {
		rows, err := s.rows(r.object)
		if err != nil {
			return err
		}
		for id := range int64(disputedKeys) {
			name := fmt.Sprint(r.object, " ", id)
			if rows[id] == nil {
				delete(s.revs, name)
				continue
			}
			rev, err := rows[id][revColumn].AsInt()
			if err != nil {
				return err
			}
			if was := s.revs[name]; rev < was {
				return broken("G4: record %s went back from version %d to %d", name, was, rev)
			}
			s.revs[name] = rev
		}
	}
	return nil
}

// checkSent looks at what was sent: first deliveries of a record in the order of its versions, and nothing that was given up before.
func (s *served) checkSent() error {
	sent := s.recorder.Sent()
	for ; s.sent < len(sent); s.sent++ {
		d := &sent[s.sent]
		if at, given := s.given[d.ID]; given && s.sent >= at {
			return broken("event %s was sent after it was given up", d.ID)
		}
		if _, again := s.first[d.ID]; again {
			continue
		}
		s.first[d.ID] = s.sent
		if d.Change.Batch.Chunk != nil {
			continue
		}
		place, name := int64(d.Change.Order.Seq)<<20|int64(d.Change.Order.Index), d.Change.Object+" "+string(d.Key)
		if place < s.revs[name] {
			return broken("G4: event %s was sent after a later one of record %s", d.ID, name)
		}
		s.revs[name] = place
	}
	return nil
}

// checkEnd is what holds once everything has come to rest.
func (w *operators) checkEnd() error {
	if err := w.checkAlways(); err != nil {
		return err
	}
	if err := w.checkLog(); err != nil {
		return err
	}
	last := make(map[string]touch) // of each record, by entity and key: the place of the last that the log says of it
	events := make(map[string]int64)
	if err := w.eachPlace(func(at touch, b *syncline.Batch, ev *syncline.Event, id string) error {
		if b.Chunk == nil {
			k, _ := ev.Key()
			last[ev.Schema.Entity+" "+string(k)] = at
		}
		for _, s := range w.routes {
			for _, r := range s.rules {
				if !s.hears(b, ev, r) {
					continue
				}
				events[s.options.ID]++
				_, sent := s.first[id]
				_, given := s.given[id]
				if s.recorder != nil && !sent && !given && ev.Op != syncline.OpAbsent {
					return fmt.Errorf("G6: event %s was never sent to %s", id, r.object)
				}
			}
		}
		return nil
	}); err != nil {
		return err
	}
	for _, s := range w.routes {
		c, _, err := w.state.Totals(w.ctx, state.Slice{Route: s.options.ID})
		if err != nil {
			return err
		}
		if !c.Balanced() || c.Read != events[s.options.ID] && s.bornAt == 0 || c.Parked != 0 {
			return fmt.Errorf("G10: of %d events the counts of %s are %+v", events[s.options.ID], s.options.ID, c)
		}
		for _, r := range s.rules {
			if s.recorder != nil {
				continue
			}
			if err := s.checkObject(r, last); err != nil {
				return fmt.Errorf("route %s, transactions %t: %w", s.options.ID, s.txn, err)
			}
		}
	}
	return nil
}

// hears reports whether the event is one for the rule.
func (s *served) hears(b *syncline.Batch, ev *syncline.Event, r servedRule) bool {
	return ev.Schema.Entity == r.entity && (b.Chunk == nil || len(b.Chunk.Routes) == 0 || slices.Contains(b.Chunk.Routes, s.options.ID))
}

// eachPlace goes through the log.
func (w *operators) eachPlace(each func(touch, *syncline.Batch, *syncline.Event, string) error) error {
	seq := syncline.Seq(0)
	return w.eachBatch(func(b *syncline.Batch) error {
		seq++
		for i := range b.Events {
			if err := each(touch{seq, i}, b, &b.Events[i], b.EventID(i)); err != nil {
				return err
			}
		}
		return nil
	})
}

// checkObject sees that the object is what the rule makes of the source. A record of which somebody has edited or given up the last change may
// be as it was before, or as it was made to be; one of which that was an earlier change has what the last one has told.
func (s *served) checkObject(r servedRule, last map[string]touch) error {
	rows, err := s.rows(r.object)
	if err != nil {
		return err
	}
	source := make(map[int64][]syncline.Value)
	for _, row := range s.w.system.Rows(r.entity) {
		if id, err := row.Values[0].AsInt(); err == nil && (r.keep == nil || r.keep(row.Values)) {
			source[id] = row.Values
		}
	}
	for id := range int64(disputedKeys) {
		is, want := rows[id], source[id]
		if printed(is) == printed(want) {
			continue
		}
		touched := s.touched[fmt.Sprintf("%s %d", r.id, id)]
		switch {
		case len(touched) == 0:
		case slices.ContainsFunc(touched, func(t touch) bool { return !t.before(last[fmt.Sprintf("%s %d", r.entity, id)]) }):
			continue
		case is != nil && want != nil && syncline.Equal(is[revColumn], want[revColumn]):
			continue // what the last change did not send stays as it was
		}
		return fmt.Errorf("%s %d is %v, and should be %v; touched %v, last %v", r.object, id, is, want, touched, last[fmt.Sprintf("%s %d", r.entity, id)])
	}
	return nil
}

func (t touch) before(o touch) bool { return t.seq < o.seq || t.seq == o.seq && t.index < o.index }
