// Package logtest is what decides whether something is a syncline.Log: every sentence of that contract is a test here.
package logtest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

// Storage is one empty place for logs, as the suite sees it. It closes itself through t.Cleanup.
type Storage interface {
	// Open returns a new handle on the log of the source, and makes the log if there is none.
	Open(t *testing.T, source string) syncline.Log
	// Restart closes everything in order and opens the storage again. Handles from before are closed.
	Restart(t *testing.T)
	// Crash ends everything as kill -9 or a power cut does, and opens what is left. Handles from before are dead.
	Crash(t *testing.T)
}

// Run tests the logs of new storages.
func Run(t *testing.T, open func(t *testing.T) Storage) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Storage)
	}{
		{"ReadsInTheOrderOfAppends", readsInTheOrderOfAppends},
		{"NumbersFromOneWithoutGaps", numbersFromOneWithoutGaps},
		{"StartsAnywhere", startsAnywhere},
		{"TellsWhetherMoreFollows", tellsWhetherMoreFollows},
		{"WaitsForAPositionBeyondTheEnd", waitsForAPositionBeyondTheEnd},
		{"WakesAtTheEnd", wakesAtTheEnd},
		{"StopsWithItsContext", stopsWithItsContext},
		{"RefusesACancelledAppend", refusesACancelledAppend},
		{"EmptyLog", emptyLog},
		{"Bounds", bounds},
		{"Purge", purge},
		{"NeverPurgesTheLastBatch", neverPurgesTheLastBatch},
		{"ReaderIsOvertakenByPurge", readerIsOvertakenByPurge},
		{"EntriesStayAsTheyWereRead", entriesStayAsTheyWereRead},
		{"EntriesHaveTheTimeOfTheirAppend", entriesHaveTheTimeOfTheirAppend},
		{"BatchesOfAnySize", batchesOfAnySize},
		{"RefusesABatchOverItsLimit", refusesABatchOverItsLimit},
		{"ReadersShareNothing", readersShareNothing},
		{"SourcesShareNothing", sourcesShareNothing},
		{"SurvivesARestart", func(t *testing.T, s Storage) { survives(t, s, s.Restart) }},
		{"SurvivesACrash", func(t *testing.T, s Storage) { survives(t, s, s.Crash) }},
		{"FencesTheAppenderThatWasOvertaken", fencesTheAppenderThatWasOvertaken},
		{"ClosedHandlesReturnErrors", closedHandlesReturnErrors},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

// patience is how long a test waits for what must happen, and glance how long for what must not.
const (
	patience = 30 * time.Second
	glance   = 20 * time.Millisecond
)

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

var schema = &syncline.Schema{
	Entity:  "lead",
	Table:   "public.lead",
	Columns: []syncline.Column{{Name: "id", Kind: syncline.KindInt}, {Name: "note", Kind: syncline.KindText, Nullable: true}},
	Key:     []int{0},
	Version: -1,
}

// batch returns the n-th batch of a source: the position is n, and events says how many rows with a note of that size it has.
func batch(source string, n, events, size int) *syncline.Batch {
	b := &syncline.Batch{
		Source:     source,
		Position:   syncline.Position{Epoch: 1, Commit: uint64(n), Ordinal: uint32(events)},
		Checkpoint: fmt.Appendf(nil, "checkpoint %d", n),
	}
	if events > 0 {
		b.Txns = []syncline.Txn{{Commit: uint64(n)}}
	}
	for i := range events {
		note := make([]byte, size)
		for j := range note {
			note[j] = byte('a' + (n+i+j)%26)
		}
		b.Events = append(b.Events, syncline.Event{
			Op: syncline.OpCreated, Schema: schema, Ordinal: uint32(i + 1),
			After: []syncline.Value{syncline.Int(int64(n*1000 + i)), syncline.Raw(syncline.KindText, note)},
		})
	}
	return b
}

func encode(t *testing.T, b *syncline.Batch) []byte {
	t.Helper()
	data, err := syncline.AppendBatch(nil, b)
	if err != nil {
		t.Fatalf("AppendBatch = %v", err)
	}
	return data
}

func mustAppend(t *testing.T, l syncline.Log, b *syncline.Batch) syncline.Seq {
	t.Helper()
	seq, err := l.Append(deadline(t), b)
	if err != nil {
		t.Fatalf("Append(position %v) = %v", b.Position, err)
	}
	return seq
}

// fill appends small batches from..to, whose sequences are their numbers.
func fill(t *testing.T, l syncline.Log, source string, from, to int) {
	t.Helper()
	for n := from; n <= to; n++ {
		if got := mustAppend(t, l, batch(source, n, 2, 20)); got != syncline.Seq(n) {
			t.Fatalf("Append = sequence %d, want %d", got, n)
		}
	}
}

func mustRead(t *testing.T, l syncline.Log, from syncline.Seq) syncline.LogReader {
	t.Helper()
	r, err := l.Read(deadline(t), from)
	if err != nil {
		t.Fatalf("Read(%d) = %v", from, err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func mustNext(t *testing.T, r syncline.LogReader) syncline.Entry {
	t.Helper()
	e, err := r.Next(deadline(t))
	if err != nil {
		t.Fatalf("Next = %v", err)
	}
	return e
}

// wantEntry reads the next entry, which must be this batch under this sequence.
func wantEntry(t *testing.T, r syncline.LogReader, seq syncline.Seq, b *syncline.Batch) {
	t.Helper()
	e := mustNext(t, r)
	if e.Seq != seq {
		t.Fatalf("Next = sequence %d, want %d", e.Seq, seq)
	}
	if diff := cmp.Diff(encode(t, b), e.Data); diff != "" {
		t.Fatalf("Next = other data than sequence %d was appended with (-want +got):\n%.2000s", seq, diff)
	}
}

// wantSmall reads entries that fill appended.
func wantSmall(t *testing.T, r syncline.LogReader, source string, from, to int) {
	t.Helper()
	for n := from; n <= to; n++ {
		wantEntry(t, r, syncline.Seq(n), batch(source, n, 2, 20))
	}
}

// wantNothing checks that Next blocks.
func wantNothing(t *testing.T, r syncline.LogReader) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), glance)
	defer cancel()
	if e, err := r.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Next at the end = sequence %d, %v, want it to block until the deadline", e.Seq, err)
	}
}

func mustBounds(t *testing.T, l syncline.Log) syncline.Bounds {
	t.Helper()
	b, err := l.Bounds(deadline(t))
	if err != nil {
		t.Fatalf("Bounds = %v", err)
	}
	return b
}

func wantBounds(t *testing.T, l syncline.Log, first, last syncline.Seq) {
	t.Helper()
	if b := mustBounds(t, l); b.First != first || b.Last != last {
		t.Fatalf("Bounds = %d to %d, want %d to %d", b.First, b.Last, first, last)
	}
}

func mustPurge(t *testing.T, l syncline.Log, below syncline.Seq) {
	t.Helper()
	if err := l.Purge(deadline(t), below); err != nil {
		t.Fatalf("Purge(%d) = %v", below, err)
	}
}

func mustClose(t *testing.T, c interface{ Close() error }) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Fatalf("Close = %v", err)
	}
}
