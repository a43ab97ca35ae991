package ops

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"syncline"
	"syncline/internal/access"
	"syncline/internal/state"
	"syncline/internal/statetest"
)

// taskStore is a state store in which tasks change.
type taskStore struct {
	*state.Store
	t   *testing.T
	seq syncline.Seq
}

var taskSlice = state.Slice{Route: "r"}

func newTaskStore(t *testing.T) *taskStore {
	t.Helper()
	s := statetest.Open(t)
	must(t, s.PlaceRoute(t.Context(), taskSlice, state.Route{Cursor: syncline.Cursor{Log: "L", Seq: 1}, Source: "crm"}))
	return &taskStore{s, t, 1}
}

// fail has n tasks of a rule applied and one fail, whose id it returns.
func (s *taskStore) fail(rule string, n int64) string {
	s.t.Helper()
	from, to := syncline.Cursor{Log: "L", Seq: s.seq}, syncline.Cursor{Log: "L", Seq: s.seq + 1}
	counts := state.Counts{Read: n + 1, Applied: n, Parked: 1}
	id := fmt.Sprintf("%s:crm:%d.0", rule, s.seq)
	must(s.t, s.Commit(s.t.Context(), state.Commit{Slice: taskSlice,
		Journal: &state.Journal{From: from, To: to, Start: noon, End: noon, Counts: counts, Rules: []state.RuleCounts{{Rule: rule, Counts: counts}}},
		Park: []state.Exception{{Task: id, Slice: taskSlice, Rule: rule, Source: "crm", Entity: "lead", Key: "1", Seq: s.seq, Status: state.StatusFailed,
			Code: "refused", Attempts: 5, Created: noon}}}))
	s.seq++
	return id
}

// reading reads a stream in the background.
type reading struct {
	t        *testing.T
	messages chan Streamed
	stop     context.CancelFunc
	ended    chan error
}

func watch(t *testing.T, c *Client, q StreamQuery) *reading {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	r := &reading{t, make(chan Streamed), stop, make(chan error, 1)}
	go func() {
		r.ended <- c.Watch(ctx, q, func(s Streamed) error {
			select {
			case r.messages <- s:
			case <-ctx.Done():
			}
			return nil
		})
	}()
	t.Cleanup(stop)
	return r
}

// next returns the next message of tasks; it adds the sums on the way up.
func (r *reading) next(applied *int64) Streamed {
	r.t.Helper()
	for {
		select {
		case s := <-r.messages:
			if s.Completed == nil {
				return s
			}
			for _, rule := range s.Completed.Rules {
				*applied += rule.Counts.Applied
			}
			if s.Completed.At.IsZero() {
				r.t.Error("a sum has no time")
			}
		case err := <-r.ended:
			r.t.Fatalf("the stream ended: %v", err)
		}
	}
}

func TestAStreamTellsOfTasksAsTheyChange(t *testing.T) {
	store := newTaskStore(t)
	before := store.fail("a", 1)
	f := &fake{store: store.Store}
	c, _ := serve(t, f)
	var applied int64

	all := watch(t, c, StreamQuery{After: "0"})
	if got := all.next(&applied); got.Task == nil || got.Task.Task != before || got.Task.Was != "pending" || got.Task.Status != "failed" || got.Task.Code != "refused" ||
		got.Task.N != 1 || got.Task.Route != "r" || got.Task.Key != "1" || got.Task.Attempts != 5 || got.Task.At.IsZero() {
		t.Errorf("the first message = %+v, want that %s failed", got.Task, before)
	}
	second := store.fail("b", 10)
	third := store.fail("a", 100)
	for _, want := range []string{second, third} {
		if got := all.next(&applied); got.Task == nil || got.Task.Task != want {
			t.Errorf("message = %+v, want %s", got, want)
		}
	}
	store.fail("a", 1000)
	all.next(&applied)
	store.fail("a", 0)
	all.next(&applied)
	if applied < 1110 {
		t.Errorf("sums tell of %d applied tasks, want 1110: one batch came before the stream", applied)
	}
	all.stop()
	if err := <-all.ended; err != nil {
		t.Errorf("a stream that its reader ends = %v", err)
	}

	some := watch(t, c, StreamQuery{LastID: "1", Rule: "b", Status: state.TaskFailed})
	if got := some.next(&applied); got.Task == nil || got.Task.Task != second {
		t.Errorf("behind the first event, the first of rule b = %+v, want %s", got, second)
	}
	store.fail("a", 1)
	last := store.fail("b", 1)
	if got := some.next(&applied); got.Task == nil || got.Task.Task != last {
		t.Errorf("the next of rule b = %+v, want %s", got, last)
	}

	must(t, store.TrimTaskEvents(t.Context(), noon, 2))
	gap := watch(t, c, StreamQuery{LastID: "2"})
	if got := gap.next(&applied); got.Gap == nil || got.Gap.First != 6 {
		t.Errorf("behind what is not kept = %+v, want a gap up to 6", got)
	}
	if got := gap.next(&applied); got.Task == nil || got.Task.N != 6 {
		t.Errorf("after the gap = %+v, want the oldest that is kept", got)
	}
	foreign := watch(t, c, StreamQuery{LastID: "999"})
	if got := foreign.next(&applied); got.Gap == nil {
		t.Errorf("behind a number that never was = %+v, want a gap", got)
	}
}

