package main

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"syncline/internal/failpoint"
	"syncline/internal/ops"
	"syncline/internal/state"
)

const scheduled = `
systems:
  crm: {type: sqlite, path: crm.db, capture: {manage: true, entities: {customer: {}}}}
  report: {type: sqlite, path: report.db}
rules:
  - {id: all, from: crm/customer, to: report/customer, create: true}
schedules:
  - {id: often, every: 1s, do: {sync: crm/customer}}
  - {id: later, every: 12h, do: {sync: crm/customer}}
`

// manyCustomers fills the database that the program reads.
func (p *program) manyCustomers(n int) {
	p.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(p.dir, "crm.db"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // it was written
	for _, s := range []string{`CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT)`, fmt.Sprintf(`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
		INSERT INTO customer SELECT i, 'customer ' || i FROM n`, n)} {
		if _, err := db.ExecContext(p.t.Context(), s); err != nil {
			p.t.Fatal(err)
		}
	}
}

// history waits until the history of a schedule is as check wants it, and returns it.
func (p *program) history(schedule, what string, check func([]ops.ScheduleRun) bool) (list []ops.ScheduleRun) {
	p.t.Helper()
	c := p.client()
	eventually(p.t, what, func(ctx context.Context) (err error) {
		if list, err = c.ScheduleHistory(ctx, schedule, 0); err == nil && !check(list) {
			err = fmt.Errorf("history: %+v", list)
		}
		return err
	})
	return list
}

// TestScheduleKill: a process that is killed when a run was noted, while the source reads, or before the result is written down, leaves a
// run that goes on under its id at the next start, and no occurrence has two.
func TestScheduleKill(t *testing.T) {
	const rows = 20_000
	for _, at := range append([]string{"capture.append.after:4"}, failpoint.Schedule...) {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			p := newProgram(t, scheduled)
			p.manyCustomers(rows)
			p.start("SYNCLINE_FAILPOINT=" + at)
			if err := p.died(); err == nil {
				t.Fatal("the process ended by itself")
			}
			p.start()
			p.ready()
			done := p.history("often", "two runs are done", func(list []ops.ScheduleRun) bool {
				n := 0
				for _, r := range list {
					if r.Status == state.ScheduleDone {
						n++
					}
				}
				return n >= 2
			})
			due := make(map[int64]string)
			for _, r := range done {
				switch {
				case r.Status == state.ScheduleInterrupted || r.Status == state.ScheduleFailed:
					t.Errorf("run %s is %s: %v", r.ID, r.Status, r.Error)
				case r.Status == state.ScheduleDone && r.Counts["rows"] != rows:
					t.Errorf("run %s has %d rows, want %d", r.ID, r.Counts["rows"], rows)
				}
				if other := due[r.Due.UnixNano()]; other != "" && r.Status != state.ScheduleSkipped {
					t.Errorf("runs %s and %s are of one occurrence", r.ID, other)
				}
				due[r.Due.UnixNano()] = r.ID
			}
			first := done[len(done)-1]
			if first.Status != state.ScheduleDone {
				t.Errorf("the run that was cut off is %s, want it done", first.Status)
			}
			syncs, err := p.client().Syncs(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			same := 0
			for _, s := range syncs {
				if s.ID == first.ID {
					same++
				}
			}
			if same != 1 {
				t.Errorf("%d syncs have the id of the run that was cut off, want 1", same)
			}
			if err := p.stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestSchedulesCommand: what the command line says of schedules, and of those that are not there.
func TestSchedulesCommand(t *testing.T) {
	p := newProgram(t, scheduled)
	p.manyCustomers(10)
	p.start()
	p.ready()
	says := func(code int, args string, want ...string) string {
		t.Helper()
		out, talk := p.command(code, append(strings.Fields("schedules "+args), "--server", p.url())...)
		for _, w := range want {
			if !strings.Contains(out+talk, w) {
				t.Errorf("syncline schedules %s lacks %q:\n%s%s", args, w, out, talk)
			}
		}
		return strings.TrimSpace(out)
	}
	says(exitOK, "pause later --reason maintenance")
	p.kill()
	p.start()
	p.ready()
	list, err := p.client().Schedules(t.Context())
	if err != nil || len(list) != 3 || list[1].State != ops.SchedulePaused || list[1].Pause.Reason != "maintenance" || list[1].Next != nil {
		t.Errorf("Schedules after a kill = %+v, %v, want the pause kept", list, err)
	}
	says(exitOK, "", "SCHEDULE", "later", "every 12h", "paused", "often")
	id := says(exitOK, "run later --reason tonight")
	p.history("later", "it is done", func(list []ops.ScheduleRun) bool {
		return len(list) == 1 && list[0].ID == id && list[0].Status == state.ScheduleDone
	})
	says(exitOK, "history later", id, "done", "manual", "rows=10", "tonight")
	says(exitOK, "resume later")
	if got := says(exitOK, "-o json"); strings.Contains(got, `"state": "paused"`) {
		t.Errorf("after resume:\n%s", got)
	}
	says(exitUsage, "run later", "--reason")
	says(exitUsage, "pause later", "--reason")
	says(exitUsage, "history later --limit -1", "give a number")
	says(exitFailed, "run nobody --reason x", "schedule_not_found")
	says(exitFailed, "history nobody", "schedule_not_found")
}
