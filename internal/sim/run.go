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

// run is what every world has: one goroutine, one source of randomness, a clock, the disk of the process, and what was observable.
type run struct {
	ctx    context.Context
	rnd    *rand.Rand
	now    time.Time
	logs   *memlog.Store
	state  *state.Store
	trace  strings.Builder
	result Result
}

// start makes a run and has it do its work. An error comes with the last steps.
func start(ctx context.Context, o Options, work func(*run) error) (Result, error) {
	r := &run{ctx: ctx, rnd: rand.New(rand.NewPCG(o.Seed, 0x5F3759DF)), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	ids := 0
	r.logs = memlog.New(memlog.Options{MaxBatch: maxBatch, Now: func() time.Time { return r.now }, NewID: func() string { ids++; return fmt.Sprint("log", ids) }})
	path := filepath.Join(o.Dir, "state.db")
	err := statetest.Create(path)
	if err != nil {
		return r.result, err
	}
	if r.state, err = state.Open(ctx, state.Options{Path: path}); err != nil {
		return r.result, err
	}
	defer os.RemoveAll(o.Dir) //nolint:errcheck // a temporary directory
	defer r.state.Close()     //nolint:errcheck // its directory goes
	if err := work(r); err != nil {
		return r.result, fmt.Errorf("%w\nlast steps:\n%s", err, tail(r.trace.String(), 60))
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(r.trace.String()))
	r.result.Trace = h.Sum64()
	return r.result, nil
}

func tail(s string, lines int) string {
	all := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

func (r *run) note(format string, args ...any) {
	fmt.Fprintf(&r.trace, format+"\n", args...)
}

// broken is a promise that was.
func broken(format string, args ...any) error {
	return syncline.Errorf(syncline.Fatal, "promise_broken", format, args...)
}

// rest has everything work, ten minutes apart, until three rounds in a row have left no trace. More than most of them break a promise.
func (r *run) rest(most int, round func() error) error {
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
	return nil
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
