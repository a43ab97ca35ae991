package targettest

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

func runState(t *testing.T, h Harness) {
	s := customer()
	t.Run("put inserts and updates", func(t *testing.T) {
		e := open(t, h)
		o := e.object(s)
		e.applied(false,
			put(o, s, syncline.Int(1), syncline.Text("Ann"), syncline.Decimal("1.50")),
			put(o, s, syncline.Int(2), syncline.Null, syncline.Null))
		e.applied(false,
			put(o, s, syncline.Int(2), syncline.Text(""), syncline.Decimal("-3")),
			put(o, s, syncline.Int(3), syncline.Text("Cho"), syncline.Null))
		e.holds(o, s,
			vals(syncline.Int(1), syncline.Text("Ann"), syncline.Decimal("1.50")),
			vals(syncline.Int(2), syncline.Text(""), syncline.Decimal("-3")),
			vals(syncline.Int(3), syncline.Text("Cho"), syncline.Null))
		e.applied(false, put(o, s, syncline.Int(1), syncline.Null, syncline.Null))
		e.holds(o, s,
			vals(syncline.Int(1), syncline.Null, syncline.Null),
			vals(syncline.Int(2), syncline.Text(""), syncline.Decimal("-3")),
			vals(syncline.Int(3), syncline.Text("Cho"), syncline.Null))
	})
	t.Run("delete of a present and an absent record", func(t *testing.T) {
		e := open(t, h)
		o := e.object(s)
		e.applied(false, put(o, s, syncline.Int(1), syncline.Text("a"), syncline.Null), put(o, s, syncline.Int(2), syncline.Text("b"), syncline.Null))
		e.applied(false, remove(o, s, syncline.Int(1)), remove(o, s, syncline.Int(77)))
		e.holds(o, s, vals(syncline.Int(2), syncline.Text("b"), syncline.Null))
	})
	t.Run("a deleted record may come back", func(t *testing.T) {
		e := open(t, h)
		o := e.object(s)
		e.applied(false, put(o, s, syncline.Int(1), syncline.Text("a"), syncline.Decimal("1")))
		e.applied(false, remove(o, s, syncline.Int(1)))
		e.applied(false, put(o, s, syncline.Int(1), syncline.Null, syncline.Decimal("2")))
		e.holds(o, s, vals(syncline.Int(1), syncline.Null, syncline.Decimal("2")))
	})
	t.Run("puts and deletes of distinct keys mixed", func(t *testing.T) { mixed(open(t, h), s, 40) })
	t.Run("thousands at once", func(t *testing.T) { mixed(open(t, h), s, 3000) })
	t.Run("several objects in one write", func(t *testing.T) {
		e := open(t, h)
		other := composite()
		o, p := e.object(s), e.object(other)
		e.applied(false,
			put(o, s, syncline.Int(1), syncline.Text("a"), syncline.Null),
			put(p, other, syncline.Text("x"), syncline.Text("line"), syncline.Int(7)),
			put(o, s, syncline.Int(2), syncline.Text("b"), syncline.Null))
		e.holds(o, s, vals(syncline.Int(1), syncline.Text("a"), syncline.Null), vals(syncline.Int(2), syncline.Text("b"), syncline.Null))
		e.holds(p, other, vals(syncline.Text("x"), syncline.Text("line"), syncline.Int(7)))
	})
	t.Run("composite key out of column order", func(t *testing.T) {
		e := open(t, h)
		s := composite()
		o := e.object(s)
		// The key is (no, doc): these are four different records.
		e.applied(false,
			put(o, s, syncline.Text("a"), syncline.Text("1"), syncline.Int(1)),
			put(o, s, syncline.Text("a"), syncline.Text("2"), syncline.Int(2)),
			put(o, s, syncline.Text("a,1"), syncline.Text("3"), syncline.Int(1)),
			put(o, s, syncline.Text("1"), syncline.Text("4"), syncline.Int(11)))
		e.applied(false, remove(o, s, syncline.Int(1), syncline.Text("a")),
			put(o, s, syncline.Text("a"), syncline.Text("two"), syncline.Int(2)))
		e.holds(o, s,
			vals(syncline.Text("a"), syncline.Text("two"), syncline.Int(2)),
			vals(syncline.Text("a,1"), syncline.Text("3"), syncline.Int(1)),
			vals(syncline.Text("1"), syncline.Text("4"), syncline.Int(11)))
	})
	t.Run("a column that the source computes is left out", func(t *testing.T) {
		e := open(t, h)
		s := &syncline.Schema{Entity: "computed", Table: "public.computed", Key: []int{0}, Version: -1, Columns: []syncline.Column{
			{Name: "id", Kind: syncline.KindInt, Type: "bigint"},
			{Name: "twice", Kind: syncline.KindInt, Type: "bigint", Nullable: true, Generated: "(id * 2)"},
			{Name: "name", Kind: syncline.KindText, Type: "text", Nullable: true},
		}}
		o := e.object(s)
		e.applied(false, put(o, s, syncline.Int(1), syncline.Unset, syncline.Text("a")), put(o, s, syncline.Int(2), syncline.Unset, syncline.Text("b")))
		e.applied(true, put(o, s, syncline.Int(2), syncline.Unset, syncline.Text("c")), put(o, s, syncline.Int(3), syncline.Unset, syncline.Null))
		var got []string
		for _, r := range e.scan(o, s) {
			got = append(got, line([]syncline.Value{r.Values[0], r.Values[2]}))
		}
		slices.Sort(got)
		want := []string{line(vals(syncline.Int(1), syncline.Text("a"))), line(vals(syncline.Int(2), syncline.Text("c"))), line(vals(syncline.Int(3), syncline.Null))}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("records (-want +got):\n%s", diff)
		}
	})
	t.Run("an object of nothing but its key", func(t *testing.T) {
		e := open(t, h)
		s := &syncline.Schema{Entity: "only_key", Columns: []syncline.Column{{Name: "id", Kind: syncline.KindInt}}, Key: []int{0}, Version: -1}
		o := e.object(s)
		e.applied(false, put(o, s, syncline.Int(1)), put(o, s, syncline.Int(2)))
		e.applied(false, put(o, s, syncline.Int(1)), remove(o, s, syncline.Int(2)))
		e.holds(o, s, vals(syncline.Int(1)))
	})
	t.Run("a record is whole without what the target computes", func(t *testing.T) {
		e := open(t, h)
		if e.traits.Partial {
			return // such a target takes any columns
		}
		s := customer()
		s.Columns[2].Generated = "id * 2"
		o := e.object(s)
		e.applied(false, put(o, s, syncline.Int(1), syncline.Text("a"), syncline.Unset))
		e.holds(o, s, vals(syncline.Int(1), syncline.Text("a"), syncline.Null))
	})
	t.Run("unset columns keep what they have", func(t *testing.T) { partial(t, h) })
	t.Run("truncate", func(t *testing.T) {
		e := open(t, h)
		other := composite()
		o, p := e.object(s), e.object(other)
		e.applied(false, put(o, s, syncline.Int(1), syncline.Text("a"), syncline.Null), put(o, s, syncline.Int(2), syncline.Text("b"), syncline.Null),
			put(p, other, syncline.Text("x"), syncline.Text("line"), syncline.Int(7)))
		e.applied(true,
			syncline.Change{Op: syncline.ChangeTruncate, Object: o, Row: syncline.Row{Schema: s}},
			put(o, s, syncline.Int(2), syncline.Text("after"), syncline.Null))
		e.holds(o, s, vals(syncline.Int(2), syncline.Text("after"), syncline.Null))
		e.holds(p, other, vals(syncline.Text("x"), syncline.Text("line"), syncline.Int(7)))
	})
}

