package daemon

import (
	"context"
	"time"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/capture"
	"syncline/internal/config"
	"syncline/internal/health"
	"syncline/internal/ops"
	"syncline/internal/state"
	"syncline/internal/verify"
)

// Health makes a report of how everything is. It reads the journal of a whole window: what asks often asks for the signals.
func (e engine) Health(ctx context.Context) (health.Report, error) {
	c, now := &e.set().config.Health, time.Now()
	in := health.Input{From: now.Add(-c.Window), To: now}
	if err := e.count(ctx, &in); err != nil {
		return health.Report{}, err
	}
	if err := e.present(ctx, &in); err != nil {
		return health.Report{}, err
	}
	return health.Assess(&in, &c.Thresholds), nil
}

// Lag tells how far behind the routes are.
func (e engine) Lag(ctx context.Context) (health.LagReport, error) {
	now := time.Now()
	in := health.Input{To: now}
	for _, r := range e.set().routes {
		one, err := e.healthOf(ctx, r, now)
		if err != nil {
			return health.LagReport{}, err
		}
		in.Routes = append(in.Routes, one)
	}
	return health.Lags(in.Routes, e.pasts(now), &e.set().config.Health.Thresholds, now), nil
}

// count adds to the input what the journal says of the window, route by route. Routes that the configuration does not have any more say
// nothing of how everything is now.
func (d *Daemon) count(ctx context.Context, in *health.Input) error {
	whole := ops.NewSummary(in.From, in.To)
	for _, r := range d.set().routes {
		one, err := d.state.Stats(ctx, state.Slice{Route: r.id}, in.From, in.To, func(string) bool { return true })
		if err != nil {
			return err
		}
		whole.Add(one)
		alone := ops.NewSummary(in.From, in.To)
		alone.Add(one)
		st := alone.Stats()
		in.Routes = append(in.Routes, health.Route{ID: r.id, Tasks: tasksOf(&st), Execution: meanOf(&st.Execution)})
	}
	st := whole.Stats()
	in.Tasks, in.Execution, in.Since = tasksOf(&st), meanOf(&st.Execution), st.Since
	return nil
}

func tasksOf(st *ops.Stats) health.Tasks {
	t := &st.Totals
	return health.Tasks{Read: st.Read, Pending: t.Pending, Completed: t.Completed, Failed: t.Failed, Conflict: t.Conflict, Cancelled: t.Cancelled}
}

func meanOf(t *ops.Times) *time.Duration {
	if t.Mean == nil {
		return nil
	}
	mean := time.Duration(*t.Mean * float64(time.Second))
	return &mean
}

// present adds how everything is at this moment. Routes that were counted keep their counts.
func (d *Daemon) present(ctx context.Context, in *health.Input) error {
	keys, err := d.state.ParkedKeys(ctx)
	if err != nil {
		return err
	}
	counted := make(map[string]*health.Route, len(in.Routes))
	for i := range in.Routes {
		counted[in.Routes[i].ID] = &in.Routes[i]
	}
	var routes []health.Route
	for _, r := range d.set().routes {
		one, err := d.healthOf(ctx, r, in.To)
		if err != nil {
			return err
		}
		if was := counted[r.id]; was != nil {
			one.Tasks, one.Execution = was.Tasks, was.Execution
		}
		one.Keys = keys[state.Slice{Route: r.id}]
		routes = append(routes, one)
	}
	in.Routes = routes
	for _, s := range d.set().sources {
		in.Sources = append(in.Sources, d.sourceHealth(ctx, s, in.To))
	}
	if in.Waiting, err = d.waiting(ctx); err != nil {
		return err
	}
	if err := d.others(ctx, in); err != nil {
		return err
	}
	free, measured, err := d.logs.FreeShare()
	if err != nil {
		return err
	}
	if measured {
		in.DiskFree = &free
	}
	return nil
}

// others adds what verifications and schedules have found.
func (d *Daemon) others(ctx context.Context, in *health.Input) error {
	verified, err := d.state.Verified(ctx)
	if err != nil {
		return err
	}
	for _, rule := range d.set().config.Rules {
		if one := lastDiffering(rule, verified); rule.Enabled && one.Records > 0 {
			in.Differing = append(in.Differing, one)
		}
	}
	known, err := d.schedules.List(ctx)
	if err != nil {
		return err
	}
	for i := range known {
		if missed, failed := trouble(&known[i]); missed > 0 || failed > 0 {
			in.Schedules = append(in.Schedules, health.Schedule{ID: known[i].Plan.ID, Missed: missed, Failed: failed})
		}
	}
	return nil
}

