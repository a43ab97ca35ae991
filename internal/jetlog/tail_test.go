package jetlog

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"syncline"
)

// TestTail: whatever is appended here and by others, heard of late or twice, and purged, the tail has the newest entries that were appended
// here, without gaps, within its bound, and no others.
func TestTail(t *testing.T) {
	t.Parallel()
	data := make([]byte, recentBytes/3)
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 3))
		tail, here := newTail(new(atomic.Int64)), map[syncline.Seq]int{} // the size of what was appended here
		var last, purged syncline.Seq
		for range 300 {
			_, _, _, grown := tail.at(1)
			was := last
			switch seq, size := last+1, 1+r.IntN(len(data)); r.IntN(10) {
			case 0: // others have appended in between
				seq += syncline.Seq(1 + r.IntN(5))
				fallthrough
			case 1, 2, 3, 4, 5:
				tail.append(syncline.Entry{Seq: seq, Data: data[:size]})
				last, here[seq] = seq, size
			case 6: // another handle has noted it already
				tail.append(syncline.Entry{Seq: max(last, 1) - 1, Data: data[:size]})
			case 7: // others have appended
				last += syncline.Seq(r.IntN(3))
				tail.advance(last)
			case 8:
				tail.advance(max(last, 1) - 1)
			case 9:
				purged = max(purged, last-min(last, syncline.Seq(r.IntN(6))))
				tail.purge(purged)
			}
			select {
			case <-grown:
				if last == was {
					t.Fatalf("seed %d: readers are woken at %d, which is not new", seed, last)
				}
			default:
				if last != was {
					t.Fatalf("seed %d: nobody is woken when %d comes after %d", seed, last, was)
				}
			}
			check(t, tail, here, last, purged)
		}
	}
}

func check(t *testing.T, tail *tail, here map[syncline.Seq]int, last, purged syncline.Seq) {
	t.Helper()
	held := 0
	for seq, gap := last, false; seq > 0 && seq+20 > last; seq-- {
		e, ok, end, _ := tail.at(seq)
		if recent, known := tail.state(seq); recent != ok || known != end || end != last {
			t.Fatalf("entry %d: at says %v up to %d, state %v up to %d, want the end at %d", seq, ok, end, recent, known, last)
		}
		size, appended := here[seq]
		switch {
		case ok && (gap || !appended || seq < purged || e.Seq != seq || len(e.Data) != size):
			t.Fatalf("at(%d) = entry %d of %d bytes, behind a gap: %v; appended here: %v of %d bytes; purged below %d", seq, e.Seq, len(e.Data), gap, appended, size, purged)
		case ok:
			held += entrySize + size
		case !gap && appended && seq >= purged && held+entrySize+size <= recentBytes:
			t.Fatalf("at(%d) has nothing, though there is room for it", seq)
		}
		gap = gap || !ok
	}
	if held > recentBytes {
		t.Fatalf("the tail holds %d bytes, its bound is %d", held, recentBytes)
	}
	if _, ok, _, _ := tail.at(last + 1); ok {
		t.Fatalf("at(%d) has an entry beyond the end", last+1)
	}
}

// TestTailsShareMemory: however many logs there are, and whatever comes to them, they keep a bounded part in memory, each some.
func TestTailsShareMemory(t *testing.T) {
	t.Parallel()
	var all atomic.Int64
	var tails []*tail
	data := make([]byte, 1<<20-entrySize)
	for n := range 8 {
		tails = append(tails, newTail(&all))
		for seq := range syncline.Seq(40) {
			tails[n].append(syncline.Entry{Seq: 1 + seq, Data: data})
		}
		sum := 0
		for _, other := range tails {
			if other.size < leastRecent || other.size > recentBytes {
				t.Errorf("one of %d tails keeps %d bytes, want %d to %d", len(tails), other.size, leastRecent, recentBytes)
			}
			sum += other.size
		}
		if sum > recentOfAll+len(tails)*leastRecent || int64(sum) != all.Load() {
			t.Errorf("%d tails keep %d bytes, and believe %d", len(tails), sum, all.Load())
		}
	}
	for _, tail := range tails {
		tail.advance(1000) // what others have appended is not here
	}
	if all.Load() != 0 {
		t.Errorf("%d bytes are counted that nobody keeps", all.Load())
	}
}

// TestATailIsGivenUp with the last handle on its log: else it would take room from the others for ever.
func TestATailIsGivenUp(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	one, two := mustLog(t, s, "crm"), mustLog(t, s, "crm")
	mustAppend(t, one, 1, 3, 1000)
	for _, l := range []*log{one, two} {
		if s.recent.Load() < 3000 {
			t.Errorf("%d bytes are kept while there is a handle", s.recent.Load())
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if s.recent.Load() != 0 {
		t.Errorf("%d bytes are kept for nobody", s.recent.Load())
	}
}
