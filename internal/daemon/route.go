package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"time"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/between"
	"syncline/internal/config"
	"syncline/internal/conflict"
	"syncline/internal/rule"
	"syncline/internal/transform"
)

// route is a running rule, or a group of rules, from one source to one target.
type route struct {
	id     string
	rules  []*config.Rule
	source *source
	target *config.System
	events bool
	// guarded: other routes write the same object, so that records keep the order of their newest change.
	guarded  bool
	compiled []apply.Rule
	// outside answers what steps ask outside; it is made with compiled.
	outside outsider
	open    openTarget
	apply   *apply.Route
	// decides: a rule has a conflict section.
	decides bool
	// pair is set for a side of a two-way rule.
	pair *between.Pair
	// tombstone is how long a target must know of what was removed.
	tombstone time.Duration
}

// routesOf lists the routes of all enabled rules: one for each rule and source system, or for each group. They are what the
// configuration says of them, and no more.
func routesOf(c *config.Config) []*route {
	var list []*route
	for _, r := range c.Rules {
		if !r.Enabled {
			continue
		}
		for _, name := range r.Sources() {
			id := r.Route(name)
			at := slices.IndexFunc(list, func(rt *route) bool { return rt.id == id })
			if at < 0 {
				target := c.System(r.Target(name))
				at, list = len(list), append(list, &route{id: id, source: &source{system: c.System(name)}, target: target,
					outside: outsider{systems: c.System}, events: target.Type.Events(), tombstone: c.Log.Retain})
			}
			list[at].rules = append(list[at].rules, r)
			list[at].guarded = list[at].guarded || r.Guarded
			list[at].decides = list[at].decides || r.Conflict != nil
		}
	}
	return list
}

// newRoutes makes the set's routes. One that would work as it did stays the same.
func (d *Daemon) newRoutes(made, was *set) error {
	pairs := make(map[string]*between.Pair) // by rule
	list := routesOf(made.config)
	stays := func(rt *route) bool {
		old := was.route(rt.id)
		return old != nil && rt.as(old)
	}
	for _, rt := range list {
		// Both routes of a two-way rule have one pair: they stay together, or not at all.
		apart := func(other *route) bool {
			return other.rules[0].Between != nil && other.rules[0] == rt.rules[0] && !stays(other)
		}
		if stays(rt) && !slices.ContainsFunc(list, apart) {
			made.routes = append(made.routes, was.route(rt.id))
			continue
		}
		rt.source = made.source(rt.source.system.Name)
		if r := rt.rules[0]; r.Between != nil {
			if pairs[r.ID] == nil {
				pairs[r.ID] = d.pair(made, r)
			}
			rt.pair = pairs[r.ID]
		}
		if err := d.build(rt, share(len(list))); err != nil {
			return fmt.Errorf("route %s: %w", rt.id, err)
		}
		made.routes = append(made.routes, rt)
	}
	return nil
}

const (
	// readAhead is how much of their logs all routes that are behind read ahead, in stored bytes, with bounds for one of them. It takes about
	// four times that in memory.
	readAhead             = 64 << 20
	mostAhead, leastAhead = 4 << 20, 256 << 10
)

// share is what one of so many routes reads ahead.
func share(routes int) int { return min(max(readAhead/routes, leastAhead), mostAhead) }

func (d *Daemon) build(rt *route, ahead int) error {
	var err error
	rt.outside.log = d.log
	if rt.compiled, err = rt.compile(); err != nil {
		return err
	}
	first := rt.rules[0]
	if rt.pair != nil {
		rt.open = rt.lane().orNone()
	} else {
		rt.open = connectors[rt.target.Type].target(d, rt).orNone()
	}
	options := apply.Options{
		ID: rt.id, Source: rt.source.system.Name, Rules: rt.compiled, Start: startOf(first, rt.source.system),
		Signature: signature(rt), Version: version(rt.rules),
		Log: rt.source.log, Feed: rt.source.feed, Open: rt.open, State: d.state,
		RequestRun:     rt.source.capture.RequestRun,
		LogOnly:        rt.source.system.Capture.Mode == config.ModePush,
		SnapshotCovers: rt.source.system.Capture.Initial && rt.source.fresh, // one that works may begin at any moment, without this route
		Priorities:     prioritised(rt),
		Forgotten:      rt.source.forgotten,
		Limits:         apply.Limits{MaxRows: first.Batch.MaxRows, MaxWait: first.Batch.MaxWait, Window: ahead},
		Retry:          apply.Retry{Max: first.Retry.Max, Delay: first.Retry.Delay, MaxDelay: first.Retry.MaxDelay},
		Logger:         d.log,
	}
	if rt.apply, err = apply.New(options); err != nil {
		return err
	}
	rt.apply.SetPaused(len(d.pausesOf(rt)) > 0)
	return nil
}

// compile makes the parts of the route's rules.
func (rt *route) compile() ([]apply.Rule, error) {
	var list []apply.Rule
	for _, r := range rt.rules {
		parts, err := compile(r, rt.source.system.Name, &rt.outside)
		if err != nil {
			return nil, fmt.Errorf("rule %s: %w", r.ID, err)
		}
		for _, part := range parts {
			if part.Conflicts != nil {
				part.Conflicts.Documents = holdsDocuments(rt.target)
			}
		}
		list = append(list, parts...)
	}
	return list, nil
}

// prioritised reports whether the route's events may have priorities: pushed ones bring them along.
func prioritised(rt *route) bool {
	c, name := rt.source.system.Capture, rt.source.system.Name
	return c.Mode == config.ModePush || slices.ContainsFunc(rt.rules, func(r *config.Rule) bool {
		return slices.ContainsFunc(r.From, func(from config.Ref) bool { return from.System == name && c.Entity(from.Name).Priority != "" })
	})
}

