package targettest

import (
	"strings"
	"testing"

	"syncline"
)

func rekey(t *testing.T, h Harness) {
	e := open(t, h)
	if !e.traits.Rekey {
		return
	}
	s := customer()
	o := e.object(s)
	move := func(from int64, row ...syncline.Value) syncline.Change {
		c := put(o, s, row...)
		c.OldKey = vals(syncline.Int(from))
		return c
	}
	long := syncline.Text(strings.Repeat("long ", 1000))
	e.applied(false,
		put(o, s, syncline.Int(1), long, syncline.Decimal("1")),
		put(o, s, syncline.Int(2), syncline.Text("b"), syncline.Decimal("2")),
		put(o, s, syncline.Int(3), syncline.Text("c"), syncline.Decimal("3")))
	e.applied(true,
		move(1, syncline.Int(11), syncline.Unset, syncline.Decimal("10")),
		move(2, syncline.Int(12), syncline.Text("B"), syncline.Decimal("20")))
	want := [][]syncline.Value{
		vals(syncline.Int(11), long, syncline.Decimal("10")),
		vals(syncline.Int(12), syncline.Text("B"), syncline.Decimal("20")),
		vals(syncline.Int(3), syncline.Text("c"), syncline.Decimal("3")),
	}
	e.holds(o, s, want...)

	// A record that was never here: with every column sent it is written, without it must be read from the source.
	res := e.apply(true,
		move(98, syncline.Int(99), syncline.Unset, syncline.Null),
		move(97, syncline.Int(96), syncline.Text("whole"), syncline.Null))
	e.outcomes(res, syncline.OutcomeMissing, syncline.OutcomeApplied)
	want = append(want, vals(syncline.Int(96), syncline.Text("whole"), syncline.Null))
	e.holds(o, s, want...)

	// Two records swap their keys by way of a third.
	e.applied(true,
		move(11, syncline.Int(0), syncline.Unset, syncline.Decimal("10")),
		move(12, syncline.Int(11), syncline.Unset, syncline.Decimal("20")),
		move(0, syncline.Int(12), syncline.Unset, syncline.Decimal("10")))
	want[0], want[1] = vals(syncline.Int(12), long, syncline.Decimal("10")), vals(syncline.Int(11), syncline.Text("B"), syncline.Decimal("20"))
	e.holds(o, s, want...)

	// The record has moved already, as when a copy of the source was newer than the event; and a stranger stands at the new key.
	e.applied(true,
		move(97, syncline.Int(96), syncline.Unset, syncline.Decimal("96")),
		move(12, syncline.Int(11), syncline.Unset, syncline.Decimal("30")))
	e.holds(o, s,
		vals(syncline.Int(11), long, syncline.Decimal("30")),
		vals(syncline.Int(3), syncline.Text("c"), syncline.Decimal("3")),
		vals(syncline.Int(96), syncline.Text("whole"), syncline.Decimal("96")))

	// A key that comes as one that has changed, and has not.
	e.applied(true, move(3, syncline.Int(3), syncline.Unset, syncline.Decimal("4")))
	e.holds(o, s,
		vals(syncline.Int(11), long, syncline.Decimal("30")),
		vals(syncline.Int(3), syncline.Text("c"), syncline.Decimal("4")),
		vals(syncline.Int(96), syncline.Text("whole"), syncline.Decimal("96")))
	if h.Guarded {
		rekeyGuarded(t, h)
	}
}

// rekeyGuarded has a record move to a key where a newer one stands: that stays, and the other one is gone from its old key.
func rekeyGuarded(t *testing.T, h Harness) {
	e := open(t, h)
	s := customer()
	o := e.object(s)
	row := func(id int64, name string) []syncline.Value {
		return vals(syncline.Int(id), syncline.Text(name), syncline.Null)
	}
	e.applied(false, at(10, put(o, s, row(1, "old")...)), at(20, put(o, s, row(2, "newer")...)))
	moved := at(15, put(o, s, row(2, "moved")...))
	moved.OldKey = vals(syncline.Int(1))
	e.outcomes(e.apply(true, moved), syncline.OutcomeStale)
	e.holds(o, s, row(2, "newer"))

	// What stands at the old key is newer: another record by now, which stays there.
	e.applied(false, at(20, put(o, s, row(4, "other")...)))
	moved = at(15, put(o, s, row(5, "moved")...))
	moved.OldKey = vals(syncline.Int(4))
	e.applied(true, moved)
	e.holds(o, s, row(2, "newer"), row(4, "other"), row(5, "moved"))
}
