package state

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"syncline"
)

// Slice names a share of a route's keys.
type Slice struct {
	Route string
	Slice int
}

func (sl Slice) String() string { return fmt.Sprintf("%s/%d", sl.Route, sl.Slice) }

// Route is what is known of a slice.
type Route struct {
	// Known is set once the route has been placed.
	Known bool
	// Placing: the route was placed here, and may not have reached its target yet.
	Placing bool
	// Cursor is the copy of the target's cursor, or the cursor itself where the target can hold none.
	Cursor syncline.Cursor
	// Settled is what the target has reached for certain: the copy is moved before the target commits. Set by the store, from what
	// commits say (Commit.Settled).
	Settled syncline.Seq
	Source  string
	// Signature is of the rules' from, to and declared keys: with another one the route starts anew. "" = it does in any case.
	Signature string
	// Keys say, by rule, how target keys are made: a rule that makes others of the same source key has the route start anew.
	Keys map[string]KeyMapping
	// Version is of the rules that the route ran with last.
	Version string
	// Run is what brings the records that were there before the route began, in a word of package apply's; "" = nothing.
	Run string
	// GapFrom and GapTo are the first and the last entry of the log that were released before the route had read them; 0, 0 =
	// none. The route needs a sync.
	GapFrom, GapTo syncline.Seq
	// Mixed: the rules were changed, and the target holds records of both versions.
	Mixed bool
	// Updated is set by the store.
	Updated time.Time
}

// KeyMapping is how a rule makes the target's key: of which columns of the source's, and how.
type KeyMapping struct {
	Source string `json:"source"`
	Target string `json:"target"`
}

// row is a slice as it is stored.
type row struct {
	slice Slice
	Route
	// folded is the end of what Trim has taken out of the journal.
	folded place
	// totals and latency sum up everything that the slice has committed and not rewound.
	totals  Counts
	latency Histogram
}

// place is a cursor within one log.
type place struct {
	seq syncline.Seq
	idx int
}

func placeOf(c syncline.Cursor) place { return place{c.Seq, c.Index} }

func (p place) before(q place) bool { return p.seq < q.seq || p.seq == q.seq && p.idx < q.idx }

// noKeys is Route.Keys as it is stored while there are none.
const noKeys = "{}"

func scanRoute(rows *sql.Rows) (*row, error) {
	r := &row{}
	var updated int64
	var latency, keys []byte
	err := rows.Scan(&r.slice.Route, &r.slice.Slice, &r.Known, &r.Placing, &r.Source, &r.Signature, &r.Run, &r.Cursor.Log, &r.Cursor.Seq,
		&r.Cursor.Index, &r.Cursor.Epoch, &r.GapFrom, &r.GapTo, &r.Mixed, &updated,
		&r.folded.seq, &r.folded.idx, &r.totals.Read, &r.totals.Applied, &r.totals.Filtered, &r.totals.Superseded,
		&r.totals.Parked, &r.totals.Skipped, &latency, &r.Version, &keys, &r.Settled)
	if err != nil {
		return nil, err
	}
	if string(keys) != noKeys {
		if err := json.Unmarshal(keys, &r.Keys); err != nil {
			return nil, corrupt(err)
		}
	}
	r.Updated = fromMicros(updated)
	if r.latency, err = decodeHistogram(latency); err != nil {
		return nil, corrupt(err)
	}
	return r, nil
}

// route returns the slice's row inside a transaction, one that is not known if there is none.
func (w *writer) route(ctx context.Context, sl Slice) (*row, error) {
	found := &row{slice: sl}
	err := w.each(ctx, func(rows *sql.Rows) (err error) {
		found, err = scanRoute(rows)
		return err
	}, sqlRoute, sl.Route, sl.Slice)
	return found, err
}

func (w *writer) writeRoute(ctx context.Context, r *row) error {
	keys := []byte(noKeys)
	if len(r.Keys) > 0 {
		var err error
		if keys, err = json.Marshal(r.Keys); err != nil {
			return err
		}
	}
	_, err := w.exec(ctx, sqlWriteRoute, r.slice.Route, r.slice.Slice, r.Known, r.Placing, r.Source, r.Signature, r.Run, r.Cursor.Log,
		int64(r.Cursor.Seq), r.Cursor.Index, int64(r.Cursor.Epoch),
		int64(r.GapFrom), int64(r.GapTo), r.Mixed, micros(time.Now()), int64(r.folded.seq), r.folded.idx,
		r.totals.Read, r.totals.Applied, r.totals.Filtered, r.totals.Superseded, r.totals.Parked, r.totals.Skipped,
		appendHistogram(nil, &r.latency), r.Version, string(keys), int64(r.Settled))
	return err
}

