package sim

import (
	"fmt"
	"strconv"

	"github.com/google/go-cmp/cmp"

	"syncline"
	"syncline/internal/memtarget"
	"syncline/internal/state"
)

// checkAlways is what holds after every step: a target's record never goes back to an older version of its source row, and
// every task is accounted for.
func (w *world) checkAlways() error {
	for _, r := range w.routes {
		if err := r.checkOrder(); err != nil {
			return fmt.Errorf("route %s: %w", r.id, err)
		}
	}
	return nil
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
	return r.eachRow(func(k string, ver int64) error {
		if was := r.versions[k]; ver < was {
			return fmt.Errorf("G4: record %s went back from version %d to %d", k, was, ver)
		}
		r.versions[k] = ver
		return nil
	})
}

// checkSent sees that the first deliveries of each key come in the order of the source; a repeat may come at any time after.
func (r *route) checkSent(s *memtarget.Sent) error {
	id := "sent " + s.ID
	if _, again := r.versions[id]; again {
		return nil
	}
	r.versions[id] = 1
	if s.Change.Row.Values == nil {
		return nil
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
	rows := r.store.Open(memtarget.Options{Route: "reader"})
	var failed error
	err := rows.Scan(r.w.ctx, r.object, r.schema(), func(row syncline.Row) error {
		k, _ := row.Key()
		ver, err := strconv.ParseInt(row.Values[1].Text(), 10, 64)
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
	if counts.Parked != 0 {
		waiting, err := r.w.state.Pending(r.w.ctx, state.Slice{Route: r.id})
		if err != nil {
			return err
		}
		x := waiting[0]
		return fmt.Errorf("%d tasks are still parked; the first is %s, key %s, %s, %s: %s", counts.Parked, x.Task, x.Key, x.Status, x.Code, x.Error)
	}
	if r.events {
		return r.checkDelivered()
	}
	want := make(map[string]string)
	for _, row := range r.w.system.Rows(r.entity) {
		if r.keep == nil || r.keep(row) {
			want[r.name(row)] = fmt.Sprint(row.Values)
		}
	}
	got, err := r.rows()
	if err != nil && len(want) > 0 {
		return err
	}
	if diff := cmp.Diff(want, got); diff != "" {
		return fmt.Errorf("target differs from source (-want +got):\n%s", diff)
	}
	return nil
}

// checkDelivered sees that every event of the log reached the recorder.
func (r *route) checkDelivered() error {
	sent := make(map[string]bool)
	for _, s := range r.recorder.Sent() {
		sent[s.ID] = true
	}
	reader, err := r.w.log.Reader(1)
	if err != nil {
		return err
	}
	for {
		e, ok, err := reader.TryNext()
		if err != nil || !ok {
			return err
		}
		b, err := syncline.DecodeBatch(e.Data)
		if err != nil {
			return err
		}
		for i := range b.Events {
			if b.Events[i].Schema.Entity != r.entity || b.Chunk != nil && len(b.Chunk.Routes) > 0 {
				continue
			}
			if id := b.EventID(i); !sent[id] {
				return fmt.Errorf("G6: event %s was never sent", id)
			}
		}
	}
}
