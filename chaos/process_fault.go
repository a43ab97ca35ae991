package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"time"
)

// processFaults are what happens to the program itself.
var processFaults = []fault{
	{name: "kill", group: "process", weight: 8, least: 0, most: 1500 * time.Millisecond, do: kill},
	{name: "kill-again", group: "process", weight: 4, least: 0, most: 0, do: killAgain},
	{name: "stop", group: "process", weight: 2, least: 0, most: time.Second, do: stop},
	{name: "hold", group: "process", weight: 3, least: 200 * time.Millisecond, most: 5 * time.Second, do: hold},
	{name: "second", group: "process", weight: 2, least: 0, most: 0, do: second},
	{name: "little-memory", group: "process", weight: 2, least: time.Second, most: 5 * time.Second, do: littleMemory},
}

// kill is kill -9, and a start after a while.
func kill(_ context.Context, w *world, _ *rand.Rand) (func(context.Context) error, error) {
	w.program.kill()
	w.count("kills")
	return func(context.Context) error { return w.program.start(startOptions{}) }, nil
}

// killAgain kills a process that is starting, several times.
func killAgain(ctx context.Context, w *world, rnd *rand.Rand) (func(context.Context) error, error) {
	for range 2 + rnd.IntN(4) {
		w.program.kill()
		w.count("kills")
		if err := w.program.start(startOptions{}); err != nil {
			return nil, err
		}
		if err := sleep(ctx, time.Duration(10+rnd.IntN(900))*time.Millisecond); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// stop is an orderly end, and a start after a while.
func stop(_ context.Context, w *world, _ *rand.Rand) (func(context.Context) error, error) {
	if err := w.program.stop(); err != nil {
		w.watch.fail("orderly end", "%v", err)
	}
	return func(context.Context) error { return w.program.start(startOptions{}) }, nil
}

// hold stops the process where it stands, as a machine does that swaps or is moved.
func hold(_ context.Context, w *world, _ *rand.Rand) (func(context.Context) error, error) {
	w.program.signal(syscall.SIGSTOP)
	return func(context.Context) error { w.program.signal(syscall.SIGCONT); return nil }, nil
}

// second starts another process on the same directories, which must refuse.
func second(ctx context.Context, w *world, _ *rand.Rand) (func(context.Context) error, error) {
	if w.program.pid() == 0 {
		return nil, nil
	}
	// One that has just been started holds them when it answers: before, the second could be the first.
	if err := w.eventually(ctx, patience, func(ctx context.Context) error {
		_, err := w.api.Load().Routes(ctx)
		return err
	}); err != nil {
		return nil, err
	}
	out, err := w.program.command(ctx, "run")
	if err == nil || !strings.Contains(out, "log_locked") && !strings.Contains(out, "state_locked") {
		return nil, fmt.Errorf("a second process on the same directories: %w\n%s", err, out)
	}
	return nil, nil
}

// littleMemory lets the collector run all the time.
func littleMemory(_ context.Context, w *world, rnd *rand.Rand) (func(context.Context) error, error) {
	w.program.kill()
	w.count("kills")
	if err := w.program.start(startOptions{env: []string{fmt.Sprintf("GOMEMLIMIT=%dMiB", 32+rnd.IntN(32))}}); err != nil {
		return nil, err
	}
	return func(context.Context) error {
		if err := w.program.stop(); err != nil {
			w.watch.fail("orderly end", "%v", err)
		}
		return w.program.start(startOptions{})
	}, nil
}
