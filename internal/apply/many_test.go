package apply

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"syncline"
	"syncline/internal/memtarget"
	"syncline/internal/state"
)

func isFailed(x *state.Exception) bool { return x.Status == state.StatusFailed }

// manyFailed parks n tasks.
func manyFailed(t *testing.T, n int) *bench {
	t.Helper()
	b := newBench(t, func(o *Options) { o.Retry.Max = 1 })
	for i := range n {
		b.store.Refuse("dim", syncline.Key(strconv.Itoa(i)))
		b.append(created(int64(i), "bad", "x"))
	}
	b.append(created(int64(n), "good", "x"))
	b.mustDrain()
	if c := b.balanced(); c.Parked != int64(n) {
		t.Fatalf("counts = %+v, want %d parked", c, n)
	}
	return b
}

// TestRetryAll: one command has everything tried that a person chose, however many transactions that takes, and also if the route ends
// before it comes to it.
func TestRetryAll(t *testing.T) {
	const n = changesAtOnce + 10
	b := manyFailed(t, n)
	for i := range n {
		b.store.Accept("dim", syncline.Key(strconv.Itoa(i)))
	}
	if got, err := b.s.RetryAll(b.ctx, func(x *state.Exception) bool { return x.Key == "7" }); len(got) != 1 || err != nil {
		t.Errorf("RetryAll of one key = %v, %v, want 1", got, err)
	}
	b.mustDrain()
	if c := b.balanced(); c.Parked != int64(n-1) {
		t.Errorf("counts = %+v, want %d that were not chosen parked", c, n-1)
	}
	if got, err := b.s.RetryAll(b.ctx, isFailed); len(got) != n-1 || err != nil {
		t.Errorf("RetryAll = %v, %v, want %d", got, err, n-1)
	}
	b.start()
	b.mustDrain()
	if c := b.balanced(); c.Parked != 0 || c.Applied != int64(n+1) {
		t.Errorf("counts = %+v, want none parked and %d applied", c, n+1)
	}
}

// TestRetryAllLeavesOutWhatCannotSucceed: an event that did not fit the log cannot be sent.
func TestRetryAllLeavesOutWhatCannotSucceed(t *testing.T) {
	receiver := memtarget.NewRecorder()
	b := newBench(t, func(o *Options) {
		o.Open = func(context.Context) (syncline.Target, error) { return receiver, nil }
	})
	b.append(tooMuch(created(1, "large", "x")))
	b.mustDrain()
	x := b.failed()
	if got, err := b.s.RetryAll(b.ctx, isFailed); len(got) != 1 || syncline.CodeOf(got[0].Err) != codeTooLarge || err != nil {
		t.Errorf("RetryAll = %v, %v, want one that says why not", got, err)
	}
	if now := b.failed(); !now.Updated.Equal(x.Updated) {
		t.Error("a task that cannot be sent was touched")
	}
}

// TestCancelAll: on a route that works, on one that has halted, and without the route.
func TestCancelAll(t *testing.T) {
	for name, cancel := range map[string]func(*bench) ([]Answer, error){
		"running": func(b *bench) ([]Answer, error) { return b.running(nil) },
		"halted": func(b *bench) ([]Answer, error) {
			return b.running(syncline.Errorf(syncline.Fatal, "permission_denied", "no"))
		},
		"gone": func(b *bench) ([]Answer, error) {
			return CancelAll(b.ctx, b.state, b.route.slice, isFailed, "given up", time.Now)
		},
	} {
		t.Run(name, func(t *testing.T) {
			const n = 3
			b := manyFailed(t, n)
			if got, err := cancel(b); len(got) != n || err != nil {
				t.Errorf("CancelAll = %v, %v, want %d", got, err, n)
			}
			if c := b.balanced(); c.Parked != 0 || c.Skipped != int64(n) {
				t.Errorf("counts = %+v, want none parked and %d skipped", c, n)
			}
			x, err := b.state.Exception(b.ctx, TaskID("r", "crm", 1, 0))
			if want := "cancelled: given up; before: refused: object dim refuses the record"; err != nil || x.Error != want {
				t.Errorf("the task says %q, %v, want %q", x.Error, err, want)
			}
		})
	}
}

// running gives up all failed tasks of the route in Run, whose target opens with this error.
func (b *bench) running(opens error) ([]Answer, error) {
	b.t.Helper()
	open := b.options.Open
	b.options.Open = func(ctx context.Context) (syncline.Target, error) {
		if opens != nil {
			return nil, opens
		}
		return open(ctx)
	}
	var err error
	if b.route, err = New(b.options); err != nil {
		b.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.ctx)
	ran := make(chan error, 1) // Run's one word
	go func() { ran <- b.route.Run(ctx, ctx) }()
	n, err := b.route.CancelAll(b.ctx, isFailed, "given up")
	stop()
	if err := <-ran; err != nil {
		b.t.Error(err)
	}
	return n, err
}

// TestCancelAllOfAKey: what an event target held back behind the chosen tasks is sent, and the order stays.
func TestCancelAllOfAKey(t *testing.T) {
	receiver := memtarget.NewRecorder()
	b := newBench(t, func(o *Options) {
		o.Retry.Max = 1
		o.Open = func(context.Context) (syncline.Target, error) { return receiver, nil }
	})
	receiver.Refuse("dim", "1")
	b.append(created(1, "a", "x"), updated(1, "b", "x"), updated(1, "c", "x"), updated(1, "d", "x"))
	b.mustDrain()
	receiver.Accept("dim", "1")
	chosen := func(x *state.Exception) bool { return x.Index < 2 }
	if n, err := CancelAll(b.ctx, b.state, b.route.slice, chosen, "given up", b.options.Now); len(n) != 2 || err != nil {
		t.Fatalf("CancelAll = %v, %v, want 2", n, err)
	}
	b.start()
	b.mustDrain()
	if c := b.balanced(); c.Parked != 0 || c.Skipped != 2 {
		t.Errorf("counts = %+v, want none parked and two skipped", c)
	}
	if sent := receiver.Sent(); len(sent) != 2 {
		t.Errorf("sent = %s, want the last two events", fmt.Sprint(sent))
	}
}
