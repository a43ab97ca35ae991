package httppoll

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"syncline"
)

// canary is what must show up nowhere.
const canary = "canary-7f3a"

// service is a server and a client of it that does not wait long.
type service struct {
	*httptest.Server
	client *Client
	calls  atomic.Int64
	logged bytes.Buffer
}

func newService(t *testing.T, o Options, handle http.HandlerFunc) *service {
	t.Helper()
	s := &service{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.calls.Add(1)
		handle(w, r)
	}))
	t.Cleanup(s.Server.Close)
	o.Name, o.URL, o.AllowPrivate, o.RetryDelay = "shop", s.URL+"/api?tenant="+canary, true, time.Millisecond
	if o.Rate == 0 {
		o.Rate = 10_000
	}
	var err error
	if s.client, err = NewClient(o, slog.New(slog.NewTextHandler(&s.logged, nil))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.client.Close)
	return s
}

func (s *service) get(t *testing.T, path string) (*answer, error) {
	t.Helper()
	r, ok := (&Request{Path: path}).build(s.client.base, fills{})
	if !ok {
		t.Fatalf("no request for %s", path)
	}
	a, err := s.client.ask(t.Context(), "the listing of order", r)
	if err == nil {
		err = s.client.list("the listing of order", "items", a)
	}
	for _, shown := range []string{fmt.Sprint(err), syncline.FixOf(err), s.logged.String()} {
		if strings.Contains(shown, canary) {
			t.Errorf("a secret is shown: %s", shown)
		}
	}
	return a, err
}

// TestAnswers: what each kind of bad answer becomes, and how often it is asked for.
func TestAnswers(t *testing.T) {
	const good = `{"items": [{"id": 1}, {"id": 2}]}`
	type want struct {
		code  string
		class syncline.Class
		calls int64
	}
	unreachable, bad := want{"api_unreachable", syncline.Transient, attempts}, want{"api_answer_bad", syncline.Transient, attempts}
	misasked := want{"api_request_bad", syncline.Fatal, 1}
	text := func(contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			_, _ = w.Write([]byte(body))
		}
	}
	status := func(s int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, canary, s) }
	}
	for name, tt := range map[string]struct {
		handle http.HandlerFunc
		want   want
	}{
		"good":                  {text("application/json", good), want{"", 0, 1}},
		"of another type":       {text("text/plain", good), want{"", 0, 1}},
		"without a type":        {text("", good), want{"", 0, 1}},
		"with a mark of order":  {text("application/json", "\xef\xbb\xbf"+good), want{"", 0, 1}},
		"null":                  {text("application/json", `{"items": null}`), want{"", 0, 1}},
		"nothing":               {status(204), want{"", 0, 1}},
		"compressed":            {compressed(good), want{"", 0, 1}},
		"HTML":                  {text("text/html; charset=utf-8", "<html>"+canary), bad},
		"HTML that is JSON":     {text("text/html", good), bad},
		"HTML, not said so":     {text("application/json", "<html>"+canary), bad},
		"cut":                   {text("application/json", good[:20]), bad},
		"empty":                 {text("application/json", ""), bad},
		"a name twice":          {text("application/json", `{"items": [{"id": 1, "id": 2}]}`), bad},
		"no text":               {text("application/json", "{\"items\": [{\"id\": \"\xff\"}]}"), bad},
		"half a character":      {text("application/json", `{"items": [{"id": "\ud83d"}]}`), bad},
		"too deep":              {text("application/json", strings.Repeat("[", 100)+strings.Repeat("]", 100)), bad},
		"an error with 200":     {text("application/json", `{"error": "`+canary+`"}`), want{"api_answer_bad", syncline.Transient, 1}},
		"no list":               {text("application/json", `{"items": {"id": 1}}`), want{"api_answer_bad", syncline.Transient, 1}},
		"huge":                  {text("application/json", `{"items": ["`+strings.Repeat("x", 1<<16)+`"]}`), bad},
		"huge, compressed":      {compressed(`{"items": ["` + strings.Repeat("x", 1<<20) + `"]}`), bad},
		"too long for its size": {cut, unreachable},
		"429":                   {status(429), unreachable},
		"500":                   {status(500), want{"api_failing", syncline.Transient, attempts}},
		"502":                   {status(502), unreachable},
		"503":                   {status(503), unreachable},
		"408":                   {status(408), unreachable},
		"401":                   {status(401), want{"api_refused", syncline.Fatal, 1}},
		"403":                   {status(403), want{"api_refused", syncline.Fatal, 1}},
		"403 for a while": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusForbidden)
		}, unreachable},
		"404": {status(404), misasked},
		"410": {status(410), misasked},
		"400": {status(400), misasked},
		"405": {status(405), misasked},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://elsewhere.example/"+canary, http.StatusFound)
		}, misasked},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, Options{MaxAnswer: 1 << 15, Auth: Auth{Bearer: canary}}, tt.handle)
			_, err := s.get(t, "/orders")
			got := want{calls: s.calls.Load()}
			if err != nil {
				got.code, got.class = syncline.CodeOf(err), syncline.ClassOf(err)
			}
			if got != tt.want {
				t.Errorf("%+v, want %+v: %v", got, tt.want, err)
			}
		})
	}
}

