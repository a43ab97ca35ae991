package ops

import (
	"context"
	"time"

	"syncline/internal/state"
)

// StatsQuery chooses what is summed up.
type StatsQuery struct {
	Route  string    `query:"route"`
	Rule   string    `query:"rule"`
	Source string    `query:"source" doc:"The system that the events come from."`
	Target string    `query:"target" doc:"The system that is written to."`
	From   time.Time `query:"from" doc:"Only tasks that a route came to at this time or after; without it, a day before to."`
	To     time.Time `query:"to" doc:"Only tasks that a route came to before this time; without it, now."`
}

func (q *StatsQuery) choice() Choice {
	return Choice{Route: q.Route, Rule: q.Rule, Source: q.Source, Target: q.Target}
}

// Stats sums up the tasks that routes came to in a stretch of time, as they are now.
type Stats struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// Since is set where the journal does not go back to From any more.
	Since *time.Time `json:"since,omitempty" doc:"Set where the journal does not go back to from any more: what is summed up begins here."`
	Read  int64      `json:"read" doc:"All tasks: the sum of totals."`

	Totals    StatusTotals    `json:"totals"`
	Completed CompletedTotals `json:"completed"`
	Pending   PendingTotals   `json:"pending"`

	// The rates are shares of what is completed, failed, in conflict or cancelled; nil where nothing is.
	SuccessRate  *float64 `json:"success_rate" doc:"Completed tasks, of those that are completed, failed, in conflict or cancelled; null where there are none."`
	FailureRate  *float64 `json:"failure_rate" doc:"Failed tasks, of the same; null where there are none."`
	ConflictRate *float64 `json:"conflict_rate" doc:"Tasks in conflict, of the same; null where there are none."`

	Execution Times `json:"execution" doc:"How long the batches of the tasks took."`
	EndToEnd  Times `json:"end_to_end" doc:"From the source's commit to the target's, but for records that were read by a copy."`
}

// StatusTotals are numbers of tasks by status.
type StatusTotals struct {
	Pending   int64 `json:"pending" doc:"Waiting again after their route came to them. Those that no route has come to are lag."`
	Completed int64 `json:"completed"`
	Failed    int64 `json:"failed"`
	Conflict  int64 `json:"conflict"`
	Cancelled int64 `json:"cancelled"`
}

// CompletedTotals are the parts of the completed.
type CompletedTotals struct {
	Applied    int64 `json:"applied"`
	Superseded int64 `json:"superseded"`
	Filtered   int64 `json:"filtered"`
	Skipped    int64 `json:"skipped"`
}

// PendingTotals are the parts of the pending.
type PendingTotals struct {
	Retrying int64 `json:"retrying"`
	Held     int64 `json:"held"`
	Reading  int64 `json:"reading"`
}

// Times are durations of tasks, in seconds. A quantile is at most an eighth above the truth; the mean is exact. Nil where there are none.
type Times struct {
	Tasks int64    `json:"tasks" doc:"How many tasks have a time."`
	Mean  *float64 `json:"mean_seconds"`
	P50   *float64 `json:"p50_seconds"`
	P95   *float64 `json:"p95_seconds"`
	P99   *float64 `json:"p99_seconds"`
}

// Summary adds statistics of slices up.
type Summary struct {
	stats               Stats
	execution, endToEnd state.Histogram
	executionSum        time.Duration
	endToEndSum         time.Duration
}

// NewSummary returns a summary of a stretch of time.
func NewSummary(from, to time.Time) *Summary { return &Summary{stats: Stats{From: from, To: to}} }

// Add adds a slice.
func (s *Summary) Add(one *state.Stats) {
	if one.Trimmed && one.Since.After(s.stats.From) && (s.stats.Since == nil || one.Since.After(*s.stats.Since)) {
		since := one.Since
		s.stats.Since = &since
	}
	j := one.Journal
	for o, n := range map[state.Outcome]int64{state.Applied: j.Applied, state.Superseded: j.Superseded, state.Filtered: j.Filtered, state.Skipped: j.Skipped} {
		status, reason := o.Public()
		s.count(status, reason, n)
	}
	// What was parked says itself how it is now. Rows that are gone were taken over by another route.
	gone := j.Parked
	for _, p := range one.Parked {
		s.count(p.Status, p.Reason, p.Tasks)
		gone -= p.Tasks
	}
	if gone > 0 {
		s.count(state.TaskCompleted, state.Superseded.String(), gone)
	}
	s.execution.Add(&one.Execution)
	s.endToEnd.Add(&one.EndToEnd)
	s.executionSum += one.ExecutionSum
	s.endToEndSum += one.EndToEndSum
}

func (s *Summary) count(status state.TaskStatus, reason string, n int64) {
	st := &s.stats
	st.Read += n
	switch status {
	case state.TaskPending:
		st.Totals.Pending += n
	case state.TaskFailed:
		st.Totals.Failed += n
	case state.TaskConflict:
		st.Totals.Conflict += n
	case state.TaskCancelled:
		st.Totals.Cancelled += n
	case state.TaskCompleted:
		st.Totals.Completed += n
		if reason == "" {
			st.Completed.Applied += n
		}
	}
	switch reason {
	case state.StatusRetrying:
		st.Pending.Retrying += n
	case state.StatusHeld:
		st.Pending.Held += n
	case state.StatusReading:
		st.Pending.Reading += n
	case state.Superseded.String():
		st.Completed.Superseded += n
	case state.Filtered.String():
		st.Completed.Filtered += n
	case state.Skipped.String():
		st.Completed.Skipped += n
	}
}

// Stats returns the sums, the rates and the times.
func (s *Summary) Stats() Stats {
	st := s.stats
	t := &st.Totals
	if over := t.Completed + t.Failed + t.Conflict + t.Cancelled; over > 0 {
		share := func(n int64) *float64 {
			rate := float64(n) / float64(over)
			return &rate
		}
		st.SuccessRate, st.FailureRate, st.ConflictRate = share(t.Completed), share(t.Failed), share(t.Conflict)
	}
	st.Execution, st.EndToEnd = times(&s.execution, s.executionSum), times(&s.endToEnd, s.endToEndSum)
	return st
}

func times(h *state.Histogram, sum time.Duration) Times {
	t := Times{Tasks: h.Count()}
	if t.Tasks == 0 {
		return t
	}
	seconds := func(d time.Duration) *float64 {
		s := d.Seconds()
		return &s
	}
	t.Mean = seconds(sum / time.Duration(t.Tasks))
	t.P50, t.P95, t.P99 = seconds(h.Quantile(0.5)), seconds(h.Quantile(0.95)), seconds(h.Quantile(0.99))
	return t
}

const statsSpan = 24 * time.Hour

func (a *api) stats(ctx context.Context, q *StatsQuery) (*reply[Stats], error) {
	if q.To.IsZero() {
		q.To = time.Now()
	}
	if q.From.IsZero() {
		q.From = q.To.Add(-statsSpan)
	}
	if err := stretch(q.From, q.To); err != nil {
		return answer(ctx, a, Stats{}, err)
	}
	st, err := a.engine.Stats(ctx, *q)
	return answer(ctx, a, st, err)
}
