package state

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

func TestRuns(t *testing.T) {
	s := openNew(t)
	ctx := t.Context()
	full := syncline.Run{ID: "run-1", Kind: syncline.RunFull, Entity: "customer", Routes: []string{"a", "b"}, Reset: true}
	keys := syncline.Run{ID: "run-2", Kind: syncline.RunKeys, Force: true, Entity: "order", Keys: []syncline.Key{"1,é", "%2C"}}
	must(t, s.AddRun(ctx, "crm", full))
	must(t, s.AddRun(ctx, "crm", keys))
	must(t, s.AddRun(ctx, "shop", syncline.Run{ID: "run-3", Kind: syncline.RunSnapshot, Entity: "x"}))
	open, err := s.OpenRuns(ctx, "crm")
	must(t, err)
	if len(open) != 2 || time.Since(open[0].Created) > time.Minute {
		t.Fatalf("OpenRuns = %+v, want two of now", open)
	}
	if diff := cmp.Diff([]syncline.Run{full, keys}, []syncline.Run{open[0].Run, open[1].Run}); diff != "" {
		t.Errorf("OpenRuns (-want +got):\n%s", diff)
	}

	open[0].Status, open[0].Chunks, open[0].Rows, open[0].Error = RunDone, 3, 1000, "e"
	must(t, s.UpdateRun(ctx, open[0]))
	must(t, s.AddRun(ctx, "crm", full)) // asked for again
	open[1].Status = RunRunning
	must(t, s.UpdateRun(ctx, open[1]))
	if left, _ := s.OpenRuns(ctx, "crm"); len(left) != 1 || left[0].ID != "run-2" || left[0].Status != RunRunning {
		t.Errorf("OpenRuns = %+v, want run-2", left)
	}
	list, err := s.Runs(ctx, "crm", 1)
	if err != nil || len(list) != 1 || list[0].ID != "run-2" {
		t.Errorf("Runs(crm, 1) = %+v, %v, want the newest", list, err)
	}
	all, err := s.Runs(ctx, "", 10)
	if err != nil || len(all) != 3 || all[0].ID != "run-3" || all[2].Status != RunDone || all[2].Chunks != 3 || all[2].Rows != 1000 || all[2].Error != "e" {
		t.Errorf("Runs of all = %+v, %v", all, err)
	}
	open[1].Status, open[1].Error = RunFailed, "bad_key"
	must(t, s.UpdateRun(ctx, open[1]))
	must(t, s.AddRun(ctx, "crm", keys)) // asked for again
	if again, err := s.OpenRuns(ctx, "crm"); err != nil || len(again) != 1 || again[0].ID != "run-2" || again[0].Status != RunRequested || again[0].Error != "" {
		t.Errorf("OpenRuns = %+v, %v, want the run that had failed as if it were new", again, err)
	}
	if err := s.UpdateRun(ctx, RunRow{Run: syncline.Run{ID: "nobody"}}); !errors.Is(err, ErrNotFound) {
		t.Errorf("UpdateRun of nothing = %v, want ErrNotFound", err)
	}
}

func TestAStoreKnowsTheLogsThatItWasToldOf(t *testing.T) {
	s := openNew(t)
	must(t, s.AddLog(t.Context(), "crm", "A"))
	must(t, s.AddLog(t.Context(), "crm", "A"))
	for _, c := range []struct {
		source, log string
		want        bool
	}{{"crm", "A", true}, {"crm", "B", false}, {"shop", "A", false}} {
		if known, err := s.KnowsLog(t.Context(), c.source, c.log); err != nil || known != c.want {
			t.Errorf("KnowsLog(%s, %s) = %v, %v, want %v", c.source, c.log, known, err, c.want)
		}
	}
}

func TestEventIDs(t *testing.T) {
	s := openNew(t)
	ctx := t.Context()
	const n = 3*idStep + 7
	ids := make([]string, n)
	for seq := range syncline.Seq(3) {
		saved := map[string][]byte{}
		for i := int(seq); i < n; i += 3 {
			ids[i] = fmt.Sprintf("id-%d", i)
			saved[ids[i]] = []byte{byte(i)}
		}
		must(t, s.SaveIDs(ctx, "pos", seq+1, saved))
	}
	seen, err := s.SeenIDs(ctx, "pos", append(ids, "new"))
	if err != nil || len(seen) != n || seen["id-5"][0] != 5 {
		t.Fatalf("SeenIDs = %d ids, %v, want %d", len(seen), err, n)
	}
	if seen, err := s.SeenIDs(ctx, "other", ids); err != nil || len(seen) != 0 {
		t.Errorf("SeenIDs of another source = %v, %v", seen, err)
	}
	if seen, err := s.SeenIDs(ctx, "pos", nil); err != nil || len(seen) != 0 {
		t.Errorf("SeenIDs of nothing = %v, %v", seen, err)
	}
	must(t, s.TrimIDs(ctx, "pos", 3))
	seen, err = s.SeenIDs(ctx, "pos", ids)
	if _, ok := seen["id-2"]; err != nil || len(seen) != n/3 || !ok {
		t.Errorf("SeenIDs after a trim = %d, %v, want %d", len(seen), err, n/3)
	}
}

