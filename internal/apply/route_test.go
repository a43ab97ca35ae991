package apply

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"syncline"
	"syncline/internal/memtarget"
	"syncline/internal/state"
)

func TestCoalescingKeepsColumnsThatLaterEventsDidNotSend(t *testing.T) {
	b := newBench(t, nil)
	b.append(created(1, "a", "long"), created(2, "b", "x"))
	b.append(updated(1, "c", "-"), deleted(2), updated(1, "d", "-"))
	b.mustDrain()
	b.want(map[string]string{"1": "d/long"})
	if c := b.balanced(); c.Superseded != 3 || c.Applied != 2 {
		t.Errorf("counts = %+v, want 2 applied and 3 superseded", c)
	}
	b.append(updated(1, "e", "-"))
	b.mustDrain()
	b.want(map[string]string{"1": "e/long"})
}

func TestASupersededEventIsNotApplied(t *testing.T) {
	b := newBench(t, nil)
	late := updated(1, "old", "old")
	late.Meta = &syncline.Meta{ID: "late", Version: 1, Superseded: true}
	b.append(created(1, "a", "x"), late)
	b.mustDrain()
	b.want(map[string]string{"1": "a/x"})
	if c := b.balanced(); c.Applied != 1 || c.Superseded != 1 {
		t.Errorf("counts = %+v, want one applied and one superseded", c)
	}
}

func TestKeyChangeCarriesColumnsOver(t *testing.T) {
	b := newBench(t, nil)
	b.append(created(1, "a", "long"), rekeyed(1, 2, "b", "-")) // in one batch
	b.mustDrain()
	b.want(map[string]string{"2": "b/long"})
	b.append(rekeyed(2, 3, "c", "-")) // from the target's row
	b.mustDrain()
	b.want(map[string]string{"3": "c/long"})
	b.append(rekeyed(3, 4, "d", "new"), created(3, "other", "o")) // all sent
	b.mustDrain()
	b.want(map[string]string{"4": "d/new", "3": "other/o"})
}

func TestPartialUpdateOfAMissingRowIsReadFromTheSource(t *testing.T) {
	b := newBench(t, nil)
	b.append(updated(7, "a", "-"), created(8, "other", "x"))
	b.mustDrain()
	b.want(map[string]string{"8": "other/x"})
	if len(b.runs) != 1 || b.runs[0].Kind != syncline.RunKeys || len(b.runs[0].Keys) != 1 || b.runs[0].Keys[0] != "7" {
		t.Fatalf("runs = %+v, want a read of key 7", b.runs)
	}
	b.append(updated(7, "b", "-")) // waits with its key
	b.mustDrain()
	b.want(map[string]string{"8": "other/x"})
	b.reply(b.runs[0], record(7, "b", "whole"))
	b.mustDrain()
	b.want(map[string]string{"7": "b/whole", "8": "other/x"})
	if c := b.balanced(); c.Parked != 0 {
		t.Errorf("counts = %+v, want none parked", c)
	}
}

// TestARecordThatTheSourceCannotReadFails: it is parked for a person, whoever finds out that the source cannot tell; the other
// keys go on, and so does the next session.
func TestARecordThatTheSourceCannotReadFails(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"log only": func(o *Options) { o.LogOnly = true },
		"refused": func(o *Options) {
			o.RequestRun = func(context.Context, syncline.Run) error {
				return syncline.Errorf(syncline.Rejected, "source_cannot_read", "no")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, change)
			b.append(updated(7, "a", "-"), updated(8, "b", "-"), created(9, "other", "x"))
			b.mustDrain()
			b.want(map[string]string{"9": "other/x"})
			failed := func() []state.Exception {
				t.Helper()
				list, err := b.state.Pending(b.ctx, b.route.slice)
				if err != nil || len(list) == 0 {
					t.Fatalf("pending = %+v, %v, want failed tasks", list, err)
				}
				for _, x := range list {
					if x.Status != state.StatusFailed || x.Code != "source_cannot_read" {
						t.Errorf("task %s is %s, %s, want failed, source_cannot_read", x.Task, x.Status, x.Code)
					}
				}
				return list
			}
			list := failed()
			b.start()
			b.mustDrain()
			if again := failed(); len(again) != 2 {
				t.Errorf("pending = %+v, want the same two", again)
			}
			if err := b.s.Cancel(b.ctx, list[0], "given up"); err != nil {
				t.Error(err)
			}
			b.append(updated(8, "c", "whole"))
			b.mustDrain()
			b.now = b.now.Add(time.Hour)
			b.mustDrain()
			b.want(map[string]string{"8": "c/whole", "9": "other/x"})
			if c := b.balanced(); c.Parked != 0 || c.Skipped != 1 {
				t.Errorf("counts = %+v, want none parked and one skipped", c)
			}
		})
	}
}

