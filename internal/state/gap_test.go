package state

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"syncline"
)

// TestGaps are kept as they were noted, until they are closed and long over.
func TestGaps(t *testing.T) {
	s := openNew(t)
	ctx := t.Context()
	first := Gap{ID: "a", Source: "crm", Reason: "wal_budget", By: "policy", Status: GapDeclared, From: syncline.Position{Epoch: 1, Commit: 7, Ordinal: 3}}
	second := Gap{ID: "b", Source: "crm", Route: "r", Reason: "needs_sync", Status: GapOpen, FromSeq: 4, ToSeq: 9, Next: time.UnixMicro(1_000_000).UTC()}
	for _, g := range []Gap{first, second, first} { // noting one again is nothing
		if err := s.AddGap(ctx, g); err != nil {
			t.Fatal(err)
		}
	}
	want := func(want ...Gap) {
		t.Helper()
		got, err := s.OpenGaps(ctx)
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Gap{}, "Created", "Updated")); diff != "" || err != nil {
			t.Errorf("open gaps (-want +got):\n%s%v", diff, err)
		}
	}
	want(first, second)
	if err := s.UpdateGap(ctx, "a", func(g *Gap) {
		g.Status, g.To, g.Attempts, g.Error = GapClosed, syncline.Position{Epoch: 2, Commit: 9}, 2, "why"
	}); err != nil {
		t.Fatal(err)
	}
	want(second)
	if err := s.UpdateGap(ctx, "none", func(*Gap) {}); !errors.Is(err, ErrNotFound) {
		t.Errorf("update of a gap that is not there = %v", err)
	}
	all, err := s.Gaps(ctx, "crm", time.Now().Add(-time.Hour))
	if err != nil || len(all) != 2 || all[0].ID != "b" || all[1].To.Commit != 9 || all[1].Error != "why" {
		t.Errorf("gaps of the last hour = %+v, %v", all, err)
	}
	if none, err := s.Gaps(ctx, "crm", time.Now().Add(time.Hour)); len(none) != 0 || err != nil {
		t.Errorf("gaps to come = %+v, %v", none, err)
	}
	if err := s.TrimGaps(ctx, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if all, err := s.Gaps(ctx, "crm", time.Time{}); len(all) != 1 || all[0].ID != "b" || err != nil {
		t.Errorf("gaps after a trim = %+v, %v, want the one that is open", all, err)
	}
}
