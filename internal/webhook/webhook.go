// Package webhook is the target that sends every event to an HTTP endpoint: a CloudEvent in the structured mode, signed by
// Standard Webhooks.
//
// Delivery is at least once. The Webhook-Id of an event is the same at every attempt, and the receiver's way to drop what it
// has. Events of one key arrive in order, one after the other; events of different keys arrive side by side.
//
// What the endpoint's answer means:
//
//	2xx                          delivered
//	408, 425, 429, 5xx, network  transient: repeated for as long as it takes, not before Retry-After
//	410                          fatal: the endpoint wants no more (endpoint_gone)
//	3xx, other 4xx               rejected: this event, and those of its key after it
package webhook

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"syncline"
	"syncline/internal/httpclient"
)

// Options say where events go.
type Options struct {
	// Route is named in log messages.
	Route string
	// URL is where events are sent. The object of a change is a path below it.
	URL string
	// Secrets sign every request, each for itself, so that a secret can be replaced while requests go on. None = unsigned.
	Secrets []string
	// Timeout bounds one request with its answer; 0 = 15 s.
	Timeout time.Duration
	// Concurrency is how many requests are under way at most; 0 = 8.
	Concurrency int
	// AllowPrivate lets requests go to addresses that are not public, and without TLS.
	AllowPrivate bool
	// Logger is nil for none.
	Logger *slog.Logger
}

const (
	defaultTimeout     = 15 * time.Second
	defaultConcurrency = 8
	connectTimeout     = 10 * time.Second
	maxResponse        = 64 << 10 // bytes of an answer before the connection is given up
)

// Target sends events.
type Target struct {
	opts   Options
	url    *url.URL
	keys   [][]byte
	dialer *net.Dialer
	client *http.Client
	log    *slog.Logger
	// delivered are the events of the last Write that took effect although the Write failed: when it is repeated, they are
	// not sent again.
	delivered map[delivery]bool
}

// Open checks the options. It connects to nothing.
func Open(_ context.Context, opts Options) (*Target, error) {
	if opts.Timeout == 0 {
		opts.Timeout = defaultTimeout
	}
	if opts.Concurrency == 0 {
		opts.Concurrency = defaultConcurrency
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	t := &Target{opts: opts, log: opts.Logger, dialer: httpclient.Dialer(opts.AllowPrivate)}
	var err error
	if t.url, err = parseURL(opts.URL, opts.AllowPrivate); err != nil {
		return nil, err
	}
	for _, s := range opts.Secrets {
		key, err := parseSecret(s)
		if err != nil {
			return nil, err
		}
		t.keys = append(t.keys, key)
	}
	t.client = httpclient.New(httpclient.Options{AllowPrivate: opts.AllowPrivate, PerHost: opts.Concurrency, Timeout: opts.Timeout, Plain: true})
	return t, nil
}

// parseURL returns the endpoint. Errors do not show the URL, whose path or query often is a secret.
func parseURL(raw string, allowHTTP bool) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Fragment != "" || u.Opaque != "" {
		return nil, syncline.Errorf(syncline.Fatal, "url_invalid", "the endpoint's URL cannot be read").WithFix("write it as https://host/path")
	}
	switch u.Scheme {
	case "https":
		return u, nil
	case "http":
		if allowHTTP {
			return u, nil
		}
		return nil, syncline.Errorf(syncline.Fatal, "url_insecure", "the endpoint at %s has no TLS", u.Host).
			WithFix("use https, or set allow_private for an endpoint in the local network")
	}
	return nil, syncline.Errorf(syncline.Fatal, "url_invalid", "the endpoint's URL is neither https nor http").WithFix("write it as https://host/path")
}

// endpoint returns the URL of an object: its segments follow the path of the configured URL, and cannot leave it.
func (t *Target) endpoint(object string) (*url.URL, error) {
	if object == "" {
		return t.url, nil
	}
	segments := strings.Split(object, "/")
	for i, s := range segments {
		if s == "" || s == "." || s == ".." {
			return nil, syncline.Errorf(syncline.Fatal, "object_invalid", "the object is not a path below the endpoint")
		}
		segments[i] = url.PathEscape(s)
	}
	return t.url.JoinPath(segments...), nil
}

// Traits: events in order per key, each delivered for itself; the cursor is kept elsewhere.
func (t *Target) Traits() syncline.Traits {
	return syncline.Traits{Events: true, Partial: true, Rekey: true, Keyless: true}
}

// Close gives up idle connections.
func (t *Target) Close() error {
	t.client.CloseIdleConnections()
	return nil
}

// Check connects to the endpoint without sending anything.
func (t *Target) Check(ctx context.Context) []syncline.Finding {
	var found []syncline.Finding
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if err := t.probe(ctx); err != nil {
		e := networkError(t.url.Host, err)
		found = append(found, syncline.Finding{Level: "fail", Code: e.Code, What: e.Msg, Fix: e.Fix})
	} else {
		found = append(found, syncline.Finding{Level: "ok", What: "the endpoint at " + t.url.Host + " can be reached"})
	}
	if t.url.Scheme == "http" {
		found = append(found, syncline.Finding{Level: "warn", Code: "url_insecure", What: "events go to " + t.url.Host + " without TLS", Fix: "use https"})
	}
	if len(t.keys) == 0 {
		found = append(found, syncline.Finding{Level: "warn", Code: "unsigned", What: "events to " + t.url.Host + " are not signed", Fix: secretFix})
	}
	return found
}

func (t *Target) probe(ctx context.Context) error {
	port := t.url.Port()
	if port == "" {
		port = t.url.Scheme
	}
	address := net.JoinHostPort(t.url.Hostname(), port)
	var conn net.Conn
	var err error
	if t.url.Scheme == "https" {
		conn, err = (&tls.Dialer{NetDialer: t.dialer, Config: httpclient.TLS()}).DialContext(ctx, "tcp", address)
	} else {
		conn, err = t.dialer.DialContext(ctx, "tcp", address)
	}
	if err != nil {
		return err
	}
	return conn.Close()
}
