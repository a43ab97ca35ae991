package state

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

// TestConflictsFollowTheirTasks: a conflict is one row for its task, however often it is written; it is open until its task is over, and is
// then kept for a while.
func TestConflictsFollowTheirTasks(t *testing.T) {
	s := openNew(t)
	ctx := t.Context()
	sl := Slice{Route: "r"}
	place1(t, s, sl)
	x := task("t1", 1, 0, StatusConflict)
	c := Commit{Slice: sl, Journal: journal(1, 2, Parked), Park: []Exception{x}}
	found := Conflict{Task: "t1", Rule: "rule", Source: "crm", Entity: "customer", Object: "o", Key: "k", Detector: "data", Fields: []string{"tier"},
		Ours: []byte(`{"tier":"gold"}`), Strategy: "manual", Action: "review", Held: []byte{1}, Open: true, Created: x.Created, Updated: x.Created}
	c.Conflicts = []Conflict{found}
	for range 2 {
		if err := s.Commit(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	open := true
	list, _, err := s.Conflicts(ctx, ConflictFilter{Open: &open, Rule: "rule", Field: "tier"})
	found.Slice = sl
	if diff := cmp.Diff([]Conflict{found}, list); err != nil || diff != "" {
		t.Fatalf("conflicts (-want +got): %v\n%s", err, diff)
	}
	if list, _, err := s.Conflicts(ctx, ConflictFilter{Field: "tie"}); err != nil || len(list) > 0 {
		t.Errorf("conflicts about another field = %v, %v", list, err)
	}
	if n, err := s.OpenConflicts(ctx); err != nil || n["rule"] != 1 {
		t.Errorf("open conflicts = %v, %v, want one", n, err)
	}
	found.Detector, found.Business = "business", "closed stays closed"
	again := found // as it is written after a decision that came too late: nothing is detected again
	again.Detector, again.Business = "", ""
	for _, c := range []Conflict{found, again} {
		if err := s.Commit(ctx, Commit{Slice: sl, Conflicts: []Conflict{c}}); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := s.Conflict(ctx, "t1"); err != nil || got.Detector != found.Detector || got.Business != found.Business {
		t.Errorf("found by %s (%s), %v, want %s (%s) as before", got.Detector, got.Business, err, found.Detector, found.Business)
	}
	choice := Choice{Action: "overwrite", Held: []byte{1}, By: "ada", Reason: "so it is"}
	refused, err := s.Choose(ctx, map[string]Choice{"t1": choice, "t2": choice})
	if err != nil || len(refused) != 1 || !errors.Is(refused["t2"], ErrNotFound) {
		t.Fatalf("Choose for one that is open and one that is not = %v, %v", refused, err)
	}
	choices, err := s.Choices(ctx, sl)
	if diff := cmp.Diff(map[string]Choice{"t1": choice}, choices); err != nil || diff != "" {
		t.Errorf("choices (-want +got): %v\n%s", err, diff)
	}
	x.Status, x.Updated = StatusCancelled, x.Created.Add(time.Minute)
	if err := s.Commit(ctx, Commit{Slice: sl, Update: []Exception{x}}); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Conflict(ctx, "t1"); err != nil || got.Open || got.Action != "cancelled" || got.Choice != nil {
		t.Errorf("conflict of a task that is over = %+v, %v", got, err)
	}
	if n, err := s.OpenConflicts(ctx); err != nil || len(n) > 0 {
		t.Errorf("open conflicts = %v, %v, want none", n, err)
	}
	refused, err = s.Choose(ctx, map[string]Choice{"t1": choice})
	if err != nil || !errors.Is(refused["t1"], ErrNotFound) || syncline.CodeOf(refused["t1"]) != "conflict_not_found" {
		t.Errorf("Choose of one that is over = %v, %v", refused, err)
	}
	if err := s.TrimConflicts(ctx, x.Updated, 10); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Conflict(ctx, "t1"); err != nil {
		t.Errorf("a conflict was removed before its time: %v", err)
	}
	if err := s.TrimConflicts(ctx, x.Updated.Add(time.Second), 10); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Conflict(ctx, "t1"); !errors.Is(err, ErrNotFound) {
		t.Errorf("an old conflict = %v, want none", err)
	}
}

// TestConflictsAreKeptForAWhile: of what is decided the oldest goes where there is more than is kept; what is open stays.
// TestConflictsOfTasksThatAreTakenBack wait for nobody: in another batch another task of the record may wait instead. What a person has
// decided about one is still known when it is found again.
func TestConflictsOfTasksThatAreTakenBack(t *testing.T) {
	s := openNew(t)
	ctx := t.Context()
	sl := Slice{Route: "r"}
	place1(t, s, sl)
	commit := func(seq syncline.Seq, name string) {
		t.Helper()
		err := s.Commit(ctx, Commit{Slice: sl, Journal: journal(seq, seq+1, Parked), Park: []Exception{task(name, seq, 0, StatusConflict)},
			Conflicts: []Conflict{{Task: name, Rule: "rule", Key: "k", Action: "review", Held: []byte{1}, Open: true}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	wantOpen := func(want ...string) {
		t.Helper()
		open := true
		list, _, err := s.Conflicts(ctx, ConflictFilter{Open: &open})
		got := []string{}
		for _, c := range list {
			got = append(got, c.Task)
		}
		if diff := cmp.Diff(append([]string{}, want...), got); err != nil || diff != "" {
			t.Errorf("open conflicts (-want +got): %v\n%s", err, diff)
		}
	}
	commit(1, "t1")
	commit(2, "t2")
	if _, err := s.Choose(ctx, map[string]Choice{"t2": {Action: "overwrite", By: "ada"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Rewind(ctx, sl, cur(2, 0)); err != nil {
		t.Fatal(err)
	}
	wantOpen("t1")
	if c, err := s.Choices(ctx, sl); err != nil || c["t2"].By != "ada" {
		t.Errorf("choices = %v, %v, want that of t2", c, err)
	}
	commit(2, "t2")
	wantOpen("t1", "t2")
	commit(2, "t3") // another attempt at the same batch, which has other tasks in conflict
	wantOpen("t1", "t3")
}

func TestConflictsAreKeptForAWhile(t *testing.T) {
	s := openNew(t)
	ctx := t.Context()
	sl := Slice{Route: "r"}
	place1(t, s, sl)
	c := Commit{Slice: sl, Journal: journal(1, 2, Parked)}
	old := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i := range 5 {
		found := Conflict{Task: fmt.Sprintf("t%d", i+1), Rule: "rule", Held: []byte{1}, Fields: []string{"tier"}, Action: "skip", Open: i == 1, Created: old, Updated: old}
		c.Conflicts = append(c.Conflicts, found)
	}
	c.Park = []Exception{task("t2", 1, 0, StatusConflict)}
	if err := s.Commit(ctx, c); err != nil {
		t.Fatal(err)
	}
	if err := s.TrimConflicts(ctx, old, 2); err != nil {
		t.Fatal(err)
	}
	list, _, err := s.Conflicts(ctx, ConflictFilter{})
	var left []string
	for i := range list {
		left = append(left, list[i].Task)
	}
	if diff := cmp.Diff([]string{"t2", "t4", "t5"}, left); err != nil || diff != "" {
		t.Errorf("conflicts that are kept (-want +got): %v\n%s", err, diff)
	}
}
