package capture

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"syncline"
	"syncline/internal/memlog"
	"syncline/internal/memsource"
	"syncline/internal/state"
)

// TestARunThatIsRefusedHasFailed: the source is not asked for it again, by whoever and however often it is opened.
func TestARunThatIsRefusedHasFailed(t *testing.T) {
	db := system(3)
	c := newCapture(t, memlog.New(memlog.Options{}).Log("crm"), db)
	bad := syncline.Run{ID: "bad", Kind: syncline.RunKeys, Entity: "customer", Keys: []syncline.Key{"1,2"}}
	store := c.o.Runs.(*state.Store)
	early := bad
	early.ID = "early"
	run(t, c)
	change(t, c, db, 3)
	if err := c.RequestRun(t.Context(), bad); syncline.CodeOf(err) != "bad_key" {
		t.Errorf("RequestRun of a key with too many parts = %v, want bad_key", err)
	}
	if err := store.AddRun(t.Context(), "crm", early); err != nil { // as if it had been asked for while the source was not open
		t.Fatal(err)
	}
	if err := c.startRuns(t.Context(), &syncline.Batch{}); err != nil {
		t.Fatal(err)
	}
	rows, err := store.Runs(t.Context(), "crm", 10)
	if err != nil {
		t.Fatal(err)
	}
	failed := 0
	for _, r := range rows {
		if r.Status == state.RunFailed && strings.HasPrefix(r.Error, "bad_key: ") {
			failed++
		}
	}
	if open, err := store.OpenRuns(t.Context(), "crm"); failed != 2 || len(open) != 0 || err != nil {
		t.Errorf("runs = %+v, open %+v, %v, want the two refused ones to have failed", rows, open, err)
	}
}

// TestWhoeverHasGoneOnIsToldOfARefusedRun: the source was not open when it was asked for.
func TestWhoeverHasGoneOnIsToldOfARefusedRun(t *testing.T) {
	db := system(3)
	c := newCapture(t, memlog.New(memlog.Options{}).Log("crm"), db)
	told := make(chan syncline.Run, 2) // by the capture, of both runs at the most
	c.o.Refused = func(r syncline.Run, err error) {
		if syncline.CodeOf(err) != "bad_key" {
			t.Errorf("run %s was refused with %v, want bad_key", r.ID, err)
		}
		told <- r
	}
	db.Advance(3)
	bad := syncline.Run{ID: "bad", Kind: syncline.RunKeys, Entity: "customer", Keys: []syncline.Key{"1,2"}, Routes: []string{"r"}}
	good := bad
	good.ID, good.Keys = "good", []syncline.Key{"1"}
	for _, r := range []syncline.Run{bad, good} {
		if err := c.RequestRun(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	run(t, c)
	if r := <-told; r.ID != "bad" || !slices.Equal(r.Routes, bad.Routes) {
		t.Errorf("told of %+v, want %+v", r, bad)
	}
	noneOpen(t, c)
	if err := c.RequestRun(t.Context(), bad); syncline.CodeOf(err) != "bad_key" {
		t.Errorf("RequestRun of what was refused before = %v, want bad_key again", err)
	}
	if len(told) > 0 {
		t.Error("told of a run whose requester has the answer, or of a good one")
	}
}

func noneOpen(t *testing.T, c *Capture) {
	t.Helper()
	eventually(t, "runs are not done", func() bool {
		open, err := c.o.Runs.(*state.Store).OpenRuns(t.Context(), "crm")
		return err == nil && len(open) == 0
	})
}

// narrow is a source that takes one run at a time.
type narrow struct {
	*memsource.Source
	mu      sync.Mutex
	busy    bool
	known   map[string]bool
	refused int
}

func (n *narrow) StartRun(r syncline.Run) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known[r.ID] {
		return nil
	}
	if n.busy {
		n.refused++
		return syncline.Errorf(syncline.Transient, "runs_exhausted", "one waits already")
	}
	n.busy, n.known[r.ID] = true, true
	return n.Source.StartRun(r)
}

func (n *narrow) Next(ctx context.Context) (*syncline.Batch, error) {
	b, err := n.Source.Next(ctx)
	if err == nil && b.Chunk != nil && b.Chunk.Last {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.busy = false
	}
	return b, err
}

// TestRunsThatTheSourceCannotTakeYetAreHandedOverLater, each once.
func TestRunsThatTheSourceCannotTakeYetAreHandedOverLater(t *testing.T) {
	db := system(3)
	log := memlog.New(memlog.Options{}).Log("crm")
	c := newCapture(t, log, db)
	source := &narrow{Source: memsource.New(memsource.Options{Name: "crm", System: db}), known: make(map[string]bool)}
	c.o.Open = func() (syncline.Source, error) { return source, nil }
	db.Advance(3)
	request := func(id string) {
		t.Helper()
		err := c.RequestRun(t.Context(), syncline.Run{ID: id, Kind: syncline.RunKeys, Entity: "customer", Keys: []syncline.Key{"1"}})
		if err != nil {
			t.Errorf("RequestRun = %v, want it to be taken note of", err)
		}
	}
	want := []string{"a", "b", "c", "d", "e"}
	for _, id := range want[:3] {
		request(id)
	}
	run(t, c)
	eventually(t, "the source is not open", func() bool { return c.Status().Seq > 0 })
	for _, id := range []string{"d", "d", "e"} {
		request(id)
	}
	noneOpen(t, c)
	if source.refused == 0 {
		t.Error("the source took all of them at once")
	}
	if got := runsIn(t, log); !slices.Equal(slices.Sorted(slices.Values(got)), want) {
		t.Errorf("runs in the log: %q, want %q", got, want)
	}
}

// runsIn returns the runs that have ended in the log, in order.
func runsIn(t *testing.T, log *memlog.Log) (ids []string) {
	t.Helper()
	r, err := log.Reader(1)
	if err != nil {
		t.Fatal(err)
	}
	for {
		e, ok, err := r.TryNext()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return ids
		}
		b, err := syncline.DecodeBatch(e.Data)
		if err != nil {
			t.Fatal(err)
		}
		if b.Chunk != nil && b.Chunk.Last {
			ids = append(ids, b.Chunk.Run)
		}
	}
}
