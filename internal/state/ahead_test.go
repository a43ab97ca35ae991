package state

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

// TestWhatIsDoneAheadGoesWithItsBatch: the target's cursor alone tells whether it is done.
func TestWhatIsDoneAheadGoesWithItsBatch(t *testing.T) {
	s := openNew(t)
	ctx := t.Context()
	place1(t, s, sl)
	first, second := Ahead{Rule: "r", Seq: 50, Index: 2, Outcome: Applied}, Ahead{Rule: "r", Seq: 60, Index: 0, Outcome: Superseded}
	is := func(when string, want ...Ahead) {
		t.Helper()
		got, err := s.Ahead(ctx, sl)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	must(t, s.Commit(ctx, Commit{Slice: sl, Journal: journal(1, 2, Applied), Ahead: []Ahead{first}}))
	must(t, s.Commit(ctx, Commit{Slice: sl, Journal: journal(2, 3, Applied), Ahead: []Ahead{second}}))
	must(t, s.Commit(ctx, Commit{Slice: sl, Journal: journal(2, 3, Applied), Ahead: []Ahead{second}}))
	is("after a batch that was committed twice", first, second)
	if _, err := s.Rewind(ctx, sl, cur(2, 0)); err != nil {
		t.Fatal(err)
	}
	is("the target has the first batch", first)
	must(t, s.Commit(ctx, Commit{Slice: sl, Journal: journal(2, 55, Applied), Ahead: []Ahead{second}}))
	is("behind the first event", second)
	if _, err := s.Rewind(ctx, sl, cur(2, 0)); err != nil {
		t.Fatal(err)
	}
	is("before the first event again, which the target still has", first)
	if _, err := s.Rewind(ctx, sl, cur(1, 0)); err != nil {
		t.Fatal(err)
	}
	is("the target has nothing")

	must(t, s.Commit(ctx, Commit{Slice: sl, Journal: journal(1, 2, Applied), Ahead: []Ahead{first}}))
	place1(t, s, sl)
	is("the route begins anew")

	must(t, s.Commit(ctx, Commit{Slice: sl, Journal: journal(1, 2, Applied), Ahead: []Ahead{first, second}}))
	must(t, s.Trim(ctx, "crm", 55))
	is("the log was purged up to the second event", second)
	place1(t, s, sl)

	for name, a := range map[string]Ahead{"inside the batch": {Rule: "r", Seq: 1, Index: 0}, "parked": {Rule: "r", Seq: 9, Outcome: Parked}} {
		err := s.Commit(ctx, Commit{Slice: sl, Journal: journal(1, 2, Applied), Ahead: []Ahead{a}})
		if syncline.CodeOf(err) != "counts_unbalanced" {
			t.Errorf("%s: %v, want counts_unbalanced", name, err)
		}
	}
}
