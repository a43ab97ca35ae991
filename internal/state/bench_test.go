package state

import (
	"testing"

	"syncline"
)

func BenchmarkCommit(b *testing.B) {
	s := openNew(b)
	place1(b, s, sl)
	seq := syncline.Seq(1)
	for b.Loop() {
		must(b, s.Commit(b.Context(), Commit{Slice: sl, Journal: journal(seq, seq+1, Applied, Filtered, Applied)}))
		seq++
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
}

func BenchmarkOpen(b *testing.B) {
	path := b.TempDir() + "/state.db"
	for b.Loop() {
		must(b, openAt(b, path).Close())
	}
}
