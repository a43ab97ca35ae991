package daemon

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"syncline"
	"syncline/internal/config"
	"syncline/internal/ops"
	"syncline/internal/state"
	"syncline/internal/transform"
)

// facts is what a plan knows beside the two configurations.
type facts struct {
	// routes are those that the state store knows, also of rules that are gone.
	routes map[string]state.Route
	// schemas are what the rules of a route have read last, by the rules' ids.
	schemas map[string]map[string]state.RuleSchema
	// logs are the extents of the logs, by source.
	logs map[string]syncline.Bounds
}

// facts reads what a plan needs; sources are those whose logs are open.
func (d *Daemon) facts(ctx context.Context, sources []*source) (facts, error) {
	f := facts{routes: make(map[string]state.Route), schemas: make(map[string]map[string]state.RuleSchema), logs: make(map[string]syncline.Bounds)}
	known, err := d.state.Routes(ctx)
	if err != nil {
		return f, err
	}
	for sl, row := range known {
		f.routes[sl.Route] = row
		if f.schemas[sl.Route], err = d.state.Schemas(ctx, sl); err != nil {
			return f, err
		}
	}
	for _, s := range sources {
		if f.logs[s.system.Name], err = s.log.Bounds(ctx); err != nil {
			return f, err
		}
	}
	return f, nil
}

// plan tells what the configuration now changes where was is at work, and what that means for data. It is pure.
func plan(was, now *config.Config, f facts) ops.Plan {
	changes := config.Compare(was, now)
	p := ops.Plan{Settings: plannedFields(changes.Settings), Systems: plannedChanges(changes.Systems), Rules: plannedChanges(changes.Rules), Schedules: plannedChanges(changes.Schedules),
		Sources: []ops.PlannedEffect{}, Routes: []ops.PlannedEffect{}, Restart: []string{}, Empty: changes.Empty()}
	for _, field := range changes.Settings {
		if section, _, _ := strings.Cut(field.Path, "."); !slices.Contains(changeable, field.Path) && !slices.Contains(changeable, section) {
			p.Restart = append(p.Restart, field.Path)
		}
	}
	for _, sys := range now.Systems {
		if e, touched := planSource(was.System(sys.Name), sys); touched {
			p.Sources = append(p.Sources, e)
		}
	}
	for _, sys := range was.Systems {
		if e, touched := planSource(sys, now.System(sys.Name)); touched && e.Effect == ops.EffectStops {
			p.Sources = append(p.Sources, e)
		}
	}
	before, after := routesOf(was), routesOf(now)
	for _, rt := range after {
		old := find(before, rt.id)
		if old != nil && rt.as(old) {
			p.Untouched++
			continue
		}
		p.Routes = append(p.Routes, planRoute(old, rt, f))
	}
	for _, rt := range before {
		if find(after, rt.id) == nil {
			p.Routes = append(p.Routes, planStop(rt, f.routes[rt.id]))
		}
	}
	return p
}

// changeable are the settings, and whole sections of them, that another process is not needed for.
var changeable = []string{"health", "traces", "channels", "alerts", "log.retain", "log.max_bytes", "log.on_full", "audit.retain"}

func find(routes []*route, id string) *route {
	for _, rt := range routes {
		if rt.id == id {
			return rt
		}
	}
	return nil
}

// as reports whether the route would work as the other one does.
func (rt *route) as(other *route) bool {
	forgets := slices.Contains([]config.Type{config.TypeRedis, config.TypeNATSKV, config.TypeSearch}, rt.target.Type)
	if rt.rules[0].Between != nil && !config.Same(place(rt.source.system), place(other.source.system)) {
		return false // it writes there too
	}
	return config.Same(works(rt.rules), works(other.rules)) && config.Same(place(rt.target), place(other.target)) && rt.guarded == other.guarded &&
		prioritised(rt) == prioritised(other) && rt.source.system.Type == other.source.system.Type && signature(rt) == signature(other) &&
		(rt.tombstone == other.tombstone || !forgets) && config.Same(rt.asked(), other.asked())
}

// works is what of the rules the route works by.
func works(rules []*config.Rule) []config.Rule {
	list := make([]config.Rule, len(rules))
	for i, r := range rules {
		list[i] = *r
		list[i].Verify = nil // somebody else compares what it wrote
	}
	return list
}

