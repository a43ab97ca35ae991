package capture

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline"
	"syncline/internal/memlog"
	"syncline/internal/memsource"
	"syncline/internal/state"
)

// memory is a state store for runs that is not slowed down by a disk.
type memory map[string]state.RunRow

func (m memory) AddSync(_ context.Context, r state.RunRow) error {
	if _, known := m[r.ID]; !known {
		r.Status = state.RunRequested
		m[r.ID] = r
	}
	return nil
}

func (m memory) SteerRun(_ context.Context, id string, s state.Steering) error {
	r := m[id]
	r.Steering = s
	m[id] = r
	return nil
}

func (m memory) OpenRuns(context.Context, string) (open []state.RunRow, err error) {
	for _, r := range m {
		if r.Status != state.RunDone {
			open = append(open, r)
		}
	}
	return open, nil
}

func (m memory) UpdateRun(_ context.Context, r state.RunRow) error {
	m[r.ID] = r
	return nil
}

// TestACrashAfterAnyMoveLosesAndRepeatsNothing: the process dies after each of the first moves, and later ones.
func TestACrashAfterAnyMoveLosesAndRepeatsNothing(t *testing.T) {
	died := 0
	for at := 0; ; at++ {
		logs := memlog.New(memlog.Options{})
		s := system(9)
		s.Advance(4) // for the first copy
		moves, runs := 0, make(memory)
		live := func(until int) (over bool) {
			var source *memsource.Source
			c := New(Options{Source: "crm", Log: logs.Log("crm"), Runs: runs, Limits: Limits{Events: 3}, Open: func() (syncline.Source, error) {
				source = memsource.New(memsource.Options{Name: "crm", System: s, Snapshot: []string{"customer"}, MaxEvents: 1, ChunkRows: 2})
				return source, nil
			}})
			for ; moves < until; moves++ {
				if c.Wants() && source != nil && moves%3 != 0 {
					b, ok, err := source.TryNext()
					if ok || err != nil {
						c.Take(b, err)
						continue
					}
					s.Advance(1)
				}
				did, err := c.Step(t.Context())
				if err != nil {
					t.Fatalf("crash after %d: halted: %v", at, err)
				}
				if !did && s.Confirmed().Commit == 9 && source != nil && !pending(c) {
					return true
				}
			}
			return false
		}
		if live(at) {
			break
		}
		died++
		logs.Crash()
		if moves = 0; !live(1000) {
			t.Fatalf("crash after %d: it does not come to an end", at)
		}
		wantOnce(t, logs.Log("crm"), 5, 9)
		if len(runs) != 1 || runs["snapshot-customer"].Status != state.RunDone || runs["snapshot-customer"].Rows != 4 {
			t.Errorf("crash after %d: runs = %+v, want the copy done, of 4 rows", at, runs)
		}
	}
	if died < 20 {
		t.Errorf("only %d crashes", died)
	}
}

func pending(c *Capture) bool {
	return c.m.inflight != nil || len(c.m.waiting) > 0 || c.Status().Runs > 0
}

// wantOnce sees that the log's stream has one event of each commit from first to last, in order, and one whole copy.
func wantOnce(t *testing.T, log *memlog.Log, first, last uint64) {
	t.Helper()
	r, err := log.Reader(1)
	if err != nil {
		t.Fatal(err)
	}
	var commits []uint64
	ends := 0
	for {
		e, ok, err := r.TryNext()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		b, err := syncline.DecodeBatch(e.Data)
		if err != nil {
			t.Fatal(err)
		}
		if b.Chunk != nil {
			if b.Chunk.Last {
				ends++
			}
			continue
		}
		for i := range b.Events {
			commits = append(commits, b.PositionOf(i).Commit)
		}
	}
	var want []uint64
	for n := first; n <= last; n++ {
		want = append(want, n)
	}
	if diff := cmp.Diff(want, commits); diff != "" || ends != 1 {
		t.Errorf("the log has %d ends of a copy, and commits (-want +got):\n%s", ends, diff)
	}
}

// TestAFinishedRunIsNotForgotten: the process dies when the last chunk of a run is in the log and the state store has not heard of
// it. Nobody would ever say so again.
func TestAFinishedRunIsNotForgotten(t *testing.T) {
	log := memlog.New(memlog.Options{}).Log("crm")
	s := system(3)
	s.Advance(3)
	var source *memsource.Source
	first := newCapture(t, log, s)
	first.o.Open = func() (syncline.Source, error) {
		source = memsource.New(memsource.Options{Name: "crm", System: s, Snapshot: []string{"customer"}, ChunkRows: 100})
		return source, nil
	}
	for first.m.inflight == nil || first.m.stage != stageRecord {
		if _, err := first.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
		if first.Wants() {
			if b, ok, err := source.TryNext(); ok || err != nil {
				first.Take(b, err)
			}
		}
	}
	second := newCapture(t, log, s)
	second.o.Runs = first.o.Runs
	if _, err := second.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	runs, err := first.o.Runs.(*state.Store).Runs(t.Context(), "crm", 10)
	if err != nil || len(runs) != 1 || runs[0].Status != state.RunDone || runs[0].Rows != 3 || second.Status().Runs != 0 {
		t.Errorf("Runs = %+v, %v, and %d open, want one that is done, of 3 rows", runs, err, second.Status().Runs)
	}
}

// requesting is a state store in which a run is requested just after the open runs were read.
type requesting struct {
	memory
	request func()
}

func (r *requesting) OpenRuns(ctx context.Context, source string) ([]state.RunRow, error) {
	open, err := r.memory.OpenRuns(ctx, source)
	if r.request != nil {
		r.request()
	}
	return open, err
}

func TestARunRequestedWhileTheSourceOpensIsStarted(t *testing.T) {
	runs := &requesting{memory: make(memory)}
	c := New(Options{Source: "crm", Log: memlog.New(memlog.Options{}).Log("crm"), Runs: runs, Open: func() (syncline.Source, error) {
		return memsource.New(memsource.Options{Name: "crm", System: system(0)}), nil
	}})
	runs.request = func() {
		if err := c.RequestRun(t.Context(), syncline.Run{ID: "r", Kind: syncline.RunFull, Entity: "customer"}); err != nil {
			t.Error(err)
		}
	}
	if _, err := c.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := c.Status().Runs; n != 1 {
		t.Errorf("the source works on %d runs, want 1", n)
	}
}
