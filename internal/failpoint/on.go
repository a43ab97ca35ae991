//go:build failpoint

package failpoint

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

var (
	mu   sync.Mutex
	name string
	left int
)

func init() {
	var count string
	name, count, _ = strings.Cut(os.Getenv("SYNCLINE_FAILPOINT"), ":")
	if left, _ = strconv.Atoi(count); left < 1 {
		left = 1
	}
}

// Hit kills this process as kill -9 would, if at is the failpoint that SYNCLINE_FAILPOINT=name[:n] names and this is its n-th
// time.
func Hit(at string) {
	if at != name {
		return
	}
	mu.Lock()
	defer mu.Unlock()
	if left--; left > 0 {
		return
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}
