package push

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"

	"syncline"
	"syncline/internal/memlog"
)

// TestNothingIsLostOrRepeated: clients send until they get 202, over appends that fail in every way, an index that loses
// what was written last, and captures that are cut off between append and confirm. At the end each event is in the log
// exactly once, and those of one client in its order.
func TestNothingIsLostOrRepeated(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) { testCrashes(t, rand.New(rand.NewPCG(1, seed))) })
	}
}

func testCrashes(t *testing.T, random *rand.Rand) {
	const clients, requests = 6, 12
	r := newRig(t, memlog.New(memlog.Options{}).Log("pos"), newIndex(), nil)
	unanswered, answered := context.WithCancel(t.Context())
	var sending sync.WaitGroup
	for client := range clients {
		sending.Go(func() {
			for n := range requests {
				body := batchOf(event(fmt.Sprintf("%d-%d-a", client, n), client, 2*n), event(fmt.Sprintf("%d-%d-b", client, n), client, 2*n+1))
				for {
					w := r.post(body)
					if w.Code == http.StatusAccepted {
						break
					}
					if w.Code < http.StatusInternalServerError {
						t.Errorf("client %d, request %d: %d %s", client, n, w.Code, w.Body)
						return
					}
				}
			}
		})
	}
	go func() {
		sending.Wait()
		answered()
	}()
	for unanswered.Err() == nil {
		before := r.index.copy()
		s, err := r.reopen(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r.captureUntil(unanswered, s, random.IntN(6), memlog.Fault(random.IntN(5)))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if random.IntN(2) == 0 {
			r.index.mu.Lock()
			r.index.ids, r.index.seqs = before.ids, before.seqs
			r.index.mu.Unlock()
		}
	}
	sending.Wait()

	times := map[string]int{}
	last := map[int64]int64{}
	for _, b := range stored(t, r.log) {
		for i := range b.Events {
			times[b.EventID(i)]++
			client, _ := b.Events[i].Row().Field("id").AsInt()
			n, _ := b.Events[i].Row().Field("n").AsInt()
			if was, ok := last[client]; ok && n <= was {
				t.Errorf("client %d: event %d after %d", client, n, was)
			}
			last[client] = n
		}
	}
	for client := range clients {
		for n := range requests {
			for _, part := range []string{"a", "b"} {
				if id := fmt.Sprintf("%d-%d-%s", client, n, part); times[id] != 1 {
					t.Errorf("event %s is in the log %d times", id, times[id])
				}
			}
		}
	}
}

// captureUntil captures as the capture loop does. The batch of this number meets the fault (0 = the process dies before it
// can confirm the batch); two batches later it ends.
func (r *rig) captureUntil(ctx context.Context, s *Source, number int, fault memlog.Fault) {
	for n := 0; n <= number+2; n++ {
		b, err := s.Next(ctx)
		if err != nil {
			return
		}
		if n == number && fault != 0 {
			r.log.FailNext(fault)
		}
		for {
			_, err := r.log.Append(r.t.Context(), b)
			if err == nil {
				break
			}
			if syncline.ClassOf(err) != syncline.Transient {
				r.t.Errorf("append: %v", err)
				return
			}
			s.Stall(err)
		}
		s.Stall(nil)
		if n == number && fault == 0 {
			return
		}
		s.Confirm(b.Position)
	}
}
