package notify

import (
	"bufio"
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"mime"
	"net"
	"net/mail"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"syncline"
)

// mailServer takes mail as RFC 5321 has it: EHLO, STARTTLS, AUTH PLAIN, MAIL, RCPT, DATA, QUIT.
type mailServer struct {
	net.Listener
	cert tls.Certificate
	// implicit has TLS from the start, offers is what EHLO lists, login what AUTH PLAIN has to say ("" = it is not asked for).
	implicit bool
	offers   []string
	login    string
	// answers are given instead, by a command or its first word.
	answers map[string]string

	mu       sync.Mutex
	commands []string
	mails    []string
	secured  bool // the mail came over TLS
}

func newMailServer(t *testing.T, m *mailServer) (*mailServer, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	m.cert = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	if m.Listener, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := m.Accept()
			if err != nil {
				return
			}
			served.Go(func() { m.serve(conn) })
		}
	})
	t.Cleanup(func() { _ = m.Close(); served.Wait() })
	return m, pool
}

func (m *mailServer) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	secured, loggedIn := m.implicit, m.login == ""
	if m.implicit {
		conn = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{m.cert}, MinVersion: tls.VersionTLS12})
	}
	in := bufio.NewReader(conn)
	say := func(line string) { fmt.Fprintf(conn, "%s\r\n", line) } //nolint:errcheck // the client's trouble
	say("220 mail.test")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		m.mu.Lock()
		m.commands = append(m.commands, line)
		m.mu.Unlock()
		word, _, _ := strings.Cut(line, " ")
		switch answer := cmp.Or(m.answers[line], m.answers[word]); {
		case answer != "":
			say(answer)
		case word == "EHLO":
			say("250-mail.test")
			for _, o := range m.offers {
				if o != "STARTTLS" || !secured {
					say("250-" + o)
				}
			}
			say("250 8BITMIME")
		case word == "STARTTLS":
			say("220 go ahead")
			conn = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{m.cert}, MinVersion: tls.VersionTLS12})
			in, secured = bufio.NewReader(conn), true
		case word == "AUTH":
			if plain, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(line, "AUTH PLAIN ")); err != nil || string(plain) != m.login {
				say("535 5.7.8 authentication failed")
				continue
			}
			loggedIn = true
			say("235 welcome")
		case word == "MAIL" && !loggedIn:
			say("530 5.7.0 authentication required")
		case word == "MAIL", word == "RCPT":
			say("250 ok")
		case word == "DATA":
			say("354 go on")
			var b strings.Builder
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					return
				}
				if line == ".\r\n" {
					break
				}
				b.WriteString(strings.TrimPrefix(line, "."))
			}
			m.mu.Lock()
			m.mails, m.secured = append(m.mails, b.String()), secured
			m.mu.Unlock()
			say("250 taken")
		case word == "QUIT":
			say("221 bye")
			return
		default:
			say("502 what?")
		}
	}
}

// got is what the server was told and took so far.
func (m *mailServer) got() (commands, mails []string, secured bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.commands), slices.Clone(m.mails), m.secured
}

func (m *mailServer) options(pool *x509.CertPool) EmailOptions {
	return EmailOptions{Server: m.Addr().String(), TLS: "starttls", From: "Syncline <sync@example.com>", To: []string{"ops@example.com", "值班 <oncall@example.com>"},
		Roots: pool, Timeout: 5 * time.Second, AllowPrivate: true}
}

func sendMail(t *testing.T, o EmailOptions, m *Message) (Answer, error) {
	t.Helper()
	e, err := NewEmail(o)
	if err != nil {
		t.Fatal(err)
	}
	return e.Send(t.Context(), m)
}

