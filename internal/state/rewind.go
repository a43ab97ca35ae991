package state

import (
	"context"
	"database/sql"
	"time"

	"syncline"
)

// trimStep bounds the rows that one transaction of Trim and TrimIDs removes, so that commits need not wait long.
const trimStep = 500

// Rewind takes the slice back to where its target stands: journal rows and tasks of events at or beyond `to` go, because
// the events will be read again, and the cursor becomes `to`. Tasks that were resolved by something beyond it are pending
// again (retrying, at once) and are returned with their records, in the order of their events. What a person cancelled
// stays cancelled. Conflicts of tasks that are gone wait for nobody. What the store knew of a rule's schema from beyond it is forgotten. Events that Trim has folded are never read again: their tasks stay.
//
// A fatal state_lost says that this store did not write that cursor: the slice is unknown or stands before it, the log is
// another, or a batch was committed across it.
func (s *Store) Rewind(ctx context.Context, sl Slice, to syncline.Cursor) (reopened []Exception, err error) {
	err = s.write(ctx, "rewind "+sl.String(), func(ctx context.Context, w *writer) error {
		r, err := w.route(ctx, sl)
		switch {
		case err != nil:
			return err
		case !r.Known:
			return stateLost("route %s is unknown here", sl)
		case to.Log != r.Cursor.Log:
			return stateLost("the target of route %s stands in log %s, the store in %s", sl, to.Log, r.Cursor.Log)
		case r.Cursor.Before(to):
			return stateLost("the target of route %s stands at %d.%d, the store only at %d.%d",
				sl, to.Seq, to.Index, r.Cursor.Seq, r.Cursor.Index)
		case to.Epoch < r.Cursor.Epoch:
			return followsCursor(sl, r.Cursor, to)
		}
		if err := w.cut(ctx, r, placeOf(to)); err != nil {
			return err
		}
		if _, err := w.exec(ctx, sqlCutSchemas, sl.Route, sl.Slice, int64(to.Seq), to.Index); err != nil {
			return err
		}
		if reopened, err = w.reopen(ctx, r, placeOf(to)); err != nil {
			return err
		}
		r.Cursor, r.Settled = to, to.Seq
		return w.moveRoute(ctx, r)
	})
	if err != nil {
		return nil, err
	}
	s.publish(sl.Route, nil)
	return reopened, nil
}

func stateLost(format string, args ...any) error {
	return syncline.Errorf(syncline.Fatal, "state_lost", format, args...).
		WithFix("restore the state store that belongs to the target, or place the route anew and sync it")
}

// cut removes the journal and the tasks from a place on and takes them out of the totals.
func (w *writer) cut(ctx context.Context, r *row, at place) error {
	var end place // of the last batch that began before: ranges do not overlap
	err := w.each(ctx, func(rows *sql.Rows) error { return rows.Scan(&end.seq, &end.idx) },
		sqlJournalBefore, r.slice.Route, r.slice.Slice, int64(at.seq), at.idx)
	if err != nil {
		return err
	}
	if at.before(end) {
		return stateLost("a batch of route %s was committed across %d.%d", r.slice, at.seq, at.idx)
	}
	err = w.each(ctx, func(rows *sql.Rows) error {
		j, err := scanJournal(rows)
		if err != nil {
			return err
		}
		r.totals.add(j.Counts, -1)
		r.latency.add(&j.Latency, -1)
		return nil
	}, sqlCutJournal, r.slice.Route, r.slice.Slice, int64(at.seq), at.idx)
	if err != nil {
		return err
	}
	if _, err := w.exec(ctx, sqlCutAhead, r.slice.Route, r.slice.Slice, int64(at.seq), at.idx); err != nil {
		return err
	}
	if at.before(r.folded) {
		at = r.folded
	}
	var gone []*Exception // a change of theirs is to be told, once the rows are read
	err = w.each(ctx, func(rows *sql.Rows) error {
		e, _, err := scanTask(rows)
		if err != nil {
			return err
		}
		r.moved(e.outcome(), Parked)
		if was, _ := e.Public(); notable(was) {
			gone = append(gone, e)
		}
		return nil
	}, sqlCutTasks, r.slice.Route, r.slice.Slice, int64(at.seq), at.idx)
	if err == nil {
		// Which task waits in its place depends on what the next batches have together.
		_, err = w.exec(ctx, sqlCutConflicts, r.slice.Route, r.slice.Slice)
	}
	for i := 0; i < len(gone) && err == nil; i++ {
		was, _ := gone[i].Public()
		err = w.tellAs(ctx, gone[i], was, TaskPending, Rewound)
	}
	return err
}

func (w *writer) reopen(ctx context.Context, r *row, at place) ([]Exception, error) {
	var list []Exception
	err := w.each(ctx, func(rows *sql.Rows) error {
		e, _, err := scanTask(rows)
		if err == nil {
			list = append(list, *e)
		}
		return err
	}, sqlReopenable, r.slice.Route, r.slice.Slice, int64(at.seq), at.idx)
	if err != nil {
		return nil, err
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	for i := range list {
		e := &list[i]
		r.moved(e.outcome(), Parked)
		e.Status, e.Outcome, e.NextTry, e.Updated, e.ResolvedAt = StatusRetrying, Applied, time.Time{}, now, syncline.Cursor{}
		if _, err := w.exec(ctx, sqlReopen, micros(now), e.Task); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// moved takes note that a task counts as something else now.
func (r *row) moved(from, to Outcome) {
	r.totals.move(from, -1)
	r.totals.move(to, 1)
}

// Trim forgets what belongs to entries of the source's log below this one, which were purged: journal rows, whose sums
// stay in the totals, and tasks that were resolved or cancelled below it. Pending tasks stay, with their records.
func (s *Store) Trim(ctx context.Context, source string, below syncline.Seq) error {
	var slices []Slice
	err := s.read(ctx, "read slices of "+source, func(rows *sql.Rows) error {
		var sl Slice
		err := rows.Scan(&sl.Route, &sl.Slice)
		slices = append(slices, sl)
		return err
	}, sqlSlicesOf, source)
	if err != nil {
		return err
	}
	for _, sl := range slices {
		for more := true; more; {
			err := s.write(ctx, "trim "+sl.String(), func(ctx context.Context, w *writer) (err error) {
				more, err = w.trim(ctx, sl, below)
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// trim does one step and tells whether there is more to do.
func (w *writer) trim(ctx context.Context, sl Slice, below syncline.Seq) (bool, error) {
	var from, to place
	n := 0
	err := w.each(ctx, func(rows *sql.Rows) error {
		n++
		return rows.Scan(&from.seq, &from.idx, &to.seq, &to.idx)
	}, sqlFoldable, sl.Route, sl.Slice, int64(below), int64(below), trimStep)
	if err != nil {
		return false, err
	}
	if n > 0 {
		if _, err := w.exec(ctx, sqlFold, sl.Route, sl.Slice, int64(from.seq), from.idx); err != nil {
			return false, err
		}
		if _, err := w.exec(ctx, sqlFolded, int64(to.seq), to.idx, sl.Route, sl.Slice); err != nil {
			return false, err
		}
	}
	r, err := w.route(ctx, sl)
	if err != nil {
		return false, err
	}
	if _, err := w.exec(ctx, sqlDropAhead, sl.Route, sl.Slice, int64(below)); err != nil {
		return false, err
	}
	dropped, err := w.exec(ctx, sqlDropTasks, sl.Route, sl.Slice, int64(r.folded.seq), r.folded.idx, int64(below), trimStep)
	return n == trimStep || dropped == trimStep, err
}