// TestRestartOfALogThatIsAllThereIs: a source that cannot read its records again gives a route that begins anew what its log has.
func TestRestartOfALogThatIsAllThereIs(t *testing.T) {
	b := newBench(t, func(o *Options) { o.LogOnly = true })
	b.append(created(1, "a", "x"))
	b.mustDrain()
	b.store = memtarget.NewStore()
	if err := b.route.anew(b.ctx); err != nil {
		t.Fatal(err)
	}
	b.start()
	b.mustDrain()
	b.want(map[string]string{"1": "a/x"})
}

func TestABadRecordHoldsBackOnlyItsKey(t *testing.T) {
	b := newBench(t, nil)
	b.store.Refuse("dim", "3")
	for i := range int64(20) {
		b.append(created(i, "n", "x"))
	}
	b.append(updated(3, "later", "-"))
	b.mustDrain()
	want := make(map[string]string)
	for i := range int64(20) {
		if i != 3 {
			want[fmt.Sprint(i)] = "n/x"
		}
	}
	b.want(want)
	if c := b.balanced(); c.Parked != 1 || c.Superseded != 1 {
		t.Errorf("counts = %+v, want one parked and the one before it superseded", c)
	}
	b.store.Accept("dim", "3")
	b.now = b.now.Add(time.Hour)
	b.mustDrain()
	want["3"] = "later/x"
	b.want(want)
	if c := b.balanced(); c.Parked != 0 {
		t.Errorf("counts = %+v, want none parked", c)
	}
}

func TestRejectedRecordFailsAfterItsAttempts(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Retry = Retry{Max: 3} })
	b.store.Refuse("dim", "1")
	b.append(created(1, "a", "x"))
	for range 5 {
		b.mustDrain()
		b.now = b.now.Add(time.Hour)
	}
	list, err := b.state.Pending(b.ctx, b.route.slice)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 || list[0].Status != state.StatusFailed || list[0].Attempts != 3 {
		t.Fatalf("pending = %+v, want one failed after 3 attempts", list)
	}
	b.append(deleted(1)) // what the source removes needs no repair
	b.mustDrain()
	if c := b.balanced(); c.Parked != 0 {
		t.Errorf("counts = %+v, want none parked", c)
	}
}

func TestCrashAtTheTargetsCommitRepeatsNothing(t *testing.T) {
	for _, fault := range []memtarget.Fault{memtarget.FailBefore, memtarget.FailMidway, memtarget.FailAfter} {
		t.Run(fmt.Sprint(fault), func(t *testing.T) {
			b := newBench(t, nil)
			b.append(created(1, "a", "x"))
			b.mustDrain()
			b.append(updated(1, "b", "-"), created(2, "c", "y"))
			b.store.Fail(fault)
			if err := b.drain(); err == nil {
				t.Fatal("the fault was not reported")
			}
			b.start()
			b.mustDrain()
			b.want(map[string]string{"1": "b/x", "2": "c/y"})
			if c := b.balanced(); c.Read != 3 {
				t.Errorf("counts = %+v, want 3 read", c)
			}
		})
	}
}

func TestTargetThatLostItsTailIsRefilled(t *testing.T) {
	b := newBench(t, nil)
	b.append(created(1, "a", "x"))
	b.mustDrain()
	b.store.Sync()
	b.append(created(2, "b", "x"))
	b.mustDrain()
	b.append(deleted(1))
	b.mustDrain()
	b.store.LoseTail(2)
	b.want(map[string]string{"1": "a/x"})
	b.start()
	b.mustDrain()
	b.want(map[string]string{"2": "b/x"})
}

func TestTruncateSupersedesWhatIsParked(t *testing.T) {
	b := newBench(t, nil)
	b.store.Refuse("dim", "1")
	b.append(created(1, "a", "x"), created(2, "b", "x"))
	b.mustDrain()
	b.append(syncline.Event{Op: syncline.OpTruncated, Schema: customers}, created(5, "n", "x"))
	b.mustDrain()
	b.want(map[string]string{"5": "n/x"})
	if c := b.balanced(); c.Parked != 0 {
		t.Errorf("counts = %+v, want none parked", c)
	}
}

