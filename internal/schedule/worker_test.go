package schedule

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"syncline"
	"syncline/internal/state"
)

func TestRunsAtItsTimes(t *testing.T) {
	inTime(t, func(b *bench) {
		b.start(every(b.T, "a", 5*time.Minute, KindSync), every(b.T, "b", 7*time.Minute, KindVerify))
		defer b.close()
		b.wait(5*time.Minute - time.Second)
		b.want("a", "")
		b.wait(time.Second)
		b.want("a", "done schedule")
		b.wait(5 * time.Minute)
		b.want("a", "done schedule, done schedule")
		b.want("b", "done schedule")
		runs, _, err := b.worker.History(b.Context(), "a", "", 10)
		if err != nil || len(runs) != 2 || runs[0].Counts != `{"rows":7}` || runs[0].Work != "sync crm/customer (full)" || runs[0].Ended.IsZero() {
			b.Errorf("History = %+v, %v", runs, err)
		}
		b.works(nil, syncline.Errorf(syncline.Rejected, "bad_key", "no"))
		b.wait(10 * time.Minute)
		b.want("a", "done schedule, done schedule, failed schedule, failed schedule")
		if row := b.row("a"); row.Failures != 2 {
			b.Errorf("failures = %d, want 2", row.Failures)
		}
		b.works(nil, nil)
		b.wait(5 * time.Minute)
		if row := b.row("a"); row.Failures != 0 || row.Run != "" {
			b.Errorf("after a run that was done: %+v, want no failures and nothing under way", row)
		}
	})
}

// TestRestart: what was due while nobody worked is made up for once, or skipped; a run that was cut off goes on where its kind can, under
// its own name, and is interrupted elsewhere.
func TestRestart(t *testing.T) {
	for _, c := range []struct {
		name       string
		change     func(*Plan)
		down       time.Duration
		underWay   bool
		kill       bool
		want, then string
	}{
		{"nothing missed", nil, time.Minute, false, false, "done schedule", ""},
		{"run_once", nil, 31 * time.Minute, false, false, "done schedule, done late 5", ""},
		{"skip", func(p *Plan) { p.Misfire = SkipMissed }, 32 * time.Minute, false, false, "done schedule, missed schedule 6", ""},
		{"a sync that was cut off goes on", nil, time.Minute, true, false, "running schedule", "done schedule"},
		{"a sync that was killed goes on", nil, 3 * time.Second, true, true, "running schedule", "done schedule"},
		{"a verification that was cut off", func(p *Plan) { p.Work.Kind = KindVerify }, time.Minute, true, false, "interrupted schedule", "interrupted schedule"},
		{"a verification that was killed", func(p *Plan) { p.Work.Kind = KindVerify }, 3 * time.Second, true, true, "interrupted schedule", "interrupted schedule"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inTime(t, func(b *bench) {
				p := every(b.T, "a", 5*time.Minute, KindSync)
				if c.change != nil {
					c.change(p)
				}
				if c.underWay {
					b.works(make(chan struct{}), nil)
				}
				b.start(p)
				b.wait(5 * time.Minute)
				if c.kill { // what a dead process leaves behind is what the store holds
					left, run := b.row("a"), b.row("a").Run
					b.end()
					b.leave(left, run)
				} else {
					b.end()
					if c.then != "" {
						b.want("a", c.want)
					}
				}
				b.wait(c.down)
				b.start(p)
				defer b.close()
				b.want("a", c.want)
				if c.then == "" {
					return
				}
				if c.want != c.then {
					close(b.hold)
					synctest.Wait()
					if len(b.runs()) != 2 || b.runs()[0] != b.runs()[1] {
						b.Errorf("work began for %v, want one run twice", b.runs())
					}
				}
				b.want("a", c.then)
				if row := b.row("a"); row.Run != "" {
					b.Errorf("under way: %s, want nothing", row.Run)
				}
			})
		})
	}
}

