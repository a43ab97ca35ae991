package apply

import (
	"context"
	"errors"
	"testing"
	"time"

	"syncline"
	"syncline/internal/memtarget"
	"syncline/internal/state"
)

// slow is a target whose batches take until they are let go.
type slow struct {
	*memtarget.Recorder
	begun, leave chan struct{} // Apply sends to the one and receives from the other
}

func (s *slow) Apply(ctx context.Context, w *syncline.Write) (syncline.Result, error) {
	s.begun <- struct{}{}
	<-s.leave
	return s.Recorder.Apply(ctx, w)
}

// TestAPausedRouteTellsThatItLostItsHold: what the log gives up while a route is paused is shown at once, and after a restart, and goes
// with a new beginning.
func TestAPausedRouteTellsThatItLostItsHold(t *testing.T) {
	b := newBench(t, func(o *Options) {
		o.Open = func(context.Context) (syncline.Target, error) { return memtarget.NewRecorder(), nil }
		o.Now = time.Now
	})
	if err := b.s.Close(); err != nil {
		t.Fatal(err)
	}
	gap := func(from, to syncline.Seq) {
		t.Helper()
		if err := b.state.UpdateRoute(b.ctx, b.route.slice, func(row *state.Route) { row.GapFrom, row.GapTo = from, to }); err != nil {
			t.Fatal(err)
		}
	}
	run := func(during func()) {
		t.Helper()
		ctx, stop := context.WithCancel(b.ctx)
		ran := make(chan error, 1) // Run's one word
		b.route.SetPaused(true)
		go func() { ran <- b.route.Run(ctx, b.ctx) }()
		if err := b.route.HeedPause(b.ctx); err != nil {
			t.Fatal(err)
		}
		during()
		stop()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	}
	shows := func(code string) {
		t.Helper()
		if st := b.route.Status(); st.State != RoutePaused || (st.Err == nil) != (code == "") || st.Err != nil && (syncline.CodeOf(st.Err) != code || syncline.FixOf(st.Err) == "") {
			t.Errorf("status = %s, %v, want it paused, with the code %q and a way out", st.State, st.Err, code)
		}
	}
	run(func() {
		shows("")
		gap(1, 7)
		if err := b.route.Recheck(b.ctx); err != nil {
			t.Error(err)
		}
		shows("needs_sync")
	})
	run(func() {
		shows("needs_sync")
		gap(0, 0)
		if err := b.route.Recheck(b.ctx); err != nil {
			t.Error(err)
		}
		shows("")
	})
}

// TestAPauseComesAfterTheBatchInHand: it is finished, nothing is taken after it, commands that need the target are refused meanwhile and
// others are not, and the route goes on where it stood.
func TestAPauseComesAfterTheBatchInHand(t *testing.T) {
	target := &slow{memtarget.NewRecorder(), make(chan struct{}), make(chan struct{})}
	b := newBench(t, func(o *Options) {
		o.Open = func(context.Context) (syncline.Target, error) { return target, nil }
		o.Now = time.Now
	})
	if err := b.s.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.ctx)
	ran := make(chan error, 1) // Run's one word
	go func() { ran <- b.route.Run(ctx, b.ctx) }()
	b.append(created(1, "a", "x"))
	<-target.begun
	b.append(created(2, "b", "x"))
	b.route.SetPaused(true)
	heeded := make(chan error, 1) // HeedPause's one word
	go func() { heeded <- b.route.HeedPause(b.ctx) }()
	if st := b.route.Status(); st.State != RouteRunning || st.InHand.Start.IsZero() {
		t.Errorf("status = %+v, want it running with its batch in hand", st)
	}
	target.leave <- struct{}{}
	if err := <-heeded; err != nil {
		t.Fatal(err)
	}
	st := b.route.Status()
	if st.State != RoutePaused || st.Err != nil {
		t.Errorf("status = %s, %v, want it paused", st.State, st.Err)
	}
	at, err := b.state.Route(b.ctx, b.route.slice)
	if err != nil || at.Cursor.Seq != 2 {
		t.Errorf("the route stands at %+v, %v, want it behind the batch that was in hand", at.Cursor, err)
	}
	if err := b.route.Retry(b.ctx, state.Exception{}); syncline.CodeOf(err) != "route_paused" {
		t.Errorf("retry while it is paused = %v, want route_paused", err)
	}
	if answers, err := b.route.CancelAll(b.ctx, func(*state.Exception) bool { return true }, "x"); err != nil || len(answers) != 0 {
		t.Errorf("cancel while it is paused = %v, %v, want it carried out", answers, err)
	}
	b.route.SetPaused(false)
	if err := b.route.HeedPause(b.ctx); err != nil {
		t.Error(err)
	}
	<-target.begun
	target.leave <- struct{}{}
	stop()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	if at, err := b.state.Route(b.ctx, b.route.slice); err != nil || at.Cursor.Seq != 3 {
		t.Errorf("the route stands at %+v, %v, want it at the end", at.Cursor, err)
	}
}

// TestAPauseDoesNotHideAHalt: what a route has stopped at by itself is more than a pause, during it and after it. One that waits for its
// target pauses at once.
func TestAPauseDoesNotHideAHalt(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want RouteState
	}{
		"halted":   {syncline.Errorf(syncline.Fatal, "object_missing", "there is none"), RouteHalted},
		"degraded": {errors.New("connection refused"), RoutePaused},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil)
			b.options.Open = func(context.Context) (syncline.Target, error) { return nil, c.err }
			b.options.MinDelay, b.options.MaxDelay = time.Hour, time.Hour
			var err error
			if b.route, err = New(b.options); err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(b.ctx)
			ran := make(chan error, 1) // Run's one word
			go func() { ran <- b.route.Run(ctx, b.ctx) }()
			if err := b.route.do(b.ctx, command{whileStopped: func(context.Context) (bool, error) { return false, nil }}); err != nil {
				t.Fatal(err) // it has stopped, or waits
			}
			b.route.SetPaused(true)
			if err := b.route.HeedPause(b.ctx); err != nil {
				t.Fatal(err)
			}
			if got := b.route.Status().State; got != c.want {
				t.Errorf("paused, the route is %s, want %s", got, c.want)
			}
			b.route.SetPaused(false)
			if err := b.route.HeedPause(b.ctx); err != nil {
				t.Fatal(err)
			}
			stop()
			if err := <-ran; err != nil {
				t.Error(err)
			}
		})
	}
}
