package sim

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	seed  = flag.Uint64("sim.seed", 0, "run this seed only")
	only  = flag.String("sim.only", "", "of that seed, have only these steps happen: 3,17-40")
	seeds = flag.Int("sim.seeds", 0, "number of seeds; 0 = as many as CI has time for")
	first = flag.Uint64("sim.first", 1, "first seed")
	tries = flag.Int("sim.tries", 400, "runs that are made to shorten one that failed")
)

func TestMain(m *testing.M) {
	flag.Parse()
	debug.SetGCPercent(400) // a run makes much garbage and holds little
	os.Exit(m.Run())
}

func TestSeeds(t *testing.T) {
	simulate(t, Run, map[string]int{"crash": 100, "clock": 20, "stub": 100, "passed": 100, "kept": 70})
}

func TestDisputes(t *testing.T) {
	simulate(t, Dispute, map[string]int{"conflict": 200, "crash": 100, "clock": 20})
}

func TestRivals(t *testing.T) {
	simulate(t, Rivals, map[string]int{"conflict": 200, "crash": 100, "clock": 20})
}

func TestTwoSides(t *testing.T) {
	simulate(t, TwoSides, map[string]int{"conflict": 200, "crash": 500, "clock": 100, "write": 500})
}

func TestOperators(t *testing.T) {
	simulate(t, Operators, map[string]int{"crash": 100, "clock": 20, "edit": 50, "cancel": 50, "retry": 100, "pause": 50, "late": 20, "fenced": 10, "sync": 50})
}

// simulate runs the seeds that were asked for, on all processors. With less, in a hundred runs, than least of what makes a run hard, the test
// would say nothing.
func simulate(t *testing.T, world World, least map[string]int) {
	t.Helper()
	if *seed != 0 {
		replay(t, world)
		return
	}
	n := *seeds
	if n == 0 {
		n = defaultSeeds
	}
	var (
		next   atomic.Int64
		failed atomic.Bool
		mu     sync.Mutex
		did    = make(map[string]int)
		told   = time.Now()
		group  sync.WaitGroup
	)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for !failed.Load() {
				i := next.Add(1) - 1
				if i >= int64(n) {
					return
				}
				res, err := world(t.Context(), Options{Seed: *first + uint64(i)}) //nolint:gosec // it is not negative
				mu.Lock()
				for what, n := range res.Did {
					did[what] += n
				}
				if testing.Verbose() && time.Since(told) > 10*time.Second {
					told = time.Now()
					t.Logf("%d of %d seeds", i, n)
				}
				if err != nil && !failed.Swap(true) {
					report(t, world, err)
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	for what, least := range least {
		if !t.Failed() && did[what]*100 < n*least {
			t.Errorf("%d times %q in %d runs: the simulation is too kind", did[what], what, n)
		}
	}
}

// replay runs the one seed, and shows what happens in it.
func replay(t *testing.T, world World) {
	t.Helper()
	o := Options{Seed: *seed}
	if *only != "" {
		var err error
		if o.Only, err = ParseSteps(*only); err != nil {
			t.Fatal(err)
		}
	}
	_, err := world(t.Context(), o)
	var f *Failure
	switch {
	case errors.As(err, &f):
		t.Errorf("seed %d: %v\nin these steps:\n%s", *seed, err, f.LastLines(300))
	case err != nil:
		t.Error(err)
	}
}

// shrinkTime bounds how long a failing run is made shorter.
const shrinkTime = 90 * time.Second

// report tells of a run that failed, and of the shortest one that fails in the same way.
func report(t *testing.T, world World, err error) {
	t.Helper()
	var f *Failure
	if !errors.As(err, &f) {
		t.Error(err)
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), shrinkTime)
	defer cancel()
	short := Shrink(ctx, world, f, *tries)
	t.Errorf("seed %d: %v\n\n%d of its %d steps are enough:\n%s\n%v\n\nreplay: %s\nwhole:  %s", f.Options.Seed, err, len(short.Steps()), len(f.Steps()), short.LastLines(200), short.Err,
		command(t, f.Options.Seed, short.Steps()), command(t, f.Options.Seed, nil))
}

func command(t *testing.T, seed uint64, steps Steps) string {
	t.Helper()
	name, _, _ := strings.Cut(t.Name(), "/")
	c := fmt.Sprintf("go test ./internal/sim -run '^%s$' -sim.seed %d", name, seed)
	if steps != nil {
		c += " -sim.only " + steps.String()
	}
	return c
}

func TestSameSeedSameTrace(t *testing.T) {
	for name, world := range map[string]World{"seeds": Run, "disputes": Dispute, "rivals": Rivals, "two sides": TwoSides, "operators": Operators} {
		for s := range uint64(3) {
			a, err := world(t.Context(), Options{Seed: s + 1})
			if err != nil {
				t.Fatalf("%s: seed %d: %v", name, s+1, err)
			}
			b, err := world(t.Context(), Options{Seed: s + 1})
			if err != nil || a.Trace != b.Trace {
				t.Errorf("%s: seed %d: traces %x and %x, %v", name, s+1, a.Trace, b.Trace, err)
			}
		}
	}
}
