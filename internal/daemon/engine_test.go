package daemon

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/config"
	"syncline/internal/memlog"
	"syncline/internal/ops"
	"syncline/internal/state"
	"syncline/internal/statetest"
)

// TestATaskOfARouteThatIsGone: it cannot be tried, and can be given up.
func TestATaskOfARouteThatIsGone(t *testing.T) {
	ctx := t.Context()
	store := statetest.Open(t)
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
	d := &Daemon{state: store, log: slog.New(slog.DiscardHandler)}
	d.current.Store(&set{config: &config.Config{}})
	e := engine{d}
	if err := e.RetryTask(ctx, "gone:crm:1.0", ""); syncline.CodeOf(err) != "route_unknown" {
		t.Errorf("retry = %v, want route_unknown", err)
	}
	failed := ops.Selection{Choice: ops.Choice{Status: state.TaskFailed}}
	if done, err := e.RetryTasks(ctx, failed, ""); done.Tasks != 0 || len(done.Results) != 1 || done.Results[0].Code != "route_unknown" || err != nil {
		t.Errorf("retry of all that failed = %+v, %v, want none", done, err)
	}
	if _, err := e.CancelTasks(ctx, ops.Selection{Choice: ops.Choice{Route: "other"}}, "why"); syncline.CodeOf(err) != "route_not_found" {
		t.Errorf("cancel of all of another route = %v, want route_not_found", err)
	}
	done, err := e.CancelTasks(ctx, ops.Selection{IDs: []string{"gone:crm:1.0", "none"}, Choice: failed.Choice}, "the rule is gone")
	if err != nil || done.Tasks != 1 || len(done.Results) != 2 || done.Results[0].Code != "task_not_found" || !done.Results[1].Taken {
		t.Errorf("cancel of one that failed and one that is none = %+v, %v", done, err)
	}
	if x, err := store.Exception(ctx, "gone:crm:1.0"); err != nil || x.Status != state.StatusCancelled {
		t.Errorf("the task is %s, %v, want cancelled", x.Status, err)
	}
	if err := e.CancelTask(ctx, "gone:crm:1.0", "again"); syncline.CodeOf(err) != "task_not_parked" {
		t.Errorf("cancelling it again = %v, want task_not_parked", err)
	}
}

// TestASyncBeginsAnewOnlyWhatHasLostItsPlace and reads the entity that is asked for.
func TestASyncBeginsAnewOnlyWhatHasLostItsPlace(t *testing.T) {
	ctx := t.Context()
	store := statetest.Open(t)
	src := &source{stream: &stream{log: memlog.New(memlog.Options{}).Log("crm")}}
	d := &Daemon{state: store, log: slog.New(slog.DiscardHandler)}
	d.current.Store(&set{config: &config.Config{}})
	for _, one := range []struct{ id, entity, code string }{
		{"lead", "lead", "needs_sync"}, {"customer", "customer", "needs_sync"}, {"lost", "lead", "cursor_lost"}, {"denied", "lead", "permission_denied"},
	} {
		rules := []apply.Rule{{ID: one.id, Entity: one.entity}}
		r, err := apply.New(apply.Options{ID: one.id, Source: "crm", Rules: rules, Start: apply.StartNow, Log: src.log, State: store,
			Open: func(context.Context) (syncline.Target, error) {
				return nil, syncline.Errorf(syncline.Fatal, one.code, "no")
			}})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Prepare(ctx, false); err != nil {
			t.Fatal(err)
		}
		runCtx, stop := context.WithCancel(ctx)
		ran := make(chan error, 1) // Run's one word
		go func() { ran <- r.Run(runCtx, runCtx) }()
		t.Cleanup(func() {
			stop()
			<-ran
		})
		if err := r.Resume(ctx); err != nil { // taken, so it has halted, and stays so
			t.Fatal(err)
		}
		d.set().routes = append(d.set().routes, &route{id: one.id, source: src, compiled: rules, apply: r})
	}
	for _, test := range []struct {
		routes []string
		anew   map[string]bool
	}{
		{[]string{"denied"}, nil},
		{nil, map[string]bool{"lead": true}},
		{[]string{"lost"}, map[string]bool{"lead": true, "lost": true}},
	} {
		if _, err := (engine{d}).restart(ctx, src, ops.SyncRequest{Source: "crm", Entity: "lead", Routes: test.routes}); err != nil {
			t.Fatal(err)
		}
		for _, r := range d.set().routes {
			row, err := store.Route(ctx, state.Slice{Route: r.id})
			if err != nil || (row.Run == "sync") != test.anew[r.id] {
				t.Errorf("after a sync of leads for %q: route %s begins anew: %v, %v, want %v", test.routes, r.id, row.Run == "sync", err, test.anew[r.id])
			}
		}
	}
}
