package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

const (
	// checkRows takes a side about a second and a half.
	checkRows   = 200_000
	checkRounds = 2
	// checkLeast is far below what is measured, and checkTries as often a machine that is busy with something else may spoil the rounds. Only the
	// best round counts: whatever else runs can slow one side down in a round, but a loss of speed shows in all of them.
	checkLeast = 0.6
	checkTries = 2
)

var errSlow = errors.New("the ratio to native replication is too low")

// check fails where updates are far slower than they were, as a ratio to native replication.
func (b *bench) check(ctx context.Context) error {
	for try := range checkTries {
		f, err := newField(ctx, b, fmt.Sprintf("check%d", try))
		if err != nil {
			return err
		}
		l := b.updateLoad()
		trials, err := f.backlog(ctx, l)
		if err != nil {
			return err
		}
		r := measured{trials: trials[f.syncline]}.against(measured{trials: trials[f.base]}, l.rows)
		b.say("updates ÷ native replication: %.2f–%.2f, want %.2f", r.least, r.most, checkLeast)
		if r.most >= checkLeast {
			return nil
		}
	}
	return fmt.Errorf("%w: every round of %d was below %.2f; see `go run ./bench -only updates`", errSlow, checkTries*b.rounds, checkLeast)
}

// checks sets what the check does where the command line says nothing of it.
func (o *options) checks(given []string) error {
	for _, name := range []string{"only", "o", "pprof", "copy-rows", "peer"} {
		if slices.Contains(given, name) {
			return fmt.Errorf("-check and -%s exclude each other", name)
		}
	}
	o.only = []string{"updates"}
	if !slices.Contains(given, "rows") {
		o.rows = checkRows
	}
	if !slices.Contains(given, "rounds") {
		o.rounds = checkRounds
	}
	return nil
}
