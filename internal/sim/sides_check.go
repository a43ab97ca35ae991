package sim

import (
	"fmt"
	"slices"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/conflict"
	"syncline/internal/state"
)

// decide is a person who decides about a conflict that waits on the side's lane.
func (w *sides) decide(s int) error {
	if w.lanes[s].session == nil {
		return nil
	}
	open := true
	list, _, err := w.state.Conflicts(w.ctx, state.ConflictFilter{Open: &open})
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(c state.Conflict) bool { return c.Route != w.lanes[s].options.ID })
	if len(list) == 0 {
		return nil
	}
	c := list[w.rnd.IntN(len(list))]
	choice := state.Choice{Action: string([]conflict.Action{conflict.Overwrite, conflict.Skip}[w.rnd.IntN(2)]), Held: c.Held, By: "ann"}
	answers, err := w.lanes[s].session.Resolve(w.ctx, []apply.Decided{{Task: state.Exception{Task: c.Task, Rule: c.Rule, Key: c.Key}, Choice: choice}})
	if err != nil {
		return err
	}
	w.note("%s of record %s is decided: %s, %v", c.Task, c.Key, choice.Action, answers[0].Err)
	return nil
}

// checkEnd is what holds once everything has come to rest. Then each user's write is written once on the other side, and comes back to nobody.
func (w *sides) checkEnd() error {
	for _, l := range w.lanes {
		if err := checkCounts(l); err != nil {
			return err
		}
	}
	waiting, err := w.state.OpenConflicts(w.ctx)
	if err != nil || len(waiting) > 0 {
		return fmt.Errorf("conflicts of %v wait for a person, %w", waiting, err)
	}
	list, _, err := w.state.Conflicts(w.ctx, state.ConflictFilter{Limit: 1000})
	if err != nil {
		return err
	}
	w.result.Did["conflict"], w.result.Did["write"] = len(list), w.written.rule
	if err := w.checkEqual(); err != nil {
		return err
	}
	if !w.restores && w.written.rule > 2*w.written.users { // what one user wrote may have to be written on both sides, brought together with another's
		return broken("the rule has written %d records for %d of users", w.written.rule, w.written.users)
	}
	for id, want := range w.wanted {
		if got := w.databases[0].all()[id]; w.kind == oneFieldEach && !slices.EqualFunc(got, want, syncline.Equal) {
			return fmt.Errorf("record %d is %v, and users have made it %v", id, got, want)
		}
	}
	for range 4 {
		s, before, writes := w.rnd.IntN(2), w.written.rule, w.written.users
		was := w.databases[s].all()
		if err := w.databases[s].user(); err != nil {
			return err
		}
		is := w.databases[s].all()
		want := 0
		for id := range int64(sharedKeys) {
			if !slices.EqualFunc(was[id], is[id], syncline.Equal) {
				want++
			}
		}
		if err := w.rest(); err != nil {
			return err
		}
		if n := w.written.rule - before; n != want {
			return fmt.Errorf("a user has changed %d records in %d writes, and the rule has written %d", want, w.written.users-writes, n)
		}
		if err := w.checkEqual(); err != nil {
			return err
		}
	}
	return nil
}

func (w *sides) checkEqual() error {
	a, b := w.databases[0].all(), w.databases[1].all()
	for id := range int64(sharedKeys) {
		if !slices.EqualFunc(a[id], b[id], syncline.Equal) || (a[id] == nil) != (b[id] == nil) {
			return fmt.Errorf("record %d: %s has %v, %s has %v", id, names[0], a[id], names[1], b[id])
		}
	}
	return nil
}
