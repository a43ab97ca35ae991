package ops

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"syncline/internal/access"
	"syncline/internal/problem"
	"syncline/internal/state"
	"syncline/internal/statetest"
)

func contextOf(t *testing.T) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	return ctx, cancel
}

// tokenOf stores a token and returns its secret.
func tokenOf(t *testing.T, store *state.Store, token access.Token) string {
	t.Helper()
	secret, id := access.NewSecret()
	_, hash, _ := access.Parse(secret)
	token.ID, token.Created = id, time.Now()
	if token.Name == "" {
		token.Name = id
	}
	must(t, store.AddToken(t.Context(), token, hash))
	return secret
}

// described returns the operations of the API's document.
func described(t *testing.T, url string, header map[string]string) map[string]string {
	t.Helper()
	res, body := do(t, "GET", url+"/openapi.json", "", header)
	if res.StatusCode != 200 {
		t.Fatalf("GET /openapi.json = %d %s", res.StatusCode, body)
	}
	var doc struct {
		Paths map[string]map[string]struct{ OperationID string }
	}
	must(t, json.Unmarshal([]byte(body), &doc))
	ops := make(map[string]string)
	for path, methods := range doc.Paths {
		for method, op := range methods {
			ops[strings.ToUpper(method)+" "+path] = op.OperationID
		}
	}
	return ops
}

// TestWhoMayDoWhat walks every operation of the document × every role × those who have no token that counts. It says by itself what is right:
// reading is for viewers, the rest for operators, and what is neither stands here.
func TestWhoMayDoWhat(t *testing.T) {
	everybody := map[string]string{"healthz": "all", "readyz": "all", "publish-events": "publisher admin", "audit": "operator admin", "tokens": "admin",
		"create-token": "admin", "revoke-token": "admin", "plan-config": "admin", "apply-config": "admin", "explain-draft": "admin"}
	store := statetest.Open(t)
	url := serveOn(t, Options{Engine: &fake{}, Store: store, Rate: 1_000_000})
	past := time.Now().Add(-time.Minute)
	secrets := map[string]string{"anonymous": "", "garbage": "syn_x", "unknown": "", "expired": tokenOf(t, store, access.Token{Role: access.Admin, Expires: &past}),
		"revoked": tokenOf(t, store, access.Token{Role: access.Admin, Name: "revoked"})}
	secrets["unknown"], _ = access.NewSecret()
	_, err := store.RevokeToken(t.Context(), "revoked", time.Now())
	must(t, err)
	for _, role := range access.Roles {
		token := access.Token{Role: role}
		if role == access.Publisher {
			token.Systems = []string{"pos"}
		}
		secrets[string(role)] = tokenOf(t, store, token)
	}
	bearer := func(secret string) map[string]string {
		if secret == "" {
			return nil
		}
		return map[string]string{"Authorization": "Bearer " + secret}
	}
	ops := described(t, url, bearer(secrets["admin"]))
	if len(ops) < 20 {
		t.Fatalf("only %d operations are described", len(ops))
	}
	walked := 0
	for pattern, id := range ops {
		if walked++; walked%30 == 0 { // a server answers only so many requests whose token does not count with why
			url = serveOn(t, Options{Engine: &fake{}, Store: store, Rate: 1_000_000})
		}
		method, path, _ := strings.Cut(pattern, " ")
		allowed, ok := everybody[id]
		switch {
		case ok:
		case method == "GET":
			allowed = "viewer operator admin"
		default:
			allowed = "operator admin"
		}
		path = strings.NewReplacer("{id}", "x", "{name}", "x").Replace(path)
		for who, secret := range secrets {
			res, body := do(t, method, url+path, "", bearer(secret))
			may := allowed == "all" || strings.Contains(" "+allowed+" ", " "+who+" ")
			_, isRole := map[string]bool{"viewer": true, "operator": true, "admin": true, "publisher": true}[who]
			switch refused := res.StatusCode == 401 || res.StatusCode == 403; {
			case may && refused:
				t.Errorf("%s (%s) as %s = %d %s, want it allowed", pattern, id, who, res.StatusCode, body)
			case may:
			case isRole && res.StatusCode != 403, !isRole && res.StatusCode != 401:
				t.Errorf("%s (%s) as %s = %d %s, want it refused", pattern, id, who, res.StatusCode, body)
			}
		}
	}
}

// TestOperationsNeedARole: what nobody has thought about is not served.
func TestOperationsNeedARole(t *testing.T) {
	role := least["cancel-task"]
	delete(least, "cancel-task")
	defer func() { least["cancel-task"] = role }()
	if _, err := New(Options{Engine: &fake{}, Store: statetest.Open(t)}); err == nil || !strings.Contains(err.Error(), "cancel-task") {
		t.Errorf("New with an operation without a role = %v", err)
	}
}

