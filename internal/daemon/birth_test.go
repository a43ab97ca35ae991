package daemon

import (
	"context"
	"database/sql"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/capture"
	"syncline/internal/config"
	"syncline/internal/memlog"
	"syncline/internal/state"
)

// TestARuleThatIsDisabledWhenItsSourceIsBorn gets the records that were there before once it is enabled again: the first copy was for
// the others only.
func TestARuleThatIsDisabledWhenItsSourceIsBorn(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	open := func(file string) *sql.DB {
		t.Helper()
		db, err := sql.Open("sqlite", filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		return db
	}
	dw := open("dw.db")
	count := func(object string) int {
		n := -1
		_ = dw.QueryRowContext(ctx, "SELECT count(*) FROM "+object).Scan(&n) // there is no table at first
		return n
	}
	// during runs the two rules, the late one if it is enabled, until check.
	during := func(what, enabled string, check func(*Daemon) bool) {
		t.Helper()
		d, err := Open(ctx, Options{Config: load(t, dir, strings.ReplaceAll(`
version: 1
log: {dir: "$DIR/log"}
state: {url: "sqlite:$DIR/state.db"}
http: {listen: "127.0.0.1:0"}
systems:
  crm: {type: sqlite, url: "sqlite:$DIR/crm.db", capture: {manage: true, entities: {customer: {table: customer}}}}
  dw: {type: sqlite, url: "sqlite:$DIR/dw.db"}
rules:
  - {id: early, from: crm/customer, to: dw/early, create: true}
  - {id: late, from: crm/customer, to: dw/late, create: true, enabled: $LATE}
`, "$LATE", enabled))})
		if err != nil {
			t.Fatal(err)
		}
		running, stop := context.WithCancel(ctx)
		ran := make(chan error, 1) // Run's one word
		go func() { ran <- d.Run(running) }()
		eventually(t, what, func() bool { return check(d) })
		stop()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	run := func(d *Daemon) bool {
		return !slices.ContainsFunc(d.set().routes, func(r *route) bool { return r.apply.Status().State != apply.RouteRunning })
	}
	during("the source is not there, the routes wait for it", "true", run)
	makeDatabase(t, filepath.Join(dir, "crm.db"))
	crm := open("crm.db")
	if _, err := crm.ExecContext(ctx, "INSERT INTO customer VALUES (1, 'a'), (2, 'b')"); err != nil {
		t.Fatal(err)
	}
	during("the first copy", "false", func(*Daemon) bool { return count("early") == 2 })
	if _, err := crm.ExecContext(ctx, "INSERT INTO customer VALUES (3, 'c')"); err != nil {
		t.Fatal(err)
	}
	during("a copy for the other rule", "true", func(*Daemon) bool { return count("early") == 3 && count("late") == 3 })
	during("nothing more", "true", func(d *Daemon) bool {
		if !run(d) {
			return false
		}
		runs, err := d.state.Runs(ctx, "crm", 100)
		if err != nil {
			t.Fatal(err)
		}
		if len(runs) != 2 {
			t.Errorf("runs = %+v, want the first copy and one for the late rule", runs)
		}
		return true
	})
}

// TestWhoMissesTheFirstCopy: as long as the source has not begun, whoever it would not be for.
func TestWhoMissesTheFirstCopy(t *testing.T) {
	intent := &syncline.Batch{Source: "crm", Sync: true, Checkpoint: []byte("going to begin")}
	chunk := &syncline.Batch{Source: "crm", Sync: true, Position: syncline.Position{Epoch: 1},
		Chunk: &syncline.Chunk{Run: "initial", Kind: syncline.RunSnapshot, Number: 1, Entity: "customer"}}
	for _, test := range []struct {
		name   string
		log    []*syncline.Batch
		missed bool
	}{
		{"an empty log", nil, true},
		{"a source that is going to begin", []*syncline.Batch{intent}, true},
		{"a source that has begun", []*syncline.Batch{intent, chunk}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t, config.Log{})
			for _, b := range test.log {
				if _, err := h.log.Append(t.Context(), b); err != nil {
					t.Fatal(err)
				}
			}
			system := h.set().sources[0].system
			system.Capture.Initial = true
			rule := func(id string, enabled bool) *config.Rule {
				return &config.Rule{ID: id, Enabled: enabled, Start: config.StartFull, From: []config.Ref{{System: "crm", Name: "customer"}}}
			}
			h.set().config.Rules = []*config.Rule{rule("enabled", true), rule("disabled", false)}
			elsewhere := memlog.New(memlog.Options{}).Log("crm").ID()
			for id, r := range map[string]state.Route{
				"enabled":  {Run: apply.RunInitial, Cursor: syncline.Cursor{Log: h.log.ID(), Seq: 1}},
				"disabled": {Run: apply.RunInitial, Cursor: syncline.Cursor{Log: h.log.ID(), Seq: 1}},
				"removed":  {Run: apply.RunInitial, Cursor: syncline.Cursor{Log: h.log.ID(), Seq: 1}},
				"now":      {Cursor: syncline.Cursor{Log: h.log.ID(), Seq: 1}},
				"old log":  {Run: apply.RunInitial, Cursor: syncline.Cursor{Log: elsewhere, Seq: 1}},
			} {
				r.Source, r.Signature = "crm", "1"
				if err := h.state.PlaceRoute(t.Context(), state.Slice{Route: id}, r); err != nil {
					t.Fatal(err)
				}
			}
			if err := h.noteMissed(t.Context(), h.set().config, h.set().sources[0]); err != nil {
				t.Fatal(err)
			}
			routes, err := h.state.Routes(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for sl, r := range routes {
				missed := test.missed && (sl.Route == "disabled" || sl.Route == "removed")
				if forgotten := r.Signature == ""; forgotten != missed {
					t.Errorf("route %s begins anew: %v, want %v", sl.Route, forgotten, missed)
				}
			}
		})
	}
}

// TestASourceThatNobodyReads works although it has nothing to say, and who reads it later gets what is there.
func TestASourceThatNobodyReads(t *testing.T) {
	dir := t.TempDir()
	makeDatabase(t, filepath.Join(dir, "crm.db"))
	execute(t, filepath.Join(dir, "crm.db"), "INSERT INTO customer VALUES (1, 'a'), (2, 'b')")
	during := func(rules, what string, check func(*Daemon) bool) {
		t.Helper()
		ctx, stop := context.WithCancel(t.Context())
		d, err := Open(ctx, Options{Config: load(t, dir, `
version: 1
log: {dir: "$DIR/log"}
state: {url: "sqlite:$DIR/state.db"}
http: {listen: "127.0.0.1:0"}
systems:
  crm: {type: sqlite, url: "sqlite:$DIR/crm.db", capture: {manage: true, entities: {customer: {table: customer}}}}
  dw: {type: sqlite, url: "sqlite:$DIR/dw.db"}
rules: [`+rules+`]
`)})
		if err != nil {
			t.Fatal(err)
		}
		ran := make(chan error, 1) // Run's one word
		go func() { ran <- d.Run(ctx) }()
		eventually(t, what, func() bool { return check(d) })
		stop()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	works := func(d *Daemon) bool { return d.source("crm").capture.Status().State == capture.StateRunning }
	during("", "the source works", works)
	during("", "it works after a restart", works)
	dw := openDatabase(t, filepath.Join(dir, "dw.db"))
	during("{id: late, from: crm/customer, to: dw/late, create: true}", "the rule has its copy", func(*Daemon) bool {
		n := 0
		_ = dw.QueryRowContext(t.Context(), "SELECT count(*) FROM late").Scan(&n) // there is no table at first
		return n == 2
	})
}
