package push

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
	"syncline/internal/cloudevent"
	"syncline/internal/memlog"
)

func TestAnswerComesAfterTheAppend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memlog.New(memlog.Options{}).Log("pos"), newIndex(), nil)
		s := r.open()
		defer s.Close() //nolint:errcheck // it returns nil
		answer := r.send(event("a", 1, 1))
		b, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(answer) != 0 {
			t.Fatal("the request was answered before its batch was durable")
		}
		if _, err := r.log.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		s.Confirm(syncline.Position{Epoch: b.Position.Epoch, Commit: b.Position.Commit - 1})
		s.Confirm(syncline.Position{Epoch: b.Position.Epoch + 1, Commit: b.Position.Commit})
		synctest.Wait()
		if len(answer) != 0 {
			t.Fatal("the request was answered when another position was confirmed")
		}
		s.Confirm(b.Position)
		s.Confirm(b.Position)
		w := <-answer
		r.wantAnswer("after the append", w, http.StatusAccepted, "", "")
		if got := strings.TrimSpace(w.Body.String()); got != `{"ids":["a"]}` {
			t.Errorf("body = %s", got)
		}
	})
}

// TestGroupCommit: what arrives while a batch is appended is the next batch, each request one transaction.
func TestGroupCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memlog.New(memlog.Options{}).Log("pos"), newIndex(), nil)
		s := r.open()
		defer s.Close() //nolint:errcheck // it returns nil
		first := r.send(batchOf(event("a", 1, 1), event("b", 2, 1)))
		synctest.Wait()
		second := r.send(event("c", 1, 2))
		synctest.Wait()
		third := r.send(batchOf(event("a", 1, 1), event("d", 3, 1)))
		synctest.Wait()
		b := r.capture(s)
		var got []string
		for i := range b.Events {
			got = append(got, b.EventID(i)+" "+b.PositionOf(i).String())
		}
		// The third request's first event is the first's: it keeps its place in the count and is not repeated.
		if diff := cmp.Diff([]string{"a 1/1/1", "b 1/1/2", "c 1/2/1", "d 1/3/2"}, got); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if b.Position != (syncline.Position{Epoch: 1, Commit: 3, Ordinal: 2}) {
			t.Errorf("position = %s", b.Position)
		}
		for _, answer := range []<-chan *httptest.ResponseRecorder{first, second, third} {
			r.wantAnswer("a request of the group", <-answer, http.StatusAccepted, "", "")
		}
	})
}

func TestRepeatedEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memlog.New(memlog.Options{})
		log, index := store.Log("pos"), newIndex()
		before := index.copy()
		r := newRig(t, log, index, nil)
		s := r.open()
		answer := r.send(event("a", 1, 1))
		synctest.Wait()
		again := r.send(event("a", 1, 1))
		synctest.Wait()
		r.wantAnswer("another body while the first waits", r.post(event("a", 1, 2)), http.StatusConflict, "id_conflict", "events[0].id")
		r.capture(s)
		r.wantAnswer("the first", <-answer, http.StatusAccepted, "", "")
		r.wantAnswer("the same while the first waits", <-again, http.StatusAccepted, "", "")

		check := func(when string, r *rig) {
			t.Helper()
			r.wantAnswer("the same "+when, r.post(event("a", 1, 1)), http.StatusAccepted, "", "")
			r.wantAnswer("another body "+when, r.post(batchOf(event("x", 9, 9), event("a", 1, 2))), http.StatusConflict, "id_conflict", "events[1].id")
			r.wantAnswer("another body in the request "+when, r.post(batchOf(event("y", 1, 1), event("y", 1, 2))), http.StatusConflict, "id_conflict", "events[1].id")
			if diff := cmp.Diff([]string{"a"}, r.ids()); diff != "" {
				t.Errorf("log %s (-want +got):\n%s", when, diff)
			}
		}
		synctest.Wait()
		if !index.has("a") {
			t.Fatal("the id is not in the index")
		}
		if len(s.ids)+len(s.unsaved) != 0 {
			t.Errorf("%d ids are still in memory", len(s.ids)+len(s.unsaved))
		}
		check("once the index has it", r)
		s.Close() //nolint:errcheck // it returns nil

		for when, index := range map[string]*memIndex{"after a restart": index, "after a crash before the index was written": before} {
			r := newRig(t, log, index, nil)
			s := r.open()
			check(when, r)
			s.Close() //nolint:errcheck // it returns nil
		}
	})
}

