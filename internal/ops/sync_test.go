package ops

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
	"syncline/internal/state"
)

func TestASyncIsSteeredThroughTheAPI(t *testing.T) {
	f := &fake{syncs: []state.RunRow{{Run: syncline.Run{ID: "run/1", Kind: syncline.RunFull, Entity: "order", Where: "total > 3", From: "17"}, Source: "shop",
		Status: state.RunRunning, Chunks: 3, Rows: 100, Scanned: 250, Estimate: 1000, Steering: state.Steering{Held: true, Reason: "lunch", By: "ann", Rate: 50}}}}
	c, _ := serve(t, f)
	ctx := t.Context()
	got, err := c.Sync(ctx, "run/1")
	must(t, err)
	want := Sync{ID: "run/1", Source: "shop", Entity: "order", Kind: "full", Where: "total > 3", FromKey: "17", Status: "paused", Chunks: 3, Rows: 100, Scanned: 250,
		Estimate: 1000, Percent: new(25.0), MaxRate: 50, Behind: []BehindRoute{}, Reason: "lunch", By: "ann"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Sync (-want +got):\n%s", diff)
	}
	for _, action := range []string{SyncPause, SyncResume, SyncCancel} {
		if _, err := c.SteerSync(ctx, "run/1", action, Steering{Reason: "because"}); err != nil {
			t.Errorf("%s: %v", action, err)
		}
	}
	if diff := cmp.Diff([]string{"pause sync run/1: because", "resume sync run/1: because", "cancel sync run/1: because"}, f.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	_, err = c.Sync(ctx, "nobody")
	problemIn(t, err, 500, "internal", 1)
	request := MissingRequest{Source: "shop", Entity: "order", To: []string{"w"}, DryRun: true, MaxPercent: new(5.0)}
	found, err := c.DeleteMissing(ctx, request)
	if err != nil || len(found.Targets) != 1 || found.Targets[0].Missing != 1 || found.Runs == nil {
		t.Errorf("DeleteMissing = %+v, %v", found, err)
	}
	if diff := cmp.Diff(request, f.missing); diff != "" {
		t.Errorf("request at the engine (-want +got):\n%s", diff)
	}
}

func TestHowFarASyncIs(t *testing.T) {
	row := state.RunRow{Run: syncline.Run{Kind: syncline.RunFull}, Status: state.RunRunning, Scanned: 600, Estimate: 1000}
	shown := func(change func(*state.RunRow)) Sync {
		r := row
		if change != nil {
			change(&r)
		}
		return syncOf(&r, Progress{Rate: 100})
	}
	value := func(p *float64) float64 {
		if p == nil {
			return -1
		}
		return *p
	}
	for name, c := range map[string]struct {
		change        func(*state.RunRow)
		status        string
		percent, left float64
	}{
		"running":            {nil, "running", 60, 4},
		"held":               {func(r *state.RunRow) { r.Held = true }, "paused", 60, -1},
		"to be given up":     {func(r *state.RunRow) { r.Held, r.Cancelled = true, true }, "cancelling", 60, 4},
		"about to fail":      {func(r *state.RunRow) { r.Error = "e" }, "cancelling", 60, 4},
		"grown":              {func(r *state.RunRow) { r.Scanned = 5000 }, "running", 99, -1},
		"grown, done":        {func(r *state.RunRow) { r.Status, r.Scanned = state.RunDone, 5000 }, "done", 100, -1},
		"of unknown size":    {func(r *state.RunRow) { r.Estimate = 0 }, "running", -1, -1},
		"done":               {func(r *state.RunRow) { r.Status = state.RunDone }, "done", 100, -1},
		"done, unknown size": {func(r *state.RunRow) { r.Status, r.Estimate = state.RunDone, 0 }, "done", 100, -1},
		"cancelled":          {func(r *state.RunRow) { r.Status, r.Cancelled = state.RunCancelled, true }, "cancelled", 60, -1},
	} {
		s := shown(c.change)
		if s.Status != c.status || value(s.Percent) != c.percent || value(s.Left) != c.left {
			t.Errorf("%s: %s, %g %%, %g s left, want %s, %g, %g", name, s.Status, value(s.Percent), value(s.Left), c.status, c.percent, c.left)
		}
	}
}

// TestASyncIsFollowed: until it is over and applied, or only routes that have stopped are left.
func TestASyncIsFollowed(t *testing.T) {
	f := &fake{syncs: []state.RunRow{{Run: syncline.Run{ID: "r", Kind: syncline.RunFull}, Status: state.RunRunning}}}
	c, _ := serve(t, f)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var seen []string
	err := c.FollowSync(ctx, "r", func(s Sync) error {
		seen = append(seen, s.Status)
		f.syncs[0].Status, f.behind = state.RunDone, []BehindRoute{{"a", RouteRunning}}
		if s.Status == state.RunDone {
			f.behind = []BehindRoute{{"b", RouteHalted}}
		}
		return nil
	})
	if want := []string{"running", "done", "done"}; err != nil || !slices.Equal(seen, want) {
		t.Errorf("FollowSync saw %v, %v, want %v", seen, err, want)
	}
}

// TestTheEventsOfASync: one for each change, of its routes too, until nothing more becomes of it.
func TestTheEventsOfASync(t *testing.T) {
	f := &fake{syncs: []state.RunRow{{Run: syncline.Run{ID: "r", Kind: syncline.RunFull}, Status: state.RunDone, Rows: 5, Scanned: 5}}}
	_, url := serve(t, f)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	get := func(path string) (int, string, string) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+path, nil)
		must(t, err)
		res, err := http.DefaultClient.Do(req)
		must(t, err)
		defer res.Body.Close() //nolint:errcheck // it was read
		body, err := io.ReadAll(res.Body)
		must(t, err)
		return res.StatusCode, res.Header.Get("Content-Type"), string(body)
	}
	status, media, body := get("/v1/syncs/r/events")
	if status != 200 || media != "text/event-stream" || strings.Count(body, "event: sync\n") != 1 || !strings.Contains(body, `"scanned":5`) {
		t.Errorf("the events of a sync that is over: %d %s\n%s", status, media, body)
	}
	// The last word is what is: a route that stops while it still has to apply is told as it is then.
	looks := 0
	f.behindNow = func() []BehindRoute {
		if looks++; looks < 3 {
			return []BehindRoute{{"a", RouteRunning}}
		}
		return []BehindRoute{{"a", RouteHalted}}
	}
	if _, _, body := get("/v1/syncs/r/events"); strings.Count(body, "event: sync\n") != 2 || !strings.Contains(body[strings.LastIndex(body, "event: sync"):], `"state":"halted"`) {
		t.Errorf("the events of a sync whose route stops:\n%s", body)
	}
	if status, _, body := get("/v1/syncs/nobody/events"); status < 400 {
		t.Errorf("the events of no sync: %d\n%s", status, body)
	}
}
