package logtest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"syncline"
)

func readsInTheOrderOfAppends(t *testing.T, s Storage) {
	l := s.Open(t, "crm")
	r := mustRead(t, l, 1)
	fill(t, l, "crm", 1, 50)
	wantSmall(t, r, "crm", 1, 50)
	wantNothing(t, r)
	wantSmall(t, mustRead(t, l, 1), "crm", 1, 50)
}

func numbersFromOneWithoutGaps(t *testing.T, s Storage) {
	l := s.Open(t, "crm")
	fill(t, l, "crm", 1, 20)
	mustPurge(t, l, 15)
	fill(t, l, "crm", 21, 30)
	mustClose(t, l)
	fill(t, s.Open(t, "crm"), "crm", 31, 40)
}

func startsAnywhere(t *testing.T, s Storage) {
	l := s.Open(t, "crm")
	fill(t, l, "crm", 1, 30)
	for _, from := range []int{0, 1, 2, 17, 30} {
		r := mustRead(t, l, syncline.Seq(from))
		wantSmall(t, r, "crm", max(from, 1), 30)
		wantNothing(t, r)
		mustClose(t, r)
	}
}

// tellsWhetherMoreFollows appends more than a log keeps in memory, so that all ways of reading are taken.
func tellsWhetherMoreFollows(t *testing.T, s Storage) {
	const last = 10
	l := s.Open(t, "crm")
	for n := 1; n <= last; n++ {
		mustAppend(t, l, batch("crm", n, 1, 1<<20))
	}
	r := mustRead(t, l, 1)
	for n := 1; n <= last; n++ {
		if e := mustNext(t, r); e.More != (n < last) {
			t.Fatalf("sequence %d of %d: More = %v", e.Seq, last, e.More)
		}
	}
	fill(t, l, "crm", last+1, last+1)
	if e := mustNext(t, r); e.More {
		t.Fatalf("sequence %d is the last: More = true", e.Seq)
	}
}

func waitsForAPositionBeyondTheEnd(t *testing.T, s Storage) {
	l := s.Open(t, "crm")
	fill(t, l, "crm", 1, 3)
	r := mustRead(t, l, 6)
	wantNothing(t, r)
	fill(t, l, "crm", 4, 5)
	wantNothing(t, r)
	fill(t, l, "crm", 6, 7)
	wantSmall(t, r, "crm", 6, 7)
}

// wakesAtTheEnd hands one batch at a time to a reader that waits for it, so that append and wait meet in every order.
func wakesAtTheEnd(t *testing.T, s Storage) {
	l := s.Open(t, "crm")
	r := mustRead(t, l, 1)
	got := make(chan syncline.Entry) // closed by the reader when it stops; unbuffered: the next append waits for the last read
	ctx, cancel := context.WithCancel(deadline(t))
	defer cancel()
	go func() {
		defer close(got)
		for {
			e, err := r.Next(ctx)
			if err != nil {
				return
			}
			got <- e
		}
	}()
	for n := 1; n <= 200; n++ {
		mustAppend(t, l, batch("crm", n, 1, 10))
		e, ok := <-got
		if !ok || e.Seq != syncline.Seq(n) {
			t.Fatalf("reader got sequence %d (%v) after append %d", e.Seq, ok, n)
		}
	}
	cancel()
	for range got { // the reader is used by one goroutine: it must have stopped before the reader is closed
		continue
	}
	mustClose(t, r)
}

func stopsWithItsContext(t *testing.T, s Storage) {
	l := s.Open(t, "crm")
	fill(t, l, "crm", 1, 2)
	r := mustRead(t, l, 3)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1) // sent to once by the reader
	go func() {
		_, err := r.Next(ctx)
		done <- err
	}()
	wantNothing(t, mustRead(t, l, 3))
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("Next with a cancelled context = %v, want context.Canceled", err)
		}
	case <-time.After(patience):
		t.Fatal("Next did not return when its context was cancelled")
	}
	fill(t, l, "crm", 3, 4)
	wantSmall(t, r, "crm", 3, 4)
}

