package apply

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"syncline"
	"syncline/internal/expression"
	"syncline/internal/memtarget"
	"syncline/internal/state"
)

// oracle is a step that asks outside: it writes the name in capital letters.
type oracle struct {
	asked  [][]string                  // the names of each question
	answer func(name string) error     // nil = all are answered
	fails  func(context.Context) error // nil = it never does
	atOnce int                         // how many there is time for; 0 = all
}

func (o *oracle) bind(s *syncline.Schema) (*Binding, error) {
	b := &Binding{Out: s}
	b.Row = func(*syncline.Batch, int) ([]syncline.Value, bool, error) { panic("Row of a rule that asks") }
	b.Prepare = func(ctx context.Context, places []Place) ([]Made, error) {
		if o.fails != nil {
			if err := o.fails(ctx); err != nil {
				return nil, err
			}
		}
		made := make([]Made, len(places))
		var names []string
		for i, p := range places {
			row := append([]syncline.Value(nil), p.Batch.Events[p.Index].After...)
			name := row[1].Text()
			names = append(names, name)
			row[1] = syncline.Text(strings.ToUpper(name))
			if made[i] = (Made{Values: row, Keep: true}); o.atOnce > 0 && i >= o.atOnce {
				made[i] = Made{Later: true}
			}
			if o.answer != nil && !made[i].Later {
				made[i].Err = o.answer(name)
			}
		}
		o.asked = append(o.asked, names)
		return made, nil
	}
	return b, nil
}

func (o *oracle) rule(opts *Options) { opts.Rules[0].Bind, opts.Rules[0].Outside = o.bind, true }

func TestRowsAreAskedForInOneGo(t *testing.T) {
	o := &oracle{}
	b := newBench(t, o.rule)
	b.append(created(1, "a", "x"), created(2, "b", "x"))
	b.append(updated(1, "c", "-"), deleted(2))
	b.mustDrain()
	b.want(map[string]string{"1": "C/x"})
	if len(o.asked) != 1 || strings.Join(o.asked[0], "") != "abc" {
		t.Errorf("asked for %v, want a, b and c in one go", o.asked)
	}
}

// TestWhatThereWasNoTimeForIsAskedForAgain: what was made goes to the target, nothing is parked, and the order of each key holds. Retries
// are asked for again too.
func TestWhatThereWasNoTimeForIsAskedForAgain(t *testing.T) {
	o := &oracle{atOnce: 2}
	b := newBench(t, o.rule)
	b.append(created(1, "a", "x"), created(2, "b", "x"), updated(1, "c", "-"))
	b.append(created(3, "d", "x"), updated(2, "e", "-"))
	b.mustDrain()
	b.want(map[string]string{"1": "C/x", "2": "E/x", "3": "D/x"})
	if got := fmt.Sprint(o.asked); got != "[[a b c d e] [c d e] [e]]" {
		t.Errorf("asked for %s, want two fewer each time", got)
	}
	o.asked, o.answer = nil, func(string) error { return syncline.Errorf(syncline.Transient, "not_there", "it is not there yet") }
	for id := range int64(5) {
		b.append(created(10+id, "r", "x"))
	}
	b.mustDrain()
	o.asked, o.answer = nil, nil
	b.now = b.now.Add(time.Hour)
	b.mustDrain()
	b.want(map[string]string{"1": "C/x", "2": "E/x", "3": "D/x", "10": "R/x", "11": "R/x", "12": "R/x", "13": "R/x", "14": "R/x"})
	if got := fmt.Sprint(o.asked); got != "[[r r r r r] [r r r] [r]]" {
		t.Errorf("retries asked for %s, want two fewer each time", got)
	}
}

func TestAnEventWaitsForWhatIsNotThereYet(t *testing.T) {
	missing := syncline.Errorf(syncline.Transient, "not_there", "it is not there yet")
	o := &oracle{answer: func(name string) error {
		if name == "a" {
			return missing
		}
		return nil
	}}
	b := newBench(t, o.rule)
	b.append(created(1, "a", "x"), created(2, "b", "x"))
	b.mustDrain()
	b.want(map[string]string{"2": "B/x"})
	one := func() state.Exception {
		t.Helper()
		list, err := b.state.Pending(b.ctx, b.route.slice)
		if err != nil || len(list) != 1 {
			t.Fatalf("pending = %+v, %v, want one", list, err)
		}
		return list[0]
	}
	for range 12 { // more often than attempts are allowed
		x := one()
		if x.Status != state.StatusRetrying || x.Code != "not_there" || x.Attempts != 0 || !x.NextTry.After(b.now) {
			t.Fatalf("task is %s, %s, %d attempts, next %s, want it to wait without an attempt", x.Status, x.Code, x.Attempts, x.NextTry)
		}
		b.now = x.NextTry
		b.mustDrain()
	}
	if x := one(); x.NextTry.Sub(b.now) != 5*time.Minute {
		t.Errorf("after a while it waits %s, want the longest delay", x.NextTry.Sub(b.now))
	}
	b.append(updated(1, "c", "-")) // behind its key
	b.mustDrain()
	o.answer = nil
	b.now = b.now.Add(time.Hour)
	b.mustDrain()
	b.want(map[string]string{"1": "C/x", "2": "B/x"})
	if c := b.balanced(); c.Parked != 0 {
		t.Errorf("counts = %+v, want none parked", c)
	}
}

