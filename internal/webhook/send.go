package webhook

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"syncline"
	"syncline/internal/cloudevent"
	"syncline/internal/httpclient"
)

// RetryError is a transient error of an endpoint that said when to come back.
type RetryError struct {
	Err   *syncline.Error
	After time.Duration
}

func (e *RetryError) Error() string { return e.Err.Error() }
func (e *RetryError) Unwrap() error { return e.Err }

// RetryAfter is the least time to wait before the Write is repeated; at most an hour.
func (e *RetryError) RetryAfter() time.Duration { return e.After }

// send delivers one event. Its error has the class that decides about the change (rejected) or the Write (others).
func (t *Target) send(ctx context.Context, c *syncline.Change) error {
	to, err := t.endpoint(c.Object)
	if err != nil {
		return err
	}
	return t.post(ctx, to, headerID(c.Batch.Source, c.ID()), cloudevent.MediaType, cloudevent.AppendChange(nil, c.Batch.Source, c))
}

// Post sends a document of JSON that is no event. The id is the same at every attempt, and signed with it. Its error is like Write's.
func (t *Target) Post(ctx context.Context, id string, body []byte) error {
	return t.post(ctx, t.url, headerID("", id), "application/json", body)
}

func (t *Target) post(ctx context.Context, to *url.URL, id, mediaType string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), bytes.NewReader(body))
	if err != nil {
		return syncline.Errorf(syncline.Fatal, "url_invalid", "no request can be made to %s", t.url.Host)
	}
	req.Header.Set("Content-Type", mediaType)
	req.Header.Set("User-Agent", "syncline")
	sign(req.Header, t.keys, id, time.Now(), body)
	res, err := t.client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("send to %s: %w", t.url.Host, ctx.Err())
		}
		return networkError(t.url.Host, err)
	}
	// What is left of the answer is read, so that the connection can be used again; a longer one costs the connection.
	io.CopyN(io.Discard, res.Body, maxResponse) //nolint:errcheck // the status is the answer
	res.Body.Close()                            //nolint:errcheck // nothing is lost
	return statusError(t.url.Host, res, time.Now())
}

// statusError is what the answer says about the event; nil = delivered. The answer's body may repeat the record, so it
// never gets into the error.
func statusError(host string, res *http.Response, now time.Time) error {
	code := res.StatusCode
	switch {
	case code >= 200 && code < 300:
		return nil
	case code == http.StatusGone:
		return syncline.Errorf(syncline.Fatal, "endpoint_gone", "%s answered 410: it wants no more events", host).
			WithFix("remove the rule, or ask the endpoint's owner and start the route again")
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests, code >= 500:
		e := syncline.Errorf(syncline.Transient, "endpoint_unavailable", "%s answered %d", host, code)
		if after := httpclient.RetryAfter(res.Header.Get("Retry-After"), now); after > 0 {
			return &RetryError{Err: e, After: after}
		}
		return e
	case code >= 300 && code < 400:
		return syncline.Errorf(syncline.Rejected, "endpoint_redirects", "%s answered %d: redirects are not followed", host, code).
			WithFix("configure the URL that it redirects to")
	}
	return syncline.Errorf(syncline.Rejected, "endpoint_rejected", "%s answered %d", host, code)
}

// networkError tells why there was no answer. The cause's own text may show the URL, or what the endpoint repeats of what it was sent.
func networkError(host string, err error) *syncline.Error {
	if e := httpclient.Refusal(err); e != nil {
		return e
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return syncline.Errorf(syncline.Transient, "endpoint_timeout", "%s did not answer in time", host)
	}
	why := cmp.Or(httpclient.Outage(err), ": its answer cannot be read as HTTP")
	e := syncline.Errorf(syncline.Transient, "endpoint_unreachable", "reach %s%s", host, why).WithFix("bring the endpoint back, or correct the url")
	e.Err = err
	return e
}
