package daemon

import (
	"context"
	"errors"
	"slices"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/config"
	"syncline/internal/ops"
	"syncline/internal/state"
)

// Task returns a stored task, or what the journal and the log tell of one that is simply done, or not done yet.
func (e engine) Task(ctx context.Context, id string) (ops.Task, error) {
	x, err := e.state.Exception(ctx, id)
	if errors.Is(err, state.ErrNotFound) {
		return e.derived(ctx, id)
	}
	if err != nil {
		return ops.Task{}, err
	}
	t, err := e.shownTask(&x)
	if err != nil {
		return t, err
	}
	if x.Pending() {
		if t.Behind, err = e.state.Behind(ctx, &x); err != nil {
			return t, err
		}
	}
	if x.Edit != nil {
		original, err := e.state.Original(ctx, id)
		if err != nil {
			return t, err
		}
		t.Original, err = ops.RecordOf(original)
		return t, err
	}
	return t, nil
}

// shownTask is the stored task with what only the running route knows of it.
func (e engine) shownTask(x *state.Exception) (ops.Task, error) {
	t, err := ops.TaskOf(x)
	r := e.route(x.Route)
	if r == nil {
		return t, err
	}
	t.Target = r.target.Name
	if hand := r.apply.Status().InHand; slices.Contains(hand.Retries, x.Task) {
		t.Status, t.Reason, t.Started = state.TaskExecuting, "", &hand.Start
	}
	return t, err
}

// Tasks lists stored tasks first, then those that are derived, where the query asks for any.
func (e engine) Tasks(ctx context.Context, q ops.TaskQuery) ([]ops.Task, string, error) {
	routes, err := e.ChosenRoutes(ctx, q.Choice)
	if err != nil {
		return nil, "", err
	}
	at, isDerived, err := parseDerivedCursor(q.After)
	if err != nil {
		return nil, "", err
	}
	derives := asksForDerived(&q)
	if isDerived {
		return e.listDerived(ctx, &q, at)
	}
	f := state.Filter{Status: q.Status, Reason: q.Why, Route: q.Route, Rule: q.Rule, Source: q.Source, Entity: q.Entity, Key: q.Key,
		Code: q.Code, Class: q.Class, From: q.From, To: q.To, After: q.After, Limit: q.Limit, Routes: routes}
	found, next, err := e.state.Exceptions(ctx, f)
	if err != nil {
		return nil, "", err
	}
	list := make([]ops.Task, len(found))
	for i := range found {
		if list[i], err = e.shownTask(&found[i]); err != nil {
			return nil, "", err
		}
	}
	if next != "" || !derives {
		return list, next, nil
	}
	if len(list) > 0 {
		return list, derivedCursor{}.String(), nil
	}
	return e.listDerived(ctx, &q, derivedCursor{})
}

// asksForDerived reports whether a task without a row of its own can be of the query: it has no error, and is not parked.
func asksForDerived(q *ops.TaskQuery) bool {
	if q.Code != "" || q.Class != "" {
		return false
	}
	switch q.Status {
	case state.TaskCompleted:
		return true
	case state.TaskPending, state.TaskExecuting:
		return q.Why == ""
	}
	return false
}

// ChosenRoutes checks the names of a choice, and returns the routes to its target; nil = it names none. A name that is not of the
// configuration is still one where tasks of it are stored.
func (e engine) ChosenRoutes(ctx context.Context, c ops.Choice) (routes []string, err error) {
	set := e.set()
	have := names{set}
	has := func(code, what, name string, f state.Filter, known bool, list []string) error {
		if name == "" || known {
			return nil
		}
		for _, f.Status = range []state.TaskStatus{"", state.TaskCompleted} {
			f.Limit = 1
			if found, _, err := e.state.Exceptions(ctx, f); err != nil || len(found) > 0 {
				return err
			}
		}
		return noSuch(code, what, name, list)
	}
	rules := set.config.Rules
	disabled := slices.ContainsFunc(rules, func(r *config.Rule) bool { return !r.Enabled && r.ID == c.Route })
	captures := func(s *source) bool { return s.system.Capture.Entity(c.Entity) != nil }
	err = errors.Join(
		has("route_not_found", "route", c.Route, state.Filter{Route: c.Route}, set.route(c.Route) != nil || disabled, have.routes()),
		has("rule_not_found", "rule", c.Rule, state.Filter{Rule: c.Rule}, slices.ContainsFunc(rules, func(r *config.Rule) bool { return ops.OfRule(r.ID, c.Rule) }), have.rules()),
		has("system_not_found", "source", c.Source, state.Filter{Source: c.Source}, set.source(c.Source) != nil, have.sources()),
		has("unknown_entity", "entity", c.Entity, state.Filter{Entity: c.Entity}, slices.ContainsFunc(set.sources, captures), have.entities()))
	if err != nil || c.Target == "" {
		return nil, err
	}
	routes = []string{}
	for _, r := range set.routes {
		if r.target.Name == c.Target {
			routes = append(routes, r.id)
		}
	}
	if len(routes) == 0 && set.config.System(c.Target) == nil {
		return nil, noSuch("system_not_found", "target", c.Target, have.targets())
	}
	return routes, nil
}

func (e engine) SourceOf(route string) string {
	if r := e.route(route); r != nil {
		return r.source.system.Name
	}
	return ""
}

func (e engine) TaskEvents(ctx context.Context, f state.EventFilter, after int64, limit int) ([]state.TaskEvent, error) {
	return e.state.TaskEvents(ctx, f, after, limit)
}

