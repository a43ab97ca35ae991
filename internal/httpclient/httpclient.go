// Package httpclient makes the connections over which services are asked that nobody here runs: guarded, bounded, and told of without
// what was asked.
package httpclient

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"syncline"
	"syncline/internal/dialer"
)

const (
	connectTimeout = 10 * time.Second
	maxHead        = 64 << 10
	// MaxRetryAfter bounds what a service can ask for: it must not be able to stop anything for good.
	MaxRetryAfter = time.Hour
)

// Options bound a client.
type Options struct {
	// AllowPrivate lets it connect to addresses that are not public.
	AllowPrivate bool
	// PerHost is how many idle connections are kept.
	PerHost int
	// Timeout bounds a request with its answer; 0 = the request's context does.
	Timeout time.Duration
	// Plain asks for answers as they are: not compressed.
	Plain bool
}

// New returns a client. It follows no redirect: that is an answer like another, and following it would send what was asked, and the
// headers, to a host that nobody chose.
func New(o Options) *http.Client {
	return &http.Client{
		Timeout:       o.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                  nil, // a proxy would connect where the guard cannot see
			DialContext:            Dialer(o.AllowPrivate).DialContext,
			TLSClientConfig:        TLS(),
			TLSHandshakeTimeout:    connectTimeout,
			ForceAttemptHTTP2:      true,
			MaxIdleConnsPerHost:    o.PerHost,
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: maxHead,
			DisableCompression:     o.Plain,
		},
	}
}

// Dialer returns what connects a client.
func Dialer(allowPrivate bool) *net.Dialer {
	d := &net.Dialer{Timeout: connectTimeout}
	if !allowPrivate {
		d.Control = dialer.Public
	}
	return d
}

// TLS returns how a client speaks TLS.
func TLS() *tls.Config { return &tls.Config{MinVersion: tls.VersionTLS12} }

// RetryAfter reads the header of this name: seconds or an HTTP date. 0 = it says nothing.
func RetryAfter(header string, now time.Time) time.Duration {
	var after time.Duration
	if seconds, err := strconv.ParseUint(header, 10, 32); err == nil {
		after = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(header); err == nil {
		after = at.Sub(now)
	}
	return min(max(after, 0), MaxRetryAfter)
}

// Escape writes text as it can stand in a path or a query: it cannot leave its place, by dots either.
func Escape(text string) string {
	text = strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
	if strings.Trim(text, ".") == "" {
		text = strings.ReplaceAll(text, ".", "%2E")
	}
	return text
}

// Refusal returns the error of dialer.Public inside err, or nil.
func Refusal(err error) *syncline.Error {
	var e *syncline.Error
	if errors.As(err, &e) && e.Code == "address_refused" {
		return e
	}
	return nil
}

// Outage says how a connection fails, without what was asked over it, which an answer may repeat; "" where that cannot be told apart.
func Outage(err error) string {
	var certificate *tls.CertificateVerificationError
	var name *net.DNSError
	var connection *net.OpError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &certificate):
		return ": " + certificate.Error()
	case errors.As(err, &name):
		return ": " + name.Error()
	case errors.As(err, &connection):
		return ": " + connection.Error()
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return ": it does not speak TLS"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return ": the connection was cut"
	}
	return ""
}
