package daemon

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
	"syncline/internal/ops"
	"syncline/internal/state"
)

// TestEveryTaskHasAStatus: what is simply done, what waits for its turn and what never was, by id and in lists; counts agree with the
// journal's.
func TestEveryTaskHasAStatus(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	makeDatabase(t, filepath.Join(dir, "crm.db"))
	source := openDatabase(t, filepath.Join(dir, "crm.db"))
	execute := func(statement string) {
		t.Helper()
		if _, err := source.ExecContext(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	execute("CREATE TABLE lead (id INTEGER PRIMARY KEY, name TEXT)")
	c := load(t, dir, `
version: 1
log: {dir: "$DIR/log"}
state: {url: "sqlite:$DIR/state.db"}
http: {listen: "127.0.0.1:0"}
systems:
  crm: {type: sqlite, url: "sqlite:$DIR/crm.db", capture: {manage: true, entities: {customer: {table: customer}, lead: {table: lead}}}}
  dw: {type: sqlite, url: "sqlite:$DIR/dw.db"}
rules:
  - {id: all, from: crm/customer, to: dw/everyone, create: true, group: g}
  - {id: some, from: [crm/customer, crm/lead], to: dw/some, create: true, group: g, when: 'after.name != "b"', transform: [{set: {kind: '"x"'}}]}
`)
	d := running(t, c)
	e := d.Engine()
	r := d.route("g")
	eventually(t, "it runs", func() bool {
		ready, _ := e.Ready(ctx)
		return ready
	})
	pause := []state.Pause{{Kind: state.PauseTarget, Name: "dw", Reason: "x"}}
	if _, err := e.Pause(ctx, pause); err != nil {
		t.Fatal(err)
	}
	execute("INSERT INTO customer VALUES (1, 'a')")
	execute("INSERT INTO customer VALUES (2, 'b')")
	execute("UPDATE customer SET name = 'c' WHERE id = 1")
	execute("INSERT INTO lead VALUES (7, 'l')")
	captured := func() uint64 {
		status, err := e.Status(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return status.Systems[0].Log.Last
	}
	list := func(q ops.TaskQuery) (found []ops.Task) {
		t.Helper()
		for {
			page, next, err := e.Tasks(ctx, q)
			if err != nil {
				t.Fatal(err)
			}
			if found = append(found, page...); next == "" {
				return found
			}
			q.After = next
		}
	}
	short := func(tasks []ops.Task) string {
		var lines []string
		for _, one := range tasks {
			lines = append(lines, strings.TrimSuffix(fmt.Sprintf("%s %s %s %s", one.Rule, one.Key, one.Status, one.Reason), " "))
		}
		return strings.Join(lines, "\n")
	}
	status := func(s state.TaskStatus) ops.TaskQuery { return ops.TaskQuery{Choice: ops.Choice{Status: s}, Limit: 2} }
	const waiting = "all 1 pending\nsome/customer 1 pending\nall 2 pending\nsome/customer 2 pending\nall 1 pending\nsome/customer 1 pending\nsome/lead 7 pending"
	eventually(t, "all is captured: "+fmt.Sprint(captured()), func() bool { return short(list(status(state.TaskPending))) == waiting })
	tasks := list(status(state.TaskPending))
	for _, one := range tasks {
		got, err := e.Task(ctx, one.ID)
		if err != nil || got.Record == nil || got.Status != state.TaskPending || got.Created.IsZero() {
			t.Errorf("task %s = %+v, %v, want it pending with its record", one.ID, got, err)
		}
		if got.Record = nil; cmp.Diff(one, got) != "" {
			t.Errorf("the list and the task differ (-list +task):\n%s", cmp.Diff(one, got))
		}
	}
	if done := list(status(state.TaskCompleted)); len(done) > 0 {
		t.Errorf("done while the route is paused: %v", done)
	}
	if err := e.RetryTask(ctx, tasks[0].ID, ""); syncline.CodeOf(err) != "task_not_parked" {
		t.Errorf("retry of a task that waits for nobody = %v, want task_not_parked", err)
	}

	if err := e.Unpause(ctx, pause); err != nil {
		t.Fatal(err)
	}
	sl := state.Slice{Route: "g"}
	var counts state.Counts
	eventually(t, "all is done", func() bool {
		counts, _, _ = d.state.Totals(ctx, sl)
		return counts.Read == 7 && r.apply.Status().InHand.Start.IsZero()
	})
	done := list(status(state.TaskCompleted))
	got := make(map[string]int64)
	for _, one := range done {
		if one.Status != state.TaskCompleted || one.Started == nil || one.Updated.Before(*one.Started) || one.Attempts != 1 || one.Target != "dw" {
			t.Errorf("task = %+v, want it completed, with its times", one)
		}
		got[one.Reason]++
		alone, err := e.Task(ctx, one.ID)
		if err != nil {
			t.Fatal(err)
		}
		if alone.Record = nil; cmp.Diff(one, alone) != "" {
			t.Errorf("the list and the task differ (-list +task):\n%s", cmp.Diff(one, alone))
		}
	}
	want := map[string]int64{"": counts.Applied, "superseded": counts.Superseded, "filtered": counts.Filtered}
	for reason, n := range want {
		if n == 0 {
			delete(want, reason)
		}
		q := status(state.TaskCompleted)
		if q.Why = reason; reason != "" && int64(len(list(q))) != n {
			t.Errorf("%d tasks are completed as %s, want %d", len(list(q)), reason, n)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || len(done) != 7 {
		t.Errorf("%d tasks by reason (-counts of the route +list):\n%s", len(done), diff)
	}
	byRule := status(state.TaskCompleted)
	byRule.Rule = "some"
	if n := len(list(byRule)); n != 4 {
		t.Errorf("%d tasks of the rule with two parts, want 4", n)
	}
	byKey := status(state.TaskCompleted)
	byKey.Key, byKey.Entity = "7", "lead"
	if s := short(list(byKey)); s != "some/lead 7 completed" {
		t.Errorf("tasks of a key = %q", s)
	}

	long := ops.StatsQuery{From: time.Now().Add(-time.Hour), To: time.Now().Add(time.Hour)}
	st, err := e.Stats(ctx, long)
	if err != nil || st.Read != counts.Read || st.Completed != (ops.CompletedTotals{Applied: counts.Applied, Superseded: counts.Superseded, Filtered: counts.Filtered}) ||
		st.SuccessRate == nil || *st.SuccessRate != 1 || st.Execution.Tasks != 7 || st.EndToEnd.Mean == nil || *st.EndToEnd.P50 > *st.EndToEnd.P99 {
		t.Errorf("statistics = %+v, %v, want the counts of the route, %+v", st, err, counts)
	}
	long.Rule = "some"
	if st, err := e.Stats(ctx, long); err != nil || st.Read != 4 {
		t.Errorf("statistics of one rule = %+v, %v, want 4 tasks", st, err)
	}
	long.Rule, long.To = "", tasks[0].Created
	if st, err := e.Stats(ctx, long); err != nil || st.Read != 0 || st.SuccessRate != nil || st.Execution.Mean != nil {
		t.Errorf("statistics of a time in which nothing was done = %+v, %v", st, err)
	}
	long.Source = "none"
	if _, err := e.Stats(ctx, long); syncline.CodeOf(err) != "system_not_found" {
		t.Errorf("statistics of no source = %v", err)
	}

	first := tasks[0]
	for id, code := range map[string]string{
		"nothing": "task_not_found", "all:crm:x.1": "task_not_found", "none:crm:1.0": "task_not_found", "all:pos:1.0": "task_not_found",
		"all:crm:999.0": "task_not_found", fmt.Sprintf("all:crm:%d.99", first.Seq): "task_not_found", fmt.Sprintf("all:crm:0%d.0", first.Seq): "task_not_found",
	} {
		_, err := e.Task(ctx, id)
		var told *syncline.Error
		if !errors.As(err, &told) || told.Code != code || !errors.Is(err, state.ErrNotFound) || told.Fix == "" || strings.HasSuffix(told.Msg, state.ErrNotFound.Error()) {
			t.Errorf("task %s = %+v, want %s that says it once, and a fix", id, told, code)
		}
	}
	execute("INSERT INTO customer VALUES (3, 'z')")
	eventually(t, "one more", func() bool { return captured() > tasks[len(tasks)-1].Seq })
	src := d.source("crm")
	if err := src.log.Purge(ctx, syncline.Seq(first.Seq)+1); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Task(ctx, first.ID); syncline.CodeOf(err) != "task_purged" {
		t.Errorf("a task whose event was purged = %v, want task_purged", err)
	}
}

func TestNamesThatAreNoneAreNoEmptyLists(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	makeDatabase(t, filepath.Join(dir, "crm.db"))
	if _, err := openDatabase(t, filepath.Join(dir, "crm.db")).ExecContext(ctx, "CREATE TABLE lead (id INTEGER PRIMARY KEY, name TEXT)"); err != nil {
		t.Fatal(err)
	}
	d := running(t, load(t, dir, pausable))
	e := d.Engine()
	eventually(t, "it runs", func() bool {
		ready, _ := e.Ready(ctx)
		return ready
	})
	for _, c := range []struct {
		choice ops.Choice
		code   string
	}{
		{ops.Choice{Route: "both", Rule: "one", Source: "crm", Target: "dw", Entity: "lead"}, ""},
		{ops.Choice{Route: "one"}, "route_not_found"}, {ops.Choice{Rule: "both"}, "rule_not_found"}, {ops.Choice{Source: "dw"}, "system_not_found"},
		{ops.Choice{Target: "none"}, "system_not_found"}, {ops.Choice{Entity: "none"}, "unknown_entity"},
	} {
		_, _, err := e.Tasks(ctx, ops.TaskQuery{Choice: c.choice})
		if c.code == "" && err != nil || c.code != "" && (syncline.CodeOf(err) != c.code || !errors.Is(err, state.ErrNotFound)) {
			t.Errorf("list of %+v = %v, want %q", c.choice, err, c.code)
		}
		if c.code == "" {
			continue
		}
		if _, err := e.RetryTasks(ctx, ops.Selection{Choice: c.choice}, ""); syncline.CodeOf(err) != c.code {
			t.Errorf("retry of %+v = %v, want %s", c.choice, err, c.code)
		}
	}
	for _, after := range []string{"~", "~1.2~r", "~1.x.3~r", "-"} {
		if _, _, err := e.Tasks(ctx, ops.TaskQuery{After: after}); syncline.CodeOf(err) != "cursor_invalid" {
			t.Errorf("a page after %q = %v, want cursor_invalid", after, err)
		}
	}
}

// TestATaskThatWasDoneBeforeItsTurnIsDone, although the route's journal counts it only when it comes to it.
func TestATaskThatWasDoneBeforeItsTurnIsDone(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	makeDatabase(t, filepath.Join(dir, "crm.db"))
	source := openDatabase(t, filepath.Join(dir, "crm.db"))
	if _, err := source.ExecContext(ctx, "CREATE TABLE lead (id INTEGER PRIMARY KEY, name TEXT)"); err != nil {
		t.Fatal(err)
	}
	d := running(t, load(t, dir, pausable))
	e := d.Engine()
	eventually(t, "it runs", func() bool {
		ready, _ := e.Ready(ctx)
		return ready
	})
	if _, err := e.Pause(ctx, []state.Pause{{Kind: state.PauseTarget, Name: "copy", Reason: "x"}}); err != nil {
		t.Fatal(err)
	}
	var waiting []ops.Task
	pending := func(n int) func() bool {
		return func() (ok bool) {
			var err error
			waiting, _, err = e.Tasks(ctx, ops.TaskQuery{Choice: ops.Choice{Status: state.TaskPending, Rule: "other"}})
			return err == nil && len(waiting) == n
		}
	}
	for i := range 2 {
		if _, err := source.ExecContext(ctx, "INSERT INTO customer VALUES (?, 'a')", i); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it is captured", pending(i+1))
	}
	first, urgent := waiting[0], waiting[1]
	sl := state.Slice{Route: "other"}
	at, err := d.state.Route(ctx, sl)
	if err != nil {
		t.Fatal(err)
	}
	to := at.Cursor
	to.Seq, to.Index = syncline.Seq(first.Seq), first.Index+1
	j := &state.Journal{From: at.Cursor, To: to, Start: time.Now(), End: time.Now(), Outcomes: state.AppendOutcomes(nil, []state.Outcome{state.Applied})}
	j.Counts.Count(state.Applied, 1)
	if err := d.state.Commit(ctx, state.Commit{Slice: sl, Journal: j, Cursor: to,
		Ahead: []state.Ahead{{Rule: "other", Seq: syncline.Seq(urgent.Seq), Index: urgent.Index, Outcome: state.Superseded}}}); err != nil {
		t.Fatal(err)
	}
	if got, err := e.Task(ctx, urgent.ID); err != nil || got.Status != state.TaskCompleted || got.Reason != "superseded" {
		t.Errorf("the urgent task = %+v, %v, want it completed", got, err)
	}
	if !pending(1)() || waiting[0].ID == urgent.ID {
		t.Errorf("pending = %+v, want all but the urgent one", waiting)
	}
}
