package natskv

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"syncline"
)

// Two routes write the same records: no decision is made on what is no longer there, and none is lost.
func TestDecisionsOfSeveralWritersAreAtomic(t *testing.T) {
	const keys, writes = 10, 20
	bucket := newBucket()
	var all sync.WaitGroup
	var again atomic.Int64 // writes that gave up in the middle, and were made again
	var first *rig
	for n := range 2 {
		r := newRig(t, Options{Bucket: bucket, Create: n == 0, Route: fmt.Sprint("w", n)})
		if first == nil {
			first = r
		}
		all.Go(func() {
			for n := 0; n < writes; n++ {
				if err := count(t.Context(), r, keys, n); syncline.CodeOf(err) == "target_moves" {
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
	found := 0
	err := first.each(t.Context(), "counted", true, func(subject string, s stored) error {
		found++
		if n, err := strconv.Atoi(string(s.shadow)); err != nil || n < 2*writes || n > 2*writes+int(again.Load()) {
			t.Errorf("%s was decided about %s times, want %d", subject, s.shadow, 2*writes)
		}
		return nil
	})
	if err != nil || found != keys {
		t.Errorf("%d records, %v, want %d", found, err, keys)
	}
}

// count counts each record's decisions in its shadow, and removes some of the records.
func count(ctx context.Context, r *rig, keys, round int) error {
	w := &syncline.Write{Cursor: r.Cursor, Commit: func(context.Context, syncline.Result) error { return nil }}
	for k := range keys {
		w.Changes = append(w.Changes, put("counted", int64(k), "", 1))
	}
	w.Decide = func(i int, held syncline.Held) (syncline.Decision, error) {
		n, _ := strconv.Atoi(string(held.Shadow)) // none is 0
		next := strconv.Itoa(n + 1)
		if held.Values != nil && held.Values[1].Text() != strconv.Itoa(n) {
			return syncline.Decision{}, syncline.Errorf(syncline.Fatal, "test", "a record after %d decisions has %s", n, held.Values[1].Text())
		}
		d := syncline.Decision{Op: syncline.ChangePut, Values: []syncline.Value{w.Changes[i].Row.Values[0], syncline.Text(next)}, Shadow: []byte(next)}
		if (i+round)%7 == 0 {
			d.Op = syncline.ChangeDelete
		}
		return d, nil
	}
	_, err := r.Target.Apply(ctx, w)
	return err
}
