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

func TestDisputes(t *testing.T) {
	if *seed != 0 {
		simulateWith(t, Dispute, *seed)
		return
	}
	conflicts, crashes := 0, 0
	for i := range uint64(*seeds) {
		res := simulateWith(t, Dispute, *first+i)
		conflicts, crashes = conflicts+res.Conflicts, crashes+res.Crashes
		if t.Failed() {
			return
		}
	}
	if conflicts < 2**seeds || crashes < *seeds {
		t.Errorf("only %d conflicts and %d crashes in %d runs: the simulation is too kind", conflicts, crashes, *seeds)
	}
}

func TestRivals(t *testing.T) {
	if *seed != 0 {
		simulateWith(t, Rivals, *seed)
		return
	}
	conflicts, crashes := 0, 0
	for i := range uint64(*seeds) {
		res := simulateWith(t, Rivals, *first+i)
		conflicts, crashes = conflicts+res.Conflicts, crashes+res.Crashes
		if t.Failed() {
			return
		}
	}
	if conflicts < 2**seeds || crashes < *seeds {
		t.Errorf("only %d conflicts and %d crashes in %d runs: the simulation is too kind", conflicts, crashes, *seeds)
	}
}

func TestTwoSides(t *testing.T) {
	if *seed != 0 {
		simulateWith(t, TwoSides, *seed)
		return
	}
	conflicts, crashes, rule := 0, 0, 0
	for i := range uint64(*seeds) {
		res := simulateWith(t, TwoSides, *first+i)
		conflicts, crashes, rule = conflicts+res.Conflicts, crashes+res.Crashes, rule+res.Written
		if t.Failed() {
			return
		}
	}
	if crashes < 5**seeds || conflicts < 2**seeds || rule < 5**seeds {
		t.Errorf("only %d crashes, %d conflicts and %d writes in %d runs: the simulation is too kind", crashes, conflicts, rule, *seeds)
	}
}
