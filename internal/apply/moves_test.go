package apply

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
	"syncline/internal/memtarget"
)

// TestEventsOfARecordKeepTheirOrderAcrossItsKeys: what is refused holds back the later events of its record under whichever key,
// and those of a record that gets one of the keys.
func TestEventsOfARecordKeepTheirOrderAcrossItsKeys(t *testing.T) {
	for name, c := range map[string]struct {
		refused syncline.Key
		events  []syncline.Event
	}{
		"refused before the move":       {"1", []syncline.Event{created(1, "a", "x"), rekeyed(1, 2, "b", "y"), deleted(2)}},
		"the move is refused":           {"2", []syncline.Event{rekeyed(1, 2, "b", "y"), created(1, "new", "x"), updated(2, "c", "y"), deleted(1)}},
		"refused under the new key":     {"2", []syncline.Event{created(2, "old", "x"), rekeyed(1, 2, "b", "y"), created(1, "new", "x"), deleted(2)}},
		"two moves":                     {"2", []syncline.Event{rekeyed(1, 2, "a", "x"), rekeyed(2, 3, "a", "x"), created(1, "new", "x"), created(2, "new", "x"), deleted(3)}},
		"back again":                    {"2", []syncline.Event{rekeyed(1, 2, "a", "x"), rekeyed(2, 1, "a", "x"), deleted(1)}},
		"others go on, moves or no":     {"9", []syncline.Event{created(1, "a", "x"), rekeyed(1, 2, "b", "y"), deleted(2)}},
		"two records move to one key":   {"2", []syncline.Event{rekeyed(1, 2, "b", "y"), {Op: syncline.OpTruncated, Schema: customers}, created(5, "c", "x"), rekeyed(5, 2, "c", "y")}},
		"a new record under each of it": {"1", []syncline.Event{created(1, "a", "x"), deleted(1), created(2, "b", "x"), rekeyed(2, 1, "b", "x"), created(2, "c", "x"), deleted(1)}},
	} {
		for _, together := range []bool{true, false} {
			for _, restart := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s, together %v, restart %v", name, together, restart), func(t *testing.T) {
					recorder := memtarget.NewRecorder()
					b := newBench(t, func(o *Options) {
						o.Open = func(context.Context) (syncline.Target, error) { return recorder, nil }
					})
					recorder.Refuse("dim", c.refused)
					if together {
						b.append(c.events...)
					} else {
						for _, e := range c.events {
							b.append(e)
							b.mustDrain()
						}
					}
					b.mustDrain()
					if restart {
						b.start()
						b.mustDrain()
					}
					recorder.Accept("dim", c.refused)
					b.now = b.now.Add(time.Hour)
					b.mustDrain()
					b.wantWaiting()
					wantInOrder(t, recorder, c.events)
					if counts := b.balanced(); counts.Parked != 0 || counts.Applied != int64(len(c.events)) {
						t.Errorf("counts = %+v, want all applied", counts)
					}
				})
			}
		}
	}
}

// TestTwoRecordsThatMoveToOneKey wait for each other, although each is parked under a key of its own: the first is not due yet.
func TestTwoRecordsThatMoveToOneKey(t *testing.T) {
	recorder := memtarget.NewRecorder()
	b := newBench(t, func(o *Options) {
		o.Open = func(context.Context) (syncline.Target, error) { return recorder, nil }
	})
	events := []syncline.Event{rekeyed(1, 2, "b", "y"), {Op: syncline.OpTruncated, Schema: customers}, created(5, "c", "x"), rekeyed(5, 2, "c", "y")}
	recorder.Refuse("dim", "2")
	b.append(events[:2]...)
	b.mustDrain()
	recorder.Accept("dim", "2")
	b.append(events[2:]...)
	b.mustDrain()
	b.now = b.now.Add(time.Hour)
	b.mustDrain()
	b.wantWaiting()
	wantInOrder(t, recorder, events)
}

// wantInOrder checks that every event was sent, and that two which concern one key were sent in their order.
func wantInOrder(t *testing.T, recorder *memtarget.Recorder, events []syncline.Event) {
	t.Helper()
	last, sent := map[syncline.Key]string{}, map[string]bool{}
	for _, s := range recorder.Sent() {
		sent[s.ID] = true
		ev := &s.Change.Batch.Events[s.Change.Event]
		keys := []syncline.Key{s.Key}
		if old, moved := ev.OldKey(); moved {
			keys = append(keys, old)
		}
		place := fmt.Sprintf("%06d.%06d", s.Change.Order.Seq, s.Change.Order.Index)
		for _, k := range keys {
			if place < last[k] {
				t.Errorf("%s %s (%s) was sent after %s", ev.Op, k, place, last[k])
			}
			last[k] = place
		}
	}
	if diff := cmp.Diff(len(events), len(sent)); diff != "" {
		t.Errorf("events sent (-want +got):\n%s", diff)
	}
}
