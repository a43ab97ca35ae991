package apply

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"syncline"
	"syncline/internal/memtarget"
)

// hanging is a target that answers its first write only.
type hanging struct {
	*memtarget.Recorder
	writes *atomic.Int64
}

func (h hanging) Apply(ctx context.Context, w *syncline.Write) (syncline.Result, error) {
	if h.writes.Add(1) > 1 {
		<-ctx.Done()
		return syncline.Result{}, ctx.Err()
	}
	return h.Recorder.Apply(ctx, w)
}

// TestATargetThatHangsIsWaitedForQuietly: a retry that is due cannot begin while a batch is in flight, and nobody looks at the clock
// for it.
func TestATargetThatHangsIsWaitedForQuietly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var writes, looks atomic.Int64
		recorder := memtarget.NewRecorder()
		recorder.Refuse("dim", "1")
		b := newBench(t, func(o *Options) {
			o.Open = func(context.Context) (syncline.Target, error) { return hanging{recorder, &writes}, nil }
			o.Now = func() time.Time {
				looks.Add(1)
				return time.Now()
			}
		})
		_ = b.s.Close()
		ctx, stop := context.WithCancel(b.ctx)
		done := make(chan error, 1) // the goroutine's one word
		b.append(created(1, "refused", "x"))
		go func() { done <- b.route.Run(ctx, ctx) }()
		synctest.Wait()
		b.append(created(2, "in flight", "x"))
		<-time.After(5 * time.Second) // the retry is due
		before := looks.Load()
		<-time.After(10 * time.Second)
		if n := looks.Load() - before; writes.Load() != 2 || n > 10 {
			t.Errorf("%d looks at the clock in 10 s beside write %d, want next to none beside the second", n, writes.Load())
		}
		stop()
		<-done
	})
}

// cutOnce is a target whose second write finds that the connection is gone.
type cutOnce struct {
	*memtarget.Recorder
	writes *atomic.Int64
}

func (c cutOnce) Apply(ctx context.Context, w *syncline.Write) (syncline.Result, error) {
	if c.writes.Add(1) == 2 {
		return syncline.Result{}, syncline.Errorf(syncline.Transient, "connection_lost", "unexpected EOF")
	}
	return c.Recorder.Apply(ctx, w)
}

// TestAnIdleRouteThatLostItsConnectionIsSoonWell: it finds that out as it moves its cursor, with nothing to write before or after. That it works
// again must not be known at the next such move only.
func TestAnIdleRouteThatLostItsConnectionIsSoonWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var writes atomic.Int64
		recorder := memtarget.NewRecorder()
		b := newBench(t, func(o *Options) {
			o.Open = func(context.Context) (syncline.Target, error) { return cutOnce{recorder, &writes}, nil }
			o.Now = time.Now
		})
		_ = b.s.Close()
		ctx, stop := context.WithCancel(b.ctx)
		done := make(chan error, 1) // the goroutine's one word
		b.append(created(1, "x", "x"))
		go func() { done <- b.route.Run(ctx, ctx) }()
		synctest.Wait()
		other := created(2, "x", "x")
		schema := *other.Schema
		schema.Entity = "invoice"
		other.Schema = &schema
		b.append(other)
		<-time.After(saveMarks + 5*time.Second)
		if st := b.route.Status(); writes.Load() != 3 || st.State != RouteRunning || st.Err != nil {
			t.Errorf("after %d writes it is %s, %v, want it running after the third", writes.Load(), st.State, st.Err)
		}
		stop()
		<-done
	})
}

// endBehind runs the route with one event of its own and so many others behind it, and returns how long its end takes.
func (b *bench) endBehind(others int) time.Duration {
	b.t.Helper()
	_ = b.s.Close()
	ctx, stop := context.WithCancel(b.ctx)
	done := make(chan error, 1) // the goroutine's one word
	b.append(created(1, "x", "x"))
	go func() { done <- b.route.Run(ctx, b.ctx) }()
	synctest.Wait()
	for range others {
		b.append(foreign())
	}
	synctest.Wait()
	began := time.Now()
	stop()
	if err := <-done; err != nil {
		b.t.Error(err)
	}
	return time.Since(began)
}

// TestARouteStoresItsCursorAsItEnds: with hundreds of routes, a start that reads again what is none of theirs takes long. A little is not worth a
// write.
func TestARouteStoresItsCursorAsItEnds(t *testing.T) {
	for passed, want := range map[int]syncline.Seq{saveFar - 1: 2, saveFar: 2 + saveFar} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, func(o *Options) { o.Now = time.Now })
			b.endBehind(passed)
			b.start()
			if got := b.s.Cursor().Seq; got != want {
				t.Errorf("behind %d entries that are none of its own the next start is at %d, want %d", passed, got, want)
			}
		})
	}
}

