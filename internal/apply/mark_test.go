package apply

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
	"syncline/internal/memtarget"
)

func noting(column int, v syncline.Value) *Note {
	return &Note{Column: column, Value: func(*syncline.Batch, int) (syncline.Value, error) { return v, nil }}
}

// notNamedOut wants records that are not named "out".
func notNamedOut(s *syncline.Schema) (*Binding, error) {
	return &Binding{Out: s, Match: func(b *syncline.Batch, i int) (bool, error) { return b.Events[i].After[1].Text() != "out", nil }}, nil
}

// keeping is a rule that keeps what is deleted, merged or has left.
func keeping(o *Options) {
	yes := []syncline.Value{syncline.Bool(true)}
	r := &o.Rules[0]
	r.Bind = notNamedOut
	r.Deleted, r.Merged, r.Left, r.Archived = ActionSoft, ActionSoft, ActionSoft, ActionUpdate
	r.Marks = &Marks{Columns: []syncline.Column{
		{Name: "deleted", Kind: syncline.KindBool, Nullable: true, Mark: &syncline.Mark{Live: syncline.Bool(false), Gone: yes}},
		{Name: "state", Kind: syncline.KindText, Nullable: true, Mark: &syncline.Mark{
			Gone: []syncline.Value{syncline.Text("left"), syncline.Text("merged")}, Other: []syncline.Value{syncline.Text("archived")}}},
	}, Deleted: noting(0, syncline.Bool(true)), Merged: noting(1, syncline.Text("merged")), Left: noting(1, syncline.Text("left")),
		Archived: noting(1, syncline.Text("archived"))}
}

var marked = &syncline.Schema{Entity: "customer", Key: []int{0}, Version: -1, Columns: append(append([]syncline.Column(nil), customers.Columns...),
	syncline.Column{Name: "deleted", Kind: syncline.KindBool}, syncline.Column{Name: "state", Kind: syncline.KindText})}

