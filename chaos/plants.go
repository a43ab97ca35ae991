package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"syncline/internal/plant"
)

// A checker that has never found anything is no evidence. So bugs of the kinds that systems like this one have had are planted in the program,
// one at a time, and runs of short plans have to find each. What has found one is repeated with the program as it is, and must find nothing:
// else it was not the bug that it found.

// plantTime is how long the faults of such a run last, if nothing else is said.
const plantTime = 20 * time.Second

// plantFaults are the faults of the plans by the bug's tag, where it takes a fault that is rare among all; every other one is looked for with all.
var plantFaults = map[string][]string{
	"plant_cursor_before_rows":   {"kill", "kill-again", "warehouse-crash", "warehouse-cut"},
	"plant_no_fence":             {"takeover"},
	"plant_no_sync":              {"power-cut", "sync-kill", "disk-full"},
	"plant_resume_by_change_lsn": {"kill", "kill-again"},
	"plant_silent_gap":           {"log-released"},
}

// findPlants looks for each bug with the seeds from the option's on, and fails where one is not found.
func findPlants(ctx context.Context, o options, stdout, stderr io.Writer) error {
	say := func(format string, args ...any) { fmt.Fprintf(stdout, format+"\n", args...) } //nolint:errcheck // the exit code tells
	folder, err := os.MkdirTemp("", "syncline-plants-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder) //nolint:errcheck // a temporary folder
	missed := 0
	for _, bug := range plant.Bugs {
		if o.tags != "" && o.tags != bug.Tag {
			continue
		}
		one := o
		one.tags = bug.Tag
		if list := plantFaults[bug.Tag]; list != nil && len(o.faults) == 0 {
			one.faults = list
		}
		clock := slices.Contains(names(chosen(one.faults)), clockFault)
		if one.binary, err = build(ctx, folder, bug.Tag, clock); err != nil {
			return err
		}
		say("%s: %s", bug.Tag, bug.What)
		found, err := one.find(ctx, say, stderr)
		if err != nil {
			return err
		}
		if found == 0 {
			missed++
			say("  NOT FOUND within %d seeds", o.seeds)
			continue
		}
		if one.binary, err = build(ctx, folder, "", clock); err != nil {
			return err
		}
		one.seed, one.tags = found, ""
		problems, err := one.once(ctx, stderr)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			say("  seed %d without the bug did not come to its end: %v", found, err)
		case len(problems) > 0:
			missed++
			say("  BUT seed %d without the bug: %s: %s\n  again: %s", found, problems[0].promise, firstLine(problems[0].what), one.again())
		default:
			say("  seed %d without the bug: nothing", found)
		}
	}
	if missed > 0 {
		return errBroken
	}
	return nil
}

// find tries one seed after the other, and returns the one that finds something; 0 = none does.
func (o options) find(ctx context.Context, say func(string, ...any), stderr io.Writer) (seed uint64, err error) {
	for last := o.seed + uint64(o.seeds); o.seed < last; o.seed++ { //nolint:gosec // a number of seeds
		began := time.Now()
		problems, err := o.once(ctx, stderr)
		switch took := time.Since(began).Round(time.Second); {
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case err != nil:
			say("  seed %d did not come to its end after %s: %s", o.seed, took, firstLine(err.Error()))
		case len(problems) > 0:
			say("  seed %d found it after %s: %s: %s", o.seed, took, problems[0].promise, firstLine(problems[0].what))
			return o.seed, nil
		default:
			say("  seed %d found nothing after %s", o.seed, took)
		}
	}
	return 0, nil
}

// once carries out the plan of the seed, and leaves nothing behind.
func (o options) once(ctx context.Context, stderr io.Writer) ([]problem, error) {
	folder, err := os.MkdirTemp("", "syncline-chaos-")
	if err != nil {
		return nil, err
	}
	w := newWorld(o, makePlan(o.seed, o.time, chosen(o.faults)), folder, stderr)
	err = w.run(ctx)
	w.close()
	return w.watch.problems(), errors.Join(err, os.RemoveAll(folder), w.removeHome())
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
