package push

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"syncline"
	"syncline/internal/cloudevent"
	"syncline/internal/memlog"
	"syncline/internal/problem"
)

// memIndex is an Index in memory.
type memIndex struct {
	mu   sync.Mutex
	ids  map[string][]byte
	seqs map[string]syncline.Seq
	fail error // every call fails with it
	// looked, unless nil, is called after a look-up, before its answer is given.
	looked func()
	torn   bool // a trim fails before it has come to the newest ids
	// saving, unless nil, is called before ids are saved.
	saving func()
}

func newIndex() *memIndex {
	return &memIndex{ids: map[string][]byte{}, seqs: map[string]syncline.Seq{}}
}

func (x *memIndex) SeenIDs(_ context.Context, source string, ids []string) (map[string][]byte, error) {
	x.mu.Lock()
	seen, looked, err := map[string][]byte{}, x.looked, x.fail
	for _, id := range ids {
		if print, ok := x.ids[source+"\n"+id]; ok {
			seen[id] = print
		}
	}
	x.mu.Unlock()
	if looked != nil {
		looked()
	}
	return seen, err
}

func (x *memIndex) SaveIDs(_ context.Context, source string, seq syncline.Seq, ids map[string][]byte) error {
	x.mu.Lock()
	saving := x.saving
	x.mu.Unlock()
	if saving != nil {
		saving()
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.fail != nil {
		return x.fail
	}
	for id, print := range ids {
		x.ids[source+"\n"+id], x.seqs[source+"\n"+id] = print, seq
	}
	return nil
}

func (x *memIndex) TrimIDs(_ context.Context, source string, below syncline.Seq) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.torn {
		below = slices.Max(slices.Collect(maps.Values(x.seqs)))
	}
	for id, seq := range x.seqs {
		if strings.HasPrefix(id, source+"\n") && seq < below {
			delete(x.ids, id)
			delete(x.seqs, id)
		}
	}
	if x.torn {
		return errors.New("the state store is gone")
	}
	return x.fail
}

// copy returns the index as it is now, as after a restart from here.
func (x *memIndex) copy() *memIndex {
	x.mu.Lock()
	defer x.mu.Unlock()
	return &memIndex{ids: maps.Clone(x.ids), seqs: maps.Clone(x.seqs)}
}

func (x *memIndex) has(id string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	_, ok := x.ids["pos\n"+id]
	return ok
}

// rig is an intake with one system, "pos", whose capture the test plays.
type rig struct {
	*Intake
	t     testing.TB
	log   *memlog.Log
	index *memIndex
}

func newRig(t testing.TB, log *memlog.Log, index *memIndex, change func(*Options)) *rig {
	t.Helper()
	opts := Options{Index: index, Systems: []System{{Name: "pos", Log: log, Entities: []cloudevent.Entity{{Name: "order", Key: []string{"id"}}}}}}
	if change != nil {
		change(&opts)
	}
	in, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return &rig{Intake: in, t: t, log: log, index: index}
}

// open opens a source at the log's end, as capture does.
func (r *rig) open() *Source {
	r.t.Helper()
	s, err := r.reopen(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

func (r *rig) reopen(ctx context.Context) (*Source, error) {
	s, err := r.Source("pos")
	if err != nil {
		return nil, err
	}
	var last syncline.Batch
	if batches := stored(r.t, r.log); len(batches) > 0 {
		last = *batches[len(batches)-1]
	}
	return s, s.Open(ctx, last.Checkpoint, last.Position)
}

// take has a source take one event after the other, until the index has them, and closes it. It is for bubbles of synctest.
func (r *rig) take(ids ...string) {
	r.t.Helper()
	s := r.open()
	defer s.Close() //nolint:errcheck // it returns nil
	for _, id := range ids {
		answer := r.send(event(id, 1, 1))
		r.capture(s)
		<-answer
		synctest.Wait()
	}
}

// withoutTail is the same log as far as its first entry.
func (r *rig) withoutTail() *memlog.Log {
	r.t.Helper()
	log := memlog.New(memlog.Options{NewID: func() string { return r.log.ID() }}).Log("pos")
	if _, err := log.Append(r.t.Context(), stored(r.t, r.log)[0]); err != nil {
		r.t.Fatal(err)
	}
	return log
}

// stored returns what the log holds.
func stored(t testing.TB, log *memlog.Log) []*syncline.Batch {
	t.Helper()
	bounds, err := log.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	reader, err := log.Reader(max(bounds.First, 1))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close() //nolint:errcheck // in memory
	var batches []*syncline.Batch
	for {
		e, ok, err := reader.TryNext()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return batches
		}
		b, err := syncline.DecodeBatch(e.Data)
		if err != nil {
			t.Fatal(err)
		}
		batches = append(batches, b)
	}
}

// ids returns the ids of the events in the log, in order.
func (r *rig) ids() []string {
	ids := []string{}
	for _, b := range stored(r.t, r.log) {
		for i := range b.Events {
			ids = append(ids, b.EventID(i))
		}
	}
	return ids
}

// capture takes one batch, appends and confirms it.
func (r *rig) capture(s *Source) *syncline.Batch {
	r.t.Helper()
	b, err := s.Next(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.log.Append(r.t.Context(), b); err != nil {
		r.t.Fatal(err)
	}
	s.Confirm(b.Position)
	return b
}

// event is a CloudEvent of the system, as JSON.
func event(id string, key, n int) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"pos","type":"order.updated","subject":"%d","data":{"id":%d,"n":%d}}`, id, key, key, n)
}

func batchOf(events ...string) string { return "[" + strings.Join(events, ",") + "]" }

// post sends a body and returns the answer.
func (r *rig) post(body string) *httptest.ResponseRecorder {
	req := httptest.NewRequestWithContext(r.t.Context(), http.MethodPost, "/v1/events", strings.NewReader(body))
	req.Header.Set("Content-Type", cloudevent.MediaType)
	if strings.HasPrefix(body, "[") {
		req.Header.Set("Content-Type", cloudevent.MediaTypeBatch)
	}
	return r.do(req)
}

func (r *rig) do(req *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r.Serve(w, req, func(string) bool { return true })
	return w
}

// send posts in the background and returns where the answer will be.
func (r *rig) send(body string) <-chan *httptest.ResponseRecorder {
	answer := make(chan *httptest.ResponseRecorder, 1) // the sender never waits for the test
	go func() { answer <- r.post(body) }()
	return answer
}

// wantAnswer checks status, code and the place that is named.
func (r *rig) wantAnswer(what string, w *httptest.ResponseRecorder, status int, code, location string) {
	r.t.Helper()
	var p problem.Problem
	if status == http.StatusAccepted {
		if w.Code != status {
			r.t.Errorf("%s: %d %s, want 202", what, w.Code, w.Body)
		}
		return
	}
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		r.t.Errorf("%s: %d %s: %v", what, w.Code, w.Body, err)
	}
	got := ""
	if len(p.Fields) > 0 {
		got = p.Fields[0].Location
	}
	if w.Code != status || p.Status != status || p.Code != code || got != location || w.Header().Get("Content-Type") != "application/problem+json" {
		r.t.Errorf("%s: %d %s at %q (%s), want %d %s at %q", what, w.Code, p.Code, got, p.Detail, status, code, location)
	}
	if retry := w.Header().Get("Retry-After") != ""; retry != (status >= 500) {
		r.t.Errorf("%s: Retry-After = %q with %d", what, w.Header().Get("Retry-After"), status)
	}
}

var errDown = errors.New("state store is down")
