package ops

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline"
	"syncline/internal/state"
)

// TestPausesGoBothWays: several things of several kinds are paused in one request, shown, and lifted.
func TestPausesGoBothWays(t *testing.T) {
	held := []Pause{{Kind: "source", Name: "crm", Reason: "migration", By: "ada", Since: noon, Routes: []string{"a", "b"}}}
	f := &fake{pauses: held, list: []RouteStatus{{ID: "a", State: RoutePaused, Pauses: held}}}
	c, _ := serve(t, f)
	ctx := t.Context()
	asked := PauseRequest{Sources: []string{"crm"}, Entities: []string{"crm/customer", "pos/order line"}, Rules: []string{"r"}, Targets: []string{"dw"}, Reason: "migration"}
	done, err := c.Pause(ctx, asked)
	must(t, err)
	if diff := cmp.Diff(Paused{Items: held, Finishing: []string{"slow"}}, done); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	must(t, c.Unpause(ctx, asked))
	want := []state.Pause{{Kind: "source", Name: "crm"}, {Kind: "entity", Name: "crm/customer"}, {Kind: "entity", Name: "pos/order line"},
		{Kind: "rule", Name: "r"}, {Kind: "target", Name: "dw"}}
	if diff := cmp.Diff(want, f.lifted); diff != "" {
		t.Errorf("lifted (-want +got):\n%s", diff)
	}
	for i := range want {
		want[i].Reason = "migration"
	}
	if diff := cmp.Diff(want, f.paused); diff != "" {
		t.Errorf("paused (-want +got):\n%s", diff)
	}
	list, err := c.Pauses(ctx)
	must(t, err)
	if diff := cmp.Diff(held, list); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	status, err := c.Status(ctx)
	must(t, err)
	if status.Routes.Paused != 1 {
		t.Errorf("%d routes are paused, want 1", status.Routes.Paused)
	}

	_, err = c.Pause(ctx, PauseRequest{Reason: "nothing"})
	problemIn(t, err, 422, "pause_empty", 1)
	_, err = c.Pause(ctx, PauseRequest{Sources: []string{"crm"}})
	problemIn(t, err, 422, "request_invalid", 1)
	problemIn(t, c.Unpause(ctx, PauseRequest{}), 422, "pause_empty", 1)
	f.err = syncline.Errorf(syncline.Rejected, "pause_not_found", "a pause of source pos: %w", state.ErrNotFound)
	problemIn(t, c.Unpause(ctx, PauseRequest{Sources: []string{"pos"}}), 404, "pause_not_found", 1)
}
