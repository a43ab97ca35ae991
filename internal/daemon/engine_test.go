package daemon

import (
	"path/filepath"
	"testing"
	"time"

	"syncline"
	"syncline/internal/state"
)

// TestATaskOfARouteThatIsGone: it cannot be tried, and can be given up.
func TestATaskOfARouteThatIsGone(t *testing.T) {
	ctx := t.Context()
	store, err := state.Open(ctx, state.Options{Path: filepath.Join(t.TempDir(), "state.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	gone := state.Slice{Route: "gone"}
	from := syncline.Cursor{Log: "L", Seq: 1}
	if err := store.PlaceRoute(ctx, gone, state.Route{Cursor: from, Source: "crm"}); err != nil {
		t.Fatal(err)
	}
	c := state.Commit{Slice: gone, Journal: &state.Journal{From: from, To: syncline.Cursor{Log: "L", Seq: 2}, Start: time.Now(), End: time.Now()},
		Park: []state.Exception{{Task: "gone:crm:1.0", Slice: gone, Rule: "gone", Source: "crm", Entity: "lead", Key: "1", Seq: 1, Status: state.StatusFailed}}}
	c.Journal.Counts.Count(state.Parked, 1)
	if err := store.Commit(ctx, c); err != nil {
		t.Fatal(err)
	}
	e := engine{&Daemon{state: store}}
	if err := e.RetryTask(ctx, "gone:crm:1.0"); syncline.CodeOf(err) != "route_unknown" {
		t.Errorf("retry = %v, want route_unknown", err)
	}
	if err := e.CancelTask(ctx, "gone:crm:1.0", "the rule is gone"); err != nil {
		t.Errorf("cancel = %v, want it to be carried out", err)
	}
	if x, err := store.Exception(ctx, "gone:crm:1.0"); err != nil || x.Status != state.StatusCancelled {
		t.Errorf("the task is %s, %v, want cancelled", x.Status, err)
	}
}
