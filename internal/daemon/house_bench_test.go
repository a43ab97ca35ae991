package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/capture"
	"syncline/internal/config"
	"syncline/internal/memlog"
	"syncline/internal/state"
	"syncline/internal/statetest"
)

const hour = time.Hour

// house is a daemon with one source whose log is in memory, and routes that stand where a test puts them. Their targets are down
// unless open says otherwise.
type house struct {
	t *testing.T
	*Daemon
	log  *memlog.Log
	now  time.Time // of what is appended next
	free int64     // on the disk
	open openTarget
	read syncline.Log // what routes read
}

// sized is a log whose entries take a mebibyte each.
type sized struct{ *memlog.Log }

func (l sized) Bounds(ctx context.Context) (syncline.Bounds, error) {
	b, err := l.Log.Bounds(ctx)
	b.Bytes = int64(b.Last+1-b.First) << 20
	return b, err
}

func newHouse(t *testing.T, log config.Log) *house {
	t.Helper()
	h := &house{t: t, now: time.Now(), free: 1 << 50, open: func(context.Context) (syncline.Target, error) {
		return nil, syncline.Errorf(syncline.Transient, "down", "the target is down")
	}}
	h.log = memlog.New(memlog.Options{Now: func() time.Time { return h.now }}).Log("crm")
	system := &config.System{Name: "crm", Capture: &config.Capture{}}
	h.Daemon = &Daemon{log: slog.New(slog.DiscardHandler),
		housework: make(chan struct{}, 1), refusals: make(chan struct{}, 1), unheard: make(map[string]bool), room: func() (int64, error) { return h.free, nil }}
	h.state = statetest.Open(t)
	h.read = h.log
	h.current.Store(&set{config: &config.Config{Log: log, Systems: []*config.System{system}}, sources: []*source{{system: system,
		stream: &stream{log: sized{h.log}, capture: capture.New(capture.Options{Source: "crm", Log: h.log, Runs: h.state})}}}})
	return h
}

// append appends n entries that are this old.
func (h *house) append(n int, age time.Duration) {
	h.t.Helper()
	h.now = time.Now().Add(-age)
	for range n {
		bounds, err := h.log.Bounds(h.t.Context())
		if err == nil {
			_, err = h.log.Append(h.t.Context(), &syncline.Batch{Source: "crm", Position: syncline.Position{Epoch: 1, Commit: uint64(bounds.Last + 1)}})
		}
		if err != nil {
			h.t.Fatal(err)
		}
	}
}

// route adds a route that has applied what is below this entry, and runs it.
func (h *house) route(id string, at syncline.Seq) *route {
	h.t.Helper()
	err := h.state.PlaceRoute(h.t.Context(), state.Slice{Route: id}, state.Route{Source: "crm", Signature: "1",
		Cursor: syncline.Cursor{Log: h.log.ID(), Seq: at, Epoch: 1}})
	if err != nil {
		h.t.Fatal(err)
	}
	r := &route{id: id, source: h.set().sources[0]}
	r.apply, err = apply.New(apply.Options{ID: id, Source: "crm", Signature: "1", Rules: []apply.Rule{{ID: id}}, Log: h.read, State: h.state, Open: h.open})
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(h.t.Context())
	done := make(chan error, 1) // the route's one word
	go func() { done <- r.apply.Run(ctx, ctx) }()
	h.t.Cleanup(func() { stop(); <-done })
	eventually(h.t, "the route has begun", func() bool { return r.apply.Status().State != apply.RouteStarting })
	h.set().routes = append(h.set().routes, r)
	return r
}

func (h *house) keep(round bool) {
	h.t.Helper()
	if err := h.Daemon.keep(h.t.Context(), h.set().sources[0], round); err != nil {
		h.t.Fatal(err)
	}
}

// gaps returns the gaps of the routes that have one.
func (h *house) gaps() string {
	h.t.Helper()
	var list []string
	for _, r := range h.set().routes {
		known, err := h.state.Route(h.t.Context(), state.Slice{Route: r.id})
		if err != nil {
			h.t.Fatal(err)
		}
		if known.GapTo > 0 {
			list = append(list, fmt.Sprintf("%s %d-%d", r.id, known.GapFrom, known.GapTo))
		}
	}
	return strings.Join(list, ", ")
}

func (h *house) want(first syncline.Seq, gaps string) {
	h.t.Helper()
	b, err := h.log.Bounds(h.t.Context())
	if err != nil || b.First != first || h.gaps() != gaps {
		h.t.Errorf("the log begins at %d (%v), gaps %q, want %d and %q", b.First, err, h.gaps(), first, gaps)
	}
}

func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	tick, deadline := time.NewTicker(5*time.Millisecond), time.After(2*time.Minute)
	defer tick.Stop()
	for !check() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal(what)
		}
	}
}
