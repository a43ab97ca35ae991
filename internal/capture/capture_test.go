package capture

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"syncline"
	"syncline/internal/memlog"
	"syncline/internal/memsource"
	"syncline/internal/state"
	"syncline/internal/statetest"
)

var schema = &syncline.Schema{Entity: "customer", Key: []int{0}, Version: -1, Columns: []syncline.Column{{Name: "id", Kind: syncline.KindInt}}}

// refusing is a log that refuses batches with events.
type refusing struct{ *memlog.Log }

func (l refusing) Append(ctx context.Context, b *syncline.Batch) (syncline.Seq, error) {
	if len(b.Events) > 0 {
		return 0, syncline.Errorf(syncline.Rejected, "log_batch_too_large", "too large")
	}
	return l.Log.Append(ctx, b)
}

// newCapture captures a system. The copied entities are copied first.
func newCapture(t *testing.T, log syncline.Log, system *memsource.System, copied ...string) *Capture {
	t.Helper()
	return New(Options{Source: "crm", Log: log, Runs: statetest.Open(t), Open: func() (syncline.Source, error) {
		return memsource.New(memsource.Options{Name: "crm", System: system, Snapshot: copied}), nil
	}})
}

// run captures in the background until the test ends.
func run(t *testing.T, c *Capture) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1) // the goroutine's one word
	go func() { done <- c.Run(ctx, context.WithoutCancel(ctx)) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	tick, deadline := time.NewTicker(time.Millisecond), time.After(20*time.Second)
	defer tick.Stop()
	for !check() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal(what)
		}
	}
}

// change lets a system commit n more transactions of one change each, and waits until they are in the log. The source has said
// before where it begins: what is there by then is no change.
func change(t *testing.T, c *Capture, s *memsource.System, n int) {
	t.Helper()
	eventually(t, "the capture did not begin", func() bool { return c.Status().Seq > 0 })
	before := c.Status().Events
	s.Advance(n)
	eventually(t, "the changes were not captured", func() bool { return c.Status().Events == before+int64(n) })
}

func system(txns int) *memsource.System {
	s := memsource.NewSystem("db")
	for i := range txns {
		s.Append(memsource.Txn{Changes: []memsource.Change{{Op: syncline.OpCreated, Schema: schema, After: []syncline.Value{syncline.Int(int64(i))}}}})
	}
	return s
}

func TestOnlyWhatIsInTheLogIsConfirmed(t *testing.T) {
	log := memlog.New(memlog.Options{}).Log("crm")
	log.FailNext(0, memlog.FaultFull, memlog.FaultLost, memlog.FaultAnswerLost)
	s := system(3)
	c := newCapture(t, log, s)
	run(t, c)
	change(t, c, s, 3)
	bounds, err := log.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if st := c.Status(); st.Seq != bounds.Last || s.Confirmed().Compare(st.Position) > 0 {
		t.Errorf("status = %+v, log ends at %d, confirmed is %s", st, bounds.Last, s.Confirmed())
	}
}

// TestNothingIsConfirmedBeforeItIsInTheLog: while an append has failed, the source has heard of nothing beyond the one before. What is
// confirmed in the end does not tell that: it is the same.
func TestNothingIsConfirmedBeforeItIsInTheLog(t *testing.T) {
	log := memlog.New(memlog.Options{}).Log("crm")
	s := system(2)
	c := newCapture(t, log, s)
	c.o.MinDelay, c.o.MaxDelay = 1000*time.Hour, 1000*time.Hour
	confirmed := make(chan syncline.Position, 1) // by the capture, once: only one append fails
	c.o.Stalled = func(error) {
		confirmed <- s.Confirmed()
		c.Resume()
	}
	run(t, c)
	change(t, c, s, 1)
	logged := c.Status().Position
	log.FailNext(memlog.FaultFull)
	change(t, c, s, 1)
	if got := <-confirmed; got.Compare(logged) > 0 {
		t.Errorf("%s was confirmed while the log ended at %s", got, logged)
	}
	if got := c.Status().Position; got.Compare(logged) <= 0 {
		t.Errorf("the log ends at %s after another change, as at %s before it", got, logged)
	}
}

