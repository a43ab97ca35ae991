package sim

import (
	"context"
	"flag"
	"os"
	"testing"
)

var (
	seed  = flag.Uint64("sim.seed", 0, "run this seed only")
	seeds = flag.Int("sim.seeds", defaultSeeds, "number of seeds")
	first = flag.Uint64("sim.first", 1, "first seed")
)

func simulate(t *testing.T, seed uint64) Result {
	t.Helper()
	return simulateWith(t, Run, seed)
}

func simulateWith(t *testing.T, run func(context.Context, Options) (Result, error), seed uint64) Result {
	t.Helper()
	dir, err := os.MkdirTemp(memoryDir(), "syncline-sim-")
	if err != nil {
		t.Fatal(err)
	}
	res, err := run(t.Context(), Options{Seed: seed, Dir: dir})
	if err != nil {
		t.Errorf("seed %d: %v\nreplay: go test ./internal/sim -run '^%s$' -sim.seed %d", seed, err, t.Name(), seed)
	}
	return res
}

// memoryDir is a file system in memory where there is one: a simulation does not test the disk.
func memoryDir() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
}

func TestSeeds(t *testing.T) {
	if *seed != 0 {
		simulate(t, *seed)
		return
	}
	crashes, stubs, kept, passed := 0, 0, 0, 0
	for i := range uint64(*seeds) {
		res := simulate(t, *first+i)
		crashes, stubs, kept, passed = crashes+res.Crashes, stubs+res.Stubs, kept+res.Kept, passed+res.Passed
		if t.Failed() {
			return
		}
	}
	if stubs < *seeds {
		t.Errorf("only %d records were too large for the log in %d runs", stubs, *seeds)
	}
	if passed < *seeds {
		t.Errorf("only %d events were passed by urgent ones in %d runs", passed, *seeds)
	}
	if kept < *seeds {
		t.Errorf("only %d records were kept in %d runs", kept, *seeds)
	}
	if crashes < *seeds {
		t.Errorf("only %d crashes in %d runs: the simulation is too kind", crashes, *seeds)
	}
}

func TestSameSeedSameTrace(t *testing.T) {
	for world, run := range map[string]func(context.Context, Options) (Result, error){"seeds": Run, "disputes": Dispute, "rivals": Rivals, "two sides": TwoSides} {
		for s := range uint64(3) {
			if a, b := simulateWith(t, run, s+1), simulateWith(t, run, s+1); a.Trace != b.Trace {
				t.Errorf("%s: seed %d: traces %x and %x", world, s+1, a.Trace, b.Trace)
			}
		}
	}
}

func TestDisputes(t *testing.T) { simulateAll(t, Dispute, Result{Conflicts: 2, Crashes: 1}) }

func TestRivals(t *testing.T) { simulateAll(t, Rivals, Result{Conflicts: 2, Crashes: 1}) }

func TestTwoSides(t *testing.T) {
	simulateAll(t, TwoSides, Result{Conflicts: 2, Crashes: 5, Written: 5})
}

// simulateAll runs the seeds that were asked for. With less, on average, than least of what makes a run hard, the test would say nothing.
func simulateAll(t *testing.T, run func(context.Context, Options) (Result, error), least Result) {
	t.Helper()
	if *seed != 0 {
		simulateWith(t, run, *seed)
		return
	}
	var sum Result
	for i := range uint64(*seeds) {
		res := simulateWith(t, run, *first+i)
		sum.Conflicts, sum.Crashes, sum.Written = sum.Conflicts+res.Conflicts, sum.Crashes+res.Crashes, sum.Written+res.Written
		if t.Failed() {
			return
		}
	}
	if n := *seeds; sum.Conflicts < n*least.Conflicts || sum.Crashes < n*least.Crashes || sum.Written < n*least.Written {
		t.Errorf("only %d conflicts, %d crashes and %d writes in %d runs: the simulation is too kind", sum.Conflicts, sum.Crashes, sum.Written, n)
	}
}
