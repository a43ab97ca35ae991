package apply

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"syncline"
	"syncline/internal/state"
)

// Decided is a parked task, and what a person decided about its conflict.
type Decided struct {
	Task   state.Exception
	Choice state.Choice
}

// Resolve has what a person decided about parked conflicts carried out, and answers for each whether it will be. That is durable; whether
// the target still is what was decided on is looked at when it is carried out.
func (r *Route) Resolve(ctx context.Context, list []Decided) (answers []Answer, err error) {
	var found []Answer // written in the route's loop before it answers
	err = r.do(ctx, command{settled: true, whileRunning: func(ctx context.Context, s *Session) (err error) {
		found, err = s.Resolve(ctx, list)
		return err
	}})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// Resolve is Route.Resolve for whoever steps the session.
func (s *Session) Resolve(ctx context.Context, list []Decided) ([]Answer, error) {
	answers := make([]Answer, 0, len(list))
	for some := range slices.Chunk(list, changesAtOnce) {
		choices := make(map[string]state.Choice, len(some))
		why := make(map[string]error)
		for i := range some {
			if err := s.decidable(&some[i].Task); err != nil {
				why[some[i].Task.Task] = err
				continue
			}
			choices[some[i].Task.Task] = some[i].Choice
		}
		if len(choices) > 0 {
			refused, err := s.r.o.State.Choose(ctx, choices)
			if err != nil {
				return nil, fmt.Errorf("note the decision: %w", err)
			}
			maps.Copy(why, refused)
		}
		for i := range some {
			x := &some[i].Task
			answers = append(answers, Answer{x.Task, why[x.Task]})
			if why[x.Task] != nil {
				continue
			}
			k, _ := s.m.parking.find(x)
			s.m.decided[x.Task] = some[i].Choice
			s.m.parking.force(k)
		}
		s.m.forget()
	}
	return answers, nil
}

// decidable returns why nobody can decide about the task. A decision that the target refuses, as for a value it does not take, gives way
// to another one.
func (s *Session) decidable(x *state.Exception) error {
	k, known := s.m.parking.find(x)
	if !known {
		return s.ruleGone(x)
	}
	_, decided := s.m.decided[x.Task]
	if k == nil || k.head().Task != x.Task || k.head().Status != state.StatusConflict && !decided {
		return syncline.Errorf(syncline.Rejected, "conflict_over", "task %s is not in conflict any more", x.Task).
			WithFix("look at it again: `syncline conflicts`")
	}
	return nil
}
