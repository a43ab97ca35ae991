package ops

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"syncline/internal/statetest"
)

// TestRequestsOfTwoReadings: a request whose end or whose host can be read in two ways, as those that are smuggled past a proxy, is refused with its
// connection: what follows it is not taken for a request. What says that it is large is refused before it is sent.
func TestRequestsOfTwoReadings(t *testing.T) {
	engine := &fake{}
	store := statetest.Open(t)
	s, err := New(Options{Engine: engine, Store: store})
	must(t, err)
	ctx, stop := context.WithCancel(t.Context())
	l, err := Listen(ctx, Binding{Address: "127.0.0.1:0"}, store)
	must(t, err)
	served := make(chan error, 1) // one send
	go func() { served <- s.Serve(ctx, l) }()
	const host, second = "Host: localhost\r\n", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
	pause := "POST /v1/routes/r/pause HTTP/1.1\r\nContent-Type: application/json\r\n"
	for name, request := range map[string]string{
		"two lengths":                 pause + host + "Content-Length: 2\r\nContent-Length: 30\r\n\r\n{}",
		"a length below zero":         pause + host + "Content-Length: -1\r\n\r\n",
		"a length with a sign":        pause + host + "Content-Length: +2\r\n\r\n{}",
		"a length in hex":             pause + host + "Content-Length: 0x2\r\n\r\n{}",
		"a list of lengths":           pause + host + "Content-Length: 2, 30\r\n\r\n{}",
		"a length beyond 63 bits":     pause + host + "Content-Length: 9223372036854775808\r\n\r\n{}",
		"an encoding that none knows": pause + host + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"chunked twice":               pause + host + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"an encoding with a tail":     pause + host + "Transfer-Encoding: chunked;x\r\n\r\n0\r\n\r\n",
		"a blank before the colon":    pause + host + "Content-Length : 2\r\n\r\n{}",
		"a folded first header":       "GET /healthz HTTP/1.1\r\n X: y\r\n" + host + "\r\n",
		"two hosts":                   "GET /v1/status HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
		"no host":                     "GET /v1/status HTTP/1.1\r\n\r\n",
		"a host with a path":          "GET /v1/status HTTP/1.1\r\nHost: localhost/x@evil\r\n\r\n",
		"a NUL in a header":           "GET /v1/status HTTP/1.1\r\n" + host + "X: a\x00b\r\n\r\n",
		"an old protocol":             "GET /v1/status\r\n\r\n",
		"another protocol":            "GET /v1/status HTTP/3.0\r\n" + host + "\r\n",
		"HTTP/2 without being asked":  "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"a method that is none":       "G(T /v1/status HTTP/1.1\r\n" + host + "\r\n",
		"a chunk that is too long":    pause + host + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}\r\n0\r\n\r\n",
		"a chunk of no length":        pause + host + "Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
	} {
		status, answers := say(t, l, request+second)
		if status < 400 || status >= 600 || answers != 1 {
			t.Errorf("%s: %d, and %d answers, want one that refuses it", name, status, answers)
		}
	}
	for name, request := range map[string]string{
		"another host in the line":   "GET http://evil.example/v1/routes HTTP/1.1\r\n" + host + "Connection: close\r\n\r\n",
		"a host that is not ours":    "GET /v1/routes HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
		"a tunnel":                   "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\nConnection: close\r\n\r\n",
		"what it was sent":           "TRACE / HTTP/1.1\r\n" + host + "Authorization: Bearer x\r\nConnection: close\r\n\r\n",
		"a method in a header":       "GET /v1/routes/r/pause HTTP/1.1\r\n" + host + "X-HTTP-Method-Override: POST\r\nConnection: close\r\n\r\n",
		"a terabyte, asked for":      pause + host + "Content-Length: 1099511627776\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
		"an upgrade of the protocol": "POST /v1/routes/r/pause HTTP/1.1\r\n" + host + "Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nContent-Length: 0\r\n\r\n",
	} {
		if status, _ := say(t, l, request); status < 400 || status >= 500 {
			t.Errorf("%s: %d, want that it is refused", name, status)
		}
	}
	if status, _ := say(t, l, second+strings.Replace(second, host, host+"Connection: close\r\n", 1)); status != http.StatusOK {
		t.Errorf("a plain request after all of these: %d", status)
	}
	stop()
	must(t, <-served)
}

// say sends bytes on a connection of their own and returns the status of the first answer, and how many there were until it was closed, or went quiet.
func say(t *testing.T, l net.Listener, request string) (status, answers int) {
	t.Helper()
	c := dial(t, l)
	defer c.Close()                   //nolint:errcheck // it was read to its end
	_, _ = io.WriteString(c, request) // the server may have hung up
	if !strings.Contains(request, "close\r\n") {
		_ = c.(*net.TCPConn).CloseWrite() // so that it does not wait for more; a request whose caller has gone may be given up with 500
	}
	from := bufio.NewReader(c)
	for {
		res, err := http.ReadResponse(from, nil)
		if err != nil {
			return status, answers
		}
		if answers++; answers == 1 {
			status = res.StatusCode
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
	}
}