// moveRoute writes what a commit changes.
func (w *writer) moveRoute(ctx context.Context, r *row) error {
	_, err := w.exec(ctx, sqlMoveRoute, int64(r.Cursor.Seq), r.Cursor.Index, int64(r.Cursor.Epoch), int64(r.Settled), micros(time.Now()),
		r.totals.Read, r.totals.Applied, r.totals.Filtered, r.totals.Superseded, r.totals.Parked, r.totals.Skipped,
		appendHistogram(nil, &r.latency), r.slice.Route, r.slice.Slice)
	return err
}

// Route returns what is known of the slice; Known is false for one that was never placed.
func (s *Store) Route(ctx context.Context, sl Slice) (Route, error) {
	r, err := s.route(ctx, sl)
	return r.Route, err
}

func (s *Store) route(ctx context.Context, sl Slice) (*row, error) {
	found := &row{slice: sl}
	err := s.read(ctx, "read route "+sl.String(), func(rows *sql.Rows) error {
		r, err := scanRoute(rows)
		if err == nil {
			found = r
		}
		return err
	}, sqlRoute, sl.Route, sl.Slice)
	return found, err
}

// Routes returns every slice that the store knows, those of rules that are gone too.
func (s *Store) Routes(ctx context.Context) (map[Slice]Route, error) {
	all := map[Slice]Route{}
	err := s.read(ctx, "read routes", func(rows *sql.Rows) error {
		r, err := scanRoute(rows)
		if err == nil {
			all[r.slice] = r.Route
		}
		return err
	}, sqlRoutes)
	return all, err
}

// PlaceRoute begins the slice anew at r.Cursor, whatever stood there: its journal, its tasks and its totals go. The schemas of
// its rules stay: the target's objects are as they were.
func (s *Store) PlaceRoute(ctx context.Context, sl Slice, r Route) error {
	r.Known, r.Settled = true, r.Cursor.Seq
	return s.write(ctx, "place route "+sl.String(), func(ctx context.Context, w *writer) error {
		for _, forget := range []string{sqlForgetJournal, sqlForgetConflicts, sqlForgetAhead} {
			if _, err := w.exec(ctx, forget, sl.Route, sl.Slice); err != nil {
				return err
			}
		}
		if err := w.forgetTasks(ctx, sl); err != nil {
			return err
		}
		if _, err := w.exec(ctx, sqlMoveSchemas, int64(r.Cursor.Seq), r.Cursor.Index, sl.Route, sl.Slice); err != nil {
			return err
		}
		return w.writeRoute(ctx, &row{slice: sl, Route: r})
	})
}

// UpdateRoute changes what is known of the slice; one that is not there yet begins as the zero Route. Change may be called
// more than once. The cursor may go forward and its epoch may rise; it goes back by Rewind, and to another log by
// PlaceRoute.
func (s *Store) UpdateRoute(ctx context.Context, sl Slice, change func(*Route)) error {
	return s.write(ctx, "update route "+sl.String(), func(ctx context.Context, w *writer) error {
		r, err := w.route(ctx, sl)
		if err != nil {
			return err
		}
		was := r.Route
		change(&r.Route)
		if was.Known {
			if err := followsCursor(sl, was.Cursor, r.Cursor); err != nil {
				return err
			}
		}
		if r.Settled = was.Settled; r.Cursor.Seq != was.Cursor.Seq {
			r.Settled = r.Cursor.Seq // no batch moves it: it is what the target said
		}
		return w.writeRoute(ctx, r)
	})
}

// followsCursor refuses a cursor that a slice at `at` cannot go on to: of an owner that was replaced, of another log, or
// behind it.
func followsCursor(sl Slice, at, to syncline.Cursor) error {
	switch {
	case to.Epoch < at.Epoch:
		return syncline.Errorf(syncline.Fatal, "fenced", "route %s has owner %d, this is owner %d", sl, at.Epoch, to.Epoch)
	case to.Log != at.Log:
		return syncline.Errorf(syncline.Fatal, "log_changed", "route %s stands in log %s, not in %s", sl, at.Log, to.Log)
	case to.Before(at):
		return syncline.Errorf(syncline.Fatal, "cursor_backwards", "route %s stands at %d.%d and would go back to %d.%d",
			sl, at.Seq, at.Index, to.Seq, to.Index)
	}
	return nil
}

// Totals returns the sums over everything that the slice has committed since it was placed: batches that were rewound are
// taken out, batches that were trimmed stay in. Parked counts the tasks that wait now; one that was resolved or cancelled
// has moved to its outcome.
func (s *Store) Totals(ctx context.Context, sl Slice) (Counts, Histogram, error) {
	r, err := s.route(ctx, sl)
	return r.totals, r.latency, err
}
