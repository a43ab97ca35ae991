package apply

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
	"syncline/internal/memtarget"
)

// TestAttemptsAreTold: each one, with the events that it was about, and why it failed.
func TestAttemptsAreTold(t *testing.T) {
	b := newBench(t, nil)
	var got []string
	tell := func(a *Attempt) {
		text := fmt.Sprintf("%d.%d-%d.%d", a.From.Seq, a.From.Index, a.To.Seq, a.To.Index)
		a.Events(func(seq syncline.Seq, index int, e *syncline.Event) {
			text += fmt.Sprintf(" %d.%d:%s", seq, index, e.Op)
		})
		if a.Err != nil {
			text += " " + syncline.ClassOf(a.Err).String()
		}
		got = append(got, text)
	}
	b.route.SetTraced(tell)
	b.append(created(1, "a", "x"), created(2, "b", "x"))
	b.mustDrain()
	b.append(updated(1, "c", "x"))
	b.store.Fail(memtarget.FailBefore)
	if err := b.drain(); err == nil {
		t.Fatal("the target does not fail")
	}
	b.start()
	b.route.SetTraced(tell)
	b.mustDrain()
	b.route.SetTraced(nil)
	b.append(updated(1, "d", "x"))
	b.mustDrain()
	want := []string{"1.0-2.0 1.0:created 1.1:created", "2.0-3.0 2.0:updated transient", "2.0-3.0 2.0:updated"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
}

// BenchmarkUntraced is what a batch costs where nobody is told of it.
func BenchmarkUntraced(b *testing.B) {
	r := &Route{}
	done := applied{plan: &plan{}}
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		r.trace(&done, now)
	}
}
