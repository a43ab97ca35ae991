package state

import (
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

func countRows(t testing.TB, s *Store, table string) int {
	t.Helper()
	n := 0
	must(t, s.read(t.Context(), "test", func(r *sql.Rows) error { return r.Scan(&n) }, "SELECT count(*) FROM "+table))
	return n
}

func TestRoutes(t *testing.T) {
	s := openNew(t)
	ctx := t.Context()
	if r, err := s.Route(ctx, sl); err != nil || cmp.Diff(Route{}, r) != "" {
		t.Errorf("Route of an unknown slice = %+v, %v, want nothing", r, err)
	}
	must(t, s.UpdateRoute(ctx, sl, func(r *Route) { r.Mixed = true }))
	if r, _ := s.Route(ctx, sl); r.Known || !r.Mixed {
		t.Errorf("Route = %+v, want an unknown one that is mixed", r)
	}
	want := Route{Known: true, Placing: true, Cursor: cur(4, 2), Source: "crm", Signature: "s", Run: "run-1",
		GapFrom: 2, GapTo: 3, Mixed: true, Version: "v",
		Keys: map[string]KeyMapping{"r": {Source: "id", Target: "customer_id = id"}}}
	other := Slice{Route: "customer-warehouse", Slice: 1}
	must(t, s.PlaceRoute(ctx, sl, want))
	must(t, s.PlaceRoute(ctx, other, Route{Cursor: cur(1, 0)}))
	must(t, s.UpdateRoute(ctx, sl, func(r *Route) { r.Cursor.Epoch++ }))
	want.Cursor.Epoch++
	want.Settled = 4
	all, err := s.Routes(ctx)
	must(t, err)
	got := all[sl]
	if time.Since(got.Updated) > time.Minute {
		t.Errorf("Updated = %v, want now", got.Updated)
	}
	got.Updated = time.Time{}
	if diff := cmp.Diff(want, got); diff != "" || len(all) != 2 {
		t.Errorf("Routes has %d, (-want +got):\n%s", len(all), diff)
	}
}

func TestPlaceRouteBeginsAnew(t *testing.T) {
	s := openNew(t)
	ctx := t.Context()
	other := Slice{Route: "other"}
	for i, sl := range []Slice{sl, other} {
		place1(t, s, sl)
		must(t, s.Commit(ctx, Commit{Slice: sl, Journal: journal(1, 2, Parked), Park: []Exception{task(fmt.Sprint(i), 1, 0, StatusHeld)}}))
	}
	must(t, s.PlaceRoute(ctx, sl, Route{Cursor: syncline.Cursor{Log: "L2", Seq: 1}}))
	if c, h, err := s.Totals(ctx, sl); err != nil || c != (Counts{}) || h != (Histogram{}) {
		t.Errorf("Totals of a new slice = %+v, %v, want nothing", c, err)
	}
	if j, e := countRows(t, s, "journal"), countRows(t, s, "task"); j != 1 || e != 1 {
		t.Errorf("%d journal rows and %d tasks are left, want those of the other slice", j, e)
	}
}

func TestCommitRefuses(t *testing.T) {
	s := openNew(t)
	ctx := t.Context()
	place1(t, s, sl)
	must(t, s.Commit(ctx, Commit{Slice: sl, Journal: journal(1, 5, Applied)}))
	must(t, s.UpdateRoute(ctx, sl, func(r *Route) { r.Cursor.Epoch = 3 }))
	owned := func(j *Journal) *Journal { j.To.Epoch = 3; return j }
	at := func(seq syncline.Seq) syncline.Cursor { return syncline.Cursor{Log: "L1", Seq: seq, Epoch: 3} }
	unbalanced := owned(journal(5, 6, Applied))
	unbalanced.Counts.Read++
	untold := owned(journal(5, 6, Applied))
	untold.Counts.Applied, untold.Outcomes = 0, nil
	otherLog := owned(journal(5, 6, Applied))
	otherLog.From.Log, otherLog.To.Log = "L2", "L2"
	lying := owned(journal(5, 6, Applied))
	lying.Outcomes = AppendOutcomes(nil, []Outcome{Skipped})
	twice := owned(journal(5, 6, Applied))
	twice.Rules = []RuleCounts{{Rule: "a", Counts: twice.Counts}, {Rule: "b", Counts: twice.Counts}}
	for _, c := range []struct {
		name, code string
		commit     Commit
	}{
		{"an owner that was replaced", "fenced", Commit{Slice: sl, Journal: journal(5, 6, Applied)}},
		{"its cursor alone too", "fenced", Commit{Slice: sl, Cursor: cur(6, 0)}},
		{"a slice that was never placed", "route_unknown", Commit{Slice: Slice{Route: "nobody"}, Journal: journal(5, 6, Applied)}},
		{"another log", "log_changed", Commit{Slice: sl, Journal: otherLog}},
		{"a cursor that goes back", "cursor_backwards", Commit{Slice: sl, Cursor: at(2)}},
		{"a cursor before the journal's end", "cursor_backwards", Commit{Slice: sl, Journal: owned(journal(5, 7, Applied)), Cursor: at(6)}},
		{"a journal that cuts a batch in two", "state_lost", Commit{Slice: sl, Journal: owned(journal(3, 6, Applied))}},
		{"a task that is lost", "counts_unbalanced", Commit{Slice: sl, Journal: unbalanced}},
		{"a task that is lost, in a journal that does not tell what became of each", "counts_unbalanced", Commit{Slice: sl, Journal: untold}},
		{"a parked task without a row", "counts_unbalanced", Commit{Slice: sl, Journal: owned(journal(5, 6, Parked))}},
		{"a row without a journal", "counts_unbalanced", Commit{Slice: sl, Park: []Exception{task("x", 5, 0, StatusHeld)}}},
		{"a task of another batch", "counts_unbalanced",
			Commit{Slice: sl, Journal: owned(journal(5, 6, Parked)), Park: []Exception{task("x", 6, 0, StatusHeld)}}},
		{"a parked task that is resolved", "counts_unbalanced",
			Commit{Slice: sl, Journal: owned(journal(5, 6, Parked)), Park: []Exception{task("x", 5, 0, StatusResolved)}}},
		{"outcomes that are not the counts", "counts_unbalanced", Commit{Slice: sl, Journal: lying}},
		{"rules that have more than the route", "counts_unbalanced", Commit{Slice: sl, Journal: twice}},
		{"a status that is none", "task_status", Commit{Slice: sl, Journal: owned(journal(5, 6, Parked)),
			Park: []Exception{task("x", 5, 0, StatusHeld)}, Update: []Exception{task("x", 5, 0, "happy")}}},
	} {
		t.Run(c.name, func(t *testing.T) { codeOf(t, s.Commit(ctx, c.commit), syncline.Fatal, c.code) })
	}
	codeOf(t, s.Commit(ctx, Commit{Slice: sl, Update: []Exception{task("gone", 1, 0, StatusFailed)}}), syncline.Rejected, "task_not_found")
	codeOf(t, s.UpdateRoute(ctx, sl, func(r *Route) { r.Cursor.Seq = 1 }), syncline.Fatal, "cursor_backwards")

	if c, _, _ := s.Totals(ctx, sl); c != (Counts{Read: 1, Applied: 1}) || countRows(t, s, "task") != 0 {
		t.Errorf("Totals after refusals = %+v, want the one batch", c)
	}
}

// walCommits counts the transactions in the write-ahead log: frames that carry the size of the database after a commit.
func walCommits(t *testing.T, path string) int {
	t.Helper()
	wal, err := os.ReadFile(path + "-wal")
	must(t, err)
	const header, frame = 32, 24
	page := int(binary.BigEndian.Uint32(wal[8:]))
	n := 0
	for at := header; at+frame+page <= len(wal); at += frame + page {
		if binary.BigEndian.Uint32(wal[at+4:]) != 0 && string(wal[at+8:at+16]) == string(wal[16:24]) {
			n++
		}
	}
	return n
}

func TestCommitsOfOneMomentShareATransaction(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := openAt(t, path)
	const callers = 16
	for i := range callers {
		place1(t, s, Slice{Route: "r", Slice: i})
	}
	before := walCommits(t, path)

	s.writeMu.Lock() // a transaction is under way
	var wg sync.WaitGroup
	errs := make([]error, callers+1)
	for i := range callers {
		wg.Go(func() {
			errs[i] = s.Commit(t.Context(), Commit{Slice: Slice{Route: "r", Slice: i}, Journal: journal(1, 2, Applied)})
		})
	}
	deadline, tick := time.After(10*time.Second), time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for queued := 0; queued < callers; {
		select {
		case <-tick.C:
			s.queueMu.Lock()
			queued = len(s.queue)
			s.queueMu.Unlock()
		case <-deadline:
			t.Fatalf("%d of %d commits are queued", queued, callers)
		}
	}
	s.writeMu.Unlock()
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			t.Errorf("commit %d: %v", i, err)
		}
	}
	if n := walCommits(t, path) - before; n != 1 {
		t.Errorf("%d commits took %d transactions, want 1", callers, n)
	}
}

