package state

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"syncline"
)

// Journal is the row of one committed batch.
type Journal struct {
	// From and To bound what was read; the epoch of To is the owner.
	From, To    syncline.Cursor
	RuleVersion string
	Start, End  time.Time
	// Counts says what became of the tasks. Parked is the number of tasks that the commit parks.
	Counts Counts
	// Outcomes has the code of each task, in order, made by AppendOutcomes.
	Outcomes []byte
	// Rules are the counts of each rule that has any.
	Rules []RuleCounts
	// Latency is from the source's commit to the target's, per event; LatencySum adds it up.
	Latency    Histogram
	LatencySum time.Duration
}

// Commit is what a slice did in one batch, or between batches to its tasks.
type Commit struct {
	Slice Slice
	// Journal is nil where no event was read.
	Journal *Journal
	// Park are the tasks of this batch that wait. Each belongs to an event inside the journal's range.
	Park []Exception
	// Ahead are tasks beyond the journal's range that were done with it.
	Ahead []Ahead
	// Update are tasks parked earlier, as they are now; a nil Record keeps the one that is stored.
	Update []Exception
	// Conflicts are those of the tasks in the journal's range and in Update.
	Conflicts []Conflict
	// Cursor is where the slice stands afterwards; without a Log it stays where it is, or goes to the journal's end.
	Cursor syncline.Cursor
	// Settled is what the target is known to have reached when the commit is made; 0 = nothing new. It is not the cursor before: a
	// route passes entries that do not concern it, and a target refuses batches, without storing where it stands.
	Settled syncline.Seq
}

// Commit writes all of c or nothing, and returns once it is on disk. Callers of the same moment share one transaction.
// Repeating a Commit changes nothing: a journal that begins where another one did, or before, takes the place of
// everything from there on.
//
// It refuses with a fatal error an owner that was replaced ("fenced"), a slice that was never placed ("route_unknown"),
// another log ("log_changed"), a cursor that would go back ("cursor_backwards"), events that Trim has folded
// ("journal_trimmed") and counts that lose or invent a task ("counts_unbalanced").
func (s *Store) Commit(ctx context.Context, c Commit) error {
	if err := c.check(); err != nil {
		return err
	}
	err := s.write(ctx, "commit "+c.Slice.String(), func(ctx context.Context, w *writer) error {
		r, err := w.route(ctx, c.Slice)
		if err != nil {
			return err
		}
		if !r.Known {
			return routeUnknown(c.Slice)
		}
		if c.Journal != nil {
			if err := w.addJournal(ctx, r, c.Journal); err != nil {
				return err
			}
		}
		for i := range c.Ahead {
			if err := w.addAhead(ctx, c.Slice, &c.Ahead[i], placeOf(c.end())); err != nil {
				return err
			}
		}
		for i := range c.Park {
			if err := w.park(ctx, c.Slice, &c.Park[i]); err != nil {
				return err
			}
		}
		for i := range c.Conflicts {
			if err := w.conflict(ctx, c.Slice, &c.Conflicts[i]); err != nil {
				return err
			}
		}
		for i := range c.Update {
			if err := w.changeTask(ctx, r, &c.Update[i]); err != nil {
				return err
			}
		}
		if to := c.end(); to.Log != "" {
			if err := followsCursor(c.Slice, r.Cursor, to); err != nil {
				return err
			}
			r.Cursor = to
		}
		r.Settled = max(r.Settled, c.Settled)
		return w.moveRoute(ctx, r)
	})
	if err == nil {
		s.publish(c.Slice.Route, c.Journal)
	}
	return err
}

func (c *Commit) end() syncline.Cursor {
	if c.Cursor.Log == "" && c.Journal != nil {
		return c.Journal.To
	}
	return c.Cursor
}

