// Package daemon is the composition root: it turns a configuration into sources, logs, routes and the API, and runs them. Only
// here are concrete connectors known.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/capture"
	"syncline/internal/config"
	"syncline/internal/jetlog"
	"syncline/internal/ops"
	"syncline/internal/push"
	"syncline/internal/redis"
	"syncline/internal/search"
	"syncline/internal/state"
)

// Options configure a Daemon. Config is required.
type Options struct {
	Config  *config.Config
	Version string
	// DrainTimeout is how long batches in hand may take after Run's context has ended; 0 = 30 s.
	DrainTimeout time.Duration
	Logger       *slog.Logger // nil = none
}

// Daemon is a configuration at work. It holds the log directory and the state store from Open to Close.
type Daemon struct {
	o        Options
	log      *slog.Logger
	registry *prometheus.Registry
	started  time.Time

	logs     *jetlog.Server
	room     func() (int64, error) // bytes that the disk still has for logs
	state    *state.Store
	intake   *push.Intake
	sources  []*source // in the order of the configuration
	routes   []*route  // in the order of the configuration
	listener net.Listener

	housework chan struct{} // buffered by one: a capture whose log is full leaves a note, keepHouse takes it

	refusals chan struct{} // buffered by one: a capture whose source refused a run leaves a note, tellRefused takes it

	mu      sync.Mutex
	unheard map[string]bool              // routes that have not been told of a refused run
	indexes map[string]*search.Directory // by path, once a target needs one
	nats    *nats.Conn                   // to the embedded server, likewise
}

// source is a system that is captured.
type source struct {
	system *config.System
	log    syncline.Log
	// logged is the log's last sequence, where the source is only checked.
	logged syncline.Seq
	// forgotten: the log has entries, and the state store does not know it.
	forgotten bool
	feed      *apply.Feed
	tally     tally
	capture   *capture.Capture
	// refused: the log was too full for a batch since it was last looked after.
	refused atomic.Bool
	// younger is where firstYounger goes on. It belongs to the goroutine of keepHouse.
	younger syncline.Seq
}

// Open opens the log, the state store and the listener, and builds what the configuration asks for. Nothing works yet.
func Open(ctx context.Context, o Options) (d *Daemon, err error) {
	if o.DrainTimeout <= 0 {
		o.DrainTimeout = 30 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	redis.LogTo(o.Logger)
	d = &Daemon{o: o, log: o.Logger, registry: prometheus.NewRegistry(), started: time.Now(),
		housework: make(chan struct{}, 1), refusals: make(chan struct{}, 1), unheard: make(map[string]bool), indexes: make(map[string]*search.Directory)}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
			d = nil
		}
	}()
	if d.logs, err = jetlog.Open(ctx, jetlog.Options{Dir: o.Config.Log.Dir, MaxBytes: d.quota(), Logger: o.Logger}); err != nil {
		return d, fmt.Errorf("open the log: %w", err)
	}
	d.room = d.logs.Room
	if d.state, err = state.Open(ctx, state.Options{Path: o.Config.State.Path, Logger: o.Logger}); err != nil {
		return d, err
	}
	if err := d.addSources(ctx); err != nil {
		return d, err
	}
	if err := d.warnOfAbandoned(ctx); err != nil {
		return d, err
	}
	if err := d.addRoutes(); err != nil {
		return d, err
	}
	if d.listener, err = ops.Listen(ctx, o.Config.HTTP.Listen); err != nil {
		return d, err
	}
	d.registerMetrics()
	return d, nil
}

// quota is each source's share of the log's space.
func (d *Daemon) quota() int64 {
	n := int64(0)
	for _, s := range d.o.Config.Systems {
		if s.Capture != nil {
			n++
		}
	}
	return d.o.Config.Log.MaxBytes / max(n, 1)
}

// Addr is the address that the API listens on.
func (d *Daemon) Addr() string { return d.listener.Addr().String() }

// warnOfAbandoned tells of sources that were captured here once. Slots and triggers that nobody reads any more harm them.
func (d *Daemon) warnOfAbandoned(ctx context.Context) error {
	names, err := d.logs.Sources(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		if d.source(name) == nil {
			d.log.Warn("source is not in the configuration any more: the slot or the triggers that captured it go on costing it space", "source", name,
				"fix", "bring it back, or take it away as docs/operations.md tells")
		}
	}
	return nil
}

