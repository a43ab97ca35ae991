package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

func TestAnswers(t *testing.T) {
	in := time.Now().Add(90 * time.Second).UTC().Format(http.TimeFormat)
	for _, tt := range []struct {
		status     int
		retryAfter string
		class      syncline.Class
		code       string // "" = delivered
		least      time.Duration
	}{
		{200, "", 0, "", 0}, {201, "", 0, "", 0}, {202, "", 0, "", 0}, {204, "", 0, "", 0}, {299, "", 0, "", 0},
		{301, "", syncline.Rejected, "endpoint_redirects", 0}, {302, "", syncline.Rejected, "endpoint_redirects", 0},
		{304, "", syncline.Rejected, "endpoint_redirects", 0}, {307, "", syncline.Rejected, "endpoint_redirects", 0}, {308, "", syncline.Rejected, "endpoint_redirects", 0},
		{400, "", syncline.Rejected, "endpoint_rejected", 0}, {401, "", syncline.Rejected, "endpoint_rejected", 0}, {404, "", syncline.Rejected, "endpoint_rejected", 0},
		{409, "", syncline.Rejected, "endpoint_rejected", 0}, {413, "", syncline.Rejected, "endpoint_rejected", 0}, {422, "7", syncline.Rejected, "endpoint_rejected", 0},
		{410, "", syncline.Fatal, "endpoint_gone", 0},
		{408, "", syncline.Transient, "endpoint_unavailable", 0}, {425, "", syncline.Transient, "endpoint_unavailable", 0},
		{429, "7", syncline.Transient, "endpoint_unavailable", 7 * time.Second}, {503, in, syncline.Transient, "endpoint_unavailable", 80 * time.Second},
		{503, "99999999", syncline.Transient, "endpoint_unavailable", time.Hour}, {503, "soon", syncline.Transient, "endpoint_unavailable", 0},
		{503, "-5", syncline.Transient, "endpoint_unavailable", 0}, {500, "", syncline.Transient, "endpoint_unavailable", 0}, {599, "", syncline.Transient, "endpoint_unavailable", 0},
	} {
		followed := false
		rc := newReceiver(t, func(w http.ResponseWriter, r *http.Request, _ event) {
			if r.URL.Path == "/elsewhere" {
				followed = true
			}
			w.Header().Set("Location", "/elsewhere")
			if tt.retryAfter != "" {
				w.Header().Set("Retry-After", tt.retryAfter)
			}
			w.WriteHeader(tt.status)
		})
		name := fmt.Sprintf("%d %s", tt.status, tt.retryAfter)
		res, err := openTarget(t, Options{URL: rc.URL}).Apply(t.Context(), write(1))
		if tt.code != "" && tt.class == syncline.Rejected {
			if err != nil || res.Outcomes[0] != syncline.OutcomeRejected {
				t.Errorf("%s: Apply = %v, %v, want rejected", name, res.Outcomes, err)
			}
			err = res.Rejected[0]
		}
		if tt.code == "" {
			if err != nil || res.Outcomes[0] != syncline.OutcomeApplied {
				t.Errorf("%s: Apply = %v, %v, want applied", name, res.Outcomes, err)
			}
			continue
		}
		if syncline.CodeOf(err) != tt.code || syncline.ClassOf(err) != tt.class {
			t.Errorf("%s: %v (%s), want %s (%s)", name, err, syncline.ClassOf(err), tt.code, tt.class)
		}
		if after := syncline.RetryAfter(err); (after > 0) != (tt.least > 0) || after < tt.least || after > time.Hour {
			t.Errorf("%s: RetryAfter = %v, want at least %s", name, after, tt.least)
		}
		if followed {
			t.Errorf("%s: the redirect was followed", name)
		}
	}
}

