package main

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	wire "encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// echoes are servers that refuse whoever comes, and say what they were sent.
type echoes struct {
	web                         *httptest.Server
	postgres, redis, nats, mail string
	listeners                   []net.Listener

	mu    sync.Mutex
	said  strings.Builder
	conns map[net.Conn]bool
}

func newEchoes(t *testing.T) *echoes {
	e := &echoes{conns: map[net.Conn]bool{}}
	e.web = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		dump, _ := httputil.DumpRequest(r, true)
		e.note(string(dump))
		w.Header().Set("X-Echo", r.URL.String())
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprintf(w, "Cannot %s %s\n%s", r.Method, r.URL, dump)
	}))
	t.Cleanup(e.web.Close)
	e.postgres, e.redis, e.nats = e.listen(t, nil, e.servePostgres), e.listen(t, nil, e.serveRedis), e.listen(t, nil, e.serveNATS)
	e.mail = e.listen(t, e.web.TLS, e.serveMail)
	t.Cleanup(e.close)
	return e
}

func (e *echoes) note(text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.said.WriteString(text + "\n")
}

// heard is all that the servers were sent.
func (e *echoes) heard() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.said.String()
}

// close ends the servers. Nobody listens where they were.
func (e *echoes) close() {
	e.web.Close()
	for _, l := range e.listeners {
		_ = l.Close()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for c := range e.conns {
		_ = c.Close()
	}
}

func (e *echoes) listen(t *testing.T, encrypted *tls.Config, serve func(net.Conn, *bufio.Reader) error) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if encrypted != nil {
		l = tls.NewListener(l, encrypted)
	}
	e.listeners = append(e.listeners, l)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			e.mu.Lock()
			e.conns[c] = true
			e.mu.Unlock()
			go func() {
				_ = serve(c, bufio.NewReader(c)) // whatever ends it, it is over
				_ = c.Close()
				e.mu.Lock()
				delete(e.conns, c)
				e.mu.Unlock()
			}()
		}
	}()
	return address
}

// servePostgres asks for the password in the clear.
func (e *echoes) servePostgres(c net.Conn, r *bufio.Reader) error {
	if _, err := postgresMessage(r); err != nil {
		return err
	}
	if _, err := c.Write([]byte{'R', 0, 0, 0, 8, 0, 0, 0, 3}); err != nil {
		return err
	}
	if _, err := r.ReadByte(); err != nil {
		return err
	}
	password, err := postgresMessage(r)
	if err != nil {
		return err
	}
	e.note(string(password))
	fields := "SFATAL\x00C28P01\x00Mpassword authentication failed for user \"user\"\x00\x00"
	_, err = c.Write(append(wire.BigEndian.AppendUint32([]byte{'E'}, uint32(4+len(fields))), fields...))
	return err
}

func postgresMessage(r io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	body := make([]byte, min(max(wire.BigEndian.Uint32(size[:]), 4)-4, 1<<16))
	_, err := io.ReadFull(r, body)
	return body, err
}

// serveRedis knows no command, and says so as Redis does.
func (e *echoes) serveRedis(c net.Conn, r *bufio.Reader) error {
	for {
		head, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		n, _ := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(head, "*")))
		var words []string
		for range n {
			size, err := r.ReadString('\n')
			if err != nil {
				return err
			}
			length, _ := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(size, "$")))
			word := make([]byte, length+2)
			if _, err := io.ReadFull(r, word); err != nil {
				return err
			}
			words = append(words, string(word[:length]))
		}
		e.note(strings.Join(words, " "))
		if _, err := fmt.Fprintf(c, "-ERR unknown command `%s`, with args beginning with: `%s`\r\n", words[0], strings.Join(words[1:], "`, `")); err != nil {
			return err
		}
	}
}

// serveNATS refuses who connects.
func (e *echoes) serveNATS(c net.Conn, r *bufio.Reader) error {
	if _, err := io.WriteString(c, `INFO {"server_id":"x","version":"2.12.0","proto":1,"max_payload":1048576,"auth_required":true}`+"\r\n"); err != nil {
		return err
	}
	text, err := r.ReadString('\n')
	e.note(text)
	if err == nil {
		_, err = io.WriteString(c, "-ERR 'Authorization Violation'\r\n")
	}
	return err
}

// serveMail takes no login.
func (e *echoes) serveMail(c net.Conn, r *bufio.Reader) error {
	answer := "220 echo"
	for {
		if _, err := io.WriteString(c, answer+"\r\n"); err != nil {
			return err
		}
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		line = strings.TrimSpace(line)
		login, isLogin := strings.CutPrefix(line, "AUTH PLAIN ")
		plain, _ := base64.StdEncoding.DecodeString(login)
		e.note(string(plain))
		switch {
		case strings.HasPrefix(line, "EHLO"):
			answer = "250-echo\r\n250 AUTH PLAIN"
		case isLogin:
			answer = fmt.Sprintf("535 5.7.8 no such login: %s (%q)", login, plain)
		default:
			answer = "500 what is " + line
		}
	}
}
