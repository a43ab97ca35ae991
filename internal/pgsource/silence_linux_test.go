package pgsource

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"syncline/internal/dialer"
)

// TestASilentServerIsGivenUp: both kinds of connection have the limit that internal/dialer tests.
func TestASilentServerIsGivenUp(t *testing.T) {
	d := newDB(t, oneTable)
	src, err := New(d.options("t"))
	if err != nil {
		t.Fatal(err)
	}
	sql, err := src.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer sql.Close(t.Context()) //nolint:errcheck // the end of a test
	stream, err := src.connectReplication(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close(t.Context()) //nolint:errcheck // the end of a test
	for name, c := range map[string]net.Conn{"sql": sql.PgConn().Conn(), "replication": stream.Conn()} {
		raw, err := c.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var got int
		if e := raw.Control(func(fd uintptr) { got, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT) }); e != nil || err != nil {
			t.Fatal(e, err)
		}
		if want := dialer.Silence; time.Duration(got)*time.Millisecond != want {
			t.Errorf("%s: the server may be silent for %d ms, want %s", name, got, want)
		}
	}
}
