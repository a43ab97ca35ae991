package httpclient

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"syncline"
)

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"":                               0,
		"0":                              0,
		"120":                            2 * time.Minute,
		"-5":                             0,
		"99999999":                       time.Hour,
		"soon":                           0,
		"Sun, 01 Mar 2026 12:00:30 GMT":  30 * time.Second,
		"Sunday, 01-Mar-26 12:00:30 GMT": 30 * time.Second,
		"Sun, 01 Mar 2026 11:00:00 GMT":  0,
		"Mon, 01 Mar 2027 12:00:00 GMT":  time.Hour,
	} {
		if got := RetryAfter(header, now); got != want {
			t.Errorf("RetryAfter(%q) = %s, want %s", header, got, want)
		}
	}
}

// TestGuard: neither a private address nor a redirect is followed without the operator's word.
func TestGuard(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://elsewhere.example/", http.StatusFound)
	}))
	defer server.Close()
	if _, err := New(Options{}).Get(server.URL); Refusal(err) == nil || syncline.CodeOf(err) != "address_refused" {
		t.Errorf("a request to a private address: %v, want address_refused", err)
	}
	res, err := New(Options{AllowPrivate: true}).Get(server.URL)
	if err != nil || res.StatusCode != http.StatusFound {
		t.Errorf("a redirect is followed: %v, %v", res, err)
	}
	server.Close()
	if _, err := New(Options{AllowPrivate: true}).Get(server.URL); Outage(err) == "" || Refusal(err) != nil {
		t.Errorf("Outage(%v) = %q", err, Outage(err))
	}
}

// TestOutage: each way in which a connection fails has words of ours, and what is read of an answer is in none.
func TestOutage(t *testing.T) {
	for _, c := range []struct{ scheme, answer, want string }{
		{"http", "hunter2\r\n\r\n", ""},
		{"http", "", ": the connection was cut"},
		{"http", "HTTP/1.1 200 hunter2", ": the connection was cut"},
		{"https", "", ": it does not speak TLS"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
				_, _ = io.WriteString(conn, c.answer)
				_ = conn.Close()
			}
		}))
		_, err := New(Options{AllowPrivate: true}).Get(c.scheme + "://" + server.Listener.Addr().String())
		server.Close()
		if err == nil || Outage(err) != c.want {
			t.Errorf("%s, answered with %q: Outage(%v) = %q, want %q", c.scheme, c.answer, err, Outage(err), c.want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"7", "-1", "99999999999", "Wed, 21 Oct 2026 07:28:00 GMT", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d := RetryAfter(s, time.Unix(1800000000, 0)); d < 0 || d > MaxRetryAfter {
			t.Errorf("RetryAfter(%q) = %s", s, d)
		}
	})
}
