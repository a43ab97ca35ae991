package memory

import (
	"context"
	"math"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestLimit(t *testing.T) {
	for live, want := range map[uint64]int64{0: usual, 100 << 20: usual, 150 << 20: 186 << 20, 200 << 20: 256 << 20, math.MaxUint64 / 2: math.MaxInt64} {
		if got := limit(live); got != want {
			t.Errorf("limit(%d) = %d, want %d", live, got, want)
		}
	}
}

// TestAHeapThatGrows sees the limit go up and down with what lives.
func TestAHeapThatGrows(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(-1))
	t.Setenv("GOMEMLIMIT", "")
	t.Setenv("GOGC", "")
	Bound()
	if got := debug.SetMemoryLimit(-1); got != usual {
		t.Fatalf("the limit is %d at first, want %d", got, usual)
	}
	held := make([]byte, 200<<20)
	await(t, func(limit int64) bool { return limit > 240<<20 })
	runtime.KeepAlive(held)
	await(t, func(limit int64) bool { return limit == usual })
}

func TestTheEnvironmentDecides(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "")
	t.Setenv("GOGC", "")
	if decided() {
		t.Error("nothing is set")
	}
	for _, name := range []string{"GOMEMLIMIT", "GOGC"} {
		t.Setenv(name, "100")
		if !decided() {
			t.Errorf("%s is set", name)
		}
		t.Setenv(name, "")
	}
}

// await collects garbage until the limit is as wanted.
func await(t *testing.T, wanted func(int64) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for !wanted(debug.SetMemoryLimit(-1)) {
		if ctx.Err() != nil {
			t.Fatalf("the limit stays at %d", debug.SetMemoryLimit(-1))
		}
		runtime.GC()
		runtime.Gosched()
	}
}