// asked are the systems that the route's steps ask.
func (rt *route) asked() []config.System {
	var list []config.System
	for _, r := range rt.rules {
		for _, step := range r.Transform {
			e, ok := step.(transform.Enrich)
			if !ok || e.System() == "" {
				continue
			}
			sys := rt.outside.systems(e.System())
			list = append(list, place(sys))
			if e.Entity != nil {
				list[len(list)-1].Capture = &config.Capture{Entities: []*config.Entity{sys.Capture.Entity(e.Entity.Name)}}
			}
		}
	}
	return list
}

// place is the system as its targets see it.
func place(sys *config.System) config.System {
	p := *sys
	p.Capture = nil
	return p
}

// planSource tells what becomes of a source of which one of the two systems is nil, or no source, where it is not one before or
// after.
func planSource(was, now *config.System) (ops.PlannedEffect, bool) {
	switch {
	case (was == nil || was.Capture == nil) && (now == nil || now.Capture == nil):
		return ops.PlannedEffect{}, false
	case now == nil || now.Capture == nil:
		return ops.PlannedEffect{Name: was.Name, Effect: ops.EffectStops, Data: []string{
			"its log stays on disk; what captured it (a slot, triggers) goes on costing the source space until it is taken away"}}, true
	case was == nil || was.Capture == nil:
		e := ops.PlannedEffect{Name: now.Name, Effect: ops.EffectBegins, Data: []string{"a log of its own is made, or found again"}}
		if now.Capture.Mode != config.ModePush && now.Capture.Initial {
			e.Data = append(e.Data, "its first copy brings the records of every rule that starts full")
		}
		return e, true
	case config.Same(was, now):
		return ops.PlannedEffect{}, false
	}
	e := ops.PlannedEffect{Name: now.Name, Effect: ops.EffectRestarts, Data: []string{"it goes on from the end of its log: nothing is left out"}}
	if !reopens(was, now) {
		e.Effect, e.Data = ops.EffectChanges, []string{"events are taken without a break"}
	}
	if more := beyond(now.Capture, was.Capture); len(more) > 0 {
		text := strings.Join(more, ", ") + ": captured from here on"
		if now.Capture.Publication != "" && now.Capture.Manage {
			text += "; the publication is altered"
		} else if now.Capture.Publication != "" {
			text += "; the publication must have the table"
		}
		e.Data = append(e.Data, text)
	}
	if fewer := beyond(was.Capture, now.Capture); len(fewer) > 0 {
		e.Data = append(e.Data, strings.Join(fewer, ", ")+": not captured any more; what is in the log stays")
	}
	if was.Capture.Mode != now.Capture.Mode {
		e.Data = append(e.Data, "another capture mode than before is not taken for the same source: it halts; give it a name of its own")
	}
	if anew := polledAnew(was.Capture, now.Capture); len(anew) > 0 {
		e.Data = append(e.Data, strings.Join(anew, ", ")+": read in another way: everything is read and compared with what was seen last")
	}
	if was.Type != now.Type || !config.Same(was.Postgres, now.Postgres) || !config.Same(was.SQLite, now.SQLite) {
		e.Data = append(e.Data, "another database than before is not taken for the same one: the source halts")
	}
	return e, true
}

// beyond names the entities that c has and other has not.
func beyond(c, other *config.Capture) []string {
	var names []string
	for _, entity := range c.Entities {
		if other.Entity(entity.Name) == nil {
			names = append(names, entity.Name)
		}
	}
	return names
}

// reopens reports whether a source has to be opened again to become the other one: a pushed one has not, unless something is derived of
// its events.
func reopens(was, now *config.System) bool {
	derives := func(sys *config.System) bool {
		d, err := derivations(sys.Capture)
		return len(d) > 0 || err != nil
	}
	return now.Capture.Mode != config.ModePush || was.Capture.Mode != config.ModePush || derives(was) || derives(now)
}