func compressed(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = z.Write([]byte(body))
		_ = z.Close()
	}
}

// cut promises more than it sends.
func cut(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "1000")
	_, _ = w.Write([]byte(`{"items": [`))
}

// TestASlowServiceIsGivenUp within the time limit, which is that of the whole answer.
func TestASlowServiceIsGivenUp(t *testing.T) {
	release := make(chan struct{})
	s := newService(t, Options{Timeout: 50 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(`{"items": [`))
		w.(http.Flusher).Flush()
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	defer close(release)
	if _, err := s.get(t, "/orders"); syncline.CodeOf(err) != "api_unreachable" || !strings.Contains(err.Error(), "within 50ms") {
		t.Errorf("a service that never ends its answer: %v, want api_unreachable within 50ms", err)
	}
}

// TestItComesBack: what fails for a moment is asked again, and nobody hears of it.
func TestItComesBack(t *testing.T) {
	fails := []int{503, 429, 502}
	s := newService(t, Options{}, func(w http.ResponseWriter, _ *http.Request) {
		if len(fails) > 0 {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(fails[0])
			fails = fails[1:]
			return
		}
		_, _ = w.Write([]byte(`{"items": [{"id": 1}]}`))
	})
	if a, err := s.get(t, "/orders"); err != nil || len(a.records) != 1 {
		t.Errorf("after three failures: %v, %v", a, err)
	}
}

// TestRetryAfter: a service that wants to be left alone for long is asked by nobody until then, whoever the client's source is.
func TestRetryAfter(t *testing.T) {
	for name, header := range map[string]func() string{
		"seconds": func() string { return "1800" },
		"a date":  func() string { return time.Now().Add(30 * time.Minute).UTC().Format(http.TimeFormat) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, Options{}, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", header())
				w.WriteHeader(http.StatusTooManyRequests)
			})
			if _, err := s.get(t, "/orders"); syncline.CodeOf(err) != "api_unreachable" {
				t.Errorf("429: %v, want api_unreachable", err)
			}
			if _, err := s.get(t, "/orders"); err == nil || !strings.Contains(err.Error(), "left alone for") {
				t.Errorf("while it wants to be left alone: %v", err)
			}
			if err := s.client.held(); err == nil || !strings.Contains(err.Error(), "m") {
				t.Errorf("held() = %v, want half an hour", err)
			}
			if n := s.calls.Load(); n != 1 {
				t.Errorf("it was asked %d times, want once", n)
			}
		})
	}
}

