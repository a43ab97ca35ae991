package daemon

import (
	"context"
	"slices"
	"strings"
	"time"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/config"
	"syncline/internal/ops"
	"syncline/internal/state"
)

// loadPauses reads what is paused. It comes before any route is made.
func (d *Daemon) loadPauses(ctx context.Context) (err error) {
	d.pauses.mu.Lock()
	defer d.pauses.mu.Unlock()
	d.pauses.list, err = d.state.Pauses(ctx)
	return err
}

// pausesOf returns the pauses that hold the route back. A group moves as one, so that it waits as a whole for any of its rules.
func (d *Daemon) pausesOf(r *route) []state.Pause {
	d.pauses.mu.Lock()
	defer d.pauses.mu.Unlock()
	return d.pausesOfLocked(r)
}

func (d *Daemon) pausesOfLocked(r *route) []state.Pause {
	var list []state.Pause
	for _, p := range d.pauses.list {
		if holdsBack(p, r) {
			list = append(list, p)
		}
	}
	return list
}

// holdsBack reports whether the pause is of something that the route works with. Both routes of a two-way rule read and write both sides.
func holdsBack(p state.Pause, r *route) bool {
	switch p.Kind {
	case state.PauseSource:
		return r.source.system.Name == p.Name || r.pair != nil && r.target.Name == p.Name
	case state.PauseEntity:
		system, entity, _ := strings.Cut(p.Name, "/")
		if r.pair != nil {
			return slices.Contains(r.rules[0].From, config.Ref{System: system, Name: entity})
		}
		return r.source.system.Name == system && slices.ContainsFunc(r.compiled, func(one apply.Rule) bool { return one.Entity == entity })
	case state.PauseRule:
		return slices.ContainsFunc(r.rules, func(one *config.Rule) bool { return one.ID == p.Name })
	case state.PauseTarget:
		return r.target.Name == p.Name || r.pair != nil && r.source.system.Name == p.Name
	}
	return false
}

func (e engine) Pauses(context.Context) ([]ops.Pause, error) {
	e.pauses.mu.Lock()
	defer e.pauses.mu.Unlock()
	return e.shown(e.pauses.list), nil
}

// shown is the pauses with the routes that each holds back.
func (d *Daemon) shown(list []state.Pause) []ops.Pause {
	shown := make([]ops.Pause, len(list))
	for i, p := range list {
		shown[i] = ops.Pause{Kind: string(p.Kind), Name: p.Name, Reason: p.Reason, By: p.By, Since: p.Since, Routes: []string{}}
		for _, r := range d.set().routes {
			if holdsBack(p, r) {
				shown[i].Routes = append(shown[i].Routes, r.id)
			}
		}
	}
	return shown
}

func (e engine) Pause(ctx context.Context, list []state.Pause) (ops.Paused, error) {
	e.changing.RLock()
	defer e.changing.RUnlock()
	set := e.set()
	for i := range list {
		if err := set.has(&list[i]); err != nil {
			return ops.Paused{}, err
		}
		list[i].By, list[i].Since = ops.CallerName(ctx), time.Now()
	}
	err := e.changePauses(ctx, func() error { return e.state.AddPauses(ctx, list) })
	if err != nil {
		return ops.Paused{}, err
	}
	var done ops.Paused
	e.pauses.mu.Lock()
	for _, p := range e.pauses.list {
		if slices.ContainsFunc(list, func(asked state.Pause) bool { return asked.Kind == p.Kind && asked.Name == p.Name }) {
			done.Items = append(done.Items, e.shown([]state.Pause{p})...)
		}
	}
	e.pauses.mu.Unlock()
	for _, p := range done.Items {
		for _, id := range p.Routes {
			if r := e.route(id); r != nil && r.apply.Status().Busy() && !slices.Contains(done.Finishing, id) {
				done.Finishing = append(done.Finishing, id)
			}
		}
		e.log.Info("paused", "kind", p.Kind, "name", p.Name, "reason", p.Reason, "by", p.By)
	}
	return done, nil
}

func (e engine) Unpause(ctx context.Context, list []state.Pause) error {
	e.changing.RLock()
	defer e.changing.RUnlock()
	err := e.changePauses(ctx, func() error { return e.state.RemovePauses(ctx, list) })
	for _, p := range list {
		if err == nil {
			e.log.Info("pause lifted", "kind", p.Kind, "name", p.Name, "by", ops.CallerName(ctx))
		}
	}
	return err
}

// changePauses carries out a change of what is paused, durably first, and has the routes heed it. One that still has a batch in hand
// heeds it later.
func (e engine) changePauses(ctx context.Context, change func() error) error {
	changed, err := func() ([]*route, error) {
		e.pauses.mu.Lock()
		defer e.pauses.mu.Unlock()
		was := make(map[*route]bool)
		for _, r := range e.set().routes {
			was[r] = len(e.pausesOfLocked(r)) > 0
		}
		err := change()
		if list, readErr := e.state.Pauses(ctx); readErr == nil { // also where it is not known whether the change was made
			e.pauses.list = list
		} else if err == nil {
			err = readErr
		}
		var changed []*route
		for _, r := range e.set().routes {
			if is := len(e.pausesOfLocked(r)) > 0; is != was[r] {
				r.apply.SetPaused(is)
				changed = append(changed, r)
			}
		}
		return changed, err
	}()
	var commands []func(context.Context) error
	for _, r := range changed {
		commands = append(commands, r.apply.HeedPause)
	}
	if late := together(ctx, commands); late != nil {
		e.log.Info("a route finishes its batch before it heeds a pause", "err", late)
	}
	return err
}

// has returns an error where the configuration does not have what is to be paused.
func (s *set) has(p *state.Pause) error {
	rules := s.config.Rules
	have := names{s}
	switch p.Kind {
	case state.PauseSource:
		if s.source(p.Name) == nil {
			return noSuch("system_not_found", "source", p.Name, have.sources())
		}
	case state.PauseTarget:
		if !slices.ContainsFunc(rules, func(r *config.Rule) bool { return r.Writes(p.Name) }) {
			return noSuch("system_not_found", "target", p.Name, have.targets())
		}
	case state.PauseRule:
		if !slices.ContainsFunc(rules, func(r *config.Rule) bool { return r.ID == p.Name }) {
			return noSuch("rule_not_found", "rule", p.Name, have.rules())
		}
	case state.PauseEntity:
		system, entity, _ := strings.Cut(p.Name, "/")
		src := s.source(system)
		if src == nil || src.system.Capture.Entity(entity) == nil {
			return noSuch("unknown_entity", "captured entity", p.Name, have.entities())
		}
	}
	return nil
}

// paused returns why a route takes no commands, nil where it is not paused.
func (e engine) paused(r *route) error {
	list := e.pausesOf(r)
	if len(list) == 0 {
		return nil
	}
	p := list[0]
	return syncline.Errorf(syncline.Rejected, "route_paused", "route %s is paused by %s %s: %s", r.id, p.Kind, p.Name, p.Reason).
		WithFix("`syncline resume %s %s`", p.Kind, p.Name)
}