// reads reports whether the route applies this entity of this source.
func (rt *route) reads(s *source, entity string) bool {
	return rt.source.stream == s.stream && slices.ContainsFunc(rt.compiled, func(r apply.Rule) bool { return r.Entity == entity })
}

// startOf is where the rule's route begins. A pushed source has no records to read: all there is is in its log.
func startOf(r *config.Rule, source *config.System) apply.Start {
	if source.Capture.Mode == config.ModePush && r.Start == config.StartFull {
		return apply.StartEarliest
	}
	return apply.Start(r.Start)
}

// signature changes when a route must begin anew: what it reads, where it writes, or which columns are declared to be the key. The
// order of the rules is nothing. How a transform makes the target's key is compared when the columns are known
// (apply.Binding.KeyMapping).
func signature(rt *route) string {
	var parts []string
	for _, r := range rt.rules {
		part := fmt.Sprintf("%v>%v;", r.From, r.To)
		for _, from := range r.From {
			sys := rt.source.system
			if r.Between != nil && from.System == rt.target.Name {
				sys = rt.target // both routes of a two-way rule begin anew together
			}
			if from.System != sys.Name {
				continue
			}
			if key := sys.Capture.Entity(from.Name).Key; len(key) > 0 {
				part += fmt.Sprintf("%s:%q;", from.Name, key)
			}
		}
		parts = append(parts, part)
	}
	return hash(parts)
}

// version changes with anything that makes the rules' records differ.
func version(rules []*config.Rule) string {
	var parts []string
	for _, r := range rules {
		text, err := json.Marshal([]any{r.Match, r.Transform, r.On})
		if err != nil {
			panic("a configuration that was read cannot be written: " + err.Error())
		}
		parts = append(parts, string(text)+transform.Keys(r.Transform))
	}
	return hash(parts)
}

// hash is the same for the same parts in any order.
func hash(parts []string) string {
	slices.Sort(parts)
	h := fnv.New64a()
	for _, p := range parts {
		io.WriteString(h, p) //nolint:errcheck // a hash never fails
	}
	return fmt.Sprintf("%016x", h.Sum64())
}

// compile makes the rule's parts for one source system: one for each of its entities.
func compile(r *config.Rule, system string, outside *outsider) ([]apply.Rule, error) {
	if r.Between != nil {
		return []apply.Rule{laneRule(r, system)}, nil
	}
	match, err := rule.Compile(r.Match)
	if err != nil {
		return nil, err
	}
	steps, err := transform.Compile(r.Transform)
	if err != nil {
		return nil, err
	}
	if outside.log != nil {
		steps.LogTo(outside.log.With("rule", r.ID))
	}
	askers, err := outside.askers(steps)
	if err != nil {
		return nil, err
	}
	var rules []apply.Rule
	for _, from := range r.From {
		if from.System != system {
			continue
		}
		id := r.ID
		if len(r.From) > 1 {
			id += "/" + from.Name
		}
		one := apply.Rule{ID: id, Entity: from.Name, Object: r.To.Name, Bind: binder(match, steps, askers), Outside: len(askers) > 0,
			Create: r.Create, Schema: r.Schema}
		if err := compileOn(&r.On, &one); err != nil {
			return nil, err
		}
		if r.Conflict != nil {
			if one.Conflicts, err = conflict.Compile(*r.Conflict, r.To.System); err != nil {
				return nil, err
			}
		}
		rules = append(rules, one)
	}
	return rules, nil
}

// binder joins a rule's conditions and steps to what apply calls for each row. What would change nothing is left nil.
func binder(match *rule.Rule, steps *transform.Transform, askers map[int]transform.Asker) func(*syncline.Schema) (*apply.Binding, error) {
	return func(s *syncline.Schema) (*apply.Binding, error) {
		matcher, err := match.Bind(s)
		if err != nil {
			return nil, err
		}
		plan, err := steps.Bind(s)
		if err != nil {
			return nil, err
		}
		b := &apply.Binding{Out: plan.Out(), LeftOut: plan.LeftOut(), KeyMapping: plan.KeyMapping()}
		if c := plan.Children(); c != nil {
			b.Split = &apply.Split{Out: c.Out(), Parent: c.Parent(), Rows: c.Rows}
		}
		if !matcher.All() {
			b.Admits, b.Match = matcher.Admits, matcher.Match
		}
		if matcher.Watches() {
			matcher.Watch(plan.FilterColumns())
			b.Unchanged = matcher.Unchanged
		}
		if !plan.Identity() {
			var arena []syncline.Value
			width := len(b.Out.Columns)
			b.Row = func(batch *syncline.Batch, i int) ([]syncline.Value, bool, error) {
				if len(arena) < width {
					arena = make([]syncline.Value, 128*width)
				}
				row := arena[:0:width]
				arena = arena[width:]
				return plan.Apply(batch, i, row)
			}
			b.Before = plan.Before
			b.Key, b.SameKey = plan.Key, plan.KeyCopied()
		}
		if plan.Asks() {
			if b.Prepare, err = preparer(match, steps, s, askers); err != nil {
				return nil, err
			}
			b.Outside = plan.Outside()
		}
		return b, nil
	}
}

// openTarget is what a connector returns for a route.
type openTarget func(context.Context) (syncline.Target, error)

// orNone returns no target with an error. A connector's own nil pointer, as its Open returns it, would be a target to whoever looks for one
// to close.
func (open openTarget) orNone() openTarget {
	return func(ctx context.Context) (syncline.Target, error) {
		t, err := open(ctx)
		if err != nil {
			return nil, err
		}
		return t, nil
	}
}