func (e engine) TaskEventBounds(ctx context.Context) (first, last int64, err error) {
	return e.state.TaskEventBounds(ctx)
}

func (e engine) WatchTasks() (*state.Watch, func()) { return e.state.Watch() }

// derived tells of a task that has no row of its own, from its id.
func (e engine) derived(ctx context.Context, id string) (ops.Task, error) {
	rule, source, seq, index, ok := apply.ParseTaskID(id)
	absent := func(format string, args ...any) error {
		e := syncline.Errorf(syncline.Rejected, "task_not_found", "there is no task %s: "+format, append([]any{id}, args...)...)
		e.Err = state.ErrNotFound
		return e.WithFix("take an id from `syncline tasks`; what became of one record: `syncline explain SYSTEM/ENTITY/KEY`")
	}
	if !ok {
		return ops.Task{}, absent("an id is RULE:SOURCE:SEQUENCE.INDEX, as in customer:crm:42.0")
	}
	src := e.source(source)
	if src == nil {
		return ops.Task{}, absent("there is no source %s", source)
	}
	r, one := e.set().ruleOf(rule, src)
	if r == nil {
		return ops.Task{}, absent("no route of %s has a rule %s", source, rule)
	}
	bounds, err := src.log.Bounds(ctx)
	switch {
	case err != nil:
		return ops.Task{}, err
	case seq > bounds.Last:
		return ops.Task{}, absent("the log ends at %d", bounds.Last)
	case seq < bounds.First:
		purged := syncline.Errorf(syncline.Rejected, "task_purged", "task %s is not known any more: the log of %s begins at %d by now", id, source, bounds.First)
		purged.Err = state.ErrNotFound
		return ops.Task{}, purged.WithFix("what the target holds of a record: `syncline explain SYSTEM/ENTITY/KEY`; log.retain says how long the log reaches back")
	}
	w, err := r.logFrom(ctx, seq)
	if err != nil {
		return ops.Task{}, err
	}
	defer w.Close() //nolint:errcheck // it holds nothing that could be lost
	entry, batch, err := w.next(ctx)
	if err != nil {
		return ops.Task{}, err
	}
	if index >= len(batch.Events) || batch.Events[index].Schema.Entity != one.Entity || !r.concerned(batch) {
		return ops.Task{}, absent("the event that stands there is none of the rule's")
	}
	t := r.taskOf(spot{entry.Seq, index}, batch, one)
	t.Record = ops.EventOf(batch, index)
	t.Created, t.Updated = entry.Time, entry.Time
	known, err := e.settle(ctx, r, &t)
	if err == nil && !known {
		err = absent("its route began after it, or gave it up")
	}
	return t, err
}

// settle finds out how a task is that has no row. It reports false for one that its route has passed without reading it.
func (e engine) settle(ctx context.Context, r *route, t *ops.Task) (bool, error) {
	at := syncline.Cursor{Seq: syncline.Seq(t.Seq), Index: t.Index}
	st := r.apply.Status()
	t.Status = state.TaskPending
	if inHand(st.InHand, at) {
		t.Status, t.Started, t.Attempts = state.TaskExecuting, &st.InHand.Start, 1
		return true, nil
	}
	sl := state.Slice{Route: r.id}
	j, ok, err := e.state.JournalOver(ctx, sl, at.Seq, at.Index)
	if err != nil {
		return false, err
	}
	if ok {
		tasks, err := r.tasksIn(ctx, j)
		for i := range tasks {
			if one := &tasks[i]; one.seq == at.Seq && one.index == at.Index && one.rule.ID == t.Rule {
				complete(t, j, one)
				return true, err
			}
		}
		return false, err
	}
	early, err := e.early(ctx, sl)
	if err != nil {
		return false, err
	}
	if outcome, ok := early[earlyTask{spot{at.Seq, at.Index}, t.Rule}]; ok {
		t.Status, t.Reason = outcome.Public()
		t.Attempts = 1
		return true, nil
	}
	known, err := e.state.Route(ctx, sl)
	return known.Cursor.Seq < at.Seq || known.Cursor.Seq == at.Seq && known.Cursor.Index <= at.Index, err
}

// earlyTask is a task that was done before its turn.
type earlyTask struct {
	spot
	rule string
}

// early returns what the slice has done before its turn: urgent events, which the journal counts later.
func (e engine) early(ctx context.Context, sl state.Slice) (map[earlyTask]state.Outcome, error) {
	list, err := e.state.Ahead(ctx, sl)
	done := make(map[earlyTask]state.Outcome, len(list))
	for i := range list {
		a := &list[i]
		done[earlyTask{spot{a.Seq, a.Index}, a.Rule}] = a.Outcome
	}
	return done, err
}

func inHand(hand apply.InHand, at syncline.Cursor) bool {
	if hand.Start.IsZero() || len(hand.Retries) > 0 {
		return false
	}
	before := func(a, b syncline.Cursor) bool { return a.Seq < b.Seq || a.Seq == b.Seq && a.Index < b.Index }
	return !before(at, hand.From) && before(at, hand.To)
}

// ruleOf returns the source's route that has the rule, or the part of it for one entity.
func (s *set) ruleOf(rule string, src *source) (*route, *apply.Rule) {
	for _, r := range s.routes {
		if r.source.stream != src.stream {
			continue
		}
		for i := range r.compiled {
			if r.compiled[i].ID == rule {
				return r, &r.compiled[i]
			}
		}
	}
	return nil, nil
}
