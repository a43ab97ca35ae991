// Package sourcetest is the conformance suite for syncline.Source and syncline.RunReader: what it checks is what a source
// is. Each implementation runs it against its real system. The suite plays capture: it takes batches, appends them to a
// list in their stored form, confirms them, crashes at any batch and goes on from what the list holds.
package sourcetest

import (
	"context"
	"testing"
	"time"

	"syncline"
)

// patience is how long a source may take for anything that the suite waits for.
const patience = 60 * time.Second

// Harness is how an implementation presents itself to the suite.
type Harness struct {
	// New makes a system for one test, with an empty table for each of Tables, and cleans it up when the test ends. Its
	// sources should read runs in chunks of about ten rows, so that small tables make many.
	New func(t *testing.T) System
	// Snapshot: a source that is opened for the first time copies every entity by itself.
	Snapshot bool
	// Keyless: the loose table can be captured.
	Keyless bool
	// Truncate: the system can empty a table at once, and the source says so.
	Truncate bool
	// Concurrent: two transactions can be open side by side.
	Concurrent bool
	// Polled: the source looks for changes when it is asked to, by RunPoll, and for what is gone, by RunSweep. It promises that what it tells
	// leads to what there is. Every change by itself, the row before it, the order of commits, the same events again after a restart, and a
	// Next that wakes up when something changes: these take a stream, and are not checked.
	Polled bool
	// Anonymous: nothing tells the system from another one.
	Anonymous bool
	// Unordered: the records have no order, so that no run can begin behind a key. The source refuses it.
	Unordered bool
}

// System is one source system under test.
type System interface {
	// Begin opens a transaction on a connection of its own.
	Begin(t *testing.T) Tx
	// Source returns a source that has not been opened. Every source of one System has the same name and configuration.
	Source(t *testing.T) syncline.Source
	// Rows returns what the entity's table holds, in the terms of its schema in Tables and in any order.
	Rows(t *testing.T, entity string) [][]syncline.Value
}

// Tx is a transaction of the application that the source belongs to.
type Tx interface {
	// Exec carries out one change. An update writes only the columns that differ; where there is no key it writes, as a
	// delete does, exactly one row that equals Old.
	Exec(t *testing.T, c Change)
	Commit(t *testing.T)
	Rollback(t *testing.T)
}

// Run checks the implementation.
func Run(t *testing.T, h Harness) {
	t.Run("changes made while closed", func(t *testing.T) { testWhileClosed(t, h) })
	t.Run("next honours its context", func(t *testing.T) { testContext(t, h) })
	if h.Polled {
		t.Run("looks lead to what there is", func(t *testing.T) { testLooks(t, h) })
	} else {
		t.Run("stream is what was committed", func(t *testing.T) { testStream(t, h) })
		t.Run("restart repeats the same events", func(t *testing.T) { testRestart(t, h) })
		t.Run("large transaction", func(t *testing.T) { testLargeTransaction(t, h) })
		t.Run("next wakes up", func(t *testing.T) { testWake(t, h) })
		t.Run("confirm", func(t *testing.T) { testConfirm(t, h) })
	}
	if !h.Anonymous {
		t.Run("another system is refused", func(t *testing.T) { testForeign(t, h) })
	}
	if h.Concurrent && !h.Polled {
		t.Run("commit order", func(t *testing.T) { testCommitOrder(t, h) })
	}
	if h.Truncate {
		t.Run("truncate", func(t *testing.T) { testTruncate(t, h) })
	}
	if h.Keyless {
		t.Run("keyless stream", func(t *testing.T) { testKeyless(t, h) })
		t.Run("keyless run", func(t *testing.T) { testKeylessRun(t, h) })
	}
	if h.Snapshot {
		t.Run("snapshot and stream converge at every crash", func(t *testing.T) { testSnapshot(t, h) })
	}
	src := h.New(t).Source(t)
	if _, ok := src.(syncline.RunReader); ok {
		t.Run("full run", func(t *testing.T) { testFullRun(t, h) })
		t.Run("keys run", func(t *testing.T) { testKeysRun(t, h) })
		t.Run("a run is done once", func(t *testing.T) { testRunOnce(t, h) })
		t.Run("reset run", func(t *testing.T) { testResetRun(t, h) })
		t.Run("a run that cannot be done ends", func(t *testing.T) { testUnknownRun(t, h) })
	}
	if _, ok := src.(syncline.RunPacer); ok {
		t.Run("pace", func(t *testing.T) { testPace(t, h) })
		t.Run("from a key", func(t *testing.T) { testFrom(t, h) })
		t.Run("keys and rows take turns", func(t *testing.T) { testTurns(t, h) })
	}
	if err := src.Close(); err != nil {
		t.Errorf("close of a source that was never opened: %v", err)
	}
}

// deadline returns a context for one test: what hangs is reported with its test's name.
func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}
