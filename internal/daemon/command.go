package daemon

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/ops"
	"syncline/internal/state"
)

func (e engine) RetryTask(ctx context.Context, id, reason string) error {
	e.changing.RLock()
	defer e.changing.RUnlock()
	err := e.command(ctx, id, func(ctx context.Context, r *route, x state.Exception) error {
		if err := e.retryable(r, &x); err != nil {
			return err
		}
		return r.apply.Retry(ctx, x)
	})
	e.note(ctx, err, "task is tried again", reason, "task", id)
	return err
}

// retryable returns why the task's route takes no retry.
func (e engine) retryable(r *route, x *state.Exception) error {
	if r == nil {
		return syncline.Errorf(syncline.Rejected, "route_unknown", "task %s is of route %s, which the configuration does not have", x.Task, x.Route).
			WithFix("bring the rule back, then retry the task; or cancel it")
	}
	return e.paused(r)
}

func (e engine) CancelTask(ctx context.Context, id, reason string) error {
	e.changing.RLock()
	defer e.changing.RUnlock()
	err := e.command(ctx, id, func(ctx context.Context, r *route, x state.Exception) error {
		if r == nil { // nobody else will
			return apply.Cancel(ctx, e.state, x, reason, time.Now())
		}
		return r.apply.Cancel(ctx, x, reason)
	})
	e.note(ctx, err, "task is cancelled", reason, "task", id)
	return err
}

func (e engine) RetryTasks(ctx context.Context, s ops.Selection, reason string) (ops.Chosen, error) {
	e.changing.RLock()
	defer e.changing.RUnlock()
	done, err := e.onTasks(ctx, s, func(ctx context.Context, _ state.Slice, r *route, chosen func(*state.Exception) bool) ([]apply.Answer, error) {
		if r == nil {
			return nil, e.retryable(nil, &state.Exception{})
		}
		if err := e.paused(r); err != nil {
			return nil, err
		}
		return r.apply.RetryAll(ctx, chosen)
	})
	e.note(ctx, err, "tasks are tried again", reason, "tasks", done.Tasks)
	return done, err
}

func (e engine) CancelTasks(ctx context.Context, s ops.Selection, reason string) (ops.Chosen, error) {
	e.changing.RLock()
	defer e.changing.RUnlock()
	done, err := e.onTasks(ctx, s, func(ctx context.Context, sl state.Slice, r *route, chosen func(*state.Exception) bool) ([]apply.Answer, error) {
		if r == nil { // nobody else will
			return apply.CancelAll(ctx, e.state, sl, chosen, reason, time.Now)
		}
		return r.apply.CancelAll(ctx, chosen, reason)
	})
	e.note(ctx, err, "tasks are cancelled", reason, "tasks", done.Tasks)
	return done, err
}

// note logs an operator's command that was carried out.
func (e engine) note(ctx context.Context, err error, what, reason string, of ...any) {
	if err == nil {
		e.log.Info(what, append(of, "reason", reason, "by", ops.CallerName(ctx))...)
	}
}

// maxResults bounds the answer to a command on several tasks.
const maxResults = 10_000

// onTasks calls do for each slice that has chosen tasks among those that wait. The route is nil where the configuration does not have it. An
// error is the answer of all chosen tasks of that slice, and does not keep the other routes from their part.
func (e engine) onTasks(ctx context.Context, s ops.Selection,
	do func(context.Context, state.Slice, *route, func(*state.Exception) bool) ([]apply.Answer, error)) (ops.Chosen, error) {
	names, err := e.ChosenRoutes(ctx, s.Choice)
	if err != nil {
		return ops.Chosen{}, err
	}
	to := make(map[string]bool, len(names))
	for _, name := range names {
		to[name] = true
	}
	chosen := s.Chooser(to)
	known, err := e.state.Routes(ctx)
	if err != nil {
		return ops.Chosen{}, err
	}
	var mu sync.Mutex
	var answers []apply.Answer
	var commands []func(context.Context) error
	for sl := range known {
		if s.Route != "" && s.Route != sl.Route {
			continue
		}
		waiting, err := e.state.Waiting(ctx, sl)
		if err != nil {
			return ops.Chosen{}, err
		}
		waiting = slices.DeleteFunc(waiting, func(x state.Exception) bool { return !chosen(&x) })
		if len(waiting) == 0 {
			continue
		}
		commands = append(commands, func(ctx context.Context) error {
			list, err := do(ctx, sl, e.route(sl.Route), chosen)
			if err != nil {
				for i := range waiting {
					list = append(list, apply.Answer{Task: waiting[i].Task, Err: err})
				}
			}
			mu.Lock()
			defer mu.Unlock()
			answers = append(answers, list...)
			return nil
		})
	}
	if err := together(ctx, commands); err != nil {
		return ops.Chosen{}, err
	}
	return e.chosen(ctx, s.IDs, answers)
}

// chosen makes the answer to a command of what the routes answered for their tasks, and says of asked tasks that did not wait what they are.
func (e engine) chosen(ctx context.Context, asked []string, answers []apply.Answer) (ops.Chosen, error) {
	answered := make(map[string]bool, len(answers))
	for i := range answers {
		answered[answers[i].Task] = true
	}
	for _, id := range asked {
		if answered[id] {
			continue
		}
		answered[id] = true
		why := syncline.Errorf(syncline.Rejected, "task_not_parked", "task %s does not wait any more, or is none of the others that were chosen", id)
		if _, err := e.state.Exception(ctx, id); errors.Is(err, state.ErrNotFound) {
			why = syncline.Errorf(syncline.Rejected, "task_not_found", "task %s is not one that ever waited", id)
		} else if err != nil {
			return ops.Chosen{}, err
		}
		answers = append(answers, apply.Answer{Task: id, Err: why})
	}
	var done ops.Chosen
	var taken []ops.TaskResult
	for _, a := range answers {
		if a.Err == nil {
			done.Tasks++
			taken = append(taken, ops.TaskResult{ID: a.Task, Taken: true})
			continue
		}
		done.Results = append(done.Results, ops.TaskResult{ID: a.Task, Code: syncline.CodeOf(a.Err), Error: a.Err.Error()})
	}
	done.Results = append(done.Results, taken...)
	done.Results = done.Results[:min(len(done.Results), maxResults)]
	return done, nil
}

// command finds the task and its route, which is nil where the configuration does not have it.
func (e engine) command(ctx context.Context, id string, do func(context.Context, *route, state.Exception) error) error {
	x, err := e.state.Exception(ctx, id)
	if errors.Is(err, state.ErrNotFound) {
		t, err := e.derived(ctx, id)
		if err == nil {
			err = syncline.Errorf(syncline.Rejected, "task_not_parked", "task %s is %s: it does not wait for anybody", id, t.Status)
		}
		return err
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	return do(ctx, e.route(x.Route), x)
}
