package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"syncline"
	"syncline/internal/capture"
	"syncline/internal/config"
	"syncline/internal/failpoint"
	"syncline/internal/memory"
)

// change is a configuration that is to take the place of the one at work.
type change struct {
	config *config.Config
	files  []config.File
	by     string
	// from is what it was checked against: it is refused where that is not at work any more.
	from *set
	// answer has room for the one there is.
	answer chan error
}

// prepare registers what of the set is not in the one before, before anything of it works.
func (d *Daemon) prepare(ctx context.Context, now, was *set) error {
	for _, s := range now.sources {
		if err := d.noteMissed(ctx, now.config, s); err != nil {
			return fmt.Errorf("source %s: %w", s.system.Name, err)
		}
	}
	// Routes are registered before any source appends, so that a first snapshot is not missed.
	for _, r := range now.routes {
		if was.route(r.id) == r {
			continue
		}
		if err := r.apply.Prepare(ctx, r.events); err != nil {
			return fmt.Errorf("route %s: %w", r.id, err)
		}
	}
	for _, s := range now.sources {
		if was.source(s.system.Name) != nil {
			continue
		}
		if err := d.state.AddLog(ctx, s.system.Name, s.log.ID()); err != nil {
			return err
		}
		if err := s.tally.load(ctx, s.log); err != nil {
			return fmt.Errorf("count the backlog of %s: %w", s.system.Name, err)
		}
	}
	return nil
}

// carryOut puts a configuration in the place of the one at work. It is called by Run, between whose captures and routes it stops those
// that do not stay as they are; begin starts what is new of a set. After an error everything works as it did.
//
// What is new is made whole before anything is touched. Then the routes that change finish what they have in hand and stop: a route has
// one writer, so that its successor cannot begin beside it. The note in the state store is what makes the change true; a process that is
// killed before or after it finds, with whichever file it is started, routes that know where they stand.
func (d *Daemon) carryOut(ctx context.Context, c *change, captures, routes *crew, begin func(now, was *set)) error {
	was := d.set()
	if was != c.from {
		return stale(was.applied.Version)
	}
	ctx = context.WithoutCancel(ctx) // half a change is worse than a late end
	now, err := d.newSet(ctx, c.config, was)
	if err != nil {
		return d.abandon(now, was, err)
	}
	kinds, err := d.kinds(ctx, now, was)
	if err != nil {
		return d.abandon(now, was, err)
	}
	plans, err := schedulePlans(c.config)
	if err != nil {
		return d.abandon(now, was, err)
	}
	d.changing.Lock()
	defer d.changing.Unlock()
	var stopped []string
	for _, r := range was.routes {
		if now.route(r.id) != r {
			stopped = append(stopped, r.id)
		}
	}
	failpoint.Hit("daemon.reload.stop")
	routes.stop(stopped, d.o.DrainTimeout)
	failpoint.Hit("daemon.reload.prepare")
	err = d.prepare(ctx, now, was)
	if err == nil {
		err = d.logs.Resize(ctx, quota(c.config))
	}
	if err == nil {
		failpoint.Hit("daemon.reload.note")
		now.applied, err = d.noteApplied(ctx, was.applied.Version+1, c.files, c.by)
	}
	if err != nil {
		return d.takeBack(ctx, now, was, stopped, begin, err)
	}
	failpoint.Hit("daemon.reload.begin")
	if err := d.intake.Configure(now.pushed()); err != nil {
		d.log.Error("pushed events are taken as before", "err", err) // newSet has seen that it can be done
	}
	d.current.Store(now)
	memory.Share(len(now.routes))
	note(d.alerting.look)
	for name, ch := range now.channels {
		if was.channels[name] != ch {
			d.retryChannel(name)
		}
	}
	for _, r := range now.routes {
		r.apply.SetPaused(len(d.pausesOf(r)) > 0)
	}
	d.retrace(ctx, now)
	begin(now, was)
	d.schedules.Set(plans)
	for s, kind := range kinds {
		s.capture.Reopen(kind)
	}
	d.retire(captures, now, was)
	d.log.Info("configuration applied", "version", now.applied.Version, "hash", now.applied.Hash, "by", c.by, "routes_stopped", len(stopped))
	return nil
}

// kinds are what the captures that go on open, where it is not what they have opened.
func (d *Daemon) kinds(ctx context.Context, now, was *set) (map[*source]capture.Kind, error) {
	kinds := make(map[*source]capture.Kind)
	for _, s := range now.sources {
		old := was.source(s.system.Name)
		if old == nil {
			continue
		}
		again := !config.Same(old.system, s.system) && reopens(old.system, s.system)
		if !again && !maps.EqualFunc(old.initial, s.initial, slices.Equal[[]string]) {
			begun, err := born(ctx, s.log)
			if err != nil {
				return nil, err
			}
			again = !begun // whom its first copy is for is settled when it begins
		}
		if again {
			kind, err := d.kindOf(s)
			if err != nil {
				return nil, fmt.Errorf("source %s: %w", s.system.Name, err)
			}
			kinds[s] = kind
		}
	}
	return kinds, nil
}

// retire ends what the routes that are gone had beside them, stops the captures of sources that are gone, and closes their logs.
func (d *Daemon) retire(captures *crew, now, was *set) {
	d.dismiss(was, now)
	for _, s := range was.sources {
		if now.source(s.system.Name) != nil {
			continue
		}
		captures.stop([]string{s.system.Name}, d.o.DrainTimeout)
		if err := closeStream(s); err != nil {
			d.log.Warn("log of a source that is gone did not close cleanly", "source", s.system.Name, "err", err)
		}
	}
	d.dropClients(now)
}

// abandon closes what was made for a set that is not used.
func (d *Daemon) abandon(made, was *set, why error) error {
	d.dismiss(made, was)
	d.dropClients(was)
	for _, s := range made.sources {
		if was.source(s.system.Name) == nil {
			if err := closeStream(s); err != nil {
				d.log.Warn("log of a source that was not begun did not close cleanly", "source", s.system.Name, "err", err)
			}
		}
	}
	return why
}

// dismiss ends what the routes of a set have beside them, but for those that the other set has too.
func (d *Daemon) dismiss(of, but *set) {
	for _, r := range of.routes {
		if but.route(r.id) == r {
			continue
		}
		if err := r.outside.Close(); err != nil {
			d.log.Warn("what answers a rule's steps did not end cleanly", "route", r.id, "err", err)
		}
	}
}

func closeStream(s *source) error { return errors.Join(s.feed.Close(), s.log.Close()) }

// takeBack has the routes that were stopped for a set that cannot work go on as they were.
func (d *Daemon) takeBack(ctx context.Context, made, was *set, stopped []string, begin func(now, was *set), why error) error {
	d.log.Error("configuration was not applied: what was stopped for it goes on", "err", why)
	rest := &set{config: was.config, applied: was.applied, sources: was.sources}
	for _, r := range was.routes {
		if !slices.Contains(stopped, r.id) {
			rest.routes = append(rest.routes, r)
		}
	}
	err := d.prepare(ctx, was, rest)
	if err == nil {
		err = d.logs.Resize(ctx, quota(was.config))
	}
	if err != nil {
		d.log.Error("what was stopped for a configuration that was not applied may begin anew", "err", err)
	}
	begin(was, rest)
	return d.abandon(made, was, why)
}

func stale(version int64) error {
	return syncline.Errorf(syncline.Rejected, "config_stale", "another configuration was applied meanwhile: version %d", version).
		WithFix("plan again, and see what has changed")
}
