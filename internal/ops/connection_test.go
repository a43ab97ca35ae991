package ops

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"syncline/internal/statetest"
)

// dial connects; every read and write of the connection ends within half a minute.
func dial(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String())
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	must(t, c.SetDeadline(time.Now().Add(30*time.Second)))
	return c
}

// TestSlowHeadersAreCutOff: who sends a request by drops does not keep a connection.
func TestSlowHeadersAreCutOff(t *testing.T) {
	store := statetest.Open(t)
	s, err := New(Options{Engine: &fake{}, Store: store})
	must(t, err)
	if s.headerWait != headerTimeout {
		t.Fatalf("headers may take %s, want %s", s.headerWait, headerTimeout)
	}
	s.headerWait = 100 * time.Millisecond
	ctx, stop := context.WithCancel(t.Context())
	l, err := Listen(ctx, Binding{Address: "127.0.0.1:0"}, store)
	must(t, err)
	served := make(chan error, 1) // one send
	go func() { served <- s.Serve(ctx, l) }()
	slow := dial(t, l)
	_, err = io.WriteString(slow, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
	must(t, err)
	if answer, err := io.ReadAll(slow); err != nil || strings.Contains(string(answer), "200 OK") {
		t.Errorf("half a request is answered with %q, %v, want the end", answer, err)
	}
	large := dial(t, l)
	_, err = io.WriteString(large, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Large: "+strings.Repeat("x", 2*maxHeader)+"\r\n\r\n")
	must(t, err)
	if answer, err := bufio.NewReader(large).ReadString('\n'); err != nil || !strings.Contains(answer, "431") {
		t.Errorf("large headers are answered with %q, %v, want 431", answer, err)
	}
	stop()
	must(t, <-served)
}

// TestConnectionsAreBounded: one more than there is room for is served as soon as another one ends.
func TestConnectionsAreBounded(t *testing.T) {
	inner, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	l := newBounded(inner, 1, 1)
	h := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }), ReadHeaderTimeout: time.Minute}
	ended := make(chan error, 1) // one send
	go func() { ended <- h.Serve(l) }()
	const request = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
	first, second := dial(t, l), dial(t, l)
	for _, c := range []net.Conn{first, second} {
		_, err := io.WriteString(c, request)
		must(t, err)
	}
	if answer, err := bufio.NewReader(first).ReadString('\n'); err != nil || !strings.Contains(answer, "204") {
		t.Fatalf("the first = %q, %v", answer, err)
	}
	must(t, second.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	var late net.Error
	if _, err := second.Read(make([]byte, 1)); !errors.As(err, &late) || !late.Timeout() {
		t.Errorf("the second was answered beside the first: %v", err)
	}
	must(t, first.Close())
	must(t, second.SetReadDeadline(time.Now().Add(30*time.Second)))
	if answer, err := bufio.NewReader(second).ReadString('\n'); err != nil || !strings.Contains(answer, "204") {
		t.Errorf("the second = %q, %v", answer, err)
	}
	must(t, h.Close())
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("Serve = %v", err)
	}
	full := newBounded(&closedListener{}, 1, 1)
	full.slots <- struct{}{}
	must(t, full.Close())
	if _, err := full.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept of a full listener that is closed = %v", err)
	}
}

// TestOneAddressKeepsNobodyOut: it has a share of the connections, and no more of them are let wait.
func TestOneAddressKeepsNobodyOut(t *testing.T) {
	inner := &scripted{from: make(chan string, 100)}
	l := newBounded(inner, 4, 2)
	accept := func(from string, want bool) net.Conn {
		t.Helper()
		inner.from <- from
		inner.from <- "192.0.2.99:1" // is accepted where the other one is not
		c, err := l.Accept()
		must(t, err)
		if got := c.RemoteAddr().String() == from; got != want {
			t.Errorf("a connection from %s was let in: %v, want %v", from, got, want)
		}
		if want {
			<-inner.from
		} else {
			must(t, c.Close())
		}
		return c
	}
	first := accept("192.0.2.1:1", true)
	accept("192.0.2.1:2", true)
	accept("192.0.2.1:3", false)
	accept("[::ffff:192.0.2.1]:4", false)
	six := accept("[2001:db8::1]:1", true)
	must(t, first.Close())
	must(t, first.Close())
	accept("192.0.2.1:5", true)
	accept("192.0.2.1:6", false)
	must(t, six.Close())
	accept("[2001:db8::1]:1", true)
	if len(l.open) != 2 {
		t.Errorf("connections are counted for %d addresses, want the two that have some", len(l.open))
	}
	if maxFromOne*2 > maxConnections {
		t.Errorf("one address may have %d of %d connections", maxFromOne, maxConnections)
	}
}

// scripted is a listener whose connections come from where it is told.
type scripted struct {
	net.Listener
	from chan string
}

func (s *scripted) Accept() (net.Conn, error) {
	address, err := net.ResolveTCPAddr("tcp", <-s.from)
	return &fromConn{address: address}, err
}

type fromConn struct {
	net.Conn
	address net.Addr
}

func (c *fromConn) RemoteAddr() net.Addr { return c.address }
func (c *fromConn) Close() error         { return nil }

// TestComplaintsAreBounded: whoever can reach the port cannot fill the disk with the log.
func TestComplaintsAreBounded(t *testing.T) {
	var logged strings.Builder
	l := slog.New(slog.NewTextHandler(&logged, nil))
	complain := errorLog(l)
	for n := range 10_000 {
		complain.Printf("http: TLS handshake error from 192.0.2.1:%d: EOF", n)
	}
	if lines := strings.Count(logged.String(), "\n"); lines < complaintBurst || lines > 2*complaintBurst {
		t.Errorf("10,000 complaints are %d lines of the log", lines)
	}
	logged.Reset()
	s, err := New(Options{Engine: &fake{}, Configs: &configs{}, Store: statetest.Open(t), Logger: l})
	must(t, err)
	last := 0
	for range 2 * failBurst {
		answer, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "http://127.0.0.1/v1/tasks/x/retry", nil)
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		s.ServeHTTP(answer, r)
		last = answer.Code
	}
	if lines := strings.Count(logged.String(), "\n"); last != http.StatusTooManyRequests || lines > failBurst+failRate*10 {
		t.Errorf("%d requests from pages of other sites are %d lines of the log, the last was answered with %d", 2*failBurst, lines, last)
	}
}

type closedListener struct{ net.Listener }

func (closedListener) Close() error { return nil }
