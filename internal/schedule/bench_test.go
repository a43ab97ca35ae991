package schedule

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"syncline/internal/state"
	"syncline/internal/statetest"
	"syncline/internal/timetable"
)

// bench is a worker beside a real state store, in time that a test moves.
type bench struct {
	*testing.T
	store  *state.Store
	worker *Worker
	o      Options
	end    func()

	mu    sync.Mutex
	begun []string // runs, in the order in which their work began
	ahead time.Duration
	// hold keeps work from ending while it is open; fail is what it ends with.
	hold chan struct{}
	fail error
}

// open opens the store at the path, which is made if it is not there.
func open(t *testing.T, path string) *state.Store {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		if err := statetest.Create(path); err != nil {
			t.Fatal(err)
		}
	}
	store, err := state.Open(t.Context(), state.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func newBench(t *testing.T) *bench {
	b := &bench{T: t, store: open(t, filepath.Join(t.TempDir(), "state.db"))}
	b.o = Options{Store: b.store, Instance: "one", Now: b.now, Kinds: map[string]Kind{
		KindSync: {Resumes: true, Do: b.do}, KindVerify: {Do: b.do}}}
	return b
}

// now is a clock that a test can set.
func (b *bench) now() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Now().Add(b.ahead)
}

func (b *bench) set(by time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ahead += by
}

func (b *bench) do(ctx context.Context, w Work) (Outcome, error) {
	b.mu.Lock()
	b.begun = append(b.begun, w.Run)
	hold, fail := b.hold, b.fail
	b.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return Outcome{}, ctx.Err()
		}
	}
	return Outcome{Counts: map[string]int64{"rows": 7}}, fail
}

func (b *bench) works(hold chan struct{}, fail error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hold, b.fail = hold, fail
}

// runs are those whose work has begun.
func (b *bench) runs() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.begun)
}

// start has a new worker work with these schedules.
func (b *bench) start(plans ...*Plan) {
	b.worker = New(b.o)
	b.worker.Set(plans)
	ctx, stop := context.WithCancel(b.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.worker.Run(ctx)
	}()
	b.end = func() { stop(); <-done }
	synctest.Wait()
}

// wait lets time go by.
func (b *bench) wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (b *bench) row(id string) state.Schedule {
	b.Helper()
	rows, err := b.store.Schedules(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	for _, row := range rows {
		if row.ID == id {
			return row
		}
	}
	return state.Schedule{}
}

// history is the runs of a schedule, the oldest first: status, cause, and how many were missed.
func (b *bench) history(id string) string {
	b.Helper()
	list, _, err := b.store.ScheduleRuns(b.Context(), id, "", 100)
	if err != nil {
		b.Fatal(err)
	}
	var lines []string
	for i := len(list) - 1; i >= 0; i-- {
		line := list[i].Status + " " + list[i].Cause
		if list[i].Missed > 0 {
			line += fmt.Sprintf(" %d", list[i].Missed)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, ", ")
}

func (b *bench) want(id, history string) {
	b.Helper()
	if got := b.history(id); got != history {
		b.Errorf("history of %s: %s\nwant: %s", id, got, history)
	}
}

func (b *bench) close() {
	b.end()
	if err := b.store.Close(); err != nil {
		b.Error(err)
	}
}

func every(t *testing.T, id string, d time.Duration, kind string) *Plan {
	p := plan(t, timetable.Spec{Every: d})
	p.ID, p.Work = id, Work{Kind: kind, System: "crm", Entity: "customer", Mode: Full}
	return p
}

func inTime(t *testing.T, test func(b *bench)) {
	synctest.Test(t, func(t *testing.T) { test(newBench(t)) })
}

// leave puts a schedule and its run back to where a process left them.
func (b *bench) leave(row state.Schedule, id string) {
	b.Helper()
	err := b.store.ChangeSchedule(b.Context(), row.ID, func(now *state.Schedule) ([]state.ScheduleRun, error) {
		*now = row
		return []state.ScheduleRun{{ID: id, Schedule: row.ID, Cause: CauseSchedule, Status: state.ScheduleRunning, Counts: "{}"}}, nil
	})
	if err != nil {
		b.Fatal(err)
	}
}

// owned has somebody be at the run that is under way, with a lease of so long.
func (b *bench) owned(owner string, lease time.Duration) {
	b.Helper()
	err := b.store.ChangeSchedule(b.Context(), "a", func(row *state.Schedule) ([]state.ScheduleRun, error) {
		row.Owner, row.Lease = owner, instant(b.now().Add(lease))
		return nil, nil
	})
	if err != nil {
		b.Fatal(err)
	}
}
