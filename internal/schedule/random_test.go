package schedule

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"syncline/internal/state"
	"syncline/internal/timetable"
)

// oracle watches the work of one schedule, whoever carries it out.
type oracle struct {
	mu sync.Mutex
	r  *rand.Rand
	// live counts who is at work, by run.
	live map[string]int
	// begun are the runs in the order in which their work began first.
	begun []string
	wrong []string
}

func (o *oracle) do(ctx context.Context, w Work) (Outcome, error) {
	o.mu.Lock()
	for id := range o.live {
		if id != w.Run {
			o.wrong = append(o.wrong, fmt.Sprintf("runs %s and %s are at work together", id, w.Run))
		}
	}
	if len(o.begun) == 0 || o.begun[len(o.begun)-1] != w.Run {
		o.begun = append(o.begun, w.Run)
	}
	o.live[w.Run]++
	length := time.Duration(o.r.IntN(480)) * time.Second
	o.mu.Unlock()
	defer func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.live[w.Run]--; o.live[w.Run] == 0 {
			delete(o.live, w.Run)
		}
	}()
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-timer.C:
		return Outcome{}, nil
	case <-ctx.Done():
		return Outcome{}, ctx.Err()
	}
}

// runs counts those that have begun.
func (o *oracle) runs() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.begun)
}

// TestRandomLives: two processes share a store, are killed, stopped and started again, the clock is set, people trigger and pause. No two
// runs are ever at work together, no occurrence has two, none that was begun is forgotten, and work never ceases.
func TestRandomLives(t *testing.T) {
	seeds := uint64(4)
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inTime(t, func(b *bench) { randomLife(b, seed) })
		})
	}
}

func randomLife(b *bench, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 11))
	o := &oracle{r: rand.New(rand.NewPCG(seed, 12)), live: make(map[string]int)}
	p := plan(b.T, timetable.Spec{Every: 5 * time.Minute, Jitter: time.Minute})
	p.ID, p.Work.Kind = "a", KindSync
	if seed%2 == 0 {
		p.Overlap = Queue
	}
	if seed%3 == 0 {
		p.Misfire = SkipMissed
	}
	type process struct {
		worker *Worker
		end    func()
	}
	start := func(name string) *process {
		w := New(Options{Store: b.store, Instance: name, Now: b.now, Kinds: map[string]Kind{KindSync: {Do: o.do, Resumes: true}}})
		w.Set([]*Plan{p})
		ctx, stop := context.WithCancel(b.Context())
		done := make(chan struct{})
		go func() { defer close(done); w.Run(ctx) }()
		return &process{w, func() { stop(); <-done }}
	}
	names := []string{"one", "two"}
	alive := []*process{start("one"), start("two")}
	paused := false
	for range 250 {
		b.wait(time.Duration(r.IntN(90)+1) * time.Second)
		i := r.IntN(2)
		switch at := r.IntN(100); {
		case at < 6 && alive[i] != nil: // kill -9: what the process would still write is taken back
			left := b.row("a")
			alive[i].end()
			if alive[i] = nil; left.Owner == names[i] {
				b.unwrite(left)
			}
		case at < 9 && alive[i] != nil:
			alive[i].end()
			alive[i] = nil
		case at < 25 && alive[i] == nil:
			alive[i] = start(names[i])
		case at < 28:
			b.set(time.Duration(r.Int64N(int64(6*time.Hour))) - 3*time.Hour)
		case at < 32 && alive[i] != nil:
			_, _ = alive[i].worker.Trigger(b.Context(), "a", "ops", "") // one may be under way
		case at < 34 && alive[i] != nil:
			if paused = !paused; paused {
				_ = alive[i].worker.Pause(b.Context(), "a", "ops", "")
			} else {
				_ = alive[i].worker.Resume(b.Context(), "a")
			}
		}
	}
	for i := range alive {
		if alive[i] == nil {
			alive[i] = start(names[i])
		}
	}
	if paused {
		if err := alive[0].worker.Resume(b.Context(), "a"); err != nil {
			b.Error(err)
		}
	}
	b.wait(time.Minute)
	before := o.runs()
	b.wait(time.Hour)
	if got := o.runs() - before; got < 5 {
		b.Errorf("%d runs began in an hour, want one every five to thirteen minutes", got)
	}
	for _, one := range alive {
		one.end()
	}
	b.judge(o)
	if err := b.store.Close(); err != nil {
		b.Error(err)
	}
}

// unwrite puts a schedule and the run that is under way back to what they were.
func (b *bench) unwrite(left state.Schedule) {
	b.Helper()
	if left.Run == "" {
		return
	}
	one, err := b.store.ScheduleRun(b.Context(), left.Run)
	if err != nil {
		b.Fatal(err)
	}
	one.Ended, one.Status, one.Code, one.Error = time.Time{}, state.ScheduleRunning, "", ""
	err = b.store.ChangeSchedule(b.Context(), left.ID, func(now *state.Schedule) ([]state.ScheduleRun, error) {
		*now = left
		return []state.ScheduleRun{one}, nil
	})
	if err != nil {
		b.Fatal(err)
	}
}

// judge compares the history with the work that was seen.
func (b *bench) judge(o *oracle) {
	b.Helper()
	for _, w := range o.wrong {
		b.Error(w)
	}
	known := make(map[string]bool)
	due := make(map[time.Time]string)
	for after := ""; ; {
		list, next, err := b.store.ScheduleRuns(b.Context(), "a", after, 100)
		if err != nil {
			b.Fatal(err)
		}
		for _, r := range list {
			known[r.ID] = true
			if r.Status == state.ScheduleRunning && r.ID != b.row("a").Run {
				b.Errorf("run %s is forgotten: its row says that it is under way", r.ID)
			}
			if other := due[r.Due]; other != "" && (r.Cause == CauseSchedule || r.Cause == CauseLate) && r.Status == state.ScheduleDone {
				b.Errorf("runs %s and %s are of one occurrence (%s)", r.ID, other, r.Due)
			}
			if r.Cause != CauseManual && r.Status == state.ScheduleDone {
				due[r.Due] = r.ID
			}
		}
		if after = next; after == "" {
			break
		}
	}
	for _, id := range o.begun {
		if !known[id] {
			b.Errorf("run %s has worked and is not in the history", id)
		}
	}
	if len(o.begun) < 10 {
		b.Errorf("only %d runs: nothing was tested", len(o.begun))
	}
	synctest.Wait()
}
