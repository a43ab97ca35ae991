package apply

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"syncline"
	"syncline/internal/memtarget"
)

func critical(e syncline.Event) syncline.Event {
	e.Meta = &syncline.Meta{Priority: syncline.PriorityCritical}
	return e
}

// watched is told of each write, before it is done.
type watched struct {
	*memtarget.Target
	told func(*syncline.Write)
}

func (w watched) Apply(ctx context.Context, wr *syncline.Write) (syncline.Result, error) {
	w.told(wr)
	return w.Target.Apply(ctx, wr)
}

// prioritised is a bench whose route takes urgent events ahead, in batches of rows.
func prioritised(t *testing.T, rows int, told func(*syncline.Write)) *bench {
	return newBench(t, func(o *Options) {
		o.Priorities, o.Limits = true, Limits{MaxRows: rows, Window: 64 << 10}
		open := o.Open
		o.Open = func(ctx context.Context) (syncline.Target, error) {
			target, err := open(ctx)
			return watched{target.(*memtarget.Target), told}, err
		}
	})
}

// offered gives the session what it wants of the log, and has it do what it can, until the log ends.
func (b *bench) offered(until func() bool) {
	b.t.Helper()
	for !until() {
		for b.s.Wants() {
			e, ok, err := b.read.TryNext()
			if err != nil {
				b.t.Fatal(err)
			}
			if !ok {
				break
			}
			batch, err := syncline.DecodeBatch(e.Data)
			if err != nil {
				b.t.Fatal(err)
			}
			if err := b.s.Take(Fed{Seq: e.Seq, Time: e.Time, Batch: batch, Size: len(e.Data), More: e.More}); err != nil {
				b.t.Fatal(err)
			}
		}
		if err := b.s.Step(b.ctx); err != nil {
			b.t.Fatal(err)
		}
	}
}

// ids are the records that a write is about.
func ids(w *syncline.Write) (list []string) {
	for i := range w.Changes {
		k, _ := w.Changes[i].Row.Key()
		list = append(list, string(k))
	}
	return list
}

// TestACriticalEventPassesABacklog of 100,000 normal ones within one batch, with all of its record that stands before it.
func TestACriticalEventPassesABacklog(t *testing.T) {
	const key, name = 1_000_000, "1000000"
	var writes, passed int
	b := prioritised(t, 5000, func(w *syncline.Write) {
		if writes++; passed == 0 && slices.Contains(ids(w), name) {
			passed = writes
		}
	})
	b.append(created(0, "first", "x"))
	b.mustDrain() // the rule is bound
	writes = 0
	normal := func(n int) {
		events := make([]syncline.Event, 1000)
		for i := range events {
			events[i] = created(int64(n*1000+i+1), "n", "x")
		}
		b.append(events...)
	}
	for n := range 100 {
		normal(n)
		if n == 60 {
			b.append(created(key, "a", "long"))
		}
	}
	b.append(critical(updated(key, "b", "-")))
	normal(100)
	b.append(updated(key, "c", "-"))
	b.offered(func() bool { return passed > 0 })
	if passed > 2 {
		t.Errorf("the critical event was in batch %d, want it behind one at the most", passed)
	}
	if got := b.rows()[name]; got != "b/long" {
		t.Errorf("the critical record is %q, want b/long", got)
	}
	b.offered(b.atEnd)
	if rows := b.rows(); rows[name] != "c/long" || len(rows) != 101_002 {
		t.Errorf("%d records, the critical one is %q, want 101002 and c/long", len(rows), rows[name])
	}
	if c := b.balanced(); c.Read != 101_004 || c.Applied+c.Superseded != c.Read || len(b.s.m.early) > 0 {
		t.Errorf("counts = %+v, %d early, want each event once", c, len(b.s.m.early))
	}
}

