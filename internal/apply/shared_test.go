package apply

import (
	"testing"

	"syncline"
)

// named is a rule that wants customers of some names in the object dim.
func named(id string, names ...string) Rule {
	return Rule{ID: id, Entity: "customer", Object: "dim", Create: true, Bind: func(s *syncline.Schema) (*Binding, error) {
		return &Binding{Out: s, Match: func(b *syncline.Batch, i int) (bool, error) {
			for _, n := range names {
				if b.Events[i].After[1].Text() == n {
					return true, nil
				}
			}
			return false, nil
		}}, nil
	}}
}

// TestRulesOfARouteShareAnObject: each wants other customers of one table, and a customer can go from one to the other.
func TestRulesOfARouteShareAnObject(t *testing.T) {
	for _, order := range [][]Rule{{named("gold", "a"), named("rest", "b", "c")}, {named("rest", "b", "c"), named("gold", "a")}} {
		b := newBench(t, func(o *Options) { o.Rules = order })
		b.append(created(1, "a", "x"), created(2, "b", "x"), created(3, "nobody's", "x"))
		b.append(updated(1, "a", "-"), updated(2, "b", "y")) // partial: the row must still be there
		b.mustDrain()
		b.want(map[string]string{"1": "a/x", "2": "b/y"})
		if len(b.runs) != 0 {
			t.Errorf("records were asked for that the target has: %+v", b.runs)
		}
		b.append(updated(1, "b", "z"))
		b.append(updated(1, "a", "z"), updated(2, "a", "-"))
		b.append(updated(1, "c", "z"))
		b.mustDrain()
		b.want(map[string]string{"1": "c/z", "2": "a/y"})
		b.append(updated(1, "nobody's", "z"), deleted(2))
		b.mustDrain()
		b.want(map[string]string{})
		if c := b.balanced(); c.Parked != 0 || c.Read != 22 {
			t.Errorf("counts = %+v, want 22 tasks and none parked", c)
		}
	}
}

// TestAParkedRecordOfASharedObjectStays: the rule that does not want it must not remove what the other one cannot replace now.
func TestAParkedRecordOfASharedObjectStays(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Rules = []Rule{named("gold", "a", "bad"), named("rest", "b")} })
	b.append(created(1, "a", "x"))
	b.mustDrain()
	b.store.Refuse("dim", syncline.MakeKey(syncline.Int(1)))
	b.append(updated(1, "bad", "x"))
	b.mustDrain()
	b.append(updated(1, "bad", "y"))
	b.mustDrain()
	b.want(map[string]string{"1": "a/x"})
	if c := b.balanced(); c.Parked != 1 {
		t.Errorf("counts = %+v, want the record parked", c)
	}
}