// TestEmail: mail arrives over STARTTLS, over TLS and without, with its login, its text and nothing that was not meant.
func TestEmail(t *testing.T) {
	for name, c := range map[string]struct {
		server  *mailServer
		tls     string
		login   bool
		secured bool
	}{
		"starttls with a login": {&mailServer{offers: []string{"STARTTLS", "AUTH PLAIN"}, login: "\x00sync\x00hunter2"}, "starttls", true, true},
		"tls with a login":      {&mailServer{implicit: true, offers: []string{"AUTH PLAIN"}, login: "\x00sync\x00hunter2"}, "tls", true, true},
		"a relay":               {&mailServer{}, "none", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			server, pool := newMailServer(t, c.server)
			o := server.options(pool)
			o.TLS = c.tls
			if c.login {
				o.User, o.Password = "sync", "hunter2"
			}
			evil := news
			evil.Subject += "\r\nBcc: all@example.com\r\n\r\n.\r\nMAIL FROM:<x@y>"
			evil.Body += "\n.\n.\r\nMAIL FROM:<x@y>\n"
			evil.ID = "lag>\r\nX: y"
			if answer, err := sendMail(t, o, &evil); err != nil || answer != "127.0.0.1 took the mail" {
				t.Fatalf("Send = %q, %v", answer, err)
			}
			commands, mails, secured := server.got()
			if len(mails) != 1 || secured != c.secured {
				t.Fatalf("the server got %d mails, over TLS: %v", len(mails), secured)
			}
			for _, command := range commands {
				if strings.HasPrefix(command, "MAIL") && command != "MAIL FROM:<sync@example.com> BODY=8BITMIME" || strings.HasPrefix(command, "RCPT") &&
					command != "RCPT TO:<ops@example.com>" && command != "RCPT TO:<oncall@example.com>" {
					t.Errorf("the server got the command %q", command)
				}
			}
			got, err := mail.ReadMessage(strings.NewReader(mails[0]))
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Header) != 9 || got.Header.Get("Bcc") != "" {
				t.Errorf("the mail has the headers %v", got.Header)
			}
			subject, err := new(mime.WordDecoder).DecodeHeader(got.Header.Get("Subject"))
			if want := oneLine.Replace(evil.Subject); err != nil || subject != want {
				t.Errorf("subject = %q, %v, want %q", subject, err, want)
			}
			if to, err := got.Header.AddressList("To"); err != nil || len(to) != 2 || to[1].Name != "值班" {
				t.Errorf("to = %v, %v", to, err)
			}
			body, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, got.Body))
			if want := strings.ReplaceAll(evil.Body, "\n", "\r\n") + "\r\n"; err != nil || string(body) != want {
				t.Errorf("body = %q, %v, want %q", body, err, want)
			}
			for line := range strings.SplitSeq(mails[0], "\r\n") {
				if len(line) > 998 {
					t.Errorf("a line has %d characters", len(line))
				}
			}
		})
	}
}

// TestMailServersThatRefuse: what a server says decides whether another attempt can help. Nothing is sent in plain text that was not meant to.
func TestMailServersThatRefuse(t *testing.T) {
	for name, c := range map[string]struct {
		server   *mailServer
		tls      string
		password string
		code     string
		class    syncline.Class
	}{
		"no starttls":       {&mailServer{}, "starttls", "hunter2", "channel_insecure", syncline.Rejected},
		"a wrong password":  {&mailServer{offers: []string{"STARTTLS", "AUTH PLAIN"}, login: "\x00sync\x00hunter2"}, "starttls", "hunter3", "channel_rejected", syncline.Rejected},
		"no such recipient": {&mailServer{answers: map[string]string{"RCPT": "550 5.1.1 no such user"}}, "none", "", "channel_rejected", syncline.Rejected},
		"greylisting":       {&mailServer{answers: map[string]string{"RCPT": "450 4.2.0 try again later"}}, "none", "", "channel_unavailable", syncline.Transient},
		"too busy":          {&mailServer{answers: map[string]string{"EHLO": "421 too busy", "HELO": "421 too busy"}}, "none", "", "channel_unavailable", syncline.Transient},
		"plain text on tls": {&mailServer{}, "tls", "", "channel_unreachable", syncline.Transient},
	} {
		t.Run(name, func(t *testing.T) {
			server, pool := newMailServer(t, c.server)
			o := server.options(pool)
			if o.TLS = c.tls; c.password != "" {
				o.User, o.Password = "sync", c.password
			}
			_, err := sendMail(t, o, &news)
			if syncline.CodeOf(err) != c.code || syncline.ClassOf(err) != c.class || strings.Contains(err.Error(), "hunter") {
				t.Errorf("Send = %v (%s), want %s %s", err, syncline.ClassOf(err), c.class, c.code)
			}
			commands, mails, _ := server.got()
			if len(mails) > 0 {
				t.Errorf("the server got mail")
			}
			for _, command := range commands {
				if c.code == "channel_insecure" && strings.HasPrefix(command, "AUTH") {
					t.Errorf("the password was sent in plain text")
				}
			}
		})
	}
}