// mixed puts n records, then in one write updates a third, deletes a third and inserts as many.
func mixed(e *env, s *syncline.Schema, n int) {
	e.t.Helper()
	o := e.object(s)
	first := make([]syncline.Change, 0, n)
	for i := range n {
		first = append(first, put(o, s, syncline.Int(int64(i)), syncline.Text("first"), syncline.Null))
	}
	e.applied(false, first...)
	var second []syncline.Change
	var want [][]syncline.Value
	for i := range n {
		switch i % 3 {
		case 0:
			second = append(second, put(o, s, syncline.Int(int64(i)), syncline.Text("tab\t nl\n back\\slash \\N"), syncline.Decimal("2")))
			want = append(want, vals(syncline.Int(int64(i)), syncline.Text("tab\t nl\n back\\slash \\N"), syncline.Decimal("2")))
		case 1:
			second = append(second, remove(o, s, syncline.Int(int64(i))))
			second = append(second, put(o, s, syncline.Int(int64(n+i)), syncline.Null, syncline.Decimal("3")))
			want = append(want, vals(syncline.Int(int64(n+i)), syncline.Null, syncline.Decimal("3")))
		case 2:
			want = append(want, vals(syncline.Int(int64(i)), syncline.Text("first"), syncline.Null))
		}
	}
	e.applied(false, second...)
	e.holds(o, s, want...)
}