// TestACaptureThatWaitsTriesAgainWhenItIsTold: whoever makes room in the log need not wait for the capture's next turn.
func TestACaptureThatWaitsTriesAgainWhenItIsTold(t *testing.T) {
	log := memlog.New(memlog.Options{}).Log("crm")
	log.FailNext(0, memlog.FaultFull)
	s := system(1)
	c := newCapture(t, log, s)
	c.o.MinDelay, c.o.MaxDelay = 1000*time.Hour, 1000*time.Hour
	told := make(chan error, 1) // by the capture, once: only one append fails
	c.o.Stalled = func(err error) {
		told <- err
		c.Resume()
	}
	run(t, c)
	change(t, c, s, 1)
	if err := <-told; syncline.CodeOf(err) != "log_full" {
		t.Errorf("stalled by %v, want log_full", err)
	}
}

// TestTroubleOutlastsAMoment: a source that opens, and fails again before the longest pause is over, is in trouble since it failed first; one that
// worked for longer is not.
func TestTroubleOutlastsAMoment(t *testing.T) {
	begin := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	now := begin
	c := New(Options{Source: "crm", Now: func() time.Time { return now }, MaxDelay: 30 * time.Second})
	for i, step := range []struct {
		after time.Duration
		to    State
		since time.Duration
	}{
		{time.Second, StateRunning, time.Second},
		{time.Second, StateDegraded, 2 * time.Second}, // for the first time
		{58 * time.Second, StateRunning, time.Minute},
		{29 * time.Second, StateDegraded, 2 * time.Second},
		{time.Hour, StateRunning, time.Hour + 89*time.Second},
		{30 * time.Second, StateDegraded, time.Hour + 119*time.Second},
		{time.Second, StateHalted, time.Hour + 120*time.Second},
		{time.Second, StateRunning, time.Hour + 121*time.Second},
		{time.Second, StateDegraded, time.Hour + 122*time.Second}, // somebody had looked at it
	} {
		now = now.Add(step.after)
		c.m.state = step.to
		c.show()
		if got := c.Status().Since.Sub(begin); got != step.since {
			t.Errorf("step %d: %s since %s, want %s", i, step.to, got, step.since)
		}
	}
}

func TestABatchThatTheLogRefusesHaltsTheSource(t *testing.T) {
	s := system(1)
	c := newCapture(t, refusing{memlog.New(memlog.Options{}).Log("crm")}, s)
	run(t, c)
	eventually(t, "the capture did not begin", func() bool { return c.Status().Seq > 0 })
	s.Advance(1)
	eventually(t, "the capture did not halt", func() bool { return c.Status().State == StateHalted })
	if err := c.Status().Err; syncline.CodeOf(err) != "log_batch_too_large" {
		t.Errorf("halted by %v, want log_batch_too_large", err)
	}
	if p := s.Confirmed(); p.Ordinal > 0 {
		t.Errorf("%s is confirmed, and is not in the log", p)
	}
}

// slow is a log whose appends wait for a word on go, and say on begun when they do.
type slow struct {
	*memlog.Log
	begun chan int      // sent by Append: how many events it is about to store
	goOn  chan struct{} // received by Append
}

func (l slow) Append(ctx context.Context, b *syncline.Batch) (syncline.Seq, error) {
	l.begun <- len(b.Events)
	<-l.goOn
	return l.Log.Append(ctx, b)
}

func TestTheNextBatchFillsDuringAnAppend(t *testing.T) {
	log := slow{memlog.New(memlog.Options{}).Log("crm"), make(chan int), make(chan struct{})}
	s := system(10)
	source := &watched{Source: memsource.New(memsource.Options{Name: "crm", System: s}), asked: make(chan struct{}, 100)}
	c := newCapture(t, log, s)
	c.o.Open = func() (syncline.Source, error) { return source, nil }
	run(t, c)
	if n := <-log.begun; n != 0 {
		t.Fatalf("append of %d events, want where the source begins", n)
	}
	log.goOn <- struct{}{}
	s.Advance(1)
	if n := <-log.begun; n != 1 {
		t.Fatalf("append of %d events, want 1", n)
	}
	confirmed := s.Confirmed()
	for range 3 { // for the beginning, for the first event, and beside its append
		<-source.asked
	}
	for range 4 { // the append is under way all the time
		s.Advance(1)
		<-source.asked // again: what it gave is taken
	}
	if s.Confirmed() != confirmed {
		t.Errorf("%s is confirmed before it is in the log", s.Confirmed())
	}
	log.goOn <- struct{}{}
	if n := <-log.begun; n != 4 {
		t.Errorf("append of %d events, want the 4 that came during the one before", n)
	}
	log.goOn <- struct{}{}
	eventually(t, "the last event is not confirmed", func() bool { return s.Confirmed().Commit == 5 })
}