func TestOnesFaultIsNotAnothers(t *testing.T) {
	s := openNew(t)
	place1(t, s, sl)
	good := func(ctx context.Context, w *writer) error {
		_, err := w.exec(ctx, sqlAddLog, "crm", "L")
		return err
	}
	bad := func(context.Context, *writer) error { return errOutcomesForTest }
	group := []*request{{do: good}, {do: bad}}
	s.queue = group
	s.writeMu.Lock()
	s.flushLocked(t.Context())
	s.writeMu.Unlock()
	if group[0].err != nil || group[1].err == nil {
		t.Errorf("errors = %v, %v, want only the second", group[0].err, group[1].err)
	}
	if n := countRows(t, s, "source_log"); n != 1 {
		t.Errorf("%d rows written, want 1", n)
	}
}

var errOutcomesForTest = syncline.Errorf(syncline.Fatal, "test", "broken")

func TestConcurrentUse(t *testing.T) {
	s := openNew(t)
	const callers, commits = 8, 25
	var wg sync.WaitGroup
	for i := range callers {
		sl := Slice{Route: "r", Slice: i}
		place1(t, s, sl)
		wg.Go(func() {
			for n := range syncline.Seq(commits) {
				j := journal(n+1, n+2, Applied, Parked)
				if err := s.Commit(t.Context(), Commit{Slice: sl, Journal: j,
					Park: []Exception{task(fmt.Sprintf("%d/%d", i, n), n+1, 0, StatusFailed)}}); err != nil {
					t.Error(err)
				}
				if c, _, err := s.Totals(t.Context(), sl); err != nil || c.Read != int64(2*(n+1)) {
					t.Errorf("Totals right after commit %d = %+v, %v", n, c, err)
				}
			}
		})
	}
	wg.Wait()
	if n := countRows(t, s, "task"); n != callers*commits {
		t.Errorf("tasks = %d, want %d", n, callers*commits)
	}
}