func TestRowsThatCannotBeMadeAreParkedAlone(t *testing.T) {
	o := &oracle{answer: func(name string) error {
		switch name {
		case "bad":
			return syncline.Errorf(syncline.Rejected, "step_failed", "step 1 failed")
		case "unsent":
			return &expression.UnsetError{Column: "notes"}
		}
		return nil
	}}
	b := newBench(t, o.rule)
	b.append(created(1, "bad", "x"), created(2, "b", "x"), updated(3, "unsent", "-"))
	b.mustDrain()
	b.want(map[string]string{"2": "B/x"})
	list, err := b.state.Pending(b.ctx, b.route.slice)
	if err != nil || len(list) != 2 {
		t.Fatalf("pending = %+v, %v, want two", list, err)
	}
	for _, x := range list {
		if want := map[syncline.Key]string{"1": "failed step_failed", "3": "reading column_unsent"}[x.Key]; x.Status+" "+x.Code != want {
			t.Errorf("key %s is %s %s, want %s", x.Key, x.Status, x.Code, want)
		}
	}
	o.answer = nil
	if err := b.s.Retry(list[0]); err != nil {
		t.Fatal(err)
	}
	b.mustDrain()
	b.want(map[string]string{"1": "BAD/x", "2": "B/x"})
}

// TestATaskIsTriedAsItsRecordIs: the answer for a parked record stands for the schema that the record has, whatever rows come
// meanwhile.
func TestAParkedRecordKeepsItsSchemaWhileItIsAskedFor(t *testing.T) {
	o := &oracle{answer: func(string) error { return syncline.Errorf(syncline.Transient, "not_there", "not yet") }}
	b := newBench(t, o.rule)
	b.append(created(1, "a", "x"), created(2, "b", "x"))
	b.mustDrain()
	o.answer = nil
	wider := *customers
	wider.Columns = append(append([]syncline.Column(nil), customers.Columns...), syncline.Column{Name: "tier", Kind: syncline.KindText, Type: "text", Nullable: true})
	b.append(syncline.Event{Op: syncline.OpCreated, Schema: &wider, After: append(record(3, "c", "x"), syncline.Text("gold"))})
	b.now = b.now.Add(time.Hour)
	b.mustDrain()
	b.want(map[string]string{"1": "A/x", "2": "B/x", "3": "C/x"})
}

func TestASessionEndsWhereNobodyAnswers(t *testing.T) {
	down := syncline.Errorf(syncline.Transient, "outside_down", "nobody answers")
	o := &oracle{fails: func(context.Context) error { return down }}
	b := newBench(t, o.rule)
	b.append(created(1, "a", "x"))
	if err := b.drain(); !errors.Is(err, down) {
		t.Fatalf("drain = %v, want %v", err, down)
	}
	o.fails = nil
	b.start()
	b.mustDrain()
	b.want(map[string]string{"1": "A/x"})
}

// TestTheNextRowsAreAskedForBesideTheApply: while the target has a batch, the rows of the one that follows are asked for; a route
// that is told to stop meanwhile waits for the batch, not for the answer.
func TestTheNextRowsAreAskedForBesideTheApply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := make(chan struct{}, 9)
		writing, write := make(chan struct{}), make(chan struct{})
		questions := 0
		o := &oracle{fails: func(ctx context.Context) error {
			asked <- struct{}{}
			if questions++; questions == 2 {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}}
		b := newBench(t, func(opts *Options) {
			o.rule(opts)
			opts.Limits.MaxRows = 1
			open := opts.Open
			opts.Open = func(ctx context.Context) (syncline.Target, error) {
				target, err := open(ctx)
				return &slowTarget{target.(*memtarget.Target), writing, write}, err
			}
		})
		b.append(created(1, "a", "x"), created(2, "b", "x"))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.route.Run(ctx, t.Context()) }()
		<-asked
		<-writing
		<-asked // the second row, while the first is being written
		stop()
		synctest.Wait()
		select {
		case <-done:
			t.Fatal("the route ended with a batch in hand")
		default:
		}
		close(write)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		b.want(map[string]string{"1": "A/x"})
	})
}

// slowTarget tells when it is given a batch, and waits before it takes it.
type slowTarget struct {
	*memtarget.Target
	writing, write chan struct{}
}

func (s *slowTarget) Apply(ctx context.Context, w *syncline.Write) (syncline.Result, error) {
	if len(w.Changes) > 0 {
		s.writing <- struct{}{}
		<-s.write
	}
	return s.Target.Apply(ctx, w)
}

// TestARuleThatKeepsRecordsAsksToo: what was asked for has the columns of the marks.
func TestARuleThatKeepsRecordsAsksToo(t *testing.T) {
	o := &oracle{}
	b := newBench(t, func(opts *Options) {
		keeping(opts)
		o.rule(opts)
	})
	b.append(created(1, "a", "x"), created(2, "b", "x"))
	b.mustDrain()
	b.append(deleted(2))
	b.mustDrain()
	b.wantKept(map[string]string{"1": "A/x", "2": "B/x deleted"})
}
