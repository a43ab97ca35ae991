package state

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// Stats sums up what a slice read in a stretch of time.
type Stats struct {
	// Journal counts the tasks as their batches left them: Parked says nothing of what became of them.
	Journal Counts
	// Parked counts the tasks that were parked then as they are now, by rule, status and outcome.
	Parked []ParkedCount
	// Execution is how long the batches of the tasks took, EndToEnd how long it was from the source's commit to the target's; the sums
	// are exact.
	Execution, EndToEnd       Histogram
	ExecutionSum, EndToEndSum time.Duration
	// Since is the end of the oldest batch that the journal still has; zero = it has none. Trimmed: it had older ones.
	Since   time.Time
	Trimmed bool
}

// ParkedCount is a number of tasks that are not simply done.
type ParkedCount struct {
	Rule   string
	Status TaskStatus
	Reason string
	Tasks  int64
}

var errEnough = errors.New("enough")

// Stats sums up the slice's batches that ended at or after from and before to. Wants chooses rules; times are those of whole batches,
// which all rules of a route share.
func (s *Store) Stats(ctx context.Context, sl Slice, from, to time.Time, wants func(rule string) bool) (*Stats, error) {
	st := &Stats{}
	r, err := s.route(ctx, sl)
	if err != nil {
		return nil, err
	}
	st.Trimmed = r.folded != place{}
	err = s.read(ctx, "read the oldest batch", func(rows *sql.Rows) error {
		var ended int64
		err := rows.Scan(&ended)
		st.Since = fromMicros(ended)
		return err
	}, sqlOldestBatch, sl.Route, sl.Slice)
	if err != nil {
		return nil, err
	}
	if st.Trimmed && st.Since.IsZero() {
		st.Since = r.Updated
	}
	first, err := s.firstBatch(ctx, sl, micros(from))
	if err != nil {
		return nil, err
	}
	err = s.read(ctx, "sum up the journal", func(rows *sql.Rows) error {
		j, err := scanJournal(rows)
		if err != nil {
			return err
		}
		if !j.End.Before(to) {
			return errEnough
		}
		if j.End.Before(from) {
			return nil
		}
		counts := j.Counts
		if len(j.Rules) > 0 { // else it was written before rules were counted
			counts = Counts{}
			for i := range j.Rules {
				if wants(j.Rules[i].Rule) {
					counts.add(j.Rules[i].Counts, 1)
				}
			}
		}
		if counts.Read == 0 {
			return nil
		}
		st.Journal.add(counts, 1)
		took := max(j.End.Sub(j.Start), 0)
		st.Execution.Observe(took, counts.Read)
		st.ExecutionSum += took * time.Duration(counts.Read)
		st.EndToEnd.Add(&j.Latency)
		st.EndToEndSum += j.LatencySum
		return nil
	}, sqlBatchesFrom, sl.Route, sl.Slice, first)
	if err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	err = s.read(ctx, "count tasks", func(rows *sql.Rows) error {
		var c ParkedCount
		var stored string
		var o Outcome
		if err := rows.Scan(&c.Rule, &stored, &o, &c.Tasks); err != nil {
			return err
		}
		if c.Status, c.Reason = publicStatus(stored, o); wants(c.Rule) {
			st.Parked = append(st.Parked, c)
		}
		return nil
	}, sqlCountTasks, sl.Route, sl.Slice, micros(from), micros(to))
	return st, err
}

// firstBatch returns a place in the journal before which every batch ended before from. Batches end in the order of what they read, so
// that it is found by halves.
func (s *Store) firstBatch(ctx context.Context, sl Slice, from int64) (int64, error) {
	var low, high int64
	err := s.read(ctx, "read the journal's bounds", func(rows *sql.Rows) error { return rows.Scan(&low, &high) },
		sqlJournalBounds, sl.Route, sl.Slice)
	for low < high && err == nil {
		middle := low + (high-low)/2
		seq, ended := high+1, from
		err = s.read(ctx, "look into the journal", func(rows *sql.Rows) error { return rows.Scan(&seq, &ended) },
			sqlBatchAt, sl.Route, sl.Slice, middle)
		if ended < from {
			low = seq + 1
		} else {
			high = middle
		}
	}
	return low, err
}
