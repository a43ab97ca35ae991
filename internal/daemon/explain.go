package daemon

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/config"
	"syncline/internal/ops"
	"syncline/internal/state"
	"syncline/internal/transform"
	"syncline/internal/trial"
)

// Explain tells what became of one record: its events, what each rule makes of them, and what the targets hold. Of a draft nothing is
// known but what its rules make, and its targets are not opened.
func (e engine) Explain(ctx context.Context, q ops.ExplainDraft) (ops.Explanation, error) {
	x := ops.Explanation{Events: []ops.KeyEvent{}, Rules: []ops.ExplainedRule{}}
	c, draft := e.set().config, len(q.Files) > 0
	if draft {
		var err error
		if c, err = e.readDraft(ctx, filesOf(q.Files)); err != nil {
			return x, err
		}
	}
	x.Source, x.Entity, _ = strings.Cut(q.Entity, "/")
	src := e.source(x.Source)
	if src == nil || src.system.Capture.Entity(x.Entity) == nil {
		return x, noSuch("unknown_entity", "captured entity", q.Entity, names{e.set()}.entities())
	}
	key, err := canonicalKey(x.Entity, q.Key)
	if err != nil {
		return x, err
	}
	var since time.Time
	if q.Since != "" {
		back, err := time.ParseDuration(q.Since)
		if err != nil || back <= 0 {
			return x, syncline.Errorf(syncline.Rejected, "request_invalid", "since is not a duration").WithFix("as in 30m or 24h")
		}
		since = time.Now().Add(-back)
	}
	if q.Limit <= 0 {
		q.Limit = 20
	}
	x.Key = string(key)
	var events []occurrence
	if events, x.Looked, x.More, err = e.history(ctx, src.log, x.Entity, key, since, q.Limit); err != nil {
		return x, err
	}
	for i := range events {
		x.Events = append(x.Events, events[i].shown())
	}
	for _, rt := range routesOf(c) {
		if rt.source.system.Name != x.Source {
			continue
		}
		list, err := e.explainRoute(ctx, c, rt, &x, events, draft)
		if err != nil {
			return x, err
		}
		x.Rules = append(x.Rules, list...)
	}
	for _, r := range c.Rules {
		if !r.Enabled && slices.Contains(r.From, config.Ref{System: x.Source, Name: x.Entity}) {
			x.Rules = append(x.Rules, ops.ExplainedRule{Rule: r.ID, Route: r.Route(x.Source), Target: r.To.String(), State: ops.RouteDisabled,
				Events: []ops.RuleEvent{}, Records: []ops.HeldRecord{}})
		}
	}
	return x, nil
}

// canonicalKey is the key as events have it, however its parts were encoded.
func canonicalKey(entity, key string) (syncline.Key, error) {
	parts, err := syncline.Key(key).Parts()
	if err != nil {
		return "", syncline.Errorf(syncline.Rejected, "bad_key", "the key for %s: %w", entity, err).WithFix("write a percent sign as %%25")
	}
	values := make([]syncline.Value, len(parts))
	for i, p := range parts {
		if values[i] = syncline.Text(p); p == "\x00" {
			values[i] = syncline.Null
		}
	}
	return syncline.MakeKey(values...), nil
}

func (o *occurrence) shown() ops.KeyEvent {
	k := ops.KeyEvent{Seq: uint64(o.seq), Index: o.index, Appended: o.appended, Moved: string(o.moved), Record: ops.EventOf(o.batch, 0)}
	if c := o.batch.Chunk; c != nil {
		k.Run, k.Routes = c.Run, c.Routes
	}
	return k
}