func TestRecordThatLeavesTheRuleIsRemoved(t *testing.T) {
	b := newBench(t, func(o *Options) {
		o.Rules[0].Bind = func(s *syncline.Schema) (*Binding, error) {
			return &Binding{Out: s, Match: func(b *syncline.Batch, i int) (bool, error) {
				return b.Events[i].After[1].Text() != "out", nil
			}}, nil
		}
	})
	b.append(created(1, "in", "x"), created(2, "out", "x"))
	b.mustDrain()
	b.want(map[string]string{"1": "in/x"})
	b.append(updated(1, "out", "-"), updated(2, "in", "y"))
	b.mustDrain()
	b.want(map[string]string{"2": "in/y"})
	b.append(rekeyed(2, 3, "out", "y")) // it leaves and moves at once: what is at the target has the old key
	b.mustDrain()
	b.want(map[string]string{})
	if c := b.balanced(); c.Filtered != 3 || c.Applied != 2 {
		t.Errorf("counts = %+v, want 3 filtered and 2 applied", c)
	}
}

func TestRecordThatReturnsDoesNotGetItsOldColumns(t *testing.T) {
	b := newBench(t, func(o *Options) {
		o.Rules[0].Bind = func(s *syncline.Schema) (*Binding, error) {
			return &Binding{Out: s, Match: func(b *syncline.Batch, i int) (bool, error) {
				return b.Events[i].After[1].Text() != "out", nil
			}}, nil
		}
	})
	b.append(created(1, "in", "old"))
	b.mustDrain()
	b.append(updated(1, "out", "new"), updated(1, "back", "-"))
	b.mustDrain()
	b.want(map[string]string{})
	if len(b.runs) != 1 || b.runs[0].Kind != syncline.RunKeys {
		t.Errorf("runs = %+v, want a read of the record", b.runs)
	}
}

func TestAParkedRecordThatNoLongerFitsItsRuleFails(t *testing.T) {
	fits := true
	b := newBench(t, func(o *Options) {
		o.Retry = Retry{Max: 2}
		o.Rules[0].Bind = func(s *syncline.Schema) (*Binding, error) {
			if !fits {
				return nil, fmt.Errorf("no such column")
			}
			return &Binding{Out: s}, nil
		}
	})
	b.store.Refuse("dim", "1")
	b.append(created(1, "a", "x"))
	b.mustDrain()
	fits = false // the rule was edited
	b.now = b.now.Add(time.Hour)
	b.start()
	b.mustDrain() // it ends: a task that can never be tried is not tried for ever
	list, err := b.state.Pending(b.ctx, b.route.slice)
	if err != nil || len(list) != 1 || list[0].Status != state.StatusFailed {
		t.Errorf("pending = %+v, %v, want one failed", list, err)
	}
}

func TestARefusedResetStopsTheRoute(t *testing.T) {
	refusing := &refuseTruncate{}
	b := newBench(t, func(o *Options) {
		open := o.Open
		o.Open = func(ctx context.Context) (syncline.Target, error) {
			target, err := open(ctx)
			refusing.Target = target.(*memtarget.Target)
			return refusing, err
		}
	})
	b.append(created(1, "stale", "x"))
	b.mustDrain()
	b.store1(&syncline.Batch{Source: "crm", Position: syncline.Position{Epoch: 1, Commit: b.commit, Ordinal: 9},
		Chunk: &syncline.Chunk{Run: "copy", Kind: syncline.RunFull, Number: 1, Entity: "customer", First: true, Reset: true, Last: true},
		Txns:  []syncline.Txn{{}}, Events: []syncline.Event{{Op: syncline.OpSnapshot, Schema: customers, After: record(2, "fresh", "y")}}})
	if err := b.drain(); syncline.CodeOf(err) != "reset_refused" {
		t.Fatalf("drain = %v, want reset_refused", err)
	}
	b.want(map[string]string{"1": "stale/x"})
	refusing.allowed = true
	b.start()
	b.mustDrain()
	b.want(map[string]string{"2": "fresh/y"})
}

// refuseTruncate is a target whose object something refers to.
type refuseTruncate struct {
	*memtarget.Target
	allowed bool
}

func (r *refuseTruncate) Apply(ctx context.Context, w *syncline.Write) (syncline.Result, error) {
	for _, c := range w.Changes {
		if c.Op == syncline.ChangeTruncate && !r.allowed {
			return syncline.Result{}, syncline.Errorf(syncline.Rejected, "referenced", "a foreign key refers to the object")
		}
	}
	return r.Target.Apply(ctx, w)
}