func TestRolesOfThePastAreNotServed(t *testing.T) {
	url := serveOn(t, Options{Engine: &fake{}, Store: statetest.Open(t)})
	ids := make(map[string]bool)
	for _, id := range described(t, url, nil) {
		ids[id] = true
	}
	for id := range least {
		if !ids[id] {
			t.Errorf("operation %s has a role and is not served", id)
		}
	}
}

// TestRefusedTokensSayWhy, with codes that scripts can rely on.
func TestRefusedTokensSayWhy(t *testing.T) {
	store := statetest.Open(t)
	url := serveOn(t, Options{Engine: &fake{}, Store: store})
	past := time.Now().Add(-time.Minute)
	expired := tokenOf(t, store, access.Token{Role: access.Admin, Expires: &past})
	revoked := tokenOf(t, store, access.Token{Role: access.Admin, Name: "r"})
	_, err := store.RevokeToken(t.Context(), "r", time.Now())
	must(t, err)
	viewer := tokenOf(t, store, access.Token{Role: access.Viewer})
	unknown, _ := access.NewSecret()
	for _, c := range []struct {
		name, authorization, method, path string
		status                            int
		code                              string
	}{
		{"no token", "", "GET", "/v1/status", 401, "token_missing"},
		{"an unknown path without a token", "", "GET", "/v2", 401, "token_missing"},
		{"another scheme", "Basic dTpw", "GET", "/v1/status", 401, "token_unknown"},
		{"an unknown token", "Bearer " + unknown, "GET", "/v1/status", 401, "token_unknown"},
		{"the right id with another secret", "Bearer " + viewer[:len(viewer)-4] + "aaaa", "GET", "/v1/status", 401, "token_unknown"},
		{"expired", "Bearer " + expired, "GET", "/v1/status", 401, "token_expired"},
		{"revoked", "bearer " + revoked, "GET", "/v1/status", 401, "token_revoked"},
		{"too weak", "Bearer " + viewer, "POST", "/v1/tasks/x/retry", 403, "forbidden"},
		{"an unknown path", "Bearer " + viewer, "GET", "/v2", 404, "path_not_found"},
		{"another method", "Bearer " + viewer, "DELETE", "/v1/routes", 405, "method_not_allowed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			header := map[string]string{}
			if c.authorization != "" {
				header["Authorization"] = c.authorization
			}
			res, body := do(t, c.method, url+c.path, "", header)
			var p Problem
			must(t, json.Unmarshal([]byte(body), &p))
			if res.StatusCode != c.status || p.Code != c.code || (c.status == 401) != (res.Header.Get("WWW-Authenticate") != "") {
				t.Errorf("answer = %d %q %s, want %d %s", res.StatusCode, res.Header.Get("WWW-Authenticate"), body, c.status, c.code)
			}
			if secret := strings.TrimPrefix(c.authorization, "Bearer "); secret != "" && strings.Contains(body, secret) {
				t.Error("the answer shows the token")
			}
		})
	}
	for secret, code := range map[string]string{"": "token_missing", expired: "token_expired", viewer: "forbidden"} {
		c, err := Connect(ClientOptions{Server: url, Token: secret})
		must(t, err)
		status := 401
		if code == "forbidden" {
			status = 403
		}
		problemIn(t, c.RetryTask(t.Context(), "x", ""), status, code, 4)
	}
}