// TestOverlap: what comes during a run is one line of the history, or one run behind it.
func TestOverlap(t *testing.T) {
	for overlap, want := range map[Overlap]string{
		SkipOverlap: "done schedule, skipped schedule 3, done schedule",
		Queue:       "done schedule, skipped schedule 2, done queue, done schedule",
	} {
		t.Run(string(overlap), func(t *testing.T) {
			inTime(t, func(b *bench) {
				p := every(b.T, "a", 5*time.Minute, KindSync)
				p.Overlap = overlap
				hold := make(chan struct{})
				b.works(hold, nil)
				b.start(p)
				defer b.close()
				b.wait(22 * time.Minute)
				if row := b.row("a"); row.Missed == 0 || row.Run == "" {
					b.Errorf("after occurrences during a run: %+v, want them counted", row)
				}
				close(hold)
				b.wait(3 * time.Minute)
				b.want("a", want)
				if row := b.row("a"); row.Missed != 0 {
					b.Errorf("missed = %d after a run that was done, want 0", row.Missed)
				}
			})
		})
	}
}

// TestWhatWasMissedIsCountedUntilARunIsDone: one that failed makes up for nothing.
func TestWhatWasMissedIsCountedUntilARunIsDone(t *testing.T) {
	inTime(t, func(b *bench) {
		hold := make(chan struct{})
		b.works(hold, errors.New("the source is down"))
		b.start(every(b.T, "a", 5*time.Minute, KindSync))
		defer b.close()
		want := func(when string, missed, failures int64) {
			if row := b.row("a"); row.Missed != missed || row.Failures != failures {
				b.Errorf("%s: %d were missed, %d failed, want %d and %d", when, row.Missed, row.Failures, missed, failures)
			}
		}
		b.wait(22 * time.Minute)
		want("during the run", 3, 0)
		close(hold)
		b.wait(time.Minute)
		want("after it has failed", 3, 1)
		b.works(nil, nil)
		b.wait(3 * time.Minute)
		want("after one that was done", 0, 0)
	})
}

func TestTrigger(t *testing.T) {
	inTime(t, func(b *bench) {
		p := every(b.T, "a", time.Hour, KindSync)
		hold := make(chan struct{})
		b.works(hold, nil)
		b.start(p)
		defer b.close()
		if err := b.worker.Pause(b.Context(), "a", "ops", "maintenance"); err != nil {
			b.Fatal(err)
		}
		id, err := b.worker.Trigger(b.Context(), "a", "ops", "why")
		if err != nil {
			b.Fatal(err)
		}
		synctest.Wait()
		if _, err := b.worker.Trigger(b.Context(), "a", "ops", "again"); syncline.CodeOf(err) != "schedule_running" {
			b.Errorf("Trigger during a run = %v, want schedule_running", err)
		}
		if _, err := b.worker.Trigger(b.Context(), "z", "ops", ""); !errors.Is(err, state.ErrNotFound) {
			b.Errorf("Trigger of nothing = %v, want ErrNotFound", err)
		}
		close(hold)
		b.wait(time.Second)
		b.want("a", "done manual")
		run, err := b.store.ScheduleRun(b.Context(), id)
		if err != nil || run.Author != "ops" || run.Reason != "why" {
			b.Errorf("ScheduleRun = %+v, %v, want who and why", run, err)
		}
	})
}

// TestPause: what comes during a pause is not made up for.
func TestPause(t *testing.T) {
	inTime(t, func(b *bench) {
		p := every(b.T, "a", 5*time.Minute, KindSync)
		b.start(p)
		if err := b.worker.Resume(b.Context(), "a"); syncline.CodeOf(err) != "schedule_not_paused" {
			b.Errorf("Resume = %v, want schedule_not_paused", err)
		}
		if err := b.worker.Pause(b.Context(), "a", "ops", "maintenance"); err != nil {
			b.Fatal(err)
		}
		b.wait(31 * time.Minute)
		b.end()
		b.start(p)
		defer b.close()
		list, err := b.worker.List(b.Context())
		if err != nil || len(list) != 1 || !list[0].Due.IsZero() || list[0].Overdue || list[0].Standing.PauseReason != "maintenance" {
			b.Errorf("List = %+v, %v, want a pause", list, err)
		}
		if err := b.worker.Resume(b.Context(), "a"); err != nil {
			b.Fatal(err)
		}
		b.wait(4 * time.Minute)
		b.want("a", "")
		b.wait(time.Minute)
		b.want("a", "done schedule")
	})
}

