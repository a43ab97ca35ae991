package apply

import (
	"bytes"
	"context"
	"slices"

	"syncline"
	"syncline/internal/state"
)

// Edit gives a parked task another record, made of the one that x has, and has it tried in its turn. Both are durable. The key is the
// same, at the source and at the target.
func (r *Route) Edit(ctx context.Context, x state.Exception, record []byte, e state.Edit) error {
	return r.do(ctx, command{settled: true, whileRunning: func(ctx context.Context, s *Session) error { return s.Edit(ctx, x, record, e) }})
}

// Edit is Route.Edit for whoever steps the session.
func (s *Session) Edit(ctx context.Context, x state.Exception, record []byte, e state.Edit) error {
	k, known := s.m.parking.find(&x)
	if !known {
		return s.ruleGone(&x)
	}
	if k == nil {
		return notParked(x)
	}
	i := slices.IndexFunc(k.tasks, func(t state.Exception) bool { return t.Task == x.Task })
	if i < 0 {
		return notParked(x)
	}
	if !bytes.Equal(k.tasks[i].Record, x.Record) {
		return syncline.Errorf(syncline.Rejected, "task_changed", "the record of task %s has changed since it was read", x.Task).
			WithFix("look at it again, then edit it")
	}
	if err := s.r.o.State.EditTask(ctx, s.r.slice, x.Task, record, e); err != nil {
		return err
	}
	t := k.tasks[i]
	t.Record, t.Edit, t.Updated = record, &e, s.r.o.Now()
	if i == 0 { // else it waits for those before it
		t.Status, t.NextTry = state.StatusRetrying, t.Updated
	}
	c := &state.Commit{Slice: s.r.slice, Update: []state.Exception{t}}
	if err := s.r.o.State.Commit(ctx, *c); err != nil {
		return err
	}
	s.taken(c)
	return nil
}
