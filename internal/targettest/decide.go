package targettest

import (
	"errors"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

// decider answers Write.Decide from a list, one decision for each change, and notes what it was told.
type decider struct {
	decisions []syncline.Decision
	told      []string
}

func (d *decider) decide(i int, held syncline.Held) (syncline.Decision, error) {
	for len(d.told) <= i {
		d.told = append(d.told, "")
	}
	if held.Untouched { // this one tells what it is told
		if held.Values != nil {
			return syncline.Decision{}, errors.New("an untouched record has values")
		}
		return syncline.Decision{}, syncline.ErrUnread
	}
	d.told[i] = told(held)
	return d.decisions[i], nil
}

// told writes what was held as one line.
func told(h syncline.Held) string {
	text := "nothing"
	if h.Values != nil {
		text = line(h.Values)
	}
	if h.Shadow == nil {
		return text
	}
	return text + " after " + strconv.Quote(string(h.Shadow))
}

// decided applies the changes as decisions say, and checks what the target told of each.
func (e *env) decided(ordered bool, changes []syncline.Change, decisions []syncline.Decision, want ...string) {
	e.t.Helper()
	d := &decider{decisions: decisions}
	w := e.write(ordered, changes...)
	w.Decide, w.Recalls = d.decide, true
	res, err := e.Target.Apply(e.t.Context(), w)
	if err != nil {
		e.t.Fatalf("Apply: %v", err)
	}
	e.cursor = w.Cursor
	outcomes := make([]syncline.Outcome, len(decisions))
	for i := range decisions {
		outcomes[i] = decisions[i].Outcome
	}
	e.outcomes(res, outcomes...)
	if diff := cmp.Diff(want, d.told); diff != "" {
		e.t.Errorf("held (-want +got):\n%s", diff)
	}
}

// as decides that the record becomes the values.
func as(shadow string, values ...syncline.Value) syncline.Decision {
	return syncline.Decision{Op: syncline.ChangePut, Values: values, Shadow: []byte(shadow)}
}

func runDecide(t *testing.T, h Harness) {
	s := customer()
	ann := func(name, credit string) []syncline.Value {
		return vals(syncline.Int(1), syncline.Text(name), syncline.Decimal(credit))
	}
	one := func(o string, values []syncline.Value) []syncline.Change {
		return []syncline.Change{put(o, s, values...)}
	}
	t.Run("the life of a record and its shadow", func(t *testing.T) {
		e := open(t, h)
		o := e.object(s)
		e.decided(false, one(o, ann("Ann", "1")), []syncline.Decision{as("first", ann("Ann", "1")...)}, "nothing")
		e.holds(o, s, ann("Ann", "1"))
		e.decided(false, one(o, ann("Bea", "2")), []syncline.Decision{as("merged", ann("Ann", "2.50")...)}, line(ann("Ann", "1"))+` after "first"`)
		e.holds(o, s, ann("Ann", "2.50"))
		keep := syncline.Decision{Shadow: []byte("kept"), Outcome: syncline.OutcomeKept}
		e.decided(false, one(o, ann("Cho", "3")), []syncline.Decision{keep}, line(ann("Ann", "2.50"))+` after "merged"`)
		conflict := syncline.Decision{Shadow: []byte("kept"), Outcome: syncline.OutcomeConflict}
		e.decided(false, one(o, ann("Cho", "3")), []syncline.Decision{conflict}, line(ann("Ann", "2.50"))+` after "kept"`)
		e.holds(o, s, ann("Ann", "2.50"))
		e.reopen()
		gone := []syncline.Change{remove(o, s, syncline.Int(1))}
		e.decided(false, gone, []syncline.Decision{{Op: syncline.ChangeDelete, Shadow: []byte("gone")}}, line(ann("Ann", "2.50"))+` after "kept"`)
		e.holds(o, s)
		e.decided(false, gone, []syncline.Decision{{Op: syncline.ChangeDelete}}, `nothing after "gone"`)
		e.decided(false, one(o, ann("Dee", "4")), []syncline.Decision{as("again", ann("Dee", "4")...)}, "nothing")
		e.holds(o, s, ann("Dee", "4"))
	})
	t.Run("unset values keep what there is", func(t *testing.T) {
		e := open(t, h)
		o := e.object(s)
		e.applied(false, put(o, s, ann("Ann", "1")...))
		part := vals(syncline.Int(1), syncline.Unset, syncline.Decimal("7"))
		e.decided(false, one(o, ann("x", "7")), []syncline.Decision{as("s", part...)}, line(ann("Ann", "1")))
		e.holds(o, s, ann("Ann", "7"))
	})
	t.Run("a record that is only kept is one", func(t *testing.T) {
		e := open(t, h)
		if !e.traits.Marks {
			return
		}
		s, unset, null, no, yes := kept(), syncline.Unset, syncline.Null, syncline.Bool(false), syncline.Bool(true)
		o := e.object(s)
		ann := func(name, gone syncline.Value) []syncline.Value {
			return vals(syncline.Int(1), name, null, gone, null, null)
		}
		live, gone := ann(syncline.Text("Ann"), no), ann(syncline.Text("Ann"), yes)
		for _, ordered := range []bool{false, true} {
			e.applied(ordered, put(o, s, live...))
			away := []syncline.Change{mark(o, s, syncline.Int(1), unset, unset, yes, unset, unset)}
			note := as("gone", syncline.Int(1), unset, unset, yes, unset, unset)
			e.decided(ordered, away, []syncline.Decision{note}, line(live))
			e.holds(o, s, gone)
			note.Shadow = []byte("again") // of a record that is kept already, and alone
			e.decided(ordered, away, []syncline.Decision{note}, line(gone)+` after "gone"`)
			e.decided(ordered, away, []syncline.Decision{{Shadow: []byte("heard")}}, line(gone)+` after "again"`)
			e.decided(ordered, away, []syncline.Decision{{}}, line(gone)+` after "heard"`)
			part := as("part", syncline.Int(1), syncline.Text("Bea"), unset, unset, unset, unset)
			e.decided(ordered, away, []syncline.Decision{part}, line(gone))
			e.holds(o, s, ann(syncline.Text("Bea"), yes))
			back := ann(syncline.Text("Cho"), no)
			e.decided(ordered, []syncline.Change{put(o, s, back...)}, []syncline.Decision{as("back", back...)}, line(ann(syncline.Text("Bea"), yes))+` after "part"`)
			e.holds(o, s, back)
			e.decided(ordered, []syncline.Change{remove(o, s, syncline.Int(1))}, []syncline.Decision{{Op: syncline.ChangeDelete}}, line(back)+` after "back"`)
		}
	})
	t.Run("a record that others wrote has no shadow", func(t *testing.T) {
		e := open(t, h)
		o := e.object(s)
		e.applied(false, put(o, s, ann("Ann", "1")...), put(o, s, syncline.Int(2), syncline.Null, syncline.Null))
		e.decided(false, []syncline.Change{put(o, s, syncline.Int(2), syncline.Text("b"), syncline.Null), put(o, s, ann("a", "1")...)},
			[]syncline.Decision{as("two", syncline.Int(2), syncline.Text("b"), syncline.Null), {Outcome: syncline.OutcomeKept}},
			line(vals(syncline.Int(2), syncline.Null, syncline.Null)), line(ann("Ann", "1")))
		e.holds(o, s, ann("Ann", "1"), vals(syncline.Int(2), syncline.Text("b"), syncline.Null))
	})
	t.Run("null is another value than none", func(t *testing.T) {
		e := open(t, h)
		o := e.object(s)
		null, empty := vals(syncline.Int(1), syncline.Null, syncline.Null), vals(syncline.Int(1), syncline.Text(""), syncline.Null)
		for _, ordered := range []bool{false, true} {
			e.applied(ordered, put(o, s, null...))
			e.decided(ordered, one(o, empty), []syncline.Decision{{Op: syncline.ChangePut, Values: empty}}, line(null))
			e.holds(o, s, empty)
			e.decided(ordered, one(o, null), []syncline.Decision{{Op: syncline.ChangePut, Values: null}}, line(empty))
			e.holds(o, s, null)
			none := syncline.Decision{Op: syncline.ChangePut, Values: null, Shadow: []byte{}} // an empty shadow is one
			e.decided(ordered, one(o, null), []syncline.Decision{none}, line(null))
			e.decided(ordered, one(o, null), []syncline.Decision{{}}, line(null)+` after ""`)
			e.decided(ordered, one(o, null), []syncline.Decision{{}}, line(null))
		}
	})
	t.Run("order vetoes nothing", func(t *testing.T) {
		e := open(t, h)
		o := e.object(s)
		late := put(o, s, ann("late", "1")...)
		late.Order = syncline.Order{Epoch: 2, Seq: 900}
		e.decided(false, []syncline.Change{late}, []syncline.Decision{as("late", ann("late", "1")...)}, "nothing")
		early := put(o, s, ann("early", "2")...)
		early.Order = syncline.Order{Epoch: 1, Seq: 3}
		e.decided(false, []syncline.Change{early}, []syncline.Decision{as("early", ann("early", "2")...)}, line(ann("late", "1"))+` after "late"`)
		e.holds(o, s, ann("early", "2"))
		if !e.traits.Transactional { // the version that the record has goes on to veto where nothing is decided
			behind := put(o, s, ann("behind", "3")...)
			behind.Order = syncline.Order{Epoch: 2, Seq: 800}
			e.outcomes(e.apply(false, behind), syncline.OutcomeStale)
			e.holds(o, s, ann("early", "2"))
		}
		gone := remove(o, s, syncline.Int(1))
		gone.Order = syncline.Order{Epoch: 1, Seq: 2}
		e.decided(false, []syncline.Change{gone}, []syncline.Decision{{Op: syncline.ChangeDelete}}, line(ann("early", "2"))+` after "early"`)
		e.holds(o, s)
	})
	t.Run("in order, a change sees what was decided before it", func(t *testing.T) {
		e := open(t, h)
		o := e.object(s)
		e.decided(true, []syncline.Change{put(o, s, ann("a", "1")...), put(o, s, ann("b", "2")...), remove(o, s, syncline.Int(1)), put(o, s, ann("c", "3")...)},
			[]syncline.Decision{as("1", ann("a", "1")...), as("2", ann("b", "2")...), {Op: syncline.ChangeDelete, Shadow: []byte("3")}, as("4", ann("c", "3")...)},
			"nothing", line(ann("a", "1"))+` after "1"`, line(ann("b", "2"))+` after "2"`, `nothing after "3"`)
		e.holds(o, s, ann("c", "3"))
	})
	t.Run("truncate forgets the shadows", func(t *testing.T) {
		e := open(t, h)
		o, p := e.object(s), e.object(composite())
		line7 := put(p, composite(), syncline.Text("x"), syncline.Text("line"), syncline.Int(7))
		e.decided(false, []syncline.Change{put(o, s, ann("a", "1")...), remove(o, s, syncline.Int(2)), line7},
			[]syncline.Decision{as("1", ann("a", "1")...), {Op: syncline.ChangeDelete, Shadow: []byte("2")}, as("7", line7.Row.Values...)}, "nothing", "nothing", "nothing")
		d := &decider{decisions: make([]syncline.Decision, 1)}
		w := e.write(true, syncline.Change{Op: syncline.ChangeTruncate, Object: o, Row: syncline.Row{Schema: s}})
		w.Decide, w.Recalls = d.decide, true
		if _, err := e.Target.Apply(t.Context(), w); err != nil || len(d.told) > 0 {
			t.Fatalf("Apply of a truncate: %v, asked about %q", err, d.told)
		}
		e.cursor = w.Cursor
		e.decided(false, []syncline.Change{put(o, s, ann("b", "1")...), remove(o, s, syncline.Int(2)), line7},
			[]syncline.Decision{as("b", ann("b", "1")...), {Op: syncline.ChangeDelete}, {Shadow: []byte("7"), Outcome: syncline.OutcomeKept}},
			"nothing", "nothing", line(line7.Row.Values)+` after "7"`)
	})
	t.Run("in order, behind a truncate there is nothing", func(t *testing.T) {
		e := open(t, h)
		o := e.object(s)
		e.decided(false, one(o, ann("a", "1")), []syncline.Decision{as("1", ann("a", "1")...)}, "nothing")
		e.decided(true, []syncline.Change{{Op: syncline.ChangeTruncate, Object: o, Row: syncline.Row{Schema: s}}, put(o, s, ann("b", "2")...)},
			[]syncline.Decision{{}, as("2", ann("b", "2")...)}, "", "nothing")
		e.holds(o, s, ann("b", "2"))
	})
	t.Run("thousands at once", func(t *testing.T) { decideMany(t, h) })
	t.Run("an error of the decision", func(t *testing.T) {
		e := open(t, h)
		o := e.object(s)
		e.decided(false, one(o, ann("a", "1")), []syncline.Decision{as("1", ann("a", "1")...)}, "nothing")
		w := e.write(false, put(o, s, ann("b", "2")...))
		wrong := errors.New("no decision")
		w.Decide = func(int, syncline.Held) (syncline.Decision, error) { return syncline.Decision{}, wrong }
		if _, err := e.Target.Apply(t.Context(), w); !errors.Is(err, wrong) {
			t.Fatalf("Apply = %v, want the decision's error", err)
		}
		e.reopen()
		e.decided(false, one(o, ann("c", "3")), []syncline.Decision{as("c", ann("c", "3")...)}, line(ann("a", "1"))+` after "1"`)
	})
	t.Run("a decision that the target refuses", func(t *testing.T) { decideRefused(t, h) })
	t.Run("a column that the object lacks", func(t *testing.T) { decideLacking(t, h) })
	t.Run("values come back as they are", func(t *testing.T) { decideHostile(t, h) })
}

// decideMany writes, reads back and removes many records, some of them without a shadow.
func decideMany(t *testing.T, h Harness) {
	const n = 3000
	e := open(t, h)
	s := customer()
	o := e.object(s)
	row := func(i int, name string) []syncline.Value {
		return vals(syncline.Int(int64(i)), syncline.Text(name), syncline.Decimal(strconv.Itoa(i)))
	}
	var first, second []syncline.Change
	var decisions, then []syncline.Decision
	var nothing, held []string
	var left [][]syncline.Value
	for i := range n {
		a, b := row(i, "a"), row(i, "b")
		first, decisions, nothing = append(first, put(o, s, a...)), append(decisions, as("s"+strconv.Itoa(i), a...)), append(nothing, "nothing")
		held = append(held, line(a)+" after "+strconv.Quote("s"+strconv.Itoa(i)))
		switch i % 3 {
		case 0:
			second, then = append(second, put(o, s, b...)), append(then, as("t", b...))
			left = append(left, b)
		case 1:
			second, then = append(second, remove(o, s, syncline.Int(int64(i)))), append(then, syncline.Decision{Op: syncline.ChangeDelete, Shadow: []byte("gone")})
		default:
			second, then = append(second, put(o, s, b...)), append(then, syncline.Decision{Outcome: syncline.OutcomeKept})
			left = append(left, a)
		}
	}
	e.decided(false, first, decisions, nothing...)
	e.decided(false, second, then, held...)
	e.holds(o, s, left...)
	for i := range held {
		switch i % 3 {
		case 0:
			held[i] = line(row(i, "b")) + ` after "t"`
		case 1:
			held[i] = `nothing after "gone"`
		default:
			held[i] = line(row(i, "a"))
		}
	}
	e.decided(false, second, slices.Repeat([]syncline.Decision{{Outcome: syncline.OutcomeKept}}, n), held...)
}

// decideRefused has the target refuse what was decided: neither the record nor the shadow changes.
func decideRefused(t *testing.T, h Harness) {
	e := open(t, h)
	if e.Refuse == nil {
		return
	}
	s := customer()
	o := e.object(s)
	e.decided(false, []syncline.Change{put(o, s, syncline.Int(1), syncline.Text("a"), syncline.Null)},
		[]syncline.Decision{as("1", syncline.Int(1), syncline.Text("a"), syncline.Null)}, "nothing")
	bad := e.Refuse(o, syncline.Row{Schema: s, Values: vals(syncline.Int(2), syncline.Text("b"), syncline.Null)})
	d := &decider{decisions: []syncline.Decision{as("2", bad.Values...)}}
	w := e.write(false, syncline.Change{Op: syncline.ChangePut, Object: o, Row: bad})
	w.Decide, w.Recalls = d.decide, true
	res, err := e.Target.Apply(t.Context(), w)
	if err == nil {
		err = res.Rejected[0]
		e.cursor = w.Cursor
	}
	if syncline.ClassOf(err) != syncline.Rejected {
		t.Fatalf("Apply of a refused record = %v, want class rejected", err)
	}
	d = &decider{decisions: []syncline.Decision{{Outcome: syncline.OutcomeKept}}}
	w = e.write(false, remove(o, s, syncline.Int(2)))
	w.Decide, w.Recalls = d.decide, true
	res, err = e.Target.Apply(t.Context(), w)
	if err != nil {
		t.Fatalf("Apply: %v", err)
	}
	// What stands in the record's place may be there still, and cannot be asked about.
	if res.Outcomes[0] != syncline.OutcomeRejected && !slices.Equal(d.told, []string{"nothing"}) {
		t.Errorf("held after a refusal = %q, want nothing", d.told)
	}
}

// decideLacking asks about a record in the terms of a schema with a column that the object does not have.
func decideLacking(t *testing.T, h Harness) {
	e := open(t, h)
	d, ok := e.Target.(syncline.Definer)
	if !ok || h.FreeForm || e.Object != nil {
		return
	}
	s := customer()
	o := e.object(s)
	wide := customer()
	wide.Columns = append(slices.Clone(wide.Columns), syncline.Column{Name: "extra", Kind: syncline.KindText, Nullable: true})
	if _, err := d.Define(t.Context(), syncline.Definition{Object: o, Schema: wide, Previous: s}); err != nil {
		t.Fatalf("Define: %v", err)
	}
	row := vals(syncline.Int(1), syncline.Text("a"), syncline.Null, syncline.Text("x"))
	e.decided(false, []syncline.Change{put(o, wide, row...)}, []syncline.Decision{as("1", row...)}, "nothing")
	e.decided(false, []syncline.Change{put(o, wide, row...)}, []syncline.Decision{{Outcome: syncline.OutcomeKept}},
		line(vals(syncline.Int(1), syncline.Text("a"), syncline.Null, syncline.Unset))+` after "1"`)
}

// decideHostile writes each hostile value and is told it.
func decideHostile(t *testing.T, h Harness) {
	for _, v := range HostileValues() {
		if slices.Contains(h.Refuses, v.Name) {
			continue
		}
		kind := v.Value.Kind()
		if kind == syncline.KindNull {
			kind = syncline.KindText
		}
		s := &syncline.Schema{Entity: "decide_" + v.Name, Key: []int{0}, Version: -1, Columns: []syncline.Column{
			{Name: "id", Kind: syncline.KindText}, {Name: "v", Kind: kind, Nullable: true}}}
		want := v.Value
		if h.Stored != nil {
			want = h.Stored(v.Name, want)
		}
		e := open(t, h)
		o := e.object(s)
		key := syncline.Text(`a,b/é "%" '`)
		e.decided(false, []syncline.Change{put(o, s, key, v.Value)}, []syncline.Decision{as("\x00\xff", key, v.Value)}, "nothing")
		e.decided(false, []syncline.Change{put(o, s, key, v.Value)}, []syncline.Decision{{Op: 0}}, line(vals(key, want))+` after "\x00\xff"`)
	}
}
