package ops

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline/internal/problem"
	"syncline/internal/state"
	"syncline/internal/statetest"
)

var update = flag.Bool("update", false, "write the golden files")

func get(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	return do(t, "GET", url, "", nil)
}

func do(t *testing.T, method, url, body string, header map[string]string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	must(t, err)
	for k, v := range header {
		req.Header.Set(k, v)
		if k == "Host" {
			req.Host = v
		}
	}
	res, err := http.DefaultClient.Do(req)
	must(t, err)
	text, err := io.ReadAll(res.Body)
	must(t, errors.Join(err, res.Body.Close()))
	return res, string(text)
}

func TestRefusals(t *testing.T) {
	_, url := serve(t, &fake{})
	for _, c := range []struct {
		name, method, path, body string
		header                   map[string]string
		status                   int
		code                     string
	}{
		{"no such path", "GET", "/v2", "", nil, 404, "path_not_found"},
		{"another method", "DELETE", "/v1/routes", "", nil, 405, "method_not_allowed"},
		{"a page of another site", "POST", "/v1/tasks/x/retry", "", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403, "cross_origin"},
		{"a page of another site publishes", "POST", "/v1/events", "{}", map[string]string{"Origin": "https://evil.example"}, 403, "cross_origin"},
		{"a name that was made to point here", "GET", "/v1/tasks", "", map[string]string{"Host": "evil.example:8484"}, 403, "host_refused"},
		{"an unknown parameter", "GET", "/v1/tasks?staus=failed", "", nil, 422, "request_invalid"},
		{"an unknown status", "GET", "/v1/tasks?status=sad", "", nil, 422, "request_invalid"},
		{"a page that is too large", "GET", "/v1/tasks?limit=1001", "", nil, 422, "request_invalid"},
		{"a body that is no JSON", "POST", "/v1/syncs", "{", nil, 400, "request_invalid"},
		{"an unknown field", "POST", "/v1/syncs", `{"source":"a","entity":"b","key":"c"}`, nil, 422, "request_invalid"},
		{"a body that is too large", "POST", "/v1/syncs", `{"source":"` + strings.Repeat("a", 2<<20) + `"}`, nil, 413, "request_too_large"},
		{"another media type", "POST", "/v1/syncs", "a", map[string]string{"Content-Type": "text/plain"}, 415, "media_type_unsupported"},
	} {
		t.Run(c.name, func(t *testing.T) {
			header := map[string]string{"Content-Type": "application/json"}
			for k, v := range c.header {
				header[k] = v
			}
			res, body := do(t, c.method, url+c.path, c.body, header)
			var p Problem
			if err := json.Unmarshal([]byte(body), &p); err != nil {
				t.Fatalf("answer = %d %q, no problem", res.StatusCode, body)
			}
			if res.StatusCode != c.status || p.Code != c.code || p.Status != c.status || res.Header.Get("Content-Type") != problem.MediaType {
				t.Errorf("answer = %d %s %s, want %d %s", res.StatusCode, res.Header.Get("Content-Type"), body, c.status, c.code)
			}
		})
	}
	if res, _ := do(t, "DELETE", url+"/v1/routes", "", nil); res.Header.Get("Allow") == "" {
		t.Error("a refused method does not say which are allowed")
	}
}

// TestAnswersAreForTheirCallerAlone: no answer is kept by what stands between, guessed to be of another type, or given to a page of another site; those that
// refuse such a page neither.
func TestAnswersAreForTheirCallerAlone(t *testing.T) {
	_, url := serve(t, &fake{})
	for _, c := range []struct{ method, path, origin string }{
		{"GET", "/v1/routes", ""}, {"GET", "/metrics", ""}, {"GET", "/openapi.json", ""}, {"GET", "/healthz", ""}, {"GET", "/v2", ""}, {"DELETE", "/v1/routes", ""}, {"POST", "/v1/syncs", ""},
		{"POST", "/v1/syncs", "https://evil.example"}, {"GET", "/v1/routes", "https://evil.example"}, {"OPTIONS", "/v1/syncs", "https://evil.example"},
	} {
		header := map[string]string{"Content-Type": "application/json"}
		if c.origin != "" {
			header["Origin"], header["Access-Control-Request-Method"] = c.origin, "POST"
		}
		res, _ := do(t, c.method, url+c.path, "{}", header)
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Cross-Origin-Resource-Policy": "same-origin",
			"Access-Control-Allow-Origin": "", "Access-Control-Allow-Credentials": ""} {
			if got := res.Header.Get(name); got != want {
				t.Errorf("%s %s from %q = %d with %s %q, want %q", c.method, c.path, c.origin, res.StatusCode, name, got, want)
			}
		}
	}
}

func TestEventsAndMetricsAreServed(t *testing.T) {
	_, url := serve(t, &fake{})
	if res, body := do(t, "POST", url+"/v1/events", `{"id":"1"}`, nil); res.StatusCode != 202 || body != `{"id":"1"}` {
		t.Errorf("POST /v1/events = %d %q, want what the handler answers", res.StatusCode, body)
	}
	if res, body := get(t, url+"/metrics"); res.StatusCode != 200 || !strings.Contains(body, "syncline_test 7") {
		t.Errorf("GET /metrics = %d %q", res.StatusCode, body)
	}
}

