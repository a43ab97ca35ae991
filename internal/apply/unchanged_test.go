package apply

import (
	"testing"
	"time"

	"syncline"
)

// byName wants updates that change the name only; notes that are "out" are not wanted at all.
func byName(s *syncline.Schema) (*Binding, error) {
	b, err := notOut(s)
	b.Unchanged = func(b *syncline.Batch, i int) (bool, error) {
		e := &b.Events[i]
		return e.Op == syncline.OpUpdated && !e.Changed(1) && e.Before != nil && e.Before[2].Text() != "out", nil
	}
	return b, err
}

func changing(id int64, name, notes, nameNow, notesNow string) syncline.Event {
	return syncline.Event{Op: syncline.OpUpdated, Schema: customers, Before: record(id, name, notes), After: record(id, nameNow, notesNow)}
}

func TestUpdatesThatTouchNothingOfInterest(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Rules[0].Bind = byName })
	b.append(created(1, "a", "x"), changing(1, "a", "x", "a", "y"))
	b.mustDrain()
	b.want(map[string]string{"1": "a/x"})
	if c := b.balanced(); c.Applied != 1 || c.Filtered != 1 {
		t.Errorf("counts = %+v, want one applied and one filtered", c)
	}
	b.append(changing(1, "a", "y", "b", "y"))
	b.mustDrain()
	b.want(map[string]string{"1": "b/y"})
	// One that leaves does so, and comes back, whatever changed.
	b.append(changing(1, "b", "y", "b", "out"))
	b.mustDrain()
	b.want(map[string]string{})
	b.append(changing(1, "b", "out", "b", "z"))
	b.mustDrain()
	b.want(map[string]string{"1": "b/z"})
}

// TestNothingIsSkippedBehindWhatWaits: what waits may be what the rule wants, and the newest data are tried with it.
func TestNothingIsSkippedBehindWhatWaits(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Rules[0].Bind = byName })
	b.append(created(1, "a", "x"))
	b.mustDrain()
	b.store.Refuse("dim", "1")
	b.append(changing(1, "a", "x", "b", "x"))
	b.mustDrain()
	b.append(changing(1, "b", "x", "b", "y"))
	b.mustDrain()
	b.store.Accept("dim", "1")
	b.now = b.now.Add(time.Hour)
	b.mustDrain()
	b.want(map[string]string{"1": "b/y"})
	b.wantWaiting()

	// A record that is asked for at the source waits for the answer, not for an update that says nothing of interest.
	b.append(updated(7, "a", "-"))
	b.mustDrain()
	b.wantWaiting("7 reading column_unsent")
	b.append(changing(7, "a", "q", "a", "r"))
	b.mustDrain()
	b.want(map[string]string{"1": "b/y", "7": "a/r"})
	b.wantWaiting()
}