// TestSet: a schedule that changes keeps its history and is reckoned anew; the run of one that is gone is stopped, and what it missed
// until it comes again is nobody's loss.
func TestSet(t *testing.T) {
	inTime(t, func(b *bench) {
		p := every(b.T, "a", 5*time.Minute, KindSync)
		b.start(p)
		defer b.close()
		b.wait(6 * time.Minute)
		other := every(b.T, "a", 10*time.Minute, KindSync)
		other.Timing = "10m"
		b.worker.Set([]*Plan{other})
		b.wait(9 * time.Minute)
		b.want("a", "done schedule")
		b.works(make(chan struct{}), nil)
		b.wait(time.Minute)
		b.want("a", "done schedule, running schedule")
		b.worker.Set(nil)
		b.wait(time.Second)
		b.want("a", "done schedule, interrupted schedule")
		if row := b.row("a"); row.ID != "" {
			b.Errorf("a schedule that is gone is still there: %+v", row)
		}
		b.works(nil, nil)
		b.wait(time.Hour)
		b.worker.Set([]*Plan{other})
		b.wait(10*time.Minute + time.Second)
		b.want("a", "done schedule, interrupted schedule, done schedule")
	})
}

// TestSetClock: the clock is set while nothing else happens, which no timer notices.
func TestSetClock(t *testing.T) {
	inTime(t, func(b *bench) {
		p := every(b.T, "a", time.Hour, KindSync)
		b.start(p)
		defer b.close()
		b.wait(time.Minute)
		b.set(3 * time.Hour)
		b.wait(look)
		b.want("a", "done late 2")
		b.set(-24 * time.Hour)
		b.wait(59 * time.Minute)
		b.want("a", "done late 2")
		b.wait(2 * time.Minute)
		b.want("a", "done late 2, done schedule")
		if at := b.worker.trimmed; at.After(b.now()) {
			b.Errorf("old runs are not forgotten until %s comes again", at)
		}
	})
}

// TestTwoInstances: one store has one run for each occurrence, whoever is there; the run of one that is gone is taken over when its lease
// has ended, and the one that lost it does not write its result.
func TestTwoInstances(t *testing.T) {
	inTime(t, func(b *bench) {
		p := every(b.T, "a", 5*time.Minute, KindSync)
		hold := make(chan struct{})
		b.works(hold, nil)
		b.start(p)
		o := b.o
		o.Instance = "two"
		second := New(o)
		second.Set([]*Plan{p})
		ctx, stop := context.WithCancel(b.Context())
		done := make(chan struct{})
		go func() { defer close(done); second.Run(ctx) }()
		defer func() { stop(); <-done; b.close() }()
		b.wait(9 * time.Minute)
		if row := b.row("a"); len(b.runs()) != 1 || row.Lease.Before(time.Now()) {
			b.Fatalf("runs begun: %v with a lease to %s, want one whose lease is kept up", b.runs(), row.Lease)
		}
		// Whoever has it stops saying so: its lease ends.
		stuck := b.row("a")
		err := b.store.ChangeSchedule(b.Context(), "a", func(row *state.Schedule) ([]state.ScheduleRun, error) {
			row.Owner, row.Lease = "three", time.Now().Add(30*time.Second).UTC()
			return nil, nil
		})
		if err != nil {
			b.Fatal(err)
		}
		b.wait(25 * time.Second)
		if len(b.runs()) != 1 {
			b.Errorf("a run was taken over before its lease had ended: %v", b.runs())
		}
		b.wait(20 * time.Second)
		if row := b.row("a"); len(b.runs()) != 2 || b.runs()[1] != stuck.Run || row.Owner == "three" {
			b.Errorf("after the lease has ended: %v at %q, want the same run with another owner", b.runs(), row.Owner)
		}
		close(hold)
		b.wait(time.Second)
		b.want("a", "done schedule")
	})
}

