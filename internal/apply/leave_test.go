package apply

import (
	"context"
	"testing"
	"time"

	"syncline"
	"syncline/internal/memtarget"
)

// referenced is a target whose foreign keys do not let a record go.
type referenced struct {
	*memtarget.Target
	keys map[syncline.Key]bool // that something refers to
}

func (r referenced) Apply(ctx context.Context, w *syncline.Write) (syncline.Result, error) {
	for i, c := range w.Changes {
		if k, _ := c.Row.Key(); c.Op == syncline.ChangeDelete && r.keys[k] || len(c.OldKey) > 0 && r.keys[syncline.MakeKey(c.OldKey...)] {
			return syncline.Result{}, syncline.Errorf(syncline.Rejected, "dependency", "something refers to the record").At(i)
		}
	}
	return r.Target.Apply(ctx, w)
}

// TestAKeyIsNotTakenWhileItsOldRecordCannotGo: the removal under the old key waits with the record under its new one. Whoever has
// the old key next waits too, or the removal would take it; and no later event makes the removal forgotten.
func TestAKeyIsNotTakenWhileItsOldRecordCannotGo(t *testing.T) {
	for name, restart := range map[string]bool{"in one session": false, "over a restart": true} {
		t.Run(name, func(t *testing.T) {
			keys := map[syncline.Key]bool{"1": true, "3": true}
			b := newBench(t, func(o *Options) {
				open := o.Open
				o.Open = func(ctx context.Context) (syncline.Target, error) {
					target, err := open(ctx)
					return referenced{target.(*memtarget.Target), keys}, err
				}
			})
			b.append(created(1, "a", "x"), created(3, "a", "x"))
			b.mustDrain()
			b.append(rekeyed(1, 2, "a", "x"), rekeyed(3, 4, "a", "x"))
			b.mustDrain() // else the next event would make a removal needless
			b.append(created(1, "next", "n"), updated(2, "b", "-"), updated(4, "b", "-"))
			b.mustDrain()
			b.want(map[string]string{"1": "a/x", "3": "a/x"})
			if restart {
				b.start()
				b.mustDrain()
			}
			b.append(updated(1, "next", "m"))
			b.mustDrain()
			b.want(map[string]string{"1": "a/x", "3": "a/x"})
			clear(keys)
			b.now = b.now.Add(time.Hour)
			b.mustDrain()
			b.want(map[string]string{"1": "next/m", "2": "b/x", "4": "b/x"})
			b.wantWaiting()
			if c := b.balanced(); c.Parked != 0 {
				t.Errorf("counts = %+v, want none parked", c)
			}
		})
	}
}
