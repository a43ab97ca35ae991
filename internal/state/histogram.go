package state

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
	"time"
)

// Buckets are log-scaled: eight to an octave, so a quantile is at most an eighth above the truth. They count
// microseconds, one by one below eight; the last takes everything from 38 hours.
const (
	subBits  = 3
	sub      = 1 << subBits
	topBit   = 37
	nBuckets = (topBit - subBits + 1) * sub
)

// Histogram counts durations in fixed buckets. Histograms add up, and what was added can be taken out again; two that hold
// the same are equal by ==. The zero value is empty.
type Histogram struct {
	counts [nBuckets]int64
}

// Observe counts n events that took d. A negative d, the work of two clocks, counts as none.
func (h *Histogram) Observe(d time.Duration, n int64) {
	h.counts[bucketOf(d)] += n
}

func bucketOf(d time.Duration) int {
	us := uint64(max(0, d.Microseconds()))
	if us < sub {
		return int(us)
	}
	top := bits.Len64(us) - 1
	return min((top-subBits+1)*sub+int(us>>(top-subBits))&(sub-1), nBuckets-1)
}

// upperEdge is the longest duration that the bucket counts.
func upperEdge(bucket int) time.Duration {
	if bucket < sub {
		return time.Duration(bucket) * time.Microsecond
	}
	octave, part := bucket/sub-1, bucket%sub
	return time.Duration((sub+part+1)<<octave-1) * time.Microsecond
}

// Add counts everything that o holds.
func (h *Histogram) Add(o *Histogram) { h.add(o, 1) }

func (h *Histogram) add(o *Histogram, sign int64) {
	for i := range o.counts {
		h.counts[i] += sign * o.counts[i]
	}
}

// Count is the number of events.
func (h *Histogram) Count() int64 {
	var n int64
	for _, c := range h.counts {
		n += c
	}
	return n
}

// Sum is the sum of the durations, at most an eighth above the truth, and a century at most.
func (h *Histogram) Sum() time.Duration {
	var sum float64
	for i, c := range h.counts {
		sum += float64(c) * float64(upperEdge(i))
	}
	return time.Duration(min(sum, math.MaxInt64/2))
}

// Quantile returns a duration that the share q of the events did not exceed; 0 where there are none.
func (h *Histogram) Quantile(q float64) time.Duration {
	total := h.Count()
	if total == 0 {
		return 0
	}
	need := max(1, int64(math.Ceil(min(q, 1)*float64(total))))
	for i, c := range h.counts {
		if need -= c; need <= 0 {
			return upperEdge(i)
		}
	}
	return upperEdge(nBuckets - 1)
}

var errHistogram = errors.New("histogram has buckets beyond the last or counts below one")

// appendHistogram appends the stored form: the distance to the last bucket written and the count, for each that is not
// empty.
func appendHistogram(dst []byte, h *Histogram) []byte {
	last := 0
	for i, c := range h.counts {
		if c != 0 {
			dst = binary.AppendUvarint(dst, uint64(i-last))
			dst = binary.AppendUvarint(dst, uint64(c))
			last = i
		}
	}
	return dst
}

func decodeHistogram(b []byte) (Histogram, error) {
	var h Histogram
	i := uint64(0)
	for len(b) > 0 {
		gap, n := binary.Uvarint(b)
		if n <= 0 || gap >= nBuckets {
			return Histogram{}, errHistogram
		}
		count, m := binary.Uvarint(b[n:])
		if m <= 0 || count == 0 || count > math.MaxInt64 || i+gap >= nBuckets {
			return Histogram{}, errHistogram
		}
		i += gap
		if h.counts[i] != 0 {
			return Histogram{}, errHistogram
		}
		h.counts[i] = int64(count)
		b = b[n+m:]
	}
	return h, nil
}
