package daemon

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/config"
	"syncline/internal/ops"
	"syncline/internal/state"
)

// parkOne gives the slice a task that has failed.
func (h *house) parkOne(id string) {
	h.t.Helper()
	sl, from, to := state.Slice{Route: id}, syncline.Cursor{Log: h.log.ID(), Seq: 1}, syncline.Cursor{Log: h.log.ID(), Seq: 2}
	if err := h.state.PlaceRoute(h.t.Context(), sl, state.Route{Cursor: from, Source: "crm"}); err != nil {
		h.t.Fatal(err)
	}
	c := state.Commit{Slice: sl, Journal: &state.Journal{From: from, To: to, Start: time.Now(), End: time.Now()},
		Park: []state.Exception{{Task: id + ":crm:1.0", Slice: sl, Rule: id, Source: "crm", Entity: "lead", Key: "1", Seq: 1, Status: state.StatusFailed}}}
	c.Journal.Counts.Count(state.Parked, 1)
	if err := h.state.Commit(h.t.Context(), c); err != nil {
		h.t.Fatal(err)
	}
}

// TestRoutesThatHangKeepNoCommandFromTheOthers, nor from each other, and whoever gave it waits no longer than for one.
func TestRoutesThatHangKeepNoCommandFromTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, config.Log{})
		for _, id := range []string{"a", "b", "c", "d", "e"} {
			h.parkOne(id)
		}
		began := time.Now()
		var calls atomic.Int64
		done, err := (engine{h.Daemon}).onTasks(t.Context(), ops.Selection{Choice: ops.Choice{Status: state.TaskFailed}},
			func(ctx context.Context, sl state.Slice, _ *route, _ func(*state.Exception) bool) ([]apply.Answer, error) {
				if calls.Add(1) <= 2 {
					<-ctx.Done()
				}
				if ctx.Err() != nil {
					return nil, syncline.Errorf(syncline.Transient, "route_busy", "a batch takes long")
				}
				return []apply.Answer{{Task: sl.Route + ":crm:1.0"}}, nil
			})
		busy := 0
		for _, r := range done.Results {
			if !r.Taken && r.Code == "route_busy" {
				busy++
			}
		}
		if took := time.Since(began); done.Tasks != 3 || busy != 2 || err != nil || took != commandTimeout {
			t.Errorf("onTasks = %+v, %v after %v, want 3 tasks and 2 of busy routes after %v", done, err, took, commandTimeout)
		}
	})
}

func TestARouteThatHangsIsNotTheOnlyOneThatResumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, config.Log{})
		system := &config.System{Name: "dw"}
		h.set().config.Systems = append(h.set().config.Systems, system)
		denied := func(context.Context) (syncline.Target, error) {
			return nil, syncline.Errorf(syncline.Fatal, "permission_denied", "no")
		}
		var tried atomic.Int64
		h.open = func(ctx context.Context) (syncline.Target, error) {
			if tried.Add(1) > 1 {
				<-ctx.Done()
			}
			return denied(ctx)
		}
		h.route("hangs", 1).target = system
		var resumed atomic.Int64
		h.open = func(ctx context.Context) (syncline.Target, error) {
			resumed.Add(1)
			return denied(ctx)
		}
		for _, id := range []string{"one", "two"} {
			h.route(id, 1).target = system
		}
		e := engine{h.Daemon}
		if err := e.ResumeRoute(t.Context(), "hangs"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := e.ResumeSystem(t.Context(), "dw"); syncline.CodeOf(err) != "route_busy" {
			t.Errorf("ResumeSystem = %v, want route_busy of the one", err)
		}
		synctest.Wait()
		if n := resumed.Load(); n != 4 {
			t.Errorf("the other two began %d times, want each twice", n)
		}
	})
}
