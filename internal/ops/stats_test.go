package ops

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline/internal/state"
)

func TestStatsAddUp(t *testing.T) {
	one := &state.Stats{Journal: state.Counts{Read: 20, Applied: 10, Filtered: 3, Superseded: 1, Skipped: 1, Parked: 5}, ExecutionSum: 20 * time.Second,
		Parked: []state.ParkedCount{{Status: state.TaskFailed, Tasks: 2}, {Status: state.TaskPending, Reason: "held", Tasks: 1}, {Status: state.TaskConflict, Tasks: 1}}}
	one.Execution.Observe(time.Second, 20)
	sum := NewSummary(noon, noon.Add(time.Hour))
	sum.Add(one)
	sum.Add(&state.Stats{Since: noon.Add(time.Minute), Trimmed: true, Parked: []state.ParkedCount{{Status: state.TaskCancelled, Tasks: 1}}})
	sum.Add(&state.Stats{Since: noon.Add(time.Minute / 2)})
	got := sum.Stats()
	since, success, failure, conflict := noon.Add(time.Minute), 16.0/20, 2.0/20, 1.0/20
	want := Stats{From: noon, To: noon.Add(time.Hour), Since: &since, Read: 21,
		Totals:    StatusTotals{Pending: 1, Completed: 16, Failed: 2, Conflict: 1, Cancelled: 1},
		Completed: CompletedTotals{Applied: 10, Superseded: 2, Filtered: 3, Skipped: 1}, Pending: PendingTotals{Held: 1},
		SuccessRate: &success, FailureRate: &failure, ConflictRate: &conflict, Execution: got.Execution}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("statistics (-want +got):\n%s", diff)
	}
	if e := got.Execution; e.Tasks != 20 || *e.Mean != 1 || *e.P50 < 1 || *e.P99 > 1.13 {
		t.Errorf("execution = %d tasks, mean %v, p50 %v, p99 %v, want 20 of a second", e.Tasks, *e.Mean, *e.P50, *e.P99)
	}
	if none := NewSummary(noon, noon).Stats(); none.SuccessRate != nil || none.FailureRate != nil || none.ConflictRate != nil || none.Execution.P95 != nil {
		t.Errorf("statistics of nothing = %+v, want no rates and no times", none)
	}
}

func TestStatsOfADayUnlessAsked(t *testing.T) {
	f := &fake{}
	c, _ := serve(t, f)
	asked := StatsQuery{Route: "o", Rule: "r", Source: "s", Target: "t", From: noon, To: noon.Add(time.Microsecond)}
	_, err := c.Stats(t.Context(), asked)
	must(t, err)
	if diff := cmp.Diff(asked, f.statsQuery); diff != "" {
		t.Errorf("asked of the engine (-want +got):\n%s", diff)
	}
	_, err = c.Stats(t.Context(), StatsQuery{})
	must(t, err)
	if q := f.statsQuery; q.To.Sub(q.From) != 24*time.Hour || time.Since(q.To) > time.Minute {
		t.Errorf("without a time: from %v to %v, want the last 24 hours", q.From, q.To)
	}
	_, err = c.Stats(t.Context(), StatsQuery{From: noon, To: noon})
	problemIn(t, err, 422, "range_invalid", 1)
}
