package daemon

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"syncline"
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
}

// source is a system that is captured, as its configuration says.
type source struct {
	system *config.System
	// initial lists the routes that the first copy is for, by entity.
	initial map[string][]string
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
	// younger is where firstYounger goes on. It belongs to the goroutine of keepHouse.
	younger syncline.Seq
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

// newSet makes what the configuration asks for. Nothing of it works yet. With an error, the set holds what has to be closed.
func (d *Daemon) newSet(ctx context.Context, c *config.Config) (*set, error) {
	made := &set{config: c}
	if err := d.newSources(ctx, made); err != nil {
		return made, err
	}
	return made, d.newRoutes(made)
}

// newSources opens the log of every source, then makes their captures.
func (d *Daemon) newSources(ctx context.Context, made *set) error {
	var pushed []push.System
	for _, sys := range made.config.Systems {
		if sys.Capture == nil {
			continue
		}
		log, err := d.logs.Log(ctx, sys.Name)
		if err != nil {
			return fmt.Errorf("source %s: %w", sys.Name, err)
		}
		s := &source{system: sys, initial: initialRoutes(made.config, sys), stream: &stream{log: log, feed: apply.NewFeed(log)}}
		made.sources = append(made.sources, s)
		if s.forgotten, err = d.forgotten(ctx, sys.Name, log); err != nil {
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
	for _, s := range made.sources {
		open, err := connectors[s.system.Type].source(d, s)
		if err != nil {
			return fmt.Errorf("source %s: %w", s.system.Name, err)
		}
		derive, err := derivations(s.system.Capture)
		if err != nil {
			return fmt.Errorf("source %s: %w", s.system.Name, err)
		}
		s.capture = capture.New(capture.Options{Source: s.system.Name, Open: open, Derive: derive, Log: s.log, Runs: d.state, Logger: d.log,
			Appended: func(seq syncline.Seq, events int) { s.tally.add(seq, events, time.Now()) },
			Stalled:  func(err error) { d.stalled(s, err) }, Refused: d.refused})
	}
	return nil
}
