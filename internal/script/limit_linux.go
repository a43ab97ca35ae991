package script

import (
	"syscall"
	"time"
)

// headroom is what the process may map beyond its limit before the system refuses it: one allocation can be faster than the watchdog.
const headroom = 512 << 20

// limitMemory has the system refuse what the watchdog is too late for. A limit of the address space would refuse what Go only reserves.
func limitMemory(limit int64) {
	n := uint64(limit) + headroom
	_ = syscall.Setrlimit(syscall.RLIMIT_DATA, &syscall.Rlimit{Cur: n, Max: n}) // the watchdog remains
	_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{})
}

// cpuTime is the work that the process has done.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return time.Since(started)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

var started = time.Now()

// own is the program that runs, also where its file has been replaced since.
const own = "/proc/self/exe"

// apart keeps the signals of a terminal from the worker.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
