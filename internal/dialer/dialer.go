// Package dialer opens TCP connections that do not outlive their peer for long.
package dialer

import (
	"context"
	"net"
	"time"
)

// Silence is how long a peer's system may leave unacknowledged what it was sent. A database that waits for a lock and reads nothing
// meanwhile takes less, by our own lock_timeout; a system that is left alone waits for a quarter of an hour.
const Silence = 2 * time.Minute

// Dial connects like net.Dialer. The connection is given up when the peer's system has acknowledged nothing for Silence, neither data
// nor keepalives: reads and writes then end with an error. An answer that takes long is waited for as long as the peer's system is
// there. Where ours has no such limit (only Linux has), keepalives alone notice.
func Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return dial(ctx, network, address, Silence)
}

func dial(ctx context.Context, network, address string, silence time.Duration) (net.Conn, error) {
	d := net.Dialer{Control: limit(silence), KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: silence / 4, Interval: silence / 4, Count: 3}}
	return d.DialContext(ctx, network, address)
}
