package state

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"syncline"
)

// The status of a run.
const (
	RunRequested = "requested"
	RunRunning   = "running"
	RunDone      = "done"
	RunFailed    = "failed"
	RunCancelled = "cancelled"
)

// RunRow is a run and how far it has got.
type RunRow struct {
	syncline.Run
	Source string
	// Status is one of the constants above.
	Status string
	// Chunks and Rows are what is in the log of it, up to entry Seq. Scanned are the rows that were read: those that Where left out, too.
	Chunks  uint32
	Rows    int64
	Scanned int64
	Seq     syncline.Seq
	// Estimate is about how many rows there are to read; 0 = not known.
	Estimate int64
	// Error says why it failed, with its code.
	Error string
	Steering
	// Created and Updated are set by the store.
	Created, Updated time.Time
}

// Steering is what an operator wants of a run.
type Steering struct {
	// Held: nothing more is read until that is lifted. Cancelled: nothing more is read, and the run ends.
	Held, Cancelled bool
	// Rate bounds the rows that are read in a second; 0 = as fast as live changes allow.
	Rate int64
	// Reason and By tell of the last pause or cancellation why and by whom.
	Reason, By string
}

// Over reports whether nothing more becomes of the run.
func (r *RunRow) Over() bool {
	return r.Status == RunDone || r.Status == RunFailed || r.Status == RunCancelled
}

// AddRun takes note of a run that is to be done. One whose id is known is left as it is, unless it has failed: whoever asks for it again
// is to be answered again.
func (s *Store) AddRun(ctx context.Context, source string, r syncline.Run) error {
	return s.AddSync(ctx, RunRow{Run: r, Source: source})
}

// AddSync is AddRun for a run with a Rate and an Estimate.
func (s *Store) AddSync(ctx context.Context, r RunRow) error {
	keys, err := json.Marshal(r.Keys)
	if err != nil {
		return err
	}
	routes, err := json.Marshal(r.Routes)
	if err != nil {
		return err
	}
	now := micros(time.Now())
	return s.write(ctx, "add run "+r.ID, func(ctx context.Context, w *writer) error {
		_, err := w.exec(ctx, sqlAddRun, r.ID, r.Source, r.Kind, r.Entity, string(keys), string(routes), r.Reset, RunRequested, now, now,
			r.Force, string(r.From), r.Where, r.Rate, r.Estimate)
		return err
	})
}

// OpenRuns returns the source's runs that are not over, the oldest first.
func (s *Store) OpenRuns(ctx context.Context, source string) ([]RunRow, error) {
	return s.runs(ctx, sqlOpenRun, source)
}

// Run returns one run; ErrNotFound is in the chain where there is none.
func (s *Store) Run(ctx context.Context, id string) (RunRow, error) {
	list, err := s.runs(ctx, sqlRun, id)
	switch {
	case err != nil:
		return RunRow{}, err
	case len(list) == 0:
		return RunRow{}, notFound("run_not_found", "run", id)
	}
	return list[0], nil
}

// ReadRun begins the id of a run by which a route reads single records whose events did not have all of them. There can be many a
// minute.
const ReadRun = "keys-"

// ScheduledRun begins the id of a run that a schedule asked for, and of the schedule's run.
const ScheduledRun = "schedule-"

// TrimPolls forgets polls and sweeps that were done before this time: nothing in the log refers to them, and there can be many a minute.
func (s *Store) TrimPolls(ctx context.Context, before time.Time) error {
	return s.write(ctx, "trim polls", func(ctx context.Context, w *writer) error {
		_, err := w.exec(ctx, sqlTrimPolls, micros(before))
		return err
	})
}

// Runs returns the latest runs of the source, or of all for "", the newest first; of the routes' own reading, and of polls of schedules, only
// what is not done or has failed.
func (s *Store) Runs(ctx context.Context, source string, limit int) ([]RunRow, error) {
	if source == "" {
		return s.runs(ctx, sqlAllRuns, limit)
	}
	return s.runs(ctx, sqlRuns, source, limit)
}

// RunsPage returns a page of what Runs returns of all sources, and the cursor of the next page, "" after the last.
func (s *Store) RunsPage(ctx context.Context, after string, limit int) (list []RunRow, next string, err error) {
	limit = pageOf(limit)
	if after == "" {
		list, err = s.runs(ctx, sqlAllRuns, limit+1)
	} else { // behind a run that was forgotten meanwhile, all were
		list, err = s.runs(ctx, sqlRunsPage, after, limit+1)
	}
	if len(list) > limit {
		list = list[:limit]
		next = list[limit-1].ID
	}
	return list, next, err
}

func (s *Store) runs(ctx context.Context, query string, args ...any) ([]RunRow, error) {
	var list []RunRow
	err := s.read(ctx, "read runs", func(rows *sql.Rows) error {
		r := RunRow{}
		var keys, routes []byte
		var created, updated int64
		if err := rows.Scan(&r.ID, &r.Source, &r.Kind, &r.Entity, &keys, &routes, &r.Reset, &r.Status, &r.Chunks, &r.Rows, &r.Error,
			&created, &updated, &r.Force, &r.From, &r.Where, &r.Rate, &r.Estimate, &r.Scanned, &r.Seq, &r.Held, &r.Cancelled, &r.Reason, &r.By); err != nil {
			return err
		}
		r.Created, r.Updated = fromMicros(created), fromMicros(updated)
		if err := json.Unmarshal(keys, &r.Keys); err != nil {
			return corrupt(err)
		}
		if err := json.Unmarshal(routes, &r.Routes); err != nil {
			return corrupt(err)
		}
		list = append(list, r)
		return nil
	}, query, args...)
	return list, err
}

// TrimRuns forgets the source's runs that ended before this time, with their keys.
func (s *Store) TrimRuns(ctx context.Context, source string, before time.Time) error {
	return s.write(ctx, "trim runs of "+source, func(ctx context.Context, w *writer) error {
		_, err := w.exec(ctx, sqlTrimRuns, source, micros(before))
		return err
	})
}

// SteerRun takes note of what is wanted of a run that is not over; ErrNotFound is in the chain where there is none.
func (s *Store) SteerRun(ctx context.Context, id string, st Steering) error {
	return s.write(ctx, "steer run "+id, func(ctx context.Context, w *writer) error {
		n, err := w.exec(ctx, sqlSteerRun, st.Held, st.Cancelled, st.Rate, st.Reason, st.By, micros(time.Now()), id)
		if err == nil && n == 0 {
			err = notFound("run_not_found", "sync that is not over with the id", id)
		}
		return err
	})
}

// UpdateRun writes status, chunks, rows, place and error of a run; what is wanted of it stays; ErrNotFound is in the chain where there is none.
func (s *Store) UpdateRun(ctx context.Context, r RunRow) error {
	return s.write(ctx, "update run "+r.ID, func(ctx context.Context, w *writer) error {
		n, err := w.exec(ctx, sqlSetRun, r.Status, r.Chunks, r.Rows, r.Scanned, int64(r.Seq), r.Error, micros(time.Now()), r.ID)
		if err == nil && n == 0 {
			err = notFound("run_not_found", "run", r.ID)
		}
		return err
	})
}