func TestStreamsAreBoundedAndRefuse(t *testing.T) {
	f := &fake{store: newTaskStore(t).Store}
	c, url := serve(t, f)
	for range maxStreams {
		ctx, stop := context.WithCancel(t.Context())
		t.Cleanup(stop)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/v1/tasks/events", nil)
		must(t, err)
		res, err := http.DefaultClient.Do(req)
		must(t, err)
		t.Cleanup(func() { _ = res.Body.Close() })
		line, err := bufio.NewReader(res.Body).ReadString('\n')
		if err != nil || !strings.HasPrefix(line, ":") || res.Header.Get("Content-Type") != "text/event-stream" {
			t.Fatalf("a stream begins with %q, %v", line, err)
		}
	}
	never := func(Streamed) error { return errors.New("a message") }
	problemIn(t, c.Watch(t.Context(), StreamQuery{}, never), 503, "streams_busy", 1)
	problemIn(t, c.Watch(t.Context(), StreamQuery{After: "x"}, never), 422, "request_invalid", 1)
	problemIn(t, c.Watch(t.Context(), StreamQuery{LastID: "x"}, never), 422, "cursor_invalid", 1)
	f.err = syncline.Errorf(syncline.Rejected, "rule_not_found", "there is no rule x: %w", state.ErrNotFound)
	problemIn(t, c.Watch(t.Context(), StreamQuery{Rule: "x"}, never), 404, "rule_not_found", 1)
}

// TestStreamsDoNotKeepTheServerFromStopping: they end at once, and their readers come back to the next one.
func TestStreamsDoNotKeepTheServerFromStopping(t *testing.T) {
	store := newTaskStore(t)
	s, err := New(Options{Engine: &fake{store: store.Store}, Configs: &configs{}, Store: store.Store})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	l, err := Listen(ctx, Binding{Address: "localhost:0"}, store.Store)
	must(t, err)
	served := make(chan error, 1) // Serve's one word
	go func() { served <- s.Serve(ctx, l) }()
	c, err := NewClient("http://" + l.Addr().String())
	must(t, err)
	r := watch(t, c, StreamQuery{After: "0"})
	store.fail("a", 1)
	var applied int64
	r.next(&applied)
	cancel()
	if err := <-served; err != nil {
		t.Errorf("Serve = %v, want nil: a stream is no request that has to be finished", err)
	}
}

// TestStreamsEndWithTheirToken: what is revoked gets nothing more, also where it was let in before.
func TestStreamsEndWithTheirToken(t *testing.T) {
	store := newTaskStore(t)
	url := serveOn(t, Options{Engine: &fake{store: store.Store}, Store: store.Store})
	open := func(secret string) *bufio.Reader {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/v1/tasks/events", nil)
		must(t, err)
		if secret != "" {
			req.Header.Set("Authorization", "Bearer "+secret)
		}
		res, err := http.DefaultClient.Do(req)
		must(t, err)
		t.Cleanup(func() { _ = res.Body.Close() })
		if res.StatusCode != 200 {
			t.Fatalf("GET /v1/tasks/events = %d", res.StatusCode)
		}
		r := bufio.NewReader(res.Body)
		_, err = r.ReadString('\n')
		must(t, err)
		return r
	}
	local := open("")
	revoked := open(tokenOf(t, store.Store, access.Token{Role: access.Viewer, Name: "gone"}))
	soon := time.Now().Add(time.Second)
	expired := open(tokenOf(t, store.Store, access.Token{Role: access.Viewer, Expires: &soon}))
	_, err := store.RevokeToken(t.Context(), "gone", time.Now())
	must(t, err)
	for name, r := range map[string]*bufio.Reader{"from before the first token": local, "revoked": revoked, "expired": expired} {
		if _, err := io.ReadAll(r); err != nil {
			t.Errorf("%s: the stream ends with %v", name, err)
		}
	}
}
