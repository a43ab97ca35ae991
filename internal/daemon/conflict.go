package daemon

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"

	"syncline"
	"syncline/internal/conflict"
	"syncline/internal/document"
	"syncline/internal/ops"
	"syncline/internal/state"
)

// decisionTimeout is how long the answer to a decision waits until its route has carried it out.
const decisionTimeout = 10 * time.Second

// Resolve has a person's decision about a conflict carried out, and returns the conflict as it is then.
func (e engine) Resolve(ctx context.Context, id string, d ops.Decision) (ops.Conflict, error) {
	c, err := e.state.Conflict(ctx, id)
	if err != nil {
		return ops.Conflict{}, err
	}
	switch {
	case !c.Open:
		return ops.Conflict{}, syncline.Errorf(syncline.Rejected, "conflict_over", "the conflict of task %s is decided: %s", id, c.Action).
			WithFix("`syncline conflicts` lists those that wait")
	case d.State != "" && d.State != hex.EncodeToString(c.Held):
		return ops.Conflict{}, moved(&c)
	case d.Action == "leave":
		return ops.ConflictOf(&c), nil
	}
	if err := e.checkValues(ctx, &c, &d); err != nil {
		return ops.Conflict{}, err
	}
	if d.DryRun {
		return would(&c, d)
	}
	choice := state.Choice{Action: d.Action, Values: d.Values, Held: c.Held, By: ops.CallerName(ctx), Reason: d.Reason}
	if err := e.choose(ctx, id, choice); err != nil {
		return ops.Conflict{}, err
	}
	e.note(ctx, nil, "conflict is decided", d.Reason, "task", id, "action", d.Action)
	return e.decided(ctx, c)
}

// choose gives the decision to the conflict's route. What comes of it is waited for without keeping the configuration from changing.
func (e engine) choose(ctx context.Context, id string, choice state.Choice) error {
	e.changing.RLock()
	defer e.changing.RUnlock()
	return e.command(ctx, id, func(ctx context.Context, r *route, x state.Exception) error {
		if err := e.retryable(r, &x); err != nil {
			return err
		}
		return r.apply.Resolve(ctx, x, choice)
	})
}

// moved is the error of a decision about something that is not so any more.
func moved(c *state.Conflict) error {
	return syncline.Errorf(syncline.Rejected, "conflict_moved", "what the target has of %s %s has changed since the decision", c.Object, c.Key).
		WithFix("look at it again: `syncline conflicts show %s`", c.Task)
}

// decided waits until the route has carried the decision out. Where that takes too long, the conflict still says that it is decided.
func (e engine) decided(ctx context.Context, last state.Conflict) (ops.Conflict, error) {
	ctx, cancel := context.WithTimeout(ctx, decisionTimeout)
	defer cancel()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		c, err := e.state.Conflict(ctx, last.Task)
		switch {
		case err != nil && ctx.Err() != nil:
			return ops.ConflictOf(&last), nil
		case err != nil:
			return ops.Conflict{}, err
		case c.Open && c.Choice == nil:
			return ops.ConflictOf(&c), moved(&c)
		case !c.Open:
			return ops.ConflictOf(&c), nil
		}
		last = c
		select {
		case <-look.C:
		case <-ctx.Done():
			return ops.ConflictOf(&last), nil
		}
	}
}

// checkValues checks the values of a merge against what the rule makes, as the target was last made to fit it.
func (e engine) checkValues(ctx context.Context, c *state.Conflict, d *ops.Decision) error {
	invalid := func(format string, args ...any) error {
		return syncline.Errorf(syncline.Rejected, "conflict_values", format, args...)
	}
	if d.Action != string(conflict.Merged) {
		if d.Values != nil {
			return invalid("only a merge has values")
		}
		return nil
	}
	var values map[string]json.RawMessage
	if err := json.Unmarshal(d.Values, &values); err != nil || len(values) == 0 {
		return invalid("a merge needs values: a JSON object of the fields to write")
	}
	schemas, err := e.state.Schemas(ctx, c.Slice)
	if err != nil {
		return err
	}
	known, ok := schemas[c.Rule]
	if !ok {
		return invalid("rule %s has not written to its target yet", c.Rule)
	}
	for name, raw := range values {
		i := known.Made.Index(name)
		switch {
		case i < 0:
			return invalid("%s has no field %s", c.Object, name)
		case slices.Contains(known.Made.Key, i):
			return invalid("%s is part of the key, which both sides have in common", name)
		}
		v, err := document.ParseValue(&known.Made.Columns[i], raw)
		if err == nil {
			err = fits(&known.Made.Columns[i], syncline.Unset, v)
		}
		if err != nil {
			return invalid("field %s: %w", name, err)
		}
	}
	return nil
}

// would tells what the target would have.
func would(c *state.Conflict, d ops.Decision) (ops.Conflict, error) {
	out := ops.ConflictOf(c)
	out.Action = d.Action
	switch d.Action {
	case string(conflict.Overwrite):
		out.Result = c.Ours
	case string(conflict.Skip):
		out.Result = c.Theirs
	default:
		result := map[string]json.RawMessage{}
		base := c.Theirs
		if base == nil {
			base = c.Ours
		}
		for _, doc := range []json.RawMessage{base, d.Values} {
			if doc != nil {
				if err := json.Unmarshal(doc, &result); err != nil {
					return out, err
				}
			}
		}
		text, err := json.Marshal(result)
		if err != nil {
			return out, err
		}
		out.Result = text
	}
	return out, nil
}

// ResolveAll decides all open conflicts of a rule that are about one field only, and about one pair of values of it where that is asked.
func (e engine) ResolveAll(ctx context.Context, m ops.ManyConflicts) ([]ops.DecidedConflict, error) {
	open := true
	var list []ops.DecidedConflict
	for after := ""; ; {
		page, next, err := e.state.Conflicts(ctx, state.ConflictFilter{Open: &open, Rule: m.Rule, Field: m.Field, After: after, Limit: 1000})
		if err != nil {
			return list, err
		}
		for i := range page {
			c := &page[i]
			if len(c.Fields) != 1 || c.Fields[0] != m.Field || !has(c.Ours, m.Field, m.Ours) || !has(c.Theirs, m.Field, m.Theirs) {
				continue
			}
			one := ops.DecidedConflict{ID: c.Task, Key: string(c.Key)}
			if !m.DryRun {
				choice := state.Choice{Action: m.Action, Held: c.Held, By: ops.CallerName(ctx), Reason: m.Reason}
				if err := e.choose(ctx, c.Task, choice); err != nil {
					one.Code, one.Error = syncline.CodeOf(err), err.Error()
				}
			}
			if list = append(list, one); len(list) == maxResults {
				return list, nil
			}
		}
		if next == "" {
			break
		}
		after = next
	}
	if !m.DryRun {
		e.note(ctx, nil, "conflicts are decided", m.Reason, "rule", m.Rule, "field", m.Field, "action", m.Action, "conflicts", len(list))
	}
	return list, nil
}

// has reports whether a record has this value of a field; nil = any.
func has(record json.RawMessage, field string, want json.RawMessage) bool {
	if want == nil {
		return true
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(record, &fields) != nil {
		return false
	}
	return syncline.Equal(syncline.JSON(fields[field]), syncline.JSON(want))
}