// TestUntilThereAreTokens only what comes from this machine and is meant for it is let in; with the first one, that ends for good.
func TestUntilThereAreTokens(t *testing.T) {
	store := statetest.Open(t)
	f := &fake{reasons: []string{"route r is halted"}}
	url := serveOn(t, Options{Engine: f, Store: store})
	c, err := NewClient(url)
	must(t, err)
	if s, err := c.Status(t.Context()); err != nil || len(s.Warnings) != 1 {
		t.Errorf("Status = %q, %v, want a warning", s.Warnings, err)
	}
	for name, header := range map[string]map[string]string{"a name made to point here": {"Host": "evil.example"}, "a proxy": {"X-Forwarded-For": "192.0.2.1"},
		"a proxy that names itself": {"Via": "1.1 proxy"}, "a name that begins as an address": {"Host": "127.0.0.1.evil.example"}, "a name that ends as one": {"Host": "evil.example:127.0.0.1"},
		"an address in the network": {"Host": "192.168.1.5:8484"}, "the unspecified address": {"Host": "0.0.0.0:8484"}} {
		if res, body := do(t, "GET", url+"/v1/tasks", "", header); res.StatusCode != 403 || !strings.Contains(body, "host_refused") {
			t.Errorf("%s: %d %s, want host_refused", name, res.StatusCode, body)
		}
	}
	if r, err := c.Ready(t.Context()); err != nil || len(r.Reasons) != 1 {
		t.Errorf("Ready = %+v, %v, want the reason", r, err)
	}
	if res, body := do(t, "GET", url+"/readyz", "", map[string]string{"Host": "evil.example"}); res.StatusCode != 503 || strings.Contains(body, "route r") {
		t.Errorf("readiness by another name = %d %s, want no reasons", res.StatusCode, body)
	}
	made, err := c.CreateToken(t.Context(), TokenRequest{Role: access.Admin, Name: "me"})
	must(t, err)
	_, err = c.Status(t.Context())
	problemIn(t, err, 401, "token_missing", 4)
	if r, err := c.Ready(t.Context()); err != nil || r.Ready || len(r.Reasons) != 0 {
		t.Errorf("Ready without a token = %+v, %v, want no reasons", r, err)
	}
	me, err := Connect(ClientOptions{Server: url, Token: made.Secret})
	must(t, err)
	if s, err := me.Status(t.Context()); err != nil || len(s.Warnings) != 0 {
		t.Errorf("Status = %q, %v, want no warning", s.Warnings, err)
	}
	if res, body := do(t, "GET", url+"/v1/tasks", "", map[string]string{"Host": "sync.example", "Authorization": "Bearer " + made.Secret}); res.StatusCode != 200 {
		t.Errorf("with a token, by another name: %d %s", res.StatusCode, body)
	}
	if _, err := me.RevokeToken(t.Context(), "me"); err != nil {
		t.Errorf("RevokeToken = %v", err)
	}
	_, err = c.Status(t.Context())
	problemIn(t, err, 401, "token_missing", 4)
	_, err = me.Status(t.Context())
	problemIn(t, err, 401, "token_revoked", 4)
}

func TestTokensByTheAPI(t *testing.T) {
	f := &fake{status: Status{Systems: []SystemStatus{{Name: "pos", Type: "http", Log: &LogStatus{}}, {Name: "crm", Type: "postgres", Log: &LogStatus{}}}}}
	store := statetest.Open(t)
	url := serveOn(t, Options{Engine: f, Store: store})
	admin, err := Connect(ClientOptions{Server: url, Token: tokenOf(t, store, access.Token{Role: access.Admin, Name: "root"})})
	must(t, err)
	till, err := admin.CreateToken(t.Context(), TokenRequest{Role: access.Publisher, Systems: []string{"pos"}})
	must(t, err)
	if till.Creator != "root" || till.Name != "publisher-"+till.ID || till.Secret == "" {
		t.Errorf("CreateToken = %+v", till.Token)
	}
	for i := range 150 { // more than a page
		_, err := admin.CreateToken(t.Context(), TokenRequest{Role: access.Viewer, Name: fmt.Sprint("v", i)})
		must(t, err)
	}
	list, err := admin.Tokens(t.Context())
	if err != nil || len(list) != 152 {
		t.Errorf("Tokens = %d, %v, want all 152", len(list), err)
	}
	if text, _ := json.Marshal(list); strings.Contains(string(text), till.Secret[20:]) {
		t.Error("the list shows a secret")
	}
	_, err = admin.CreateToken(t.Context(), TokenRequest{Role: access.Publisher, Systems: []string{"crm"}})
	problemIn(t, err, 422, "unknown_source", 1)
	_, err = admin.CreateToken(t.Context(), TokenRequest{Role: access.Publisher})
	problemIn(t, err, 422, "token_invalid", 1)
	_, err = admin.CreateToken(t.Context(), TokenRequest{Role: "god"})
	problemIn(t, err, 422, "request_invalid", 1)
	_, err = admin.CreateToken(t.Context(), TokenRequest{Role: access.Viewer, Name: "root"})
	problemIn(t, err, 422, "token_exists", 1)
	_, err = admin.RevokeToken(t.Context(), "nobody")
	problemIn(t, err, 404, "token_not_found", 1)
}

