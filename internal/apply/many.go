package apply

import (
	"context"
	"slices"
	"time"

	"syncline"
	"syncline/internal/state"
)

// Answer is what a command on several tasks came to for one of them; Err is why it does not take the command, nil where it does.
type Answer struct {
	Task string
	Err  error
}

// RetryAll has the parked tasks that chosen chooses tried now. That is durable: a route that ends before it comes to them tries them when
// it begins again. One that cannot succeed (see unretryable) is left as it is.
func (r *Route) RetryAll(ctx context.Context, chosen func(*state.Exception) bool) (answers []Answer, err error) {
	var found []Answer // written in the route's loop before it answers
	err = r.do(ctx, command{settled: true, whileRunning: func(ctx context.Context, s *Session) (err error) {
		found, err = s.RetryAll(ctx, chosen)
		return err
	}})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// RetryAll is Route.RetryAll for whoever steps the session.
func (s *Session) RetryAll(ctx context.Context, chosen func(*state.Exception) bool) ([]Answer, error) {
	s.m.together = true
	return changeAll(ctx, s.r.o.State, s.r.slice, s, func(tasks []state.Exception) ([]state.Exception, []Answer) {
		answers := answer(tasks, chosen, nil)
		if len(answers) == 0 {
			return nil, nil
		}
		k, known := s.m.parking.find(&tasks[0])
		var why error
		switch {
		case !known:
			why = s.ruleGone(&tasks[0])
		case k == nil:
			why = notParked(tasks[0])
		default:
			why = s.m.unretryable(k)
		}
		if why != nil {
			return nil, answer(tasks, chosen, why)
		}
		head, now := tasks[0], s.r.o.Now()
		head.Status, head.NextTry, head.Updated = state.StatusRetrying, now, now
		return []state.Exception{head}, answers
	})
}

// CancelAll gives the parked tasks up that chosen chooses; what was held behind them goes on. It needs no target.
func (r *Route) CancelAll(ctx context.Context, chosen func(*state.Exception) bool, reason string) (answers []Answer, err error) {
	var found []Answer // written in the route's loop before it answers
	err = r.do(ctx, command{
		settled: true,
		whileRunning: func(ctx context.Context, s *Session) (err error) {
			found, err = changeAll(ctx, r.o.State, r.slice, s, giveUpAll(chosen, reason, r.o.Now))
			return err
		},
		whileStopped: func(ctx context.Context) (_ bool, err error) {
			found, err = CancelAll(ctx, r.o.State, r.slice, chosen, reason, r.o.Now)
			return false, err
		},
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// CancelAll is Route.CancelAll in the state store alone: see Cancel.
func CancelAll(ctx context.Context, store State, sl state.Slice, chosen func(*state.Exception) bool, reason string, now func() time.Time) ([]Answer, error) {
	return changeAll(ctx, store, sl, nil, giveUpAll(chosen, reason, now))
}

func giveUpAll(chosen func(*state.Exception) bool, reason string, now func() time.Time) func([]state.Exception) ([]state.Exception, []Answer) {
	return func(tasks []state.Exception) ([]state.Exception, []Answer) {
		return giveUp(tasks, chosen, reason, now()), answer(tasks, chosen, nil)
	}
}

// answer gives each chosen task the same answer.
func answer(tasks []state.Exception, chosen func(*state.Exception) bool, err error) (answers []Answer) {
	for i := range tasks {
		if chosen(&tasks[i]) {
			answers = append(answers, Answer{tasks[i].Task, err})
		}
	}
	return answers
}

// taken takes over a change that is in the state store.
func (s *Session) taken(c *state.Commit) {
	s.m.parking.fold(c)
	s.m.forget()
}

// changesAtOnce bounds a transaction of the state store, which every route and source waits for.
const changesAtOnce = 1000

// changeAll commits what change makes of the tasks that wait in each slot of the slice, and returns all answers. A session, if there is
// one, takes over each commit. On an error what was committed stays so, and giving the command again does the rest.
func changeAll(ctx context.Context, store State, sl state.Slice, s *Session,
	change func([]state.Exception) (changed []state.Exception, answers []Answer)) (all []Answer, err error) {
	waiting, err := store.Waiting(ctx, sl)
	if err != nil {
		return nil, err
	}
	type ruleKey struct { // a slot, whether the route has the rule or not
		rule string
		key  syncline.Key
	}
	slots := make(map[ruleKey][]state.Exception)
	var order []ruleKey
	for _, x := range waiting {
		at := ruleKey{x.Rule, x.Key}
		if slots[at] == nil {
			order = append(order, at)
		}
		slots[at] = append(slots[at], x)
	}
	c := &state.Commit{Slice: sl}
	for i, at := range order {
		tasks := slots[at]
		if s != nil {
			if k, _ := s.m.parking.find(&tasks[0]); k != nil {
				tasks = k.tasks // with their records
			}
		}
		changed, answers := change(tasks)
		c.Update, all = append(c.Update, changed...), append(all, answers...)
		if len(c.Update) == 0 || len(c.Update) < changesAtOnce && i < len(order)-1 {
			continue
		}
		bare := *c // the records are in the store
		bare.Update = slices.Clone(c.Update)
		for j := range bare.Update {
			bare.Update[j].Record = nil
		}
		if err := store.Commit(ctx, bare); err != nil {
			return nil, err
		}
		if s != nil {
			s.taken(c)
		}
		c = &state.Commit{Slice: sl}
	}
	return all, nil
}
