package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/capture"
	"syncline/internal/config"
	"syncline/internal/ops"
	"syncline/internal/state"
)

// engine is the daemon as the API sees it.
type engine struct{ *Daemon }

var _ ops.Engine = engine{}

func (d *Daemon) serve(ctx context.Context) error {
	server, err := ops.New(ops.Options{Engine: engine{d}, Configs: engine{d}, Store: d.state, Version: d.o.Version, Events: d.intake.Serve, Metrics: d.registry,
		Concurrency: d.o.Config.HTTP.Concurrency, Rate: d.o.Config.HTTP.Rate, Logger: d.log})
	if err != nil {
		return err
	}
	if err := server.Serve(ctx, d.listener); !errors.Is(err, context.Canceled) || ctx.Err() == nil {
		return err
	}
	return nil // it was asked to stop before it had begun
}

// Engine returns what the API shows and steers.
func (d *Daemon) Engine() ops.Engine { return engine{d} }

func (e engine) Status(ctx context.Context) (ops.Status, error) {
	s := ops.Status{Version: e.o.Version, Started: e.started, UptimeSeconds: time.Since(e.started).Seconds()}
	gaps, err := e.state.OpenGaps(ctx)
	if err != nil {
		return s, err
	}
	for _, sys := range e.set().config.Systems {
		one := ops.SystemStatus{Name: sys.Name, Type: string(sys.Type), State: "unknown", Since: e.started}
		if src := e.source(sys.Name); src != nil {
			if err := e.sourceStatus(ctx, src, &one); err != nil {
				return s, err
			}
			one.Gap = sourceGap(gaps, sys.Name, "")
		}
		for _, r := range e.set().routes {
			if r.target.Name == sys.Name {
				worsen(&one, r.apply.Status())
			}
		}
		s.Systems = append(s.Systems, one)
	}
	s.Pauses, err = e.Pauses(ctx)
	s.Warnings = append(s.Warnings, e.deliveryWarnings()...)
	return s, err
}

func (e engine) sourceStatus(ctx context.Context, src *source, one *ops.SystemStatus) error {
	st := src.capture.Status()
	one.State, one.Since, one.Error, one.Warnings = string(st.State), st.Since, fault(st.Err), st.Warnings
	if st.State == capture.StateStopped {
		one.State = "halted"
	}
	bounds, err := src.log.Bounds(ctx)
	if err != nil {
		return err
	}
	one.Log = &ops.LogStatus{First: uint64(bounds.First), Last: uint64(bounds.Last), Bytes: bounds.Bytes, Position: st.Position.String(), Commit: st.Position.Commit,
		Captured: st.Events, Rate: src.tally.perSecond(time.Now())}
	one.Risk = riskStatus(src)
	if w := src.walWarning.Load(); w != nil && *w != "" {
		one.Warnings = append(slices.Clip(one.Warnings), *w)
	}
	return nil
}

// worsen lets a target show the trouble of a route that writes to it.
func worsen(one *ops.SystemStatus, st apply.Status) {
	switch {
	case st.State == apply.RouteRunning && one.State == "unknown":
		one.State, one.Since = "running", st.Since
	case st.State == apply.RouteDegraded && (one.State == "unknown" || one.State == "running"):
		one.State, one.Since, one.Error = "degraded", st.Since, fault(st.Err)
	}
}

func fault(err error) *ops.Fault {
	if err == nil {
		return nil
	}
	return &ops.Fault{Code: syncline.CodeOf(err), Text: err.Error(), Fix: syncline.FixOf(err)}
}

