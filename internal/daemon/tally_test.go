package daemon

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"syncline"
	"syncline/internal/memlog"
)

// readsCounted is a log that counts the entries that are read of it.
type readsCounted struct {
	syncline.Log
	reads  int
	broken error
}

func (l *readsCounted) Read(ctx context.Context, from syncline.Seq) (syncline.LogReader, error) {
	if l.broken != nil {
		return nil, l.broken
	}
	r, err := l.Log.Read(ctx, from)
	return &countedReader{r, l}, err
}

type countedReader struct {
	syncline.LogReader
	log *readsCounted
}

func (r *countedReader) Next(ctx context.Context) (syncline.Entry, error) {
	r.log.reads++
	return r.LogReader.Next(ctx)
}

// eventsOf is what entry seq of the tests' logs holds: 1, 2 or 3 events, and none in each tenth.
func eventsOf(seq syncline.Seq) int {
	if seq%10 == 0 {
		return 0
	}
	return 1 + int(seq%3)
}

// checkLag compares the tally with the truth: exact from the exact entry on, elsewhere within a twentieth of the whole, never 0
// where something is left, and ages in order.
func checkLag(t *testing.T, tally *tally, start time.Time, last, exact syncline.Seq) {
	t.Helper()
	var left, whole int64
	for seq := syncline.Seq(1); seq <= last; seq++ {
		whole += int64(eventsOf(seq))
	}
	left = whole
	for seq := syncline.Seq(1); seq <= last+1; seq++ {
		got, oldest := tally.lag(syncline.Cursor{Seq: seq})
		off := math.Abs(float64(got - left))
		if seq >= exact && off > 0 || off > float64(whole)/20 || got == 0 && left > 0 {
			t.Fatalf("lag at %d of %d = %d events, want %d", seq, last, got, left)
		}
		if got > 0 {
			want := start.Add(time.Duration(seq) * time.Second)
			if d := oldest.Sub(want).Abs(); d > time.Duration(last)*time.Second/10 {
				t.Fatalf("lag at %d of %d is since %v, want about %v", seq, last, oldest, want)
			}
		}
		if seq <= last {
			left -= int64(eventsOf(seq))
		}
	}
}

// TestTallyIsBounded: however much is appended while nothing is purged, the tally stays small and its account holds.
func TestTallyIsBounded(t *testing.T) {
	const last = 200_000
	var tally tally
	start := time.Unix(1_700_000_000, 0)
	for seq := syncline.Seq(1); seq <= last; seq++ {
		tally.add(seq, eventsOf(seq), start.Add(time.Duration(seq)*time.Second))
	}
	if n := len(tally.lines); n > maxLines {
		t.Errorf("%d entries take %d lines, want at most %d", last, n, maxLines)
	}
	checkLag(t, &tally, start, last, last-maxLines/4)
	before, _ := tally.lag(syncline.Cursor{Seq: last / 2})
	tally.forget(last / 2)
	if after, _ := tally.lag(syncline.Cursor{Seq: last / 2}); after != before {
		t.Errorf("lag after forgetting what is older = %d, want %d", after, before)
	}
	if got, _ := tally.lag(syncline.Cursor{Seq: last - 1, Index: 1}); got != int64(eventsOf(last-1)-1) {
		t.Errorf("lag in the middle of the last entry with events = %d, want %d", got, eventsOf(last-1)-1)
	}
}

// TestATallyThatWasRefinedIsBounded: what came while the backlog was counted, together with what was counted, may be more than a tally keeps.
func TestATallyThatWasRefinedIsBounded(t *testing.T) {
	const loaded, last = maxLines / 2, 5 * maxLines
	start := time.Unix(1_700_000_000, 0)
	var tally, fine tally
	for seq := syncline.Seq(1); seq <= loaded; seq++ {
		fine.append(seq, seq, int64(eventsOf(seq)), start.Add(time.Duration(seq)*time.Second))
	}
	tally.append(1, loaded, loaded, start.Add(time.Second))
	tally.rough = tally.total
	for seq := syncline.Seq(loaded + 1); seq <= last; seq++ {
		if seq == loaded+maxLines-1 {
			tally.replace(&fine)
		}
		tally.add(seq, eventsOf(seq), start.Add(time.Duration(seq)*time.Second))
	}
	if n := len(tally.lines); n > maxLines {
		t.Errorf("%d entries take %d lines, want at most %d", last, n, maxLines)
	}
	checkLag(t, &tally, start, last, last-maxLines/4)
}

