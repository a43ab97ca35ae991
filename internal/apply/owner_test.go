package apply

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"syncline"
	"syncline/internal/memtarget"
)

// frozen is a target whose process stands still in mid-batch, and finds its connection gone when it wakes up.
type frozen struct {
	*memtarget.Target
	asleep *atomic.Bool
	wakes  chan struct{} // closed by the test
}

func (f frozen) Apply(ctx context.Context, w *syncline.Write) (syncline.Result, error) {
	if !f.asleep.Load() {
		return f.Target.Apply(ctx, w)
	}
	<-f.wakes
	f.asleep.Store(false)
	return syncline.Result{}, syncline.Errorf(syncline.Transient, "connection_lost", "the server has ended the session")
}

// TestAWokenOwnerDoesNotTakeOver: the process that took over goes on, whatever the old one tries, and the old one halts until an operator
// decides otherwise. One that only lost an answer, or its connection, goes on.
func TestAWokenOwnerDoesNotTakeOver(t *testing.T) {
	for name, id := range map[string]string{"a route that was there before": "r", "a route that the old process has begun": "new"} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { wokenOwner(t, id) }) })
	}
}

func wokenOwner(t *testing.T, id string) {
	var asleep atomic.Bool
	wakes := make(chan struct{})
	b := newBench(t, func(o *Options) { o.Now = time.Now })
	_ = b.s.Close()
	ctx, stop := context.WithCancel(b.ctx)
	present, retire := context.WithCancel(b.ctx)
	begin := func(ctx context.Context, open func() syncline.Target) (*Route, chan error) {
		o := b.options
		o.ID = id
		o.Open = func(context.Context) (syncline.Target, error) { return open(), nil }
		r, err := New(o)
		if err == nil {
			err = r.Prepare(ctx, false)
		}
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1) // the goroutine's one word
		go func() { done <- r.Run(ctx, ctx) }()
		synctest.Wait()
		return r, done
	}
	plain := func() syncline.Target { return b.store.Open(memtarget.Options{Route: id}) }
	old, oldDone := begin(ctx, func() syncline.Target {
		return frozen{b.store.Open(memtarget.Options{Route: id}), &asleep, wakes}
	})
	b.append(created(1, "a", "x"))
	<-time.After(time.Second)
	asleep.Store(true)
	b.append(created(2, "b", "x"))
	<-time.After(time.Second)

	healthy, healthyDone := begin(present, plain)
	b.append(created(3, "c", "x"))
	<-time.After(time.Second)
	close(wakes)
	<-time.After(time.Minute)
	b.append(created(4, "d", "x"))
	<-time.After(time.Minute)
	if st := old.Status(); st.State != RouteHalted || syncline.CodeOf(st.Err) != "fenced" {
		t.Errorf("the old one is %s, %v, want halted, fenced", st.State, st.Err)
	}
	bounds, err := b.log.Bounds(ctx)
	if st := healthy.Status(); err != nil || st.State != RouteRunning || st.Cursor.Seq <= bounds.Last {
		t.Errorf("the one that took over is %s, %v, at %d, want running and at the log's end, %d", st.State, st.Err, st.Cursor.Seq, bounds.Last)
	}

	// An operator who has stopped the other one gives the target back.
	retire()
	if err := <-healthyDone; err != nil {
		t.Error(err)
	}
	if err := old.Resume(ctx); err != nil {
		t.Fatal(err)
	}
	b.append(created(5, "e", "x"))
	<-time.After(time.Minute)
	if st := old.Status(); st.State != RouteRunning || st.Cursor.Seq <= bounds.Last+1 {
		t.Errorf("after the command the old one is %s, %v, at %d, want running and at the log's end", st.State, st.Err, st.Cursor.Seq)
	}
	stop()
	<-oldDone
}

// cursorless is a target that somebody else has taken, and that cannot tell who may have it.
type cursorless struct{ syncline.Target }

func (cursorless) Apply(context.Context, *syncline.Write) (syncline.Result, error) {
	return syncline.Result{}, syncline.Errorf(syncline.Fatal, "fenced", "somebody else has it")
}

// TestATargetWithoutACursorIsNotTakenAgain: two processes would take it from each other for ever.
func TestATargetWithoutACursorIsNotTakenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var opened atomic.Int64
		b := newBench(t, func(o *Options) { o.Now = time.Now })
		_ = b.s.Close()
		b.options.ID, b.options.Open = "other", func(context.Context) (syncline.Target, error) {
			opened.Add(1)
			return cursorless{memtarget.NewRecorder()}, nil
		}
		r, err := New(b.options)
		if err == nil {
			err = r.Prepare(b.ctx, true)
		}
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(b.ctx)
		done := make(chan error, 1) // the goroutine's one word
		go func() { done <- r.Run(ctx, ctx) }()
		b.append(created(1, "a", "x"))
		<-time.After(10 * time.Minute)
		if st := r.Status(); st.State != RouteHalted || syncline.CodeOf(st.Err) != "fenced" || opened.Load() != 1 {
			t.Errorf("the route is %s, %v, and opened its target %d times, want halted, fenced, once", st.State, st.Err, opened.Load())
		}
		stop()
		<-done
	})
}
