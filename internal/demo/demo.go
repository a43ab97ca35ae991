// Package demo is Syncline at work on a business of its own: a workload writes to four SQLite databases as a CRM, a shop, a
// stock system and the books would, a daemon with a normal configuration takes the changes to five targets, and at the end every target
// is compared with what the rules make of the sources. Everything is in one directory and on 127.0.0.1.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"syncline"
	"syncline/internal/config"
	"syncline/internal/daemon"
	"syncline/internal/ops"
)

// Options say how the demo runs. Dir and Out are required.
type Options struct {
	// Dir is new, empty or a demo's: then the demo goes on where it ended.
	Dir string
	// Seed chooses the story of a new directory.
	Seed uint64
	// Rate is in changes per second; 0 = as fast as it goes.
	Rate float64
	// Changes is how many are made; 0 = until Run's context ends.
	Changes int64
	// Headless leaves out what is for somebody who watches.
	Headless bool
	// Terminal is set where Out is one: the status then refreshes in place.
	Terminal *Terminal
	Version  string
	Out      io.Writer
}

// Terminal is what the demo must know of a terminal.
type Terminal struct {
	// Size returns its columns and lines.
	Size func() (columns, lines int)
	// Color allows colours.
	Color bool
}

// Result is what was found at the end.
type Result struct {
	// Verified is what the daemon found while it worked. Its zero value: it did not come to that.
	Verified ops.Verification
	// Comparisons are made of everything once nothing moves any more, one for each rule.
	Comparisons []daemon.Comparison
}

// Equal reports whether all targets hold what the rules make of the sources.
func (r Result) Equal() bool {
	for _, c := range r.Comparisons {
		if !c.Result.Equal() {
			return false
		}
	}
	return len(r.Comparisons) > 0 && r.Verified.Differences == 0
}

const (
	// startLimit is how long the sources may take to begin.
	startLimit = 30 * time.Second
	// drainLimit is how long the routes may take to catch up in all, stallLimit without getting any further.
	drainLimit = 5 * time.Minute
	stallLimit = 15 * time.Second
	// logFile is the daemon's log in the directory.
	logFile = "demo.log"
)

// Run makes changes until there are enough or ctx ends; then it waits for the routes to catch up, stops, compares every source
// with every target and prints what it found. An error means that the demo could not be carried out: differences are none.
func Run(ctx context.Context, o Options) (res Result, err error) {
	r := &runner{o: o, started: time.Now(), screen: &screen{out: o.Out, terminal: o.Terminal}}
	if err := prepare(o.Dir); err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.open(ctx); err != nil {
		return res, err
	}
	if r.base, err = r.look(ctx); err != nil {
		return res, err
	}
	r.welcome()
	if err := r.work(ctx); err != nil {
		return res, err
	}
	if res.Comparisons, err = r.daemon.Compare(context.WithoutCancel(ctx), r.others()); err != nil {
		return res, err
	}
	res.Verified = r.verified
	r.report(res)
	return res, nil
}

// runner is one run of the demo.
type runner struct {
	o       Options
	started time.Time
	screen  *screen

	log      *os.File
	partner  *partner
	config   *config.Config
	daemon   *daemon.Daemon
	workload *workload
	// base is how things stood before anything was done.
	base     snapshot
	verified ops.Verification

	mu    sync.Mutex
	phase string
	// first is how long the first record of this run took from the start of the program to a target; 0 = not there yet.
	first time.Duration
}

