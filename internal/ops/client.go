package ops

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"syncline/internal/access"
	"syncline/internal/httpclient"
	"syncline/internal/problem"
	"syncline/internal/state"
)

const (
	clientTimeout = 30 * time.Second
	// maxAnswer bounds what the client reads of an answer.
	maxAnswer = 64 << 20

	readyPath = "/readyz"

	// maxPage is the largest page of a list.
	maxPage = 1000
)

// Client calls the API. Its errors are *Problem: what the server said, or code "unreachable" (status 0) where no server
// answered. It is safe for concurrent use.
type Client struct {
	base string
	// shown is what errors have of the URL, which may have a login or a token in it.
	shown string
	token string
	// reason goes with each request that changes something.
	reason string
	http   *http.Client
}

// ClientOptions say which server a client calls, and as whom.
type ClientOptions struct {
	// Server is the URL of the server ("http://127.0.0.1:8484").
	Server string
	// Token is the secret of a token; "" for none.
	Token string
	// Reason says why, in the audit log, for each request that changes something.
	Reason string
	// CA is a file of certificates (PEM) that the server's may be signed with, beside those that the machine trusts; "" for none.
	CA string
}

// NewClient returns a client of the server at this URL, without a token.
func NewClient(server string) (*Client, error) { return Connect(ClientOptions{Server: server}) }

