package logtest

import (
	"testing"

	"syncline"
)

func emptyLog(t *testing.T, s Storage) {
	l := s.Open(t, "crm")
	wantBounds(t, l, 1, 0)
	mustPurge(t, l, 10)
	wantBounds(t, l, 1, 0)
	wantNothing(t, mustRead(t, l, 1))
	fill(t, l, "crm", 1, 1)
	wantBounds(t, l, 1, 1)
}

func bounds(t *testing.T, s Storage) {
	l := s.Open(t, "crm")
	fill(t, l, "crm", 1, 10)
	small := mustBounds(t, l).Bytes
	mustAppend(t, l, batch("crm", 11, 1, 100_000))
	big := mustBounds(t, l)
	if big.First != 1 || big.Last != 11 || big.Bytes < small+100_000 {
		t.Fatalf("Bounds = %+v, want 1 to 11 and at least %d bytes", big, small+100_000)
	}
	fill(t, l, "crm", 12, 12)
	mustPurge(t, l, 12)
	if b := mustBounds(t, l); b.First != 12 || b.Last != 12 || b.Bytes >= small {
		t.Fatalf("Bounds after Purge = %+v, want 12 to 12 and less than %d bytes", b, small)
	}
}

func purge(t *testing.T, s Storage) {
	l := s.Open(t, "crm")
	fill(t, l, "crm", 1, 20)
	mustPurge(t, l, 8)
	wantBounds(t, l, 8, 20)
	for _, below := range []syncline.Seq{8, 3, 0} { // repeated and late purges do nothing
		mustPurge(t, l, below)
		wantBounds(t, l, 8, 20)
	}
	for _, from := range []syncline.Seq{1, 7, 8} {
		wantSmall(t, mustRead(t, l, from), "crm", 8, 20)
	}
	wantSmall(t, mustRead(t, l, 12), "crm", 12, 20)
}

func neverPurgesTheLastBatch(t *testing.T, s Storage) {
	l := s.Open(t, "crm")
	fill(t, l, "crm", 1, 5)
	for _, below := range []syncline.Seq{6, 7, 1 << 40} {
		mustPurge(t, l, below)
		wantBounds(t, l, 5, 5)
	}
	wantSmall(t, mustRead(t, l, 1), "crm", 5, 5)
	s.Restart(t)
	l = s.Open(t, "crm")
	wantBounds(t, l, 5, 5)
	fill(t, l, "crm", 6, 7)
	wantSmall(t, mustRead(t, l, 1), "crm", 5, 7)
}

// readerIsOvertakenByPurge: the gap shows in the sequences, and the reader goes on behind it. What it had fetched ahead it
// may still return.
func readerIsOvertakenByPurge(t *testing.T, s Storage) {
	l := s.Open(t, "crm")
	r := mustRead(t, l, 1)
	fill(t, l, "crm", 1, 1)
	wantSmall(t, r, "crm", 1, 1)
	fill(t, l, "crm", 2, 300)
	mustPurge(t, l, 290)
	last := syncline.Seq(1)
	for last < 300 {
		e := mustNext(t, r)
		if e.Seq <= last || e.Seq > 290 && e.Seq != last+1 {
			t.Fatalf("Next = sequence %d after %d in a log of 290 to 300", e.Seq, last)
		}
		if want := encode(t, batch("crm", int(e.Seq), 2, 20)); string(e.Data) != string(want) {
			t.Fatalf("sequence %d does not have the data of its append", e.Seq)
		}
		last = e.Seq
	}
	waiting := mustRead(t, l, 301)
	wantNothing(t, waiting)
	fill(t, l, "crm", 301, 310)
	mustPurge(t, l, 305)
	if e := mustNext(t, waiting); e.Seq < 301 || e.Seq > 305 {
		t.Fatalf("Next = sequence %d, want the first that is left of 301 to 310", e.Seq)
	}
}
