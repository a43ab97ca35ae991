package ops

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"

	"syncline/internal/access"
	"syncline/internal/problem"
	"syncline/internal/state"
)

// guard stands before every operation. A request passes in this order: room for one more, who it is, what is
// there, whether the role is enough, the caller's rate; what changes something is then written to the audit log, also where the role was
// not enough. What the mux serves without an operation is for nobody.
type guard struct {
	mux        *http.ServeMux
	operations map[string]*operation // by the mux's patterns
	store      *state.Store
	limits     *limits
	log        *slog.Logger
	// known: a token was made once.
	known atomic.Bool
	// shared: other machines can reach the server.
	shared atomic.Bool
}

// ServeHTTP answers one request.
func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := strings.ToLower(rand.Text())
	w.Header().Set("X-Request-Id", id)
	handler, pattern := g.mux.Handler(r)
	op := g.operations[pattern]
	if op == nil || op.bounded() {
		if !g.limits.enter() {
			w.Header().Set("Retry-After", "1")
			problem.New(http.StatusServiceUnavailable, "server_busy", "too many requests are under way", "try again").Write(w)
			return
		}
		defer g.limits.leave()
	}
	who, err := g.authenticate(r)
	if err == nil && who.local() {
		err = onlyThisMachine(r)
	}
	if err != nil {
		if op == nil || !op.probe() {
			g.refuse(w, r, &who, err)
			return
		}
		who.token = access.Token{} // probes are answered, and told no details
	}
	switch {
	case op != nil && op.may(who.token.Role):
	case who.token.Role == "":
		g.refuse(w, r, &who, unauthorized("token_missing", "a token is needed here", "set SYNCLINE_TOKEN, or send Authorization: Bearer syn_…; "+newToken))
		return
	case pattern == "":
		notThere(w, r, handler)
		return
	default:
		p := forbidden(op, &who)
		if op != nil && op.mutating {
			g.recordRefused(r, g.call(r, id, op, &who), p.Status, p.Code)
		}
		p.Write(w)
		return
	}
	if op.counted() {
		if wait := g.limits.take(who.key()); wait > 0 {
			tooMany(w, wait, "this caller sends more requests than http.rate allows")
			return
		}
	}
	r = r.WithContext(context.WithValue(r.Context(), callerKey{}, who))
	defer linger(r, r.Body)
	r.Body = io.NopCloser(r.Body) // closed by the server, once nothing more of it is wanted
	switch {
	case op.recorded():
		g.record(w, r, g.call(r, id, op, &who))
	case op.mutating:
		answer := &outcome{ResponseWriter: w}
		g.mux.ServeHTTP(answer, r)
		if answer.status == http.StatusForbidden {
			g.recordRefused(r, g.call(r, id, op, &who), answer.status, answer.code())
		}
	default:
		g.mux.ServeHTTP(w, r)
	}
}

// refuse answers who is not let in. Guesses are slowed down, each address by itself: whoever has a token is not kept out by them.
func (g *guard) refuse(w http.ResponseWriter, r *http.Request, who *caller, err error) {
	if p := g.problem(r, err); p.Status == http.StatusUnauthorized {
		if wait := g.limits.fail(who.key()); wait > 0 {
			tooMany(w, wait, "too many requests from this address had no token that counts")
			return
		}
		g.log.Warn("request refused", "code", p.Code, "address", who.address, "method", r.Method)
		w.Header().Set("WWW-Authenticate", `Bearer realm="syncline"`)
	}
	g.answer(w, r, err)
}

// refuseOrigin answers a page of another site that wants to change something. Pages can be opened by the thousand, and each would be a line of the log.
func (g *guard) refuseOrigin(w http.ResponseWriter, r *http.Request) {
	who := caller{address: addressOf(r)}
	if wait := g.limits.fail(who.key()); wait > 0 {
		tooMany(w, wait, "too many requests from this address came from pages of other sites")
		return
	}
	g.log.Warn("request refused", "code", "cross_origin", "address", who.address, "method", r.Method)
	problem.New(http.StatusForbidden, "cross_origin", "a page of another site may not send this request", "").Write(w)
}

func (g *guard) answer(w http.ResponseWriter, r *http.Request, err error) { g.problem(r, err).Write(w) }

func (g *guard) problem(r *http.Request, err error) (p *Problem) {
	if !errors.As(err, &p) {
		errors.As(problemOf(r.Context(), g.log, err), &p)
	}
	return p
}

func tooMany(w http.ResponseWriter, seconds int, detail string) {
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
	problem.New(http.StatusTooManyRequests, "too_many_requests", detail, "wait as Retry-After says").Write(w)
}

func forbidden(op *operation, who *caller) *Problem {
	if op == nil {
		return problem.New(http.StatusForbidden, "forbidden", "nobody may do this", "")
	}
	return problem.New(http.StatusForbidden, "forbidden", "the role "+string(who.token.Role)+" may not do this: "+op.id,
		"use a token of role "+string(op.least))
}

// onlyThisMachine lets through what comes from this machine and is meant for it. Until there are tokens nothing else tells friend from foe:
// a page whose name was made to point here, or a proxy that passes on what others send.
func onlyThisMachine(r *http.Request) error {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if !loopback(strings.Trim(host, "[]")) {
		return problem.New(http.StatusForbidden, "host_refused", "the request is for another host than this one",
			"use http://127.0.0.1 or http://localhost, or make tokens: syncline token create")
	}
	for _, header := range []string{"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "True-Client-Ip", "Cf-Connecting-Ip"} {
		if r.Header.Get(header) != "" {
			return problem.New(http.StatusForbidden, "host_refused", "a proxy has passed the request on, and there is no token",
				"make tokens: syncline token create")
		}
	}
	return nil
}

// notThere answers with a problem what the mux has no handler for.
func notThere(w http.ResponseWriter, r *http.Request, h http.Handler) {
	refusal := &refusal{header: w.Header(), status: http.StatusNotFound}
	h.ServeHTTP(refusal, r)
	if refusal.status == http.StatusMethodNotAllowed {
		problem.New(refusal.status, "method_not_allowed", r.Method+" is not allowed here", "").Write(w)
		return
	}
	problem.New(http.StatusNotFound, "path_not_found", "there is nothing at this path", "GET /openapi.json lists the paths").Write(w)
}

// refusal takes the status and the headers of the mux's own answer and drops its text.
type refusal struct {
	header http.Header
	status int
}

func (r *refusal) Header() http.Header         { return r.header }
func (r *refusal) WriteHeader(status int)      { r.status = status }
func (r *refusal) Write(b []byte) (int, error) { return len(b), nil }
