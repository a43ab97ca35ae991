package apply

import (
	"testing"
	"time"
)

// TestAnEventIsNotAskedForThatALaterOneOfItsBatchMadeObsolete: where a refused batch is tried in the order of the log, an update finds no row,
// and a later event of the batch writes the whole record. Nothing waits then, nor is the older update carried out later, over the newer one.
func TestAnEventIsNotAskedForThatALaterOneOfItsBatchMadeObsolete(t *testing.T) {
	for name, later := range map[string]struct {
		events func(*bench)
		want   map[string]string
	}{
		"written": {func(b *bench) { b.append(updated(7, "a", "-"), updated(7, "b", "whole"), created(1, "bad", "x")) }, map[string]string{"7": "b/whole"}},
		"written, then changed": {func(b *bench) {
			b.append(updated(7, "a", "-"), updated(7, "b", "whole"), updated(7, "c", "-"), created(1, "bad", "x"))
		}, map[string]string{"7": "c/whole"}},
		"missed twice": {func(b *bench) {
			b.append(updated(7, "a", "-"), updated(7, "b", "-"), updated(7, "c", "whole"), created(1, "bad", "x"))
		}, map[string]string{"7": "c/whole"}},
		"removed": {func(b *bench) { b.append(updated(7, "a", "-"), deleted(7), created(1, "bad", "x")) }, map[string]string{}},
		"another record is asked": {func(b *bench) {
			b.append(updated(8, "a", "-"), updated(7, "a", "-"), updated(7, "b", "whole"), created(1, "bad", "x"))
		}, map[string]string{"7": "b/whole"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil)
			b.store.Refuse("dim", "1")
			later.events(b)
			b.mustDrain()
			pending, err := b.state.Pending(b.ctx, b.route.slice)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range pending {
				if x.Key == "7" {
					t.Errorf("task %s waits: %s %s", x.Task, x.Status, x.Code)
				}
			}
			b.balanced()
			b.now = b.now.Add(time.Hour)
			b.start()
			b.mustDrain()
			b.want(later.want)
		})
	}
}
