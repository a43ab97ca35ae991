package apply

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
	"syncline/internal/memtarget"
	"syncline/internal/state"
)

// tooMuch returns the event as capture leaves it of a record that is too large for the log.
func tooMuch(e syncline.Event) syncline.Event { return e.AsStub(40 << 20) }

// waiting lists what is parked as "key status code".
func (b *bench) waiting() []string {
	b.t.Helper()
	pending, err := b.state.Pending(b.ctx, b.route.slice)
	if err != nil {
		b.t.Fatal(err)
	}
	list := []string{}
	for _, x := range pending {
		list = append(list, fmt.Sprintf("%s %s %s", x.Key, x.Status, x.Code))
	}
	return list
}

func (b *bench) wantWaiting(want ...string) {
	b.t.Helper()
	if diff := cmp.Diff(append([]string{}, want...), b.waiting()); diff != "" {
		b.t.Errorf("parked (-want +got):\n%s", diff)
	}
}

// task returns the first task that waits.
func (b *bench) task() state.Exception {
	b.t.Helper()
	pending, err := b.state.Pending(b.ctx, b.route.slice)
	if err != nil || len(pending) == 0 {
		b.t.Fatalf("pending = %d, %v", len(pending), err)
	}
	return pending[0]
}

// answer stores the answer to the last read that the route asked for.
func (b *bench) answer(e syncline.Event) {
	b.t.Helper()
	run := b.runs[len(b.runs)-1]
	b.store1(&syncline.Batch{Source: "crm", Position: syncline.Position{Epoch: 1, Commit: b.commit, Ordinal: 9},
		Chunk: &syncline.Chunk{Run: run.ID, Kind: run.Kind, Number: 1, Entity: "customer", Routes: run.Routes, Last: true}, Txns: []syncline.Txn{{}},
		Events: []syncline.Event{e}})
}

func snapshot(id int64, name, notes string) syncline.Event {
	return syncline.Event{Op: syncline.OpSnapshot, Schema: customers, After: record(id, name, notes)}
}

const failedOne = "1 failed row_too_large"

func TestAStubParksItsKeyAndNothingElse(t *testing.T) {
	b := newBench(t, nil)
	b.append(created(0, "z", "x"), tooMuch(created(1, "a", "huge")), created(2, "b", "x"))
	b.mustDrain()
	b.want(map[string]string{"0": "z/x", "2": "b/x"})
	b.wantWaiting(failedOne)
	if c := b.balanced(); c.Parked != 1 || c.Applied != 2 {
		t.Errorf("counts = %+v, want 1 parked and 2 applied", c)
	}
	b.now = b.now.Add(24 * time.Hour)
	b.mustDrain() // nobody tries it again by himself
	b.wantWaiting(failedOne)
	b.start() // nor does a new start forget it
	b.mustDrain()
	b.wantWaiting(failedOne)
}

