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
	for _, tt := range []struct {
		live   uint64
		routes int64
		want   int64
	}{
		{0, 0, usual},
		{100 << 20, 1, usual},
		{150 << 20, 1, 186 << 20},
		{200 << 20, 1, 256 << 20},
		{150 << 20, 3, 258 << 20},
		{150 << 20, 5, 330 << 20},
		{150 << 20, 500, 330 << 20},
		{math.MaxUint64 / 2, 1, math.MaxInt64},
	} {
		if got := limit(tt.live, tt.routes); got != tt.want {
			t.Errorf("limit(%d, %d) = %d, want %d", tt.live, tt.routes, got, tt.want)
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
	await(t, func(limit int64) bool { return limit > 240<<20 && limit < 300<<20 })
	Share(5)
	await(t, func(limit int64) bool { return limit > 380<<20 })
	Share(1)
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
