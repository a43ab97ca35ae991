package apply

import (
	"context"
	"strings"

	"syncline"
	"syncline/internal/state"
)

// errAnew ends a session whose route was placed anew.
var errAnew = syncline.Errorf(syncline.Transient, "route_begins_anew", "a rule makes other target keys than before: the route begins anew")

// keyed compares how the rule makes target keys with how it did so far. A rule that was changed in this begins anew by the route's
// start: the target's records would stay under keys that nothing removes any more, and their changes would go to others. Another
// source key is no change of the rule.
func (s *Session) keyed(ctx context.Context, rule string, schema *syncline.Schema, b *Binding) error {
	if b.KeyMapping == "" {
		return nil
	}
	is := state.KeyMapping{Source: strings.Join(schema.KeyNames(), ","), Target: b.KeyMapping}
	was, known := s.keys[rule]
	switch {
	case known && was == is:
		return nil
	case known && was.Source == is.Source:
		s.r.log.Info("rule makes other target keys: route begins anew", "rule", rule, "before", was.Target, "now", is.Target)
		row, err := s.r.o.State.Route(ctx, s.r.slice)
		if err != nil {
			return err
		}
		if err := s.r.begin(ctx, row, s.m.traits.Events); err != nil {
			return err
		}
		s.over = true
		return errAnew
	}
	s.keys[rule] = is
	return s.r.o.State.UpdateRoute(ctx, s.r.slice, func(row *state.Route) {
		if row.Keys == nil {
			row.Keys = make(map[string]state.KeyMapping)
		}
		row.Keys[rule] = is
	})
}

// versioned takes note of the rules' version. Where conditions or steps were changed the cursor stays, the journal says from which
// sequence on, and the target is mixed until all records have been copied again or a verification took the mark away, unless the old ones
// never wrote any.
func (s *Session) versioned(ctx context.Context, known state.Route, placed bool) error {
	s.keys = make(map[string]state.KeyMapping)
	if !placed {
		for rule, m := range known.Keys {
			s.keys[rule] = m
		}
	}
	changed := !placed && known.Version != "" && known.Version != s.r.o.Version
	if changed {
		counts, _, err := s.r.o.State.Totals(ctx, s.r.slice)
		if err != nil {
			return err
		}
		changed = counts.Applied > 0
	}
	s.mixed = changed || known.Mixed && !placed
	if known.Version == s.r.o.Version && s.mixed == known.Mixed {
		return nil
	}
	if changed {
		s.r.log.Info("rules were changed: the target holds records of both versions until a full sync", "from", known.Version, "to", s.r.o.Version)
	}
	return s.r.o.State.UpdateRoute(ctx, s.r.slice, func(row *state.Route) { row.Version, row.Mixed = s.r.o.Version, s.mixed })
}

// unmix notes that every record of the route's entities has been applied again since the rules were changed.
func (s *Session) unmix(ctx context.Context) error {
	if !s.mixed || !s.m.copies.whole(s.m.byEntity) {
		return nil
	}
	s.mixed = false
	return s.r.o.State.UpdateRoute(ctx, s.r.slice, func(row *state.Route) { row.Mixed = false })
}

// copies follows full copies through what is applied: by entity the run that has begun, and whether one is whole.
type copies struct {
	begun map[string]string
	done  map[string]bool
}

// passed takes over that the batch of a run was applied.
func (c *copies) passed(chunk *syncline.Chunk) {
	if chunk.Kind != syncline.RunFull && chunk.Kind != syncline.RunSnapshot {
		return
	}
	if c.begun == nil {
		c.begun, c.done = make(map[string]string), make(map[string]bool)
	}
	if chunk.First {
		c.begun[chunk.Entity] = chunk.Run
	}
	if chunk.Cut && c.begun[chunk.Entity] == chunk.Run {
		delete(c.begun, chunk.Entity)
	}
	if chunk.Last && c.begun[chunk.Entity] == chunk.Run {
		c.done[chunk.Entity] = true
	}
}

// whole reports whether each of the entities has been copied.
func (c *copies) whole(entities map[string][]int) bool {
	for e := range entities {
		if !c.done[e] {
			return false
		}
	}
	return true
}
