//go:build !linux

package pgsource

import "net"

// narrow does nothing: how a window bears many small segments is known of Linux only.
func narrow(net.Conn) {}

// queued is not known.
func queued(net.Conn) int { return -1 }
