package backoff

import (
	"testing"
	"time"
)

func TestDelayStaysBelowABoundThatDoubles(t *testing.T) {
	for failures, bound := range map[int]time.Duration{1: 100 * time.Millisecond, 2: 200 * time.Millisecond, 5: 1600 * time.Millisecond, 9: 10 * time.Second, 1 << 30: 10 * time.Second} {
		longest := time.Duration(0)
		for range 2000 {
			d := Delay(100*time.Millisecond, 10*time.Second, failures)
			if d < time.Millisecond || d > bound+time.Millisecond {
				t.Fatalf("Delay after %d failures = %s, want at most %s", failures, d, bound)
			}
			longest = max(longest, d)
		}
		if longest < bound*9/10 {
			t.Errorf("the longest of 2,000 delays after %d failures is %s: they do not spread up to %s", failures, longest, bound)
		}
	}
}
