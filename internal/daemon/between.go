package daemon

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/between"
	"syncline/internal/config"
)

// A two-way rule has two routes, one for each side's log. Both write through one pair, which looks at one batch at a time.

// sideOf is the place of a system among the rule's sides.
func sideOf(r *config.Rule, system string) int {
	return slices.IndexFunc(r.From, func(ref config.Ref) bool { return ref.System == system })
}

// laneRule is what the route of a side's log hands over: the keys of its records.
func laneRule(r *config.Rule, system string) apply.Rule {
	side := sideOf(r, system)
	return apply.Rule{ID: r.ID, Entity: r.From[side].Name, Object: r.Between.Tables[1-side], Bind: laneBinding, Judged: true}
}

// lane opens the pair for the route.
func (rt *route) lane() openTarget {
	side := sideOf(rt.rules[0], rt.source.system.Name)
	return func(ctx context.Context) (syncline.Target, error) { return rt.pair.Lane(ctx, side) }
}

// pair is what owns both sides of a two-way rule.
func (d *Daemon) pair(made *set, r *config.Rule) *between.Pair {
	b := r.Between
	strategies := &between.Strategies{Default: strategyOf(b.Strategy), Fields: make(map[string]between.Strategy), TimeField: b.TimeField, Preferred: b.Preferred}
	for name, s := range b.Strategies {
		strategies.Fields[name] = strategyOf(s)
	}
	switch b.Deleted {
	case "wins":
		strategies.Deleted = between.DeletedWins
	case "conflict":
		strategies.Deleted = between.DeletedConflict
	}
	o := between.Options{Route: r.ID, Fields: b.Fields, Ignore: b.Ignore, Policy: strategies.Policy, Logger: d.log}
	if b.Truncated == "delete" {
		o.Truncated = between.TruncatedDelete
	}
	if d.state != nil { // a check has none
		o.State = d.state.ID()
	}
	for side, ref := range r.From {
		sys := made.config.System(ref.System)
		src := made.source(ref.System)
		if src == nil {
			src = &source{system: sys, stream: &stream{}}
		}
		o.Sides[side] = between.Side{System: ref.System, Entity: ref.Name, Object: b.Tables[side]}
		o.Open[side] = connectors[sys.Type].target(d, &route{id: r.ID, target: sys, source: src})
		o.Describe[side] = func(ctx context.Context) (*syncline.Schema, error) { return d.describeEntity(ctx, src, ref.Name) }
	}
	o.Reread = func(ctx context.Context, side int) error {
		ref := r.From[side]
		return made.source(ref.System).capture.RequestRun(ctx, syncline.Run{ID: "truncated-" + uuid.NewString(), Kind: syncline.RunFull, Entity: ref.Name,
			Routes: []string{r.Route(ref.System)}})
	}
	return between.New(o)
}

func strategyOf(s config.Strategy) between.Strategy {
	switch s {
	case config.StrategyNewest, config.StrategyLater:
		return between.LastWriteWins
	case config.StrategyPriority:
		return between.SourcePriority
	case config.StrategySum:
		return between.Sum
	case config.StrategyUnion:
		return between.Union
	}
	return between.Manual
}

// describeEntity returns what rows of the entity look like now.
func (d *Daemon) describeEntity(ctx context.Context, s *source, entity string) (*syncline.Schema, error) {
	open, err := connectors[s.system.Type].source(d, s)
	if err != nil {
		return nil, err
	}
	src, err := open()
	if err != nil {
		return nil, err
	}
	defer src.Close() //nolint:errcheck // it was only asked
	describer, ok := src.(syncline.Describer)
	if !ok {
		return nil, syncline.Errorf(syncline.Fatal, "between_unsupported", "a source that does not tell its columns").
			WithFix("name systems of type postgres or sqlite in `between`")
	}
	schemas, err := describer.Describe(ctx)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(schemas, func(one *syncline.Schema) bool { return one.Entity == entity })
	if at < 0 {
		return nil, syncline.Errorf(syncline.Fatal, "between_unreadable", "%s/%s cannot be captured", s.system.Name, entity).
			WithFix("`syncline run --check` tells what is in the way")
	}
	return schemas[at], nil
}

// laneBinding makes of a row what a lane wants of it: its key.
func laneBinding(s *syncline.Schema) (*apply.Binding, error) {
	only, err := between.KeyOnly(s)
	if err != nil {
		return nil, err
	}
	return &apply.Binding{Out: s, Key: func(row []syncline.Value) ([]syncline.Value, error) { return only(row), nil },
		Row: func(b *syncline.Batch, i int) ([]syncline.Value, bool, error) {
			return only(b.Events[i].After), true, nil
		}}, nil
}

// checkTwoWay looks at the columns of both sides, and whether each could be written.
func (d *Daemon) checkTwoWay(ctx context.Context, r *config.Rule, down map[string]bool) []Finding {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	if down[r.From[0].System] || down[r.From[1].System] {
		return nil
	}
	first := r.From[0].System
	schemas, warnings, err := d.pair(d.set(), r).Check(ctx)
	if err != nil {
		return []Finding{tell(first, r.ID, syncline.Failure(err, ""))}
	}
	var list []Finding
	for side, ref := range r.From {
		sys := d.set().config.System(ref.System)
		rt := &route{id: r.ID, rules: []*config.Rule{r}, target: sys, source: &source{system: sys}}
		def := syncline.Definition{Object: r.Between.Tables[side], Schema: schemas[side]}
		more, err := connectors[sys.Type].fit(ctx, d, rt, def)
		if err != nil {
			down[sys.Name] = syncline.ClassOf(err) == syncline.Transient
			return []Finding{tell(sys.Name, r.ID, syncline.Failure(err, ""))}
		}
		warnings = append(warnings, more...)
	}
	for _, w := range warnings {
		list = append(list, tell(first, r.ID, syncline.Finding{Level: "warn", Code: "object_differs", What: w}))
	}
	return append(list, tell(first, r.ID, syncline.Finding{Level: "ok", What: fmt.Sprintf("%s and %s can be kept equal", r.From[0], r.From[1])}))
}
