package enrich

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"syncline"
	"syncline/internal/document"
	"syncline/internal/httpclient"
	"syncline/internal/transform"
)

const (
	sideBySide = 8       // questions under way
	maxAnswer  = 1 << 20 // bytes of an answer
)

// service asks over HTTP.
type service struct {
	step   transform.Enrich
	host   string
	client *http.Client
}

func newService(step transform.Enrich) (*service, error) {
	u, err := url.Parse(strings.ReplaceAll(step.HTTP.URL, "{key}", "key"))
	switch {
	case err != nil, u.Host == "", u.Scheme != "https" && u.Scheme != "http":
		return nil, syncline.Errorf(syncline.Fatal, "url_invalid", "the URL of an enrichment cannot be read").WithFix("write it as https://host/path/{key}")
	case place(step.HTTP.URL, "key") != place(step.HTTP.URL, "another"):
		return nil, syncline.Errorf(syncline.Fatal, "url_invalid", "the host of an enrichment's URL depends on the key").WithFix("write it as https://host/path/{key}")
	case u.Scheme == "http" && !step.HTTP.AllowPrivate:
		return nil, syncline.Errorf(syncline.Fatal, "url_insecure", "the service at %s has no TLS", u.Host).
			WithFix("use https, or set allow_private for a service in the local network")
	}
	return &service{step: step, host: u.Host, client: httpclient.New(httpclient.Options{AllowPrivate: step.HTTP.AllowPrivate, PerHost: sideBySide})}, nil
}

// place is where a key's request goes, and as whom.
func place(template, key string) string {
	u, err := url.Parse(strings.ReplaceAll(template, "{key}", key))
	if err != nil {
		return ""
	}
	return u.Scheme + " " + u.User.String() + " " + u.Host
}

func (s *service) close() error {
	s.client.CloseIdleConnections()
	return nil
}

func (s *service) ask(ctx context.Context, keys []syncline.Value) (map[string]found, error) {
	giving, stop := context.WithCancel(ctx) // ends with the first that fails; what was asked is waited for
	defer stop()
	var mu sync.Mutex
	var failed error
	answers := make(map[string]found, len(keys))
	next := make(chan syncline.Value) // closed when all keys were given or one failed
	var workers sync.WaitGroup
	for range min(sideBySide, len(keys)) {
		workers.Go(func() {
			for k := range next {
				f, err := s.one(ctx, k)
				mu.Lock()
				switch {
				case err == nil:
					answers[textOf(k)] = f
				case failed == nil:
					failed = err
					stop()
				}
				mu.Unlock()
			}
		})
	}
give:
	for _, k := range keys {
		select {
		case next <- k:
		case <-giving.Done():
			break give
		}
	}
	close(next)
	workers.Wait()
	if failed == nil {
		failed = ctx.Err()
	}
	return answers, failed
}

// one asks for a key. Nothing at all is the key of no record: its URL would be that of something else.
func (s *service) one(ctx context.Context, key syncline.Value) (found, error) {
	if textOf(key) == "" {
		return found{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.step.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.ReplaceAll(s.step.HTTP.URL, "{key}", httpclient.Escape(textOf(key))), nil)
	if err != nil {
		return found{err: s.unusable("its key makes no URL")}, nil
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "syncline")
	for name, value := range s.step.HTTP.Headers {
		req.Header.Set(name, value)
	}
	res, err := s.client.Do(req)
	if err != nil {
		return found{}, s.unreachable(ctx, err)
	}
	defer res.Body.Close() //nolint:errcheck // it was read as far as it counts
	switch c := res.StatusCode; {
	case c == http.StatusNotFound, c == http.StatusGone:
		return found{}, nil
	case c == http.StatusNoContent:
		return found{}, nil
	case c == http.StatusUnauthorized, c == http.StatusForbidden:
		return found{}, syncline.Errorf(syncline.Fatal, "enrich_refused", "the service at %s answers %d", s.host, c).
			WithFix("correct the step's headers, then `syncline resume ROUTE`")
	case c == http.StatusRequestTimeout, c == http.StatusTooEarly, c == http.StatusTooManyRequests, c >= 500:
		return found{}, syncline.Errorf(syncline.Transient, "enrich_unreachable", "the service at %s answers %d", s.host, c).
			WithFix("see why; it is asked again")
	case c < 200 || c > 299:
		return found{err: s.unusable("the service answers " + strconv.Itoa(c))}, nil
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return found{}, s.unreachable(ctx, err)
	case len(body) > maxAnswer:
		return found{err: s.unusable("the answer has more than 1 MiB")}, nil
	}
	return s.read(body), nil
}

func (s *service) unusable(why string) error {
	return syncline.Errorf(syncline.Rejected, "enrich_failed", "the answer of %s cannot be used: %s", s.host, why).
		WithFix("see what the service answers for the record's key, then retry the task")
}

func (s *service) unreachable(ctx context.Context, err error) error {
	var refused *syncline.Error
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &refused):
		return refused
	}
	return syncline.Errorf(syncline.Transient, "enrich_unreachable", "the service at %s does not answer%s", s.host, httpclient.Outage(err)).
		WithFix("see whether it can be reached; it is asked again")
}

// read takes the fields out of an answer.
func (s *service) read(body []byte) found {
	raw, ok := document.At(body, s.step.HTTP.At)
	if !json.Valid(body) {
		return found{err: s.unusable("it is no JSON")}
	}
	var list []json.RawMessage
	if ok && json.Unmarshal(raw, &list) == nil && list != nil {
		switch len(list) {
		case 0:
			return found{}
		case 1:
			raw = list[0]
		default:
			return found{err: ambiguous()}
		}
	}
	if !ok || string(raw) == "null" {
		return found{}
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(raw, &object) != nil {
		return found{err: s.unusable("there is no object")}
	}
	f := found{values: make([]syncline.Value, len(s.step.Take))}
	for i := range s.step.Take {
		take := &s.step.Take[i]
		part, ok := document.At(raw, take.From)
		if !ok {
			part = []byte("null")
		}
		v, err := document.ParseValue(&syncline.Column{Kind: take.Output.Kind}, part)
		if err != nil {
			return found{err: s.unusable("field " + take.Field)}
		}
		if f.values[i], err = convert(take, v); err != nil {
			return found{err: err}
		}
	}
	return f
}
