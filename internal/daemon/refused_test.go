package daemon

import (
	"context"
	"sync/atomic"
	"testing"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/capture"
	"syncline/internal/config"
	"syncline/internal/memsource"
	"syncline/internal/memtarget"
	"syncline/internal/state"
)

// unwilling is a source that does no runs.
type unwilling struct{ *memsource.Source }

func (unwilling) StartRun(r syncline.Run) error {
	return syncline.Errorf(syncline.Rejected, "entity_unknown", "no entity %s", r.Entity)
}

// TestTasksFailWhenTheSourceRefusesToReadForThem, although it was not open when their route asked.
func TestTasksFailWhenTheSourceRefusesToReadForThem(t *testing.T) {
	h := newHouse(t, config.Log{})
	s := h.set().sources[0]
	var down atomic.Bool
	down.Store(true)
	db := memsource.NewSystem("db")
	s.capture = capture.New(capture.Options{Source: "crm", Log: h.log, Runs: h.state, Refused: h.refused, Open: func() (syncline.Source, error) {
		if down.Load() {
			return nil, syncline.Errorf(syncline.Transient, "down", "the source is down")
		}
		return unwilling{memsource.New(memsource.Options{Name: "crm", System: db})}, nil
	}})
	schema := &syncline.Schema{Entity: "customer", Key: []int{0}, Version: -1, Columns: []syncline.Column{
		{Name: "id", Kind: syncline.KindInt}, {Name: "notes", Kind: syncline.KindText}}}
	partial := syncline.Event{Op: syncline.OpUpdated, Schema: schema, After: []syncline.Value{syncline.Int(1), syncline.Unset}}
	_, err := h.log.Append(t.Context(), &syncline.Batch{Source: "crm", Position: syncline.Position{Epoch: 1}, Txns: []syncline.Txn{{}}, Events: []syncline.Event{partial}})
	if err != nil {
		t.Fatal(err)
	}
	target := memtarget.NewStore()
	r := &route{id: "r", source: s}
	r.apply, err = apply.New(apply.Options{ID: "r", Source: "crm", Signature: "1", Start: apply.StartEarliest, Log: h.log, State: h.state,
		Rules: []apply.Rule{{ID: "r", Entity: "customer", Object: "dim", Create: true, Bind: func(s *syncline.Schema) (*apply.Binding, error) {
			return &apply.Binding{Out: s}, nil
		}}},
		Open:       func(context.Context) (syncline.Target, error) { return target.Open(memtarget.Options{Route: "r"}), nil },
		RequestRun: s.capture.RequestRun})
	if err != nil {
		t.Fatal(err)
	}
	h.set().routes = append(h.set().routes, r)
	if err := r.apply.Prepare(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{}, 3) // one word of each of the three
	t.Cleanup(func() {
		stop()
		for range cap(done) {
			<-done
		}
	})
	for _, work := range []func(){
		func() { _ = r.apply.Run(ctx, ctx) }, func() { _ = s.capture.Run(ctx, ctx) }, func() { h.tellRefused(ctx) },
	} {
		go func() {
			work()
			done <- struct{}{}
		}()
	}
	is := func(status, code string) func() bool {
		return func() bool {
			list, err := h.state.Pending(t.Context(), state.Slice{Route: "r"})
			return err == nil && len(list) == 1 && list[0].Status == status && list[0].Code == code
		}
	}
	eventually(t, "the task does not wait for its record", is(state.StatusReading, "row_missing"))
	down.Store(false)
	s.capture.Resume()
	eventually(t, "the task does not fail", is(state.StatusFailed, "entity_unknown"))
}
