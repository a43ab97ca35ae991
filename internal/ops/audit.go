package ops

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"syncline/internal/alert"
	"syncline/internal/problem"
	"syncline/internal/state"
)

const (
	// maxReason bounds why somebody does something, in bytes.
	maxReason = 500
	// maxRecordedBody bounds what is read of a body for the audit log; a longer one is refused by its operation.
	maxRecordedBody = 1 << 20
	// maxDetail bounds what is kept of one value of a request.
	maxDetail = 300
)

// told are the fields of a request, in its body or its query, that the audit log keeps. None of them holds a value of a record. Of keys it
// keeps how many they are.
var told = []string{"action", "code", "dry_run", "entities", "entity", "expires", "field", "for_seconds", "force", "from", "id", "ids", "kind", "labels", "max_percent", "max_repair", "name", "rate", "repair", "role",
	"route", "routes", "rule", "rules", "sample", "source", "sources", "status", "strategy", "system", "systems", "target", "targets", "to", "until"}

// given are the fields of a body with values of records: the audit log keeps that they were there.
var given = []string{"from_key", "ours", "record", "theirs", "values", "where"}

// recorded reports whether each call of the operation is in the audit log. Events are not: each of them is in the log of its source, under
// its id, and to write twice to the state store for each would halve what a publisher can send. Where they are refused to a token that
// is known, that is recorded.
func (o *operation) recorded() bool { return o.mutating && o.id != "publish-events" }

// call begins the entry of a request.
func (g *guard) call(r *http.Request, id string, op *operation, who *caller) *state.Call {
	c := &state.Call{ID: id, At: time.Now(), Who: who.token.Name, Token: who.token.ID, Role: string(who.token.Role), Address: who.address, Operation: op.id,
		Details: pathDetails(op.path, r.URL)}
	query := r.URL.Query()
	c.Reason = query.Get("reason")
	for _, name := range told {
		if values := query[name]; len(values) > 0 {
			c.Details[name] = brief(strings.Join(values, ", "))
		}
	}
	return c
}

// pathDetails are the values of the template's parameters.
func pathDetails(template string, u *url.URL) map[string]string {
	details := make(map[string]string)
	parts := strings.Split(u.EscapedPath(), "/")
	for i, name := range strings.Split(template, "/") {
		if inner, ok := strings.CutPrefix(name, "{"); ok && i < len(parts) {
			if value, err := url.PathUnescape(parts[i]); err == nil {
				details[strings.TrimSuffix(inner, "}")] = brief(value)
			}
		}
	}
	return details
}

// addBody takes what the audit log keeps of the body, and gives the request the body back.
func addBody(c *state.Call, r *http.Request) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRecordedBody+1))
	if err != nil {
		return problem.New(http.StatusBadRequest, "request_invalid", "the body ended early", "send it again")
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(body), r.Body), r.Body}
	var fields map[string]json.RawMessage
	if !json.Valid(body) {
		return nil // the operation says what is wrong with it
	}
	_ = json.Unmarshal(body, &fields) // what is no object has no fields
	var reason string
	if json.Unmarshal(fields["reason"], &reason) == nil && c.Reason == "" {
		c.Reason = reason
	}
	for _, name := range told {
		if value := detail(fields[name]); value != "" {
			c.Details[name] = value
		}
	}
	for _, name := range given {
		if len(fields[name]) > 0 {
			c.Details[name] = "given"
		}
	}
	var keys []json.RawMessage
	if json.Unmarshal(fields["keys"], &keys) == nil && len(keys) > 0 {
		c.Details["keys"] = fmt.Sprint(len(keys))
	} else if len(fields["key"]) > 0 {
		c.Details["keys"] = "1"
	}
	return nil
}

// detail is a short text of a JSON text, number, list of texts or labels; "" for anything else.
func detail(value json.RawMessage) string {
	var text string
	var list []string
	var labels map[string]string
	var plain any
	switch {
	case len(value) == 0:
	case json.Unmarshal(value, &text) == nil:
	case json.Unmarshal(value, &list) == nil:
		if text = brief(strings.Join(list, ", ")); len(list) > 1 {
			text += fmt.Sprintf(" (%d)", len(list))
		}
		return text
	case json.Unmarshal(value, &labels) == nil:
		text = alert.LabelText(labels)
	case json.Unmarshal(value, &plain) == nil:
		switch plain.(type) {
		case bool, float64:
			text = string(value)
		}
	}
	return brief(text)
}