// TestARouteThatEndsWaitsLittle for a target that does not answer, or cannot, where it has its cursor to store only.
func TestARouteThatEndsWaitsLittle(t *testing.T) {
	for want, target := range map[time.Duration]func(*memtarget.Recorder, *atomic.Int64) syncline.Target{
		leaveTimeout: func(r *memtarget.Recorder, writes *atomic.Int64) syncline.Target { return hanging{r, writes} },
		0:            func(r *memtarget.Recorder, writes *atomic.Int64) syncline.Target { return cutOnce{r, writes} },
	} {
		synctest.Test(t, func(t *testing.T) {
			var writes atomic.Int64
			recorder := memtarget.NewRecorder()
			b := newBench(t, func(o *Options) {
				o.Open = func(context.Context) (syncline.Target, error) { return target(recorder, &writes), nil }
				o.Now = time.Now
			})
			if took := b.endBehind(saveFar); took != want || writes.Load() != 2 {
				t.Errorf("it ends after %s and %d writes, want %s and 2", took, writes.Load(), want)
			}
		})
	}
}

// mute is a target that takes ten seconds to say that it cannot, until it is cured.
type mute struct {
	*memtarget.Recorder
	cured *atomic.Bool
}

func (m mute) Apply(ctx context.Context, w *syncline.Write) (syncline.Result, error) {
	if m.cured.Load() {
		return m.Recorder.Apply(ctx, w)
	}
	select {
	case <-time.After(10 * time.Second):
	case <-ctx.Done():
	}
	return syncline.Result{}, syncline.Errorf(syncline.Transient, "timeout", "no answer")
}

// TestATargetThatNeverAnswersIsNotCalledRunning: that it can be opened again says nothing.
func TestATargetThatNeverAnswersIsNotCalledRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cured atomic.Bool
		var logged strings.Builder // written by the goroutine of Run, read after its end
		recorder := memtarget.NewRecorder()
		b := newBench(t, func(o *Options) {
			o.Open = func(context.Context) (syncline.Target, error) { return mute{recorder, &cured}, nil }
			o.Now, o.Logger = time.Now, slog.New(slog.NewTextHandler(&logged, nil))
		})
		_ = b.s.Close()
		ctx, stop := context.WithCancel(b.ctx)
		done := make(chan error, 1) // the goroutine's one word
		b.append(created(1, "a", "x"))
		go func() { done <- b.route.Run(ctx, ctx) }()
		<-time.After(11 * time.Second)
		for range 120 {
			if st := b.route.Status(); st.State != RouteDegraded || syncline.CodeOf(st.Err) != "timeout" {
				t.Fatalf("route is %s, %v, want degraded, timeout", st.State, st.Err)
			}
			<-time.After(time.Second)
		}
		cured.Store(true)
		<-time.After(time.Minute)
		if st := b.route.Status(); st.State != RouteRunning || st.Err != nil || len(recorder.Sent()) != 1 {
			t.Errorf("route is %s, %v, with %d events sent, want running and one", st.State, st.Err, len(recorder.Sent()))
		}
		stop()
		<-done
		if n := strings.Count(logged.String(), "target answers again"); n != 1 {
			t.Errorf("the log says %d times that the target answers, want once:\n%s", n, logged.String())
		}
	})
}

// TestARefusedLoginIsTriedRarely: often enough that the route comes back by itself, seldom enough that no account is locked. An operator
// need not wait for it.
func TestARefusedLoginIsTriedRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logins atomic.Int64
		b := newBench(t, func(o *Options) { o.Now = time.Now })
		_ = b.s.Close()
		b.options.Open = func(context.Context) (syncline.Target, error) {
			logins.Add(1)
			return nil, fmt.Errorf("open: %w", syncline.Errorf(syncline.Transient, "refused", "who are you").Patiently())
		}
		route, err := New(b.options)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(b.ctx)
		done := make(chan error, 1) // the goroutine's one word
		go func() { done <- route.Run(ctx, ctx) }()
		<-time.After(30 * time.Minute)
		if n := logins.Load(); n < 20 || n > 31 {
			t.Errorf("%d logins in half an hour, want one every minute or a little more", n)
		}
		if st := route.Status(); st.State != RouteDegraded || st.NextTry.Before(time.Now()) {
			t.Errorf("the route is %s, next try %s, want degraded with the time of the next try", st.State, st.NextTry)
		}
		before := logins.Load()
		if err := route.Resume(ctx); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := logins.Load() - before; n != 1 {
			t.Errorf("%d logins at the command to resume, want one at once", n)
		}
		stop()
		<-done
	})
}
