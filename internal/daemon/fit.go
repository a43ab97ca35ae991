package daemon

import (
	"context"
	"slices"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/config"
)

// checkRules tells for each of the rules, which read the sources, whether it fits the columns that its source has now, and its records what the target has. Nothing is
// known beforehand of the columns of a pushed source. A target in down is not asked.
func (d *Daemon) checkRules(ctx context.Context, sources []*config.System, rules []*config.Rule, down map[string]bool) []Finding {
	var list []Finding
	schemas := make(map[string][]*syncline.Schema)
	for _, sys := range sources {
		if sys.Capture != nil && sys.Capture.Mode != config.ModePush {
			schemas[sys.Name] = d.describe(ctx, sys)
			for _, s := range schemas[sys.Name] {
				list = append(list, checkDerivation(sys, s)...)
			}
		}
	}
	for _, r := range rules {
		if !r.Enabled {
			continue
		}
		if r.Between != nil {
			list = append(list, d.checkTwoWay(ctx, r, down)...)
			continue
		}
		for _, name := range r.Sources() {
			parts, err := compile(r, name, &outsider{systems: d.set().config.System})
			if err != nil {
				list = append(list, tell(name, r.ID, syncline.Failure(err, "")))
			}
			for i := range parts {
				at := slices.IndexFunc(schemas[name], func(s *syncline.Schema) bool { return s.Entity == parts[i].Entity })
				if at >= 0 {
					list = append(list, d.checkRule(ctx, r, name, &parts[i], schemas[name][at], down)...)
				}
			}
		}
	}
	return list
}

// describe returns the schemas of the system's entities, as far as they can be known. What is in the way, its check tells.
func (d *Daemon) describe(ctx context.Context, sys *config.System) (list []*syncline.Schema) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	_ = d.probe(sys, func(s syncline.Source) {
		if describer, ok := s.(syncline.Describer); ok {
			list, _ = describer.Describe(ctx)
		}
	})
	return list
}

// checkRule looks at the part of a rule that is for one entity.
func (d *Daemon) checkRule(ctx context.Context, r *config.Rule, source string, part *apply.Rule, schema *syncline.Schema, down map[string]bool) []Finding {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	binding, err := part.Fit(schema)
	if err != nil {
		return []Finding{tell(source, part.ID, syncline.Failure(err, ""))}
	}
	target := r.To.System
	if down[target] {
		return nil
	}
	var list []Finding
	if fit := connectors[d.set().config.System(target).Type].fit; fit != nil {
		warnings, err := fit(ctx, d, d.routeOf(r, source), syncline.Definition{Object: part.Object, Schema: binding.Written(), Create: d.creates(r), Policy: part.Schema})
		if err != nil {
			down[target] = syncline.ClassOf(err) == syncline.Transient
			f := tell(target, part.ID, syncline.Failure(err, ""))
			f.passing = down[target]
			return []Finding{f}
		}
		for _, w := range warnings {
			list = append(list, tell(target, part.ID, syncline.Finding{Level: "warn", Code: "object_differs", What: w}))
		}
	}
	return append(list, tell(target, part.ID, syncline.Finding{Level: "ok", What: source + "/" + part.Entity + " fits " + target + "/" + part.Object}))
}

func tell(system, rule string, f syncline.Finding) Finding {
	return Finding{System: system, Rule: rule, Level: f.Level, Code: f.Code, What: f.What, Fix: f.Fix}
}

// routeOf is the rule's route as far as a check needs it.
func (d *Daemon) routeOf(r *config.Rule, system string) *route {
	rt := &route{id: r.Route(system), rules: []*config.Rule{r}, source: &source{system: d.set().config.System(system)}, target: d.set().config.System(r.To.System)}
	for _, other := range d.set().config.Rules {
		if other.Enabled && slices.Contains(other.Sources(), system) && other.Route(system) == rt.id {
			rt.guarded = rt.guarded || other.Guarded
		}
	}
	return rt
}

// creates reports whether the rule, or another one that writes the same object, makes it.
func (d *Daemon) creates(r *config.Rule) bool {
	return slices.ContainsFunc(d.set().config.Rules, func(other *config.Rule) bool { return other.Enabled && other.To == r.To && other.Create })
}