func (e engine) Routes(ctx context.Context) ([]ops.RouteStatus, error) {
	var list []ops.RouteStatus
	gaps, err := e.state.OpenGaps(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range e.set().routes {
		one, err := e.routeStatus(ctx, r)
		if err != nil {
			return nil, err
		}
		one.Gap = sourceGap(gaps, r.source.system.Name, r.id)
		list = append(list, one)
	}
	for _, rule := range e.set().config.Rules {
		if !rule.Enabled {
			list = append(list, ops.RouteStatus{ID: rule.ID, Rules: []string{rule.ID}, Source: rule.From[0].System, Target: rule.Target(rule.From[0].System),
				State: ops.RouteDisabled, Since: e.started})
		}
	}
	return list, nil
}

// wayOut puts into the way out of an error what it leaves open: the route, and the entity where it reads no other.
func (r *route) wayOut(fix string) string {
	fix = strings.ReplaceAll(fix, "--route ROUTE", "--route "+r.id)
	for i := range r.compiled {
		if r.compiled[i].Entity != r.compiled[0].Entity {
			return fix
		}
	}
	return strings.ReplaceAll(fix, "SYSTEM/ENTITY", r.source.system.Name+"/"+r.compiled[0].Entity)
}

func (e engine) routeStatus(ctx context.Context, r *route) (ops.RouteStatus, error) {
	st := r.apply.Status()
	one := ops.RouteStatus{ID: r.id, Source: r.source.system.Name, Target: r.target.Name, State: string(st.State), Since: st.Since,
		Error: fault(st.Err), Rate: st.Rate, Warnings: st.Warnings}
	if one.Error != nil {
		one.Error.Fix = r.wayOut(one.Error.Fix)
	}
	if st.State == apply.RouteDegraded && !st.NextTry.IsZero() {
		one.NextTry = &st.NextTry
	}
	if st.State == apply.RouteStopped {
		one.State = ops.RouteHalted
	}
	for _, rule := range r.rules {
		one.Rules = append(one.Rules, rule.ID)
	}
	one.Pauses = e.shown(e.pausesOf(r))
	bounds, err := r.source.log.Bounds(ctx)
	if err != nil {
		return one, err
	}
	known, err := e.state.Route(ctx, state.Slice{Route: r.id})
	if err != nil {
		return one, err
	}
	if known.Mixed {
		one.Warnings = append(one.Warnings, mixedWarning(r))
	}
	if w := skewWarning(st.Skewed, time.Now()); w != "" {
		one.Warnings = append(one.Warnings, w)
	}
	cursor := st.Cursor
	if cursor.Seq == 0 { // the route has not begun since the process did
		cursor = known.Cursor
	}
	one.Cursor = ops.Place{Log: cursor.Log, Seq: uint64(cursor.Seq), Index: cursor.Index, Epoch: cursor.Epoch}
	one.LogEnd = uint64(bounds.Last)
	var oldest time.Time
	if one.LagEvents, oldest = r.source.tally.lag(cursor); !oldest.IsZero() {
		one.LagSeconds = max(time.Since(oldest).Seconds(), 0)
	}
	var latency state.Histogram
	if one.Counts, latency, err = e.state.Totals(ctx, state.Slice{Route: r.id}); err != nil {
		return one, err
	}
	if one.Verified, err = e.verifiedOf(ctx, r); err != nil {
		return one, err
	}
	one.LatencyP50, one.LatencyP99 = latency.Quantile(0.5).Seconds(), latency.Quantile(0.99).Seconds()
	return one, nil
}

// skewShown is for how long a route warns of a clock after it saw it the last time.
const skewShown = time.Hour

// skewWarning is what an operator should know of clocks by which the route decides conflicts; "" where there is nothing.
func skewWarning(s apply.Skewed, now time.Time) string {
	if s.Decisions == 0 || now.Sub(s.At) > skewShown {
		return ""
	}
	return fmt.Sprintf("the clock of %s is %s ahead of this machine's: its changes win against newer ones (%d conflicts were decided so; the last at %s). "+
		"Set the clocks by NTP", s.Last.System, s.Last.Ahead.Round(time.Second), s.Decisions, s.At.UTC().Format(time.RFC3339))
}

// commandTimeout is how long a route may take to take note of a command: it is between two batches at the most.
const commandTimeout = 10 * time.Second

// together gives commands to several routes at once: one that hangs takes all the time that it may, and none of the others'.
func together(ctx context.Context, commands []func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	errs := make([]error, len(commands))
	var given sync.WaitGroup
	for i, command := range commands {
		given.Go(func() { errs[i] = command(ctx) })
	}
	given.Wait()
	return errors.Join(errs...)
}

// mixedWarning says what makes the target of a route one whose rules were changed.
func mixedWarning(r *route) string {
	var commands []string
	for _, rule := range r.rules {
		for _, from := range rule.From {
			command := fmt.Sprintf("`syncline sync %s --route %s`", from, r.id)
			if from.System == r.source.system.Name && !slices.Contains(commands, command) {
				commands = append(commands, command)
			}
		}
	}
	return "the rules were changed, and the target holds records of both versions until they change or are read again: " + strings.Join(commands, ", ") +
		", or until a verification finds none: `syncline verify`"
}

func (e engine) ResumeRoute(ctx context.Context, id string) error {
	e.changing.RLock()
	defer e.changing.RUnlock()
	r := e.route(id)
	if r == nil {
		return noSuch("route_not_found", "route", id, names{e.set()}.routes())
	}
	if err := e.paused(r); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	return r.apply.Resume(ctx)
}

func (e engine) ResumeSystem(ctx context.Context, name string) error {
	e.changing.RLock()
	defer e.changing.RUnlock()
	sys := e.set().config.System(name)
	if sys == nil {
		return noSuch("system_not_found", "system", name, names{e.set()}.systems())
	}
	if src := e.source(name); src != nil {
		src.capture.Resume()
	}
	var commands []func(context.Context) error
	for _, r := range e.set().routes {
		if r.target.Name == name && r.apply.Status().Waits(time.Now()) && e.paused(r) == nil { // one that is trying at this moment takes no commands
			commands = append(commands, r.apply.Resume)
		}
	}
	return together(ctx, commands)
}

func (e engine) Syncs(ctx context.Context, after string, limit int) ([]state.RunRow, string, error) {
	return e.state.RunsPage(ctx, after, limit)
}

// StartSync asks the source for records. A route that has stopped because its cursor or its log is lost begins anew with it.
func (e engine) StartSync(ctx context.Context, req ops.SyncRequest) (string, error) {
	return e.startSync(ctx, "", req)
}

// startSync does the same under an id of the caller's, so that it can be asked for again; "" = one of its own.
func (e engine) startSync(ctx context.Context, as string, req ops.SyncRequest) (string, error) {
	e.changing.RLock()
	defer e.changing.RUnlock()
	src := e.source(req.Source)
	if src == nil || src.system.Capture.Entity(req.Entity) == nil {
		return "", noSuch("unknown_entity", "captured entity", req.Source+"/"+req.Entity, names{e.set()}.entities())
	}
	if err := checkSync(&req); err != nil {
		return "", err
	}
	if len(req.To) > 0 {
		var err error
		if req.Routes, err = e.routesTo(src, req.Entity, req.To); err != nil {
			return "", err
		}
	}
	run := syncline.Run{ID: cmp.Or(as, "sync-"+uuid.NewString()), Kind: syncline.RunFull, Entity: req.Entity, Routes: req.Routes, From: syncline.Key(req.FromKey), Where: req.Where}
	switch req.Kind {
	case "incremental", "sweep":
		if src.system.Capture.Mode != config.ModePoll || len(req.Routes) > 0 || len(req.Keys) > 0 {
			return "", syncline.Errorf(syncline.Rejected, "not_polled", "%s/%s cannot be asked for what is new: that is for all of an entity with capture mode poll",
				req.Source, req.Entity).WithFix("its changes come by themselves; `syncline sync %s/%s` reads records again", req.Source, req.Entity)
		}
		if run.Kind, run.Force = syncline.RunPoll, req.Force; req.Kind == "sweep" {
			run.Kind = syncline.RunSweep
		}
		run.ID = cmp.Or(as, req.Kind+"-"+uuid.NewString())
		return run.ID, src.capture.RequestRun(ctx, run)
	}
	for _, k := range req.Keys {
		run.Kind = syncline.RunKeys
		run.Keys = append(run.Keys, syncline.Key(k))
	}
	for _, id := range req.Routes {
		r := e.route(id)
		if r == nil || !r.reads(src, req.Entity) {
			return "", noSuch("unknown_route", fmt.Sprintf("route that reads %s/%s with the name", req.Source, req.Entity), id, names{e.set()}.reading(src, req.Entity))
		}
	}
	switch {
	case someOnly(&req):
		if err := e.checkSome(ctx, src, &req); err != nil {
			return "", err
		}
		if err := e.wholeFirst(src, &req); err != nil {
			return "", err
		}
	case run.Kind == syncline.RunFull:
		restarted, err := e.restart(ctx, src, req)
		if err != nil {
			return "", err
		}
		// A route that begins anew asks for the records of all its entities, or has them in its log.
		logOnly := src.system.Capture.Mode == config.ModePush
		if len(restarted) > 0 && (logOnly || len(restarted) == len(req.Routes)) {
			return "start-" + restarted[0], nil
		}
		run.Routes = slices.DeleteFunc(slices.Clone(req.Routes), func(id string) bool { return slices.Contains(restarted, id) })
	}
	if src.system.Capture.Mode == config.ModePush {
		return "", syncline.Errorf(syncline.Rejected, "source_cannot_read", "source %s cannot read records again", req.Source).
			WithFix("send the records again under new event ids")
	}
	row := state.RunRow{Run: run, Steering: state.Steering{Rate: req.Rate}, Estimate: e.estimate(ctx, src, &run)}
	return run.ID, src.capture.RequestSync(ctx, row)
}

// wholeFirst refuses a part of the records for a route that has lost its place: it needs all of them.
func (e engine) wholeFirst(src *source, req *ops.SyncRequest) error {
	for _, r := range e.set().routes {
		if !r.reads(src, req.Entity) || len(req.Routes) > 0 && !slices.Contains(req.Routes, r.id) {
			continue
		}
		if st := r.apply.Status(); st.State == apply.RouteNeedsSync {
			return syncline.Errorf(syncline.Rejected, "sync_partial", "route %s needs a sync of all records, and this one is of some", r.id).
				WithFix("leave out where and from_key, or name the other targets with to")
		}
	}
	return nil
}

// restart begins routes of the entity anew that have lost their place: those that need a sync, and of the others the named ones.
func (e engine) restart(ctx context.Context, src *source, req ops.SyncRequest) (restarted []string, err error) {
	for _, r := range e.set().routes {
		if !r.reads(src, req.Entity) || len(req.Routes) > 0 && !slices.Contains(req.Routes, r.id) {
			continue
		}
		st := r.apply.Status()
		halted := st.State == apply.RouteHalted && len(req.Routes) > 0
		if st.State != apply.RouteNeedsSync && !halted || !apply.Lost(st.Err) {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, commandTimeout)
		defer cancel()
		if err := r.apply.Restart(ctx); err != nil {
			return restarted, err
		}
		restarted = append(restarted, r.id)
	}
	return restarted, nil
}

func (e engine) Ready(context.Context) (bool, []string) {
	var reasons []string
	now := time.Now()
	for _, s := range e.set().sources {
		st := s.capture.Status()
		if st.State != capture.StateRunning {
			reasons = append(reasons, fmt.Sprintf("source %s is %s%s", s.system.Name, st.State, because(st.Err)))
		} else if why := e.unheardOf(s, &st, now); why != "" {
			reasons = append(reasons, why)
		}
	}
	for _, r := range e.set().routes {
		switch st := r.apply.Status(); st.State {
		case apply.RoutePaused: // a pause is what an operator wants
		case apply.RouteRunning:
			if still := e.still(r); still >= e.set().config.Health.Stalled {
				reasons = append(reasons, fmt.Sprintf("route %s is stalled: it has applied nothing for %s although events wait", r.id, still.Round(time.Second)))
			}
		default:
			reasons = append(reasons, fmt.Sprintf("route %s is %s%s", r.id, st.State, because(st.Err)))
		}
	}
	return len(reasons) == 0, reasons
}

func because(err error) string {
	if err == nil {
		return ""
	}
	return ": " + syncline.CodeOf(err)
}