// TestALeaseOfAnotherClock that ends later than any lease does holds nobody up: its owner renews it, and where that is gone, another one takes
// the run, or forgets it with its schedule.
func TestALeaseOfAnotherClock(t *testing.T) {
	for _, c := range []struct {
		name, owner string
		gone        bool // the schedule is not in the configuration any more
		runs        int
	}{{"its owner's", "one", false, 1}, {"another one's", "two", false, 2}, {"another one's, of a schedule that is gone", "two", true, 1}} {
		t.Run(c.name, func(t *testing.T) {
			inTime(t, func(b *bench) {
				b.works(make(chan struct{}), nil)
				p := every(b.T, "a", 5*time.Minute, KindSync)
				b.start(p)
				defer b.close()
				b.wait(6 * time.Minute)
				switch {
				case c.owner == "one":
					b.owned(c.owner, 3*time.Hour)
				case c.gone: // and so is the process
					b.end()
					b.owned(c.owner, 3*time.Hour)
					b.start()
				default:
					b.end()
					b.owned(c.owner, 3*time.Hour)
					b.start(p)
				}
				b.wait(look + time.Second)
				row := b.row("a")
				if left := row.Lease.Sub(b.now()); len(b.runs()) != c.runs || left > leaseTime || (row.ID == "") != c.gone {
					b.Errorf("work began %d times, the lease ends in %s, the schedule is %+v; want %d, and a minute at most", len(b.runs()), left, row, c.runs)
				}
			})
		})
	}
}

// TestARunThatIsLeftIsTakenAtOnce: a process that ends in order leaves its run to whoever comes next, without a lease to wait for.
func TestARunThatIsLeftIsTakenAtOnce(t *testing.T) {
	inTime(t, func(b *bench) {
		b.works(make(chan struct{}), nil)
		p := every(b.T, "a", 5*time.Minute, KindSync)
		b.start(p)
		b.wait(5 * time.Minute)
		b.end()
		b.o.Instance = "two"
		b.start(p)
		defer b.close()
		if runs := b.runs(); len(runs) != 2 || runs[0] != runs[1] {
			b.Errorf("work began for %v, want one run twice", runs)
		}
	})
}

// TestTheRunOfAnotherIsNotForgotten with its schedule, for as long as it is under way.
func TestTheRunOfAnotherIsNotForgotten(t *testing.T) {
	inTime(t, func(b *bench) {
		b.works(make(chan struct{}), nil)
		b.start(every(b.T, "a", 5*time.Minute, KindSync))
		b.wait(6 * time.Minute)
		b.end()
		b.owned("two", leaseTime)
		b.start()
		defer b.close()
		b.wait(leaseTime - look)
		b.want("a", "running schedule")
		b.wait(2 * look)
		b.want("a", "interrupted schedule")
		if row := b.row("a"); row.ID != "" {
			b.Errorf("a schedule that is gone is still there: %+v", row)
		}
	})
}

// TestOverdue: nothing has begun what is due, once its grace is over.
func TestOverdue(t *testing.T) {
	inTime(t, func(b *bench) {
		b.start(every(b.T, "a", 5*time.Minute, KindSync))
		defer b.close()
		b.end() // nobody works
		for _, c := range []struct {
			wait    time.Duration
			overdue bool
		}{{5*time.Minute - time.Second, false}, {time.Second + grace, false}, {time.Second, true}} {
			b.wait(c.wait)
			list, err := b.worker.List(b.Context())
			if err != nil || len(list) != 1 || list[0].Overdue != c.overdue {
				b.Errorf("List at %s = %+v, %v, want overdue: %v", b.now(), list, err, c.overdue)
			}
		}
	})
}

// TestAPauseEndsWhatIsQueued: it is not made up for either.
func TestAPauseEndsWhatIsQueued(t *testing.T) {
	inTime(t, func(b *bench) {
		hold := make(chan struct{})
		b.works(hold, nil)
		p := every(b.T, "a", 5*time.Minute, KindSync)
		p.Overlap = Queue
		b.start(p)
		defer b.close()
		b.wait(11 * time.Minute)
		if b.row("a").Queued.IsZero() {
			b.Fatal("nothing is queued")
		}
		if err := b.worker.Pause(b.Context(), "a", "ops", "maintenance"); err != nil {
			b.Fatal(err)
		}
		if row := b.row("a"); !row.Queued.IsZero() {
			b.Errorf("during a pause the occurrence of %s is said to be queued", row.Queued)
		}
		close(hold)
		b.wait(time.Minute)
		b.want("a", "done schedule")
	})
}