// addSources opens the log of every source, then makes their captures.
func (d *Daemon) addSources(ctx context.Context) error {
	var pushed []push.System
	for _, sys := range d.o.Config.Systems {
		if sys.Capture == nil {
			continue
		}
		log, err := d.logs.Log(ctx, sys.Name)
		if err != nil {
			return fmt.Errorf("source %s: %w", sys.Name, err)
		}
		s := &source{system: sys, log: log, feed: apply.NewFeed(log)}
		d.sources = append(d.sources, s)
		if s.forgotten, err = d.forgotten(ctx, s); err != nil {
			return err
		}
		if sys.Capture.Mode == config.ModePush {
			pushed = append(pushed, push.System{Name: sys.Name, Log: log, Entities: pushedEntities(sys.Capture)})
		}
	}
	var err error
	if d.intake, err = push.New(push.Options{Systems: pushed, Index: d.state, Logger: d.log}); err != nil {
		return err
	}
	for _, s := range d.sources {
		open, err := connectors[s.system.Type].source(d, s)
		if err != nil {
			return fmt.Errorf("source %s: %w", s.system.Name, err)
		}
		s.capture = capture.New(capture.Options{Source: s.system.Name, Open: open, Log: s.log, Runs: d.state, Logger: d.log,
			Appended: func(seq syncline.Seq, events int) { s.tally.add(seq, events, time.Now()) },
			Stalled:  func(err error) { d.stalled(s, err) }, Refused: d.refused})
	}
	return nil
}

// forgotten reports whether the source's log has outlived the state store that it was used with.
func (d *Daemon) forgotten(ctx context.Context, s *source) (bool, error) {
	bounds, err := s.log.Bounds(ctx)
	if err != nil {
		return false, err
	}
	known, err := d.state.KnowsLog(ctx, s.system.Name, s.log.ID())
	return !known && bounds.Last > 0, err
}

func (d *Daemon) source(name string) *source {
	for _, s := range d.sources {
		if s.system.Name == name {
			return s
		}
	}
	return nil
}

// Run works until ctx ends, then drains. It returns an error only where the API could not be served.
//
// The drain order: the API takes nothing new, so that pushed events are answered; captures append what they have in hand; routes
// finish their batch; then everything closes (Close). What the deadline cuts off is repeated at the next start.
func (d *Daemon) Run(ctx context.Context) error {
	hard, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	for _, s := range d.sources {
		if err := d.noteMissed(ctx, s); err != nil {
			return fmt.Errorf("source %s: %w", s.system.Name, err)
		}
	}
	// Routes are registered before any source appends, so that a first snapshot is not missed.
	for _, r := range d.routes {
		if err := r.apply.Prepare(ctx, r.events); err != nil {
			return fmt.Errorf("route %s: %w", r.id, err)
		}
	}
	for _, s := range d.sources {
		if err := d.state.AddLog(ctx, s.system.Name, s.log.ID()); err != nil {
			return err
		}
		if err := s.tally.load(ctx, s.log); err != nil {
			return fmt.Errorf("count the backlog of %s: %w", s.system.Name, err)
		}
	}
	apiCtx, stopAPI := context.WithCancel(ctx)
	captureCtx, stopCapture := context.WithCancel(context.WithoutCancel(ctx))
	routeCtx, stopRoutes := context.WithCancel(context.WithoutCancel(ctx))
	defer stopCapture()
	defer stopRoutes()
	defer stopAPI()
	var api, captures, routes sync.WaitGroup
	var apiErr error
	served := make(chan struct{}) // closed when the API has ended
	api.Go(func() {
		defer close(served)
		apiErr = d.serve(apiCtx)
	})
	for _, s := range d.sources {
		captures.Go(func() { _ = s.capture.Run(captureCtx, hard) })
	}
	for _, r := range d.routes {
		routes.Go(func() { _ = r.apply.Run(routeCtx, hard) })
	}
	routes.Go(func() { d.keepHouse(routeCtx) })
	routes.Go(func() { d.tellRefused(routeCtx) })
	select {
	case <-ctx.Done():
		d.log.Info("stopping: what is in hand is finished", "drain_timeout", d.o.DrainTimeout)
	case <-served:
	}
	api.Wait() // ends with ctx, or when the API cannot be served
	deadline := time.AfterFunc(d.o.DrainTimeout, giveUp)
	defer deadline.Stop()
	stopCapture()
	captures.Wait()
	stopRoutes()
	routes.Wait()
	if hard.Err() != nil {
		d.log.Warn("the drain timeout has ended: what was in hand is done again at the next start")
	} else {
		d.log.Info("drained")
	}
	return apiErr
}

// Close releases everything. Run must have returned.
func (d *Daemon) Close() error {
	var errs []error
	if d.listener != nil {
		if err := d.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	for _, s := range d.sources {
		errs = append(errs, s.feed.Close(), s.log.Close())
	}
	if d.nats != nil {
		d.nats.Close()
	}
	for _, i := range d.indexes {
		errs = append(errs, i.Close())
	}
	if d.state != nil {
		errs = append(errs, d.state.Close())
	}
	if d.logs != nil {
		errs = append(errs, d.logs.Close())
	}
	return errors.Join(errs...)
}
