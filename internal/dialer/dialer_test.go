package dialer

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"
)

// TestASilentPeerEndsTheConnection: a peer whose side takes nothing any more, as behind a cut line, ends a write that would else
// wait for ever.
func TestASilentPeerEndsTheConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // the end of a test
	accepted := make(chan net.Conn, 1)
	go func() {
		c, _ := l.Accept()
		accepted <- c
	}()
	c, err := dial(t.Context(), "tcp", l.Addr().String(), 300*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()            //nolint:errcheck // the end of a test
	defer (<-accepted).Close() //nolint:errcheck // it never read
	// The bound is the test's, not the connection's: without the limit this write would not end at all.
	if err := c.SetWriteDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1<<20)
	for err == nil {
		_, err = c.Write(buf)
	}
	if !errors.Is(err, syscall.ETIMEDOUT) {
		t.Errorf("write to a silent peer = %v, want that the system gave the connection up", err)
	}
}
