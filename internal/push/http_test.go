package push

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"syncline"
	"syncline/internal/cloudevent"
	"syncline/internal/memlog"
)

func TestRefusals(t *testing.T) {
	r := newRig(t, memlog.New(memlog.Options{}).Log("pos"), newIndex(), func(o *Options) { o.MaxBody, o.MaxBatch, o.MaxDepth = 4096, 3, 5 })
	s := r.open()
	defer s.Close() //nolint:errcheck // it returns nil
	good := event("a", 1, 1)
	request := func(method, contentType, body string, change func(*http.Request)) *http.Request {
		req := httptest.NewRequestWithContext(t.Context(), method, "/v1/events", strings.NewReader(body))
		req.Header.Set("Content-Type", contentType)
		if change != nil {
			change(req)
		}
		return req
	}
	with := func(old, new string) string { return batchOf(good, strings.Replace(event("b", 2, 2), old, new, 1)) }
	long := strings.Repeat(" ", 5000)
	for _, tt := range []struct {
		name     string
		req      *http.Request
		status   int
		code     string
		location string
	}{
		{"GET", request("GET", cloudevent.MediaType, "", nil), 405, "method_not_allowed", ""},
		{"plain JSON", request("POST", "application/json", good, nil), 415, "unsupported_media_type", ""},
		{"compressed", request("POST", cloudevent.MediaType, good, func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }), 415, "unsupported_encoding", ""},
		{"too long", request("POST", cloudevent.MediaType, good+long, nil), 413, "body_too_large", ""},
		{"too long without a length", request("POST", cloudevent.MediaType, good+long, func(r *http.Request) { r.ContentLength = -1 }), 413, "body_too_large", ""},
		{"too many", request("POST", cloudevent.MediaTypeBatch, batchOf(good, good, good, good), nil), 413, "batch_too_large", ""},
		{"too deep", request("POST", cloudevent.MediaTypeBatch, with(`"n":2`, `"n":[[[[1]]]]`), nil), 400, "too_deep", "events[1].data.n[0][0][0]"},
		{"no JSON", request("POST", cloudevent.MediaType, `{`, nil), 400, "bad_json", ""},
		{"missing id", request("POST", cloudevent.MediaTypeBatch, with(`"id":"b"`, `"id":""`), nil), 400, "missing_attribute", "events[1].id"},
		{"unknown entity", request("POST", cloudevent.MediaTypeBatch, with("order.", "lead."), nil), 422, "unknown_entity", "events[1].type"},
		{"no key", request("POST", cloudevent.MediaTypeBatch, with(`"id":2`, `"id":null`), nil), 422, "bad_key", "events[1].data.after.id"},
		{"another subject", request("POST", cloudevent.MediaTypeBatch, with(`"subject":"2"`, `"subject":"3"`), nil), 422, "subject_mismatch", "events[1].subject"},
		{"two sources", request("POST", cloudevent.MediaTypeBatch, with(`"pos"`, `"crm"`), nil), 422, "mixed_sources", "events[1].source"},
		{"unknown source", request("POST", cloudevent.MediaType, strings.Replace(good, `"pos"`, `"crm"`, 1), nil), 422, "unknown_source", "events[0].source"},
	} {
		r.wantAnswer(tt.name, r.do(tt.req), tt.status, tt.code, tt.location)
	}
	if len(s.queue) != 0 || len(s.ids) != 0 {
		t.Errorf("%d requests and %d ids of refused requests are kept", len(s.queue), len(s.ids))
	}
	r.wantAnswer("an empty batch", r.post("[]"), http.StatusAccepted, "", "")
	if n := r.pending.Load(); n != 0 {
		t.Errorf("%d bytes are counted after all requests", n)
	}
}

// TestSourcesThatTheCallerMayNotSendFor: every event is looked at before any is stored, in every mode.
func TestSourcesThatTheCallerMayNotSendFor(t *testing.T) {
	r := newRig(t, memlog.New(memlog.Options{}).Log("pos"), newIndex(), nil)
	s := r.open()
	defer s.Close() //nolint:errcheck // it returns nil
	own, other := event("a", 1, 1), strings.Replace(event("b", 2, 2), `"pos"`, `"crm"`, 1)
	send := func(may string, header map[string]string, body string) *httptest.ResponseRecorder {
		req := httptest.NewRequestWithContext(t.Context(), "POST", "/v1/events", strings.NewReader(body))
		for k, v := range header {
			req.Header.Set(k, v)
		}
		w := httptest.NewRecorder()
		r.Serve(w, req, func(source string) bool { return source == may })
		return w
	}
	structured, batch := map[string]string{"Content-Type": cloudevent.MediaType}, map[string]string{"Content-Type": cloudevent.MediaTypeBatch}
	binary := map[string]string{"Content-Type": "application/json", "ce-specversion": "1.0", "ce-id": "a", "ce-source": "pos", "ce-type": "order.updated", "ce-subject": "1"}
	for _, c := range []struct {
		name, may string
		header    map[string]string
		body      string
		location  string
	}{
		{"structured", "crm", structured, own, "events[0].source"},
		{"binary", "crm", binary, `{"id":1,"n":1}`, "events[0].source"},
		{"batch", "crm", batch, batchOf(own), "events[0].source"},
		{"the last of a batch", "pos", batch, batchOf(own, own, other), "events[2].source"},
		{"a source that is not there", "pos", structured, strings.Replace(own, `"pos"`, `"none"`, 1), "events[0].source"},
	} {
		r.wantAnswer(c.name, send(c.may, c.header, c.body), http.StatusForbidden, "source_forbidden", c.location)
	}
	if len(s.queue) != 0 || len(s.ids) != 0 {
		t.Errorf("%d requests and %d ids of refused requests are kept", len(s.queue), len(s.ids))
	}
}