// explainRoute tells of the rules of a route that read the entity. The route is one that was made for that: it has nothing in common with
// the one at work but its configuration.
func (e engine) explainRoute(ctx context.Context, c *config.Config, rt *route, x *ops.Explanation, events []occurrence, draft bool) ([]ops.ExplainedRule, error) {
	parts, err := rt.compile()
	defer rt.outside.Close() //nolint:errcheck // what was asked is answered
	if err != nil {
		return nil, err
	}
	var list []ops.ExplainedRule
	for i := range parts {
		rule := &parts[i]
		if rule.Entity != x.Entity {
			continue
		}
		one := ops.ExplainedRule{Rule: rule.ID, Route: rt.id, Target: rt.target.Name + "/" + rule.Object, State: "draft", Events: []ops.RuleEvent{},
			Records: []ops.HeldRecord{}}
		at := slices.IndexFunc(rt.rules, func(r *config.Rule) bool { return ops.OfRule(r.ID, rule.ID) })
		mine := slices.DeleteFunc(slices.Clone(events), func(o occurrence) bool { return !rt.concerned(o.batch) })
		if !draft {
			if err := e.putEdits(ctx, rule.ID, mine); err != nil {
				return nil, err
			}
		}
		works := e.route(rt.id)
		if !draft && works != nil {
			st := works.apply.Status()
			if one.State, one.Error = string(st.State), fault(st.Err); st.State == apply.RouteStopped {
				one.State = ops.RouteHalted
			}
		}
		if err := e.explainEvents(ctx, &one, c, rule, rt.rules[at], mine, draft, !rt.events); err != nil {
			return nil, err
		}
		if rt.rules[at].Between != nil {
			e.explainSides(ctx, &one, rt.rules[at], works, x, draft)
		} else {
			e.explainTarget(ctx, &one, rt, works, rule, mine, draft)
		}
		list = append(list, one)
	}
	return list, nil
}

// putEdits puts records that a person has corrected for the rule in the place of those that came: they are what its target was given.
func (e engine) putEdits(ctx context.Context, rule string, events []occurrence) error {
	for i := range events {
		o := &events[i]
		x, err := e.state.Exception(ctx, apply.TaskID(rule, o.batch.Source, o.seq, o.index))
		switch {
		case errors.Is(err, state.ErrNotFound):
			continue
		case err != nil:
			return err
		case x.Edit == nil:
			continue
		}
		if o.batch, err = syncline.DecodeBatch(x.Record); err != nil {
			return err
		}
	}
	return nil
}

// explainEvents tries the rule on each event, and tells what became of it; holds says that the target holds records.
func (e engine) explainEvents(ctx context.Context, one *ops.ExplainedRule, c *config.Config, rule *apply.Rule, of *config.Rule, events []occurrence, draft, holds bool) error {
	var t trial.Rule
	if of.Between == nil {
		var done func() error
		var err error
		if t, done, err = Trial(c, of, of.From[slices.IndexFunc(of.From, func(f config.Ref) bool { return f.Name == rule.Entity })]); err != nil {
			return err
		}
		defer done() //nolint:errcheck // what was asked is answered
	}
	for i := range events {
		o := &events[i]
		ev := o.event()
		r := ops.RuleEvent{Seq: uint64(o.seq), Index: o.index, Does: does(rule, ev)}
		switch {
		case of.Between != nil:
		case ev.Op == syncline.OpTruncated:
			r.Note = "every record of the entity is removed"
		case ev.Stub > 0:
			r.Note = "the record was too large for the log: it is read from the source"
		case r.Does == "writes":
			out, err := trial.On(ctx, t, transform.At{Batch: o.batch})
			if err != nil {
				r.Note = err.Error()
				break
			}
			view := out.View()
			r.Trial = &view
			if out.Err == nil && len(out.Records) == 0 {
				r.Does = leaves(rule, ev, out, holds)
			}
		}
		if !draft {
			id := apply.TaskID(rule.ID, o.batch.Source, o.seq, o.index)
			if task, err := e.Task(ctx, id); err == nil {
				if task.Edit != nil && r.Note == "" {
					r.Note = "tried with the record as " + task.Edit.By + " corrected it: " + task.Edit.Reason
				}
				task.Record, task.Original = nil, nil
				r.Task = &task
			} else if ctx.Err() != nil {
				return err
			} else if r.Note == "" {
				r.Note = err.Error()
			}
			if c, err := e.state.Conflict(ctx, id); err == nil {
				shown := ops.ConflictOf(&c)
				r.Conflict = &shown
			}
		}
		one.Events = append(one.Events, r)
	}
	return nil
}

