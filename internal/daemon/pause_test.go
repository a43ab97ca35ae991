package daemon

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/ops"
	"syncline/internal/state"
)

const pausable = `
version: 1
log: {dir: "$DIR/log"}
state: {url: "sqlite:$DIR/state.db"}
http: {listen: "127.0.0.1:0"}
systems:
  crm: {type: sqlite, url: "sqlite:$DIR/crm.db", capture: {manage: true, entities: {customer: {table: customer}, lead: {table: lead}}}}
  dw: {type: sqlite, url: "sqlite:$DIR/dw.db"}
  copy: {type: sqlite, url: "sqlite:$DIR/copy.db"}
rules:
  - {id: one, from: crm/customer, to: dw/one, create: true, group: both}
  - {id: two, from: crm/lead, to: dw/two, create: true, group: both}
  - {id: other, from: crm/customer, to: copy/other, create: true}
`

// TestPausedRoutesWaitAndGoOn: a pause holds exactly the routes of what it names, across a restart; what comes meanwhile is applied in
// order once nothing holds the route back any more.
func TestPausedRoutesWaitAndGoOn(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	makeDatabase(t, filepath.Join(dir, "crm.db"))
	source := openDatabase(t, filepath.Join(dir, "crm.db"))
	execute := func(statement string, args ...any) {
		t.Helper()
		if _, err := source.ExecContext(ctx, statement, args...); err != nil {
			t.Fatal(err)
		}
	}
	execute("CREATE TABLE lead (id INTEGER PRIMARY KEY, name TEXT)")
	c := load(t, dir, pausable)
	d, stop := runningUntil(t, c)
	dw, other := openDatabase(t, filepath.Join(dir, "dw.db")), openDatabase(t, filepath.Join(dir, "copy.db"))
	execute("INSERT INTO customer VALUES (1, 'a')")
	execute("INSERT INTO lead VALUES (1, 'a')")
	name := func(db *sql.DB, table string) (name string) {
		_ = db.QueryRowContext(ctx, "SELECT name FROM "+table+" WHERE id = 1").Scan(&name) // no row, no table: ""
		return name
	}
	arrived := func(what, one, two, third string) {
		t.Helper()
		eventually(t, what, func() bool {
			return name(dw, "one") == one && name(dw, "two") == two && name(other, "other") == third
		})
	}
	arrived("the first records", "a", "a", "a")

	e := d.Engine()
	hold := func(list ...state.Pause) []ops.Pause {
		t.Helper()
		done, err := e.Pause(ctx, list)
		if err != nil || len(done.Finishing) > 0 {
			t.Fatalf("pause %v = %+v, %v", list, done, err)
		}
		return done.Items
	}
	lift := func(list ...state.Pause) {
		t.Helper()
		if err := e.Unpause(ctx, list); err != nil {
			t.Fatal(err)
		}
	}
	states := func() map[string]string {
		t.Helper()
		list, err := e.Routes(ctx)
		if err != nil {
			t.Fatal(err)
		}
		got := make(map[string]string)
		for _, r := range list {
			got[r.ID] = r.State
		}
		return got
	}
	for _, of := range []struct {
		pause  state.Pause
		routes []string
	}{
		{state.Pause{Kind: state.PauseSource, Name: "crm"}, []string{"both", "other"}},
		{state.Pause{Kind: state.PauseEntity, Name: "crm/lead"}, []string{"both"}},
		{state.Pause{Kind: state.PauseEntity, Name: "crm/customer"}, []string{"both", "other"}},
		{state.Pause{Kind: state.PauseRule, Name: "two"}, []string{"both"}},
		{state.Pause{Kind: state.PauseTarget, Name: "copy"}, []string{"other"}},
	} {
		of.pause.Reason = "work"
		shown := hold(of.pause)
		if len(shown) != 1 || cmp.Diff(of.routes, shown[0].Routes) != "" || shown[0].Reason != "work" || shown[0].By == "" || shown[0].Since.IsZero() {
			t.Errorf("%s %s is shown as %+v, want it to hold %v", of.pause.Kind, of.pause.Name, shown, of.routes)
		}
		want := map[string]string{"both": "running", "other": "running"}
		for _, id := range of.routes {
			want[id] = "paused"
		}
		if diff := cmp.Diff(want, states()); diff != "" {
			t.Errorf("routes while %s %s is paused (-want +got):\n%s", of.pause.Kind, of.pause.Name, diff)
		}
		lift(of.pause)
		eventually(t, "all routes run", func() bool { return states()["both"] == "running" && states()["other"] == "running" })
	}

	// Two pauses hold one route; it waits until both are gone, a restart in between.
	rule, target := state.Pause{Kind: state.PauseRule, Name: "one", Reason: "x"}, state.Pause{Kind: state.PauseTarget, Name: "dw", Reason: "y"}
	hold(rule, target)
	if ready, why := e.Ready(ctx); !ready {
		t.Errorf("a pause makes the process not ready: %v", why)
	}
	if err := e.ResumeRoute(ctx, "both"); syncline.CodeOf(err) != "route_paused" {
		t.Errorf("resume of a paused route = %v, want route_paused", err)
	}
	execute("UPDATE customer SET name = 'b'")
	execute("UPDATE lead SET name = 'b'")
	arrived("the other route goes on", "a", "a", "b")
	stop()
	d, _ = runningUntil(t, c)
	e = d.Engine()
	execute("UPDATE customer SET name = 'c'")
	arrived("the other route goes on after a restart", "a", "a", "c")
	if got := states()["both"]; got != "paused" {
		t.Errorf("after a restart the route is %s, want paused", got)
	}
	lift(rule)
	if st := d.route("both").apply.Status(); st.State != apply.RoutePaused {
		t.Errorf("with one of two pauses lifted the route is %s", st.State)
	}
	lift(target)
	arrived("what came meanwhile", "c", "b", "c")
}

func TestPausesOfWhatIsNotThere(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	makeDatabase(t, filepath.Join(dir, "crm.db"))
	source := openDatabase(t, filepath.Join(dir, "crm.db"))
	if _, err := source.ExecContext(ctx, "CREATE TABLE lead (id INTEGER PRIMARY KEY, name TEXT)"); err != nil {
		t.Fatal(err)
	}
	e := running(t, load(t, dir, pausable)).Engine()
	eventually(t, "it runs", func() bool {
		ready, _ := e.Ready(ctx)
		return ready
	})
	for code, p := range map[string]state.Pause{
		"system_not_found": {Kind: state.PauseSource, Name: "dw"},
		"unknown_entity":   {Kind: state.PauseEntity, Name: "customer"},
		"rule_not_found":   {Kind: state.PauseRule, Name: "both"},
	} {
		good := state.Pause{Kind: state.PauseTarget, Name: "dw"}
		if _, err := e.Pause(ctx, []state.Pause{good, p}); syncline.CodeOf(err) != code {
			t.Errorf("pause of %s %s = %v, want %s", p.Kind, p.Name, err, code)
		}
		if err := e.Unpause(ctx, []state.Pause{p}); syncline.CodeOf(err) != "pause_not_found" {
			t.Errorf("lifting a pause that is not there = %v", err)
		}
	}
	if list, err := e.Pauses(ctx); err != nil || len(list) > 0 {
		t.Errorf("pauses = %v, %v, want none: a request is carried out as a whole or not at all", list, err)
	}
}

func openDatabase(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}
