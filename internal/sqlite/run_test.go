package sqlite

import (
	"fmt"
	"testing"

	"syncline"
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
