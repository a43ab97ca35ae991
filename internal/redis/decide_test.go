package redis

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"syncline"
	"syncline/internal/targettest"
)

// Two routes write the same records: no decision is made on what is no longer there.
func TestDecisionsOfSeveralWritersAreAtomic(t *testing.T) {
	const keys, writes = 10, 40
	for _, format := range []Format{JSON, Hash} {
		t.Run(string(format), func(t *testing.T) {
			object := fmt.Sprintf("counted_%s%d", format, instances.Add(1))
			objects := map[string]Object{object: {Format: format}}
			other := client(t, server)
			var all sync.WaitGroup
			var again atomic.Int64 // writes that gave up in the middle, and were made again
			for w := range 2 {
				route := object + strconv.Itoa(w)
				r := targettest.NewRig(t, open(t, Options{Route: route, Objects: objects}))
				all.Go(func() {
					for n := 0; n < writes; n++ {
						if err := count(t.Context(), r, object, keys, n); syncline.CodeOf(err) == "target_moves" {
							again.Add(1)
							n--
						} else if err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
			shadows, err := other.HGetAll(t.Context(), "_syncline_shadow:"+object).Result()
			if err != nil || len(shadows) != keys {
				t.Fatalf("%d shadows, %v, want %d", len(shadows), err, keys)
			}
			for key, n := range shadows {
				if got, err := strconv.Atoi(n); err != nil || got < 2*writes || got > 2*writes+int(again.Load()) {
					t.Errorf("%s was decided about %s times, want %d", key, n, 2*writes)
				}
			}
		})
	}
}

// count counts each record's decisions in its shadow, and removes some of the records.
func count(ctx context.Context, r *targettest.Rig[*Target], object string, keys, round int) error {
	w := &syncline.Write{Cursor: r.Cursor, Commit: func(context.Context, syncline.Result) error { return nil }}
	for k := range keys {
		w.Changes = append(w.Changes, targettest.Put(object, int64(k), "", 1))
	}
	w.Decide = func(i int, held syncline.Held) (syncline.Decision, error) {
		n, _ := strconv.Atoi(string(held.Shadow)) // none is 0
		next := strconv.Itoa(n + 1)
		if held.Values != nil && held.Values[1].Text() != strconv.Itoa(n) {
			return syncline.Decision{}, syncline.Errorf(syncline.Fatal, "test", "a record after %d decisions has %s", n, held.Values[1].Text())
		}
		values := append([]syncline.Value(nil), w.Changes[i].Row.Values...)
		values[1] = syncline.Text(next)
		d := syncline.Decision{Op: syncline.ChangePut, Values: values, Shadow: []byte(next)}
		if (i+round)%7 == 0 {
			d.Op = syncline.ChangeDelete
		}
		return d, nil
	}
	_, err := r.Target.Apply(ctx, w)
	return err
}
