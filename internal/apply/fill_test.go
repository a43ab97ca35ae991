package apply

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"syncline"
	"syncline/internal/memtarget"
)

// offer gives the session one entry of the log and lets it do what it wants.
func (b *bench) offer() {
	b.t.Helper()
	e, ok, err := b.read.TryNext()
	if err != nil || !ok {
		b.t.Fatalf("TryNext = %v, %v", ok, err)
	}
	batch, err := syncline.DecodeBatch(e.Data)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.s.Take(Fed{Seq: e.Seq, Time: e.Time, Batch: batch, Size: len(e.Data), More: e.More}); err != nil {
		b.t.Fatal(err)
	}
	b.step()
}

func (b *bench) step() {
	b.t.Helper()
	if err := b.s.Step(b.ctx); err != nil {
		b.t.Fatal(err)
	}
}

func fillUp(rows int, wait time.Duration) func(*Options) {
	return func(o *Options) { o.Limits.MaxRows, o.Limits.MaxWait = rows, wait }
}

func TestRouteThatIsBehindFillsItsBatch(t *testing.T) {
	b := newBench(t, fillUp(100, time.Second))
	b.append(created(1, "a", ""))
	b.append(created(2, "b", ""))
	b.append(created(3, "c", ""))
	b.offer()
	b.offer()
	b.want(map[string]string{})
	b.offer()
	b.want(map[string]string{"1": "a/", "2": "b/", "3": "c/"})
	if r, err := b.state.Route(b.ctx, b.route.slice); err != nil || r.Settled != 1 || r.Cursor.Seq != 4 {
		t.Errorf("the last batch was from %d to %d (%v), want all in one, from 1 to 4", r.Settled, r.Cursor.Seq, err)
	}
}

func TestRouteAtTheLogsEndAppliesAtOnce(t *testing.T) {
	b := newBench(t, fillUp(100, time.Hour))
	b.append(created(1, "a", ""))
	b.offer()
	b.want(map[string]string{"1": "a/"})
}

func TestFullBatchDoesNotWait(t *testing.T) {
	b := newBench(t, fillUp(2, time.Hour))
	b.append(created(1, "a", ""), created(2, "b", ""))
	b.append(created(3, "c", ""))
	b.offer()
	b.want(map[string]string{"1": "a/", "2": "b/"})
}

func TestBatchWithoutRoomInTheWindowDoesNotWait(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Limits.Window, o.Limits.MaxWait = 1, time.Hour })
	b.append(created(1, "a", ""))
	b.append(created(2, "b", ""))
	b.offer()
	b.want(map[string]string{"1": "a/"})
}

func TestBatchWaitsNoLongerThanItMay(t *testing.T) {
	b := newBench(t, fillUp(100, time.Second))
	b.append(created(1, "a", ""))
	b.append(created(2, "b", ""))
	b.offer()
	b.now = b.now.Add(999 * time.Millisecond)
	b.step()
	b.want(map[string]string{})
	b.now = b.now.Add(time.Millisecond)
	b.step()
	b.want(map[string]string{"1": "a/"})
}

// What follows cannot be added to a batch that a barrier ends.
func TestBatchBeforeABarrierDoesNotWait(t *testing.T) {
	truncated := syncline.Event{Op: syncline.OpTruncated, Schema: customers}
	for _, test := range []struct {
		name   string
		events []syncline.Event
		done   syncline.Cursor
	}{
		{"the barrier itself", []syncline.Event{truncated}, syncline.Cursor{Seq: 2}},
		{"before and at the barrier", []syncline.Event{created(1, "a", ""), truncated, created(2, "b", "")}, syncline.Cursor{Seq: 1, Index: 2}},
	} {
		b := newBench(t, fillUp(100, time.Hour))
		b.append(test.events...)
		b.append(created(3, "c", ""))
		b.offer()
		if at := b.s.Cursor(); at.Seq != test.done.Seq || at.Index != test.done.Index {
			t.Errorf("%s: done up to %d.%d, want %d.%d", test.name, at.Seq, at.Index, test.done.Seq, test.done.Index)
		}
	}
}

