package state

import (
	"slices"
	"testing"
	"time"
)

func TestOutcomesAreRunLengths(t *testing.T) {
	list := slices.Concat(slices.Repeat([]Outcome{Applied}, 4000), []Outcome{Parked, Parked, Skipped}, slices.Repeat([]Outcome{Filtered}, 20))
	b := AppendOutcomes(nil, list)
	if len(b) > 8 {
		t.Errorf("4 runs take %d bytes, want at most 8", len(b))
	}
	runs, err := DecodeOutcomes(b)
	want := []OutcomeRun{{Applied, 4000}, {Parked, 2}, {Skipped, 1}, {Filtered, 20}}
	if err != nil || !slices.Equal(runs, want) {
		t.Errorf("DecodeOutcomes = %v, %v, want %v", runs, err, want)
	}
	for _, bad := range [][]byte{{0x80}, {0x0F}, {0x00}} {
		if _, err := DecodeOutcomes(bad); err == nil {
			t.Errorf("DecodeOutcomes(%x) has no error", bad)
		}
	}
}

func FuzzDecodeOutcomes(f *testing.F) {
	f.Add(AppendOutcomes(nil, []Outcome{Applied, Applied, Parked, Skipped}))
	f.Fuzz(func(t *testing.T, b []byte) {
		runs, err := DecodeOutcomes(b)
		if err != nil {
			return
		}
		var list []Outcome
		for _, r := range runs {
			if len(list)+int(r.Count) > 1<<16 || r.Count > 1<<16 {
				return
			}
			list = append(list, slices.Repeat([]Outcome{r.Outcome}, int(r.Count))...)
		}
		again, err := DecodeOutcomes(AppendOutcomes(nil, list))
		if err != nil {
			t.Fatal(err)
		}
		var a, c Counts
		for i := range runs {
			a.Count(runs[i].Outcome, runs[i].Count)
		}
		for i := range again {
			c.Count(again[i].Outcome, again[i].Count)
		}
		if a != c || !a.Balanced() {
			t.Errorf("counts after another encoding = %+v, want %+v", c, a)
		}
	})
}

func TestQuantilesAreAtMostAnEighthTooHigh(t *testing.T) {
	for _, d := range []time.Duration{0, 3 * time.Microsecond, 8 * time.Microsecond, 999 * time.Microsecond, 8 * time.Millisecond,
		30 * time.Millisecond, time.Second, 7 * time.Minute, 37 * time.Hour} {
		var h Histogram
		h.Observe(d, 1)
		if q := h.Quantile(0.5); q < d || q > d+d/8+time.Microsecond {
			t.Errorf("Quantile of %v alone = %v", d, q)
		}
	}
	var h Histogram
	h.Observe(time.Millisecond, 98)
	h.Observe(time.Second, 2)
	h.Observe(-time.Second, 100)
	if h.Quantile(0.5) != 0 || h.Quantile(0.99) > 2*time.Millisecond || h.Quantile(1) < time.Second || h.Count() != 200 {
		t.Errorf("Quantiles = %v, %v, %v of %d", h.Quantile(0.5), h.Quantile(0.99), h.Quantile(1), h.Count())
	}
	h.Observe(1000*time.Hour, 1)
	if q := h.Quantile(1); q < 38*time.Hour {
		t.Errorf("Quantile(1) with an endless duration = %v, want the last bucket", q)
	}
	if q := (&Histogram{}).Quantile(0.99); q != 0 {
		t.Errorf("Quantile of nothing = %v, want 0", q)
	}
}

func TestBucketsTouch(t *testing.T) {
	for i := range nBuckets - 1 {
		edge := upperEdge(i)
		if bucketOf(edge) != i || bucketOf(edge+time.Microsecond) != i+1 {
			t.Fatalf("bucket %d ends at %v, whose bucket is %d, the next one's %d", i, edge, bucketOf(edge), bucketOf(edge+time.Microsecond))
		}
	}
}

func FuzzDecodeHistogram(f *testing.F) {
	var h Histogram
	h.Observe(time.Millisecond, 7)
	h.Observe(time.Hour, 1)
	f.Add(appendHistogram(nil, &h))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := decodeHistogram(b)
		if err != nil {
			return
		}
		if again, err := decodeHistogram(appendHistogram(nil, &h)); err != nil || again != h {
			t.Errorf("decode(encode(h)) differs: %v", err)
		}
	})
}
