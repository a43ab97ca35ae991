package state

import (
	"context"
	"database/sql"
	"time"
)

// Schedule is where a schedule stands.
type Schedule struct {
	ID string
	// Signature is of the timetable that the times below are of; "" = it was never looked at.
	Signature string
	// Settled is the last occurrence that something became of, or the moment from which on they count. Next is the one after it; zero =
	// none.
	Settled, Next time.Time
	// Queued is an occurrence that waits for the run that is under way; zero = none.
	Queued time.Time
	Paused bool
	// PauseReason, PausedBy and PausedSince say why, who and when.
	PauseReason, PausedBy string
	PausedSince           time.Time
	// Run is the one that is under way, "" = none. Owner carries it out, and says so again before Lease ends.
	Run, Owner string
	Lease      time.Time
	// Missed are the occurrences since the last run that was done of which none came, Failures the runs since then that were not done.
	Missed, Failures int64
}

// The status of a run of a schedule.
const (
	ScheduleRunning     = "running"
	ScheduleDone        = "done"
	ScheduleFailed      = "failed"
	ScheduleInterrupted = "interrupted"
	ScheduleMissed      = "missed"
	ScheduleSkipped     = "skipped"
)

// ScheduleRun is what became of an occurrence, or of a run that somebody asked for.
type ScheduleRun struct {
	// N is given by the store.
	N int64
	// ID is also that of the run of the source, where it is one.
	ID, Schedule string
	// Work is what was to be done, in words.
	Work string
	// Cause is why it came to it: schedule, late, queue or manual; of a manual one Author and Reason say more.
	Cause, Author, Reason string
	// Due is when it should have begun, with its jitter.
	Due, Started, Ended time.Time
	// Status is one of the constants above.
	Status string
	// Missed counts the occurrences before it of which none came.
	Missed int64
	// Counts tell what it did, by name, in JSON; Note does in words.
	Counts, Note string
	// Code and Error say why it was not done.
	Code, Error string
}

// Schedules returns where all schedules stand, by their ids.
func (s *Store) Schedules(ctx context.Context) ([]Schedule, error) {
	var list []Schedule
	err := s.read(ctx, "read schedules", func(rows *sql.Rows) error {
		one, err := scanSchedule(rows)
		list = append(list, one)
		return err
	}, sqlSchedules)
	return list, err
}

func scanSchedule(rows *sql.Rows) (Schedule, error) {
	var one Schedule
	var settled, next, queued, since, lease int64
	err := rows.Scan(&one.ID, &one.Signature, &settled, &next, &queued, &one.Paused, &one.PauseReason, &one.PausedBy, &since,
		&one.Run, &one.Owner, &lease, &one.Missed, &one.Failures)
	one.Settled, one.Next, one.Queued, one.PausedSince, one.Lease = fromMicros(settled), fromMicros(next), fromMicros(queued), fromMicros(since), fromMicros(lease)
	return one, err
}

// ChangeSchedule writes what change makes of where a schedule stands, and the runs that it returns, all or nothing. A run whose id is
// known is overwritten. change may be called more than once; an error of it, which is
// rejected, is returned, and nothing is written.
func (s *Store) ChangeSchedule(ctx context.Context, id string, change func(*Schedule) ([]ScheduleRun, error)) error {
	return s.write(ctx, "change schedule "+id, func(ctx context.Context, w *writer) error {
		one := Schedule{ID: id}
		err := w.each(ctx, func(rows *sql.Rows) (err error) {
			one, err = scanSchedule(rows)
			return err
		}, sqlSchedule, id)
		if err != nil {
			return err
		}
		runs, err := change(&one)
		if err != nil {
			return err
		}
		if _, err := w.exec(ctx, sqlSaveSchedule, one.ID, one.Signature, micros(one.Settled), micros(one.Next), micros(one.Queued),
			one.Paused, one.PauseReason, one.PausedBy, micros(one.PausedSince), one.Run, one.Owner, micros(one.Lease), one.Missed, one.Failures); err != nil {
			return err
		}
		for _, r := range runs {
			if _, err := w.exec(ctx, sqlSaveScheduleRun, r.ID, r.Schedule, r.Work, r.Cause, r.Author, r.Reason, micros(r.Due), micros(r.Started),
				micros(r.Ended), r.Status, r.Missed, r.Counts, r.Note, r.Code, r.Error); err != nil {
				return err
			}
		}
		return nil
	})
}

// ScheduleRun returns a run of a schedule; ErrNotFound is in the chain where there is none.
func (s *Store) ScheduleRun(ctx context.Context, id string) (ScheduleRun, error) {
	list, err := s.scheduleRuns(ctx, sqlScheduleRun, id)
	switch {
	case err != nil:
		return ScheduleRun{}, err
	case len(list) == 0:
		return ScheduleRun{}, notFound("schedule_run_not_found", "run of a schedule", id)
	}
	return list[0], nil
}

// LastScheduleRuns returns the newest run of each schedule.
func (s *Store) LastScheduleRuns(ctx context.Context) ([]ScheduleRun, error) {
	return s.scheduleRuns(ctx, sqlLastScheduleRuns)
}

// ScheduleRuns returns a page of the runs of a schedule, the newest first, and the cursor of the next one, "" after the last.
func (s *Store) ScheduleRuns(ctx context.Context, schedule, after string, limit int) (list []ScheduleRun, next string, err error) {
	limit = pageOf(limit)
	if after == "" {
		list, err = s.scheduleRuns(ctx, sqlScheduleRuns, schedule, limit+1)
	} else {
		list, err = s.scheduleRuns(ctx, sqlScheduleRunsPage, schedule, after, limit+1)
	}
	if len(list) > limit {
		list = list[:limit]
		next = list[limit-1].ID
	}
	return list, next, err
}

func (s *Store) scheduleRuns(ctx context.Context, query string, args ...any) ([]ScheduleRun, error) {
	var list []ScheduleRun
	err := s.read(ctx, "read runs of schedules", func(rows *sql.Rows) error {
		var r ScheduleRun
		var due, started, ended int64
		err := rows.Scan(&r.N, &r.ID, &r.Schedule, &r.Work, &r.Cause, &r.Author, &r.Reason, &due, &started, &ended, &r.Status, &r.Missed,
			&r.Counts, &r.Note, &r.Code, &r.Error)
		r.Due, r.Started, r.Ended = fromMicros(due), fromMicros(started), fromMicros(ended)
		list = append(list, r)
		return err
	}, query, args...)
	return list, err
}

// TrimScheduleRuns forgets runs that ended before a time, but for the newest of each schedule that there is, and of each schedule all but
// the newest ones, as many as most says.
func (s *Store) TrimScheduleRuns(ctx context.Context, before time.Time, most int) error {
	return s.write(ctx, "trim runs of schedules", func(ctx context.Context, w *writer) error {
		_, err := w.exec(ctx, sqlTrimScheduleRuns, micros(before), most)
		return err
	})
}

// ForgetSchedule forgets where a schedule stands. Its runs stay until they are trimmed.
func (s *Store) ForgetSchedule(ctx context.Context, id string) error {
	return s.write(ctx, "forget schedule "+id, func(ctx context.Context, w *writer) error {
		_, err := w.exec(ctx, sqlForgetSchedule, id)
		return err
	})
}