// planRoute tells what becomes of a route that is new, or was another one (old) before.
func planRoute(old, rt *route, f facts) ops.PlannedEffect {
	e := ops.PlannedEffect{Name: rt.id, Data: []string{}}
	known, placed := f.routes[rt.id]
	moved := placed && known.Signature != signature(rt) || old != nil && signature(old) != signature(rt)
	switch {
	case moved || otherKeys(rt, known, f.schemas[rt.id]):
		e.Effect = ops.EffectBeginsAnew
		e.Data = append(e.Data, "what it reads, where it writes or how it makes keys is another: its cursor is dropped", beginning(rt))
		if old != nil && !slices.Equal(objects(old), objects(rt)) {
			e.Data = append(e.Data, "what it wrote before ("+strings.Join(objects(old), ", ")+") stays there")
		}
		e.Data = append(e.Data, creation(rt)...)
	case !placed && old == nil:
		e.Effect = ops.EffectBegins
		e.Data = append(append(e.Data, beginning(rt)), creation(rt)...)
	default:
		e.Effect = ops.EffectRestarts
		if old == nil {
			e.Effect = ops.EffectGoesOn
		}
		e.Data = append(e.Data, cursor(rt, known, f.logs[rt.source.system.Name]))
		if e.Mixed = placed && known.Version != "" && known.Version != version(rt.rules); e.Mixed {
			e.Data = append(e.Data, "its target holds records of both versions of the rules until `syncline sync`, or until `syncline verify` finds all equal")
		}
		if old != nil && !config.Same(place(old.target), place(rt.target)) {
			e.Data = append(e.Data, "another place than before that does not hold its cursor is not taken for the same one: the route halts")
		}
	}
	return e
}

// otherKeys reports whether a rule of the route makes other target keys of the rows that it has read last than it did.
func otherKeys(rt *route, known state.Route, schemas map[string]state.RuleSchema) bool {
	defer rt.outside.Close() //nolint:errcheck // nothing was asked
	parts, err := rt.compile()
	if err != nil {
		return false // it is told elsewhere
	}
	for i := range parts {
		read, was := schemas[parts[i].ID], known.Keys[parts[i].ID]
		if read.Source == nil || was.Target == "" || was.Source != strings.Join(read.Source.KeyNames(), ",") {
			continue
		}
		if b, err := parts[i].Bind(read.Source); err == nil && b.KeyMapping != "" && b.KeyMapping != was.Target {
			return true
		}
	}
	return false
}

// beginning says how a route begins.
func beginning(rt *route) string {
	switch startOf(rt.rules[0], rt.source.system) {
	case "now":
		return "it begins with the next change (start: now)"
	case "earliest":
		return "it begins with the first change that the log has (start: earliest)"
	}
	return "all records are read from " + rt.source.system.Name + " first (start: full); none is removed from the target"
}

// creation names the objects that are made.
func creation(rt *route) []string {
	var list []string
	for _, r := range rt.rules {
		if text := r.To.String() + " is made if it is missing"; r.Create && !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	return list
}

// objects are what the route's rules write.
func objects(rt *route) []string {
	var list []string
	for _, r := range rt.rules {
		if r.Between != nil {
			list = append(list, r.From[0].String(), r.From[1].String())
			continue
		}
		list = append(list, r.To.String())
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// cursor says where a known route goes on.
func cursor(rt *route, known state.Route, log syncline.Bounds) string {
	switch at := known.Cursor.Seq; {
	case at == 0:
		return "its cursor is kept"
	case known.GapTo > 0 || at < log.First:
		return fmt.Sprintf("its cursor is kept, at %d, but the log of %s begins at %d: it needs a sync", at, rt.source.system.Name, log.First)
	default:
		return fmt.Sprintf("its cursor is kept, at %d", at)
	}
}

func planStop(rt *route, known state.Route) ops.PlannedEffect {
	return ops.PlannedEffect{Name: rt.id, Effect: ops.EffectStops, Data: []string{
		fmt.Sprintf("its cursor is kept, at %d: a rule that comes back goes on there as long as the log has what follows, which nothing keeps for it", known.Cursor.Seq),
		"what it wrote stays in " + strings.Join(objects(rt), ", ")}}
}

func plannedChanges(list []config.Change) []ops.PlannedChange {
	planned := []ops.PlannedChange{}
	for _, c := range list {
		planned = append(planned, ops.PlannedChange{Name: c.Name, Change: string(c.Kind), Fields: plannedFields(c.Fields)})
	}
	return planned
}

func plannedFields(list []config.Field) []ops.PlannedField {
	planned := []ops.PlannedField{}
	for _, f := range list {
		planned = append(planned, ops.PlannedField{Path: f.Path, Was: f.Was, Now: f.Now})
	}
	return planned
}
