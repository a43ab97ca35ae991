package apply

import "testing"

// TestARouteKeepsItsMemoryBetweenBatches: a target that is faster than the source has nothing to do between any two batches.
func TestARouteKeepsItsMemoryBetweenBatches(t *testing.T) {
	b := newBench(t, nil)
	b.s.m.limits.MaxRows = 2 * restRows
	write := func() {
		t.Helper()
		for i := range 2 * restRows {
			b.append(created(int64(i), "a", "x"))
		}
		b.mustDrain()
	}
	large := func() (n int) {
		for _, p := range b.s.m.spares {
			if cap(p.changes) > restRows {
				n++
			}
		}
		return n
	}
	write()
	b.now = b.now.Add(restAfter / 2)
	b.step()
	write()
	b.now = b.now.Add(restAfter / 2)
	b.step()
	if large() == 0 {
		t.Error("the memory is let go of between two batches")
	}
	b.now = b.now.Add(restAfter)
	b.step()
	if n := large(); n != 0 {
		t.Errorf("%d large plans are kept where nothing is to do", n)
	}
}
