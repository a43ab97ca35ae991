package sqlite

import (
	"fmt"
	"testing"

	"syncline"
	"syncline/internal/sourcetest"
)

func TestStartRunRefuses(t *testing.T) {
	src := NewSource(newShop(t).opt)
	if err := src.StartRun(syncline.Run{ID: "x", Kind: syncline.RunFull, Entity: "other"}); syncline.CodeOf(err) != "entity_unknown" || syncline.ClassOf(err) != syncline.Rejected {
		t.Errorf("error = %v, want it rejected as entity_unknown", err)
	}
	for i := range maxRequests {
		if err := src.StartRun(syncline.Run{ID: fmt.Sprint(i), Kind: syncline.RunFull, Entity: "item"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := src.StartRun(syncline.Run{ID: "0", Kind: syncline.RunFull, Entity: "item"}); err != nil {
		t.Errorf("error of a run that waits already = %v", err)
	}
	if err := src.StartRun(syncline.Run{ID: "more", Kind: syncline.RunFull, Entity: "item"}); syncline.CodeOf(err) != "runs_exhausted" {
		t.Errorf("error = %v, want runs_exhausted", err)
	}
}

// TestATableIsReadAgainOnce: not whenever its source is opened, however many runs have ended since.
func TestATableIsReadAgainOnce(t *testing.T) {
	s := NewSource(Options{Name: "crm", Entities: map[string]Entity{"item": {}}})
	s.begun, s.checkpoint.Shape = true, 3
	l := &layout{shape: &shape{id: 4, resync: true}, entity: "item", schema: &syncline.Schema{Entity: "item", Key: []int{0}}}
	s.layouts, s.current = map[int64]*layout{4: l}, map[string]*layout{"item": l}
	for _, want := range []int{1, 0} {
		s.resync()
		if n := len(s.checkpoint.Runs); n != want || s.checkpoint.Shape != 4 {
			t.Errorf("%d runs, shape %d, want %d runs and shape 4", n, s.checkpoint.Shape, want)
		}
		s.checkpoint.Runs = nil // done, and forgotten for those that were done since
	}
}

func TestOnlyWhatTheEpochHasIsConfirmed(t *testing.T) {
	s := NewSource(Options{Name: "crm"})
	s.epoch, s.confirmed = 2, 7
	sourcetest.OfItsEpoch(t, s.Confirm, func() uint64 { return s.confirmed })
}
