package daemon

import (
	"context"
	"fmt"
	"slices"
	"time"

	"syncline"
	"syncline/internal/config"
	"syncline/internal/jetlog"
	"syncline/internal/ops"
	"syncline/internal/redis"
	"syncline/internal/state"
)

// Finding is what a check found about one system, or about a rule there.
type Finding struct {
	System string `json:"system"`
	// Rule is "" where the system itself is meant.
	Rule string `json:"rule,omitempty"`
	// Level is "ok", "warn" or "fail".
	Level string `json:"level"`
	Code  string `json:"code,omitempty"`
	What  string `json:"what"`
	Fix   string `json:"fix,omitempty"`

	// passing: it is no fault of the configuration, and time may mend it.
	passing bool
}

// checkTimeout bounds the check of one system.
const checkTimeout = 20 * time.Second

// checkAPI tells what would keep the API from being served, where more than this machine is to reach it.
func checkAPI(ctx context.Context, c *config.Config) (list []Finding) {
	const where = "http.listen"
	live, err := state.LiveToken(ctx, c.State.Path, time.Now())
	if err != nil {
		return []Finding{tell(where, "", syncline.Failure(fmt.Errorf("look for tokens in the state store: %w", err), ""))}
	}
	for _, f := range ops.CheckBinding(binding(&c.HTTP), live) {
		list = append(list, tell(where, "", f))
	}
	return list
}

// Check connects to every system of the configuration and tells what will not work there, which rules do not fit the columns of
// their source or what their target has, and whether the API may be served where it is to be. It changes nothing anywhere: what would be made at the first use is not made.
func Check(ctx context.Context, c *config.Config) []Finding {
	redis.LogTo(nil)
	d := &Daemon{}
	d.current.Store(&set{config: c})
	found := checkAPI(ctx, c)
	down := make(map[string]bool)
	for _, sys := range c.Systems {
		found = append(found, d.check(ctx, sys, down)...)
	}
	return append(found, d.checkRules(ctx, c.Systems, c.Rules, down)...)
}

// checkChanges is Check of what is not in the configuration at work: systems that are new or changed, and the rules of routes that are.
// What a rule's own system cannot say at this moment is not held against it.
func checkChanges(ctx context.Context, c *config.Config, was *set) []Finding {
	d := &Daemon{}
	d.current.Store(&set{config: c})
	var found []Finding
	down, changed := make(map[string]bool), make(map[string]bool)
	for _, sys := range c.Systems {
		if old := was.config.System(sys.Name); old == nil || !config.Same(old, sys) {
			changed[sys.Name] = true
			found = append(found, d.check(ctx, sys, down)...)
		}
	}
	var rules []*config.Rule
	for _, rt := range routesOf(c) {
		old := was.route(rt.id)
		if old == nil || !rt.as(old) || changed[rt.source.system.Name] {
			rules = append(rules, rt.rules...)
		}
	}
	var sources []*config.System
	for _, sys := range c.Systems {
		if slices.ContainsFunc(rules, func(r *config.Rule) bool { return slices.Contains(r.Sources(), sys.Name) }) {
			sources = append(sources, sys)
		}
	}
	for _, f := range d.checkRules(ctx, sources, rules, down) {
		if !f.passing || changed[f.System] {
			found = append(found, f)
		}
	}
	return found
}

// check looks at one system. A target that cannot be opened is put into down.
func (d *Daemon) check(ctx context.Context, sys *config.System, down map[string]bool) []Finding {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	var found []Finding
	if sys.Capture != nil && sys.Capture.Mode != config.ModePush {
		err := d.probe(sys, func(s syncline.Source) { found = ask(ctx, sys, s) })
		found = append(found, failure(sys, err)...)
	}
	if target := connectors[sys.Type]; target.check != nil && d.written(sys) {
		for _, f := range target.check(ctx, sys) {
			found = append(found, about(sys, f))
		}
	} else if target.target != nil && d.written(sys) {
		t, err := target.target(d, &route{id: "_check", target: sys, source: &source{system: &config.System{}}})(ctx)
		if err == nil {
			found = append(found, ask(ctx, sys, t)...)
			err = t.Close()
		}
		down[sys.Name] = err != nil
		found = append(found, failure(sys, err)...)
	}
	if len(found) == 0 {
		found = append(found, Finding{System: sys.Name, Level: "ok", What: "nothing to connect to"})
	}
	return found
}

// probe calls f with the system's source, which is not opened, and is told how far its log has got.
func (d *Daemon) probe(sys *config.System, f func(syncline.Source)) error {
	logged, err := jetlog.End(d.set().config.Log.Dir, sys.Name)
	if err != nil {
		return err
	}
	open, err := connectors[sys.Type].source(d, &source{system: sys, stream: &stream{logged: logged}})
	if err != nil {
		return err
	}
	s, err := open()
	if err != nil {
		return err
	}
	f(s)
	return s.Close()
}

// written reports whether a rule writes to the system.
func (d *Daemon) written(sys *config.System) bool {
	for _, r := range d.set().config.Rules {
		if r.Writes(sys.Name) {
			return true
		}
	}
	return false
}

func ask(ctx context.Context, sys *config.System, part any) []Finding {
	checker, ok := part.(syncline.Checker)
	if !ok {
		return []Finding{{System: sys.Name, Level: "ok", What: "connected"}}
	}
	var list []Finding
	for _, f := range checker.Check(ctx) {
		list = append(list, about(sys, f))
	}
	return list
}

func failure(sys *config.System, err error) []Finding {
	if err == nil {
		return nil
	}
	return []Finding{about(sys, syncline.Failure(err, ""))}
}

func about(sys *config.System, f syncline.Finding) Finding {
	return tell(sys.Name, "", f)
}
