package apply

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
	"syncline/internal/conflict"
	"syncline/internal/memtarget"
)

// statement is one transaction of a source.
type statement struct {
	source int
	at     time.Time
	event  syncline.Event
}

// history is what two sources say of three records, each of its own copy, with clocks that do not agree.
func history(rng *rand.Rand) (all [2][]statement) {
	start := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	seconds := rng.Perm(100)
	for s := range all {
		n := 4 + rng.IntN(8)
		times := slices.Clone(seconds[s*50 : s*50+n])
		slices.Sort(times)
		var has [4][2]string
		for i := range n {
			id := 1 + rng.IntN(3)
			op := syncline.OpUpdated
			if has[id][0] == "" {
				has[id], op = [2]string{"a", "a"}, syncline.OpCreated
			}
			has[id][rng.IntN(2)] = string(rune('a' + rng.IntN(4)))
			all[s] = append(all[s], statement{s, start.Add(time.Duration(times[i]) * time.Second),
				syncline.Event{Op: op, Schema: customers, After: record(int64(id), has[id][0], has[id][1])}})
		}
	}
	return all
}

// writers are two routes into one object, from a source each.
type writers [2]*bench

func newWriters(t *testing.T, store *memtarget.Store, noTransactions bool) (w writers) {
	for s, source := range []string{"crm", "erp"} {
		w[s] = newConflictBench(t, conflict.Policy{Strategy: conflict.LastWriteWins}, func(o *Options) {
			o.ID, o.Source = source, source
			o.Open = func(context.Context) (syncline.Target, error) {
				return store.Open(memtarget.Options{Route: source, NoTransactions: noTransactions}), nil
			}
		})
		w[s].store = store
	}
	return w
}

func (w writers) append(e statement) {
	b := w[e.source]
	b.commit++
	e.event.Ordinal = 1
	b.store1(&syncline.Batch{Source: b.options.Source, Position: syncline.Position{Epoch: 1, Commit: b.commit, Ordinal: 1},
		Txns: []syncline.Txn{{Commit: b.commit, Time: e.at}}, Events: []syncline.Event{e.event}})
}

// TestTwoSourcesConverge: with last_write_wins the records do not depend on the order in which two sources are heard, on crashes, on
// answers that are lost, or on a target that loses its tail.
func TestTwoSourcesConverge(t *testing.T) {
	for seed := range uint64(12) { // internal/sim looks at thousands
		for _, noTransactions := range []bool{false, true} {
			t.Run(fmt.Sprint(seed, " ", noTransactions), func(t *testing.T) {
				rng := rand.New(rand.NewPCG(seed, 7))
				all := history(rng)

				plain := newWriters(t, memtarget.NewStore(), noTransactions)
				for s := range all {
					for _, e := range all[s] {
						plain.append(e)
						plain[s].mustDrain()
					}
				}
				want := plain[0].rows()

				store := memtarget.NewStore()
				w := newWriters(t, store, noTransactions)
				store.Sync()
				next := [2]int{}
				for next[0] < len(all[0]) || next[1] < len(all[1]) || rng.IntN(4) > 0 {
					s := rng.IntN(2)
					switch rng.IntN(8) {
					case 0, 1, 2:
						if next[s] < len(all[s]) {
							w.append(all[s][next[s]])
							next[s]++
						}
					case 3, 4, 5:
						if err := w[s].drain(); err != nil {
							w[s].start()
						}
					case 6:
						store.Fail([]memtarget.Fault{memtarget.FailBefore, memtarget.FailMidway, memtarget.FailAfter}[rng.IntN(3)])
					case 7:
						if rng.IntN(2) == 0 {
							store.Sync()
							continue
						}
						if store.LoseTail(1+rng.IntN(4)) > 0 {
							w[0].start() // both cursors may have gone back
							w[1].start()
						}
					}
				}
				for quiet := 0; quiet < 2; {
					quiet = 0
					for s := range w {
						if err := w[s].drain(); err != nil {
							w[s].start()
						} else {
							quiet++
						}
					}
				}
				if diff := cmp.Diff(want, w[0].rows()); diff != "" {
					t.Errorf("target (-one after the other +interleaved):\n%s", diff)
				}
				for s := range w {
					if c := w[s].balanced(); c.Parked != 0 || c.Read != int64(len(all[s])) {
						t.Errorf("counts of %s = %+v, want %d read and none parked", w[s].options.ID, c, len(all[s]))
					}
				}
			})
		}
	}
}
