package apply

import (
	"syncline"
)

// A rule that splits a record makes a set of records of each, its children, and everything that the planner decides it decides of the
// parent: what comes after what, what waits, what is read again. So there is one task and one change for each parent, and its outcome is
// that of its set. Only what the target is asked to do speaks of children: a state target gets the set as a whole (see expand), so that
// nothing of an older one stays; an event target gets one delivery for each child.

// Split is the part of a binding that makes the children.
type Split struct {
	// Out is their schema. The first Parent columns of its key are the parent's key, in its order.
	Out    *syncline.Schema
	Parent int
	// Rows makes the children of a parent, a record of Binding.Out. The event is the one that made it.
	Rows func(b *syncline.Batch, i int, parent []syncline.Value) ([][]syncline.Value, error)
}

// Written is the schema of the records that the target gets.
func (b *Binding) Written() *syncline.Schema {
	if b.Split != nil {
		return b.Split.Out
	}
	return b.Out
}

// set is what a change of a parent means for its children.
type set struct {
	split *Split
	rows  [][]syncline.Value
}

// divide notes that the i-th change of the plan speaks of a parent.
func (p *plan) divide(i int32, split *Split, rows [][]syncline.Value) {
	if p.sets == nil {
		p.sets = make(map[int32]set)
	}
	p.children += len(rows) - len(p.sets[i].rows)
	p.sets[i] = set{split, rows}
}

// children makes those of the record that the item leaves, and plans what is in the way of it.
func (pl *planner) children(p *plan, it item, parent []syncline.Value) (rows [][]syncline.Value, ok bool) {
	split := it.rule.binding.Split
	if split == nil {
		return nil, true
	}
	rows, err := split.Rows(it.e.batch, it.i, parent)
	if err != nil {
		pl.cannot(p, it, err)
		return nil, false
	}
	return rows, true
}

// sent makes what an event target is sent of the item's record: its children, of one that is gone those that it had. Where that was not
// sent, it is the parent's key alone.
func (pl *planner) sent(p *plan, it item, parent []syncline.Value) (rows [][]syncline.Value, ok bool) {
	if it.rule.binding.Split == nil || it.event().Op == syncline.OpTruncated {
		return nil, true
	}
	if it.event().After != nil {
		return pl.children(p, it, parent)
	}
	rows, err := it.rule.binding.Split.Rows(it.e.batch, it.i, parent)
	if err != nil {
		rows = [][]syncline.Value{it.rule.binding.Split.key(syncline.Row{Schema: it.rule.binding.Out, Values: parent})}
	}
	return rows, true
}

// key is a record of Out with no more than the parent's key.
func (s *Split) key(parent syncline.Row) []syncline.Value {
	values := unsent(s.Out)
	for i, k := range s.Out.Key[:s.Parent] {
		values[k] = parent.Values[parent.Schema.Key[i]]
	}
	return values
}

// expansion is what the target is asked to do for a plan's changes.
type expansion struct {
	changes []syncline.Change
	// of is the plan's change that each stands for.
	of []int
	n  int
}

// expand writes the plan's changes of parents as changes of children; nil where there are none.
func (p *plan) expand() *expansion {
	if len(p.sets) == 0 {
		return nil
	}
	x := &expansion{n: len(p.changes)}
	for i := range p.changes {
		c := p.changes[i]
		s, ok := p.sets[int32(i)]
		switch {
		case !ok, c.Op == syncline.ChangeSend && c.Batch.Events[c.Event].Op == syncline.OpTruncated:
			x.add(i, c)
		case c.Op == syncline.ChangeTruncate:
			c.Row.Schema = s.split.Out
			x.add(i, c)
		case c.Op == syncline.ChangeSend:
			c.OldKey, c.Before, c.Parent = nil, nil, s.split.Parent
			for _, values := range s.rows {
				c.Row = syncline.Row{Schema: s.split.Out, Values: values}
				c.Part, _ = c.Row.Key()
				x.add(i, c)
			}
		default:
			whole := c
			whole.Op, whole.Parent, whole.Keep = syncline.ChangeClear, s.split.Parent, s.rows
			whole.Row = syncline.Row{Schema: s.split.Out, Values: s.split.key(c.Row)}
			x.add(i, whole)
			for _, values := range s.rows {
				c.Op, c.Row = syncline.ChangePut, syncline.Row{Schema: s.split.Out, Values: values}
				x.add(i, c)
			}
		}
	}
	return x
}

func (x *expansion) add(i int, c syncline.Change) {
	x.changes, x.of = append(x.changes, c), append(x.of, i)
}

// fold makes the result for the plan's changes: a set is applied when all of it is, stale when all of it is, and otherwise what the worst of
// its records is.
func (x *expansion) fold(res syncline.Result) syncline.Result {
	out := syncline.Result{Outcomes: make([]syncline.Outcome, x.n)}
	stale, seen := make([]bool, x.n), make([]bool, x.n)
	for j, o := range res.Outcomes {
		i := x.of[j]
		if x.changes[j].Op == syncline.ChangeClear {
			continue
		}
		stale[i] = o == syncline.OutcomeStale && (stale[i] || !seen[i])
		seen[i] = true
		// What was held was held because of another record of the set, or of an older one.
		if o != syncline.OutcomeStale && o > out.Outcomes[i] && !(o == syncline.OutcomeHeld && out.Outcomes[i] == syncline.OutcomeRejected) {
			out.Outcomes[i] = o
		}
		if err := res.Rejected[j]; err != nil {
			if out.Rejected == nil {
				out.Rejected = make(map[int]error)
			}
			out.Rejected[i] = err
		}
	}
	for i := range stale {
		if stale[i] {
			out.Outcomes[i] = syncline.OutcomeStale
		}
	}
	return out
}

// culprit returns the plan's change that the j-th of the target's stands for.
func (x *expansion) culprit(j int) int {
	if j < 0 || j >= len(x.of) {
		return -1
	}
	return x.of[j]
}

// maySplit refuses rules that split records at a target that cannot replace what a record had before.
func (s *Session) maySplit(binding *Binding, rule string) error {
	t := s.target.Traits()
	switch {
	case binding.Split == nil:
		return nil
	case s.m.decides:
		return syncline.Errorf(syncline.Fatal, "split_unsupported", "rule %s splits records, and its route decides about conflicts, which are of records and not of sets", rule).
			WithFix("give the rule a route of its own, without a conflict section")
	case t.Sets || t.Events:
		return nil
	}
	return syncline.Errorf(syncline.Fatal, "split_unsupported", "rule %s splits records, and this target cannot remove what a record does not have any more", rule).
		WithFix("split into a table at postgres or sqlite, or send to a webhook")
}