func refusesACancelledAppend(t *testing.T, s Storage) {
	l := s.Open(t, "crm")
	fill(t, l, "crm", 1, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Append(ctx, batch("crm", 2, 2, 20)); !errors.Is(err, context.Canceled) {
		t.Fatalf("Append with a cancelled context = %v, want context.Canceled", err)
	}
	fill(t, l, "crm", 2, 3)
	wantSmall(t, mustRead(t, l, 1), "crm", 1, 3)
}

func entriesStayAsTheyWereRead(t *testing.T, s Storage) {
	l := s.Open(t, "crm")
	fill(t, l, "crm", 1, 20)
	r := mustRead(t, l, 1)
	var kept []syncline.Entry
	for range 20 {
		kept = append(kept, mustNext(t, r))
	}
	fill(t, l, "crm", 21, 40)
	wantSmall(t, r, "crm", 21, 40)
	for n, e := range kept {
		want := string(encode(t, batch("crm", n+1, 2, 20)))
		if string(e.Data) != want {
			t.Fatalf("data of sequence %d changed after the next entries were appended and read", e.Seq)
		}
	}
}

func entriesHaveTheTimeOfTheirAppend(t *testing.T, s Storage) {
	l := s.Open(t, "crm")
	fill(t, l, "crm", 1, 3)
	r := mustRead(t, l, 1)
	var times []time.Time
	for range 3 {
		times = append(times, mustNext(t, r).Time)
	}
	again := mustRead(t, l, 1)
	for i := range times {
		if times[i].IsZero() || i > 0 && times[i].Before(times[i-1]) {
			t.Errorf("times of appends = %v, want them set and ascending", times)
		}
		if got := mustNext(t, again).Time; !got.Equal(times[i]) {
			t.Errorf("time of sequence %d = %v when read again, want %v", i+1, got, times[i])
		}
	}
}

func batchesOfAnySize(t *testing.T, s Storage) {
	l := s.Open(t, "crm")
	sizes := []struct{ events, size int }{{0, 0}, {1, 0}, {1, 100}, {4000, 250}, {1, 20 << 20}, {0, 0}, {100, 20_000}}
	for i, size := range sizes {
		if got := mustAppend(t, l, batch("crm", i+1, size.events, size.size)); got != syncline.Seq(i+1) {
			t.Fatalf("Append = sequence %d, want %d", got, i+1)
		}
	}
	r := mustRead(t, l, 1)
	for i, size := range sizes {
		e := mustNext(t, r)
		if want := encode(t, batch("crm", i+1, size.events, size.size)); e.Seq != syncline.Seq(i+1) || string(e.Data) != string(want) {
			t.Fatalf("entry %d = sequence %d with %d bytes, want %d bytes that were appended", i+1, e.Seq, len(e.Data), len(want))
		}
	}
}

func refusesABatchOverItsLimit(t *testing.T, s Storage) {
	l := s.Open(t, "crm")
	fill(t, l, "crm", 1, 1)
	limit := l.MaxBatch()
	size := limit - (len(encode(t, batch("crm", 2, 1, 1<<21))) - 1<<21)
	if got := len(encode(t, batch("crm", 2, 1, size))); got != limit {
		t.Fatalf("the largest batch of this test has %d bytes, the limit is %d", got, limit)
	}
	_, err := l.Append(deadline(t), batch("crm", 2, 1, size+1))
	if syncline.CodeOf(err) != "log_batch_too_large" || syncline.ClassOf(err) != syncline.Rejected {
		t.Fatalf("Append of a byte more than MaxBatch = %v, want a rejected log_batch_too_large", err)
	}
	wantBounds(t, l, 1, 1)
	if got := mustAppend(t, l, batch("crm", 2, 1, size)); got != 2 {
		t.Fatalf("Append of MaxBatch bytes = sequence %d, want 2", got)
	}
	r := mustRead(t, l, 2)
	if e := mustNext(t, r); len(e.Data) != limit {
		t.Fatalf("the largest entry has %d bytes, want %d", len(e.Data), limit)
	}
	fill(t, l, "crm", 3, 3)
}

func readersShareNothing(t *testing.T, s Storage) {
	l := s.Open(t, "crm")
	const n = 100
	ctx := deadline(t)
	var wg sync.WaitGroup
	for i := range 4 {
		r := mustRead(t, l, syncline.Seq(1+i))
		wg.Go(func() {
			for want := 1 + i; want <= n; want++ {
				e, err := r.Next(ctx)
				if err != nil || e.Seq != syncline.Seq(want) {
					t.Errorf("reader %d: Next = sequence %d, %v, want %d", i, e.Seq, err, want)
					return
				}
				b, err := syncline.DecodeBatch(e.Data)
				if err != nil || b.Position.Commit != uint64(want) {
					t.Errorf("reader %d: sequence %d holds another batch: %v", i, want, err)
					return
				}
			}
		})
	}
	fill(t, l, "crm", 1, n)
	wg.Wait()
}

func sourcesShareNothing(t *testing.T, s Storage) {
	names := []string{"crm", "CRM", "crm ", "a.b", "a_b", "a*", ">", "データ", "", "x\x00y", "a/b\\c", strings.Repeat("long", 60)}
	logs := make([]syncline.Log, len(names))
	ids := map[string]string{}
	for i, name := range names {
		logs[i] = s.Open(t, name)
		if other, taken := ids[logs[i].ID()]; taken || logs[i].ID() == "" {
			t.Fatalf("log of %q has the id %q, as that of %q", name, logs[i].ID(), other)
		}
		ids[logs[i].ID()] = name
	}
	for i, name := range names {
		fill(t, logs[i], name, 1, i+1)
	}
	for i, name := range names {
		wantBounds(t, logs[i], 1, syncline.Seq(i+1))
		wantSmall(t, mustRead(t, logs[i], 1), name, 1, i+1)
	}
}
