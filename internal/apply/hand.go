package apply

import (
	"context"
	"errors"
	"fmt"
	"time"

	"syncline"
	"syncline/internal/failpoint"
	"syncline/internal/state"
)

// The batch in hand: what is given to the target, and what its answer means.

// applied is what came of applying a plan.
type applied struct {
	plan   *plan
	commit *state.Commit
	start  time.Time
	err    error
}

// apply writes the plan to the target, and its journal row to the state store before the target commits. It touches nothing of
// the machine that changes meanwhile.
func (s *Session) apply(ctx context.Context, p *plan) applied {
	done := applied{plan: p, start: s.r.o.Now()}
	w := &syncline.Write{Changes: p.changes, Ordered: p.ordered, Cursor: p.to}
	var d *decider
	if s.m.decides {
		d = s.m.decider(p)
		w.Decide, w.Recalls = d.decide, true
	}
	judge, judges := s.target.(Judge)
	if judges && d != nil {
		w.Decide = nil
		judge.Choose(d.choices())
	}
	w.Commit = func(ctx context.Context, res syncline.Result) error {
		if judges && d != nil {
			d.foundBy(judge, &res)
		}
		done.commit = s.m.settle(p, res, d, done.start, s.r.o.Now())
		done.commit.Settled = s.reached
		failpoint.Hit("apply.journal.before")
		err := s.r.o.State.Commit(ctx, *done.commit)
		failpoint.Hit("apply.journal.after")
		return err
	}
	x := p.expand()
	if x != nil {
		w.Changes = x.changes
		settle := w.Commit
		w.Commit = func(ctx context.Context, res syncline.Result) error { return settle(ctx, x.fold(res)) }
	}
	failpoint.Hit("apply.write.before")
	_, done.err = s.target.Apply(ctx, w)
	var known *syncline.Error
	if x != nil && errors.As(done.err, &known) {
		known.Change = x.culprit(known.Change)
	}
	failpoint.Hit("apply.write.after")
	return done
}

// settled gives the machine the outcome. An error ends the session.
func (s *Session) settled(ctx context.Context, done applied) error {
	now := s.r.o.Now()
	s.r.trace(&done, now)
	if done.err != nil {
		if syncline.ClassOf(done.err) != syncline.Rejected {
			s.r.unanswered = done.plan.to
			return s.removed(ctx, done.err)
		}
		if done.plan.resets != nil {
			return syncline.Errorf(syncline.Fatal, "reset_refused", "the target does not let the object be emptied for the copy that follows: %w", done.err).
				WithFix("empty it by hand or remove what refers to it, then `syncline resume ROUTE`")
		}
		if len(done.plan.truncated) > 0 {
			// Parked, it would be tried again behind newer records, and take them along.
			return syncline.Errorf(syncline.Fatal, "truncate_refused", "the source was emptied by TRUNCATE, and the target does not let its object be emptied: %w", done.err).
				WithFix("remove what refers to its records, or correct the trigger, then `syncline resume ROUTE`")
		}
		if len(done.plan.changes) == 0 {
			return fmt.Errorf("move the cursor: %w", done.err)
		}
		culprit := -1
		var e *syncline.Error
		if errors.As(done.err, &e) {
			culprit = e.Change
		}
		s.m.rejected(done.err, culprit)
		return nil
	}
	s.reached = done.plan.to.Seq
	if s.r.unanswered.Log != "" {
		s.r.unanswered = syncline.Cursor{}
		s.r.log.Info("target answers again")
		s.r.update(func(st *Status) { st.State, st.Err = RouteRunning, nil })
	}
	s.m.done(done.commit, now)
	s.r.refusals.note(done.commit)
	s.r.refusals.tell(s.r.log, s.r.o.ID, now)
	if err := s.unmix(ctx); err != nil {
		return err
	}
	var skewed Skewed
	s.r.update(func(st *Status) {
		st.Skewed.add(done.commit)
		skewed = st.Skewed
		st.Cursor, st.Settled, st.Parked = s.m.committed, s.reached, s.m.parking.tasks()
		if j := done.commit.Journal; j != nil {
			st.Applied += j.Counts.Read
			s.r.rate.add(now, j.Counts.Read)
		}
	})
	s.r.skews.tell(s.r.log, skewed, now)
	if err := s.ask(ctx, done.commit.Park); err != nil {
		return err
	}
	return s.ask(ctx, done.commit.Update)
}
