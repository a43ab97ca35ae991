package apply

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
	"syncline/internal/state"
)

func TestWhatIsDueComesInTurn(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	task := func(n int, status string, in time.Duration) state.Exception {
		return state.Exception{Task: fmt.Sprint("t", n), Rule: "r", Key: syncline.Key(fmt.Sprint(n)), Seq: syncline.Seq(n), Status: status, NextTry: now.Add(in)}
	}
	pk := newParking(map[string]int{"r": 0}, moves{}, []state.Exception{task(1, state.StatusRetrying, 3*time.Second), task(2, state.StatusFailed, 0),
		task(3, state.StatusRetrying, time.Second), task(4, state.StatusRetrying, time.Second), task(5, state.StatusReading, 0)})
	want := func(when string, in time.Duration, n int, keys ...string) {
		t.Helper()
		for range 2 { // what is ready stays ready until a commit changes it
			var got []string
			for _, k := range pk.ready(now.Add(in), n) {
				got = append(got, string(k.slot.key))
			}
			if diff := cmp.Diff(keys, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", when, diff)
			}
		}
	}
	want("at once", 0, 9)
	want("after a second", time.Second, 9, "3", "4")
	want("one of two", time.Second, 1, "3")
	pk.fold(&state.Commit{Update: []state.Exception{task(3, state.StatusRetrying, 10*time.Second), task(4, state.StatusResolved, 0)}})
	want("after their attempt", 5*time.Second, 9, "1")
	if at, ok := pk.wake(); !ok || !at.Equal(now.Add(3*time.Second)) {
		t.Errorf("wake = %v, %v, want in three seconds", at, ok)
	}
	failed := task(2, state.StatusFailed, 0)
	k, _ := pk.find(&failed)
	pk.force(k)
	want("an operator's retry", 0, 9, "2")
	pk.fold(&state.Commit{Update: []state.Exception{failed}})
	want("refused again", 0, 9)
	pk.fold(&state.Commit{Update: []state.Exception{task(1, state.StatusFailed, 0), task(3, state.StatusCancelled, 0)},
		Park: []state.Exception{task(6, state.StatusFailed, 0)}})
	if at, ok := pk.wake(); ok {
		t.Errorf("wake = %v where nothing will be due by itself", at)
	}
	pk.fold(&state.Commit{Park: []state.Exception{task(7, state.StatusRetrying, time.Minute)}})
	want("a new one", time.Minute, 9, "7")
}

// TestRetriesAreFartherAndFartherApart: each pause is twice the one before, up to the longest.
func TestRetriesAreFartherAndFartherApart(t *testing.T) {
	var got []time.Duration
	for attempts := range 6 {
		got = append(got, Retry{Delay: time.Second, MaxDelay: 10 * time.Second}.withDefaults().after(attempts+1))
	}
	if want := []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 10 * time.Second, 10 * time.Second}; !slices.Equal(got, want) {
		t.Errorf("pauses = %v, want %v", got, want)
	}
}
