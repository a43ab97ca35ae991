//go:build !linux

package script

import (
	"syscall"
	"time"
)

// limitMemory does nothing where the system has no limit that Go can live with: the watchdog alone sees to it.
func limitMemory(int64) {}

// cpuTime takes the time that passes for work.
func cpuTime() time.Duration { return time.Since(started) }

var started = time.Now()

const own = ""

func apart() *syscall.SysProcAttr { return nil }
