package daemon

import (
	"syncline/internal/config"
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