// TestWhatComesBehindAStub: what sends only some columns leaves the others unknown, so that it waits; everything that says all about
// the record makes the stub obsolete. Each case in one plan with the stub, and in one of its own.
func TestWhatComesBehindAStub(t *testing.T) {
	old := map[string]string{"1": "a/old"}
	for _, test := range []struct {
		name   string
		events []syncline.Event
		want   map[string]string
		parked []string
	}{
		{"some columns", []syncline.Event{updated(1, "c", "-")}, old, []string{failedOne}},
		{"another stub", []syncline.Event{tooMuch(updated(1, "c", "huge"))}, old, []string{failedOne}},
		{"a whole record", []syncline.Event{updated(1, "c", "small")}, map[string]string{"1": "c/small"}, nil},
		{"a whole record, and some columns of it", []syncline.Event{updated(1, "c", "small"), updated(1, "d", "-")}, map[string]string{"1": "d/small"}, nil},
		{"a whole record, a stub and some columns", []syncline.Event{updated(1, "c", "small"), tooMuch(updated(1, "d", "huge")), updated(1, "e", "-")},
			nil, []string{failedOne}},
		{"a delete", []syncline.Event{deleted(1)}, map[string]string{}, nil},
		{"a truncate", []syncline.Event{{Op: syncline.OpTruncated, Schema: customers}}, map[string]string{}, nil},
		{"another key with all columns", []syncline.Event{rekeyed(1, 2, "c", "small")}, map[string]string{"2": "c/small"}, nil},
		{"another key with some", []syncline.Event{rekeyed(1, 2, "c", "-")}, map[string]string{}, []string{"2 reading row_missing"}},
		{"another key as a stub", []syncline.Event{tooMuch(rekeyed(1, 2, "c", "huge"))}, map[string]string{}, []string{"2 failed row_too_large"}},
	} {
		for _, together := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, together %v", test.name, together), func(t *testing.T) {
				b := newBench(t, nil)
				b.append(created(1, "a", "old"))
				if !together {
					b.mustDrain()
				}
				b.append(tooMuch(updated(1, "b", "huge")))
				if !together {
					b.mustDrain()
					b.want(old)
					b.wantWaiting(failedOne)
				}
				b.append(test.events...)
				b.mustDrain()
				b.mustDrain() // what became due by the first
				b.wantWaiting(test.parked...)
				if test.want != nil {
					b.want(test.want)
				}
				for _, notes := range b.rows() {
					if notes == "e/small" || notes == "c/old" || notes == "e/old" {
						t.Errorf("target holds %s: a record that never was", notes)
					}
				}
			})
		}
	}
}

func TestRetryOfAStubReadsTheRecord(t *testing.T) {
	b := newBench(t, nil)
	b.append(created(1, "a", "old"))
	b.append(tooMuch(updated(1, "b", "huge")))
	b.mustDrain()
	retry := func() {
		t.Helper()
		if err := b.s.Retry(b.task()); err != nil {
			t.Fatalf("Retry = %v", err)
		}
		b.mustDrain()
		b.wantWaiting("1 reading row_too_large")
		if run := b.runs[len(b.runs)-1]; run.Kind != syncline.RunKeys || len(run.Keys) != 1 || run.Keys[0] != "1" {
			t.Fatalf("run = %+v, want a read of key 1", run)
		}
	}
	retry()
	b.answer(tooMuch(snapshot(1, "b", "huge"))) // still too large
	b.mustDrain()
	b.wantWaiting(failedOne)
	retry()
	if len(b.runs) != 2 || b.runs[0].ID == b.runs[1].ID {
		t.Fatalf("runs = %+v, want two", b.runs)
	}
	b.append(updated(1, "c", "-")) // does not tell the notes; the answer will
	b.mustDrain()
	b.wantWaiting("1 reading row_too_large")
	b.answer(snapshot(1, "c", "small"))
	b.mustDrain()
	b.wantWaiting()
	b.want(map[string]string{"1": "c/small"})
	if c := b.balanced(); c.Parked != 0 {
		t.Errorf("counts = %+v, want none parked", c)
	}
}

// TestColumnsOfAnOlderRecordAreNotTakenForThoseOfAStub: the record is asked for, and before the answer it is whole, too large, and
// partly told again.
func TestColumnsOfAnOlderRecordAreNotTakenForThoseOfAStub(t *testing.T) {
	b := newBench(t, nil)
	b.append(tooMuch(created(1, "a", "huge")))
	b.mustDrain()
	if err := b.s.Retry(b.task()); err != nil {
		t.Fatal(err)
	}
	b.mustDrain()
	b.append(updated(1, "b", "small"), tooMuch(updated(1, "c", "huge")), updated(1, "d", "-"))
	b.mustDrain()
	b.wantWaiting(failedOne)
	b.want(map[string]string{"1": "b/small"})
}

