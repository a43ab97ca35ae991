package sim

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
)

// Failure is a run that broke a promise.
type Failure struct {
	Options Options
	// Step is the one at which it was seen.
	Step int
	// Trace has everything that was observable, line by line, with the number of the step.
	Trace string
	Err   error
}

func (f *Failure) Error() string { return f.Err.Error() }
func (f *Failure) Unwrap() error { return f.Err }

// Steps are those that happened before it failed.
func (f *Failure) Steps() Steps { return f.Options.Only.upTo(f.Step) }

// LastLines returns the end of the trace.
func (f *Failure) LastLines(n int) string {
	all := strings.Split(strings.TrimSpace(f.Trace), "\n")
	return strings.Join(all[max(0, len(all)-n):], "\n")
}

var numbers = regexp.MustCompile(`[0-9]+`)

// kind is the same for failures that are about the same: what is said first, whatever the numbers of records and positions.
func (f *Failure) kind() string {
	line, _, _ := strings.Cut(f.Error(), "\n")
	return numbers.ReplaceAllString(line, "#")
}

// Shrink leaves out what a run does not need in order to fail in the same way, and returns the shortest run that did. It makes at most that many
// runs, and none once ctx is done. It is delta debugging (Zeller, Hildebrandt: Simplifying and Isolating Failure-Inducing Input, 2002) without
// the subsets: large parts of the run first, then ever smaller ones, then single steps until each of them is needed.
func Shrink(ctx context.Context, world World, failed *Failure, tries int) *Failure {
	best, steps := failed, failed.Steps()
	for part := (len(steps) + 1) / 2; part > 0; {
		shorter := false
		for at := len(steps); at > 0; {
			if tries--; tries < 0 || ctx.Err() != nil {
				return best
			}
			from := max(0, at-part)
			o := failed.Options
			o.Only = slices.Concat(steps[:from], steps[at:])
			if o.Only == nil {
				o.Only = Steps{}
			}
			_, err := world(ctx, o)
			var f *Failure
			if errors.As(err, &f) && f.kind() == failed.kind() && ctx.Err() == nil {
				best, steps, shorter = f, f.Steps(), true
			}
			at = min(from, len(steps))
		}
		switch {
		case part > 1:
			part /= 2
		case !shorter:
			return best
		}
	}
	return best
}
