package apply

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
	"syncline/internal/memtarget"
)

// TestTruncateEndsAPlanInCommitOrder: what waits before it in the same plan is gone with the rest, and does not come back with its retry.
func TestTruncateEndsAPlanInCommitOrder(t *testing.T) {
	truncated := syncline.Event{Op: syncline.OpTruncated, Schema: customers}
	wantGone := func(b *bench) {
		b.t.Helper()
		b.wantWaiting()
		b.store.Accept("dim", "1")
		b.now = b.now.Add(time.Hour)
		b.mustDrain()
		b.want(map[string]string{})
	}
	t.Run("rules that share an object", func(t *testing.T) {
		b := newBench(t, func(o *Options) { o.Rules = []Rule{named("gold", "a", "bad"), named("rest", "b")} })
		b.append(created(1, "a", "x"))
		b.mustDrain()
		b.store.Refuse("dim", "1")
		b.append(updated(1, "bad", "x"))
		b.mustDrain()
		b.append(updated(1, "bad", "y"), truncated)
		b.mustDrain()
		wantGone(b)
	})
	t.Run("behind a change of a table without a key", func(t *testing.T) {
		lines := &syncline.Schema{Entity: "audit", Version: -1, Columns: []syncline.Column{{Name: "text", Kind: syncline.KindText}}}
		line := func(text string) []syncline.Value { return []syncline.Value{syncline.Text(text)} }
		b := newBench(t, func(o *Options) {
			o.Rules = append(o.Rules, Rule{ID: "audit", Entity: "audit", Object: "audit", Create: true, Bind: mirror})
		})
		b.store.Refuse("dim", "1")
		b.append(syncline.Event{Op: syncline.OpCreated, Schema: lines, After: line("a")}, created(1, "bad", "x"))
		b.mustDrain()
		b.append(syncline.Event{Op: syncline.OpUpdated, Schema: lines, Before: line("a"), After: line("b")}, updated(1, "worse", "x"), truncated)
		b.mustDrain()
		wantGone(b)
	})
}

// TestATruncateLeavesWhatWaitsOfOthers: what is parked of another entity is not in the table that was emptied.
func TestATruncateLeavesWhatWaitsOfOthers(t *testing.T) {
	orders := *customers
	orders.Entity = "order"
	b := newBench(t, func(o *Options) {
		o.Rules = append(o.Rules, Rule{ID: "orders", Entity: "order", Object: "orders", Create: true, Bind: mirror})
	})
	b.store.Refuse("dim", "1")
	b.store.Refuse("orders", "1")
	order := created(1, "bad", "x")
	order.Schema = &orders
	b.append(created(1, "bad", "x"), order)
	b.mustDrain()
	b.append(syncline.Event{Op: syncline.OpTruncated, Schema: &orders})
	b.mustDrain()
	pending, err := b.state.Pending(b.ctx, b.route.slice)
	if err != nil || len(pending) != 1 || pending[0].Rule != "r" {
		t.Errorf("behind a TRUNCATE of the orders wait %+v, %v, want the customer", pending, err)
	}
	b.balanced()
}

// full is a target that does not let its object be emptied, as where a table that nobody here writes refers to it.
type full struct {
	sql
	kept   bool
	writes [][]syncline.ChangeOp
}

func (f *full) Apply(ctx context.Context, w *syncline.Write) (syncline.Result, error) {
	var ops []syncline.ChangeOp
	for i := range w.Changes {
		if ops = append(ops, w.Changes[i].Op); f.kept && w.Changes[i].Op == syncline.ChangeTruncate {
			return syncline.Result{}, syncline.Errorf(syncline.Rejected, "dependency", "something refers to the records").At(i)
		}
	}
	f.writes = append(f.writes, ops)
	return f.sql.Apply(ctx, w)
}

// TestARefusedTruncateHalts: it is not parked, for it would take along what came after it when it is tried again, and what waits of that.
func TestARefusedTruncateHalts(t *testing.T) {
	target := &full{kept: true}
	b := newBench(t, func(o *Options) {
		open := o.Open
		o.Open = func(ctx context.Context) (syncline.Target, error) {
			inner, err := open(ctx)
			target.Target = inner.(*memtarget.Target) //nolint:forcetypeassert // the bench made it
			return target, err
		}
	})
	b.append(created(1, "a", "x"))
	b.mustDrain()
	b.append(syncline.Event{Op: syncline.OpTruncated, Schema: customers})
	b.append(created(2, "b", "x"))
	if err := b.drain(); syncline.CodeOf(err) != "truncate_refused" || syncline.ClassOf(err) != syncline.Fatal {
		t.Fatalf("drain = %v, want truncate_refused", err)
	}
	b.want(map[string]string{"1": "a/x"})
	target.kept = false
	b.begin()
	b.mustDrain()
	b.want(map[string]string{"2": "b/x"})
	b.wantWaiting()
}

// TestOneTruncateIsOneWrite: of entities whose objects refer to each other none can be emptied before the other.
func TestOneTruncateIsOneWrite(t *testing.T) {
	target := &full{}
	lines := &syncline.Schema{Entity: "line", Version: customers.Version, Columns: customers.Columns, Key: customers.Key}
	b := newBench(t, func(o *Options) {
		open := o.Open
		o.Open = func(ctx context.Context) (syncline.Target, error) {
			inner, err := open(ctx)
			target.Target = inner.(*memtarget.Target) //nolint:forcetypeassert // the bench made it
			return target, err
		}
		o.Rules = append(o.Rules, Rule{ID: "line", Entity: "line", Object: "line", Create: true, Bind: mirror})
	})
	line := created(1, "l", "x")
	line.Schema = lines
	b.append(created(1, "a", "x"), line)
	b.mustDrain()
	target.writes = nil
	b.append(syncline.Event{Op: syncline.OpTruncated, Schema: customers}, syncline.Event{Op: syncline.OpTruncated, Schema: lines}, created(2, "b", "x"))
	b.mustDrain()
	want := [][]syncline.ChangeOp{{syncline.ChangeTruncate, syncline.ChangeTruncate}, {syncline.ChangePut}}
	if diff := cmp.Diff(want, target.writes); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
}
