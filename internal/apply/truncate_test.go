package apply

import (
	"testing"
	"time"

	"syncline"
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