// A refused batch is cut smaller and smaller; each piece is there already.
func TestRefusedBatchDoesNotWait(t *testing.T) {
	b := newBench(t, fillUp(3, time.Hour))
	b.store.Refuse("dim", "2")
	b.append(created(1, "a", ""), created(2, "b", ""), created(3, "c", ""))
	b.append(created(4, "d", ""))
	b.offer()
	b.want(map[string]string{"1": "a/", "3": "c/"})
}

// silent is a log that says of each entry that another one follows, and is slow to give it.
type silent struct{ syncline.Log }

func (l silent) Read(ctx context.Context, from syncline.Seq) (syncline.LogReader, error) {
	r, err := l.Log.Read(ctx, from)
	return silentReader{r}, err
}

type silentReader struct{ syncline.LogReader }

func (r silentReader) Next(ctx context.Context) (syncline.Entry, error) {
	e, err := r.LogReader.Next(ctx)
	e.More = true
	return e, err
}

// What a route reads from the feed's memory was the newest when it was read from the log.
func TestFeedKnowsWhatFollows(t *testing.T) {
	b := newBench(t, nil)
	f := NewFeed(b.log)
	defer func() { _ = f.Close() }()
	first, second := f.Reader(1), f.Reader(1)
	b.append(created(1, "a", ""))
	if d, err := first.Next(b.ctx); err != nil || d.More {
		t.Fatalf("the only entry: More = %v, %v", d.More, err)
	}
	b.append(created(2, "b", ""))
	if d, err := first.Next(b.ctx); err != nil || d.More {
		t.Fatalf("the newest entry: More = %v, %v", d.More, err)
	}
	if d, err := second.Next(b.ctx); err != nil || !d.More {
		t.Fatalf("the entry before it: More = %v, %v", d.More, err)
	}
}

// announcer tells of each write.
type announcer struct {
	*memtarget.Recorder
	wrote chan time.Time // sent to by Apply, received by the test; has room so that the route goes on
}

func (a announcer) Apply(ctx context.Context, w *syncline.Write) (syncline.Result, error) {
	a.wrote <- time.Now()
	return a.Recorder.Apply(ctx, w)
}

// The loop wakes up by itself when a batch has waited long enough.
func TestRunEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const wait = 70 * time.Millisecond
		target := announcer{memtarget.NewRecorder(), make(chan time.Time, 10)}
		b := newBench(t, func(o *Options) {
			o.Limits.MaxWait, o.Now, o.Log = wait, time.Now, silent{o.Log}
			o.Open = func(context.Context) (syncline.Target, error) { return target, nil }
		})
		_ = b.s.Close()
		b.append(created(1, "a", ""))
		ctx, cancel := context.WithCancel(t.Context())
		stopped := make(chan error, 1) // sent to once, when the route has stopped
		began := time.Now()
		go func() { stopped <- b.route.Run(ctx, t.Context()) }()
		select {
		case wrote := <-target.wrote:
			if took := wrote.Sub(began); took != wait {
				t.Errorf("the batch was written after %v, want %v", took, wait)
			}
		case <-time.After(time.Minute):
			t.Error("the batch was not written")
		}
		cancel()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
}

// A route that is stopped while a batch waits for more does not write it, and the next one does: nothing is lost, and nothing is done twice.
func TestABatchThatFillsOutlivesAStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := announcer{memtarget.NewRecorder(), make(chan time.Time, 10)}
		b := newBench(t, func(o *Options) {
			o.Limits.MaxWait, o.Now, o.Log = time.Hour, time.Now, silent{o.Log}
			o.Open = func(context.Context) (syncline.Target, error) { return target, nil }
		})
		_ = b.s.Close()
		b.append(created(1, "a", ""), created(2, "b", ""))
		run := func() (stop func()) {
			ctx, cancel := context.WithCancel(t.Context())
			stopped := make(chan error, 1) // sent to once, when the route has stopped
			go func() { stopped <- b.route.Run(ctx, t.Context()) }()
			return func() {
				cancel()
				if err := <-stopped; err != nil {
					t.Error(err)
				}
			}
		}
		stop := run()
		synctest.Wait() // it waits for what follows
		stop()
		if len(target.wrote) > 0 {
			t.Error("a batch was written that had room and time")
		}
		stop = run()
		select {
		case <-target.wrote:
		case <-time.After(2 * time.Hour):
			t.Error("the batch was not written after the stop")
		}
		stop()
		if n := len(target.wrote); n > 0 {
			t.Errorf("it was written %d times more", n)
		}
	})
}
