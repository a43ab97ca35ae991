package dialer

import (
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// limit sets the time that sent data may stay unacknowledged. On Linux it ends keepalives too.
func limit(silence time.Duration) func(network, address string, c syscall.RawConn) error {
	return func(network, _ string, c syscall.RawConn) error {
		if !strings.HasPrefix(network, "tcp") {
			return nil
		}
		var failed error
		err := c.Control(func(fd uintptr) {
			failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(silence.Milliseconds()))
		})
		if err != nil {
			return err
		}
		return failed
	}
}