func TestFullAndLockedPass(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := openAt(t, path)
	ctx := t.Context()
	place1(t, s, sl)
	pragma := func(text string) {
		s.writeMu.Lock()
		defer s.writeMu.Unlock()
		_, err := s.writer.exec(ctx, "PRAGMA "+text)
		must(t, err)
	}
	big := task("big", 1, 0, StatusFailed)
	big.Record = make([]byte, 1<<20)
	c := Commit{Slice: sl, Journal: journal(1, 2, Parked), Park: []Exception{big}}

	pragma("max_page_count = 100")
	codeOf(t, s.Commit(ctx, c), syncline.Transient, "state_full")
	pragma("max_page_count = 1000000")
	must(t, s.Commit(ctx, c))

	pragma("busy_timeout = 20")
	other, err := sql.Open("sqlite", dsn(path))
	must(t, err)
	defer other.Close() //nolint:errcheck // the end of a test
	tx, err := other.BeginTx(ctx, nil)
	must(t, err)
	codeOf(t, s.Commit(ctx, Commit{Slice: sl, Journal: journal(2, 3, Applied)}), syncline.Transient, "state_locked")
	must(t, tx.Rollback())
	must(t, s.Commit(ctx, Commit{Slice: sl, Journal: journal(2, 3, Applied)}))
	if got, _, err := s.Totals(ctx, sl); err != nil || got != (Counts{Read: 2, Applied: 1, Parked: 1}) {
		t.Errorf("Totals = %+v, %v, want one applied and one parked", got, err)
	}
}

func TestEveryCommitIsSynced(t *testing.T) {
	s := openNew(t)
	var mode string
	var sync int
	must(t, s.writer.conn.QueryRowContext(t.Context(), "PRAGMA journal_mode").Scan(&mode))
	must(t, s.writer.conn.QueryRowContext(t.Context(), "PRAGMA synchronous").Scan(&sync))
	if mode != "wal" || sync != 2 {
		t.Errorf("journal_mode = %s, synchronous = %d, want wal, 2 (full)", mode, sync)
	}
}
