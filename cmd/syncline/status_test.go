package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline/internal/ops"
)

// TestSQLOfAFixCanBeRun as it stands below a row, where several lines of it would be escapes.
func TestSQLOfAFixCanBeRun(t *testing.T) {
	got := notes(&ops.Fault{Text: "no table", Fix: "make it:\nCREATE TABLE \"a  b\" (\n\t\tid int);\n"}, nil)
	want := []string{"no table", `fix: make it: CREATE TABLE "a  b" ( id int); `}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
}

// TestColumnsStayAligned below a row with an error.
func TestColumnsStayAligned(t *testing.T) {
	var out strings.Builder
	left := int64(1 << 30)
	printSystems(&out, []ops.SystemStatus{
		{Name: "crm", Type: "postgres", State: "halted", Log: &ops.LogStatus{Position: "0/0/0"},
			Error: &ops.Fault{Code: "slot_missing", Text: "slot_missing: the slot is gone", Fix: "make it"},
			Risk:  &ops.SourceRisk{Slot: "syncline_crm", SlotState: "unreserved", HeldBytes: 9 << 30, SafeBytes: &left, AtRisk: true}},
		{Name: "warehouse", Type: "postgres", State: "running"},
		{Name: "s", Type: "sqlite", State: "running", Log: &ops.LogStatus{Last: 1, Position: "1/2/0"}},
	})
	want := `SYSTEM     TYPE      STATE    CAPTURED  EVENTS/S  LOG  HELD     POSITION
crm        postgres  halted   0         0         0 B  9.0 GiB  -
  slot_missing: the slot is gone
  fix: make it
  warning: slot syncline_crm is unreserved: the server removes what it holds after 1.0 GiB more
warehouse  postgres  running
s          sqlite    running  0         0         0 B  -        1/2/0
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("systems (-want +got):\n%s", diff)
	}
	out.Reset()
	printRoutes(&out, []ops.RouteStatus{{ID: "r", State: "running", Warnings: []string{"it is mixed"}}, {ID: "a-longer-one", State: "running"}})
	lines := strings.Split(out.String(), "\n")
	for _, i := range []int{1, 3} { // 2 is the warning
		if strings.Index(lines[i], "running") != strings.Index(lines[0], "STATE") {
			t.Errorf("line %d is not aligned:\n%s", i, out.String())
		}
	}
}

// TestShowATask: when it was parked and tried, and its code once.
func TestShowATask(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	later := noon.Add(time.Hour)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		err := json.NewEncoder(w).Encode(ops.Task{ID: "t", Status: "retrying", Code: "check_violation", Error: "check_violation: the row is refused",
			Created: noon, Updated: noon, NextTry: &later})
		if err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	var stdout, stderr strings.Builder
	if code := run(t.Context(), []string{"tasks", "show", "t", "--server", server.URL}, &stdout, &stderr); code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	got := strings.Join(strings.Fields(stdout.String()), " ")
	for _, want := range []string{"created " + noon.Local().Format(time.RFC3339), "next try " + later.Local().Format(time.RFC3339),
		"code check_violation error the row is refused"} {
		if !strings.Contains(got, want) {
			t.Errorf("the task is shown as %q, want %q in it", got, want)
		}
	}
}

// TestGapsAreTold: what is missing, why, what is being done, and what that waits for.
func TestGapsAreTold(t *testing.T) {
	since := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	next := since.Add(time.Minute)
	for _, test := range []struct {
		gap  *ops.DeclaredGap
		want []string
	}{
		{nil, nil},
		{&ops.DeclaredGap{Status: "declared", Reason: "wal_budget", By: "policy", Since: since, From: "1/70/0", Next: &next},
			[]string{"gap: changes from 1/70/0 to where the stream begins again are missing (wal_budget, by policy, since " + instant(since) + "); goes on at " + instant(next)}},
		{&ops.DeclaredGap{Status: "filling", Reason: "needs_sync", By: "policy", Since: since, FromSeq: 4, ToSeq: 9, Attempts: 2, Error: "gap_waits: route r is degraded"},
			[]string{"gap: entries 4 to 9 of the log are missing (needs_sync, by policy, since " + instant(since) + "); the records are being read again",
				"try 2: gap_waits: route r is degraded"}},
	} {
		if diff := cmp.Diff(test.want, gapNotes(test.gap)); diff != "" {
			t.Errorf("notes (-want +got):\n%s", diff)
		}
	}
}

// TestNoShareIsCalledAll, or none, where it is not: one record of a million that was left out, or one task that failed, shows.
func TestNoShareIsCalledAll(t *testing.T) {
	for share, want := range map[float64]string{0: "0.00 %", 1e-6: "<0.01 %", 0.00006: "0.01 %", 0.5: "50.00 %", 0.9999: "99.99 %", 0.999999: ">99.99 %", 1: "100.00 %"} {
		if got := rate(&share); got != want {
			t.Errorf("rate(%v) = %s, want %s", share, got, want)
		}
	}
	notes := verifiedNotes([]ops.Verified{{Rule: "r", Records: 1_200_000, LatelySeconds: 900, Share: 1 - 1.0/1_200_000}})
	if len(notes) != 1 || !strings.HasPrefix(notes[0], "verified: r: >99.99 % of 1.2 M records") {
		t.Errorf("notes = %q", notes)
	}
}
