package sim

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"syncline"
	"syncline/internal/memlog"
	"syncline/internal/state"
	"syncline/internal/statetest"
)

// World makes one run of its kind. The error, a *Failure, tells which promise was broken.
type World func(context.Context, Options) (Result, error)

// Options of a run. The zero value but for Seed is what tests use.
type Options struct {
	Seed uint64
	// Txns is the length of the sources' histories; 0 = what the world takes for enough.
	Txns int
	// Only are the steps that are to happen; nil = all of them. Each has randomness of its own, so that it is the same beside fewer others.
	Only Steps
	// Dir is where the state store is kept while the run goes on; empty = in memory, where the system has such a file system.
	Dir string
	// object may take exception to what is noted: a test's way to break a promise.
	object func(line string) error
}

// Result tells what a run did.
type Result struct {
	// Trace is the same for the same options: a hash over everything that was observable.
	Trace uint64
	Steps int
	// Did counts what makes a run hard, by its name. A test without enough of it would say nothing.
	Did map[string]int
}

// run is what every world has: one goroutine, one source of randomness, a clock, the disk of the process, and what was observable.
type run struct {
	ctx    context.Context
	o      Options
	pcg    *rand.PCG
	rnd    *rand.Rand
	step   int // the present one; 0 = none
	now    time.Time
	logs   *memlog.Store
	state  *state.Store
	trace  strings.Builder
	result Result
	// resting: everything comes to its end.
	resting bool
	wrong   error // what Options.object said
}

// Streams of randomness that belong to no step.
const (
	beforeSteps = 0
	behindSteps = 1 << 32 // of the history
	atTheEnd    = 1 << 33
)

// start makes a run and has it do its work.
func start(ctx context.Context, o Options, work func(*run) error) (Result, error) {
	pcg := &rand.PCG{}
	r := &run{ctx: ctx, o: o, pcg: pcg, rnd: rand.New(pcg), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), result: Result{Did: make(map[string]int)}}
	r.stream(beforeSteps)
	ids := 0
	r.logs = memlog.New(memlog.Options{MaxBatch: maxBatch, Now: func() time.Time { return r.now }, NewID: func() string { ids++; return fmt.Sprint("log", ids) }})
	dir, err := os.MkdirTemp(memoryDir(o.Dir), "syncline-sim-")
	if err != nil {
		return r.result, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	path := filepath.Join(dir, "state.db")
	if err := statetest.Create(path); err != nil {
		return r.result, err
	}
	if r.state, err = state.Open(ctx, state.Options{Path: path}); err != nil {
		return r.result, err
	}
	defer r.state.Close() //nolint:errcheck // its directory goes
	if err := work(r); err != nil {
		return r.result, &Failure{Options: o, Step: r.step, Trace: r.trace.String(), Err: err}
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(r.trace.String()))
	r.result.Trace = h.Sum64()
	return r.result, nil
}

// memoryDir is a file system in memory where there is one: a simulation does not test the disk.
func memoryDir(dir string) string {
	if info, err := os.Stat("/dev/shm"); dir == "" && err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return dir
}

// stream has the randomness that follows depend on the seed and n alone.
func (r *run) stream(n uint64) {
	n = (n + 1) * 0x9E3779B97F4A7C15 // steps that follow each other are not to be alike
	n = (n ^ n>>30) * 0xBF58476D1CE4E5B9
	r.pcg.Seed(r.o.Seed, n^n>>27)
}

// turn begins the next step, and reports whether it is to happen.
func (r *run) turn() bool {
	r.step++
	r.stream(uint64(r.step)) //nolint:gosec // it counts from one
	return r.o.Only == nil || r.o.Only.Has(r.step)
}

// write has a history of n transactions written, each of which is a step.
func (r *run) write(n int, next func()) {
	for range n {
		if r.turn() {
			next()
		}
	}
	r.stream(behindSteps + uint64(r.step)) //nolint:gosec // it counts from one
}

// play has n things happen, each a step at its time, and looks at what always holds.
func (r *run) play(n int, act, check func() error) error {
	for range n {
		r.result.Steps++
		if !r.turn() {
			continue
		}
		r.now = r.now.Add(time.Duration(r.rnd.IntN(2000)) * time.Millisecond)
		if err := act(); err != nil {
			return err
		}
		if err := check(); err != nil {
			return err
		}
		if r.wrong != nil {
			return r.wrong
		}
	}
	r.stream(atTheEnd)
	r.note("heal")
	return nil
}

// crashed takes note that the process is gone. In a quarter of the cases the machine's clock is another one when the next begins, by an hour at
// most; within a process times are those of a clock that nobody sets.
func (r *run) crashed() {
	r.note("crash")
	r.did("crash")
	if !r.resting && r.rnd.IntN(4) == 0 {
		by := time.Duration(r.rnd.IntN(7200)-3600) * time.Second
		r.now = r.now.Add(by)
		r.did("clock")
		r.note("the clock is set by %s", by)
	}
}

func (r *run) did(what string) { r.result.Did[what]++ }

func (r *run) note(format string, args ...any) {
	at := r.trace.Len()
	fmt.Fprintf(&r.trace, "%d: "+format+"\n", append([]any{r.step}, args...)...)
	if r.o.object != nil && r.wrong == nil {
		r.wrong = r.o.object(r.trace.String()[at:])
	}
}

// broken is a promise that was.
func broken(format string, args ...any) error {
	return syncline.Errorf(syncline.Fatal, "promise_broken", format, args...)
}

// rest has everything work, ten minutes apart, until three rounds in a row have left no trace. More than most of them break a promise.
func (r *run) rest(most int, round func() error) error {
	r.resting = true
	for quiet, rounds := 0, 0; quiet < 3; rounds++ {
		if rounds > most {
			return broken("it does not come to rest")
		}
		r.result.Steps++
		before := r.trace.Len()
		if err := round(); err != nil {
			return err
		}
		quiet++
		if r.trace.Len() != before {
			quiet = 0
		}
		r.now = r.now.Add(10 * time.Minute)
	}
	return r.wrong
}

// survive takes note of an error that a process outlives. Any other one ends the run.
func (r *run) survive(err error) error {
	if err == nil {
		return nil
	}
	if syncline.ClassOf(err) == syncline.Fatal {
		return fmt.Errorf("halted: %w", err)
	}
	r.note("error: %s", syncline.CodeOf(err))
	return nil
}