// Connect returns a client. It connects when it is used.
func Connect(o ClientOptions) (*Client, error) {
	u, err := url.Parse(o.Server)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		p := problem.New(0, problem.CodeServerInvalid, "the server's URL is not one of http or https", "give --server http://127.0.0.1:8484")
		p = p.Because(err)
		return nil, p
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if o.CA != "" {
		if transport.TLSClientConfig, err = trust(o.CA); err != nil {
			return nil, err
		}
	}
	return &Client{base: strings.TrimRight(o.Server, "/"), shown: u.Scheme + "://" + u.Host, token: o.Token, reason: o.Reason, http: &http.Client{Timeout: clientTimeout, Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

func trust(file string) (*tls.Config, error) {
	text, err := os.ReadFile(file)   //nolint:gosec // the operator's own path
	pool, _ := x509.SystemCertPool() // nil where the machine has none
	if pool == nil {
		pool = x509.NewCertPool()
	}
	if err != nil || !pool.AppendCertsFromPEM(text) {
		p := problem.New(0, problem.CodeServerInvalid, "the file of --ca has no certificate that can be read: "+file, "give the certificate of the authority as a PEM file")
		p = p.Because(err)
		return nil, p
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}, nil
}

// Status tells how the process, its systems and its routes are.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return call[Status](ctx, c, "GET", "/v1/status", nil)
}

// Systems returns the systems.
func (c *Client) Systems(ctx context.Context) ([]SystemStatus, error) {
	return all[SystemStatus](ctx, c, "/v1/systems", nil, 0)
}

// Routes returns the routes.
func (c *Client) Routes(ctx context.Context) ([]RouteStatus, error) {
	return all[RouteStatus](ctx, c, "/v1/routes", nil, 0)
}

// Route returns one route.
func (c *Client) Route(ctx context.Context, id string) (RouteStatus, error) {
	return call[RouteStatus](ctx, c, "GET", "/v1/routes/"+url.PathEscape(id), nil)
}

// ResumeRoute has a stopped route try again now.
func (c *Client) ResumeRoute(ctx context.Context, id string) error {
	_, err := call[struct{}](ctx, c, "POST", "/v1/routes/"+url.PathEscape(id)+"/resume", nil)
	return err
}

// ResumeSystem has a stopped source, and the stopped routes to a target, try again now.
func (c *Client) ResumeSystem(ctx context.Context, name string) error {
	_, err := call[struct{}](ctx, c, "POST", "/v1/systems/"+url.PathEscape(name)+"/resume", nil)
	return err
}

// AcceptGap has a source that has halted because changes are missing go on behind the gap.
func (c *Client) AcceptGap(ctx context.Context, name string) error {
	_, err := call[struct{}](ctx, c, "POST", "/v1/systems/"+url.PathEscape(name)+"/accept-gap", nil)
	return err
}

// Pauses returns what is paused.
func (c *Client) Pauses(ctx context.Context) ([]Pause, error) {
	return all[Pause](ctx, c, "/v1/pauses", nil, 0)
}

// Pause holds routes back.
func (c *Client) Pause(ctx context.Context, r PauseRequest) (Paused, error) {
	return call[Paused](ctx, c, "POST", "/v1/pauses", r)
}

// Unpause lifts pauses; the request's reason is not sent.
func (c *Client) Unpause(ctx context.Context, r PauseRequest) error {
	q := url.Values{"source": r.Sources, "entity": r.Entities, "rule": r.Rules, "target": r.Targets}
	_, err := call[struct{}](ctx, c, "DELETE", "/v1/pauses?"+q.Encode(), nil)
	return err
}

// Tasks returns a page of tasks, without their records.
func (c *Client) Tasks(ctx context.Context, query TaskQuery) (List[Task], error) {
	q := query.Choice.values()
	if query.After != "" {
		q.Set("after", query.After)
	}
	if query.Limit > 0 {
		q.Set("limit", strconv.Itoa(query.Limit))
	}
	return call[List[Task]](ctx, c, "GET", "/v1/tasks?"+q.Encode(), nil)
}

// values is the choice as a query.
func (c *Choice) values() url.Values {
	q := url.Values{}
	for name, value := range map[string]string{"status": string(c.Status), "reason": c.Why, "route": c.Route, "rule": c.Rule, "source": c.Source,
		"target": c.Target, "entity": c.Entity, "key": c.Key, "code": c.Code, "class": c.Class, "from": moment(c.From), "to": moment(c.To)} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// Stats sums up a stretch of time.
func (c *Client) Stats(ctx context.Context, q StatsQuery) (Stats, error) {
	choice := q.choice()
	choice.From, choice.To = q.From, q.To
	return call[Stats](ctx, c, "GET", "/v1/stats?"+choice.values().Encode(), nil)
}

// TaskPages returns up to query.Limit tasks, however many pages they are; 0 = all. Next is where it ended, "" at the end of the list.
func (c *Client) TaskPages(ctx context.Context, query TaskQuery) (List[Task], error) {
	most := query.Limit
	found := List[Task]{Items: []Task{}}
	for {
		if query.Limit = maxPage; most > 0 {
			query.Limit = min(most-len(found.Items), maxPage)
		}
		page, err := c.Tasks(ctx, query)
		found.Items, found.Next = append(found.Items, page.Items...), page.Next
		if err != nil || page.Next == "" || most > 0 && len(found.Items) >= most {
			return found, err
		}
		query.After = page.Next
	}
}

// Task returns one task with its record.
func (c *Client) Task(ctx context.Context, id string) (Task, error) {
	return call[Task](ctx, c, "GET", "/v1/tasks/"+url.PathEscape(id), nil)
}

// RetryTask has a pending task tried now.
func (c *Client) RetryTask(ctx context.Context, id, reason string) error {
	_, err := call[struct{}](ctx, c, "POST", "/v1/tasks/"+url.PathEscape(id)+"/retry", Retrial{reason})
	return err
}

// EditTask gives a task that waits another record, and has it tried.
func (c *Client) EditTask(ctx context.Context, id string, record json.RawMessage, reason string) error {
	_, err := call[struct{}](ctx, c, "POST", "/v1/tasks/"+url.PathEscape(id)+"/retry", Revision{Retrial{reason}, record})
	return err
}

// CancelTask gives a pending task up.
func (c *Client) CancelTask(ctx context.Context, id, reason string) error {
	_, err := call[struct{}](ctx, c, "POST", "/v1/tasks/"+url.PathEscape(id)+"/cancel", Cancellation{reason})
	return err
}

// RetryTasks has all chosen tasks that wait tried now, and tells of each whether it will be.
func (c *Client) RetryTasks(ctx context.Context, s Selection, reason string) (Chosen, error) {
	return call[Chosen](ctx, c, "POST", "/v1/tasks/retry", Retrials{s, Retrial{reason}})
}

// CancelTasks gives all chosen tasks that wait up, and tells of each whether it was.
func (c *Client) CancelTasks(ctx context.Context, s Selection, reason string) (Chosen, error) {
	return call[Chosen](ctx, c, "POST", "/v1/tasks/cancel", Cancellations{s, reason})
}

// Tokens returns all tokens, without their secrets.
func (c *Client) Tokens(ctx context.Context) ([]access.Token, error) {
	return all[access.Token](ctx, c, "/v1/tokens", nil, 0)
}

// CreateToken makes a token. Its secret is in this answer only.
func (c *Client) CreateToken(ctx context.Context, r TokenRequest) (NewToken, error) {
	return call[NewToken](ctx, c, "POST", "/v1/tokens", r)
}

// RevokeToken ends a token, by its id or its name.
func (c *Client) RevokeToken(ctx context.Context, which string) (access.Token, error) {
	return call[access.Token](ctx, c, "POST", "/v1/tokens/"+url.PathEscape(which)+"/revoke", nil)
}

// Audit returns up to limit calls of the audit log that f chooses, the newest first; 0 = all of them.
func (c *Client) Audit(ctx context.Context, f state.CallFilter, limit int) ([]state.Call, error) {
	q := url.Values{}
	for name, value := range map[string]string{"who": f.Who, "operation": f.Operation, "after": f.After} {
		if value != "" {
			q.Set(name, value)
		}
	}
	for name, at := range map[string]time.Time{"since": f.Since, "until": f.Until} {
		if !at.IsZero() {
			q.Set(name, at.Format(time.RFC3339Nano))
		}
	}
	if f.Refused {
		q.Set("refused", "true")
	}
	return all[state.Call](ctx, c, "/v1/audit", q, limit)
}

// Ready reports whether every system and route does its work, and why not.
func (c *Client) Ready(ctx context.Context) (Readiness, error) {
	return call[Readiness](ctx, c, "GET", readyPath, nil)
}

// all returns up to most items of a list, page by page; 0 = every one.
func all[T any](ctx context.Context, c *Client, path string, q url.Values, most int) ([]T, error) {
	var items []T
	if q == nil {
		q = url.Values{}
	}
	for {
		if most > 0 {
			q.Set("limit", strconv.Itoa(min(most-len(items), maxPage)))
		}
		page, err := call[List[T]](ctx, c, "GET", path+"?"+q.Encode(), nil)
		items = append(items, page.Items...)
		if err != nil || page.Next == "" || most > 0 && len(items) >= most {
			return some(items), err
		}
		q.Set("after", page.Next)
	}
}

func call[T any](ctx context.Context, c *Client, method, path string, body any) (out T, err error) {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return out, err
		}
		content = bytes.NewReader(text)
	}
	if c.reason != "" && method != http.MethodGet {
		separator := "?"
		if strings.Contains(path, "?") {
			separator = "&"
		}
		path += separator + "reason=" + url.QueryEscape(c.reason)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, content)
	if err != nil {
		return out, err
	}
	req.Header.Set("Accept", "application/json")
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.http.Do(req)
	if err != nil {
		return out, c.unreachable(ctx, err)
	}
	defer res.Body.Close() //nolint:errcheck // it was read
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return out, c.unreachable(ctx, err)
	}
	isProblem := strings.HasPrefix(res.Header.Get("Content-Type"), problem.MediaType)
	switch {
	case res.StatusCode == http.StatusNoContent:
		return out, nil
	case isProblem:
		p := &Problem{}
		if err := json.Unmarshal(answer, p); err == nil && p.Code != "" {
			p.Status = res.StatusCode
			return out, p
		}
	case res.StatusCode < 300 || path == readyPath && res.StatusCode == http.StatusServiceUnavailable:
		if err := json.Unmarshal(answer, &out); err == nil {
			return out, nil
		}
	}
	return out, problem.New(res.StatusCode, "answer_unknown", "the server's answer to "+method+" "+path+" is not one of syncline's",
		"check that --server names a syncline of this version, with https where it has http.tls")
}

func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	why := httpclient.Outage(err)
	var timeout net.Error
	switch {
	case why != "":
	case errors.As(err, &timeout) && timeout.Timeout():
		why = " in time"
	default:
		why = ": it answers what no syncline does"
	}
	fix := "start syncline run, or give its address with --server"
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &certificate) {
		fix = "give the certificate of the authority that signed the server's with --ca or SYNCLINE_CA, and --server a name that the server's has"
	}
	p := problem.New(0, "unreachable", "no answer from "+c.shown+why, fix)
	p = p.Because(err)
	return p
}
