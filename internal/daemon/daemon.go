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
	"syncline/internal/config"
	"syncline/internal/jetlog"
	"syncline/internal/memory"
	"syncline/internal/ops"
	"syncline/internal/push"
	"syncline/internal/redis"
	"syncline/internal/schedule"
	"syncline/internal/search"
	"syncline/internal/state"
	"syncline/internal/trace"
)

// Options configure a Daemon. Config is required.
type Options struct {
	Config *config.Config
	// Files are what Config was read from. Without them it is not compared with the one that was applied last.
	Files []config.File
	// Dir is what relative paths are relative to in a configuration that is applied later; "" = the working directory.
	Dir     string
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

	logs      *jetlog.Server
	room      func() (int64, error) // bytes that the disk still has for logs
	state     *state.Store
	schedules *schedule.Worker
	intake    *push.Intake
	listener  net.Listener
	current   atomic.Pointer[set]

	housework chan struct{} // buffered by one: a capture whose log is full leaves a note, keepHouse takes it

	// mending is held while gaps are looked at; proofs are how far those have got that are filled, by their ids.
	mending sync.Mutex
	proofs  map[string]*proving
	// provers are those who look at sources and targets for it; mendGaps ends after them.
	provers sync.WaitGroup

	refusals chan struct{} // buffered by one: a capture whose source refused a run leaves a note, tellRefused takes it

	// changes are sent by whoever applies a configuration and taken by Run, which answers each; over is closed when it takes no more.
	changes chan *change
	over    chan struct{}
	// applying is held by who applies a configuration; others are refused.
	applying sync.Mutex
	// changing is held while another set takes over, and shared by whoever gives a route or a capture a command, or looks after the
	// logs: none of them deals with what is about to stop.
	changing sync.RWMutex

	verifier *verifier

	pauses struct {
		mu   sync.Mutex
		list []state.Pause // a copy of the state store's
	}

	readings readings
	alerting alerting

	tracer *trace.Tracer  // nil where no traces are sent; it and traced belong to Open, then Run
	traced *config.Traces // what tracer was made of

	watched watched // what routes are seen to do
	checked checked // what the last health check has counted

	mu       sync.Mutex
	unheard  map[string]bool              // routes that have not been told of a refused run
	indexes  map[string]*search.Directory // by path, once a target needs one
	services map[string]service           // of polled services, by system
	nats     *nats.Conn                   // to the embedded server, likewise
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
		changes: make(chan *change), over: make(chan struct{}), housework: make(chan struct{}, 1), refusals: make(chan struct{}, 1), verifier: newVerifier(),
		proofs: make(map[string]*proving), unheard: make(map[string]bool), indexes: make(map[string]*search.Directory), services: make(map[string]service)}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
			d = nil
		}
	}()
	if d.logs, err = jetlog.Open(ctx, jetlog.Options{Dir: o.Config.Log.Dir, MaxBytes: quota(o.Config), Logger: o.Logger}); err != nil {
		return d, fmt.Errorf("open the log: %w", err)
	}
	d.room = d.logs.Room
	if d.state, err = state.Open(ctx, state.Options{Path: o.Config.State.Path, Logger: o.Logger}); err != nil {
		return d, err
	}
	if err := d.loadPauses(ctx); err != nil {
		return d, err
	}
	if err := d.loadAlerts(ctx); err != nil {
		return d, err
	}
	d.current.Store(&set{config: o.Config})
	if d.intake, err = push.New(push.Options{Index: d.state, Logger: d.log}); err != nil {
		return d, err
	}
	made, err := d.newSet(ctx, o.Config, d.set())
	d.current.Store(made) // also where it is not whole: Close closes what there is
	if err != nil {
		return d, err
	}
	if err := d.openSchedules(); err != nil {
		return d, err
	}
	if err := d.intake.Configure(made.pushed()); err != nil {
		return d, err
	}
	if err := d.warnOfAbandoned(ctx); err != nil {
		return d, err
	}
	memory.Share(len(made.routes))
	if d.listener, err = d.listen(ctx); err != nil {
		return d, err
	}
	d.registerMetrics()
	d.retrace(ctx, made)
	return d, nil
}

// quota is each source's share of the log's space.
func quota(c *config.Config) int64 {
	n := int64(0)
	for _, s := range c.Systems {
		if s.Capture != nil {
			n++
		}
	}
	return c.Log.MaxBytes / max(n, 1)
}

// Addr is the address that the API listens on.
func (d *Daemon) Addr() string { return d.listener.Addr().String() }

// URL is where the API answers.
func (d *Daemon) URL() string {
	if ops.Encrypted(d.listener) {
		return "https://" + d.Addr()
	}
	return "http://" + d.Addr()
}

func (d *Daemon) listen(ctx context.Context) (net.Listener, error) {
	b := binding(&d.o.Config.HTTP)
	b.Logger = d.log
	return ops.Listen(ctx, b, d.state)
}

