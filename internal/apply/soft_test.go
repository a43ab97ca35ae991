package apply

import (
	"context"
	"testing"

	"syncline"
	"syncline/internal/conflict"
	"syncline/internal/memtarget"
)

// mark has somebody else note at the target that record 1 is deleted, or that it is not.
func (b *bench) mark(deleted bool) {
	b.t.Helper()
	other := b.store.Open(memtarget.Options{Route: "marker"})
	if err := other.Place(b.ctx, syncline.Cursor{Log: "other"}, "other"); err != nil {
		b.t.Fatal(err)
	}
	cur, _, _, err := other.Own(b.ctx, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	values := []syncline.Value{syncline.Int(1), syncline.Unset, syncline.Unset, syncline.Bool(deleted), syncline.Unset}
	w := &syncline.Write{Cursor: cur, Commit: func(context.Context, syncline.Result) error { return nil },
		Changes: []syncline.Change{{Op: syncline.ChangePut, Object: "dim", Row: syncline.Row{Schema: marked, Values: values}}},
		Decide: func(_ int, held syncline.Held) (syncline.Decision, error) {
			return syncline.Decision{Op: syncline.ChangePut, Values: values, Shadow: held.Shadow}, nil
		}}
	if _, err := other.Apply(b.ctx, w); err != nil {
		b.t.Fatal(err)
	}
	b.store.Sync()
}

// TestSoftDeletesAreDecided: a removal against a change of others goes by the policy, and the record that goes is kept with the note and
// with what others wrote.
func TestSoftDeletesAreDecided(t *testing.T) {
	for side, want := range map[conflict.Side]string{conflict.Ours: "theirs/x deleted", conflict.Theirs: "theirs/x", conflict.Ask: "theirs/x"} {
		t.Run(string(side), func(t *testing.T) {
			b := newConflictBench(t, conflict.Policy{Strategy: conflict.LastWriteWins, Deleted: side}, keeping)
			b.append(created(1, "a", "x"), created(2, "b", "x"))
			b.mustDrain()
			b.theirs(record(1, "theirs", "x"))
			b.append(deleted(1), deleted(2), deleted(3))
			b.mustDrain()
			b.wantKept(map[string]string{"1": want, "2": "b/x deleted"})
			switch side {
			case conflict.Ours:
				b.wantConflicts("1 overwrite  [name] none|theirs -> none")
				b.append(created(1, "again", "x"))
				b.mustDrain()
				b.wantKept(map[string]string{"1": "again/x", "2": "b/x deleted"})
			case conflict.Theirs:
				b.wantConflicts("1 skip  [name] none|theirs -> theirs")
			case conflict.Ask:
				b.wantWaiting("1 conflict conflict")
				if err := b.decide(b.open(), conflict.Overwrite, ""); err != nil {
					t.Fatal(err)
				}
				b.mustDrain()
				b.wantKept(map[string]string{"1": "theirs/x deleted", "2": "b/x deleted"})
			}
			b.balanced()
		})
	}
}

// TestWhatOthersMarkAsDeletedIsDeletedByThem: the change of such a record is one against a removal.
func TestWhatOthersMarkAsDeletedIsDeletedByThem(t *testing.T) {
	for side, want := range map[conflict.Side]string{conflict.Ours: "new/y", conflict.Theirs: "a/x deleted"} {
		b := newConflictBench(t, conflict.Policy{Strategy: conflict.LastWriteWins, Deleted: side}, keeping)
		b.append(created(1, "a", "x"))
		b.mustDrain()
		b.mark(true)
		b.append(updated(1, "new", "y"))
		b.mustDrain()
		b.wantKept(map[string]string{"1": want})
	}
}

// TestDecisionsAboutKeptRecordsDoNotDependOnBatches: together or one by one, the same stays.
func TestDecisionsAboutKeptRecordsDoNotDependOnBatches(t *testing.T) {
	left := updated(1, "out", "z")
	for name, test := range map[string]struct {
		events []syncline.Event
		want   map[string]string
	}{
		"changed and deleted":  {[]syncline.Event{updated(1, "b", "y"), deleted(1)}, map[string]string{"1": "b/y deleted"}},
		"deleted and back":     {[]syncline.Event{deleted(1), created(1, "c", "z")}, map[string]string{"1": "c/z"}},
		"back and away":        {[]syncline.Event{deleted(1), created(1, "c", "z"), deleted(1)}, map[string]string{"1": "c/z deleted"}},
		"made and deleted":     {[]syncline.Event{created(2, "n", "x"), deleted(2)}, map[string]string{"1": "a/x", "2": "n/x deleted"}},
		"left after a change":  {[]syncline.Event{updated(1, "b", "-"), left}, map[string]string{"1": "b/x left"}},
		"deleted, never there": {[]syncline.Event{deleted(9)}, map[string]string{"1": "a/x"}},
		"archived":             {[]syncline.Event{event(syncline.OpArchived, updated(1, "b", "y"))}, map[string]string{"1": "b/y archived"}},
	} {
		for _, together := range []bool{true, false} {
			b := newConflictBench(t, conflict.Policy{Strategy: conflict.LastWriteWins}, keeping)
			b.append(created(1, "a", "x"))
			b.mustDrain()
			if together {
				b.append(test.events...)
			}
			for _, e := range test.events {
				if !together {
					b.append(e)
					b.mustDrain()
				}
			}
			b.mustDrain()
			t.Log(name, together)
			b.wantKept(test.want)
			b.wantConflicts()
			b.balanced()
		}
	}
}
