package redis

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

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

// TestAnExpiredRecordWasRemovedByNobody: it is decided about as one that was never there. One that a decision removed is remembered.
func TestAnExpiredRecordWasRemovedByNobody(t *testing.T) {
	for _, format := range []Format{JSON, Hash} {
		object := fmt.Sprintf("expires_%s%d", format, instances.Add(1))
		r := newRig(t, Options{Objects: map[string]Object{object: {Format: format, TTL: time.Hour}}})
		c := client(t, server)
		put := targettest.Put(object, 1, "x", 1)
		decide := func(op syncline.ChangeOp) (seen syncline.Held) {
			t.Helper()
			w := &syncline.Write{Cursor: r.Cursor, Changes: []syncline.Change{put}, Commit: func(context.Context, syncline.Result) error { return nil },
				Decide: func(_ int, held syncline.Held) (syncline.Decision, error) {
					seen = held
					return syncline.Decision{Op: op, Values: put.Row.Values, Shadow: []byte("remembered")}, nil
				}}
			if _, err := r.Target.Apply(t.Context(), w); err != nil {
				t.Fatal(err)
			}
			return seen
		}
		decide(syncline.ChangePut)
		if seen := decide(syncline.ChangePut); seen.Values == nil || string(seen.Shadow) != "remembered" {
			t.Errorf("%s: a record that is there is seen as %v, %q", format, seen.Values, seen.Shadow)
		}
		if err := c.PExpire(t.Context(), object+":1", 0).Err(); err != nil {
			t.Fatal(err)
		}
		if seen := decide(syncline.ChangePut); seen.Values != nil || seen.Shadow != nil {
			t.Errorf("%s: a record that expired is seen as %v, %q", format, seen.Values, seen.Shadow)
		}
		decide(syncline.ChangeDelete)
		if seen := decide(syncline.ChangePut); seen.Values != nil || string(seen.Shadow) != "remembered" {
			t.Errorf("%s: a record that was removed is seen as %v, %q", format, seen.Values, seen.Shadow)
		}
	}
}

// TestADecidedRecordThatCameBackIsRemembered: it is not forgotten with its tombstone. One that stays away is, with its shadow.
func TestADecidedRecordThatCameBackIsRemembered(t *testing.T) {
	object := fmt.Sprintf("back%d", instances.Add(1))
	r := newRig(t, Options{})
	c := client(t, server)
	decide := func(id int64, op syncline.ChangeOp) {
		t.Helper()
		put := targettest.Put(object, id, "x", 1)
		w := &syncline.Write{Cursor: r.Cursor, Changes: []syncline.Change{put}, Commit: func(context.Context, syncline.Result) error { return nil },
			Decide: func(int, syncline.Held) (syncline.Decision, error) {
				return syncline.Decision{Op: op, Values: put.Row.Values, Shadow: []byte("remembered")}, nil
			}}
		if _, err := r.Target.Apply(t.Context(), w); err != nil {
			t.Fatal(err)
		}
	}
	decide(1, syncline.ChangeDelete)
	decide(1, syncline.ChangePut)
	decide(2, syncline.ChangeDelete)
	gone := "_syncline_gone:" + object
	for _, id := range []string{"1", "2"} { // whatever is to be forgotten is, at the next write
		if err := c.ZAddXX(t.Context(), gone, redis.Z{Score: 1, Member: object + ":" + id}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	decide(3, syncline.ChangePut)
	for id, want := range map[string]bool{"1": true, "2": false} {
		for _, of := range []string{"_syncline_guard:", "_syncline_shadow:"} {
			if got := c.HExists(t.Context(), of+object, object+":"+id).Val(); got != want {
				t.Errorf("%s%s has record %s: %v, want %v", of, object, id, got, want)
			}
		}
	}
}

// TestWhatOthersWriteMeanwhileIsDecidedAbout: a decision about a record that somebody has changed since is made again.
func TestWhatOthersWriteMeanwhileIsDecidedAbout(t *testing.T) {
	c := client(t, server)
	for name, change := range map[string]func(ctx context.Context, key string) error{
		"a field more":  func(ctx context.Context, key string) error { return c.HSet(ctx, key, "theirs", "x").Err() },
		"a field less":  func(ctx context.Context, key string) error { return c.HDel(ctx, key, "name").Err() },
		"another value": func(ctx context.Context, key string) error { return c.HSet(ctx, key, "name", "x").Err() },
		"none":          func(ctx context.Context, key string) error { return c.Del(ctx, key).Err() },
	} {
		object := fmt.Sprintf("meanwhile%d", instances.Add(1))
		r := newRig(t, Options{Objects: map[string]Object{object: {Format: Hash}}})
		r.Write(put(object, 1, "ours", 5))
		newer, asked := put(object, 1, "newer", 6), 0
		w := &syncline.Write{Cursor: r.Cursor, Changes: []syncline.Change{newer}, Commit: func(context.Context, syncline.Result) error { return nil },
			Decide: func(int, syncline.Held) (syncline.Decision, error) {
				if asked++; asked == 1 {
					if err := change(t.Context(), object+":1"); err != nil {
						return syncline.Decision{}, err
					}
				}
				return syncline.Decision{Op: syncline.ChangePut, Values: newer.Row.Values}, nil
			}}
		if _, err := r.Target.Apply(t.Context(), w); err != nil || asked != 2 {
			t.Errorf("%s: asked %d times, %v, want twice", name, asked, err)
		}
	}
}