// TestRate: requests keep their distance.
func TestRate(t *testing.T) {
	s := newService(t, Options{Rate: 50}, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"items": []}`)) })
	begun := time.Now()
	for range 5 {
		if _, err := s.get(t, "/orders"); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(begun); took < 80*time.Millisecond {
		t.Errorf("5 requests at 50/s took %s, want at least 80ms", took)
	}
}

// TestAuth: each way to say who asks reaches the service, and no other place.
func TestAuth(t *testing.T) {
	for name, tt := range map[string]struct {
		auth Auth
		want string
	}{
		"bearer": {Auth{Bearer: canary}, "Bearer " + canary},
		"basic":  {Auth{User: "u", Password: "p"}, "Basic dTpw"},
		"none":   {Auth{}, ""},
	} {
		var got, key, own string
		s := newService(t, Options{Auth: tt.auth, Headers: []Param{{"X-Shop", "1"}}}, func(w http.ResponseWriter, r *http.Request) {
			got, key, own = r.Header.Get("Authorization"), r.Header.Get("X-Api-Key"), r.Header.Get("X-Shop")
			_, _ = w.Write([]byte(`{"items": []}`))
		})
		if _, err := s.get(t, "/orders"); err != nil || got != tt.want || key != "" || own != "1" {
			t.Errorf("%s: Authorization %q, X-Api-Key %q, X-Shop %q, %v", name, got, key, own, err)
		}
		s.client.o.Auth = Auth{Header: "X-Api-Key", Value: canary}
		if _, err := s.get(t, "/orders"); err != nil || got != "" || key != canary {
			t.Errorf("a header: Authorization %q, X-Api-Key %q, %v", got, key, err)
		}
	}
}

// TestFollow: pages are at the service itself, so that nothing that says who asks goes to another.
func TestFollow(t *testing.T) {
	c, err := NewClient(Options{Name: "shop", URL: "https://shop.example/api"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, _ := (&Request{Path: "/orders", Query: []Param{{"page", "1"}}}).build(c.base, fills{})
	for link, want := range map[string]string{
		"https://shop.example/api/orders?page=2": "https://shop.example/api/orders?page=2",
		"http://shop.example/api/orders?page=2":  "https://shop.example/api/orders?page=2",
		"?page=2":                                "https://shop.example/api/orders?page=2",
		"/v2/orders?c=a%2Fb#x":                   "https://shop.example/v2/orders?c=a%2Fb",
		"HTTPS://SHOP.example/next":              "https://SHOP.example/next",
		"https://evil.example/api":               "api_elsewhere",
		"//evil.example/api":                     "api_elsewhere",
		"https://shop.example:8443/api":          "api_elsewhere",
		"https://shop.example@evil.example/":     "api_elsewhere",
		"https://user:pw@shop.example/":          "api_elsewhere",
		"ftp://shop.example/api":                 "api_elsewhere",
		"http://[::1":                            "api_answer_bad",
	} {
		next, err := c.follow("the listing of order", r, link)
		got := syncline.CodeOf(err)
		if err == nil {
			got = next.url.String()
		}
		if got != want {
			t.Errorf("follow(%s) = %s, want %s", link, got, want)
		}
	}
}

// TestPrivateAddresses are not asked without the operator's word.
func TestPrivateAddresses(t *testing.T) {
	asked := false
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer server.Close()
	c, err := NewClient(Options{Name: "shop", URL: server.URL}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, _ := (&Request{Path: "/orders"}).build(c.base, fills{})
	if _, err := c.ask(t.Context(), "the listing of order", r); syncline.CodeOf(err) != "address_refused" || syncline.ClassOf(err) != syncline.Fatal || asked {
		t.Errorf("a private address: %v, want a fatal address_refused", err)
	}
}

func TestBadURLs(t *testing.T) {
	for u, want := range map[string]string{
		"http://shop.example":          "url_insecure",
		"ftp://shop.example":           "url_invalid",
		"https://u:p@shop.example/api": "url_invalid",
		"shop":                         "url_invalid",
		"https://shop.example":         "unknown",
	} {
		if _, err := NewClient(Options{URL: u}, nil); err == nil && want != "unknown" || err != nil && syncline.CodeOf(err) != want {
			t.Errorf("NewClient(%s): %v, want %s", u, err, want)
		}
	}
}

// FuzzAnswer: whatever a service answers becomes records or an error.
func FuzzAnswer(f *testing.F) {
	f.Add("application/json", []byte(`{"items": [{"id": 1, "at": "2026-01-01T00:00:00Z", "n": 1e3}], "next": "x", "more": true}`))
	f.Add("text/html", []byte("<html>"))
	f.Add("", []byte(`{"items": [null, 1, [], {"id": "\ud83d"}], "next": 1.50}`))
	c, err := NewClient(Options{Name: "shop", URL: "https://shop.example"}, nil)
	if err != nil {
		f.Fatal(err)
	}
	e := NewSource(SourceOptions{Client: c, Entities: []Entity{{Name: "order", Key: []string{"id"}, Records: "items", Watermark: "at",
		Page: Paging{By: ByCursor, Next: "next", More: "more"}}}}).entities["order"]
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		json, err := readJSON(contentType, body)
		if err != nil {
			return
		}
		a := &answer{status: http.StatusOK, body: json}
		if err := c.list("the listing", e.Records, a); err != nil {
			return
		}
		place := e.Page.begin()
		_, _ = place.take(e.Page.turn(a))
		for i, raw := range a.records {
			got, err := e.read(c, "the listing", i, raw)
			if err != nil {
				continue
			}
			if got.marked {
				got.mark.back(DefaultOverlap)
			}
			if got.key == "" {
				t.Errorf("a record without a key: %s", raw)
			}
		}
	})
}
