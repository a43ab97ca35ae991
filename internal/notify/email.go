package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"strings"
	"time"

	"syncline"
	"syncline/internal/httpclient"
)

// Email hands mail to a server (RFC 5321), for each message over a connection of its own.
type Email struct {
	opts EmailOptions
	host string
	from *mail.Address
	to   []*mail.Address
	// secrets are what a server might repeat of the login.
	secrets []string
}

// EmailOptions say where.
type EmailOptions struct {
	// Server is a host and a port.
	Server string
	// TLS is starttls, tls or none. With starttls a server without it is not used.
	TLS string
	// User and Password log in (PLAIN); "" = nobody does.
	User, Password string
	// From and To are addresses, perhaps with names.
	From string
	To   []string
	// Roots are the certificate authorities; nil = the system's.
	Roots        *x509.CertPool
	Timeout      time.Duration // 0 = 15 s
	AllowPrivate bool
	// Logger is told of recipients that a server refused; nil = nobody is.
	Logger *slog.Logger
}

// NewEmail checks the options. It connects to nothing.
func NewEmail(o EmailOptions) (*Email, error) {
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	e := &Email{opts: o}
	var err error
	if e.host, _, err = net.SplitHostPort(o.Server); err != nil {
		return nil, invalidMail("the server is not a host and a port")
	}
	if e.from, err = mail.ParseAddress(o.From); err != nil {
		return nil, invalidMail("the sender's address cannot be read")
	}
	for _, text := range o.To {
		a, err := mail.ParseAddress(text)
		if err != nil {
			return nil, invalidMail("a recipient's address cannot be read")
		}
		e.to = append(e.to, a)
	}
	if len(e.to) == 0 {
		return nil, invalidMail("there is no recipient")
	}
	e.secrets = httpclient.LoginSecrets(o.User, o.Password)
	return e, nil
}

func invalidMail(what string) error {
	return syncline.Errorf(syncline.Fatal, "channel_invalid", "%s", what).WithFix("correct the channel in the configuration")
}

// Send delivers a message. It has been delivered where the server has taken it for one of the recipients at least: a former colleague's
// address keeps an alert from nobody else. The others are logged and part of the answer; the message is not tried again for them, not even
// where the server refused them for the moment only, because those who have it would get it once more.
func (e *Email) Send(ctx context.Context, m *Message) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, e.opts.Timeout)
	defer cancel()
	refused, err := e.send(ctx, m)
	if err != nil {
		return "", e.failed(ctx, err)
	}
	answer := e.host + " took the mail"
	for _, r := range refused {
		e.opts.Logger.Warn("a recipient of a mail was refused: only the others get it", "server", e.opts.Server, "recipient", r.to, "message", m.ID, "answer", e.said(r.reply))
		answer += ", not for " + r.to + " (" + e.said(r.reply) + ")"
	}
	return Answer(answer), nil
}

// refusal is what a server says to a recipient whom it does not take mail for.
type refusal struct {
	to    string
	reply *textproto.Error
}

// said is a server's answer for people.
func (e *Email) said(r *textproto.Error) string {
	return fmt.Sprintf("%d%s", r.Code, said([]byte(httpclient.Conceal(r.Msg, e.secrets))))
}

// send returns whom the mail was not taken for.
func (e *Email) send(ctx context.Context, m *Message) (refused []refusal, err error) {
	conn, err := httpclient.Dialer(e.opts.AllowPrivate).DialContext(ctx, "tcp", e.opts.Server)
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // what counts is the server's word
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if e.opts.TLS == "tls" {
		secured := tls.Client(conn, e.tls())
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		conn = secured
	}
	c, err := smtp.NewClient(conn, e.host)
	if err != nil {
		return nil, err
	}
	defer c.Close() //nolint:errcheck // as above
	if e.opts.TLS == "starttls" {
		if ok, _ := c.Extension("STARTTLS"); !ok {
			return nil, syncline.Errorf(syncline.Rejected, "channel_insecure", "%s offers no STARTTLS", e.opts.Server).
				WithFix("tls: tls where the port expects TLS from the start; tls: none for a relay in the local network")
		}
		if err := c.StartTLS(e.tls()); err != nil {
			return nil, err
		}
	}
	if e.opts.User != "" {
		if err := c.Auth(smtp.PlainAuth("", e.opts.User, e.opts.Password, e.host)); err != nil {
			return nil, err
		}
	}
	if err := c.Mail(e.from.Address); err != nil {
		return nil, err
	}
	if refused, err = e.recipients(c); err != nil {
		return nil, err
	}
	w, err := c.Data()
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(e.write(m)); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	_ = c.Quit() // the server has the mail
	return refused, nil
}

