package capture

import (
	"context"
	"math"
	"strings"
	"testing"

	"syncline"
	"syncline/internal/memlog"
	"syncline/internal/state"
)

// wantRun waits until the run is as wanted.
func wantRun(t *testing.T, c *Capture, id, what string, ok func(state.RunRow) bool) (row state.RunRow) {
	t.Helper()
	eventually(t, "the run is not "+what, func() bool {
		var err error
		row, err = c.o.Runs.(*state.Store).Run(t.Context(), id)
		return err == nil && ok(row)
	})
	return row
}

func overRun(r state.RunRow) bool { return r.Over() }

// chunksOf returns the run's chunks in the log.
func chunksOf(t *testing.T, log syncline.Log, id string) (list []*syncline.Batch) {
	t.Helper()
	bounds, err := log.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r, err := log.Read(t.Context(), bounds.First)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // it holds nothing that could be lost
	for seq := bounds.First; seq <= bounds.Last; seq++ {
		e, err := r.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		b, err := syncline.DecodeBatch(e.Data)
		if err != nil {
			t.Fatal(err)
		}
		if b.Chunk != nil && b.Chunk.Run == id {
			list = append(list, b)
		}
	}
	return list
}

// TestARunOfSomeRecords has only those in the log, says that it is not whole, and counts what was read.
func TestARunOfSomeRecords(t *testing.T) {
	log, db := memlog.New(memlog.Options{}).Log("crm"), system(10)
	c := newCapture(t, log, db)
	run(t, c)
	change(t, c, db, 10)
	if err := c.RequestRun(t.Context(), syncline.Run{ID: "some", Kind: syncline.RunFull, Entity: "customer", Where: "after.id % 3 == 0"}); err != nil {
		t.Fatal(err)
	}
	if row := wantRun(t, c, "some", "over", overRun); row.Status != state.RunDone || row.Rows != 4 || row.Scanned != 10 {
		t.Errorf("run of every third record: %+v", row)
	}
	for _, b := range chunksOf(t, log, "some") {
		if !b.Chunk.Cut {
			t.Errorf("chunk %d does not say that the run is of some records", b.Chunk.Number)
		}
	}
	if err := c.RequestRun(t.Context(), syncline.Run{ID: "all", Kind: syncline.RunFull, Entity: "customer"}); err != nil {
		t.Fatal(err)
	}
	wantRun(t, c, "all", "over", overRun)
	for _, b := range chunksOf(t, log, "all") {
		if b.Chunk.Cut {
			t.Errorf("chunk %d of a whole run says that it is cut", b.Chunk.Number)
		}
	}
	err := c.RequestRun(t.Context(), syncline.Run{ID: "none", Kind: syncline.RunFull, Entity: "customer", Where: "after.id =="})
	if syncline.CodeOf(err) != "where_invalid" {
		t.Errorf("RequestRun with a condition that is none = %v, want where_invalid", err)
	}
}

// TestAConditionThatFailsEndsTheRun: nothing is taken for unwanted that could not be judged, also not by the process that comes next.
func TestAConditionThatFailsEndsTheRun(t *testing.T) {
	log, db := memlog.New(memlog.Options{}).Log("crm"), system(10)
	c := newCapture(t, log, db)
	run(t, c)
	change(t, c, db, 10)
	if err := c.RequestRun(t.Context(), syncline.Run{ID: "r", Kind: syncline.RunFull, Entity: "customer", Where: "1 / (after.id - 5) > 9"}); err != nil {
		t.Fatal(err)
	}
	row := wantRun(t, c, "r", "over", overRun)
	if row.Status != state.RunFailed || !strings.Contains(row.Error, "where_failed") || row.Rows != 0 {
		t.Errorf("run whose condition divides by zero: %+v", row)
	}

	store := c.o.Runs.(*state.Store)
	later := state.RunRow{Run: syncline.Run{ID: "later", Kind: syncline.RunFull, Entity: "customer", Where: "after.id >= 0"}, Source: "crm"}
	if err := store.AddSync(t.Context(), later); err != nil {
		t.Fatal(err)
	}
	later.Status, later.Error = state.RunRunning, "where_failed: noted before the process died"
	if err := store.UpdateRun(t.Context(), later); err != nil {
		t.Fatal(err)
	}
	if err := c.startRuns(t.Context(), &syncline.Batch{}); err != nil {
		t.Fatal(err)
	}
	if row := wantRun(t, c, "later", "over", overRun); row.Status != state.RunFailed || row.Scanned != 0 || row.Error != later.Error {
		t.Errorf("run that had failed: %+v", row)
	}
}

