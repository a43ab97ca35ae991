package sim

import (
	"fmt"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/state"
)

// command is a person who does something about a route, or about a task that waits there.
func (s *served) command() error {
	w := s.w
	if w.rnd.IntN(4) == 0 {
		return s.pause()
	}
	waiting, err := w.state.Pending(w.ctx, state.Slice{Route: s.options.ID})
	if err != nil || len(waiting) == 0 {
		return err
	}
	x := waiting[w.rnd.IntN(len(waiting))]
	switch n := w.rnd.IntN(8); {
	case n < 2 && s.session != nil:
		w.did("retry")
		return s.answered("retry", &x, s.session.Retry(x))
	case n == 2 && s.session != nil:
		return s.retryAll()
	case n < 6 && s.session != nil:
		return s.edit(&x)
	}
	return s.giveUp(&x)
}

// answered takes note of what a command came to. One that is refused has changed nothing.
func (s *served) answered(what string, x *state.Exception, err error) error {
	s.w.note("%s of %s, key %s: %v", what, x.Task, x.Key, syncline.CodeOf(err))
	if syncline.ClassOf(err) == syncline.Rejected {
		return nil
	}
	return err
}

// edit gives the task another name to write.
func (s *served) edit(x *state.Exception) error {
	w := s.w
	b, err := syncline.DecodeBatch(x.Record)
	if err != nil {
		return err
	}
	ev := &b.Events[0]
	if ev.After == nil {
		return nil
	}
	ev.After = append([]syncline.Value(nil), ev.After...)
	ev.After[1] = syncline.Text(fmt.Sprint("edited ", w.step))
	record, err := syncline.AppendBatch(nil, b)
	if err != nil {
		return err
	}
	s.touch(x)
	w.did("edit")
	return s.answered("edit", x, s.session.Edit(w.ctx, *x, record, state.Edit{At: w.now, By: "ann", Reason: "a typo"}))
}

// giveUp gives the task up, whether the route works or not.
func (s *served) giveUp(x *state.Exception) error {
	w := s.w
	var err error
	if s.session != nil {
		err = s.session.Cancel(w.ctx, *x, "not wanted")
	} else {
		err = apply.Cancel(w.ctx, w.state, *x, "not wanted", w.now)
	}
	if err == nil {
		s.touch(x)
		w.did("cancel")
		if b, err := syncline.DecodeBatch(x.Record); err == nil && s.recorder != nil {
			s.given[b.Events[0].Meta.ID] = len(s.recorder.Sent())
		}
	}
	return s.answered("cancel", x, err)
}

func (s *served) touch(x *state.Exception) {
	id := x.Rule + " " + string(x.Key)
	s.touched[id] = append(s.touched[id], touch{x.Seq, x.Index})
}

// retryAll has all that wait for a person tried again.
func (s *served) retryAll() error {
	if s.session == nil {
		return nil
	}
	answers, err := s.session.RetryAll(s.w.ctx, func(x *state.Exception) bool { return x.Status == state.StatusFailed })
	if len(answers) > 0 {
		s.w.did("retry")
		s.w.note("retry of %d tasks of %s", len(answers), s.options.ID)
	}
	return err
}

// pause holds the route back, or lets it go on. Meanwhile nobody writes to its target.
func (s *served) pause() error {
	holds, err := s.contents()
	if err != nil {
		return err
	}
	s.paused = !s.paused
	s.w.note("%s is paused: %t", s.options.ID, s.paused)
	if s.paused {
		s.w.did("pause")
		s.close()
		s.before, s.asleep = holds, nil
		return nil
	}
	if s.before != holds {
		return broken("%s was written to while it was paused:\n%s\n%s", s.options.ID, s.before, holds)
	}
	return nil
}

// doze has the process of the route fall asleep, so that another one takes over, or wakes one that did.
func (s *served) doze() error {
	w := s.w
	switch {
	case s.recorder != nil || s.paused: // nothing keeps two from sending the same, and none of them is told what the other one has to wait with
		return nil
	case s.session != nil && (len(s.asleep) == 0 || s.begins == s.asleep[0].begins):
		w.note("%s falls asleep", s.options.ID)
		s.asleep = append(s.asleep, sleeper{s.session, s.reader, s.begins})
		s.session, s.reader, s.driver.route = nil, nil, nil
		return nil
	case len(s.asleep) == 0:
		return nil
	}
	z := s.asleep[0]
	before, err := s.contents()
	if err != nil {
		return err
	}
	replaced := s.begins > z.begins
	for n := w.rnd.IntN(3); n >= 0 && err == nil && z.session.Wants(); n-- {
		err = feed(z.session, z.reader)
	}
	if err == nil {
		err = z.session.Step(w.ctx)
	}
	w.note("%s wakes up, and somebody else has its place, %t: %s", s.options.ID, replaced, syncline.CodeOf(err))
	if err != nil {
		s.asleep = s.asleep[1:]
	}
	if !replaced {
		return nil
	}
	w.did("late")
	after, err := s.contents()
	if err == nil && s.txn && before != after {
		return broken("G15: %s was written to by a process that had been replaced:\n%s\n%s", s.options.ID, before, after)
	}
	return err
}