// TestOneIDTwiceInARequest is one event.
func TestOneIDTwiceInARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memlog.New(memlog.Options{}).Log("pos"), newIndex(), nil)
		s := r.open()
		defer s.Close() //nolint:errcheck // it returns nil
		answer := r.send(batchOf(event("a", 1, 1), event("a", 1, 1), event("b", 1, 2)))
		r.capture(s)
		w := <-answer
		if got := strings.TrimSpace(w.Body.String()); got != `{"ids":["a","a","b"]}` {
			t.Errorf("body = %s", got)
		}
		if diff := cmp.Diff([]string{"a", "b"}, r.ids()); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
	})
}

// TestIndexOfAnotherLogIsMadeAnew: what the log does not hold is accepted, whatever an old index says.
func TestIndexOfAnotherLogIsMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		index := newIndex()
		r := newRig(t, memlog.New(memlog.Options{}).Log("pos"), index, nil)
		s := r.open()
		for _, id := range []string{"a", "b"} {
			answer := r.send(event(id, 1, 1))
			r.capture(s)
			<-answer
		}
		synctest.Wait()
		s.Close() //nolint:errcheck // it returns nil

		fresh := memlog.New(memlog.Options{})
		restored := memlog.New(memlog.Options{NewID: func() string { return r.log.ID() }}) // the same log, without its tail
		if _, err := restored.Log("pos").Append(t.Context(), stored(t, r.log)[0]); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			other := &syncline.Batch{Source: "pos", Position: syncline.Position{Epoch: 1, Commit: 1}}
			if _, err := fresh.Log("longer").Append(t.Context(), other); err != nil {
				t.Fatal(err)
			}
		}
		for name, tt := range map[string]struct {
			log  *memlog.Log
			want int
		}{"a new log": {fresh.Log("pos"), 0}, "a new log that is longer": {fresh.Log("longer"), 0}, "a log that lost its tail": {restored.Log("pos"), 1}} {
			r := newRig(t, tt.log, index.copy(), nil)
			s := r.open()
			if n := len(r.ids()); n != tt.want {
				t.Fatalf("%s holds %d events", name, n)
			}
			answer := r.send(event("b", 1, 1))
			r.capture(s)
			r.wantAnswer(name, <-answer, http.StatusAccepted, "", "")
			if n := len(r.ids()); n != tt.want+1 {
				t.Errorf("%s holds %d events after the lost one was sent again, want %d", name, n, tt.want+1)
			}
			r.wantAnswer("what "+name+" holds", r.post(event("b", 1, 1)), http.StatusAccepted, "", "")
			s.Close() //nolint:errcheck // it returns nil
		}
	})
}

func TestPurgedIDsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memlog.New(memlog.Options{}).Log("pos"), newIndex(), nil)
		s := r.open()
		defer func() { s.Close() }() //nolint:errcheck // it returns nil
		push := func(id string) {
			answer := r.send(event(id, 1, 1))
			r.capture(s)
			r.wantAnswer(id, <-answer, http.StatusAccepted, "", "")
			synctest.Wait()
		}
		push("a")
		push("b")
		if err := r.log.Purge(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		push("c")
		if r.index.has("a") || !r.index.has("b") || !r.index.has("c") {
			t.Errorf("index has a %v, b %v, c %v; want only a forgotten", r.index.has("a"), r.index.has("b"), r.index.has("c"))
		}
		// A log whose beginning, and with it the mark's entry, is gone opens as well.
		s.Close() //nolint:errcheck // it returns nil
		if err := r.log.Purge(t.Context(), 3); err != nil {
			t.Fatal(err)
		}
		s = r.open()
		r.wantAnswer("c again", r.post(event("c", 1, 1)), http.StatusAccepted, "", "")
	})
}

func TestFullLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memlog.New(memlog.Options{}).Log("pos"), newIndex(), nil)
		s := r.open()
		defer s.Close() //nolint:errcheck // it returns nil
		inHand := r.send(event("a", 1, 1))
		b, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		queued := r.send(event("b", 2, 1))
		synctest.Wait()
		r.log.FailNext(memlog.FaultFull)
		_, err = r.log.Append(t.Context(), b)
		s.Stall(err)
		s.Stall(err)
		start := time.Now()
		r.wantAnswer("in hand", <-inHand, http.StatusInsufficientStorage, "log_full", "")
		r.wantAnswer("queued", <-queued, http.StatusInsufficientStorage, "log_full", "")
		r.wantAnswer("new", r.post(event("c", 3, 1)), http.StatusInsufficientStorage, "log_full", "")
		r.wantAnswer("in hand, again", r.post(event("a", 1, 1)), http.StatusInsufficientStorage, "log_full", "")
		if waited := time.Since(start); waited > 0 {
			t.Errorf("the answers took %s", waited)
		}
		// There is room again: what capture had in hand is stored, what was queued was dropped.
		if _, err := r.log.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		s.Confirm(b.Position)
		r.wantAnswer("in hand, when it is stored", r.post(event("a", 1, 1)), http.StatusAccepted, "", "")
		again := r.send(event("b", 2, 1))
		r.capture(s)
		r.wantAnswer("queued, again", <-again, http.StatusAccepted, "", "")
		if diff := cmp.Diff([]string{"a", "b"}, r.ids()); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
	})
}

func TestStallTellsTheReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memlog.New(memlog.Options{}).Log("pos"), newIndex(), nil)
		s := r.open()
		defer s.Close() //nolint:errcheck // it returns nil
		for _, tt := range []struct {
			err    error
			status int
			code   string
		}{
			{syncline.Errorf(syncline.Transient, "log_unanswered", "no answer"), 503, "log_unavailable"},
			{syncline.Errorf(syncline.Transient, "log_disk", "no room"), 507, "log_full"},
			{syscall.ENOSPC, 507, "log_full"},
		} {
			s.Stall(tt.err)
			r.wantAnswer(tt.err.Error(), r.post(event("a", 1, 1)), tt.status, tt.code, "")
		}
		s.Stall(nil)
		answer := r.send(event("a", 1, 1))
		r.capture(s)
		r.wantAnswer("when it is over", <-answer, http.StatusAccepted, "", "")
	})
}

func TestSlowLogTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memlog.New(memlog.Options{}).Log("pos"), newIndex(), func(o *Options) { o.Timeout = 3 * time.Second })
		s := r.open()
		defer s.Close() //nolint:errcheck // it returns nil
		inHand := r.send(event("a", 1, 1))
		b, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		queued := r.send(event("b", 2, 1))
		start := time.Now()
		r.wantAnswer("in hand", <-inHand, http.StatusServiceUnavailable, "log_unavailable", "")
		r.wantAnswer("queued", <-queued, http.StatusServiceUnavailable, "log_unavailable", "")
		if waited := time.Since(start); waited != 3*time.Second {
			t.Errorf("the answers took %s, want 3s", waited)
		}
		if _, err := r.log.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		s.Confirm(b.Position)
		r.wantAnswer("in hand, again", r.post(event("a", 1, 1)), http.StatusAccepted, "", "")
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if b, err := s.Next(short); err == nil {
			t.Errorf("a request that was given up is handed out: %v", b.Events)
		}
	})
}

func TestClosedSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memlog.New(memlog.Options{}).Log("pos"), newIndex(), nil)
		r.wantAnswer("before it is open", r.post(event("a", 1, 1)), http.StatusServiceUnavailable, "source_unavailable", "")
		s := r.open()
		inHand := r.send(event("a", 1, 1))
		b, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		queued := r.send(event("b", 2, 1))
		synctest.Wait()
		for range 2 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		r.wantAnswer("in hand", <-inHand, http.StatusServiceUnavailable, "source_unavailable", "")
		r.wantAnswer("queued", <-queued, http.StatusServiceUnavailable, "source_unavailable", "")
		r.wantAnswer("after it was closed", r.post(event("c", 1, 1)), http.StatusServiceUnavailable, "source_unavailable", "")
		if _, err := s.Next(t.Context()); syncline.ClassOf(err) != syncline.Transient || err == nil {
			t.Errorf("Next after Close = %v, want a transient error", err)
		}
		if err := s.submit(t.Context(), nil, 0); syncline.CodeOf(err) != "source_unavailable" {
			t.Errorf("a request that found the source before it was closed: %v", err)
		}
		// The append had succeeded after all: the next source knows it.
		if _, err := r.log.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		s = r.open()
		defer s.Close() //nolint:errcheck // it returns nil
		r.wantAnswer("in hand, again", r.post(event("a", 1, 1)), http.StatusAccepted, "", "")
		answer := r.send(event("b", 2, 1))
		if b := r.capture(s); b.Position != (syncline.Position{Epoch: 1, Commit: 2, Ordinal: 1}) {
			t.Errorf("position after a restart = %s", b.Position)
		}
		<-answer
	})
}

func TestNextHonoursItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memlog.New(memlog.Options{}).Log("pos"), newIndex(), nil)
		s := r.open()
		defer s.Close() //nolint:errcheck // it returns nil
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Next(ctx); err != context.DeadlineExceeded {
			t.Errorf("Next = %v, want the context's error", err)
		}
	})
}

// TestIndexOutage: without the index nothing is admitted, nothing that was admitted is lost, and it is made up for.
func TestIndexOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memlog.New(memlog.Options{}).Log("pos"), newIndex(), nil)
		s := r.open()
		defer s.Close() //nolint:errcheck // it returns nil
		answer := r.send(event("a", 1, 1))
		synctest.Wait()
		r.index.mu.Lock()
		r.index.fail = errDown
		r.index.mu.Unlock()
		r.capture(s)
		r.wantAnswer("admitted before", <-answer, http.StatusAccepted, "", "")
		r.wantAnswer("during the outage", r.post(event("b", 1, 1)), http.StatusServiceUnavailable, "index_unavailable", "")
		<-time.After(10 * retryDelay)
		r.index.mu.Lock()
		r.index.fail = nil
		r.index.mu.Unlock()
		r.wantAnswer("the same after the outage", r.post(event("a", 1, 1)), http.StatusAccepted, "", "")
		<-time.After(2 * retryDelay)
		synctest.Wait()
		if !r.index.has("a") {
			t.Error("the id never came into the index")
		}
	})
}

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

// TestPartlyConfirmedBatch: a crash after a part of an entry was confirmed finds the rest of its ids in the log.
func TestPartlyConfirmedBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memlog.New(memlog.Options{}).Log("pos"), newIndex(), nil)
		s := r.open()
		for _, id := range []string{"a", "b", "c"} {
			r.send(event(id, 1, 1))
			synctest.Wait()
		}
		b, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.log.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		for commit := range uint64(2) {
			s.Confirm(syncline.Position{Epoch: 1, Commit: commit + 1})
			synctest.Wait()
		}
		s.Close() //nolint:errcheck // it returns nil
		s = r.open()
		defer s.Close() //nolint:errcheck // it returns nil
		r.wantAnswer("the unconfirmed one again", r.post(event("c", 1, 1)), http.StatusAccepted, "", "")
	})
}

// TestKindsAreInTheCheckpoint: a null after a restart does not change the column's kind.
func TestKindsAreInTheCheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memlog.New(memlog.Options{}).Log("pos"), newIndex(), nil)
		for i, body := range []string{event("a", 1, 1), strings.Replace(event("b", 1, 2), `"n":2`, `"n":null`, 1)} {
			s := r.open()
			answer := r.send(body)
			b := r.capture(s)
			<-answer
			if c := b.Events[0].Schema.Columns[1]; c.Name != "n" || c.Kind != syncline.KindInt {
				t.Errorf("batch %d: column %+v, want n of kind int", i, c)
			}
			s.Close() //nolint:errcheck // it returns nil
		}
	})
}

// TestNoIDIsMissedBetweenMemoryAndIndex: a request that looked into the index before an id came in finds it in memory.
func TestNoIDIsMissedBetweenMemoryAndIndex(t *testing.T) {
	r := newRig(t, memlog.New(memlog.Options{}).Log("pos"), newIndex(), nil)
	s := r.open()
	defer s.Close() //nolint:errcheck // it returns nil
	first := r.send(event("a", 1, 1))
	b, err := s.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	inLookup, release := make(chan struct{}), make(chan struct{}) // closed by the look-up, and by the test
	r.index.mu.Lock()
	r.index.looked = func() {
		close(inLookup)
		<-release
	}
	r.index.mu.Unlock()
	second := r.send(event("a", 1, 1))
	<-inLookup
	r.index.mu.Lock()
	r.index.looked = nil
	r.index.mu.Unlock()
	if _, err := r.log.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	s.Confirm(b.Position)
	r.wantAnswer("the first", <-first, http.StatusAccepted, "", "")
	// The index has the id at once; memory must keep it until the look-up is over. There is nothing to wait for where that
	// holds, so the time is bounded.
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 100 {
		<-tick.C
		s.mu.Lock()
		_, kept := s.ids["a"]
		s.mu.Unlock()
		if r.index.has("a") && !kept {
			t.Error("the id has left memory during a look-up")
			break
		}
	}
	close(release)
	select {
	case w := <-second:
		r.wantAnswer("the second", w, http.StatusAccepted, "", "")
	case <-time.After(5 * time.Second):
		t.Error("the second request waits for another append")
	}
}
