package enrich

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"syncline"
	"syncline/internal/transform"
)

func TestHTTP(t *testing.T) {
	var calls atomic.Int64
	var down atomic.Bool
	slow := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		if down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if r.Header.Get("Authorization") != "Bearer secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		key := strings.TrimPrefix(r.URL.EscapedPath(), "/customer/")
		answers := map[string]string{
			"1": `{"data": {"name": "Ann", "credit": 12.50}}`, "2": `{"data": [{"name": null, "credit": 12345678901234567890.12}]}`, "none": `{"data": []}`,
			"two": `{"data": [{}, {}]}`, "null": `{"data": null}`, "other": `{}`, "garbage": `<html>`, "text": `{"data": "x"}`, "kind": `{"data": {"credit": "much"}}`,
			"..%2F..%2Fadmin": `{"data": {"name": "kept in its place"}}`, "huge": `{"data": "` + strings.Repeat("x", maxAnswer) + `"}`,
		}
		switch text, ok := answers[key]; {
		case ok:
			fmt.Fprint(w, text) //nolint:errcheck // a test
		case key == "slow":
			<-slow
		case key == "redirect":
			http.Redirect(w, r, "/customer/1", http.StatusFound)
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	defer close(slow)
	s := step(transform.MissingNull)
	s.HTTP = &transform.FromHTTP{URL: server.URL + "/customer/{key}", At: "data", AllowPrivate: true, Headers: map[string]string{"Authorization": "Bearer secret"}}
	b := newBench(t, Options{Step: s})
	failed := "enrich_failed/rejected"
	b.want("text(Ann) decimal(12.50), null decimal(12345678901234567890.12), null null, enrich_ambiguous/rejected, null null, null null",
		"1", "2", "none", "two", "null", "other")
	b.want(strings.Join([]string{failed, failed, failed, failed, failed, "text(kept in its place) null"}, ", "), "garbage", "text", "kind", "huge", "redirect", "../../admin")
	before := calls.Load()
	b.want("text(Ann) decimal(12.50), null null", "1", "none")
	if n := calls.Load() - before; n != 0 {
		t.Errorf("%d calls for keys that are known, want none", n)
	}
	down.Store(true)
	if _, err := b.ask("3"); syncline.CodeOf(err) != "enrich_unreachable" || syncline.ClassOf(err) != syncline.Transient {
		t.Errorf("a service that is down: %v, want a transient enrich_unreachable", err)
	}
	down.Store(false)
	b.e.asker.(*service).step.Timeout = 50 * time.Millisecond
	if _, err := b.ask("slow"); syncline.CodeOf(err) != "enrich_unreachable" {
		t.Errorf("a service that is slow: %v, want enrich_unreachable", err)
	}
	b.want("null null", "4")

	s.HTTP.Headers = nil
	if _, err := newBench(t, Options{Step: s}).ask("1"); syncline.CodeOf(err) != "enrich_refused" {
		t.Errorf("a service that wants a password: %v, want enrich_refused", err)
	}
}

// TestWhatIsDownCountsAsMissing where the step says so, without asking each time.
func TestWhatIsDownCountsAsMissing(t *testing.T) {
	var calls atomic.Int64
	var up atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1); !up.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, `{"name": "Ann"}`) //nolint:errcheck // a test
	}))
	defer server.Close()
	s := step(transform.MissingDefault)
	s.Down = true
	s.HTTP = &transform.FromHTTP{URL: server.URL + "/{key}", AllowPrivate: true}
	b := newBench(t, Options{Step: s})
	for range 5 {
		b.want("text(nobody) null", "1")
	}
	if n := calls.Load(); n > 5 {
		t.Errorf("%d calls of a service that is down, want few", n)
	}
	up.Store(true)
	b.now = b.now.Add(2 * time.Minute)
	b.want("text(Ann) null", "1")
}

