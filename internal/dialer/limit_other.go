//go:build !linux

package dialer

import (
	"syscall"
	"time"
)

func limit(time.Duration) func(network, address string, c syscall.RawConn) error { return nil }
