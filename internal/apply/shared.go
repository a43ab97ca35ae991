package apply

import (
	"slices"

	"syncline"
	"syncline/internal/state"
)

// Several rules of a route may write one object: records of several entities, or of one under different conditions. Their changes
// are not merged, because each rule has columns of its own, so that a key can come more than once: plans of such events are carried
// out in order. An event that one rule wants and another does not leaves the record where it is: it has changed hands at the most.

// share reports whether one of the rules writes an object that another rule of the route writes too.
func (pl *planner) share(rules []int) bool {
	for _, r := range rules {
		if pl.rules[r].shared {
			return true
		}
	}
	return false
}

// mark is how long the lists of a plan were before an event.
type mark struct{ changes, holds, tasks int }

// keepClaimed takes back the removals of a record that leaves one rule, where another rule of the same object writes it by the same
// event, or would if its key were not parked.
func (pl *planner) keepClaimed(p *plan, before mark) {
	for t := before.tasks; t < len(p.tasks); t++ {
		at := p.tasks[t].change
		if at < 0 || p.tasks[t].code != state.Filtered || !pl.claimed(p, before, &p.changes[at]) {
			continue
		}
		p.tasks[t].change = -1
		p.changes = slices.Delete(p.changes, int(at), int(at)+1)
		p.newest = slices.Delete(p.newest, int(at), int(at)+1)
		for i := before.tasks; i < len(p.tasks); i++ {
			if p.tasks[i].change > at {
				p.tasks[i].change--
			}
		}
	}
}

// claimed reports whether the event that the lists have grown by writes the record that leaves.
func (pl *planner) claimed(p *plan, before mark, leaves *syncline.Change) bool {
	key, _ := leaves.Row.Key()
	for i := before.changes; i < len(p.changes); i++ {
		if c := &p.changes[i]; c.Op == syncline.ChangePut && c.Object == leaves.Object {
			if k, _ := c.Row.Key(); k == key {
				return true
			}
		}
	}
	for _, h := range p.holds[before.holds:] {
		if h.slot.key == key && pl.rules[h.slot.rule].Object == leaves.Object {
			return true
		}
	}
	return false
}
