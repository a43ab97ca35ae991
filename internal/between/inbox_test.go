package between

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"syncline"
	"syncline/internal/conflict"
)

// What a person decides about a record that one side deleted and the other one changed is carried out, also where it is to go on the side
// whose lane tells of it.
func TestAPersonDecidesAboutADeletion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, &Policy{Deleted: DeletedConflict})
		r := Record{syncline.Int(1), syncline.Text("a"), syncline.Decimal("1"), syncline.Text("n"), syncline.Null}
		changed := Record{syncline.Int(1), syncline.Text("b"), syncline.Decimal("1"), syncline.Text("n"), syncline.Null}
		w.sides[0].write(1, r)
		w.settle()
		deletes := rapid.IntRange(0, 1).Draw(t, "deletes")
		w.sides[deletes].write(1, nil)
		w.sides[1-deletes].write(1, changed)
		tells := -1
		for side := range w.sides {
			if w.step(side) != nil {
				tells = side
			}
		}
		if tells < 0 {
			t.Fatal("nobody tells of the conflict")
		}
		action := rapid.SampledFrom([]conflict.Action{conflict.Overwrite, conflict.Skip}).Draw(t, "action")
		w.lanes[tells].Choose(map[int]conflict.Choice{0: {Action: action, State: w.lanes[tells].Conflicts()[0].State}})
		if err := w.step(tells); err != nil {
			t.Fatal(err)
		}
		want := changed
		if (action == conflict.Overwrite) == (tells == deletes) {
			want = nil
		}
		for side, d := range w.sides {
			if got := d.all()[1]; !equalRecords(got, want) {
				t.Fatalf("%s by lane %d: side %d has %v, want %v", action, tells, side, got, want)
			}
		}
		w.settle()
		w.checkEqual()
	})
}

// A deletion that waited for a person because of a change on the other side is followed once that side takes its change back. The lane of the
// change must not be the one that waits: it never follows a deletion of the other side.
func TestADeletionIsFollowedWhenTheChangeIsTakenBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, &Policy{Deleted: DeletedConflict})
		r := Record{syncline.Int(1), syncline.Text("a"), syncline.Decimal("1"), syncline.Text("n"), syncline.Null}
		changed := Record{syncline.Int(1), syncline.Text("b"), syncline.Decimal("1"), syncline.Text("n"), syncline.Null}
		w.sides[0].write(1, r)
		w.settle()
		deletes := rapid.IntRange(0, 1).Draw(t, "deletes")
		w.sides[deletes].write(1, nil)
		w.sides[1-deletes].write(1, changed)
		for range rapid.IntRange(1, 4).Draw(t, "steps") {
			_ = w.step(rapid.IntRange(0, 1).Draw(t, "side"))
		}
		w.sides[1-deletes].write(1, r)
		w.settle()
		w.checkEqual()
		if got := w.sides[1-deletes].all()[1]; got != nil {
			t.Fatalf("side %d still has %v", 1-deletes, got)
		}
	})
}

// A record that comes back, as another one, while its deletion waits for a person, is still a conflict that somebody tells of.
func TestARecordThatComesBackIsStillAConflict(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, &Policy{Deleted: DeletedConflict})
		named := func(name string) Record {
			return Record{syncline.Int(1), syncline.Text(name), syncline.Decimal("1"), syncline.Text("n"), syncline.Null}
		}
		w.sides[0].write(1, named("a"))
		w.settle()
		deletes := rapid.IntRange(0, 1).Draw(t, "deletes")
		w.sides[deletes].write(1, nil)
		w.sides[1-deletes].write(1, named("b"))
		for range rapid.IntRange(0, 4).Draw(t, "steps") {
			_ = w.step(rapid.IntRange(0, 1).Draw(t, "side"))
		}
		w.sides[deletes].write(1, named("c"))
		asked := false
		for side := range w.sides {
			asked = w.step(side) != nil || asked
		}
		if !asked {
			t.Fatal("nobody tells of it")
		}
	})
}

// What is kept of a person's decision names the fields that it was about.
func TestADecisionNamesItsFields(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, &Policy{})
		record := func(name string) Record {
			return Record{syncline.Int(1), syncline.Text(name), syncline.Decimal("1"), syncline.Text("n"), syncline.Null}
		}
		w.sides[0].write(1, record("a"))
		w.settle()
		w.sides[0].write(1, record("b"))
		w.sides[1].write(1, record("c"))
		if w.step(0) == nil {
			t.Fatal("nobody tells of the conflict")
		}
		action := rapid.SampledFrom([]conflict.Action{conflict.Overwrite, conflict.Skip}).Draw(t, "action")
		w.lanes[0].Choose(map[int]conflict.Choice{0: {Action: action, State: w.lanes[0].Conflicts()[0].State}})
		if err := w.step(0); err != nil {
			t.Fatal(err)
		}
		rec := w.lanes[0].Conflicts()[0]
		if rec == nil || rec.Action != action || !slices.Equal(rec.Fields, []string{"name"}) {
			t.Fatalf("the decision is kept as %+v, want %s of name", rec, action)
		}
	})
}
