package httppoll

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/time/rate"

	"syncline"
	"syncline/internal/backoff"
	"syncline/internal/cloudevent"
	"syncline/internal/httpclient"
)

const (
	// attempts is how often a request is made before its failure is that of the source.
	attempts = 4
	// longestPause is the longest that a request waits for its next attempt; where the service wants to be left alone for longer, it
	// fails, and the source does not open until then.
	longestPause = time.Minute
)

// Client asks one service. It outlives the sources that use it, so that its rate and what Retry-After said hold over them.
type Client struct {
	o     Options
	base  *url.URL
	http  *http.Client
	log   *slog.Logger
	limit *rate.Limiter

	mu sync.Mutex
	// until is when the service may be asked again.
	until time.Time
	// columns are those that records have had, as the source at work knows them (cloudevent.Shapes.Append).
	columns []byte
}

// learned takes over which columns records have had.
func (c *Client) learned(columns []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.columns = columns
}

// shapes are the columns that records have had.
func (c *Client) shapes() (*cloudevent.Shapes, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.columns) == 0 {
		return cloudevent.NewShapes(), nil
	}
	return cloudevent.ParseShapes(c.columns)
}

// NewClient returns a client. It connects to nothing.
func NewClient(o Options, log *slog.Logger) (*Client, error) {
	o = o.withDefaults()
	base, err := url.Parse(o.URL)
	switch {
	case err != nil, base.Host == "", base.User != nil, base.Fragment != "", base.Scheme != "https" && base.Scheme != "http":
		return nil, syncline.Errorf(syncline.Fatal, "url_invalid", "the URL of %s cannot be read", o.Name).WithFix("write it as https://host/path; a user and a password belong into auth")
	case base.Scheme == "http" && !o.AllowPrivate:
		return nil, syncline.Errorf(syncline.Fatal, "url_insecure", "the service at %s has no TLS", base.Host).
			WithFix("use https, or set allow_private for a service in the local network")
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Client{o: o, base: base, log: log, limit: rate.NewLimiter(rate.Limit(o.Rate), 1),
		http: httpclient.New(httpclient.Options{AllowPrivate: o.AllowPrivate, PerHost: 2})}, nil
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// answer is what the service said.
type answer struct {
	status int
	// body is JSON that CheckJSON has accepted; nil = the answer has none.
	body    []byte
	records [][]byte
	links   []string
	// etag is what the next request for the same can name.
	etag string
}

// held returns why the service is not to be asked now, nil if it may be.
func (c *Client) held() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	wait := time.Until(c.until)
	if wait <= 0 {
		return nil
	}
	return syncline.Errorf(syncline.Transient, "api_unreachable", "the service at %s wants to be left alone for %s", c.base.Host, wait.Round(time.Second)).
		WithFix("it is asked again then; lower rate if this goes on")
}

// ask sends the request, again where that may help, and returns the answer. what names it in errors.
func (c *Client) ask(ctx context.Context, what string, r request) (*answer, error) {
	for attempt := 1; ; attempt++ {
		if err := c.held(); err != nil {
			return nil, err
		}
		if err := c.limit.Wait(ctx); err != nil {
			return nil, ctx.Err()
		}
		a, after, err := c.once(ctx, what, r)
		if err == nil || ctx.Err() != nil || syncline.ClassOf(err) != syncline.Transient {
			return a, err
		}
		pause := max(after, backoff.Delay(c.o.RetryDelay, 30*c.o.RetryDelay, attempt))
		if after > longestPause {
			c.mu.Lock()
			c.until = time.Now().Add(after)
			c.mu.Unlock()
		}
		if attempt == attempts || after > longestPause {
			return nil, err
		}
		c.log.Info("service does not answer as it should", "system", c.o.Name, "code", syncline.CodeOf(err), "err", err, "retry_in", pause)
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		case <-timer.C:
		}
	}
}

// once sends the request. after is how long the service wants to be left alone.
func (c *Client) once(ctx context.Context, what string, r request) (a *answer, after time.Duration, err error) {
	asked, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(asked, r.method, r.url.String(), bytes.NewReader(r.body))
	if err != nil {
		return nil, 0, c.misasked(what, "no request can be made")
	}
	c.dress(req.Header, r.header)
	if name := unsendable(req.Header); name != "" {
		return nil, 0, c.misasked(what, "the value of its header "+name+" has a line break or another control character")
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, 0, c.unreachable(ctx, asked, err)
	}
	defer res.Body.Close() //nolint:errcheck // it was read as far as it counts
	if err := c.status(what, res); err != nil {
		_, _ = io.CopyN(io.Discard, res.Body, 64<<10) // so that the connection can be used again
		return nil, httpclient.RetryAfter(res.Header.Get("Retry-After"), time.Now()), err
	}
	a = &answer{status: res.StatusCode, links: res.Header.Values("Link"), etag: res.Header.Get("ETag")}
	if res.StatusCode == http.StatusNotModified || res.StatusCode == http.StatusNoContent || absent(res.StatusCode) {
		return a, 0, nil
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, c.o.MaxAnswer+1))
	switch {
	case err != nil:
		return nil, 0, c.unreachable(ctx, asked, err)
	case int64(len(body)) > c.o.MaxAnswer:
		return nil, 0, c.unusable(what, "it has more than %d bytes", c.o.MaxAnswer).WithFix("ask for smaller pages (page.size), or raise max_answer")
	}
	if a.body, err = readJSON(res.Header.Get("Content-Type"), body); err != nil {
		return nil, 0, c.unusable(what, "%v", err)
	}
	return a, 0, nil
}

