package webhook

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"syncline"
	"syncline/internal/targettest"
)

const testSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// receiver is an endpoint that checks signatures, keeps what it got and answers as answer says; nil = 204.
type receiver struct {
	*httptest.Server
	answer func(w http.ResponseWriter, r *http.Request, ev event)

	mu  sync.Mutex
	got []event
}

// event is what the tests look at of a request.
type event struct {
	ID, Type, Source, Subject string
	Data                      struct{ Before, After map[string]any }
	Path                      string      `json:"-"`
	Header                    http.Header `json:"-"`
}

func newReceiver(t testing.TB, answer func(http.ResponseWriter, *http.Request, event)) *receiver {
	rc := &receiver{answer: answer}
	rc.Server = httptest.NewServer(rc)
	t.Cleanup(rc.Close)
	return rc
}

func (rc *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var ev event
	if err == nil {
		err = json.Unmarshal(body, &ev)
	}
	if err == nil && r.Header.Get(HeaderSignature) != "" {
		err = Verify(testSecret, r.Header, body, time.Now(), 0)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	ev.Path, ev.Header = r.URL.Path, r.Header
	rc.mu.Lock()
	rc.got = append(rc.got, ev)
	rc.mu.Unlock()
	if rc.answer == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	rc.answer(w, r, ev)
}

func (rc *receiver) events() []event {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	return append([]event(nil), rc.got...)
}

// ids returns the ids of the events in order of arrival.
func (rc *receiver) ids() []string {
	var ids []string
	for _, ev := range rc.events() {
		ids = append(ids, ev.ID)
	}
	return ids
}

func openTarget(t testing.TB, opts Options) *Target {
	t.Helper()
	if opts.Secrets == nil {
		opts.Secrets = []string{testSecret}
	}
	opts.AllowPrivate = true
	target, err := Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { target.Close() }) //nolint:errcheck // it returns nil
	return target
}

func TestConformance(t *testing.T) {
	targettest.Run(t, targettest.Harness{Open: func(t *testing.T) targettest.Instance {
		refuse := "refuse this"
		rc := newReceiver(t, func(w http.ResponseWriter, _ *http.Request, ev event) {
			if ev.Data.After["name"] == refuse {
				w.WriteHeader(http.StatusUnprocessableEntity)
			}
		})
		return targettest.Instance{
			Target: openTarget(t, Options{URL: rc.URL}),
			Object: func(s *syncline.Schema) string { return s.Entity },
			Refuse: func(_ string, row syncline.Row) syncline.Row {
				values := append([]syncline.Value(nil), row.Values...)
				values[row.Schema.Index("name")] = syncline.Text(refuse)
				return syncline.Row{Schema: row.Schema, Values: values}
			},
			Deliveries: func() []targettest.Delivery {
				var list []targettest.Delivery
				for _, ev := range rc.events() {
					if ev.Data.After["name"] != refuse {
						list = append(list, targettest.Delivery{ID: ev.ID, Key: ev.Subject})
					}
				}
				return list
			},
		}
	}})
}

// order is the schema of the tests' events.
var order = &syncline.Schema{Entity: "order", Table: "order", Version: -1, Key: []int{0}, Columns: []syncline.Column{
	{Name: "id", Kind: syncline.KindInt}, {Name: "n", Kind: syncline.KindInt}}}

// write makes a Write of one event per key, in order; a key below zero is a truncate.
func write(keys ...int64) *syncline.Write {
	b := &syncline.Batch{Source: "shop", Position: syncline.Position{Epoch: 1, Commit: 1, Ordinal: uint32(len(keys))}, Txns: []syncline.Txn{{Commit: 1}}}
	w := &syncline.Write{Ordered: true}
	for i, k := range keys {
		e := syncline.Event{Op: syncline.OpUpdated, Schema: order, Ordinal: uint32(i + 1), After: []syncline.Value{syncline.Int(k), syncline.Int(int64(i))}}
		if k < 0 {
			e.Op, e.After = syncline.OpTruncated, nil
		}
		b.Events = append(b.Events, e)
		w.Changes = append(w.Changes, syncline.Change{Op: syncline.ChangeSend, Row: syncline.Row{Schema: order, Values: e.After}, Batch: b, Event: i})
	}
	w.Commit = func(context.Context, syncline.Result) error { return nil }
	return w
}