func TestTooManyParkedTasksHoldTheRouteBackAndSayWhy(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Limits.Parked = 2; o.Retry.Max = 1 })
	for i := range int64(3) {
		b.store.Refuse("dim", syncline.Key(fmt.Sprint(i)))
		b.append(created(i, "n", "x"))
	}
	b.mustDrain()
	if st := b.route.Status(); st.State != RouteDegraded || syncline.CodeOf(st.Err) != "parked_limit" || b.s.Wants() {
		t.Errorf("status = %+v, want the route to read no further and say so", st)
	}
}

// TestTasksThatWaitForTheSourceDoNotHoldTheRouteBack: their answers come through the log, so that a route which reads no further
// would never get them.
func TestTasksThatWaitForTheSourceDoNotHoldTheRouteBack(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Limits.Parked = 3; o.Retry.Max = 1 })
	b.store.Refuse("dim", "9")
	b.store.Refuse("dim", "10")
	b.append(updated(1, "a", "-"), updated(2, "b", "-"), created(9, "bad", "x"), created(10, "bad", "x"))
	b.mustDrain()
	if b.s.Parked() != 4 || !b.s.Wants() {
		t.Fatalf("%d tasks wait and the route reads on: %v, want 4 and true", b.s.Parked(), b.s.Wants())
	}
	b.reply(b.runs[0], record(1, "a", "whole"), record(2, "b", "whole"))
	b.mustDrain()
	b.want(map[string]string{"1": "a/whole", "2": "b/whole"})
	b.store.Refuse("dim", "11")
	b.append(created(11, "bad", "x"))
	b.mustDrain()
	if b.s.Wants() {
		t.Error("three refused records do not hold the route back")
	}
}

// TestTooManyTasksThatWaitForTheSourceNeedASync: they are bounded too, and a sync is the way out.
func TestTooManyTasksThatWaitForTheSourceNeedASync(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Limits.Parked = 3 })
	b.append(updated(1, "a", "-"), updated(2, "b", "-"), updated(3, "c", "-"))
	if err := b.drain(); syncline.CodeOf(err) != "needs_sync" {
		t.Fatalf("drain = %v, want needs_sync", err)
	}
	if _, err := b.route.Begin(b.ctx); syncline.CodeOf(err) != "needs_sync" {
		t.Fatalf("a new session = %v, want needs_sync", err)
	}
	if err := b.route.anew(b.ctx); err != nil {
		t.Fatal(err)
	}
	b.start()
	b.reply(b.runs[len(b.runs)-1], record(1, "a", "w"), record(2, "b", "w"), record(3, "c", "w"))
	b.mustDrain()
	b.want(map[string]string{"1": "a/w", "2": "b/w", "3": "c/w"})
}

// TestParkedRecordsAreBoundedInBytesToo: a few large ones fill the memory as well as many small ones.
func TestParkedRecordsAreBoundedInBytesToo(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Limits.ParkedBytes = 3 << 10; o.Retry.Max = 1 })
	large := strings.Repeat("x", 2<<10)
	for i := range int64(2) {
		if !b.s.Wants() {
			t.Fatalf("%d records hold the route back", i)
		}
		b.store.Refuse("dim", syncline.Key(fmt.Sprint(i)))
		b.append(created(i, "n", large))
		b.mustDrain()
	}
	if st := b.route.Status(); syncline.CodeOf(st.Err) != "parked_limit" || b.s.Wants() {
		t.Errorf("status = %+v, want the route to read no further and say so", st)
	}
	list, err := b.state.Pending(b.ctx, b.route.slice)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.s.Cancel(b.ctx, list[0], "too large"); err != nil {
		t.Fatal(err)
	}
	if !b.s.Wants() {
		t.Error("the route does not read on once there is room")
	}
}

// TestATargetThatHangsIsNotCalledRunning: a connection that stays open and silent is no error, and no news.
func TestATargetThatHangsIsNotCalledRunning(t *testing.T) {
	b := newBench(t, nil)
	b.append(created(1, "a", "x"))
	b.mustDrain()
	want := func(state RouteState, code string) {
		t.Helper()
		if s := b.route.Status(); s.State != state || code != "" && syncline.CodeOf(s.Err) != code {
			t.Errorf("status = %s, %v, want %s, %q", s.State, s.Err, state, code)
		}
	}
	b.route.asks(&plan{})
	b.now = b.now.Add(silence - time.Second)
	want(RouteRunning, "")
	b.now = b.now.Add(time.Second)
	want(RouteDegraded, "target_silent")
	b.route.asks(nil)
	want(RouteRunning, "")
}
