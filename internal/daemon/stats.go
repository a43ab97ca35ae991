package daemon

import (
	"context"

	"syncline/internal/ops"
)

// Stats adds up the slices that the query chooses, those of rules that the configuration does not have any more too.
func (e engine) Stats(ctx context.Context, q ops.StatsQuery) (ops.Stats, error) {
	routes, err := e.ChosenRoutes(ctx, ops.Choice{Route: q.Route, Rule: q.Rule, Source: q.Source, Target: q.Target})
	if err != nil {
		return ops.Stats{}, err
	}
	to := make(map[string]bool, len(routes))
	for _, id := range routes {
		to[id] = true
	}
	known, err := e.state.Routes(ctx)
	if err != nil {
		return ops.Stats{}, err
	}
	sum := ops.NewSummary(q.From, q.To)
	for sl, r := range known {
		if q.Route != "" && q.Route != sl.Route || q.Source != "" && q.Source != r.Source || q.Target != "" && !to[sl.Route] {
			continue
		}
		one, err := e.state.Stats(ctx, sl, q.From, q.To, func(rule string) bool { return ops.OfRule(q.Rule, rule) })
		if err != nil {
			return ops.Stats{}, err
		}
		sum.Add(one)
	}
	return sum.Stats(), nil
}