// wantKept checks the records with what is noted of them: "name/notes deleted state".
func (b *bench) wantKept(rows map[string]string) {
	b.t.Helper()
	got := map[string]string{}
	err := b.store.Open(memtarget.Options{Route: "reader"}).Scan(b.ctx, "dim", marked, func(r syncline.Row) error {
		k, _ := r.Key()
		text := r.Values[1].Text() + "/" + r.Values[2].Text()
		if syncline.Equal(r.Values[3], syncline.Bool(true)) {
			text += " deleted"
		}
		got[string(k)] = strings.TrimSpace(text + " " + r.Values[4].Text())
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	if diff := cmp.Diff(rows, got); diff != "" {
		b.t.Errorf("target (-want +got):\n%s", diff)
	}
}

func event(op syncline.Op, e syncline.Event) syncline.Event {
	e.Op = op
	return e
}

// TestRecordsThatAreKept: one batch for all events, or one for each, make the same of them.
func TestRecordsThatAreKept(t *testing.T) {
	merged := deleted(1)
	merged.Op = syncline.OpMerged
	for _, tt := range []struct {
		name   string
		events []syncline.Event
		want   map[string]string
	}{
		{name: "deleted", events: []syncline.Event{created(1, "a", "x"), deleted(1)}, want: map[string]string{"1": "a/x deleted"}},
		{name: "deleted and never there", events: []syncline.Event{created(2, "a", "x"), deleted(1)}, want: map[string]string{"2": "a/x"}},
		{name: "deleted and made again", events: []syncline.Event{created(1, "a", "x"), deleted(1), created(1, "b", "y")}, want: map[string]string{"1": "b/y"}},
		{name: "updated and deleted", events: []syncline.Event{created(1, "a", "x"), updated(1, "b", "-"), deleted(1)}, want: map[string]string{"1": "b/x deleted"}},
		{name: "merged", events: []syncline.Event{created(1, "a", "x"), created(2, "b", "y"), merged}, want: map[string]string{"1": "a/x merged", "2": "b/y"}},
		{name: "archived", events: []syncline.Event{created(1, "a", "x"), event(syncline.OpArchived, updated(1, "b", "-"))}, want: map[string]string{"1": "b/x archived"}},
		{name: "archived and updated", events: []syncline.Event{created(1, "a", "x"), event(syncline.OpArchived, updated(1, "b", "-")), updated(1, "c", "-")},
			want: map[string]string{"1": "c/x"}},
		{name: "left", events: []syncline.Event{created(1, "a", "x"), updated(1, "out", "b")}, want: map[string]string{"1": "a/x left"}},
		{name: "never matched", events: []syncline.Event{created(1, "out", "a"), updated(1, "out", "b")}, want: map[string]string{}},
		{name: "left and came back", events: []syncline.Event{created(1, "a", "x"), updated(1, "out", "b"), updated(1, "c", "y")}, want: map[string]string{"1": "c/y"}},
		{name: "left and deleted", events: []syncline.Event{created(1, "a", "x"), updated(1, "out", "b"), deleted(1)}, want: map[string]string{"1": "a/x deleted left"}},
		{name: "moved to a key that was kept", events: []syncline.Event{created(1, "a", "x"), created(2, "b", "y"), deleted(2), rekeyed(1, 2, "c", "z")},
			want: map[string]string{"2": "c/z"}},
		{name: "moved there without all columns", events: []syncline.Event{created(1, "a", "x"), created(2, "b", "y"), deleted(2), rekeyed(1, 2, "c", "z"), updated(2, "d", "-")},
			want: map[string]string{"2": "d/z"}},
		{name: "left by the event that moved it", events: []syncline.Event{created(1, "a", "x"), rekeyed(1, 2, "out", "b")}, want: map[string]string{"1": "a/x left"}},
		{name: "emptied", events: []syncline.Event{created(1, "a", "x"), deleted(1), {Op: syncline.OpTruncated, Schema: customers}}, want: map[string]string{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for name, batches := range map[string][][]syncline.Event{"one batch": {tt.events}, "one by one": singly(tt.events)} {
				b := newBench(t, keeping)
				for _, events := range batches {
					b.append(events...)
					b.mustDrain()
				}
				b.wantKept(tt.want)
				b.wantWaiting()
				if c := b.balanced(); c.Parked != 0 {
					t.Errorf("%s: counts = %+v, want none parked", name, c)
				}
			}
		})
	}
}

func singly(events []syncline.Event) (list [][]syncline.Event) {
	for _, e := range events {
		list = append(list, []syncline.Event{e})
	}
	return list
}

// TestAKeptRecordLendsNothing: the columns of a record that is only kept are old. One that comes back without all of its columns is read
// from the source.
func TestAKeptRecordLendsNothing(t *testing.T) {
	for name, together := range map[string]bool{"one batch": true, "one by one": false} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, keeping)
			b.append(created(1, "a", "old"))
			b.mustDrain()
			events := []syncline.Event{updated(1, "out", "changed while it was away"), updated(1, "b", "-")}
			for _, e := range events {
				if !together {
					b.append(e)
					b.mustDrain()
				}
			}
			if together {
				b.append(events...)
				b.mustDrain()
			}
			b.wantKept(map[string]string{"1": "a/old left"})
			if len(b.runs) != 1 {
				t.Fatalf("runs = %+v, want one that reads the record", b.runs)
			}
			b.reply(b.runs[0], record(1, "b", "new"))
			b.mustDrain()
			b.wantKept(map[string]string{"1": "b/new"})
		})
	}
}

