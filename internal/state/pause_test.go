package state

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

func TestPausesAreKeptUntilTheyAreLifted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := openAt(t, path)
	since := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	crm := Pause{Kind: PauseSource, Name: "crm", Reason: "upgrade", By: "ada", Since: since}
	rule := Pause{Kind: PauseRule, Name: "crm", Reason: "wrong", By: "bob", Since: since}
	must(t, s.AddPauses(t.Context(), []Pause{crm, rule}))
	crm.Reason, crm.By = "a longer upgrade", "eve"
	again := crm
	again.Since = since.Add(time.Hour)
	must(t, s.AddPauses(t.Context(), []Pause{again}))
	must(t, s.Close())

	s = openAt(t, path)
	missing := Pause{Kind: PauseTarget, Name: "crm"}
	err := s.RemovePauses(t.Context(), []Pause{rule, missing})
	codeOf(t, err, syncline.Rejected, "pause_not_found")
	if !errors.Is(err, ErrNotFound) {
		t.Errorf("error = %v, want ErrNotFound in its chain", err)
	}
	list, err := s.Pauses(t.Context())
	must(t, err)
	if diff := cmp.Diff([]Pause{rule, crm}, list); diff != "" {
		t.Errorf("pauses (-want +got):\n%s", diff)
	}
	must(t, s.RemovePauses(t.Context(), []Pause{rule, crm}))
	if list, err := s.Pauses(t.Context()); err != nil || len(list) > 0 {
		t.Errorf("pauses = %v, %v, want none", list, err)
	}
}
