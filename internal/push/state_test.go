package push

import (
	"net/http"
	"testing"
	"time"

	"syncline/internal/memlog"
	"syncline/internal/state"
	"syncline/internal/statetest"
)

// TestStateStoreIsAnIndex: repeated events are known over a restart with the index that the product has.
func TestStateStoreIsAnIndex(t *testing.T) {
	index := statetest.Open(t)
	log := memlog.New(memlog.Options{}).Log("pos")
	for run := range 2 {
		r := newRig(t, log, nil, func(o *Options) { o.Index = index })
		s := r.open()
		if run == 0 {
			answer := r.send(batchOf(event("a", 1, 1), event("b", 2, 1)))
			r.capture(s)
			r.wantAnswer("new events", <-answer, http.StatusAccepted, "", "")
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for deadline := time.Now().Add(10 * time.Second); ; <-tick.C {
				seen, err := index.SeenIDs(t.Context(), "pos", []string{"a", "b", markID})
				if err != nil || time.Now().After(deadline) {
					t.Fatalf("the index has %d of 3 ids, %v", len(seen), err)
				}
				if len(seen) == 3 {
					break
				}
			}
		}
		r.wantAnswer("the same again", r.post(batchOf(event("b", 2, 1), event("a", 1, 1))), http.StatusAccepted, "", "")
		r.wantAnswer("another body", r.post(event("a", 1, 2)), http.StatusConflict, "id_conflict", "events[0].id")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

var _ Index = (*state.Store)(nil)