// TestAKeptRecordMakesWhatWaitsObsolete, as a removal does; and a refused note waits, is tried again, and holds later events of its key.
func TestAKeptRecordMakesWhatWaitsObsolete(t *testing.T) {
	b := newBench(t, keeping)
	b.append(created(1, "a", "x"))
	b.mustDrain()
	b.store.Refuse("dim", "1")
	b.append(updated(1, "b", "y"))
	b.mustDrain()
	b.store.Accept("dim", "1")
	b.append(deleted(1))
	b.mustDrain()
	b.wantKept(map[string]string{"1": "a/x deleted"})
	b.wantWaiting()

	b.append(created(2, "a", "x"))
	b.mustDrain()
	b.store.Refuse("dim", "2")
	b.append(deleted(2))
	b.mustDrain()
	b.append(created(2, "again", "y"), created(3, "other", "z"))
	b.mustDrain()
	b.start()
	b.store.Accept("dim", "2")
	b.now = b.now.Add(time.Hour)
	b.mustDrain()
	b.wantKept(map[string]string{"1": "a/x deleted", "2": "again/y", "3": "other/z"})
	b.wantWaiting()
	if c := b.balanced(); c.Parked != 0 {
		t.Errorf("counts = %+v, want none parked", c)
	}
}

// TestKeptAfterTheTargetLostItsTail: the notes come again with the rest.
func TestKeptAfterTheTargetLostItsTail(t *testing.T) {
	b := newBench(t, keeping)
	b.append(created(1, "a", "x"), created(2, "b", "x"))
	b.mustDrain()
	b.append(deleted(1))
	b.mustDrain()
	b.append(updated(2, "out", "b"))
	b.mustDrain()
	b.store.LoseTail(2)
	b.start()
	b.mustDrain()
	b.wantKept(map[string]string{"1": "a/x deleted", "2": "b/x left"})
}

func TestRulesThatCannotKeep(t *testing.T) {
	columns := []syncline.Column{{Name: "name", Kind: syncline.KindBool, Mark: &syncline.Mark{}}}
	r := &Rule{ID: "r", Bind: mirror, Marks: &Marks{Columns: columns}}
	if _, err := r.Fit(customers); syncline.CodeOf(err) != "mark_taken" {
		t.Errorf("a column that the records have: %v, want mark_taken", err)
	}
	columns[0].Name = "deleted"
	if _, err := r.Fit(&syncline.Schema{Entity: "audit", Version: -1, Columns: customers.Columns}); syncline.CodeOf(err) != "mark_without_key" {
		t.Errorf("records without a key: %v, want mark_without_key", err)
	}
	b := newBench(t, nil)
	b.options.Rules[0].Deleted, b.options.Rules[0].Marks = ActionSoft, &Marks{Columns: columns, Deleted: noting(0, syncline.Bool(true))}
	b.options.Open = func(context.Context) (syncline.Target, error) {
		return b.store.Open(memtarget.Options{Route: "r", NoTransactions: true}), nil
	}
	route, err := New(b.options)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := route.Begin(b.ctx); syncline.CodeOf(err) != "mark_unsupported" {
		t.Errorf("a target of whole records: %v, want mark_unsupported", err)
	}
}

// TestAnEventTargetLeavesOutWhatIsIgnored and is told everything else as it is.
func TestAnEventTargetLeavesOutWhatIsIgnored(t *testing.T) {
	recorder := memtarget.NewRecorder()
	b := newBench(t, func(o *Options) {
		o.Rules[0].Deleted = ActionIgnore
		o.Open = func(context.Context) (syncline.Target, error) { return recorder, nil }
	})
	b.append(created(1, "a", "x"), event(syncline.OpArchived, updated(1, "b", "y")), deleted(1))
	b.mustDrain()
	var got []string
	for _, s := range recorder.Sent() {
		got = append(got, s.Change.Batch.Events[s.Change.Event].Op.String())
	}
	if diff := cmp.Diff([]string{"created", "archived"}, got); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
	if c := b.balanced(); c.Applied != 2 || c.Filtered != 1 {
		t.Errorf("counts = %+v, want two applied and one filtered", c)
	}
}