func partial(t *testing.T, h Harness) {
	e := open(t, h)
	if !e.traits.Partial {
		return
	}
	s := customer()
	o := e.object(s)
	e.applied(false,
		put(o, s, syncline.Int(1), syncline.Text("a"), syncline.Decimal("1")),
		put(o, s, syncline.Int(2), syncline.Text("b"), syncline.Decimal("2")),
		put(o, s, syncline.Int(3), syncline.Text("c"), syncline.Decimal("3")))
	res := e.apply(false,
		put(o, s, syncline.Int(1), syncline.Unset, syncline.Decimal("10")),
		put(o, s, syncline.Int(8), syncline.Unset, syncline.Decimal("80")),
		put(o, s, syncline.Int(2), syncline.Text("B"), syncline.Unset),
		put(o, s, syncline.Int(9), syncline.Text("nine"), syncline.Unset),
		put(o, s, syncline.Int(3), syncline.Unset, syncline.Unset),
		put(o, s, syncline.Int(7), syncline.Unset, syncline.Unset),
		put(o, s, syncline.Int(4), syncline.Text("d"), syncline.Decimal("4")))
	e.outcomes(res, syncline.OutcomeApplied, syncline.OutcomeMissing, syncline.OutcomeApplied, syncline.OutcomeMissing,
		syncline.OutcomeApplied, syncline.OutcomeMissing, syncline.OutcomeApplied)
	want := [][]syncline.Value{
		vals(syncline.Int(1), syncline.Text("a"), syncline.Decimal("10")),
		vals(syncline.Int(2), syncline.Text("B"), syncline.Decimal("2")),
		vals(syncline.Int(3), syncline.Text("c"), syncline.Decimal("3")),
		vals(syncline.Int(4), syncline.Text("d"), syncline.Decimal("4")),
	}
	e.holds(o, s, want...)

	many := make([]syncline.Change, 0, 1500)
	outcomes := make([]syncline.Outcome, 0, 1500)
	for i := range 1500 {
		many = append(many, put(o, s, syncline.Int(int64(i)), syncline.Text("many"), syncline.Unset))
		outcome := syncline.OutcomeMissing
		if i >= 1 && i <= 4 {
			want[i-1] = vals(syncline.Int(int64(i)), syncline.Text("many"), want[i-1][2])
			outcome = syncline.OutcomeApplied
		}
		outcomes = append(outcomes, outcome)
	}
	e.outcomes(e.apply(false, many...), outcomes...)
	e.holds(o, s, want...)
}

func runOrder(t *testing.T, h Harness) {
	s := customer()
	t.Run("repeated keys take effect in order", func(t *testing.T) {
		e := open(t, h)
		o := e.object(s)
		e.applied(true,
			put(o, s, syncline.Int(1), syncline.Text("first"), syncline.Null),
			put(o, s, syncline.Int(2), syncline.Text("gone"), syncline.Null),
			put(o, s, syncline.Int(1), syncline.Text("second"), syncline.Null),
			remove(o, s, syncline.Int(2)),
			remove(o, s, syncline.Int(3)),
			put(o, s, syncline.Int(3), syncline.Text("made"), syncline.Null),
			remove(o, s, syncline.Int(1)),
			put(o, s, syncline.Int(1), syncline.Text("third"), syncline.Null))
		e.holds(o, s, vals(syncline.Int(1), syncline.Text("third"), syncline.Null), vals(syncline.Int(3), syncline.Text("made"), syncline.Null))
	})
	t.Run("an older change does not undo a newer one", func(t *testing.T) { stale(t, h) })
	t.Run("the same write again changes nothing", func(t *testing.T) {
		e := open(t, h)
		o := e.object(s)
		e.applied(false, put(o, s, syncline.Int(1), syncline.Text("old"), syncline.Null), put(o, s, syncline.Int(2), syncline.Text("two"), syncline.Null))
		w := e.write(false, put(o, s, syncline.Int(1), syncline.Text("new"), syncline.Null), remove(o, s, syncline.Int(2)))
		for range 2 {
			if _, err := e.Target.Apply(t.Context(), w); err != nil {
				t.Fatalf("Apply: %v", err)
			}
			e.holds(o, s, vals(syncline.Int(1), syncline.Text("new"), syncline.Null))
		}
	})
	t.Run("a key that changes carries its record along", func(t *testing.T) { rekey(t, h) })
}