func binding(c *config.HTTP) ops.Binding {
	b := ops.Binding{Address: c.Listen}
	if c.TLS != nil {
		b.Cert, b.Key = c.TLS.Cert, c.TLS.Key
	}
	return b
}

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

// forgotten reports whether the source's log has outlived the state store that it was used with.
func (d *Daemon) forgotten(ctx context.Context, source string, log syncline.Log) (bool, error) {
	bounds, err := log.Bounds(ctx)
	if err != nil {
		return false, err
	}
	known, err := d.state.KnowsLog(ctx, source, log.ID())
	return !known && bounds.Last > 0, err
}

// Run works until ctx ends, then drains. It returns an error only where the API could not be served.
//
// The drain order: the API takes nothing new, so that pushed events are answered; schedules begin nothing new; captures append what they have in hand; routes
// finish their batch and store how far they have come; then everything closes (Close). What the deadline cuts off is repeated at the next start.
func (d *Daemon) Run(ctx context.Context) error {
	hard, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	if err := d.prepare(ctx, d.set(), &set{}); err != nil {
		return unlessStopped(ctx, err)
	}
	if err := d.noteStart(ctx); err != nil {
		return unlessStopped(ctx, err)
	}
	notices, err := d.notices(ctx)
	if err != nil {
		return unlessStopped(ctx, err)
	}
	apiCtx, stopAPI := context.WithCancel(ctx)
	captureCtx, stopCapture := context.WithCancel(context.WithoutCancel(ctx))
	routeCtx, stopRoutes := context.WithCancel(context.WithoutCancel(ctx))
	scheduleCtx, stopSchedules := context.WithCancel(ctx)
	defer stopSchedules()
	defer stopCapture()
	defer stopRoutes()
	defer stopAPI()
	var api, house, schedules sync.WaitGroup
	var apiErr error
	served := make(chan struct{}) // closed when the API has ended
	api.Go(func() {
		defer close(served)
		apiErr = d.serve(apiCtx)
	})
	captures, routes := newCrew(), newCrew()
	begin := func(now, was *set) {
		for _, s := range now.sources {
			if was.source(s.system.Name) == nil {
				captures.start(captureCtx, hard, s.system.Name, s.capture.Run)
				house.Go(func() { d.countBacklog(routeCtx, s) })
			}
		}
		for _, r := range now.routes {
			if was.route(r.id) != r {
				routes.start(routeCtx, hard, r.id, r.apply.Run)
			}
		}
	}
	begin(d.set(), &set{})
	schedules.Go(func() { d.schedules.Run(scheduleCtx) })
	house.Go(func() { d.keepHouse(routeCtx) })
	house.Go(func() { d.watchRisks(routeCtx) })
	house.Go(func() { d.watch(routeCtx) })
	house.Go(func() { d.countAtStart(routeCtx) })
	house.Go(func() { d.mendGaps(routeCtx) })
	house.Go(func() { d.sendCanaries(routeCtx) })
	house.Go(func() { d.tellRefused(routeCtx) })
	house.Go(func() { d.keepVerifying(routeCtx) })
	house.Go(func() { notices.run(routeCtx, d.tellConflicts) })
	house.Go(func() { d.watchAlerts(routeCtx) })
	house.Go(func() { d.deliverAlerts(routeCtx) })
	for ended := false; !ended; {
		select {
		case c := <-d.changes:
			c.answer <- d.carryOut(ctx, c, captures, routes, begin)
		case <-ctx.Done():
			d.log.Info("stopping: what is in hand is finished", "drain_timeout", d.o.DrainTimeout)
			ended = true
		case <-served:
			ended = true
		}
	}
	close(d.over)
	api.Wait() // ends with ctx, or when the API cannot be served
	deadline := time.AfterFunc(d.o.DrainTimeout, giveUp)
	defer deadline.Stop()
	stopSchedules()
	schedules.Wait()
	stopCapture()
	captures.wait()
	stopRoutes()
	routes.wait()
	house.Wait()
	if hard.Err() != nil {
		d.log.Warn("the drain timeout has ended: what was in hand is done again at the next start")
	} else {
		d.log.Info("drained")
	}
	return apiErr
}

// unlessStopped is nil where a start did not come to its end because it is not wanted any more.
func unlessStopped(ctx context.Context, err error) error {
	select {
	case <-ctx.Done():
		return nil
	default:
		return err
	}
}

// Close releases everything. Run must have returned.
func (d *Daemon) Close() error {
	var errs []error
	if d.listener != nil {
		if err := d.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if set := d.set(); set != nil {
		for _, r := range set.routes {
			errs = append(errs, r.outside.Close())
		}
		for _, s := range set.sources {
			errs = append(errs, s.feed.Close(), s.log.Close())
		}
	}
	d.endTraces(context.Background())
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