// atEnd reports whether the session has applied the whole log.
func (b *bench) atEnd() bool {
	bounds, err := b.log.Bounds(b.ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.s.Cursor().Seq > bounds.Last
}

// backlog appends n events of other records, one in each entry.
func (b *bench) backlog(first, n int) {
	for i := range n {
		b.append(created(int64(first+i), "n", "x"))
	}
}

// TestNothingUrgentPassesWhatHoldsTheOrder: a TRUNCATE, a record that moves, another schema, and what waits.
func TestNothingUrgentPassesWhatHoldsTheOrder(t *testing.T) {
	wider := *customers
	wider.Columns = append(slices.Clone(customers.Columns), syncline.Column{Name: "more", Kind: syncline.KindText, Nullable: true})
	for name, between := range map[string]syncline.Event{
		"truncate": {Op: syncline.OpTruncated, Schema: customers},
		"a move":   rekeyed(500, 501, "m", "x"),
		"a schema": {Op: syncline.OpCreated, Schema: &wider, After: append(record(502, "w", "x"), syncline.Null)},
	} {
		t.Run(name, func(t *testing.T) {
			passedBefore, seen := false, false
			b := prioritised(t, 4, func(w *syncline.Write) {
				for i := range w.Changes {
					ev := &w.Changes[i].Batch.Events[w.Changes[i].Event]
					seen = seen || ev.Op == between.Op && ev.Schema.Fingerprint() == between.Schema.Fingerprint() && (ev.Before != nil) == (between.Before != nil) && ev.Op != syncline.OpCreated || len(ev.Schema.Columns) > 3
					k, _ := w.Changes[i].Row.Key()
					passedBefore = passedBefore || k == "900" && !seen
				}
			})
			b.append(created(500, "first", "x"))
			b.mustDrain()
			b.backlog(0, 40)
			b.append(between)
			b.append(critical(created(900, "c", "x")))
			b.backlog(100, 40)
			b.offered(b.atEnd)
			if passedBefore {
				t.Error("the critical event went before it")
			}
			if got := b.rows()["900"]; got != "c/x" {
				t.Errorf("the critical record is %q, want c/x", got)
			}
		})
	}
	t.Run("what waits", func(t *testing.T) {
		b := prioritised(t, 4, func(*syncline.Write) {})
		b.append(created(900, "a", "x"))
		b.mustDrain()
		b.store.Refuse("dim", "900")
		b.append(updated(900, "b", "-"))
		b.mustDrain()
		b.store.Accept("dim", "900")
		b.backlog(0, 40)
		b.append(critical(updated(900, "c", "-")))
		b.offered(b.atEnd)
		b.now = b.now.Add(time.Hour)
		b.mustDrain()
		if got := b.rows()["900"]; got != "c/x" {
			t.Errorf("the critical record is %q, want c/x", got)
		}
		b.wantWaiting()
		b.balanced()
	})
}

// TestAnUrgentEventThatIsRefusedWaitsForItsTurn, and holds nothing back.
func TestAnUrgentEventThatIsRefusedWaitsForItsTurn(t *testing.T) {
	for name, changes := range map[string]func(*Options){
		"with transactions": nil,
		"without": func(o *Options) {
			o.Open = nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, func(o *Options) { o.Priorities, o.Limits = true, Limits{MaxRows: 4} })
			if changes != nil {
				b.options.Open = func(context.Context) (syncline.Target, error) {
					return b.store.Open(memtarget.Options{Route: "r", NoTransactions: true}), nil
				}
				b.start()
			}
			b.append(created(500, "first", "x"))
			b.mustDrain()
			b.store.Refuse("dim", "900")
			b.backlog(0, 40)
			b.append(created(900, "a", "x"))
			b.append(critical(updated(900, "b", "y")))
			b.append(created(1000, "z", "x"))
			b.offered(b.atEnd)
			if rows := b.rows(); len(rows) != 42 || rows["900"] != "" {
				t.Errorf("%d records, 900 is %q, want 42 and nothing", len(rows), rows["900"])
			}
			b.store.Accept("dim", "900")
			b.now = b.now.Add(time.Hour)
			b.mustDrain()
			if got := b.rows()["900"]; got != "b/y" {
				t.Errorf("the critical record is %q, want b/y", got)
			}
			b.wantWaiting()
			b.balanced()
		})
	}
}