// at has a change come from this place of the log.
func at(seq syncline.Seq, c syncline.Change) syncline.Change {
	c.Order = syncline.Order{Epoch: 1, Seq: seq, Index: 3}
	return c
}

func stale(t *testing.T, h Harness) {
	e := open(t, h)
	if e.traits.Transactional && !h.Guarded {
		return
	}
	s := customer()
	o := e.object(s)
	e.applied(false,
		at(20, put(o, s, syncline.Int(1), syncline.Text("newer"), syncline.Null)),
		at(20, put(o, s, syncline.Int(2), syncline.Text("newer"), syncline.Null)),
		at(20, put(o, s, syncline.Int(4), syncline.Text("old"), syncline.Null)))
	res := e.apply(false,
		at(19, put(o, s, syncline.Int(1), syncline.Text("older"), syncline.Null)),
		at(19, remove(o, s, syncline.Int(2))),
		at(19, put(o, s, syncline.Int(3), syncline.Text("first of its key"), syncline.Null)),
		at(21, put(o, s, syncline.Int(4), syncline.Text("new"), syncline.Null)))
	e.outcomes(res, syncline.OutcomeStale, syncline.OutcomeStale, syncline.OutcomeApplied, syncline.OutcomeApplied)
	want := [][]syncline.Value{
		vals(syncline.Int(1), syncline.Text("newer"), syncline.Null),
		vals(syncline.Int(2), syncline.Text("newer"), syncline.Null),
		vals(syncline.Int(3), syncline.Text("first of its key"), syncline.Null),
		vals(syncline.Int(4), syncline.Text("new"), syncline.Null),
	}
	e.holds(o, s, want...)
	res = e.apply(true,
		at(18, put(o, s, syncline.Int(1), syncline.Text("older"), syncline.Null)),
		at(19, remove(o, s, syncline.Int(1))))
	e.outcomes(res, syncline.OutcomeStale, syncline.OutcomeStale)
	e.holds(o, s, want...)
	if e.traits.Partial {
		res = e.apply(false,
			at(19, put(o, s, syncline.Int(1), syncline.Text("older"), syncline.Unset)),
			at(30, put(o, s, syncline.Int(99), syncline.Text("x"), syncline.Unset)))
		e.outcomes(res, syncline.OutcomeStale, syncline.OutcomeMissing)
		e.holds(o, s, want...)
	}
	truncate := at(19, syncline.Change{Op: syncline.ChangeTruncate, Object: o, Row: syncline.Row{Schema: s}})
	e.applied(true, truncate)
	e.holds(o, s, slices.Concat(want[:2], want[3:])...)
	e.applied(false, at(22, put(o, s, syncline.Int(3), syncline.Text("first of its key"), syncline.Null)))
	if e.traits.Transactional {
		return // the cursor keeps a deleted record from coming back
	}
	e.applied(false, at(31, remove(o, s, syncline.Int(1))))
	e.outcomes(e.apply(false, at(30, put(o, s, syncline.Int(1), syncline.Text("risen"), syncline.Null))), syncline.OutcomeStale)
	e.holds(o, s, want[1:]...)
}