// check finds what no repetition will mend.
func (c *Commit) check() error {
	bad := func(format string, args ...any) error {
		return syncline.Errorf(syncline.Fatal, "counts_unbalanced", "commit of route %s: %s", c.Slice, fmt.Sprintf(format, args...))
	}
	j := c.Journal
	if j == nil {
		if n := len(c.Park) + len(c.Ahead); n > 0 {
			return bad("it has %d tasks and no journal", n)
		}
		return nil
	}
	switch {
	case j.To.Before(j.From) || j.To.Log != j.From.Log || c.end().Before(j.To) || c.end().Log != j.To.Log:
		return syncline.Errorf(syncline.Fatal, "cursor_backwards", "commit of route %s: it reads from %d.%d to %d.%d and ends at %d.%d",
			c.Slice, j.From.Seq, j.From.Index, j.To.Seq, j.To.Index, c.end().Seq, c.end().Index)
	case !j.Counts.Balanced():
		return bad("%d tasks were read, the outcomes are %+v", j.Counts.Read, j.Counts)
	case j.Counts.Parked != int64(len(c.Park)):
		return bad("the journal counts %d parked tasks, the commit has %d", j.Counts.Parked, len(c.Park))
	case j.Counts.Read > 0 && !j.From.Before(j.To):
		return bad("%d tasks were read from nothing", j.Counts.Read)
	}
	if err := c.checkAhead(bad); err != nil {
		return err
	}
	from, to := placeOf(j.From), placeOf(j.To)
	for i := range c.Park {
		e := &c.Park[i]
		if at := (place{e.Seq, e.Index}); at.before(from) || !at.before(to) || !e.Pending() {
			return bad("task %s (%s) of event %d.%d is not one that this batch can park", e.Task, e.Status, e.Seq, e.Index)
		}
	}
	runs, err := DecodeOutcomes(j.Outcomes)
	if err != nil {
		return bad("%v", err)
	}
	var counts Counts
	for _, run := range runs {
		counts.Count(run.Outcome, run.Count)
	}
	if len(runs) > 0 && counts != j.Counts {
		return bad("the outcomes add up to %+v, the counts are %+v", counts, j.Counts)
	}
	var byRule Counts
	for i := range j.Rules {
		byRule.Add(j.Rules[i].Counts)
	}
	if len(j.Rules) > 0 && byRule != j.Counts {
		return bad("the counts of the rules add up to %+v, the counts are %+v", byRule, j.Counts)
	}
	return nil
}

// addJournal puts j in the place of everything from its beginning on.
func (w *writer) addJournal(ctx context.Context, r *row, j *Journal) error {
	if j.From.Log != r.Cursor.Log || j.To.Epoch < r.Cursor.Epoch {
		return followsCursor(r.slice, r.Cursor, j.To)
	}
	if placeOf(j.From).before(r.folded) {
		return syncline.Errorf(syncline.Fatal, "journal_trimmed", "route %s would read again from %d.%d, what is below %d.%d was purged",
			r.slice, j.From.Seq, j.From.Index, r.folded.seq, r.folded.idx)
	}
	if j.From.Before(r.Cursor) {
		if err := w.cut(ctx, r, placeOf(j.From)); err != nil {
			return err
		}
		r.Cursor.Seq, r.Cursor.Index = j.From.Seq, j.From.Index
	}
	if !j.From.Before(j.To) {
		return nil
	}
	_, err := w.exec(ctx, sqlAddJournal, r.slice.Route, r.slice.Slice, int64(j.From.Seq), j.From.Index, int64(j.To.Seq), j.To.Index,
		int64(j.To.Epoch), j.RuleVersion, micros(j.Start), micros(j.End), j.Counts.Read, j.Counts.Applied, j.Counts.Filtered,
		j.Counts.Superseded, j.Counts.Parked, j.Counts.Skipped, j.Outcomes, appendHistogram(nil, &j.Latency),
		j.LatencySum.Microseconds(), appendRuleCounts(nil, j.Rules))
	r.totals.add(j.Counts, 1)
	r.latency.add(&j.Latency, 1)
	return err
}

func scanJournal(rows *sql.Rows) (*Journal, error) {
	j := &Journal{}
	var start, end, latencySum int64
	var latency, byRule []byte
	err := rows.Scan(&j.From.Seq, &j.From.Index, &j.To.Seq, &j.To.Index, &j.To.Epoch, &j.RuleVersion, &start, &end,
		&j.Counts.Read, &j.Counts.Applied, &j.Counts.Filtered, &j.Counts.Superseded, &j.Counts.Parked, &j.Counts.Skipped,
		&j.Outcomes, &latency, &latencySum, &byRule)
	if err != nil {
		return nil, err
	}
	if j.Rules, err = decodeRuleCounts(byRule); err != nil {
		return nil, corrupt(err)
	}
	j.LatencySum = time.Duration(latencySum) * time.Microsecond
	j.Start, j.End = fromMicros(start), fromMicros(end)
	if j.Latency, err = decodeHistogram(latency); err != nil {
		return nil, corrupt(err)
	}
	return j, nil
}

func routeUnknown(sl Slice) error {
	return syncline.Errorf(syncline.Fatal, "route_unknown", "route %s: %w", sl, ErrNotFound)
}