func brief(text string) string {
	if len(text) > maxDetail {
		return strings.ToValidUTF8(text[:maxDetail], "") + "…"
	}
	return text
}

// record carries the request out and writes down both that it is and what came of it. What cannot be written down is not carried out.
func (g *guard) record(w http.ResponseWriter, r *http.Request, c *state.Call) {
	err := addBody(c, r)
	if err == nil && len(c.Reason) > maxReason {
		err = problem.New(http.StatusUnprocessableEntity, "request_invalid", fmt.Sprintf("the reason has more than %d bytes", maxReason), "")
	}
	if err == nil {
		err = g.store.AddCall(r.Context(), c)
	}
	if err != nil {
		g.answer(w, r, err)
		return
	}
	// The reason is the audit log's; operations that keep one themselves take it from the body.
	if query := r.URL.Query(); query.Has("reason") {
		query.Del("reason")
		plain := *r.URL
		plain.RawQuery = query.Encode()
		r.URL = &plain
	}
	answer := &outcome{ResponseWriter: w}
	g.mux.ServeHTTP(answer, r)
	if err := g.store.EndCall(context.WithoutCancel(r.Context()), c.ID, answer.status, answer.code(), time.Now()); err != nil {
		g.log.Error("audit log is incomplete", "request_id", c.ID, "operation", c.Operation, "status", answer.status, "err", err)
	}
}

// recordRefused writes down what a caller that is known was not let do. The answer does not wait for a store that fails: nothing was done.
func (g *guard) recordRefused(r *http.Request, c *state.Call, status int, code string) {
	c.Status, c.Code, c.Reason = status, code, brief(c.Reason)
	if err := g.store.AddCall(context.WithoutCancel(r.Context()), c); err != nil {
		g.log.Error("audit log is incomplete", "request_id", c.ID, "operation", c.Operation, "status", status, "err", err)
	}
}

// outcome notes what an answer says.
type outcome struct {
	http.ResponseWriter
	status int
	// problem is the beginning of an answer that is one.
	problem bytes.Buffer
}

// Unwrap lets http.ResponseController reach the writer.
func (o *outcome) Unwrap() http.ResponseWriter { return o.ResponseWriter }

func (o *outcome) WriteHeader(status int) {
	if o.status == 0 && status >= 200 {
		o.status = status
	}
	o.ResponseWriter.WriteHeader(status)
}

func (o *outcome) Write(b []byte) (int, error) {
	if o.status == 0 {
		o.status = http.StatusOK
	}
	if o.status >= 400 && o.problem.Len() < maxRecordedBody {
		o.problem.Write(b)
	}
	return o.ResponseWriter.Write(b)
}

func (o *outcome) code() string {
	var p Problem
	if o.problem.Len() == 0 || json.Unmarshal(o.problem.Bytes(), &p) != nil {
		return ""
	}
	return p.Code
}

type auditQuery struct {
	After     string    `query:"after" doc:"The next of the page before."`
	Limit     int       `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Since     time.Time `query:"since" doc:"Only calls that began then or later."`
	Until     time.Time `query:"until" doc:"Only calls that began before."`
	Who       string    `query:"who" doc:"Only of the token with this name."`
	Operation string    `query:"operation" doc:"Only of this operationId."`
	Refused   bool      `query:"refused" doc:"Only those that were answered with 4xx."`
}

func (a *api) registerAudit(h huma.API) {
	add(h, op(h, "audit", "GET", "/v1/audit", "Who changed what, the newest first"), a.audit)
}

func (a *api) audit(ctx context.Context, in *auditQuery) (*reply[List[state.Call]], error) {
	if err := stretch(in.Since, in.Until); err != nil {
		return answer(ctx, a, List[state.Call]{}, err)
	}
	found, next, err := a.store.Calls(ctx, state.CallFilter{Since: in.Since, Until: in.Until, Who: in.Who, Operation: in.Operation, Refused: in.Refused,
		After: in.After, Limit: in.Limit})
	return answer(ctx, a, List[state.Call]{Items: some(found), Next: next}, err)
}