// runEpochs checks that orders of different logs compare as LogEpochs says, at the object that they were written to.
func runEpochs(t *testing.T, h Harness) {
	e := open(t, h)
	guarded, ok := e.Target.(syncline.Guarded)
	if e.traits.Transactional && !h.Guarded {
		return
	}
	if !ok {
		t.Fatal("the target guards its records and is no syncline.Guarded")
	}
	s := customer()
	o := e.object(s)
	enter := func(g syncline.Guarded, object, log string, begins bool, want uint8) {
		t.Helper()
		if got, err := g.LogEpoch(t.Context(), object, log, begins); err != nil || got != want {
			t.Errorf("LogEpoch of %s, begins: %v = %d, %v, want %d", log, begins, got, err, want)
		}
	}
	change := func(epoch uint8, seq syncline.Seq, name string) syncline.Change {
		c := put(o, s, syncline.Int(1), syncline.Text(name), syncline.Null)
		c.Order = syncline.Order{Epoch: epoch, Seq: seq}
		return c
	}
	enter(guarded, o, "log 日本 '\"", true, 1)
	e.applied(false, change(1, 1000, "of the first log"))
	enter(guarded, o, "log-b", true, 2)
	e.applied(false, change(2, 1, "of the second log"))
	e.outcomes(e.apply(false, change(1, 1001, "late")), syncline.OutcomeStale)
	e.holds(o, s, vals(syncline.Int(1), syncline.Text("of the second log"), syncline.Null))

	again, _ := e.Reopen().(syncline.Guarded)
	enter(again, o, "log-b", false, 2)
	if _, err := again.LogEpoch(t.Context(), o, "log 日本 '\"", false); syncline.CodeOf(err) != "log_outranked" || syncline.ClassOf(err) != syncline.Fatal {
		t.Errorf("LogEpoch of a log that another came after = %v, want log_outranked", err)
	}
	enter(again, o, "log 日本 '\"", true, 3)
	e.applied(false, change(3, 1002, "of the first log again"))
	e.holds(o, s, vals(syncline.Int(1), syncline.Text("of the first log again"), syncline.Null))

	other := customer()
	other.Entity = "elsewhere"
	enter(guarded, e.object(other), "log-b", true, 1)
}

func runCurrent(t *testing.T, h Harness) {
	e := open(t, h)
	cur, ok := e.Target.(syncline.Current)
	if !ok {
		return
	}
	s := customer()
	o := e.object(s)
	e.applied(false, put(o, s, syncline.Int(1), syncline.Text("a"), syncline.Null), put(o, s, syncline.Int(2), syncline.Text("b"), syncline.Decimal("2.50")))
	var keys []syncline.Row
	for _, id := range []int64{2, 77, 1} {
		keys = append(keys, remove(o, s, syncline.Int(id)).Row)
	}
	got, err := cur.Current(t.Context(), o, s, keys)
	if err != nil {
		t.Fatalf("Current: %v", err)
	}
	want := [][]syncline.Value{vals(syncline.Int(2), syncline.Text("b"), syncline.Decimal("2.50")), nil, vals(syncline.Int(1), syncline.Text("a"), syncline.Null)}
	if !slices.EqualFunc(got, want, func(a, b []syncline.Value) bool { return (a == nil) == (b == nil) && line(a) == line(b) }) {
		t.Errorf("Current = %v, want %v", got, want)
	}
}

// runCount asks a Scanner only how many records there are.
func runCount(t *testing.T, h Harness) {
	e := open(t, h)
	sc, ok := e.Target.(syncline.Scanner)
	if !ok {
		return
	}
	s := customer()
	o := e.object(s)
	e.applied(false, put(o, s, syncline.Int(1), syncline.Text("a"), syncline.Null), put(o, s, syncline.Int(2), syncline.Null, syncline.Null),
		put(o, s, syncline.Int(3), syncline.Null, syncline.Null))
	e.applied(false, remove(o, s, syncline.Int(3)))
	n := 0
	err := sc.Scan(t.Context(), o, &syncline.Schema{Entity: s.Entity, Version: -1}, func(r syncline.Row) error {
		if n++; len(r.Values) != 0 {
			t.Errorf("Scan without columns = a row of %d values", len(r.Values))
		}
		return nil
	})
	if err != nil || n != 2 {
		t.Errorf("Scan without columns = %d rows, %v, want 2", n, err)
	}
}

// composite has a key whose order is not that of the columns.
func composite() *syncline.Schema {
	return &syncline.Schema{Entity: "line_item", Table: "public.line_item", Key: []int{2, 0}, Version: -1, Columns: []syncline.Column{
		{Name: "doc", Kind: syncline.KindText},
		{Name: "text", Kind: syncline.KindText, Nullable: true},
		{Name: "no", Kind: syncline.KindInt},
	}}
}