func TestOpenAPIListsEveryRoute(t *testing.T) {
	_, url := serve(t, &fake{})
	res, body := get(t, url+"/openapi.json")
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "application/openapi+json" {
		t.Errorf("GET /openapi.json = %d %s", res.StatusCode, res.Header.Get("Content-Type"))
	}
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			OperationID string
			Responses   map[string]any
		}
	}
	must(t, json.Unmarshal([]byte(body), &doc))
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("openapi = %s, want 3.1", doc.OpenAPI)
	}
	var got []string
	for path, methods := range doc.Paths {
		for method, op := range methods {
			got = append(got, strings.ToUpper(method)+" "+path)
			if op.OperationID == "" || op.Responses["default"] == nil || len(op.Responses) < 2 {
				t.Errorf("%s %s has no id, no answer or no problem", method, path)
			}
		}
	}
	for _, operation := range got {
		method, path, _ := strings.Cut(operation, " ")
		if res, _ := do(t, method, url+strings.ReplaceAll(path, "{id}", "x"), "", nil); res.StatusCode == 405 {
			t.Errorf("%s is in the document and not served", operation)
		}
	}

	golden := filepath.Join("testdata", "openapi.json")
	if *update {
		must(t, os.MkdirAll("testdata", 0o755))
		must(t, os.WriteFile(golden, []byte(body), 0o644))
	}
	text, err := os.ReadFile(golden)
	must(t, err)
	if diff := cmp.Diff(string(text), body); diff != "" {
		t.Errorf("the API has changed (accept with -update) (-want +got):\n%s", diff)
	}
}

// TestDocumentIsValid has somebody else judge the document: a validator from npm that knows nothing of huma.
func TestDocumentIsValid(t *testing.T) {
	tool := filepath.Join("..", "..", "tools", "openapi")
	if _, err := os.Stat(filepath.Join(tool, "node_modules")); err != nil {
		t.Skip("the validator is not installed: make validator, which needs npm")
	}
	_, url := serve(t, &fake{})
	_, document := get(t, url+"/openapi.json")
	judge := func(document string) ([]byte, error) {
		cmd := exec.CommandContext(t.Context(), "node", filepath.Join(tool, "validate.mjs"))
		cmd.Stdin = strings.NewReader(document)
		return cmd.CombinedOutput()
	}
	if said, err := judge(document); err != nil {
		t.Errorf("the document is not valid: %v\n%s", err, said)
	}
	for _, wrong := range []string{`"responses"`, `#/components/schemas/Problem`, `"type": "string"`} {
		broken := strings.Replace(document, wrong, wrong[:len(wrong)-2]+`x"`, 1)
		if said, err := judge(broken); err == nil {
			t.Errorf("with a broken %s the document is found valid: %s", wrong, said)
		}
	}
}

// blocking is an engine whose Syncs waits.
type blocking struct {
	fake
	entered, leave chan struct{} // closed by the engine when a request came, and by the test to let it go
}

func (b *blocking) Syncs(context.Context, string, int) ([]state.RunRow, string, error) {
	close(b.entered)
	<-b.leave
	return nil, "", nil
}

func TestServeFinishesRequestsInHand(t *testing.T) {
	b := &blocking{entered: make(chan struct{}), leave: make(chan struct{})}
	s, err := New(Options{Engine: b, Store: statetest.Open(t)})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	l, err := Listen(ctx, Binding{Address: "localhost:0"}, s.guard.store)
	must(t, err)
	served, answered := make(chan error, 1), make(chan error, 1) // one send each
	go func() { served <- s.Serve(ctx, l) }()
	c, err := NewClient("http://" + l.Addr().String())
	must(t, err)
	go func() {
		_, err := c.Syncs(t.Context())
		answered <- err
	}()
	<-b.entered
	cancel()
	close(b.leave)
	if err := <-answered; err != nil {
		t.Errorf("the request in hand ended with %v", err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve = %v, want nil after a clean stop", err)
	}
	_, err = c.Status(t.Context())
	if p := problemIn(t, err, 0, "unreachable", 4); p.Fix == "" {
		t.Error("unreachable has no way out")
	}
}

// TestAServerThatIsNoneIsNamedByItsHost: the login and the query that its URL came with are secrets, and so is the token where what answers repeats it.
func TestAServerThatIsNoneIsNamedByItsHost(t *testing.T) {
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\n%s%s\r\n\r\n", r.Header.Get("Authorization"), r.URL)
			_ = conn.Close()
		}
	}))
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, c := range []struct{ host, why string }{{echo.Listener.Addr().String(), "it answers what no syncline does"}, {gone.Listener.Addr().String(), "connection refused"}} {
		for _, server := range []string{"http://u:hunter2@" + c.host, "http://" + c.host + "?token=hunter2", "http://" + c.host + "/hunter2/#hunter2"} {
			client, err := Connect(ClientOptions{Server: server, Token: "hunter2"})
			must(t, err)
			_, asked := client.Status(t.Context())
			for _, err := range []error{asked, client.Watch(t.Context(), StreamQuery{}, nil)} {
				p := problemIn(t, err, 0, "unreachable", 4)
				if !strings.HasPrefix(p.Detail, "no answer from http://"+c.host+": ") || !strings.HasSuffix(p.Detail, c.why) || p.Fix == "" {
					t.Errorf("%s: %q, want no answer from http://%s: …%s", server, p.Detail, c.host, c.why)
				}
			}
		}
	}
	echo.Close()
}

// TestTheServerIsAsPatientAsItsClient: what the client waits for is not cut off by the server.
func TestTheServerIsAsPatientAsItsClient(t *testing.T) {
	if c := new(Client{http: &http.Client{}}).patient(); c.http.Timeout >= writeTimeout {
		t.Errorf("the client waits for %s, the server ends an answer after %s", c.http.Timeout, writeTimeout)
	}
}
