package apply

import (
	"context"
	"slices"
	"time"

	"syncline"
	"syncline/internal/state"
)

// RetryAll has the parked tasks that chosen chooses tried now, and returns how many they are. That is durable: a route that ends before
// it comes to them tries them when it begins again. One that cannot succeed (see unretryable) is left as it is and not counted.
func (r *Route) RetryAll(ctx context.Context, chosen func(*state.Exception) bool) (n int, err error) {
	var found int // written in the route's loop before it answers
	err = r.do(ctx, command{settled: true, whileRunning: func(ctx context.Context, s *Session) (err error) {
		found, err = s.RetryAll(ctx, chosen)
		return err
	}})
	if err != nil {
		return 0, err
	}
	return found, nil
}

// RetryAll is Route.RetryAll for whoever steps the session.
func (s *Session) RetryAll(ctx context.Context, chosen func(*state.Exception) bool) (int, error) {
	return changeAll(ctx, s.r.o.State, s.r.slice, s.taken, func(tasks []state.Exception) ([]state.Exception, int) {
		n := number(tasks, chosen)
		k, _ := s.m.parking.find(&tasks[0])
		if n == 0 || k == nil || s.m.unretryable(k) != nil {
			return nil, 0
		}
		head, now := tasks[0], s.r.o.Now()
		head.Status, head.NextTry, head.Updated = state.StatusRetrying, now, now
		return []state.Exception{head}, n
	})
}

// CancelAll gives the parked tasks up that chosen chooses, and returns how many they are; what was held behind them goes on. It needs
// no target.
func (r *Route) CancelAll(ctx context.Context, chosen func(*state.Exception) bool, reason string) (n int, err error) {
	var found int // written in the route's loop before it answers
	err = r.do(ctx, command{
		settled: true,
		whileRunning: func(ctx context.Context, s *Session) (err error) {
			found, err = changeAll(ctx, r.o.State, r.slice, s.taken, giveUpAll(chosen, reason, r.o.Now))
			return err
		},
		whileStopped: func(ctx context.Context) (_ bool, err error) {
			found, err = CancelAll(ctx, r.o.State, r.slice, chosen, reason, r.o.Now)
			return false, err
		},
	})
	if err != nil {
		return 0, err
	}
	return found, nil
}

// CancelAll is Route.CancelAll in the state store alone: see Cancel.
func CancelAll(ctx context.Context, store State, sl state.Slice, chosen func(*state.Exception) bool, reason string, now func() time.Time) (int, error) {
	return changeAll(ctx, store, sl, func(*state.Commit) {}, giveUpAll(chosen, reason, now))
}

func giveUpAll(chosen func(*state.Exception) bool, reason string, now func() time.Time) func([]state.Exception) ([]state.Exception, int) {
	return func(tasks []state.Exception) ([]state.Exception, int) {
		return giveUp(tasks, chosen, reason, now()), number(tasks, chosen)
	}
}

func number(tasks []state.Exception, chosen func(*state.Exception) bool) (n int) {
	for i := range tasks {
		if chosen(&tasks[i]) {
			n++
		}
	}
	return n
}

// taken takes over a change that is in the state store.
func (s *Session) taken(c *state.Commit) {
	s.m.parking.fold(c)
	s.m.forget()
}

// changesAtOnce bounds a transaction of the state store, which every route and source waits for.
const changesAtOnce = 1000

// changeAll commits what change makes of the tasks that wait in each slot of the slice, and returns the sum of its numbers. After each
// commit it calls done, whose tasks have their records. On an error what was committed stays so, and giving the command again does the rest.
func changeAll(ctx context.Context, store State, sl state.Slice, done func(*state.Commit),
	change func([]state.Exception) (changed []state.Exception, n int)) (total int, err error) {
	pending, err := store.Pending(ctx, sl)
	if err != nil {
		return 0, err
	}
	type ruleKey struct { // a slot, whether the route has the rule or not
		rule string
		key  syncline.Key
	}
	slots := make(map[ruleKey][]state.Exception)
	var order []ruleKey
	for _, x := range pending {
		at := ruleKey{x.Rule, x.Key}
		if slots[at] == nil {
			order = append(order, at)
		}
		slots[at] = append(slots[at], x)
	}
	c := &state.Commit{Slice: sl}
	for i, at := range order {
		changed, n := change(slots[at])
		c.Update, total = append(c.Update, changed...), total+n
		if len(c.Update) == 0 || len(c.Update) < changesAtOnce && i < len(order)-1 {
			continue
		}
		bare := *c // the records are in the store
		bare.Update = slices.Clone(c.Update)
		for j := range bare.Update {
			bare.Update[j].Record = nil
		}
		if err := store.Commit(ctx, bare); err != nil {
			return 0, err
		}
		done(c)
		c = &state.Commit{Slice: sl}
	}
	return total, nil
}
