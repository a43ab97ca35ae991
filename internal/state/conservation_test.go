package state

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"syncline"
)

// model is what the store should hold of one slice, recounted from nothing at every step.
type model struct {
	batches []modelBatch
	cursor  syncline.Cursor
	trimmed syncline.Seq
}

type modelBatch struct {
	journal *Journal
	parked  []*Exception
	folded  bool
}

func (m *model) totals() (Counts, Histogram) {
	var c Counts
	var h Histogram
	for _, b := range m.batches {
		c.add(b.journal.Counts, 1)
		h.Add(&b.journal.Latency)
		for _, e := range b.parked {
			c.move(Parked, -1)
			c.move(e.outcome(), 1)
		}
	}
	return c, h
}

func (m *model) pending() []*Exception {
	var list []*Exception
	for _, b := range m.batches {
		for _, e := range b.parked {
			if e.Pending() {
				list = append(list, e)
			}
		}
	}
	return list
}

// cut drops the batches that begin at or beyond the place.
func (m *model) cut(at syncline.Cursor) {
	m.batches = slices.DeleteFunc(m.batches, func(b modelBatch) bool { return !b.journal.From.Before(at) })
}

// boundary draws a place where a batch began or ended and that the log still holds.
func (m *model) boundary(t *rapid.T) syncline.Cursor {
	places := []syncline.Cursor{m.cursor}
	for _, b := range m.batches {
		if b.journal.From.Seq >= m.trimmed {
			places = append(places, b.journal.From)
		}
	}
	at := rapid.SampledFrom(places).Draw(t, "boundary")
	at.Epoch = m.cursor.Epoch
	return at
}

// TestCountsAreConserved holds the store against G10 through any history of commits, repetitions, resolutions, rewinds and
// trims: read is always the sum of the others, and parked is what is pending.
func TestCountsAreConserved(t *testing.T) {
	s := openNew(t)
	rapid.Check(t, func(rt *rapid.T) {
		place1(t, s, sl)
		m := &model{cursor: cur(1, 0)}
		rt.Repeat(map[string]func(*rapid.T){
			"commit":  func(rt *rapid.T) { commitOne(t, rt, s, m) },
			"resolve": func(rt *rapid.T) { resolveSome(t, rt, s, m) },
			"rewind":  func(rt *rapid.T) { rewindTo(t, rt, s, m) },
			"trim":    func(rt *rapid.T) { trimBelow(t, rt, s, m) },
			"": func(rt *rapid.T) {
				counts, latency, err := s.Totals(t.Context(), sl)
				must(t, err)
				wantCounts, wantLatency := m.totals()
				if diff := cmp.Diff(wantCounts, counts); diff != "" {
					rt.Fatalf("Totals (-want +got):\n%s", diff)
				}
				if !counts.Balanced() || latency != wantLatency {
					rt.Fatalf("Totals = %+v with %d latencies, want balance and %d", counts, latency.Count(), wantLatency.Count())
				}
				pending, err := s.Pending(t.Context(), sl)
				must(t, err)
				if int64(len(pending)) != counts.Parked {
					rt.Fatalf("%d tasks are pending, parked = %d", len(pending), counts.Parked)
				}
				for i, e := range m.pending() {
					if pending[i].Task != e.Task || pending[i].Status != e.Status {
						rt.Fatalf("Pending[%d] = %s %s, want %s %s", i, pending[i].Task, pending[i].Status, e.Task, e.Status)
					}
				}
				r, err := s.Route(t.Context(), sl)
				must(t, err)
				if r.Cursor != m.cursor {
					rt.Fatalf("Cursor = %+v, want %+v", r.Cursor, m.cursor)
				}
			},
		})
	})
}