// TestAnswersBeforeAnErrorCount: a service that now and then answers no question is not asked all of them again.
func TestAnswersBeforeAnErrorCount(t *testing.T) {
	var calls atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1)%20 == 0 {
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		fmt.Fprintf(w, `{"name": %q}`, strings.TrimPrefix(r.URL.Path, "/")) //nolint:errcheck // a test
	}))
	defer server.Close()
	keys := make([]string, 100)
	for i := range keys {
		keys[i] = fmt.Sprintf("k%d", i)
	}
	for _, down := range []bool{false, true} {
		calls.Store(0)
		s := step(transform.MissingNull)
		s.HTTP, s.Down = &transform.FromHTTP{URL: server.URL + "/{key}", AllowPrivate: true}, down
		b := newBench(t, Options{Step: s})
		var got string
		var err error
		for round := range 20 {
			if got, err = b.ask(keys...); round == 0 && down && !strings.HasPrefix(got, "text(k0) null, text(k1) null, ") {
				t.Errorf("the first answers of a service that is down later are %.40s, %v", got, err)
			}
			if err == nil && !strings.Contains(got, "null null") {
				break
			}
			b.now = b.now.Add(2 * time.Second)
		}
		if err != nil || strings.Contains(got, "null null") || calls.Load() > 110 {
			t.Errorf("down %t: %.40s…, %v after %d calls for 100 keys", down, got, err, calls.Load())
		}
	}
}

// TestAnOutageIsTold with its reason, and without the key that was asked for.
func TestAnOutageIsTold(t *testing.T) {
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS() // nobody knows its certificate
	defer secure.Close()
	away := httptest.NewServer(http.NotFoundHandler())
	away.Close()
	for url, want := range map[string]string{secure.URL: "certificate", away.URL: "connection refused"} {
		s := step(transform.MissingNull)
		s.HTTP = &transform.FromHTTP{URL: url + "/{key}", AllowPrivate: true}
		_, err := newBench(t, Options{Step: s}).ask("s3cret")
		if syncline.CodeOf(err) != "enrich_unreachable" || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%v, want an enrich_unreachable that tells of the %s", err, want)
		}
	}
}

// TestNothingIsNoKeyOfAService: what stands at the URL without a key is no record's.
func TestNothingIsNoKeyOfAService(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `[{"name": "the only one"}]`) //nolint:errcheck // a test
	}))
	defer server.Close()
	s := step(transform.MissingReject)
	s.HTTP = &transform.FromHTTP{URL: server.URL + "/customers/{key}", AllowPrivate: true}
	e := newBench(t, Options{Step: s}).e
	ask := &transform.Ask{Key: syncline.Text("")}
	if err := e.Ask(t.Context(), []*transform.Ask{ask}); err != nil || syncline.CodeOf(ask.Err) != "enrich_missing" {
		t.Errorf("an empty key: %v, %v, want enrich_missing", ask.Err, err)
	}
}

// TestPrivateAddressesAreRefused where they are not allowed, after the name was resolved.
func TestPrivateAddressesAreRefused(t *testing.T) {
	for _, url := range []string{"https://127.0.0.1:9/{key}", "https://localhost:9/{key}", "https://[::ffff:169.254.169.254]/{key}"} {
		s := step(transform.MissingNull)
		s.HTTP = &transform.FromHTTP{URL: url}
		if _, err := newBench(t, Options{Step: s}).ask("1"); syncline.CodeOf(err) != "address_refused" {
			t.Errorf("%s: %v, want address_refused", url, err)
		}
	}
	s := step(transform.MissingNull)
	s.HTTP = &transform.FromHTTP{URL: "http://example.com/{key}"}
	if _, err := New(Options{Step: s}); syncline.CodeOf(err) != "url_insecure" {
		t.Errorf("without TLS: %v, want url_insecure", err)
	}
	for _, url := range []string{"https://{key}.example.com/", "https://{key}/", "https://example.com.{key}/x", "https://a{key}b/akeyb", "https://{key}@example.com/", "{key}://example.com/"} {
		s.HTTP = &transform.FromHTTP{URL: url, AllowPrivate: true}
		if _, err := New(Options{Step: s}); syncline.CodeOf(err) != "url_invalid" {
			t.Errorf("%s: %v, want url_invalid: a record must not say where it is asked", url, err)
		}
	}
}