// TestLimits: what is too much is refused with when to come back, and harms nobody else.
func TestLimits(t *testing.T) {
	t.Run("rate of one caller", func(t *testing.T) {
		store := statetest.Open(t)
		url := serveOn(t, Options{Engine: &fake{}, Store: store, Rate: 1})
		busy := map[string]string{"Authorization": "Bearer " + tokenOf(t, store, access.Token{Role: access.Admin})}
		other := map[string]string{"Authorization": "Bearer " + tokenOf(t, store, access.Token{Role: access.Admin})}
		refused := 0
		for range 10 {
			if res, _ := do(t, "GET", url+"/v1/routes", "", busy); res.StatusCode == 429 && res.Header.Get("Retry-After") == "1" {
				refused++
			}
		}
		if refused < 5 {
			t.Errorf("%d of 10 requests at once were refused, want most", refused)
		}
		for _, free := range []struct {
			method, path string
			header       map[string]string
		}{{"GET", "/v1/routes", other}, {"GET", "/healthz", busy}, {"POST", "/v1/events", busy}} {
			if res, body := do(t, free.method, url+free.path, "", free.header); res.StatusCode >= 300 {
				t.Errorf("%s %s = %d %s", free.method, free.path, res.StatusCode, body)
			}
		}
	})
	t.Run("guesses", func(t *testing.T) {
		store := statetest.Open(t)
		url := serveOn(t, Options{Engine: &fake{}, Store: store})
		right := map[string]string{"Authorization": "Bearer " + tokenOf(t, store, access.Token{Role: access.Admin})}
		last := 0
		for n := 0; n < 20*failBurst && last != 429; n++ { // what a slow machine is given back meanwhile is given too
			wrong, _ := access.NewSecret()
			res, _ := do(t, "GET", url+"/v1/routes", "", map[string]string{"Authorization": "Bearer " + wrong})
			last = res.StatusCode
		}
		if last != 429 {
			t.Errorf("the last guess = %d, want 429", last)
		}
		if res, _ := do(t, "GET", url+"/v1/routes", "", right); res.StatusCode != 200 {
			t.Errorf("with the right token from the same address: %d", res.StatusCode)
		}
	})
	t.Run("a body that is too large", func(t *testing.T) {
		url := serveOn(t, Options{Engine: &fake{}, Store: statetest.Open(t), Events: func(w http.ResponseWriter, r *http.Request, _ func(string) bool) {
			problem.New(http.StatusRequestEntityTooLarge, "body_too_large", "", "").Write(w)
		}})
		for _, path := range []string{"/v1/events", "/v1/pauses"} {
			conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close() //nolint:errcheck // the test is over
			const size = 9 << 20
			fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", path, size) //nolint:errcheck // the copy tells
			// A client that reads no answer before it has sent everything.
			if _, err := io.CopyN(conn, zeros{}, size); err != nil {
				t.Errorf("POST %s: the connection was cut: %v", path, err)
				continue
			}
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || res.StatusCode != http.StatusRequestEntityTooLarge {
				t.Errorf("POST %s = %v, %v, want 413", path, res, err)
			}
		}
	})
	t.Run("requests at once", func(t *testing.T) {
		entered, leave := make(chan struct{}), make(chan struct{}) // closed by the handler and by the test
		url := serveOn(t, Options{Engine: &fake{}, Store: statetest.Open(t), Concurrency: 1, Events: func(w http.ResponseWriter, _ *http.Request, _ func(string) bool) {
			close(entered)
			<-leave
			w.WriteHeader(http.StatusAccepted)
		}})
		done := make(chan int, 1) // one send
		go func() {
			res, err := http.Post(url+"/v1/events", "application/json", strings.NewReader("{}"))
			if err != nil {
				done <- 0
				return
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
			done <- res.StatusCode
		}()
		<-entered
		if res, body := get(t, url+"/v1/routes"); res.StatusCode != 503 || res.Header.Get("Retry-After") == "" || !strings.Contains(body, "server_busy") {
			t.Errorf("beyond the bound: %d %s", res.StatusCode, body)
		}
		if res, _ := get(t, url+"/healthz"); res.StatusCode != 200 {
			t.Errorf("GET /healthz of a busy server = %d", res.StatusCode)
		}
		close(leave)
		if status := <-done; status != 202 {
			t.Errorf("the request in hand = %d", status)
		}
		if res, _ := get(t, url+"/v1/routes"); res.StatusCode != 200 {
			t.Errorf("afterwards: %d", res.StatusCode)
		}
	})
}

// TestCountingIsBounded: callers that are counted are forgotten, those that were quiet longest first.
func TestCountingIsBounded(t *testing.T) {
	m := newMeter(1, 1)
	now := time.Now()
	for i := range 2 * maxCounted {
		m.take(fmt.Sprint(i), now)
		m.take("busy", now)
	}
	if len(m.keys) != maxCounted || m.order.Len() != maxCounted {
		t.Errorf("%d keys, %d in order, want %d", len(m.keys), m.order.Len(), maxCounted)
	}
	if wait := m.take("busy", now); wait != 1 {
		t.Errorf("busy waits %d s, want 1", wait)
	}
	if wait := m.take("busy", now.Add(2*time.Second)); wait != 0 {
		t.Errorf("busy waits %d s later, want none", wait)
	}
	a, b := caller{address: "2001:db8::1"}, caller{address: "2001:db8::2"}
	if a.key() != b.key() {
		t.Errorf("%s and %s are counted by themselves", a.address, b.address)
	}
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
