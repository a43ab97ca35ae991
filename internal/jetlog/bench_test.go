package jetlog

import (
	"context"
	"fmt"
	"testing"
	"time"

	"syncline"
)

// events returns a batch of n events of about 200 bytes each.
func events(n int) *syncline.Batch {
	schema := &syncline.Schema{
		Entity: "order", Table: "public.order", Version: -1, Key: []int{0},
		Columns: []syncline.Column{{Name: "id", Kind: syncline.KindInt}, {Name: "note", Kind: syncline.KindText}},
	}
	note := make([]byte, 180)
	for i := range note {
		note[i] = byte('a' + i%26)
	}
	b := &syncline.Batch{Source: "bench", Position: syncline.Position{Epoch: 1, Commit: 1}, Txns: []syncline.Txn{{Commit: 1}}}
	for i := range n {
		b.Events = append(b.Events, syncline.Event{
			Op: syncline.OpUpdated, Schema: schema, Ordinal: uint32(i + 1),
			After: []syncline.Value{syncline.Int(int64(i)), syncline.Raw(syncline.KindText, note)},
		})
	}
	return b
}

func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 100, 1000, 4000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l := mustLog(b, mustOpen(b, Options{Dir: b.TempDir()}), "bench")
			batch := events(n)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := l.Append(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkRead reads a backlog that is longer than what the log keeps in memory.
func BenchmarkRead(b *testing.B) {
	for n, count := range map[int]int{1: 40_000, 100: 4000, 4000: 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l := mustLog(b, mustOpen(b, Options{Dir: b.TempDir()}), "bench")
			batch := events(n)
			for range count {
				if _, err := l.Append(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				r, err := l.Read(b.Context(), 1)
				if err != nil {
					b.Fatal(err)
				}
				for range count {
					if _, err := r.Next(b.Context()); err != nil {
						b.Fatal(err)
					}
				}
				if err := r.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n*count*b.N)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64(count*b.N)/b.Elapsed().Seconds(), "batches/s")
		})
	}
}

// BenchmarkWake is the time from the end of an append until a reader that waited for it has it.
func BenchmarkWake(b *testing.B) {
	l := mustLog(b, mustOpen(b, Options{Dir: b.TempDir()}), "bench")
	batch := events(10)
	r, err := l.Read(b.Context(), 1)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	got := make(chan time.Time) // sent to by the reader at each entry, closed when it stops
	go func() {
		defer close(got)
		for {
			if _, err := r.Next(ctx); err != nil {
				return
			}
			got <- time.Now()
		}
	}()
	var waited time.Duration
	for b.Loop() {
		if _, err := l.Append(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
		appended := time.Now()
		waited += max(0, (<-got).Sub(appended))
	}
	cancel()
	<-got
	b.ReportMetric(float64(waited.Microseconds())/float64(b.N), "µs/wake")
}