// leaves names what becomes of a record that the rule does not want, and that may be at a target that holds records from before.
func leaves(rule *apply.Rule, ev *syncline.Event, out *trial.Outcome, holds bool) string {
	failed := func(of func(trial.Check) bool) bool {
		return slices.ContainsFunc(out.Checks, func(c trial.Check) bool { return !c.Holds && of(c) })
	}
	ignored := failed(func(c trial.Check) bool { return c.Event }) ||
		failed(func(c trial.Check) bool { return c.Changed }) && !failed(func(c trial.Check) bool { return !c.Changed })
	switch {
	case !holds, ignored, ev.Op == syncline.OpCreated, rule.Left == apply.ActionIgnore:
		return "nothing"
	case rule.Left == apply.ActionSoft:
		return "keeps"
	}
	return "removes"
}

// does names what such an event does to a record.
func does(rule *apply.Rule, ev *syncline.Event) string {
	if ev.Op == syncline.OpTruncated {
		return "removes"
	}
	switch rule.Action(ev) {
	case apply.ActionHard:
		return "removes"
	case apply.ActionSoft:
		return "keeps"
	case apply.ActionIgnore:
		return "nothing"
	}
	return "writes"
}

// explainTarget tells what the target should hold, and what it holds.
func (e engine) explainTarget(ctx context.Context, one *ops.ExplainedRule, rt, works *route, rule *apply.Rule, events []occurrence, draft bool) {
	if rt.events {
		one.Note = "the target takes events and holds nothing that could be read"
		return
	}
	w := wished(ctx, fit(rule), events)
	if w == nil {
		one.Note = "no event that was looked at says what the target should hold"
		return
	}
	unknown := func(why string) {
		for _, row := range slices.Concat(w.rows, w.keys) {
			r := compareHeld(&wish{by: w.by, schema: w.schema, rows: []syncline.Row{row}}, [][]syncline.Value{nil})[0]
			if len(w.rows) == 0 {
				r.Wanted = nil
			}
			r.State, r.Note = "unknown", why
			one.Records = append(one.Records, r)
		}
	}
	switch {
	case w.unknown != "":
		one.Records = append(one.Records, ops.HeldRecord{Seq: uint64(w.by.seq), Index: w.by.index, State: "unknown", Note: w.unknown})
	case draft:
		unknown("the rule is not deployed: its target is not read")
	case works == nil:
		unknown("the route does not work")
	default:
		got, err := works.holds(ctx, rule.Object, []*wish{w})
		if err != nil {
			unknown(err.Error())
			return
		}
		one.Records = append(one.Records, compareHeld(w, got[0])...)
		if rt.decides {
			one.Note = "the rule has a conflict section: what the target should hold may have been decided otherwise"
		}
	}
}

// holds opens the route's target once more, beside the one that the route writes to, and asks it.
func (r *route) holds(ctx context.Context, object string, wishes []*wish) ([][][]syncline.Value, error) {
	ctx, cancel := context.WithTimeout(ctx, holdingTime)
	defer cancel()
	target, err := r.open(ctx)
	if err != nil {
		return nil, err
	}
	defer target.Close() //nolint:errcheck // it was only read
	readable, ok := target.(syncline.Current)
	if !ok {
		return nil, syncline.Errorf(syncline.Rejected, "target_unreadable", "what %s holds cannot be read", r.target.Name)
	}
	return held(ctx, readable, object, wishes)
}