// TestWhatTheLogCannotHoldIsNotAccepted: a body below the intake's own bound, for a log that takes less.
func TestWhatTheLogCannotHoldIsNotAccepted(t *testing.T) {
	const limit = 4096
	r := newRig(t, memlog.New(memlog.Options{MaxBatch: limit}).Log("pos"), newIndex(), nil)
	s := r.open()
	defer s.Close() //nolint:errcheck // it returns nil
	long := func(n int) string {
		return strings.Replace(event("a", 1, 1), `"n":1`, `"n":"`+strings.Repeat("x", n)+`"`, 1)
	}
	r.wantAnswer("too long for the log", r.post(long(limit/2)), http.StatusRequestEntityTooLarge, "body_too_large", "")
	answer := r.send(long(limit/2 - len(long(0))))
	r.capture(s)
	r.wantAnswer("as long as it may be", <-answer, http.StatusAccepted, "", "")
	if diff := cmp.Diff([]string{"a"}, r.ids()); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memlog.New(memlog.Options{}).Log("pos"), newIndex(), func(o *Options) {
			o.MaxBody = int64(3 * len(event("a", 1, 1)))
			o.MaxPending = o.MaxBody
		})
		s := r.open()
		defer s.Close() //nolint:errcheck // it returns nil
		waits := []<-chan *httptest.ResponseRecorder{r.send(event("a", 1, 1)), r.send(event("b", 1, 1)), r.send(event("c", 1, 1))}
		synctest.Wait()
		r.wantAnswer("beyond the bound", r.post(event("d", 1, 1)), http.StatusServiceUnavailable, "busy", "")
		r.capture(s)
		for _, w := range waits {
			r.wantAnswer("within the bound", <-w, http.StatusAccepted, "", "")
		}
	})
}

func TestBinaryMode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memlog.New(memlog.Options{}).Log("pos"), newIndex(), nil)
		s := r.open()
		defer s.Close() //nolint:errcheck // it returns nil
		req := httptest.NewRequestWithContext(t.Context(), "POST", "/v1/events", strings.NewReader(`{"id":1,"n":1}`))
		for k, v := range map[string]string{"Content-Type": "application/json", "ce-specversion": "1.0", "ce-id": "a", "ce-source": "pos", "ce-type": "order.updated", "ce-subject": "1"} {
			req.Header.Set(k, v)
		}
		answer := make(chan *httptest.ResponseRecorder, 1) // the handler never waits for the test
		go func() { answer <- r.do(req) }()
		r.capture(s)
		r.wantAnswer("binary", <-answer, http.StatusAccepted, "", "")
		r.wantAnswer("the same in the structured mode", r.post(event("a", 1, 1)), http.StatusAccepted, "", "")
		if diff := cmp.Diff([]string{"a"}, r.ids()); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
	})
}

func TestNewRefuses(t *testing.T) {
	order := cloudevent.Entity{Name: "order", Key: []string{"id"}}
	for code, systems := range map[string][]System{
		"key_missing":    {{Name: "pos", Entities: []cloudevent.Entity{{Name: "order"}}}},
		"system_invalid": {{Name: "pos", Entities: []cloudevent.Entity{order}}, {Name: "pos"}},
	} {
		if _, err := New(Options{Systems: systems}); syncline.CodeOf(err) != code {
			t.Errorf("New = %v, want %s", err, code)
		}
	}
	in, err := New(Options{Systems: []System{{Name: "pos", Entities: []cloudevent.Entity{order}}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Source("crm"); syncline.CodeOf(err) != "unknown_source" {
		t.Errorf("Source(crm) = %v, want unknown_source", err)
	}
	s, err := in.Source("pos")
	if err != nil {
		t.Fatal(err)
	}
	for _, checkpoint := range []string{"\x02", "\x01\xff"} {
		if err := s.Open(t.Context(), []byte(checkpoint), syncline.Position{}); syncline.CodeOf(err) != "checkpoint_invalid" {
			t.Errorf("Open(%q) = %v, want checkpoint_invalid", checkpoint, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close of a source that is not open = %v", err)
	}
}