// recipients names the recipients, and returns those that were refused. Where all were, that is an error: one that may be over soon, if
// any of them is.
func (e *Email) recipients(c *smtp.Client) (refused []refusal, err error) {
	for _, to := range e.to {
		var reply *textproto.Error
		if err := c.Rcpt(to.Address); errors.As(err, &reply) {
			refused = append(refused, refusal{to.Address, reply})
		} else if err != nil {
			return nil, err
		}
	}
	if len(refused) < len(e.to) {
		return refused, nil
	}
	for _, r := range refused {
		if r.reply.Code < 500 {
			return nil, r.reply
		}
	}
	return nil, refused[0].reply
}

func (e *Email) tls() *tls.Config {
	c := httpclient.TLS()
	c.ServerName, c.RootCAs = e.host, e.opts.Roots
	return c
}

// write makes the mail (RFC 5322). Headers are encoded words where they are not plain text, the body is base64: neither can hold a line
// that means anything to a server.
func (e *Email) write(m *Message) []byte {
	var b bytes.Buffer
	to := make([]string, len(e.to))
	for i, a := range e.to {
		to[i] = a.String()
	}
	_, domain, _ := strings.Cut(e.from.Address, "@")
	for _, h := range [][2]string{
		{"Date", m.At.Format(time.RFC1123Z)},
		{"From", e.from.String()},
		{"To", strings.Join(to, ",\r\n ")},
		{"Subject", mime.BEncoding.Encode("utf-8", oneLine.Replace(m.Subject))},
		{"Message-ID", "<" + messageID(m.ID) + "@" + domain + ">"},
		{"Auto-Submitted", "auto-generated"},
		{"MIME-Version", "1.0"},
		{"Content-Type", "text/plain; charset=utf-8"},
		{"Content-Transfer-Encoding", "base64"},
	} {
		b.WriteString(h[0] + ": " + h[1] + "\r\n")
	}
	b.WriteString("\r\n")
	text := base64.StdEncoding.EncodeToString([]byte(strings.ReplaceAll(m.Body, "\n", "\r\n") + "\r\n"))
	const line = 76
	for len(text) > line {
		b.WriteString(text[:line] + "\r\n")
		text = text[line:]
	}
	b.WriteString(text + "\r\n")
	return b.Bytes()
}

// oneLine takes out what could end a header. What the encoding of a long subject folds, it folds itself.
var oneLine = strings.NewReplacer("\r", " ", "\n", " ", "\x00", " ")

// messageID is the id as the left part of a Message-ID: the same mail at every attempt.
func messageID(id string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.' {
			return r
		}
		return '_'
	}, id)
}

func (e *Email) failed(ctx context.Context, err error) error {
	var own *syncline.Error
	var reply *textproto.Error
	var timeout net.Error
	switch {
	case errors.As(err, &own):
		return own
	case ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("send to %s: %w", e.opts.Server, ctx.Err())
	case ctx.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		return syncline.Errorf(syncline.Transient, "channel_timeout", "%s did not answer in time", e.opts.Server)
	case errors.As(err, &reply) && reply.Code >= 400 && reply.Code < 500:
		return syncline.Errorf(syncline.Transient, "channel_unavailable", "%s answered %s", e.opts.Server, e.said(reply))
	case errors.As(err, &reply):
		return syncline.Errorf(syncline.Rejected, "channel_rejected", "%s answered %s", e.opts.Server, e.said(reply)).
			WithFix("check the user, the password and the addresses of the channel, then `syncline alerts test` it")
	}
	return syncline.Errorf(syncline.Transient, "channel_unreachable", "%s cannot be reached%s", e.opts.Server, httpclient.Outage(err))
}