// TestAPauseHolds: across processes, and changes come all the same.
func TestAPauseHolds(t *testing.T) {
	log, db := memlog.New(memlog.Options{}).Log("crm"), system(2100)
	c := newCapture(t, log, db)
	c.o.Applied = func(string, []string) syncline.Seq { return math.MaxUint64 }
	live := func() (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1) // the goroutine's one word
		go func() { done <- c.Run(ctx, context.WithoutCancel(ctx)) }()
		return func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	stop := live()
	change(t, c, db, 2000)
	row := state.RunRow{Run: syncline.Run{ID: "r", Kind: syncline.RunFull, Entity: "customer"}, Steering: state.Steering{Rate: 100}}
	if err := c.RequestSync(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	wantRun(t, c, "r", "under way", func(r state.RunRow) bool { return r.Scanned > 0 })
	if err := c.Steer(t.Context(), "r", state.Steering{Held: true, Reason: "lunch", By: "ann"}); err != nil {
		t.Fatal(err)
	}
	change(t, c, db, 50) // behind the chunk that was under way
	held := wantRun(t, c, "r", "held", func(r state.RunRow) bool { return r.Held })
	stop()

	next := New(c.o)
	c = next
	stop = live()
	change(t, c, db, 50)
	if now := wantRun(t, c, "r", "held", func(r state.RunRow) bool { return r.Held }); now.Scanned > held.Scanned+25 || now.Reason != "lunch" || now.By != "ann" {
		t.Errorf("the run after a restart: %+v, was %+v", now, held)
	}
	if err := c.Steer(t.Context(), "r", state.Steering{}); err != nil {
		t.Fatal(err)
	}
	if row := wantRun(t, c, "r", "over", overRun); row.Status != state.RunDone || row.Scanned < 2000 {
		t.Errorf("the run at its end: %+v", row)
	}
	if err := c.Steer(t.Context(), "r", state.Steering{Held: true}); syncline.CodeOf(err) != "run_not_found" {
		t.Errorf("Steer of a run that is over = %v, want run_not_found", err)
	}
	stop()
}

// TestACancelledRunEnds with what it has read, and says that it is not whole.
func TestACancelledRunEnds(t *testing.T) {
	log, db := memlog.New(memlog.Options{}).Log("crm"), system(100)
	c := newCapture(t, log, db)
	run(t, c)
	change(t, c, db, 100)
	row := state.RunRow{Run: syncline.Run{ID: "r", Kind: syncline.RunFull, Entity: "customer"}, Steering: state.Steering{Rate: 20}}
	if err := c.RequestSync(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	wantRun(t, c, "r", "under way", func(r state.RunRow) bool { return r.Scanned > 0 })
	if err := c.Steer(t.Context(), "r", state.Steering{Cancelled: true, Reason: "enough"}); err != nil {
		t.Fatal(err)
	}
	if row := wantRun(t, c, "r", "over", overRun); row.Status != state.RunCancelled || row.Scanned == 0 || row.Scanned == 100 {
		t.Errorf("a cancelled run: %+v", row)
	}
	chunks := chunksOf(t, log, "r")
	if last := chunks[len(chunks)-1].Chunk; !last.Last || !last.Cut {
		t.Errorf("the last chunk is %+v, want it last and cut", last)
	}
}

// TestAConditionThatNoLongerFits: a column that the condition needs goes in the middle of the run.
func TestAConditionThatNoLongerFits(t *testing.T) {
	p, err := newSelection(&syncline.Run{Where: "after.id > 1"})
	if err != nil {
		t.Fatal(err)
	}
	events := func(s *syncline.Schema) *syncline.Batch {
		b := &syncline.Batch{Chunk: &syncline.Chunk{Run: "r"}}
		for i := range int64(3) {
			b.Events = append(b.Events, syncline.Event{Op: syncline.OpSnapshot, Schema: s, After: []syncline.Value{syncline.Int(i + 1)}})
		}
		return b
	}
	b := events(schema)
	if err := p.sift(b); err != nil || len(b.Events) != 2 {
		t.Errorf("sift leaves %d events, %v, want 2", len(b.Events), err)
	}
	renamed := &syncline.Schema{Entity: "customer", Key: []int{0}, Version: -1, Columns: []syncline.Column{{Name: "number", Kind: syncline.KindInt}}}
	b = events(renamed)
	if err := p.sift(b); syncline.CodeOf(err) != "where_failed" || len(b.Events) != 3 {
		t.Errorf("sift of rows without the column leaves %d events, %v, want where_failed and all", len(b.Events), err)
	}
}
