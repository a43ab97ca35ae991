package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
)

// promises are what a run that passed has shown, a line each.
var promises = []string{
	"nothing is lost: every committed write reached the webhook, every target has the last one",
	"nothing is invented: every version that was seen anywhere was committed, and is whole",
	"nothing goes backwards: warehouse (every commit), cache, bucket",
	"first deliveries of each key came in order",
	"what was pushed and answered is there, and nothing of it twice",
	"two sides that are both written hold the same: the newest of each record and of each half, what was added, and nobody's echo",
	"what two systems say of one record is decided by the policy, whatever was heard of first",
	"what is given up of a log that is full is told, and read again",
	"urgent events are carried out before most of what stands before them",
	"nothing was acknowledged to the source before the log had it",
	"what was read is accounted for on every route, at all times",
	"parked is exactly what was planted",
	"everything is equal, by verify and by comparing",
	"caught up after the last fault, with no standstill of 60 s",
	"memory, descriptors and goroutines are back to normal",
	"no secret in output, API, metrics, state",
}

// report prints what came of the run. err is what has kept it from its end.
func (w *world) report(out io.Writer, err error) {
	p := func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) } //nolint:errcheck // the exit code tells
	problems := w.watch.problems()
	j := w.journal
	j.mu.Lock()
	w.add("transactions", int(j.commits))
	w.add("commits whose answer was lost", int(j.lost))
	w.add("versions written", len(j.writes))
	j.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(problems) == 0 && err == nil {
		for _, line := range promises {
			p("ok    %s", line)
		}
	} else {
		p("seed %d: the plan was\n%s", w.plan.Seed, w.plan)
		p("what happened:")
		for _, line := range w.lines {
			p("%s", line)
		}
		if err != nil {
			p("\nthe run did not come to its end: %v", err)
		}
		for i, x := range problems {
			if i == 0 {
				p("\nwhat broke first, at %.3f s: %s:\n  %s", x.at.Seconds(), x.promise, x.what)
			}
		}
		p("\nagain: %s", w.opts.again())
	}
	text := fmt.Sprintf("seed %d:", w.plan.Seed)
	for _, name := range slices.Sorted(maps.Keys(w.counts)) {
		text += fmt.Sprintf(" %s %d,", name, w.counts[name])
	}
	p("%s", text[:len(text)-1])
}