// watched tells when it is asked for a batch.
type watched struct {
	*memsource.Source
	asked chan struct{} // has room for all of them
}

func (w *watched) Next(ctx context.Context) (*syncline.Batch, error) {
	w.asked <- struct{}{}
	return w.Source.Next(ctx)
}

// TestRoutesReadQuietly: what an operator asked for is a line of the log, what routes read by themselves is not.
func TestRoutesReadQuietly(t *testing.T) {
	db := system(3)
	c := newCapture(t, memlog.New(memlog.Options{}).Log("crm"), db)
	var logged strings.Builder // written by the goroutine of Run, read after its end
	c.log = slog.New(slog.NewTextHandler(&logged, nil))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx, context.WithoutCancel(ctx)) }()
	change(t, c, db, 3)
	for _, id := range []string{state.ReadRun + "1", "sync-1"} {
		if err := c.RequestRun(t.Context(), syncline.Run{ID: id, Kind: syncline.RunKeys, Entity: "customer", Keys: []syncline.Key{"1"}}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the runs are done", func() bool {
		open, err := c.o.Runs.(*state.Store).OpenRuns(t.Context(), "crm")
		return err == nil && len(open) == 0
	})
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if text := logged.String(); strings.Contains(text, state.ReadRun) || !strings.Contains(text, "run=sync-1") {
		t.Errorf("the log says %q, want the run sync-1 and not what a route has read", text)
	}
}

// TestTheLogTellsThatASourceAnswersAgain: once for each time that it was away. Why a capture has stopped has its way out.
func TestTheLogTellsThatASourceAnswersAgain(t *testing.T) {
	for _, test := range []struct {
		err  error
		says string
	}{
		{syncline.Errorf(syncline.Transient, "connection_lost", "gone"), "source or log does not answer"},
		{syncline.Errorf(syncline.Fatal, "slot_missing", "no").WithFix("make it"), `fix="make it"`},
	} {
		db := system(3)
		c := newCapture(t, memlog.New(memlog.Options{}).Log("crm"), db)
		var logged strings.Builder // written by the goroutine of Run, read after its end
		c.log, c.o.MinDelay, c.o.MaxDelay = slog.New(slog.NewTextHandler(&logged, nil)), time.Millisecond, time.Millisecond
		open, err := c.o.Open, test.err
		c.o.Open = func() (syncline.Source, error) {
			if first := err; first != nil {
				err = nil
				return nil, first
			}
			return open()
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1) // the goroutine's one word
		go func() { done <- c.Run(ctx, context.WithoutCancel(ctx)) }()
		eventually(t, "the source is not open", func() bool {
			c.Resume() // of nothing, until the capture has halted
			return c.Status().Seq > 0
		})
		change(t, c, db, 3)
		stop()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		for _, what := range []string{test.says, "source answers again"} {
			if got := strings.Count(logged.String(), what); got != 1 {
				t.Errorf("the log says %q %d times, want once:\n%s", what, got, logged.String())
			}
		}
	}
}

// TestARefusedLoginIsTriedRarely: often enough that the source comes back by itself, seldom enough that no account is locked. An operator
// need not wait for it.
func TestARefusedLoginIsTriedRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logins atomic.Int64
		c := New(Options{Source: "crm", Log: memlog.New(memlog.Options{}).Log("crm"), Runs: make(memory), Open: func() (syncline.Source, error) {
			logins.Add(1)
			return nil, syncline.Errorf(syncline.Transient, "login_refused", "who are you").Patiently()
		}})
		run(t, c)
		<-time.After(30 * time.Minute)
		if n := logins.Load(); n < 20 || n > 31 {
			t.Errorf("%d logins in half an hour, want one every minute or a little more", n)
		}
		if st := c.Status(); st.State != StateDegraded || syncline.CodeOf(st.Err) != "login_refused" {
			t.Errorf("the source is %s, %v, want degraded and why", st.State, st.Err)
		}
		before := logins.Load()
		c.Resume()
		synctest.Wait()
		if n := logins.Load() - before; n != 1 {
			t.Errorf("%d logins at the command to resume, want one at once", n)
		}
	})
}