// unsendable returns the name of a header whose value none can have, "" where there is none: what a page's cursor or an environment has may be such.
func unsendable(h http.Header) string {
	for name, values := range h {
		for _, v := range values {
			if !httpguts.ValidHeaderFieldValue(v) {
				return name
			}
		}
	}
	return ""
}

func absent(status int) bool { return status == http.StatusNotFound || status == http.StatusGone }

// dress puts on the headers of a request, those of the entity last. What says who asks cannot be overwritten by accident.
func (c *Client) dress(h, own http.Header) {
	h.Set("Accept", "application/json")
	h.Set("User-Agent", "syncline")
	for _, p := range c.o.Headers {
		h.Set(p.Name, p.Text)
	}
	for name, values := range own {
		h[name] = values
	}
	switch a := &c.o.Auth; {
	case a.Bearer != "":
		h.Set("Authorization", "Bearer "+a.Bearer)
	case a.Header != "":
		h.Set(a.Header, a.Value)
	case a.User != "" || a.Password != "":
		req := http.Request{Header: h}
		req.SetBasicAuth(a.User, a.Password)
	}
}

// status is what the answer's status says; nil = there is an answer. 404 and 410 are one: that there is nothing.
func (c *Client) status(what string, res *http.Response) error {
	switch s := res.StatusCode; {
	case s >= 200 && s < 300, s == http.StatusNotModified, absent(s):
		return nil
	case s == http.StatusForbidden && res.Header.Get("Retry-After") != "": // some say so that they are asked too often
		return syncline.Errorf(syncline.Transient, "api_unreachable", "the service at %s answers %d to %s, for a while", c.base.Host, s, what).
			WithFix("it is asked again then; lower rate if this goes on")
	case s == http.StatusUnauthorized, s == http.StatusForbidden:
		return syncline.Errorf(syncline.Fatal, "api_refused", "the service at %s answers %d to %s", c.base.Host, s, what).
			WithFix("correct auth of system %s, then `syncline resume --system %s`", c.o.Name, c.o.Name)
	case s >= 500 && s != http.StatusBadGateway && s != http.StatusServiceUnavailable && s != http.StatusGatewayTimeout:
		return syncline.Errorf(syncline.Transient, "api_failing", "the service at %s answers %d to %s", c.base.Host, s, what).
			WithFix("see why: others of its answers may be right")
	case s == http.StatusRequestTimeout, s == http.StatusTooEarly, s == http.StatusTooManyRequests, s >= 500:
		return syncline.Errorf(syncline.Transient, "api_unreachable", "the service at %s answers %d to %s", c.base.Host, s, what).
			WithFix("see why; it is asked again")
	case s >= 300 && s < 400:
		return c.misasked(what, "it redirects, which is not followed: it would take the headers to another place")
	default:
		return c.misasked(what, "it answers "+http.StatusText(s))
	}
}

func (c *Client) misasked(what, why string) *syncline.Error {
	return syncline.Errorf(syncline.Fatal, "api_request_bad", "%s at %s: %s", what, c.base.Host, why).
		WithFix("correct url and headers of system %s, or path, query, headers and page of the entity, then `syncline resume --system %s`", c.o.Name, c.o.Name)
}

func (c *Client) unusable(what, format string, args ...any) *syncline.Error {
	return syncline.Errorf(syncline.Transient, "api_answer_bad", "the answer of %s to %s cannot be used: %s", c.base.Host, what, fmt.Sprintf(format, args...)).
		WithFix("see what the service answers; it is asked again, and the watermark has not moved")
}

// named returns an error of paging with what was read.
func (c *Client) named(what string, err error) error {
	var e *syncline.Error
	if errors.As(err, &e) {
		e.Msg = what + " at " + c.base.Host + ": " + e.Msg
	}
	return err
}

// unreachable says why there is no answer. The cause is named only so far as it cannot show what was asked.
func (c *Client) unreachable(ctx, asked context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if refused := httpclient.Refusal(err); refused != nil {
		return refused
	}
	why := httpclient.Outage(err)
	var timeout net.Error
	switch {
	case asked.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		why = " within " + c.o.Timeout.String()
	case errors.Is(err, io.ErrUnexpectedEOF):
		why = " to the end: the connection was cut"
	}
	return syncline.Errorf(syncline.Transient, "api_unreachable", "the service at %s does not answer%s", c.base.Host, why).
		WithFix("see whether it can be reached; it is asked again")
}

// follow returns the request of a page that the answer links to. It must be at the same service: what says who asks goes with it.
func (c *Client) follow(what string, r request, link string) (request, error) {
	ref, err := url.Parse(link)
	if err != nil {
		return r, c.unusable(what, "the link to its next page is no URL")
	}
	next := r.url.ResolveReference(ref)
	if next.Scheme == "http" && c.base.Scheme == "https" && next.Host == c.base.Host {
		next.Scheme = "https" // the service stands behind a proxy and does not know
	}
	if next.Scheme != c.base.Scheme || !strings.EqualFold(next.Host, c.base.Host) || next.User != nil {
		return r, syncline.Errorf(syncline.Fatal, "api_elsewhere", "%s: the next page is at %s, which is not %s", what, next.Host, c.base.Host).
			WithFix("set url of system %s to where the pages are; nothing was sent there", c.o.Name)
	}
	next.Fragment = ""
	r.url = next
	return r, nil
}

func isHTML(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "text/html" || media == "application/xhtml+xml")
}
