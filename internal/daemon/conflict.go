package daemon

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/conflict"
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
	if err := (&valueCheck{e: e}).check(ctx, &c, d.Action, d.Values); err != nil {
		return ops.Conflict{}, err
	}
	if d.DryRun {
		return would(&c, d)
	}
	choice := state.Choice{Action: d.Action, Values: d.Values, Held: c.Held, By: ops.CallerName(ctx), Reason: d.Reason}
	at := time.Now()
	switch answers, err := e.choose(ctx, map[string]state.Choice{id: choice}); {
	case err != nil:
		return ops.Conflict{}, err
	case answers[id] != nil:
		return ops.Conflict{}, answers[id]
	}
	e.note(ctx, nil, "conflict is decided", d.Reason, "task", id, "action", d.Action)
	wait, cancel := context.WithTimeout(ctx, decisionTimeout)
	defer cancel()
	c, err = e.outcome(ctx, wait, id, at)
	return ops.ConflictOf(&c), err
}

// choose gives decisions to the routes of the conflicts, and returns why one is not taken, by task. What comes of the others is waited for
// without keeping the configuration from changing.
func (e engine) choose(ctx context.Context, choices map[string]state.Choice) (map[string]error, error) {
	e.changing.RLock()
	defer e.changing.RUnlock()
	refused := make(map[string]error)
	lists := make(map[string][]apply.Decided)
	for id, choice := range choices {
		x, err := e.state.Exception(ctx, id)
		switch {
		case errors.Is(err, state.ErrNotFound):
			refused[id] = syncline.Errorf(syncline.Rejected, "conflict_over", "task %s is not in conflict any more", id)
		case err != nil:
			return nil, err
		default:
			lists[x.Route] = append(lists[x.Route], apply.Decided{Task: x, Choice: choice})
		}
	}
	var mu sync.Mutex
	var commands []func(context.Context) error
	for id, list := range lists {
		slices.SortFunc(list, func(a, b apply.Decided) int {
			return cmp.Or(cmp.Compare(a.Task.Seq, b.Task.Seq), cmp.Compare(a.Task.Index, b.Task.Index))
		})
		commands = append(commands, func(ctx context.Context) error {
			r := e.route(id)
			err := e.retryable(r, &list[0].Task)
			var answers []apply.Answer
			if err == nil {
				answers, err = r.apply.Resolve(ctx, list)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, a := range answers {
				if a.Err != nil {
					refused[a.Task] = a.Err
				}
			}
			for i := range list {
				if err != nil {
					refused[list[i].Task.Task] = err
				}
			}
			return nil
		})
	}
	return refused, together(ctx, commands)
}

// moved is the error of a decision about something that is not so any more.
func moved(c *state.Conflict) error {
	return syncline.Errorf(syncline.Rejected, "conflict_moved", "what the target has of %s %s has changed since the decision", c.Object, c.Key).
		WithFix("look at it again: `syncline conflicts show %s`", c.Task)
}

// outcome waits until the route has carried out what was decided at that time. Where wait ends before, the conflict still says that it is
// decided.
func (e engine) outcome(ctx, wait context.Context, id string, at time.Time) (state.Conflict, error) {
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		c, err := e.state.Conflict(ctx, id)
		switch {
		case err != nil || !c.Open:
			return c, err
		case c.Choice == nil:
			return c, moved(&c)
		}
		x, err := e.state.Exception(ctx, id)
		if err != nil && !errors.Is(err, state.ErrNotFound) {
			return c, err
		}
		if err == nil && x.Updated.After(at) && (x.Status == state.StatusRetrying || x.Status == state.StatusFailed) {
			return c, syncline.Errorf(syncline.Rejected, "conflict_refused", "the target does not take what was decided of %s %s: %s: %s", c.Object, c.Key, x.Code, x.Error).
				WithFix("decide again, or correct what the target refuses and `syncline tasks retry %s`", id)
		}
		select {
		case <-look.C:
		case <-wait.Done():
			return c, nil
		}
	}
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
