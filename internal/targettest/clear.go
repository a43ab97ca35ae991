package targettest

import (
	"testing"

	"syncline"
)

// child is the schema of records that a parent has: its key begins with the parent's, which is composite.
func child() *syncline.Schema {
	return &syncline.Schema{Entity: "child", Table: "public.child", Version: -1, Key: []int{1, 0, 2}, Columns: []syncline.Column{
		{Name: "order_id", Kind: syncline.KindInt, Type: "bigint"},
		{Name: "shop", Kind: syncline.KindText, Type: "text"},
		{Name: "sku", Kind: syncline.KindText, Type: "text"},
		{Name: "qty", Kind: syncline.KindInt, Type: "integer", Nullable: true},
	}}
}

func clearing(object string, s *syncline.Schema, shop string, order int64, keep ...syncline.Change) syncline.Change {
	c := syncline.Change{Op: syncline.ChangeClear, Object: object, Parent: 2,
		Row: syncline.Row{Schema: s, Values: vals(syncline.Int(order), syncline.Text(shop), syncline.Unset, syncline.Unset)}}
	for _, k := range keep {
		c.Keep = append(c.Keep, k.Row.Values)
	}
	return c
}

// runClears sees that a set of records is replaced as a whole: what is not in it any more goes, and nothing of another parent does.
func runClears(t *testing.T, h Harness) {
	for name, ordered := range map[string]bool{"in any order": false, "in order": true} {
		t.Run(name, func(t *testing.T) {
			e := open(t, h)
			if !e.traits.Sets {
				return
			}
			s := child()
			o := e.object(s)
			row := func(shop string, order int64, sku string, qty int64) syncline.Change {
				return put(o, s, syncline.Int(order), syncline.Text(shop), syncline.Text(sku), syncline.Int(qty))
			}
			e.applied(ordered, row("a", 1, "x", 1), row("a", 1, "y'\\,", 2), row("a", 1, "z", 3), row("a", 11, "x", 4), row("b", 1, "x", 5), row("b", 2, "x", 6), row("b", 2, "y", 7))
			// One set shrinks and grows, one goes altogether, others stay; a parent without records has none to lose.
			kept, added, more := row("a", 1, "y'\\,", 22), row("a", 1, "w", 9), row("a", 1, "v", 8)
			e.applied(ordered, clearing(o, s, "a", 1, kept, added, more), clearing(o, s, "b", 2), clearing(o, s, "c", 3), kept, added, more)
			e.holds(o, s,
				vals(syncline.Int(1), syncline.Text("a"), syncline.Text("v"), syncline.Int(8)),
				vals(syncline.Int(1), syncline.Text("a"), syncline.Text("w"), syncline.Int(9)),
				vals(syncline.Int(1), syncline.Text("a"), syncline.Text("y'\\,"), syncline.Int(22)),
				vals(syncline.Int(11), syncline.Text("a"), syncline.Text("x"), syncline.Int(4)),
				vals(syncline.Int(1), syncline.Text("b"), syncline.Text("x"), syncline.Int(5)))
		})
	}
	t.Run("a record that is newer stays", func(t *testing.T) {
		e := open(t, h)
		if !e.traits.Sets || !h.Guarded {
			return
		}
		s := child()
		for _, ordered := range []bool{false, true} {
			o := e.object(s)
			row := func(order int64, sku string) syncline.Change {
				return put(o, s, syncline.Int(order), syncline.Text("a"), syncline.Text(sku), syncline.Int(1))
			}
			e.applied(ordered, at(20, row(1, "newer")), at(10, row(1, "older")), at(20, row(2, "newer")), at(10, row(2, "kept")))
			e.applied(ordered, at(15, clearing(o, s, "a", 1)), at(15, clearing(o, s, "a", 2, row(2, "kept"))))
			e.holds(o, s, row(1, "newer").Row.Values, row(2, "kept").Row.Values, row(2, "newer").Row.Values)
			e.applied(ordered, at(21, clearing(o, s, "a", 1)), at(21, clearing(o, s, "a", 2)))
			e.holds(o, s)
		}
	})
}
