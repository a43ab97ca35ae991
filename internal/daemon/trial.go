package daemon

import (
	"context"
	"errors"
	"slices"

	"syncline"
	"syncline/internal/config"
	"syncline/internal/ops"
	"syncline/internal/state"
	"syncline/internal/transform"
	"syncline/internal/trial"
)

// Trial makes the rule ready to be tried on events of one of its entities; done ends what its steps need from outside.
func Trial(c *config.Config, r *config.Rule, from config.Ref) (t trial.Rule, done func() error, err error) {
	steps, err := transform.Compile(r.Transform)
	if err != nil {
		return t, nil, err
	}
	outside := &outsider{systems: c.System}
	t = trial.Rule{ID: r.ID, Source: from.System, Entity: from.Name, Match: r.Match, Steps: r.Transform}
	if s := c.System(from.System); s != nil && s.Capture != nil {
		if e := s.Capture.Entity(from.Name); e != nil {
			t.Key = e.Key
		}
	}
	t.Askers, err = outside.askers(steps)
	return t, outside.Close, err
}

func (e engine) Rules(context.Context) ([]ops.RuleInfo, error) {
	return RulesOf(e.set().config), nil
}

// RulesOf lists the rules of a configuration, in its order.
func RulesOf(c *config.Config) []ops.RuleInfo {
	list := make([]ops.RuleInfo, 0, len(c.Rules))
	for _, r := range c.Rules {
		one := ops.RuleInfo{ID: r.ID, From: []string{}, To: r.To.String(), Steps: []string{}, Tests: len(r.Tests), Enabled: r.Enabled}
		for _, f := range r.From {
			one.From = append(one.From, f.String())
		}
		for _, s := range r.Transform {
			one.Steps = append(one.Steps, s.Kind())
		}
		list = append(list, one)
	}
	return list
}

func (e engine) TryRule(ctx context.Context, id string, q ops.TryRequest) (trial.View, error) {
	out, err := Try(ctx, e.set().config, id, q.Entity, "event", q.Event)
	var wrong config.Problems
	if errors.As(err, &wrong) {
		return trial.View{}, syncline.Errorf(syncline.Rejected, "bad_event", "%s", wrong.Error())
	}
	if err != nil {
		// The rule may be fine: it does not fit what was sent.
		return trial.View{}, syncline.Errorf(syncline.Rejected, syncline.CodeOf(err), "%w", err)
	}
	return out.View(), nil
}

// Try tells what a rule makes of an event, which stands in a file of that name; entity may be "" for the first that the rule reads.
func Try(ctx context.Context, c *config.Config, id, entity, name string, event []byte) (*trial.Outcome, error) {
	r := c.Rule(id)
	if r == nil || r.Between != nil {
		return nil, syncline.Errorf(syncline.Rejected, "rule_not_found", "there is no rule %s with a transform: %w", id, state.ErrNotFound).
			WithFix("`syncline rules` lists them")
	}
	from := r.From[0]
	if entity != "" {
		at := slices.IndexFunc(r.From, func(f config.Ref) bool { return f.String() == entity || f.Name == entity })
		if at < 0 {
			return nil, syncline.Errorf(syncline.Rejected, "unknown_entity", "rule %s does not read %s: %w", id, entity, state.ErrNotFound)
		}
		from = r.From[at]
	}
	e, problems := config.ReadEvent(name, event)
	if problems != nil {
		return nil, problems
	}
	t, done, err := Trial(c, r, from)
	if err != nil {
		return nil, err
	}
	out, err := trial.Run(ctx, t, e)
	return out, errors.Join(err, done())
}