// TestConditionsAreNotJudgedOnAStub: only what can be told without the record counts.
func TestConditionsAreNotJudgedOnAStub(t *testing.T) {
	b := newBench(t, func(o *Options) {
		o.Rules[0].Deleted = ActionHard
		o.Rules[0].Bind = func(s *syncline.Schema) (*Binding, error) {
			return &Binding{Out: s, Admits: func(e *syncline.Event) bool { return e.Priority() >= syncline.PriorityNormal },
				Match: func(b *syncline.Batch, i int) (bool, error) {
					if b.Events[i].Stub > 0 {
						t.Error("the conditions were asked about a stub")
					}
					return b.Events[i].After[1].Text() != "out", nil
				}}, nil
		}
	})
	low := tooMuch(created(2, "out", "huge"))
	low.Meta = &syncline.Meta{Priority: syncline.PriorityLow}
	b.append(created(1, "in", "x"), tooMuch(updated(1, "out", "huge")), low)
	b.mustDrain()
	b.wantWaiting(failedOne)
	b.append(deleted(1))
	b.mustDrain()
	b.wantWaiting()
	b.want(map[string]string{})
	if c := b.balanced(); c.Filtered != 1 {
		t.Errorf("counts = %+v, want 1 filtered by its priority", c)
	}
}

// TestAStubWithoutAKeyWaitsByItsPlace: nothing tells which later events are of the same row, so none waits behind it.
func TestAStubWithoutAKeyWaitsByItsPlace(t *testing.T) {
	lines := &syncline.Schema{Entity: "customer", Version: -1, Columns: []syncline.Column{{Name: "text", Kind: syncline.KindText}}}
	line := func(text string) []syncline.Value { return []syncline.Value{syncline.Text(text)} }
	b := newBench(t, nil)
	b.append(syncline.Event{Op: syncline.OpCreated, Schema: lines, After: line("a")},
		tooMuch(syncline.Event{Op: syncline.OpCreated, Schema: lines, After: line("huge")}),
		tooMuch(syncline.Event{Op: syncline.OpDeleted, Schema: lines, Before: line("huge")}),
		syncline.Event{Op: syncline.OpUpdated, Schema: lines, Before: line("a"), After: line("b")})
	b.mustDrain()
	b.wantWaiting("%seq,1,1 failed row_too_large", "%seq,1,2 failed row_too_large")
	x := b.task()
	if err := b.s.Retry(x); syncline.CodeOf(err) != "row_too_large" {
		t.Errorf("Retry = %v, want row_too_large", err)
	}
	if err := b.s.Cancel(b.ctx, x, "known"); err != nil {
		t.Errorf("Cancel = %v", err)
	}
	b.wantWaiting("%seq,1,2 failed row_too_large")
	b.append(syncline.Event{Op: syncline.OpTruncated, Schema: lines})
	b.mustDrain()
	b.wantWaiting()
	b.balanced()
}

func TestAnEventTargetWaitsBehindAStubUntilItIsCancelled(t *testing.T) {
	recorder := memtarget.NewRecorder()
	b := newBench(t, func(o *Options) {
		o.Open = func(context.Context) (syncline.Target, error) { return recorder, nil }
	})
	b.append(created(1, "a", "x"), tooMuch(updated(1, "b", "huge")), updated(1, "c", "-"), tooMuch(updated(1, "d", "huge")), deleted(1), created(2, "o", "x"))
	b.mustDrain()
	b.wantWaiting("1 failed row_too_large", "1 held ", "1 held ", "1 held ")
	err := b.s.Retry(b.task())
	if syncline.CodeOf(err) != "row_too_large" || syncline.ClassOf(err) != syncline.Rejected {
		t.Errorf("Retry = %v, want a rejected row_too_large", err)
	}
	cancel := func() {
		t.Helper()
		if err := b.s.Cancel(b.ctx, b.task(), "the receiver knows"); err != nil {
			t.Fatal(err)
		}
		for range 3 { // one attempt for each that was held
			b.mustDrain()
		}
	}
	cancel()
	b.wantWaiting("1 failed row_too_large", "1 held ")
	cancel()
	b.wantWaiting()
	var sent []string
	for _, s := range recorder.Sent() {
		sent = append(sent, fmt.Sprintf("%s %s", s.Key, s.Change.Batch.Events[s.Change.Event].Op))
	}
	if diff := cmp.Diff([]string{"1 created", "2 created", "1 updated", "1 deleted"}, sent); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
	if c := b.balanced(); c.Skipped != 2 {
		t.Errorf("counts = %+v, want 2 skipped", c)
	}
}