// TestWhatWasDoneAheadIsDoneOnce over restarts, and again where the target has lost it.
func TestWhatWasDoneAheadIsDoneOnce(t *testing.T) {
	for name, lost := range map[string]int{"a restart": 0, "a target that lost its tail": 1} {
		t.Run(name, func(t *testing.T) {
			var versions []string
			done := false
			b := prioritised(t, 2, func(w *syncline.Write) {
				for i := range w.Changes {
					if k, _ := w.Changes[i].Row.Key(); k == "900" {
						versions = append(versions, w.Changes[i].Row.Values[1].Text())
						done = true
					}
				}
			})
			b.options.Limits.Window = 1 // an entry at a time
			b.start()
			b.append(created(500, "first", "x"))
			b.mustDrain()
			b.store.Sync()
			b.backlog(0, 40)
			b.append(created(900, "a", "x"), updated(900, "b", "-"))
			b.append(critical(updated(900, "c", "-")))
			b.backlog(100, 40)
			b.offered(func() bool { return done })
			at := b.s.Cursor()
			want := []string{"c"}
			if lost > 0 {
				b.store.LoseTail(1000)
				want = append(want, "c")
			}
			b.start()
			b.offered(b.atEnd)
			if at.Seq > 40 {
				t.Errorf("the critical event was done at %d, want it ahead", at.Seq)
			}
			if !slices.Equal(versions, want) {
				t.Errorf("the record was written as %v, want %v: never older than before", versions, want)
			}
			if rows := b.rows(); rows["900"] != "c/x" || len(rows) != 82 {
				t.Errorf("%d records, 900 is %q, want 82 and c/x", len(rows), rows["900"])
			}
			if c := b.balanced(); c.Read != 84 {
				t.Errorf("counts = %+v, want 84 read", c)
			}
			b.wantLatencies(84)
		})
	}
}

// TestAnEventTargetIsSentUrgentEventsFirst, those of one record in order and each once.
func TestAnEventTargetIsSentUrgentEventsFirst(t *testing.T) {
	recorder := memtarget.NewRecorder()
	b := newBench(t, func(o *Options) {
		o.Priorities, o.Limits = true, Limits{MaxRows: 4, Window: 64 << 10}
		o.Open = func(context.Context) (syncline.Target, error) { return recorder, nil }
	})
	b.append(created(500, "first", "x"))
	b.mustDrain()
	b.backlog(0, 40)
	b.append(created(900, "a", "x"), critical(updated(900, "b", "x")))
	b.append(critical(updated(900, "c", "x")))
	b.append(updated(900, "d", "x"))
	b.start()
	b.offered(b.atEnd)
	var versions []string
	first, times := 0, map[string]int{}
	for i, s := range recorder.Sent() {
		times[s.ID]++
		if s.Key == "900" {
			if versions = append(versions, s.Change.Row.Values[1].Text()); len(versions) == 1 {
				first = i
			}
		}
	}
	if !slices.Equal(versions, []string{"a", "b", "c", "d"}) || first > 10 {
		t.Errorf("sent %v from event %d on, want a to d within two batches", versions, first)
	}
	for id, n := range times {
		if n != 1 {
			t.Errorf("%s was sent %d times", id, n)
		}
	}
	b.balanced()
}

// TestARunningRouteTakesUrgentEventsAhead: the log is scouted beside the batches.
func TestARunningRouteTakesUrgentEventsAhead(t *testing.T) {
	var mu sync.Mutex // guards writes and passed
	writes, passed := 0, 0
	entered, release, ended := make(chan struct{}), make(chan struct{}), make(chan struct{}) // each closed once
	b := prioritised(t, 10, func(w *syncline.Write) {
		mu.Lock()
		writes++
		n := writes
		if passed == 0 && slices.Contains(ids(w), "900000") {
			passed = n
			close(ended)
		}
		mu.Unlock()
		if n == 2 {
			close(entered)
			<-release
		}
	})
	b.options.Now = time.Now
	_ = b.s.Close()
	b.start()
	_ = b.s.Close()
	b.backlog(0, 3000)
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1) // the route's one word
	go func() { stopped <- b.route.Run(ctx, t.Context()) }()
	<-entered
	b.append(critical(created(900_000, "c", "x")))
	close(release)
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Error("the critical event was not applied")
	}
	cancel()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if passed > 200 {
		t.Errorf("the critical event was in batch %d of 300, want it ahead", passed)
	}
}
