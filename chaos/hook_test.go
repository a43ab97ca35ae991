package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"syncline/internal/webhook"
)

// TestReceiver sees what the webhook's end takes, and what it finds.
func TestReceiver(t *testing.T) {
	type sent struct {
		id, body string
		ahead    time.Duration // of the sender's clock
	}
	const event, other = `{"id":"crm/1/a/0","subject":"7","data":{}}`, `{"id":"crm/1/a/0","subject":"8","data":{}}`
	for _, tt := range []struct {
		name  string
		sent  []sent
		found string // the promise that is broken; "" = none
	}{
		{"once", []sent{{id: "crm/1/a/0", body: event}}, ""},
		{"again", []sent{{id: "crm/1/a/0", body: event}, {id: "crm/1/a/0", body: event}}, ""},
		{"by an id with a dot", []sent{{id: "crm/start-9%2E0/1/7", body: `{"id":"crm/start-9.0/1/7","subject":"7","data":{}}`}}, ""},
		{"by another id", []sent{{id: "crm/1/a/1", body: event}}, "stable identity"},
		{"again with a new column", []sent{{id: "crm/1/a/0", body: event}, {id: "crm/1/a/0", body: `{"subject":"7","id":"crm/1/a/0","data":{"new":1}}`}}, ""},
		{"again with other contents", []sent{{id: "crm/1/a/0", body: event}, {id: "crm/1/a/0", body: other}}, "stable identity"},
		{"by a clock that was set", []sent{{id: "crm/1/a/0", body: event, ahead: time.Hour}}, ""},
		{"by a clock that was not set so", []sent{{id: "crm/1/a/0", body: event, ahead: -time.Hour}}, "webhook"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(options{}, plan{}, t.TempDir(), t.Output())
			var err error
			if w.clock, err = newClock(w.folder); err != nil {
				t.Fatal(err)
			}
			defer w.clock.close()
			for _, offset := range []time.Duration{time.Hour, 0} {
				if err := w.clock.set(offset); err != nil {
					t.Fatal(err)
				}
			}
			r := newReceiver(w)
			defer r.close()
			for _, s := range tt.sent {
				r.ServeHTTP(httptest.NewRecorder(), signed(s.id, s.body, time.Now().Add(s.ahead)))
			}
			found := ""
			for _, p := range w.watch.problems() {
				found = p.promise
			}
			if found != tt.found || tt.found == "" && r.again != len(tt.sent)-1 {
				t.Errorf("found %q and %d repeats: %v; want %q", found, r.again, w.watch.problems(), tt.found)
			}
		})
	}
}

// signed is a request as Standard Webhooks 1.0 has it.
func signed(id, body string, at time.Time) *http.Request {
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(hookSecret, "whsec_"))
	seconds := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write([]byte(id + "." + seconds + "." + body))
	req := httptest.NewRequest(http.MethodPost, "/reg", strings.NewReader(body))
	req.Header.Set(webhook.HeaderID, id)
	req.Header.Set(webhook.HeaderTimestamp, seconds)
	req.Header.Set(webhook.HeaderSignature, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	return req
}