// TestRepeatedWriteGoesOn: events that were delivered before the Write failed are not sent again, the others are, in order.
func TestRepeatedWriteGoesOn(t *testing.T) {
	down := true
	rc := newReceiver(t, nil)
	rc.answer = func(w http.ResponseWriter, _ *http.Request, ev event) {
		if down && ev.ID == "shop/1/1/3" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}
	target := openTarget(t, Options{URL: rc.URL, Concurrency: 1})
	w := write(1, 1, 1, 1, 2)
	for range 2 {
		if _, err := target.Apply(t.Context(), w); syncline.ClassOf(err) != syncline.Transient || syncline.CodeOf(err) != "endpoint_unavailable" {
			t.Fatalf("Apply = %v, want endpoint_unavailable", err)
		}
	}
	down = false
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if _, err := target.Apply(stopped, w); !errors.Is(err, context.Canceled) {
		t.Fatalf("Apply with a cancelled context = %v", err)
	}
	w.Commit = func(context.Context, syncline.Result) error { return errors.New("state store is gone") }
	if _, err := target.Apply(t.Context(), w); err == nil {
		t.Fatal("Apply without a commit = nil, want an error")
	}
	w.Commit = func(context.Context, syncline.Result) error { return nil }
	res, err := target.Apply(t.Context(), w)
	if err != nil || slices.ContainsFunc(res.Outcomes, func(o syncline.Outcome) bool { return o != syncline.OutcomeApplied }) {
		t.Fatalf("Apply = %v, %v, want all applied", res.Outcomes, err)
	}
	want := []string{"shop/1/1/1", "shop/1/1/2", "shop/1/1/3", "shop/1/1/3", "shop/1/1/3", "shop/1/1/4", "shop/1/1/5"}
	if diff := cmp.Diff(want, rc.ids()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	// Once it has succeeded, the same Write is another delivery: a replay is meant.
	if _, err := target.Apply(t.Context(), w); err != nil || len(rc.ids()) != len(want)+5 {
		t.Errorf("a replay sent %d events, %v, want 5", len(rc.ids())-len(want), err)
	}
}

// TestOneEventOfTwoObjects is two deliveries: that one of them was made says nothing of the other.
func TestOneEventOfTwoObjects(t *testing.T) {
	down := true
	rc := newReceiver(t, nil)
	rc.answer = func(w http.ResponseWriter, r *http.Request, _ event) {
		if down && r.URL.Path == "/b" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}
	target := openTarget(t, Options{URL: rc.URL, Concurrency: 1})
	w := write(1, 1)
	w.Changes[1].Event = 0
	w.Changes[0].Object, w.Changes[1].Object = "a", "b"
	if _, err := target.Apply(t.Context(), w); syncline.CodeOf(err) != "endpoint_unavailable" {
		t.Fatalf("Apply = %v, want endpoint_unavailable", err)
	}
	down = false
	if _, err := target.Apply(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, ev := range rc.events() {
		paths = append(paths, ev.Path)
	}
	if diff := cmp.Diff([]string{"/a", "/b", "/b"}, paths); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// TestNothingIsBegunAfterAFailure: what the other lanes still had to send stays for the repetition.
func TestNothingIsBegunAfterAFailure(t *testing.T) {
	rc := newReceiver(t, nil)
	w := write(1, 2)
	r := &run{t: openTarget(t, Options{URL: rc.URL}), changes: w.Changes, outcomes: make([]syncline.Outcome, 2), done: make([]bool, 2),
		rejected: map[int]error{}, blocked: map[record]bool{}}
	if !r.one(t.Context(), 0) {
		t.Fatalf("the first event failed: %v", r.failed)
	}
	r.failed = errors.New("another lane has met an endpoint that is down")
	if r.one(t.Context(), 1) || r.done[1] || len(rc.ids()) != 1 {
		t.Errorf("the second event is sent (%v), done %v, and its lane goes on", rc.ids(), r.done[1])
	}
}

// TestTheErrorThatDecides: of several that happen side by side, a fatal one, else the one that asks for the longest pause, else the first.
func TestTheErrorThatDecides(t *testing.T) {
	down, gone := syncline.Errorf(syncline.Transient, "endpoint_unavailable", "503"), syncline.Errorf(syncline.Fatal, "endpoint_gone", "410")
	soon, late := &RetryError{Err: down, After: time.Second}, &RetryError{Err: down, After: time.Minute}
	for _, tt := range []struct{ first, second, want error }{
		{nil, down, down}, {down, gone, gone}, {gone, down, gone}, {gone, late, gone}, {late, gone, gone},
		{down, late, late}, {late, down, late}, {soon, late, late}, {late, soon, late},
	} {
		if got := worse(tt.first, tt.second); got != tt.want { //nolint:errorlint // the very error
			t.Errorf("worse(%v, %v) = %v, want %v", tt.first, tt.second, got, tt.want)
		}
	}
}

// TestRejectionHoldsItsKeyAcrossARekey: what comes after a refused event of a record waits under the record's next key, too.
func TestRejectionHoldsItsKeyAcrossARekey(t *testing.T) {
	rc := newReceiver(t, func(w http.ResponseWriter, _ *http.Request, ev event) {
		if ev.ID == "shop/1/1/1" {
			w.WriteHeader(http.StatusBadRequest)
		}
	})
	w := write(1, 2, 2, 3)
	w.Changes[1].OldKey = []syncline.Value{syncline.Int(1)}
	res, err := openTarget(t, Options{URL: rc.URL}).Apply(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	want := []syncline.Outcome{syncline.OutcomeRejected, syncline.OutcomeHeld, syncline.OutcomeHeld, syncline.OutcomeApplied}
	if diff := cmp.Diff(want, res.Outcomes); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
}

// TestKeysGoSideBySide: as many requests are under way as are allowed, never two of one key.
func TestKeysGoSideBySide(t *testing.T) {
	const concurrency = 4
	var mu sync.Mutex
	underWay := map[string]bool{}
	most := 0
	full := make(chan struct{}) // closed by the request that fills the last place
	rc := newReceiver(t, func(_ http.ResponseWriter, r *http.Request, ev event) {
		mu.Lock()
		if underWay[ev.Subject] {
			t.Errorf("two requests of key %s at once", ev.Subject)
		}
		underWay[ev.Subject] = true
		if most = max(most, len(underWay)); len(underWay) == concurrency && most == concurrency {
			select {
			case <-full:
			default:
				close(full)
			}
		}
		mu.Unlock()
		select {
		case <-full:
		case <-r.Context().Done():
		}
		mu.Lock()
		delete(underWay, ev.Subject)
		mu.Unlock()
	})
	keys := make([]int64, 60)
	for i := range keys {
		keys[i] = int64(i % 12)
	}
	if _, err := openTarget(t, Options{URL: rc.URL, Concurrency: concurrency}).Apply(t.Context(), write(keys...)); err != nil {
		t.Fatal(err)
	}
	if most != concurrency {
		t.Errorf("%d requests at once, want %d", most, concurrency)
	}
	last := map[string]int{}
	for _, ev := range rc.events() {
		n, err := strconv.Atoi(ev.ID[strings.LastIndexByte(ev.ID, '/')+1:])
		if err != nil || n <= last[ev.Subject] {
			t.Errorf("key %s: event %d after %d", ev.Subject, n, last[ev.Subject])
		}
		last[ev.Subject] = n
	}
}

func TestTruncateIsABarrier(t *testing.T) {
	rc := newReceiver(t, nil)
	if _, err := openTarget(t, Options{URL: rc.URL}).Apply(t.Context(), write(1, 2, 3, -1, 4, 5, 6)); err != nil {
		t.Fatal(err)
	}
	at := slices.Index(rc.ids(), "shop/1/1/4")
	for i, ev := range rc.events() {
		if before := ev.ID < "shop/1/1/4"; i != at && before != (i < at) {
			t.Errorf("event %s arrived at %d, the truncate at %d", ev.ID, i, at)
		}
	}
	if ev := rc.events()[at]; ev.Type != "order.truncated" || ev.Subject != "" {
		t.Errorf("truncate arrived as %+v", ev)
	}
}

func TestSplitKeepsRekeyedRecordsTogether(t *testing.T) {
	w := write(1, 2, 3, 2, 4, 4, -1, 1)
	w.Changes[3].OldKey = []syncline.Value{syncline.Int(1)} // 1 becomes 2
	w.Changes[4].OldKey = []syncline.Value{syncline.Int(3)} // 3 becomes 4
	lanes, next := split(w.Changes, 0)
	if diff := cmp.Diff([][]int{{0, 1, 3}, {2, 4, 5}}, lanes); diff != "" || next != 6 {
		t.Errorf("split = next %d, lanes (-want +got):\n%s", next, diff)
	}
	later := write(2, 1)
	later.Changes[0].OldKey = []syncline.Value{syncline.Int(1)} // 1 becomes 2, and there is a new 1
	if got, _ := split(later.Changes, 0); !cmp.Equal(got, [][]int{{0, 1}}) {
		t.Errorf("split of a key that is used again = %v, want one lane", got)
	}
	chain := write(1, 2, 2, 3)
	chain.Changes[0].OldKey = []syncline.Value{syncline.Int(3)} // 3 becomes 1
	chain.Changes[2].OldKey = []syncline.Value{syncline.Int(1)} // which becomes 2, and there is a new 3
	if got, _ := split(chain.Changes, 0); !cmp.Equal(got, [][]int{{0, 1, 2, 3}}) {
		t.Errorf("split of a key that a lane has from before another one joined it = %v, want one lane", got)
	}
	lanes, next = split(w.Changes, next)
	if diff := cmp.Diff([][]int{{6}}, lanes); diff != "" || next != 7 {
		t.Errorf("split at a truncate = next %d, lanes (-want +got):\n%s", next, diff)
	}
}

// TestRequest is what an endpoint can rely on.
func TestRequest(t *testing.T) {
	rc := newReceiver(t, nil)
	target := openTarget(t, Options{URL: rc.URL + "/in"})
	w := write(7)
	w.Changes[0].Object = "orders/new ones"
	w.Changes[0].Batch.Events[0].Meta = &syncline.Meta{ID: "v1.2"}
	if _, err := target.Apply(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	ev := rc.events()[0]
	if ev.Path != "/in/orders/new ones" || ev.Source != "shop" || ev.ID != "v1.2" || ev.Subject != "7" || ev.Type != "order.updated" {
		t.Errorf("event = %+v", ev)
	}
	for name, want := range map[string]string{"Content-Type": "application/cloudevents+json", "User-Agent": "syncline", HeaderID: "shop:v1%2E2"} {
		if got := ev.Header.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if ev.Header.Get(HeaderSignature) == "" {
		t.Error("the request is not signed")
	}
}

func TestObjectsCannotLeaveTheEndpoint(t *testing.T) {
	rc := newReceiver(t, nil)
	target := openTarget(t, Options{URL: rc.URL + "/in"})
	for _, object := range []string{"../admin", "a/../../b", "/", "a//b", "."} {
		w := write(1)
		w.Changes[0].Object = object
		if _, err := target.Apply(t.Context(), w); syncline.CodeOf(err) != "object_invalid" {
			t.Errorf("Apply to %q = %v, want object_invalid", object, err)
		}
	}
	w := write(1)
	w.Changes[0].Object = "a?b#c%2F.."
	if _, err := target.Apply(t.Context(), w); err != nil || rc.events()[0].Path != "/in/a?b#c%2F.." {
		t.Errorf("Apply = %v, path %q", err, rc.events()[0].Path)
	}
}

func TestSilentEndpointTimesOut(t *testing.T) {
	rc := newReceiver(t, func(_ http.ResponseWriter, r *http.Request, _ event) { <-r.Context().Done() })
	_, err := openTarget(t, Options{URL: rc.URL + "/token/hunter2", Timeout: 50 * time.Millisecond}).Apply(t.Context(), write(1))
	if syncline.CodeOf(err) != "endpoint_timeout" || syncline.ClassOf(err) != syncline.Transient {
		t.Errorf("Apply = %v, want endpoint_timeout", err)
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error shows the URL: %v", err)
	}
}

func TestUnreachableEndpoint(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	target := openTarget(t, Options{URL: gone.URL + "/token/hunter2"})
	_, err := target.Apply(t.Context(), write(1))
	if syncline.CodeOf(err) != "endpoint_unreachable" || syncline.ClassOf(err) != syncline.Transient || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("Apply = %v, want endpoint_unreachable", err)
	}
	if found := target.Check(t.Context()); found[0].Level != "fail" || found[0].Code != "endpoint_unreachable" {
		t.Errorf("Check = %+v, want endpoint_unreachable", found)
	}
}

// TestAnswersThatAreNotHTTP: an endpoint that repeats what it was sent, where an answer has something else, is not repeated in its turn.
func TestAnswersThatAreNotHTTP(t *testing.T) {
	for what, answer := range map[string]string{
		"nothing":        "",
		"no HTTP":        "PATH\r\n\r\n",
		"bad version":    "PATH 200 OK\r\n\r\n",
		"bad status":     "HTTP/1.1 PATH\r\n\r\n",
		"bad header":     "HTTP/1.1 200 OK\r\nPATH\r\n\r\n",
		"bad length":     "HTTP/1.1 200 OK\r\nContent-Length: PATH\r\n\r\n",
		"bad encoding":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: PATH\r\n\r\n",
		"cut in a line":  "HTTP/1.1 200 PATH",
		"too many bytes": "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("PATH", 100<<10) + "\r\n\r\n",
	} {
		rc := newReceiver(t, func(w http.ResponseWriter, r *http.Request, _ event) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close() //nolint:errcheck // a test
			_, _ = io.WriteString(conn, strings.ReplaceAll(answer, "PATH", r.URL.Path))
		})
		target := openTarget(t, Options{URL: rc.URL + "/token/hunter2"})
		_, err := target.Apply(t.Context(), write(1))
		if syncline.CodeOf(err) != "endpoint_unreachable" || syncline.ClassOf(err) != syncline.Transient || syncline.FixOf(err) == "" || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: Apply = %v, want endpoint_unreachable without the path", what, err)
		}
		if !strings.Contains(err.Error(), "reach "+target.url.Host+": ") {
			t.Errorf("%s: Apply = %v, want a reason", what, err)
		}
	}
}

// TestForeignCertificateIsRefused: TLS is verified.
func TestForeignCertificateIsRefused(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the request was sent") }))
	t.Cleanup(srv.Close)
	if _, err := openTarget(t, Options{URL: srv.URL}).Apply(t.Context(), write(1)); syncline.CodeOf(err) != "endpoint_unreachable" {
		t.Errorf("Apply = %v, want endpoint_unreachable", err)
	}
}

// TestEndlessAnswerIsCutOff: the status is the answer; what follows is read so far and no further.
func TestEndlessAnswerIsCutOff(t *testing.T) {
	cut := make(chan struct{}) // closed by the endpoint when the connection is gone
	rc := newReceiver(t, func(w http.ResponseWriter, _ *http.Request, _ event) {
		defer close(cut)
		for {
			if _, err := io.WriteString(w, strings.Repeat("x", 4096)); err != nil {
				return
			}
		}
	})
	res, err := openTarget(t, Options{URL: rc.URL}).Apply(t.Context(), write(1))
	if err != nil || res.Outcomes[0] != syncline.OutcomeApplied {
		t.Errorf("Apply = %v, %v, want applied", res.Outcomes, err)
	}
	select {
	case <-cut:
	case <-time.After(defaultTimeout / 2): // by itself it would end with the time that a request may take
		t.Error("the connection stays, and nobody reads from it")
	}
}

func TestConnectionsAreKept(t *testing.T) {
	var mu sync.Mutex
	connections := map[string]bool{}
	rc := newReceiver(t, func(w http.ResponseWriter, r *http.Request, _ event) {
		mu.Lock()
		connections[r.RemoteAddr] = true
		mu.Unlock()
		io.WriteString(w, "thanks") //nolint:errcheck // the test looks at the connection
	})
	if _, err := openTarget(t, Options{URL: rc.URL, Concurrency: 1}).Apply(t.Context(), write(1, 2, 3, 4, 5)); err != nil {
		t.Fatal(err)
	}
	if len(connections) != 1 {
		t.Errorf("5 requests took %d connections, want one", len(connections))
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, tt := range []struct {
		opts Options
		code string
	}{
		{Options{}, "url_invalid"},
		{Options{URL: "partner.example/in"}, "url_invalid"},
		{Options{URL: "ftp://partner.example/in"}, "url_invalid"},
		{Options{URL: "https://partner.example/in#x"}, "url_invalid"},
		{Options{URL: "https://u:hunter2@partner.example:port/"}, "url_invalid"},
		{Options{URL: "http://partner.example/in"}, "url_insecure"},
		{Options{URL: "https://partner.example/in", Secrets: []string{testSecret, "hunter2"}}, "secret_invalid"},
	} {
		_, err := Open(t.Context(), tt.opts)
		if syncline.CodeOf(err) != tt.code || syncline.ClassOf(err) != syncline.Fatal || strings.Contains(fmt.Sprint(err), "hunter2") {
			t.Errorf("Open(%+v) = %v, want %s", tt.opts, err, tt.code)
		}
	}
}

func TestOtherChangesAreRefused(t *testing.T) {
	w := write(1)
	w.Changes[0].Op = syncline.ChangePut
	if _, err := openTarget(t, Options{URL: "http://127.0.0.1:9"}).Apply(t.Context(), w); syncline.CodeOf(err) != "change_unsupported" {
		t.Errorf("Apply of a put = %v, want change_unsupported", err)
	}
}

func TestCheck(t *testing.T) {
	rc := newReceiver(t, nil)
	var codes []string
	for _, f := range openTarget(t, Options{URL: rc.URL, Secrets: []string{}}).Check(t.Context()) {
		codes = append(codes, f.Level+" "+f.Code)
	}
	if diff := cmp.Diff([]string{"ok ", "warn url_insecure", "warn unsigned"}, codes); diff != "" {
		t.Errorf("Check (-want +got):\n%s", diff)
	}
	if n := len(rc.events()); n != 0 {
		t.Errorf("Check sent %d requests", n)
	}
}
