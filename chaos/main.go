// Command chaos runs the real program on real servers while a plan of faults, made from a seed, is carried out, and checks what must hold
// whatever happens: nothing is lost, nothing invented, nothing goes backwards, and in the end everything is equal.
//
// plan.go says what a seed stands for, fault.go what a fault is and where new ones are added, watch.go and end.go what is checked, push.go what is
// pushed over HTTP and what must come of it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// options are the command line.
type options struct {
	seed uint64
	time time.Duration
	// dir is where state and log of the program are put, each run in a folder of its own; "" = the run's folder.
	dir string
	// binary is the program; "" = it is built, with tags.
	binary, tags string
	// faults are the names of those to choose from; empty = all.
	faults  []string
	dry     bool
	plants  bool
	seeds   int // for each planted bug
	keep    bool
	verbose bool
}

// errBroken says that a check failed; what, has been printed.
var errBroken = errors.New("a promise was broken")

func main() {
	if len(os.Args) > 2 && os.Args[1] == natsCommand {
		os.Exit(serveNATS(os.Args[2:]))
	}
	// The first signal ends the run and cleans up; after it, the next one ends the process as it always does.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errBroken):
		os.Exit(1)
	case err != nil:
		fmt.Fprintf(os.Stderr, "chaos: %v\n", err)
		os.Exit(2)
	}
}

// run is the program: the report goes to stdout, progress to stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if o.plants {
		return findPlants(ctx, o, stdout, stderr)
	}
	p := makePlan(o.seed, o.time, chosen(o.faults))
	if o.dry {
		_, err := io.WriteString(stdout, p.String())
		return err
	}
	folder, err := os.MkdirTemp("", "syncline-chaos-")
	if err != nil {
		return err
	}
	if o.binary == "" {
		if o.binary, err = build(ctx, folder, o.tags, p.has(clockFault)); err != nil {
			return errors.Join(err, os.RemoveAll(folder))
		}
	}
	w := newWorld(o, p, folder, stderr)
	err = w.run(ctx)
	w.close()
	w.report(stdout, err)
	switch {
	case err == nil && len(w.watch.problems()) > 0:
		err = errBroken
	case err == nil && !o.keep:
		return errors.Join(os.RemoveAll(folder), w.removeHome())
	}
	fmt.Fprintf(stdout, "kept %s\n", folder) //nolint:errcheck // the exit code tells
	return err
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	var faults string
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // an error is told once, without all the flags
	flags.Uint64Var(&o.seed, "seed", 1, "what the plan is made from")
	flags.DurationVar(&o.time, "time", time.Minute, "how long faults are injected; the start and the end check come on top")
	flags.StringVar(&o.dir, "dir", "", "the file system that the program's state and log are to be on (default: that of the temporary folder)")
	flags.StringVar(&o.tags, "tags", "", "build tags of the program")
	flags.StringVar(&o.binary, "binary", "", "the program, if it is not to be built; its clock cannot be set then")
	flags.StringVar(&faults, "faults", "", "choose from these only, separated by commas: "+strings.Join(names(faultList()), ", "))
	flags.BoolVar(&o.dry, "n", false, "print the plan and do nothing")
	flags.BoolVar(&o.plants, "plants", false, "see that every planted bug is found, or the one with the tag that -tags names; -time is 20s then")
	flags.IntVar(&o.seeds, "seeds", 20, "how many seeds each planted bug is looked for with, from -seed on")
	flags.BoolVar(&o.keep, "keep", false, "keep the folder of a run that passed, too")
	flags.BoolVar(&o.verbose, "v", false, "print each fault as it happens")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(stderr)
		flags.PrintDefaults()
		return o, err
	case err != nil:
		return o, fmt.Errorf("%w; -h lists the flags", err)
	}
	timed := false
	flags.Visit(func(f *flag.Flag) { timed = timed || f.Name == "time" })
	if o.plants && !timed {
		o.time = plantTime
	}
	if faults != "" {
		o.faults = strings.Split(faults, ",")
	}
	for _, name := range o.faults {
		if len(chosen([]string{name})) == 0 {
			return o, fmt.Errorf("-faults %s: there are %s", name, strings.Join(names(faultList()), ", "))
		}
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("%q is not a flag", flags.Arg(0))
	case o.time < time.Second:
		return o, fmt.Errorf("-time %s: want a second or more", o.time)
	}
	return o, nil
}

// again is the command that repeats the run.
func (o options) again() string {
	s := fmt.Sprintf("go run ./chaos -seed %d -time %s", o.seed, o.time)
	if o.tags != "" {
		s += " -tags " + o.tags
	}
	if len(o.faults) > 0 {
		s += " -faults " + strings.Join(o.faults, ",")
	}
	if o.dir != "" {
		s += " -dir " + o.dir
	}
	return s
}

// build makes the program from this module, with a clock that can be set, if it is to have one: everything is compiled anew for that.
func build(ctx context.Context, folder, tags string, clock bool) (string, error) {
	path := filepath.Join(folder, "syncline")
	args := []string{"build", "-tags", tags, "-o", path}
	if clock {
		file, err := overlay(ctx, folder)
		if err != nil {
			return "", err
		}
		args = append(args, "-overlay", file)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "syncline/cmd/syncline")...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return path, nil
}
