package apply

import (
	"syncline"
	"syncline/internal/state"
)

// moves are the parked tasks that concern a second key, because they move their record from one key to another. Events of that key
// wait too.
//
// A task of a state target that still has its old key waits under the new one, together with the removal under the old: whoever gets
// the old key next would be taken by it. An event target has to be told in order: the task waits under the old key, behind what
// waits there and under the new one, and before what comes for either.
type moves struct {
	events bool     // the target's
	rules  []*bound // nil = there are none
	tasks  map[string]concern
	number map[slot]int // of tasks that concern the slot as their second
}

// concern is the second slot of a task, and where the task's event stands.
type concern struct {
	slot slot
	at   place
}

func newMoves(events bool, rules []*bound) moves {
	return moves{events: events, rules: rules, tasks: make(map[string]concern), number: make(map[slot]int)}
}

// add takes note of a task that is parked in the slot, if it moves its record.
func (mv *moves) add(home slot, x *state.Exception) {
	if mv.rules == nil {
		return
	}
	if second, ok := mv.rules[home.rule].second(x, mv.events); ok {
		s := slot{home.rule, second}
		mv.tasks[x.Task] = concern{s, place{x.Seq, x.Index}}
		mv.number[s]++
	}
}

// remove forgets a task that waits no more.
func (mv *moves) remove(x *state.Exception) {
	m, ok := mv.tasks[x.Task]
	if !ok {
		return
	}
	delete(mv.tasks, x.Task)
	if mv.number[m.slot]--; mv.number[m.slot] == 0 {
		delete(mv.number, m.slot)
	}
}

// none reports whether no parked task moves its record.
func (mv *moves) none() bool { return len(mv.tasks) == 0 }

// has reports whether some task concerns the slot as its second.
func (mv *moves) has(s slot) bool { return mv.number[s] > 0 }

// block reports whether a task, which is the oldest of its slot, waits for one of another slot. first returns the oldest of a slot.
func (mv *moves) block(home slot, x *state.Exception, first func(slot) *state.Exception) bool {
	if len(mv.tasks) == 0 {
		return false
	}
	if !mv.events {
		return mv.has(home)
	}
	at := place{x.Seq, x.Index}
	if mv.has(home) {
		for _, m := range mv.tasks {
			if m.slot == home && m.at.before(at) {
				return true
			}
		}
	}
	if m, ok := mv.tasks[x.Task]; ok {
		if mv.number[m.slot] > 1 { // two records move to one key: it was free in between
			for _, o := range mv.tasks {
				if o.slot == m.slot && o.at.before(at) {
					return true
				}
			}
		}
		older := first(m.slot)
		return older != nil && place{older.Seq, older.Index}.before(at)
	}
	return false
}

// second returns the other key that a record which is parked under the rule concerns.
func (r *bound) second(x *state.Exception, events bool) (syncline.Key, bool) {
	b, err := syncline.DecodeBatch(x.Record)
	if err != nil || len(b.Events) != 1 || b.Events[0].Before == nil || b.Events[0].After == nil {
		return "", false
	}
	bound, err := r.at(b.Events[0].Schema)
	if err != nil {
		return "", false
	}
	row := b.Events[0].Before
	if events {
		row = b.Events[0].After
	}
	k, _, err := bound.key(row)
	return k, err == nil && k != x.Key
}
