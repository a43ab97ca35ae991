package pgtarget

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"syncline/internal/dialer"
)

// TestASilentServerIsGivenUp: the connection has the limit that internal/dialer tests.
func TestASilentServerIsGivenUp(t *testing.T) {
	r := newRig(t, Options{})
	raw, err := r.tgt.s.pg.Conn().(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var got int
	if e := raw.Control(func(fd uintptr) { got, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT) }); e != nil || err != nil {
		t.Fatal(e, err)
	}
	if want := dialer.Silence; time.Duration(got)*time.Millisecond != want {
		t.Errorf("the server may be silent for %d ms, want %s", got, want)
	}
}