// TestRunsLeaveOutWhatRoutesHaveRead: however many records routes read by themselves, the list shows what somebody asked for.
func TestRunsLeaveOutWhatRoutesHaveRead(t *testing.T) {
	s := openNew(t)
	add := func(id, status string) {
		t.Helper()
		must(t, s.AddRun(t.Context(), "crm", syncline.Run{ID: id, Kind: syncline.RunKeys, Keys: []syncline.Key{"1"}}))
		must(t, s.UpdateRun(t.Context(), RunRow{Run: syncline.Run{ID: id}, Status: status}))
	}
	add("sync-1", RunDone)
	add(ReadRun+"failed", RunFailed)
	add(ReadRun+"running", RunRunning)
	for i := range 5 {
		add(fmt.Sprint(ReadRun, i), RunDone)
	}
	for _, source := range []string{"", "crm"} {
		list, err := s.Runs(t.Context(), source, 3)
		must(t, err)
		var ids []string
		for _, r := range list {
			ids = append(ids, r.ID)
		}
		if diff := cmp.Diff([]string{ReadRun + "running", ReadRun + "failed", "sync-1"}, ids); diff != "" {
			t.Errorf("Runs(%q) (-want +got):\n%s", source, diff)
		}
	}
}

// TestPollsOfSchedules: those that were done are in the schedules' history, and not listed; after a while they are forgotten.
func TestPollsOfSchedules(t *testing.T) {
	s := openNew(t)
	for _, r := range []RunRow{
		{Run: syncline.Run{ID: ScheduledRun + "done", Kind: syncline.RunPoll}, Status: RunDone},
		{Run: syncline.Run{ID: ScheduledRun + "failed", Kind: syncline.RunSweep}, Status: RunFailed},
		{Run: syncline.Run{ID: ScheduledRun + "full", Kind: syncline.RunFull}, Status: RunDone},
		{Run: syncline.Run{ID: "asked", Kind: syncline.RunSweep}, Status: RunDone},
	} {
		must(t, s.AddRun(t.Context(), "crm", r.Run))
		must(t, s.UpdateRun(t.Context(), r))
	}
	want := func(ids ...string) {
		t.Helper()
		list, err := s.Runs(t.Context(), "", 10)
		must(t, err)
		var got []string
		for _, r := range list {
			got = append(got, r.ID)
		}
		if diff := cmp.Diff(ids, got); diff != "" {
			t.Errorf("Runs (-want +got):\n%s", diff)
		}
	}
	want("asked", ScheduledRun+"full", ScheduledRun+"failed")
	must(t, s.TrimPolls(t.Context(), time.Now().Add(-time.Hour)))
	if _, err := s.Run(t.Context(), ScheduledRun+"done"); err != nil {
		t.Errorf("a poll of now is forgotten: %v", err)
	}
	must(t, s.TrimPolls(t.Context(), time.Now().Add(time.Hour)))
	if _, err := s.Run(t.Context(), ScheduledRun+"done"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Run of what is forgotten = %v, want ErrNotFound", err)
	}
	want(ScheduledRun+"full", ScheduledRun+"failed")
}

// TestTrimRuns: what has not ended stays, however old.
func TestTrimRuns(t *testing.T) {
	s := openNew(t)
	for id, status := range map[string]string{"a": RunDone, "b": RunFailed, "c": RunRunning, "d": RunRequested} {
		must(t, s.AddRun(t.Context(), "crm", syncline.Run{ID: id, Kind: syncline.RunKeys, Keys: []syncline.Key{"1"}}))
		must(t, s.UpdateRun(t.Context(), RunRow{Run: syncline.Run{ID: id}, Status: status}))
	}
	must(t, s.AddRun(t.Context(), "shop", syncline.Run{ID: "e"}))
	must(t, s.UpdateRun(t.Context(), RunRow{Run: syncline.Run{ID: "e"}, Status: RunDone}))
	count := func(want int) {
		t.Helper()
		if runs, err := s.Runs(t.Context(), "", 10); err != nil || len(runs) != want {
			t.Errorf("%d runs, %v, want %d", len(runs), err, want)
		}
	}
	must(t, s.TrimRuns(t.Context(), "crm", time.Now().Add(-time.Hour)))
	count(5)
	must(t, s.TrimRuns(t.Context(), "crm", time.Now().Add(time.Hour)))
	count(3)
}

func TestPagesOfRuns(t *testing.T) {
	s := openNew(t)
	for i := range 5 {
		must(t, s.AddRun(t.Context(), "crm", syncline.Run{ID: string(rune('a' + i)), Entity: "lead"}))
	}
	var ids string
	pages := 0
	for after := ""; ; pages++ {
		list, next, err := s.RunsPage(t.Context(), after, 2)
		must(t, err)
		for _, r := range list {
			ids += r.ID
		}
		if after = next; next == "" {
			break
		}
	}
	if ids != "edcba" || pages != 2 {
		t.Errorf("RunsPage = %s after %d further pages, want edcba after 2", ids, pages)
	}
}