// TestARefusedRecipientKeepsMailFromNobodyElse: the others get it, and it is said who does not. Where all are refused, one who may be taken
// later decides.
func TestARefusedRecipientKeepsMailFromNobodyElse(t *testing.T) {
	const ops, oncall = "RCPT TO:<ops@example.com>", "RCPT TO:<oncall@example.com>"
	for name, c := range map[string]struct {
		answers map[string]string
		answer  Answer
		code    string
	}{
		"the first":          {map[string]string{ops: "550 5.1.1 no such user"}, "127.0.0.1 took the mail, not for ops@example.com (550: 5.1.1 no such user)", ""},
		"the last, for now":  {map[string]string{oncall: "452 4.2.2 full"}, "127.0.0.1 took the mail, not for oncall@example.com (452: 4.2.2 full)", ""},
		"all, one for now":   {map[string]string{ops: "550 5.1.1 no such user", oncall: "450 4.2.0 later"}, "", "channel_unavailable"},
		"all, and for good":  {map[string]string{ops: "550 5.1.1 no such user", oncall: "553 no"}, "", "channel_rejected"},
		"one, then the body": {map[string]string{ops: "550 5.1.1 no such user", "DATA": "554 no"}, "", "channel_rejected"},
	} {
		t.Run(name, func(t *testing.T) {
			server, pool := newMailServer(t, &mailServer{answers: c.answers})
			var log strings.Builder
			o := server.options(pool)
			o.TLS, o.Logger = "none", slog.New(slog.NewTextHandler(&log, nil))
			answer, err := sendMail(t, o, &news)
			if answer != c.answer || (err == nil) != (c.code == "") || err != nil && syncline.CodeOf(err) != c.code {
				t.Errorf("Send = %q, %v, want %q, %s", answer, err, c.answer, c.code)
			}
			_, mails, _ := server.got()
			if delivered := c.code == ""; (len(mails) == 1) != delivered || strings.Contains(log.String(), "recipient=") != delivered {
				t.Errorf("the server got %d mails, the log has %q", len(mails), &log)
			}
		})
	}
}

// TestMailGoesOnlyWhereItMay: neither to a server whose certificate is not known, nor to a private address without the operator's word.
func TestMailGoesOnlyWhereItMay(t *testing.T) {
	server, pool := newMailServer(t, &mailServer{offers: []string{"STARTTLS"}})
	o := server.options(pool)
	o.AllowPrivate = false
	if _, err := sendMail(t, o, &news); syncline.CodeOf(err) != "address_refused" {
		t.Errorf("a private address: %v", err)
	}
	if commands, _, _ := server.got(); len(commands) > 0 {
		t.Errorf("it was spoken to: %q", commands)
	}
	o = server.options(nil)
	_, err := sendMail(t, o, &news)
	if _, mails, _ := server.got(); err == nil || len(mails) > 0 {
		t.Errorf("an unknown certificate: %v", err)
	}
	silent, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close() //nolint:errcheck // a test's
	o.Server, o.Timeout, o.TLS = silent.Addr().String(), 50*time.Millisecond, "none"
	if _, err := sendMail(t, o, &news); syncline.CodeOf(err) != "channel_timeout" {
		t.Errorf("a server that says nothing: %v", err)
	}
}
