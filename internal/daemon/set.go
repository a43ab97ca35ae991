package daemon

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"syncline"
	"syncline/internal/alert"
	"syncline/internal/apply"
	"syncline/internal/capture"
	"syncline/internal/config"
	"syncline/internal/ops"
	"syncline/internal/push"
)

// set is what works: a configuration, and the sources and routes that were made of it, both in its order. It is not changed once it is
// the daemon's current one; another configuration is another set, which takes over what stays as it is.
type set struct {
	config  *config.Config
	applied ops.AppliedConfig
	sources []*source
	routes  []*route
	// alerts are the rules that look at signals; they belong to the goroutine of watchAlerts. channels are whom they tell, by name.
	alerts   []*alert.Rule
	channels map[string]*channel
}

// source is a system that is captured, as its configuration says.
type source struct {
	system *config.System
	// initial lists the routes that the first copy is for, by entity.
	initial map[string][]string
	// fresh: its capture began with this configuration.
	fresh bool
	*stream
}

// stream is a source's log and who fills it. It outlives changes of the source's configuration.
type stream struct {
	log syncline.Log
	// logged is the log's last sequence, where the source is only checked.
	logged syncline.Seq
	// forgotten: the log has entries, and the state store does not know it.
	forgotten bool
	feed      *apply.Feed
	tally     tally
	capture   *capture.Capture
	// refused: the log was too full for a batch since it was last looked after.
	refused atomic.Bool
	// wal watches the budget of what its system holds, under walMu. walWarning is what status says of it, spilling that its changes have to
	// be in the log soon.
	walMu      sync.Mutex
	wal        walWatch
	walWarning atomic.Pointer[string]
	spilling   atomic.Bool
	// gap is what its log goes on without; nil = nothing.
	gap atomic.Pointer[syncline.Gap]
	// asked is what its system has told of what it keeps; nil = nothing yet.
	asked atomic.Pointer[asked]
	// younger is where firstYounger goes on, from its answer for youngerThan. They belong to the goroutine of keepHouse.
	younger     syncline.Seq
	youngerThan time.Time
}

// set returns what works now.
func (d *Daemon) set() *set { return d.current.Load() }

func (d *Daemon) source(name string) *source { return d.set().source(name) }

func (d *Daemon) route(id string) *route { return d.set().route(id) }

func (s *set) source(name string) *source {
	for _, one := range s.sources {
		if one.system.Name == name {
			return one
		}
	}
	return nil
}

func (s *set) route(id string) *route {
	for _, one := range s.routes {
		if one.id == id {
			return one
		}
	}
	return nil
}

// newSet makes what the configuration asks for, and takes over from another set what is as it was there. Nothing that is new works yet.
// With an error, the set holds what has to be closed.
func (d *Daemon) newSet(ctx context.Context, c *config.Config, was *set) (*set, error) {
	made := &set{config: c}
	for _, sys := range c.Systems {
		if sys.Capture == nil {
			continue
		}
		s := &source{system: sys, initial: initialRoutes(c, sys)}
		if old := was.source(sys.Name); old != nil {
			s.stream = old.stream
		} else if err := d.newStream(ctx, s); err != nil {
			return made, fmt.Errorf("source %s: %w", sys.Name, err)
		}
		made.sources = append(made.sources, s)
	}
	var err error
	if made.alerts, err = alertRules(c); err != nil {
		return made, err
	}
	if made.channels, err = newChannels(ctx, c, was, d.log); err != nil {
		return made, err
	}
	return made, d.newRoutes(made, was)
}

// newStream opens the source's log and makes its capture.
func (d *Daemon) newStream(ctx context.Context, s *source) error {
	s.fresh, s.stream = true, &stream{}
	kind, err := d.kindOf(s)
	if err != nil {
		return err
	}
	if s.log, err = d.logs.Log(ctx, s.system.Name); err != nil {
		return err
	}
	s.feed = apply.NewFeed(s.log)
	if s.forgotten, err = d.forgotten(ctx, s.system.Name, s.log); err != nil {
		return errors.Join(err, s.log.Close())
	}
	if err := d.loadGap(ctx, s); err != nil {
		return errors.Join(err, s.log.Close())
	}
	s.capture = capture.New(capture.Options{Source: s.system.Name, Open: kind.Open, Derive: kind.Derive, Log: s.log, Runs: d.state, Logger: d.log,
		Applied:  func(entity string, routes []string) syncline.Seq { return d.applied(s.stream, entity, routes) },
		Appended: func(seq syncline.Seq, events int) { s.tally.add(seq, events, time.Now()) },
		Stalled:  func(err error) { d.stalled(s, err) }, Refused: d.refused})
	return nil
}

// kindOf is what the source's capture opens.
func (d *Daemon) kindOf(s *source) (k capture.Kind, err error) {
	if k.Open, err = connectors[s.system.Type].source(d, s); err != nil {
		return k, err
	}
	k.Derive, err = derivations(s.system.Capture)
	return k, err
}

// pushed are the systems whose events are pushed.
func (s *set) pushed() []push.System {
	var list []push.System
	for _, one := range s.sources {
		if one.system.Capture.Mode == config.ModePush {
			list = append(list, push.System{Name: one.system.Name, Log: one.log, Entities: pushedEntities(one.system.Capture)})
		}
	}
	return list
}
