// Package notify delivers messages to people: by mail, to Slack and to DingTalk.
//
// What the answer of a service means, as for targets: a transient error is worth another attempt, a rejected one would be rejected again.
// No error shows a URL, whose path or query is a secret, or a password.
package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"syncline"
	"syncline/internal/httpclient"
)

const (
	defaultTimeout = 15 * time.Second
	maxAnswer      = 4 << 10 // bytes that are looked at
	maxShown       = 200     // characters of an answer that are shown
)

// Message is what is delivered. ID is the same at every attempt.
type Message struct {
	ID            string
	At            time.Time
	Subject, Body string
}

// Answer is what a service said to a message that it took.
type Answer string

// RetryError is a transient error of a service that said when to come back.
type RetryError struct {
	Err   *syncline.Error
	After time.Duration
}

func (e *RetryError) Error() string { return e.Err.Error() }
func (e *RetryError) Unwrap() error { return e.Err }

// RetryAfter is the least time to wait.
func (e *RetryError) RetryAfter() time.Duration { return e.After }

// endpoint is a URL that documents are posted to.
type endpoint struct {
	url    *url.URL
	client *http.Client
}

func newEndpoint(raw string, timeout time.Duration, allowPrivate bool) (*endpoint, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !allowPrivate) {
		return nil, syncline.Errorf(syncline.Fatal, "url_invalid", "the endpoint's URL cannot be used").WithFix("write it as https://host/path")
	}
	if timeout == 0 {
		timeout = defaultTimeout
	}
	return &endpoint{u, httpclient.New(httpclient.Options{AllowPrivate: allowPrivate, PerHost: 1, Timeout: timeout})}, nil
}

// reply is an answer, with the beginning of its body, out of which the secrets were taken that it was asked with.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// post sends the document.
func (e *endpoint) post(ctx context.Context, to *url.URL, document []byte) (*reply, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), bytes.NewReader(document))
	if err != nil {
		return nil, syncline.Errorf(syncline.Fatal, "url_invalid", "no request can be made to %s", e.url.Host)
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("User-Agent", "syncline")
	res, err := e.client.Do(req)
	if err != nil {
		return nil, e.failed(ctx, err)
	}
	defer res.Body.Close()                                     //nolint:errcheck // nothing is lost
	body, _ := io.ReadAll(io.LimitReader(res.Body, maxAnswer)) // what came of it is judged by its status
	return &reply{res.StatusCode, res.Header, []byte(httpclient.Conceal(string(body), httpclient.Secrets(to)))}, nil
}

func (e *endpoint) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("send to %s: %w", e.url.Host, ctx.Err())
	}
	if refused := httpclient.Refusal(err); refused != nil {
		return refused
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return syncline.Errorf(syncline.Transient, "channel_timeout", "%s did not answer in time", e.url.Host)
	}
	return syncline.Errorf(syncline.Transient, "channel_unreachable", "%s cannot be reached%s", e.url.Host, httpclient.Outage(err))
}

// status is what an answer's status says; nil for 200 to 299.
func (e *endpoint) status(r *reply) error {
	switch code := r.status; {
	case code >= 200 && code < 300:
		return nil
	case code == http.StatusRequestTimeout, code == http.StatusTooManyRequests, code >= 500:
		return retryable(syncline.Errorf(syncline.Transient, "channel_unavailable", "%s answered %d%s", e.url.Host, code, said(r.body)),
			httpclient.RetryAfter(r.header.Get("Retry-After"), time.Now()))
	default:
		return syncline.Errorf(syncline.Rejected, "channel_rejected", "%s answered %d%s", e.url.Host, code, said(r.body)).
			WithFix("check the URL and the secret of the channel, then `syncline alerts test` it")
	}
}

func retryable(e *syncline.Error, after time.Duration) error {
	if after > 0 {
		return &RetryError{Err: e, After: after}
	}
	return e
}

// said is an answer's body for people, on one line.
func said(body []byte) string {
	text := strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7F {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(string(body), "?"))), " ")
	if text == "" {
		return ""
	}
	if r := []rune(text); len(r) > maxShown {
		text = string(r[:maxShown]) + "…"
	}
	return ": " + text
}
