package daemon

import (
	"database/sql"
	"path/filepath"
	"testing"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/ops"
	"syncline/internal/state"
)

// TestWhatHaltedGoesOnAfterResume: a source whose database was missing and a route whose table was, each mended and resumed, lose
// nothing; and a sync of the route while it is halted makes it forget nothing.
func TestWhatHaltedGoesOnAfterResume(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	makeDatabase(t, filepath.Join(dir, "crm.db"))
	write := func(file, statement string) {
		t.Helper()
		db, err := sql.Open("sqlite", filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.ExecContext(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	write("crm.db", "INSERT INTO customer VALUES (1, 'a'), (2, 'b')")
	write("dw.db", "CREATE TABLE other (id INTEGER PRIMARY KEY)")
	d := running(t, load(t, dir, `
version: 1
log: {dir: "$DIR/log"}
state: {url: "sqlite:$DIR/state.db"}
http: {listen: "127.0.0.1:0"}
systems:
  crm: {type: sqlite, url: "sqlite:$DIR/crm.db", capture: {manage: true, entities: {customer: {table: customer}}}}
  late: {type: sqlite, url: "sqlite:$DIR/late.db", capture: {manage: true, entities: {customer: {table: customer}}}}
  dw: {type: sqlite, url: "sqlite:$DIR/dw.db"}
rules:
  - {id: r, from: crm/customer, to: dw/dim}
  - {id: l, from: late/customer, to: dw/late, create: true}
`))
	e := d.Engine()
	halted := func() bool {
		status, err := e.Status(ctx)
		if err != nil {
			t.Fatal(err)
		}
		st := d.route("r").apply.Status()
		return status.Systems[1].State == "halted" && st.State == apply.RouteHalted && syncline.CodeOf(st.Err) == "object_missing"
	}
	eventually(t, "halt", halted)
	before, err := d.state.Route(ctx, state.Slice{Route: "r"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.StartSync(ctx, ops.SyncRequest{Source: "crm", Entity: "customer", Routes: []string{"r"}}); err != nil {
		t.Error(err)
	}
	if now, err := d.state.Route(ctx, state.Slice{Route: "r"}); err != nil || now.Placing || now.Cursor != before.Cursor {
		t.Errorf("a sync of a route that has not lost its place moved it to %+v, %v", now.Cursor, err)
	}
	first := d.route("r").apply.Status().Since
	if err := e.ResumeRoute(ctx, "r"); err != nil {
		t.Error(err)
	}
	eventually(t, "halt again, because nothing was mended", func() bool { return halted() && d.route("r").apply.Status().Since.After(first) })

	makeDatabase(t, filepath.Join(dir, "late.db"))
	write("late.db", "INSERT INTO customer VALUES (3, 'c')")
	write("dw.db", "CREATE TABLE dim (id INTEGER PRIMARY KEY, name TEXT)")
	for _, system := range []string{"dw", "late"} {
		if err := e.ResumeSystem(ctx, system); err != nil {
			t.Error(err)
		}
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, "dw.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	eventually(t, "the records are there", func() bool {
		var dim, late int
		err := db.QueryRowContext(ctx, "SELECT count(*), (SELECT count(*) FROM late) FROM dim").Scan(&dim, &late)
		return err == nil && dim == 2 && late == 1
	})
	if err := e.ResumeSystem(ctx, "dw"); err != nil { // all works: nothing happens
		t.Error(err)
	}
	if err := e.ResumeRoute(ctx, "none"); syncline.CodeOf(err) != "route_not_found" {
		t.Errorf("resume of no route = %v, want route_not_found", err)
	}
	if err := e.ResumeSystem(ctx, "none"); syncline.CodeOf(err) != "system_not_found" {
		t.Errorf("resume of no system = %v, want system_not_found", err)
	}
}
