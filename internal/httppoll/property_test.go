package httppoll

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"

	"syncline"
)

// TestAnyHistory: records are written, moved between pages and removed while they are read; answers fail, are cut and come late; batches get lost and
// the process dies. After a look that went well, a target has every record as it is, and after a sweep it has no other.
func TestAnyHistory(t *testing.T) {
	for seed := range uint64(64) {
		by := []By{ByNone, ByNumber, ByOffset, ByLink}[seed%4]
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) { anyHistory(t, by, rand.New(rand.NewPCG(seed, 7))) }) {
			return
		}
	}
}

func anyHistory(t *testing.T, by By, dice *rand.Rand) {
	s := newShop(t, by)
	s.etags = dice.IntN(2) == 0
	second := 0
	write := func() { // mu is held
		second++
		id := 1 + dice.IntN(14)
		if _, there := s.orders[id]; there && dice.IntN(5) == 0 {
			delete(s.orders, id)
			return
		}
		s.putLocked(id, fmt.Sprint("as of ", second), second)
	}
	writes := func(n int) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for range n {
			write()
		}
	}
	writes(10)
	e := s.entity()
	e.Overlap = Overlap{}
	if dice.IntN(2) == 0 {
		e.Get, e.GetRecord = &Request{Path: "/orders/{key}"}, "data"
	}
	r := newReader(t, s, e)
	step := func() {
		lost := dice.IntN(8) == 0
		b, err := r.next(lost)
		if err != nil || lost && b != nil {
			r.crash()
		}
	}
	open := map[string]syncline.Run{}
	for range 40 {
		if dice.IntN(3) == 0 {
			writes(dice.IntN(4))
		}
		if dice.IntN(3) == 0 {
			run := syncline.Run{ID: fmt.Sprint("r", second, dice.Uint32()), Entity: "order", Force: true,
				Kind: []syncline.RunKind{syncline.RunPoll, syncline.RunPoll, syncline.RunSweep, syncline.RunFull, syncline.RunKeys}[dice.IntN(5)]}
			if run.Kind == syncline.RunKeys {
				run.Keys = []syncline.Key{syncline.Key(fmt.Sprint(1 + dice.IntN(14)))}
			}
			open[run.ID] = run
			if err := r.source.StartRun(run); err != nil {
				t.Fatal(err)
			}
		}
		s.mu.Lock()
		s.before = func(w http.ResponseWriter, q *http.Request) bool {
			for dice.IntN(4) == 0 {
				write()
			}
			switch dice.IntN(20) {
			case 0:
				w.WriteHeader(http.StatusInternalServerError)
			case 1:
				w.WriteHeader(http.StatusServiceUnavailable)
			case 2:
				fmt.Fprint(w, `{"items": [{"id": 1`)
			default:
				return false
			}
			return true
		}
		s.mu.Unlock()
		r.source.takeRequests()
		if r.source.due() != nil || !r.source.begun {
			step()
		}
		if dice.IntN(10) == 0 {
			r.crash()
		}
	}
	s.mu.Lock()
	s.before = nil
	s.mu.Unlock()
	r.crash()
	for _, run := range open { // the state store asks again for what is open
		if err := r.source.StartRun(run); err != nil {
			t.Fatal(err)
		}
	}
	if c, err := r.run(syncline.Run{ID: "look", Kind: syncline.RunPoll}); err != nil || c.Failed != "" {
		t.Fatal(err, c)
	}
	s.mu.Lock()
	for id := range s.orders {
		if r.rows[fmt.Sprint(id)] == "" {
			t.Errorf("%s: a look went well, and order %d is missing", by, id)
		}
	}
	s.mu.Unlock()
	if c, err := r.run(syncline.Run{ID: "sweep", Kind: syncline.RunSweep, Force: true}); err != nil || c.Failed != "" {
		t.Fatal(err, c)
	}
	for r.source.takeRequests(); r.source.due() != nil; r.source.takeRequests() {
		if _, err := r.next(false); err != nil {
			t.Fatal(err)
		}
	}
	r.same(s)
}
