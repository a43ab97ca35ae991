package pgsource

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// narrowBuffer is the room for what has arrived, asked for where the server is near; Linux doubles it, for its own books. The walsender's rows come
	// in a segment each: in a large window the kernel joins them again and again as the room gets scarce, which costs both sides more than all
	// else; behind a closed window they are joined at the sender, as they are written. See docs/performance.md.
	narrowBuffer = 208 << 10
	// nearby is the time to the server and back up to which a narrow window does not bound what a second can bring.
	nearby = 500 * time.Microsecond
)

// narrow bounds the window of a connection to a server that is near.
func narrow(conn net.Conn) {
	control(conn, func(fd int) {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err == nil && time.Duration(info.Rtt)*time.Microsecond < nearby {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, narrowBuffer) // without it, it is only slower
		}
	})
}

// queued is how much has arrived and was not read yet, -1 where that is not known.
func queued(conn net.Conn) int {
	n := -1
	control(conn, func(fd int) {
		if k, err := unix.IoctlGetInt(fd, unix.TIOCINQ); err == nil {
			n = k
		}
	})
	return n
}

// control calls f with the descriptor of the connection below whatever encrypts it, if it has one.
func control(conn net.Conn, f func(fd int)) {
	if c, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = c.NetConn()
	}
	if c, ok := conn.(syscall.Conn); ok {
		if raw, err := c.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { f(int(fd)) }) // a connection that is closed is noticed by who reads
		}
	}
}
