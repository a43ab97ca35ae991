package apply

import (
	"context"
	"testing"

	"syncline"
	"syncline/internal/memtarget"
)

// TestSentDeleteNamesItsRecord: an event target has nothing else to tell which record was removed.
func TestSentDeleteNamesItsRecord(t *testing.T) {
	recorder := memtarget.NewRecorder()
	b := newBench(t, func(o *Options) {
		o.Open = func(context.Context) (syncline.Target, error) { return recorder, nil }
	})
	b.append(syncline.Event{Op: syncline.OpCreated, Schema: customers, After: record(7, "a", "n")},
		syncline.Event{Op: syncline.OpDeleted, Schema: customers, Before: record(7, "a", "n")})
	b.mustDrain()
	sent := recorder.Sent()
	if len(sent) != 2 {
		t.Fatalf("%d events were sent, want 2", len(sent))
	}
	if key, ok := sent[1].Change.Row.Key(); !ok || key != "7" {
		t.Errorf("key of the delete = %q, %v, want 7", key, ok)
	}
}
