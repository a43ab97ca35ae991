package state

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"syncline"
)

// TestStatsAreSumsOfTheJournal, whatever stretch of time is asked for, and parked tasks count as what they are now.
func TestStatsAreSumsOfTheJournal(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ctx, s := t.Context(), openNew(t)
		place1(t, s, sl)
		at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		begin := at
		type batch struct {
			end    time.Time
			took   time.Duration
			counts map[string]Counts
			parked []Exception
		}
		var batches []batch
		for i := range rapid.IntRange(0, 30).Draw(rt, "batches") {
			seq := syncline.Seq(1 + i)
			took := time.Duration(rapid.IntRange(0, 5000).Draw(rt, "took")) * time.Microsecond
			at = at.Add(time.Duration(rapid.IntRange(0, 3).Draw(rt, "pause")) * time.Second).Add(took)
			b := batch{at, took, map[string]Counts{}, nil}
			j := &Journal{From: cur(seq, 0), To: cur(seq+1, 0), Start: at.Add(-took), End: at}
			for k, rule := range []string{"r/a", "r/b", "q"} {
				c := Counts{}
				c.Count(Applied, int64(rapid.IntRange(0, 3).Draw(rt, "applied")))
				c.Count(Filtered, int64(rapid.IntRange(0, 2).Draw(rt, "filtered")))
				if rapid.Bool().Draw(rt, "parks") {
					c.Count(Parked, 1)
					e := task(fmt.Sprintf("%s:%d", rule, seq), seq, k, StatusFailed)
					e.Rule, e.Created = rule, at
					b.parked = append(b.parked, e)
				}
				if b.counts[rule] = c; c.Read > 0 {
					j.Rules = append(j.Rules, RuleCounts{rule, c})
					j.Counts.Add(c)
				}
			}
			j.Latency.Observe(took, j.Counts.Read)
			j.LatencySum = took * time.Duration(j.Counts.Read)
			must(t, s.Commit(ctx, Commit{Slice: sl, Journal: j, Park: b.parked, Cursor: cur(seq+1, 0)}))
			for k := range b.parked {
				e := &b.parked[k]
				if e.Status = rapid.SampledFrom([]string{StatusFailed, StatusRetrying, StatusCancelled, StatusResolved}).Draw(rt, "status"); e.Status != StatusFailed {
					e.Outcome, e.ResolvedAt = Superseded, cur(seq, 0)
					must(t, s.Commit(ctx, Commit{Slice: sl, Update: []Exception{*e}}))
				}
			}
			batches = append(batches, b)
		}
		span := int64(at.Sub(begin)/time.Second) + 2
		from := begin.Add(time.Duration(rapid.Int64Range(-1, span).Draw(rt, "from")) * time.Second)
		to := begin.Add(time.Duration(rapid.Int64Range(-1, span).Draw(rt, "to")) * time.Second)
		rule := rapid.SampledFrom([]string{"", "r/", "q"}).Draw(rt, "rule")
		wants := func(r string) bool { return strings.HasPrefix(r, rule) }

		want, wantSum := Counts{}, time.Duration(0)
		parked := map[string]int64{}
		for _, b := range batches {
			if b.end.Before(from) || !b.end.Before(to) {
				continue
			}
			for r, c := range b.counts {
				if wants(r) {
					want.Add(c)
					wantSum += b.took * time.Duration(c.Read)
				}
			}
			for _, e := range b.parked {
				if status, reason := e.Public(); wants(e.Rule) {
					parked[fmt.Sprint(e.Rule, " ", status, " ", reason)]++
				}
			}
		}
		got, err := s.Stats(ctx, sl, from, to, wants)
		must(t, err)
		gotParked := map[string]int64{}
		for _, p := range got.Parked {
			gotParked[fmt.Sprint(p.Rule, " ", p.Status, " ", p.Reason)] += p.Tasks
		}
		if got.Journal != want || got.ExecutionSum != wantSum || got.Execution.Count() != want.Read {
			rt.Errorf("from %v to %v: %+v in %v (%d), want %+v in %v", from, to, got.Journal, got.ExecutionSum, got.Execution.Count(), want, wantSum)
		}
		if diff := cmp.Diff(parked, gotParked); diff != "" {
			rt.Errorf("parked tasks (-want +got):\n%s", diff)
		}
	})
}
