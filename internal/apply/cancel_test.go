package apply

import (
	"context"
	"fmt"
	"testing"
	"time"

	"syncline"
	"syncline/internal/memtarget"
	"syncline/internal/state"
)

// failed returns the one task that waits for a person.
func (b *bench) failed() state.Exception {
	b.t.Helper()
	list, err := b.state.Pending(b.ctx, b.route.slice)
	if err != nil || len(list) != 1 || list[0].Status != state.StatusFailed {
		b.t.Fatalf("pending = %+v, %v, want one failed", list, err)
	}
	return list[0]
}

// cancelled checks that nothing waits any more and that one task was given up.
func (b *bench) cancelled() {
	b.t.Helper()
	if c := b.balanced(); c.Parked != 0 || c.Skipped != 1 {
		b.t.Errorf("counts = %+v, want none parked and one skipped", c)
	}
	list, err := b.state.Pending(b.ctx, b.route.slice)
	if err != nil || len(list) != 0 {
		b.t.Errorf("pending = %+v, %v, want none", list, err)
	}
}

// gate is a target that writes when the test lets it.
type gate struct {
	*memtarget.Target
	open chan struct{} // sent by the test; unbuffered: one for each Write
}

func (g *gate) Apply(ctx context.Context, w *syncline.Write) (syncline.Result, error) {
	select {
	case <-g.open:
	case <-ctx.Done():
		return syncline.Result{}, ctx.Err()
	}
	return g.Target.Apply(ctx, w)
}

// TestCancelOnABusyRoute: a route that always has a batch in hand still takes a command, between two of them.
func TestCancelOnABusyRoute(t *testing.T) {
	open := make(chan struct{})
	b := newBench(t, func(o *Options) { o.Limits.MaxRows, o.Retry.Max = 1, 1 })
	b.store.Refuse("dim", "1")
	b.append(created(1, "bad", "x"))
	b.mustDrain()
	x := b.failed()
	for i := range int64(300) {
		b.append(created(i+2, "n", "x"))
	}
	b.options.Open = func(context.Context) (syncline.Target, error) {
		return &gate{b.store.Open(memtarget.Options{Route: "r"}), open}, nil
	}
	var err error
	if b.route, err = New(b.options); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.ctx)
	ran, cancelled := make(chan error, 1), make(chan error, 1) // each gets one word
	go func() { ran <- b.route.Run(ctx, ctx) }()
	open <- struct{}{} // it works, and has the next batch in hand before the answer
	go func() { cancelled <- b.route.Cancel(b.ctx, x, "given up") }()
	for waiting := true; waiting; {
		select {
		case open <- struct{}{}:
		case err := <-cancelled:
			if err != nil {
				t.Errorf("cancel = %v, want it to be carried out", err)
			}
			waiting = false
		}
	}
	stop()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	b.cancelled()
}

// TestCancelWithoutASession: a task is given up where no session knows it, because the route cannot go on, its rule is gone, or
// it is gone itself.
func TestCancelWithoutASession(t *testing.T) {
	prepare := func(t *testing.T) (*bench, state.Exception) {
		b := newBench(t, func(o *Options) { o.Retry.Max = 1 })
		b.store.Refuse("dim", "1")
		b.append(created(1, "bad", "x"), created(2, "good", "x"))
		b.mustDrain()
		return b, b.failed()
	}
	t.Run("halted", func(t *testing.T) {
		b, x := prepare(t)
		halted := make(chan struct{}, 1) // the first halt leaves a note
		b.options.Open = func(context.Context) (syncline.Target, error) {
			select {
			case halted <- struct{}{}:
			default:
				t.Error("cancelling a task had the route begin again")
			}
			return nil, syncline.Errorf(syncline.Fatal, "permission_denied", "no")
		}
		var err error
		if b.route, err = New(b.options); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(b.ctx)
		ran := make(chan error, 1) // Run's one word
		go func() { ran <- b.route.Run(ctx, ctx) }()
		if err := b.route.Cancel(b.ctx, x, "given up"); err != nil {
			t.Error(err)
		}
		if err := b.route.Cancel(b.ctx, x, "again"); syncline.CodeOf(err) != "task_not_parked" {
			t.Errorf("cancelling it again = %v, want task_not_parked", err)
		}
		stop()
		<-ran
		b.cancelled()
	})
	t.Run("the rule has another name", func(t *testing.T) {
		b, x := prepare(t)
		b.again(func(o *Options) { o.Rules[0].ID = "other" })
		if err := b.s.Cancel(b.ctx, x, "given up"); err != nil {
			t.Error(err)
		}
		b.cancelled()
	})
	t.Run("the route is gone", func(t *testing.T) {
		b, x := prepare(t)
		if err := Cancel(b.ctx, b.state, x, "given up", time.Now()); err != nil {
			t.Error(err)
		}
		b.cancelled()
		if err := Cancel(b.ctx, b.state, x, "again", time.Now()); syncline.CodeOf(err) != "task_not_parked" {
			t.Errorf("cancelling it again = %v, want task_not_parked", err)
		}
	})
}

// TestCancelLetsTheNextOfItsKeyGoOn: what an event target held back behind the task is sent.
func TestCancelLetsTheNextOfItsKeyGoOn(t *testing.T) {
	receiver := memtarget.NewRecorder()
	b := newBench(t, func(o *Options) {
		o.Retry.Max = 1
		o.Open = func(context.Context) (syncline.Target, error) { return receiver, nil }
	})
	receiver.Refuse("dim", "1")
	b.append(created(1, "bad", "x"), updated(1, "good", "x"))
	b.mustDrain()
	list, err := b.state.Pending(b.ctx, b.route.slice)
	if err != nil || len(list) != 2 {
		t.Fatalf("pending = %+v, %v, want two", list, err)
	}
	receiver.Accept("dim", "1")
	if err := Cancel(b.ctx, b.state, list[0], "given up", b.now); err != nil {
		t.Fatal(err)
	}
	b.start()
	b.mustDrain()
	b.cancelled()
	if sent := receiver.Sent(); len(sent) != 1 {
		t.Errorf("sent = %s, want the second event alone", fmt.Sprint(sent))
	}
}