// filledLog has so many entries, one a second.
func filledLog(t *testing.T, start time.Time, last syncline.Seq) *readsCounted {
	t.Helper()
	now := start
	schema := &syncline.Schema{Entity: "customer", Columns: []syncline.Column{{Name: "id", Kind: syncline.KindInt}}, Key: []int{0}, Version: -1}
	log := &readsCounted{Log: memlog.New(memlog.Options{Now: func() time.Time { return now }}).Log("crm")}
	for seq := syncline.Seq(1); seq <= last; seq++ {
		now = start.Add(time.Duration(seq) * time.Second)
		b := &syncline.Batch{Source: "crm", Txns: []syncline.Txn{{Commit: uint64(seq)}}}
		for i := range eventsOf(seq) {
			b.Events = append(b.Events, syncline.Event{Schema: schema, Op: syncline.OpCreated, Ordinal: uint32(i + 1), After: []syncline.Value{syncline.Int(int64(i))}})
		}
		if _, err := log.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	return log
}

// TestTallyBehindAPurge: what was purged between the start and the counting is not counted, and moves nothing that is left.
func TestTallyBehindAPurge(t *testing.T) {
	const last = 20_000
	for _, below := range []syncline.Seq{2, last / 2, last - 10, last} {
		log := filledLog(t, time.Unix(1_700_000_000, 0), last)
		var tally tally
		if err := tally.load(t.Context(), log); err != nil {
			t.Fatal(err)
		}
		if err := log.Purge(t.Context(), below); err != nil {
			t.Fatal(err)
		}
		if err := tally.refine(t.Context(), log, 1); err != nil {
			t.Fatal(err)
		}
		if at := tally.lines[0].seq; at < below {
			t.Errorf("purged below %d: entry %d is counted", below, at)
		}
		var left int64
		for seq := syncline.Seq(last); seq >= max(below, last-maxLines/4); seq-- {
			left += int64(eventsOf(seq))
			if got, _ := tally.lag(syncline.Cursor{Seq: seq}); got != left {
				t.Fatalf("purged below %d: lag at %d of %d = %d, want %d", below, seq, last, got, left)
			}
		}
	}
}

// TestTallyIsCountedOnce: what cannot be counted now is counted later, and what would have no place any more is not read.
func TestTallyIsCountedOnce(t *testing.T) {
	const last = 20_000
	start := time.Unix(1_700_000_000, 0)
	for name, c := range map[string]struct {
		before func(*tally, *readsCounted) error
		reads  bool
	}{
		"nothing in between": {reads: true},
		"the log does not answer": {
			before: func(_ *tally, log *readsCounted) error { log.broken = errors.New("no answer"); return nil },
			reads:  true,
		},
		"all of it was purged": {before: func(tally *tally, log *readsCounted) error {
			for seq := syncline.Seq(last + 1); seq <= last+5; seq++ {
				if _, err := log.Append(t.Context(), &syncline.Batch{Source: "crm", Txns: []syncline.Txn{{Commit: uint64(seq)}}}); err != nil {
					return err
				}
				tally.add(seq, 0, start)
			}
			return log.Purge(t.Context(), last+3)
		}},
		"much came since": {before: func(tally *tally, _ *readsCounted) error {
			for seq := syncline.Seq(last + 1); seq <= last+4*maxLines; seq++ {
				tally.add(seq, 1, start)
			}
			return nil
		}},
	} {
		log := filledLog(t, start, last)
		var tally tally
		if err := tally.load(t.Context(), log); err != nil {
			t.Fatal(err)
		}
		if c.before != nil {
			if err := c.before(&tally, log); err != nil {
				t.Fatal(err)
			}
		}
		loaded := log.reads
		if err := tally.refine(t.Context(), log, 1); (err != nil) != (log.broken != nil) {
			t.Errorf("%s: refine = %v", name, err)
		}
		if log.broken != nil {
			log.broken = nil
			if err := tally.refine(t.Context(), log, 1); err != nil {
				t.Errorf("%s: refine once it answers = %v", name, err)
			}
		}
		counted := log.reads
		if got := counted > loaded; got != c.reads {
			t.Errorf("%s: %d entries are read", name, counted-loaded)
		}
		if err := tally.refine(t.Context(), log, 1); err != nil || log.reads > counted {
			t.Errorf("%s: it is counted again, %d entries, %v", name, log.reads-counted, err)
		}
	}
}

// TestTallyLoadsLittle: a start reads a bounded part of the log, and what it has not read is estimated.
func TestTallyLoadsLittle(t *testing.T) {
	const last = 20_000
	start := time.Unix(1_700_000_000, 0)
	log := filledLog(t, start, last)
	var tally tally
	if err := tally.load(t.Context(), log); err != nil {
		t.Fatal(err)
	}
	var size int64
	for seq := syncline.Seq(1); seq <= last; seq++ {
		size += int64(eventsOf(seq))
	}
	if got, oldest := tally.lag(syncline.Cursor{Seq: 1}); got < size/3 || got > 3*size || oldest.After(start.Add(time.Minute)) {
		t.Errorf("a start that has read little estimates %d of %d events since %v, want since %v", got, size, oldest, start)
	}
	quick := log.reads
	// What is appended before all is counted keeps its place behind it.
	for seq := syncline.Seq(last + 1); seq <= last+7; seq++ {
		tally.add(seq, eventsOf(seq), start.Add(time.Duration(seq)*time.Second))
	}
	if err := tally.refine(t.Context(), log, last-10); err != nil {
		t.Fatal(err)
	}
	if log.reads != quick {
		t.Errorf("%d entries are read to count what nobody has still to read", log.reads-quick)
	}
	if err := tally.refine(t.Context(), log, 1); err != nil {
		t.Fatal(err)
	}
	if log.reads == quick {
		t.Error("what a route has still to read is not counted")
	}
	if limit := maxLines/2 + samples; log.reads-quick > limit {
		t.Errorf("%d of %d entries are read to count them, want at most %d", log.reads-quick, last, limit)
	}
	for seq, want := syncline.Seq(last+8), int64(0); seq > last; seq-- {
		if got, _ := tally.lag(syncline.Cursor{Seq: seq}); got != want {
			t.Errorf("lag at %d, which came after the start, = %d, want %d", seq, got, want)
		}
		want += int64(eventsOf(seq - 1))
	}
	var since int64
	for seq := syncline.Seq(last + 1); seq <= last+7; seq++ {
		since += int64(eventsOf(seq))
	}
	for _, test := range []struct {
		seq   syncline.Seq
		exact bool
	}{{1, false}, {last / 2, false}, {last - maxLines/2 + 1, true}, {last, true}, {last + 1, true}} {
		var left int64
		for seq := test.seq; seq <= last; seq++ {
			left += int64(eventsOf(seq))
		}
		got, _ := tally.lag(syncline.Cursor{Seq: test.seq})
		got -= since
		if test.exact && got != left || left > 0 && (got < left/3 || got > left*3) {
			t.Errorf("lag at %d of %d = %d, want %d (exactly: %v)", test.seq, last, got, left, test.exact)
		}
	}
}

// TestLateEvents: how many of what is left came before a time, exactly as long as the log is short.
func TestLateEvents(t *testing.T) {
	start := time.Now()
	var tally tally
	for seq := syncline.Seq(1); seq <= 100; seq++ {
		tally.add(seq, eventsOf(seq), start.Add(time.Duration(seq)*time.Second))
	}
	for _, from := range []syncline.Seq{1, 2, 50, 99, 100, 101} {
		for before := range 103 {
			var want int64
			for seq := from; seq <= 100 && int(seq) < before; seq++ {
				want += int64(eventsOf(seq))
			}
			if got := tally.late(syncline.Cursor{Seq: from}, start.Add(time.Duration(before)*time.Second)); got != want {
				t.Fatalf("late from %d before %d = %d, want %d", from, before, got, want)
			}
		}
	}
	if got := tally.late(syncline.Cursor{Seq: 100, Index: 1}, start.Add(hour)); got != int64(eventsOf(100))-1 && eventsOf(100) > 0 {
		t.Errorf("late within an entry = %d", got)
	}
}