// open opens everything. The daemon comes before the databases: it holds the directory's lock.
func (r *runner) open(ctx context.Context) error {
	var err error
	if r.log, err = os.OpenFile(filepath.Join(r.o.Dir, logFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
		return fmt.Errorf("open the demo's log file: %w", err)
	}
	if r.partner, err = newPartner(); err != nil {
		return err
	}
	if err = r.openDaemon(ctx, usualAPI); syncline.CodeOf(err) == "listen_failed" {
		err = r.openDaemon(ctx, anyAPI)
	}
	if err != nil {
		return err
	}
	if r.workload, err = openWorkload(ctx, r.o.Dir, r.o.Seed); err != nil {
		return err
	}
	return r.partner.start(ctx, r.o.Dir)
}

func (r *runner) openDaemon(ctx context.Context, port string) (err error) {
	if r.config, err = load(r.o.Dir, port, r.partner); err != nil {
		return err
	}
	r.daemon, err = daemon.Open(ctx, daemon.Options{Config: r.config, Version: r.o.Version, Logger: slog.New(slog.NewTextHandler(r.log, nil))})
	return err
}

// close closes everything that was opened, the partner after the daemon that sends to it.
func (r *runner) close() error {
	var errs []error
	if r.workload != nil {
		errs = append(errs, r.workload.close())
	}
	if r.daemon != nil {
		errs = append(errs, r.daemon.Close())
	}
	if r.partner != nil {
		errs = append(errs, r.partner.close())
	}
	if r.log != nil {
		errs = append(errs, r.log.Close())
	}
	return errors.Join(errs...)
}

// work runs the daemon for as long as the workload goes on and the routes take to catch up. The end of ctx stops the workload
// first; the daemon goes on until everything has arrived.
func (r *runner) work(ctx context.Context) error {
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	working, rest := context.WithCancel(ctx) // without a daemon there is nothing to work for
	defer rest()
	var ended error
	done := make(chan struct{}) // closed when the daemon has ended, after ended was set
	go func() {
		defer close(done)
		defer rest()
		ended = r.daemon.Run(running)
	}()
	watching, unwatch := context.WithCancel(running)
	var watch sync.WaitGroup
	watch.Go(func() { r.watch(watching) })

	err := r.story(working, running, done)
	r.enter("stopping")
	stop()
	<-done
	unwatch()
	watch.Wait()
	r.screen.finish()
	if ended != nil {
		return ended
	}
	return err
}

// story is what happens while the daemon runs.
func (r *runner) story(working, running context.Context, done <-chan struct{}) error {
	r.enter("starting")
	if err := r.awaitSources(working, running); err != nil {
		return err
	}
	r.enter("running")
	if err := r.workload.work(working, r.o.Changes, r.o.Rate); err != nil {
		return err
	}
	r.enter("draining")
	if err := r.askBooks(running); err != nil {
		return err
	}
	if err := r.drain(running, done); err != nil {
		return err
	}
	r.enter("verifying")
	return r.verify(running)
}

// awaitSources waits until every source is captured: what is written before its triggers are there only a copy would find.
func (r *runner) awaitSources(working, running context.Context) error {
	limit := time.NewTimer(startLimit)
	defer limit.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		now, err := r.look(running)
		if err != nil {
			return err
		}
		waiting := ""
		for _, s := range now.sources {
			if s.State == ops.RouteHalted && s.Error != nil {
				return syncline.Errorf(syncline.Fatal, s.Error.Code, "source %s cannot be captured: %s", s.Name, s.Error.Text).WithFix("%s", s.Error.Fix)
			}
			if s.State != ops.RouteRunning {
				waiting = s.Name
			}
		}
		if waiting == "" {
			return nil
		}
		select {
		case <-working.Done():
			return nil
		case <-limit.C:
			return syncline.Errorf(syncline.Fatal, "demo_not_started", "source %s did not begin within %s", waiting, startLimit).
				WithFix("see %s", filepath.Join(r.o.Dir, logFile))
		case <-tick.C:
		}
	}
}

// others are the records that the partner holds, for the routes that send to it.
func (r *runner) others() map[string]daemon.Held {
	held := make(map[string]daemon.Held)
	for _, rule := range r.config.Rules {
		if rule.To.System == "partner" && rule.Group == "" {
			held[rule.ID] = r.partner.held(rule.To.Name)
		}
	}
	return held
}

func (r *runner) enter(phase string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.phase = phase
}
