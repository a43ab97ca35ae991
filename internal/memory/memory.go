// Package memory keeps a process small while it holds little. The garbage collector lets the heap grow to twice of what lives, and what lives
// is, for a log that is written or read fast, mostly blocks of it that the log's server holds for a while and gives up when asked. Under a soft
// limit they are given up in time.
package memory

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
)

const (
	// usual is the soft limit in bytes where little lives. It is of what the runtime manages; what is mapped beside it, the program itself above all,
	// is some 40 MiB more.
	usual = 176 << 20
	// room is how much a heap may grow beyond what lives, for each route up to most: routes make garbage side by side. Half of what lives beyond
	// plenty comes on top: the more lives, the more each collection costs.
	room   = 36 << 20
	most   = 5
	plenty = 160 << 20
)

// routes is how many of them the process has, at work or not.
var routes atomic.Int64

// Share tells how many routes share the process, and returns how many did before; it counts from the next collection on.
func Share(n int) (before int) { return int(routes.Swap(int64(n))) }

// Bound sets the runtime's soft memory limit, and raises it where more lives: a heap that it needs has room to grow. Where the environment has
// GOMEMLIMIT or GOGC, the runtime does as these say.
func Bound() {
	if !decided() {
		adjust()
	}
}

// decided reports whether the environment says what the garbage collector does.
func decided() bool { return os.Getenv("GOMEMLIMIT") != "" || os.Getenv("GOGC") != "" }

// limit is the soft limit where so many bytes of the heap live, and so many routes are there.
func limit(live uint64, routes int64) int64 {
	free := room * uint64(min(max(routes, 1), most))
	return int64(max(usual, min(live+free+(max(live, plenty)-plenty)/2, math.MaxInt64)))
}

// cycle is garbage that is found by the next collection.
type cycle struct{ _ [64]byte }

// adjust sets the limit, now and after each collection.
func adjust() {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	debug.SetMemoryLimit(limit(sample[0].Value.Uint64(), routes.Load()))
	runtime.AddCleanup(&cycle{}, func(struct{}) { adjust() }, struct{}{})
}
