package between

import (
	"testing"

	"pgregory.net/rapid"

	"syncline"
)

// TestLook: what both sides hold is told, with what would be decided, and nothing is written.
func TestLook(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, &Policy{})
		record := func(name string) Record {
			return Record{syncline.Int(1), syncline.Text(name), syncline.Decimal("1"), syncline.Null, syncline.Null}
		}
		w.sides[0].write(1, record("Ann"))
		w.settle()
		look := func(side int) Look {
			l, err := w.pair.Look(t.Context(), side, []string{"1"})
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		l := look(1)
		if l.Verdict.Conflict || l.Verdict.Write != [2]bool{} || l.Held[0].Record[1].Text() != "Ann" || l.Held[1].Record[1].Text() != "Ann" || l.Held[1].Shadow == nil && l.Held[0].Shadow == nil {
			t.Fatalf("both sides agree: %+v", l)
		}
		w.sides[1].put(1, record("Bea"))
		if l = look(0); l.Verdict.Write != [2]bool{true, false} || l.Verdict.Result[1].Text() != "Bea" {
			t.Fatalf("one side has changed: %+v", l)
		}
		w.sides[0].put(1, record("Cho"))
		if l = look(0); !l.Verdict.Conflict || len(l.Verdict.Fields) != 1 || l.Verdict.Fields[0] != 1 || l.Keys != [2]syncline.Key{"1", "1"} {
			t.Fatalf("both sides have changed: %+v", l)
		}
		if l = look(1); l.Held[0].Record[1].Text() != "Cho" || l.Held[1].Record[1].Text() != "Bea" {
			t.Fatalf("a look has changed something: %+v", l)
		}
		if _, err := w.pair.Look(t.Context(), 0, []string{"1", "2"}); syncline.CodeOf(err) != "bad_key" {
			t.Fatalf("Look at a key of two parts = %v", err)
		}
	})
}
