package ops

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
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
	l := newBounded(inner, 1)
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
	full := newBounded(&closedListener{}, 1)
	full.slots <- struct{}{}
	must(t, full.Close())
	if _, err := full.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept of a full listener that is closed = %v", err)
	}
}

type closedListener struct{ net.Listener }

func (closedListener) Close() error { return nil }