// commitOne reads on from the cursor, or again from a boundary before it, as after a commit without an answer.
func commitOne(t *testing.T, rt *rapid.T, s *Store, m *model) {
	from := m.boundary(rt)
	outcomes := rapid.SliceOfN(rapid.SampledFrom([]Outcome{Applied, Filtered, Superseded, Parked, Skipped}), 0, 6).Draw(rt, "outcomes")
	perEntry := rapid.IntRange(1, 6).Draw(rt, "tasks in an entry")
	j := &Journal{From: from, Outcomes: AppendOutcomes(nil, outcomes)}
	b := modelBatch{journal: j}
	at := from
	for _, o := range outcomes {
		j.Counts.Count(o, 1)
		j.Latency.Observe(time.Duration(rapid.IntRange(-1, 1e9).Draw(rt, "latency"))*time.Microsecond, 1)
		if o == Parked {
			e := task(fmt.Sprintf("%d.%d", at.Seq, at.Index), at.Seq, at.Index,
				rapid.SampledFrom([]string{StatusRetrying, StatusHeld, StatusReading, StatusFailed}).Draw(rt, "status"))
			b.parked = append(b.parked, &e)
		}
		if at.Index++; at.Index == perEntry {
			at.Seq, at.Index = at.Seq+1, 0
		}
	}
	if len(outcomes) == 0 {
		at.Seq, at.Index = at.Seq+1, 0 // an entry that held nothing for this slice
	}
	j.To = at
	c := Commit{Slice: sl, Journal: j, Cursor: at}
	for _, e := range b.parked {
		c.Park = append(c.Park, *e)
	}
	for range rapid.IntRange(1, 2).Draw(rt, "times") {
		must(t, s.Commit(t.Context(), c))
	}
	m.cut(from)
	m.batches, m.cursor = append(m.batches, b), at
}

// resolveSome ends or changes pending tasks between batches.
func resolveSome(t *testing.T, rt *rapid.T, s *Store, m *model) {
	pending := m.pending()
	if len(pending) == 0 {
		return
	}
	e := rapid.SampledFrom(pending).Draw(rt, "task")
	e.Status = rapid.SampledFrom([]string{StatusRetrying, StatusFailed, StatusResolved, StatusCancelled}).Draw(rt, "status")
	if !e.Pending() {
		e.ResolvedAt = m.cursor
		e.ResolvedAt.Index++
	}
	if e.Status == StatusResolved {
		e.Outcome = rapid.SampledFrom([]Outcome{Applied, Superseded, Skipped, Filtered}).Draw(rt, "outcome")
	}
	change := *e
	change.Record = nil
	for range rapid.IntRange(1, 2).Draw(rt, "times") {
		must(t, s.Commit(t.Context(), Commit{Slice: sl, Update: []Exception{change}}))
	}
	stored, err := s.Exception(t.Context(), e.Task)
	must(t, err)
	if diff := cmp.Diff(*e, stored); diff != "" {
		rt.Fatalf("Exception after a change (-want +got):\n%s", diff)
	}
}

func rewindTo(t *testing.T, rt *rapid.T, s *Store, m *model) {
	to := m.boundary(rt)
	to.Epoch += uint64(rapid.IntRange(0, 1).Draw(rt, "new owner"))
	m.cut(to)
	m.cursor = to
	var want []string
	for _, b := range m.batches {
		for _, e := range b.parked {
			if e.Status == StatusResolved && to.Before(e.ResolvedAt) {
				e.Status, e.Outcome, e.ResolvedAt = StatusRetrying, Applied, syncline.Cursor{}
				want = append(want, e.Task)
			}
		}
	}
	got, err := s.Rewind(t.Context(), sl, to)
	must(t, err)
	if len(got) != len(want) {
		rt.Fatalf("Rewind reopened %d tasks, want %v", len(got), want)
	}
	for i, e := range got {
		if e.Task != want[i] || e.Status != StatusRetrying || string(e.Record) != "rec "+e.Task {
			rt.Fatalf("Rewind reopened %s %s with record %q, want %s", e.Task, e.Status, e.Record, want[i])
		}
	}
}

// trimBelow purges the log up to somewhere at or before the cursor.
func trimBelow(t *testing.T, rt *rapid.T, s *Store, m *model) {
	below := syncline.Seq(rapid.Uint64Range(uint64(m.trimmed), uint64(m.cursor.Seq)).Draw(rt, "below"))
	must(t, s.Trim(t.Context(), "crm", below))
	m.trimmed = below
	for i := range m.batches {
		if to := m.batches[i].journal.To; !(place{below, 0}).before(placeOf(to)) {
			m.batches[i].folded = true
		}
	}
	n := 0
	for _, b := range m.batches {
		if !b.folded {
			n++
		}
	}
	if got := countRows(t, s, "journal"); got != n {
		rt.Fatalf("journal rows after Trim = %d, want %d", got, n)
	}
}