// lastDiffering sums up what the last verifications of the rule's parts have found.
func lastDiffering(rule *config.Rule, verified []state.Verified) health.Differing {
	one := health.Differing{Rule: rule.ID, Target: rule.Target(rule.From[0].System)}
	limit, declared := repairLimit(rule)
	most, large := int64(0), false
	for i := range verified {
		v := &verified[i]
		if wholeRule(v.Rule) != rule.ID || v.Differences == 0 {
			continue
		}
		one.Records += v.Differences
		most, large = max(most, v.Differences), large || !limit.Allows(v.Differences, v.Records, declared)
		if one.Verification == "" || v.Differences == most {
			one.Verification = v.Verification
		}
	}
	if large {
		one.MaxRepair = verify.Enough(most)
	}
	return one
}

// healthOf is how a route is now.
func (d *Daemon) healthOf(ctx context.Context, r *route, now time.Time) (health.Route, error) {
	st := r.apply.Status()
	one := health.Route{ID: r.id, Source: r.source.system.Name, Target: r.target.Name, State: string(st.State), Since: st.Since,
		Degraded: st.State == apply.RouteDegraded, Stopped: st.State == apply.RouteHalted || st.State == apply.RouteNeedsSync,
		Paused: len(d.pausesOf(r)) > 0, Still: d.still(r), Canary: d.canaryOf(r, now)}
	if st.State == apply.RouteStopped {
		one.State, one.Stopped = ops.RouteHalted, true
	}
	for _, rule := range r.rules {
		one.Rules = append(one.Rules, rule.ID)
	}
	one.ErrorCode, one.ErrorClass, one.ErrorText, one.ErrorFix = errorOf(st.Err)
	one.ErrorFix = r.wayOut(one.ErrorFix)
	if st.Cursor.Seq == 0 { // it has not begun since the process did
		known, err := d.state.Route(ctx, state.Slice{Route: r.id})
		if err != nil {
			return one, err
		}
		st.Cursor = known.Cursor
	}
	one.Lag = d.lagOf(r, &st, now)
	return one, nil
}

func errorOf(err error) (code, class, text, fix string) {
	if err == nil {
		return "", "", "", ""
	}
	return syncline.CodeOf(err), syncline.ClassOf(err).String(), err.Error(), syncline.FixOf(err)
}

func (d *Daemon) sourceHealth(ctx context.Context, s *source, now time.Time) health.Source {
	st := s.capture.Status()
	one := health.Source{Name: s.system.Name, Type: string(s.system.Type), State: string(st.State), Since: st.Since, Quiet: unheardFor(&st, now),
		Stopped: st.State == capture.StateHalted || st.State == capture.StateStopped, Degraded: st.State == capture.StateDegraded,
		Starting: st.State == capture.StateStarting}
	one.ErrorCode, one.ErrorClass, one.ErrorText, one.ErrorFix = errorOf(st.Err)
	if b, err := s.log.Bounds(ctx); err == nil {
		one.LogBytes = b.Bytes
	}
	if a := s.asked.Load(); a != nil && !a.at.IsZero() {
		one.Risk = health.RiskOf(&a.risk)
	}
	return one
}

// waiting counts the tasks that wait, by rule of the configuration.
func (d *Daemon) waiting(ctx context.Context) ([]health.Waiting, error) {
	counts, err := d.state.WaitingCounts(ctx)
	if err != nil {
		return nil, err
	}
	var list []health.Waiting
	at := make(map[health.Waiting]int)
	for _, c := range counts {
		r := d.route(c.Route)
		if r == nil {
			continue
		}
		one := health.Waiting{Route: r.id, Target: r.target.Name, Rule: wholeRule(c.Rule), Status: c.Status, Class: c.Class, Code: c.Code}
		i, ok := at[one]
		if !ok {
			i, list = len(list), append(list, one)
			at[one] = i
		}
		list[i].Tasks += c.Tasks
	}
	return list, nil
}
