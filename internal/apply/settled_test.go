package apply

import (
	"testing"
	"time"

	"syncline"
	"syncline/internal/memtarget"
	"syncline/internal/state"
)

// wantSettled wants the store and the route to say that the target is at this entry, and the route to be at another.
func (b *bench) wantSettled(doing string, settled, at syncline.Seq) {
	b.t.Helper()
	row, err := b.state.Route(b.ctx, b.route.slice)
	if err != nil {
		b.t.Fatal(err)
	}
	if st := b.route.Status(); st.Settled != settled || st.Cursor.Seq != at {
		b.t.Errorf("%s: the target is said to be at %d and the route at %d, want %d and %d", doing, st.Settled, st.Cursor.Seq, settled, at)
	}
	if row.Settled > settled {
		b.t.Errorf("%s: the store says that the target is at %d, want no more than %d", doing, row.Settled, settled)
	}
}

// pass appends entries that do not concern the route, and lets it pass them.
func (b *bench) pass(n int) {
	b.t.Helper()
	for range n {
		b.append(foreign())
	}
	b.mustDrain()
}

// foreign is an event that is none of the route's.
func foreign() syncline.Event {
	other := &syncline.Schema{Entity: "other", Version: -1, Columns: []syncline.Column{{Name: "text", Kind: syncline.KindText}}}
	return syncline.Event{Op: syncline.OpCreated, Schema: other, After: []syncline.Value{syncline.Text("x")}}
}

// TestWhatIsPassedIsNotAtTheTarget: a crash between the store's commit and the target's finds everything that is needed in a log that
// was purged as far as the target had come.
func TestWhatIsPassedIsNotAtTheTarget(t *testing.T) {
	b := newBench(t, nil)
	b.append(created(1, "a", "x"))
	b.mustDrain()
	b.wantSettled("a write", 2, 2)
	b.pass(5)
	b.wantSettled("entries of no concern", 2, 7)
	b.append(created(2, "b", "x"))
	b.mustDrain()
	b.wantSettled("a write behind them", 8, 8)
	b.store.LoseTail(1)
	row, err := b.state.Route(b.ctx, b.route.slice)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.log.Purge(b.ctx, row.Settled); err != nil {
		t.Fatal(err)
	}
	b.start()
	b.wantSettled("a crash before the target's commit", 2, 2)
	b.mustDrain()
	b.want(map[string]string{"1": "a/x", "2": "b/x"})
	b.wantSettled("the same write again", 8, 8)
	b.pass(1)
	b.now = b.now.Add(saveEvery)
	b.mustDrain()
	b.wantSettled("a mark", 8, 9)
	b.now = b.now.Add(saveMarks - saveEvery)
	b.mustDrain()
	b.wantSettled("a mark some time ago", 9, 9)
	b.pass(saveFar)
	b.now = b.now.Add(saveEvery)
	b.mustDrain()
	b.wantSettled("much of no concern", 9+saveFar, 9+saveFar)
}

// TestARefusedRetryStoresTheCursor: that it was refused is noted like everything else that a route does, with where it stands.
func TestARefusedRetryStoresTheCursor(t *testing.T) {
	b := newBench(t, nil)
	b.store.Refuse("dim", "1")
	b.append(created(1, "a", "x"))
	b.mustDrain()
	b.pass(5)
	b.now = b.now.Add(b.s.m.retry.after(1))
	b.step()
	if row, err := b.state.Route(b.ctx, b.route.slice); err != nil || row.Cursor.Seq != 7 {
		t.Fatalf("the copy is at %d (%v), want 7: nothing was tried", row.Cursor.Seq, err)
	}
	b.wantSettled("a refused retry", 7, 7)
	b.append(created(2, "b", "x"))
	b.store.Fail(memtarget.FailAfter)
	if err := b.drain(); err == nil {
		t.Fatal("the fault was not reported")
	}
	b.wantSettled("a write without an answer", 7, 7)
	b.start()
	b.wantSettled("the target was asked", 8, 8)
}

// wantLatencies wants so many events to have been timed from the source's commit to the target's.
func (b *bench) wantLatencies(want int64) {
	b.t.Helper()
	_, h, err := b.state.Totals(b.ctx, b.route.slice)
	if err != nil {
		b.t.Fatal(err)
	}
	if got := h.Count(); got != want {
		b.t.Errorf("%d events were timed, want %d", got, want)
	}
}

// TestACopyHasNoLatency: what is copied was committed at any time before.
func TestACopyHasNoLatency(t *testing.T) {
	b := newBench(t, nil)
	b.append(created(1, "a", "x"))
	b.store1(&syncline.Batch{Source: "crm", Position: syncline.Position{Epoch: 1, Commit: b.commit, Ordinal: 9}, Txns: []syncline.Txn{{Time: b.now.Add(-time.Hour)}},
		Chunk:  &syncline.Chunk{Run: "full", Kind: syncline.RunFull, Number: 1, Entity: "customer", Last: true},
		Events: []syncline.Event{{Op: syncline.OpSnapshot, Schema: customers, After: record(2, "b", "x")}}})
	b.mustDrain()
	b.want(map[string]string{"1": "a/x", "2": "b/x"})
	b.wantLatencies(1)
}

// TestEachRuleIsCounted by what became of its own tasks.
func TestEachRuleIsCounted(t *testing.T) {
	b := newBench(t, func(o *Options) {
		o.Rules = append(o.Rules, Rule{ID: "s", Entity: "other", Object: "other", Create: true, Bind: mirror})
	})
	b.store.Refuse("dim", "1")
	b.append(created(1, "a", "x"), foreign(), created(2, "b", "x"), foreign(), created(3, "c", "x"))
	b.mustDrain()
	for rule, want := range map[string]state.Counts{
		"r": {Read: 3, Applied: 2, Parked: 1},
		"s": {Read: 2, Applied: 2},
	} {
		st, err := b.state.Stats(b.ctx, b.route.slice, time.Time{}, b.now.Add(time.Hour), func(id string) bool { return id == rule })
		if err != nil {
			t.Fatal(err)
		}
		if st.Journal != want {
			t.Errorf("counts of rule %s = %+v, want %+v", rule, st.Journal, want)
		}
	}
}
