// Command bench measures Syncline's speed on real servers that it starts itself. Every figure about rows stands beside that of
// PostgreSQL's own logical replication, measured in the same run on the same servers, because only the ratio means something
// on another machine.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// measurements are what can be asked for, in the order in which they run.
var measurements = []struct {
	name string
	run  func(*bench, context.Context) (section, error)
	// servers says that it needs PostgreSQL.
	servers bool
}{
	{"updates", (*bench).updates, true},
	{"inserts", (*bench).inserts, true},
	{"copy", (*bench).copies, true},
	{"wide", (*bench).wide, true},
	{"large", (*bench).large, true},
	{"hot", (*bench).hot, true},
	{"latency", (*bench).latency, true},
	{"stages", (*bench).stages, true},
	{"backfill", (*bench).backfill, true},
	{"steps", (*bench).steps, true},
	{"conflicts", (*bench).conflicts, true},
	{"refused", (*bench).refused, true},
	{"parked", (*bench).parked, true},
	{"transform", (*bench).transform, false},
	{"log", (*bench).log, false},
	{"verify", (*bench).verify, true},
	{"idle", (*bench).idle, true},
	{"memory", (*bench).memory, true},
	{"fanout", (*bench).fanout, true},
	{"scale-rules", (*bench).scaleRules, true},
	{"scale-columns", (*bench).scaleColumns, true},
	{"scale-backlog", (*bench).scaleBacklog, true},
}

// options are the command line.
type options struct {
	rows, rounds int
	copyRows     int
	huge         bool
	only         []string // empty = all
	out          string
	// pprof is the folder for profiles; "" = the real binary runs as a process of its own.
	pprof string
	check bool // of one ratio only, without a report
	peers []string
}

func main() {
	// The first signal cleans up; after it, the next one ends the process as it always does.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

// run is the program. The report goes to the file that was asked for, else to stdout; progress goes to stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	b, err := start(ctx, o, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if o.check {
		return b.check(ctx)
	}
	var sections []section
	for _, m := range measurements {
		if !o.wants(m.name) {
			continue
		}
		b.say("%s", m.name)
		s, err := m.run(b, ctx)
		if err != nil {
			return fmt.Errorf("measure %s: %w", m.name, err)
		}
		sections = append(sections, s)
	}
	about, err := b.about(ctx, args)
	if err != nil {
		return err
	}
	text := markdown(about, sections)
	if o.out == "" {
		_, err = io.WriteString(stdout, text)
		return err
	}
	if err := os.MkdirAll(filepath.Dir(o.out), 0o755); err != nil {
		return err
	}
	return os.WriteFile(o.out, []byte(text), 0o644)
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	var only string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&o.rows, "rows", 500_000, "rows of each measurement of throughput")
	flags.IntVar(&o.copyRows, "copy-rows", 2_000_000, "rows of the initial copy")
	flags.BoolVar(&o.huge, "huge", false, "scale-backlog: a million and ten million updates of two million records as well, which take minutes and gigabytes")
	flags.IntVar(&o.rounds, "rounds", 3, "rounds of each measurement of throughput; the medians count")
	flags.StringVar(&only, "only", "", "measurements to do, separated by commas: "+strings.Join(names(), ", ")+" (default all)")
	flags.StringVar(&o.out, "o", "", "write the report to this file (default standard output)")
	flags.StringVar(&o.pprof, "pprof", "", "run Syncline inside the bench and write CPU and allocation profiles to this folder; not with -o")
	flags.Func("peer", "a script that runs another tool, to be measured beside native replication; may be repeated (bench/peers/README.md)", func(script string) error {
		o.peers = append(o.peers, script)
		return nil
	})
	flags.BoolVar(&o.check, "check", false, "only fail if updates are far slower than they were, as a ratio to native replication")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	var given []string
	flags.Visit(func(f *flag.Flag) { given = append(given, f.Name) })
	if only != "" {
		o.only = strings.Split(only, ",")
	}
	for _, name := range o.only {
		if !slices.Contains(names(), name) {
			return o, fmt.Errorf("-only %s: there are %s", name, strings.Join(names(), ", "))
		}
	}
	if o.check {
		if err := o.checks(given); err != nil {
			return o, err
		}
	}
	seen := map[string]bool{}
	for _, script := range o.peers {
		label, err := labelOf(script)
		if err != nil {
			return o, err
		}
		if seen[label] {
			return o, fmt.Errorf("-peer %s: there is another one of this name", script)
		}
		seen[label] = true
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("%q is not a flag", flags.Arg(0))
	case o.rows < 100 || o.rows%10 != 0:
		return o, fmt.Errorf("-rows %d: want a multiple of ten, 100 or more", o.rows)
	case o.copyRows < 2:
		return o, fmt.Errorf("-copy-rows %d: want 2 or more", o.copyRows)
	case o.rounds < 1:
		return o, fmt.Errorf("-rounds %d: want 1 or more", o.rounds)
	case o.pprof != "" && o.out != "":
		return o, errors.New("-pprof and -o exclude each other: memory and CPU of a profiled run are those of the bench as well")
	}
	return o, nil
}

func (o options) wants(name string) bool { return len(o.only) == 0 || slices.Contains(o.only, name) }

// servers reports whether anything is asked for that needs PostgreSQL.
func (o options) servers() bool {
	for _, m := range measurements {
		if m.servers && o.wants(m.name) {
			return true
		}
	}
	return false
}

func names() []string {
	var list []string
	for _, m := range measurements {
		list = append(list, m.name)
	}
	return list
}
