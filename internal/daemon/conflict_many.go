package daemon

import (
	"context"
	"encoding/json"
	"time"

	"syncline"
	"syncline/internal/ops"
	"syncline/internal/state"
)

// ResolveAll decides all open conflicts of a rule that are about one field only, and about one pair of values of it where that is asked.
// Each is decided as it was found: one whose target has changed since is not.
func (e engine) ResolveAll(ctx context.Context, m ops.ManyConflicts) ([]ops.DecidedConflict, error) {
	alike, err := e.alike(ctx, &m)
	if err == nil && len(alike) == 0 {
		_, err = e.ChosenRoutes(ctx, ops.Choice{Rule: m.Rule})
	}
	if err != nil {
		return nil, err
	}
	list := make([]ops.DecidedConflict, len(alike))
	choices := make(map[string]state.Choice, len(alike))
	values := &valueCheck{e: e}
	for i := range alike {
		c := &alike[i]
		list[i] = ops.DecidedConflict{ID: c.Task, Key: string(c.Key), Action: c.Action}
		switch err := values.check(ctx, c, m.Action, m.Values); {
		case err != nil:
			list[i].Refuse(err)
		case m.DryRun:
			list[i].Action = m.Action
		default:
			choices[c.Task] = state.Choice{Action: m.Action, Values: m.Values, Held: c.Held, By: ops.CallerName(ctx), Reason: m.Reason}
		}
	}
	if len(choices) == 0 {
		return list, nil
	}
	at := time.Now()
	refused, err := e.choose(ctx, choices)
	if err != nil {
		return nil, err
	}
	e.note(ctx, nil, "conflicts are decided", m.Reason, "rule", m.Rule, "field", m.Field, "action", m.Action, "conflicts", len(choices)-len(refused))
	wait, cancel := context.WithTimeout(ctx, decisionTimeout)
	defer cancel()
	for i := range list {
		one := &list[i]
		if _, chosen := choices[one.ID]; !chosen {
			continue
		}
		if err := refused[one.ID]; err != nil {
			one.Refuse(err)
			continue
		}
		c, err := e.outcome(ctx, wait, one.ID, at)
		if err != nil {
			one.Refuse(err)
			continue
		}
		if one.Action = c.Action; c.Choice != nil {
			one.Deciding = c.Choice.Action
		}
	}
	return list, nil
}

// alike are the open conflicts that m chooses, the oldest first and no more than ops.MaxDecided.
func (e engine) alike(ctx context.Context, m *ops.ManyConflicts) (list []state.Conflict, err error) {
	open := true
	for after := ""; ; {
		page, next, err := e.state.Conflicts(ctx, state.ConflictFilter{Open: &open, Rule: m.Rule, Field: m.Field, After: after, Limit: 1000})
		if err != nil {
			return nil, err
		}
		for i := range page {
			c := &page[i]
			if len(c.Fields) != 1 || c.Fields[0] != m.Field || !has(c.Ours, m.Field, m.Ours) || !has(c.Theirs, m.Field, m.Theirs) {
				continue
			}
			c.Base, c.Ours, c.Theirs = nil, nil, nil // ten thousand of them are not kept
			if list = append(list, *c); len(list) == ops.MaxDecided {
				return list, nil
			}
		}
		if next == "" {
			return list, nil
		}
		after = next
	}
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
