package capture

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"syncline"
	"syncline/internal/memlog"
	"syncline/internal/memsource"
	"syncline/internal/state"
)

var schema = &syncline.Schema{Entity: "customer", Key: []int{0}, Version: -1, Columns: []syncline.Column{{Name: "id", Kind: syncline.KindInt}}}

// refusing is a log that refuses batches with events.
type refusing struct{ *memlog.Log }

func (l refusing) Append(ctx context.Context, b *syncline.Batch) (syncline.Seq, error) {
	if len(b.Events) > 0 {
		return 0, syncline.Errorf(syncline.Rejected, "log_batch_too_large", "too large")
	}
	return l.Log.Append(ctx, b)
}

func newCapture(t *testing.T, log syncline.Log, system *memsource.System) *Capture {
	t.Helper()
	runs, err := state.Open(t.Context(), state.Options{Path: filepath.Join(t.TempDir(), "state.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = runs.Close() })
	return New(Options{Source: "crm", Log: log, Runs: runs, Open: func() (syncline.Source, error) {
		return memsource.New(memsource.Options{Name: "crm", System: system, Snapshot: []string{"customer"}}), nil
	}})
}

// run captures in the background until the test ends.
func run(t *testing.T, c *Capture) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1) // the goroutine's one word
	go func() { done <- c.Run(ctx, context.WithoutCancel(ctx)) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	tick, deadline := time.NewTicker(time.Millisecond), time.After(20*time.Second)
	defer tick.Stop()
	for !check() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal(what)
		}
	}
}

func system(txns int) *memsource.System {
	s := memsource.NewSystem("db")
	for i := range txns {
		s.Append(memsource.Txn{Changes: []memsource.Change{{Op: syncline.OpCreated, Schema: schema, After: []syncline.Value{syncline.Int(int64(i))}}}})
	}
	return s
}

func TestOnlyWhatIsInTheLogIsConfirmed(t *testing.T) {
	log := memlog.New(memlog.Options{}).Log("crm")
	log.FailNext(0, memlog.FaultFull, memlog.FaultLost, memlog.FaultAnswerLost)
	s := system(3)
	c := newCapture(t, log, s)
	run(t, c)
	s.Advance(3)
	eventually(t, "three events were not captured", func() bool { return c.Status().Events >= 3 })
	bounds, err := log.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if st := c.Status(); st.Seq != bounds.Last || s.Confirmed().Compare(st.Position) > 0 {
		t.Errorf("status = %+v, log ends at %d, confirmed is %s", st, bounds.Last, s.Confirmed())
	}
}

func TestABatchThatTheLogRefusesHaltsTheSource(t *testing.T) {
	s := system(1)
	c := newCapture(t, refusing{memlog.New(memlog.Options{}).Log("crm")}, s)
	run(t, c)
	eventually(t, "the capture did not begin", func() bool { return c.Status().Seq > 0 })
	s.Advance(1)
	eventually(t, "the capture did not halt", func() bool { return c.Status().State == StateHalted })
	if err := c.Status().Err; syncline.CodeOf(err) != "log_batch_too_large" {
		t.Errorf("halted by %v, want log_batch_too_large", err)
	}
	if p := s.Confirmed(); p.Ordinal > 0 {
		t.Errorf("%s is confirmed, and is not in the log", p)
	}
}

func TestASourceThatGoesBackHaltsBeforeAnythingIsStored(t *testing.T) {
	log := memlog.New(memlog.Options{}).Log("crm")
	c := newCapture(t, log, system(0))
	session, err := c.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	at := func(commit uint64) *syncline.Batch {
		return &syncline.Batch{Position: syncline.Position{Epoch: 1, Commit: commit}, Checkpoint: []byte("x")}
	}
	if err := session.Store(t.Context(), t.Context(), at(9)); err != nil {
		t.Fatal(err)
	}
	err = session.Store(t.Context(), t.Context(), at(8))
	var e *syncline.Error
	if !errors.As(err, &e) || e.Code != "position_backwards" || e.Class != syncline.Fatal {
		t.Errorf("Store = %v, want a fatal position_backwards", err)
	}
	if b, err := log.Bounds(t.Context()); err != nil || b.Last != 1 {
		t.Errorf("the log ends at %d, %v, want 1", b.Last, err)
	}
}
