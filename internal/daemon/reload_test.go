package daemon

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/config"
	"syncline/internal/memory"
	"syncline/internal/ops"
	"syncline/internal/state"
)

const reloaded = head + `
systems:
  crm: {type: sqlite, url: "sqlite:crm.db", capture: {manage: true, entities: {customer: {table: customer}}}}
  pos: {type: http, capture: {mode: push, entities: {sale: {key: [id]}}}}
  report: {type: sqlite, url: "sqlite:report.db"}
  find: {type: search, path: index}
rules:
  - {id: all, from: crm/customer, to: report/customer, create: true}
  - {id: some, from: crm/customer, to: report/some, create: true, when: 'after.id < 10'}
  - {id: found, from: crm/customer, to: find/customer}
`

// openReloaded runs a daemon on reloaded and returns what applies another configuration.
func openReloaded(t *testing.T) (d *Daemon, apply func(ctx context.Context, edit ...string) (ops.Applied, error)) {
	t.Helper()
	dir := t.TempDir()
	makeDatabase(t, filepath.Join(dir, "crm.db"))
	files := []config.File{{Name: "syncline.yaml", Text: []byte(reloaded)}}
	d, err := Open(t.Context(), Options{Config: read(t, dir, reloaded), Files: files, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, d)
	t.Cleanup(func() { stop(); closeDaemon(t, d) })
	eventually(t, "everything works", func() bool { ready, _ := d.Engine().Ready(t.Context()); return ready })
	return d, func(ctx context.Context, edit ...string) (ops.Applied, error) {
		return d.Apply(ctx, Application{By: "test", Files: []config.File{{Name: "syncline.yaml", Text: []byte(strings.NewReplacer(edit...).Replace(reloaded))}}})
	}
}

// TestTheHeapIsSharedByTheRoutesAtWork, of which each configuration has its own number.
func TestTheHeapIsSharedByTheRoutesAtWork(t *testing.T) {
	memory.Share(0)
	_, change := openReloaded(t)
	if n := memory.Share(0); n != 3 {
		t.Errorf("after a start %d routes share the heap, want 3", n)
	}
	if _, err := change(t.Context(), "  - {id: found, from: crm/customer, to: find/customer}\n", ""); err != nil {
		t.Fatal(err)
	}
	if n := memory.Share(0); n != 2 {
		t.Errorf("after a route has gone %d share the heap, want 2", n)
	}
}

// TestConfigurationsChangeUnderLoad: whoever looks, pauses or resumes meanwhile meets one configuration or the other, and of two who apply
// at once one does.
func TestConfigurationsChangeUnderLoad(t *testing.T) {
	d, change := openReloaded(t)
	all := d.route("all")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var others sync.WaitGroup
	meanwhile := func(do func(e ops.Engine) error) {
		others.Go(func() {
			for ctx.Err() == nil {
				if err := do(d.Engine()); err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}
	meanwhile(func(e ops.Engine) error {
		_, err := e.Routes(ctx)
		return err
	})
	meanwhile(func(e ops.Engine) error {
		_, err := e.Status(ctx)
		return err
	})
	meanwhile(func(e ops.Engine) error {
		one := []state.Pause{{Kind: state.PauseTarget, Name: "report", Reason: "test"}}
		if _, err := e.Pause(ctx, one); err != nil {
			return err
		}
		return e.Unpause(ctx, one)
	})
	meanwhile(func(e ops.Engine) error {
		_ = e.ResumeSystem(ctx, "crm") // it is there or not
		return nil
	})
	busy := 0
	for n := range 20 {
		edits := [][]string{
			{"< 10", fmt.Sprintf("< %d", n)},
			{"{key: [id]}}", "{key: [id]}, refund: {key: [id]}}", "  - {id: found, from: crm/customer, to: find/customer}\n", ""},
		}
		var both sync.WaitGroup
		errs := make([]error, len(edits))
		for i, edit := range edits {
			both.Go(func() { _, errs[i] = change(t.Context(), edit...) })
		}
		both.Wait()
		for _, err := range errs {
			if syncline.CodeOf(err) == "config_busy" {
				busy++
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
	stop()
	others.Wait()
	t.Logf("%d of 40 were refused, version %d is at work", busy, d.set().applied.Version)
	if _, err := change(t.Context(), "nothing", ""); err != nil {
		t.Fatal(err)
	}
	if d.route("all") != all || all.apply.Status().State == apply.RouteStopped {
		t.Errorf("the route that no configuration changes is another, or %s", all.apply.Status().State)
	}
	eventually(t, "everything works again", func() bool { ready, _ := d.Engine().Ready(t.Context()); return ready })
}

// TestWhatCannotBeNotedIsTakenBack: the routes that were stopped go on as they were.
func TestWhatCannotBeNotedIsTakenBack(t *testing.T) {
	d, change := openReloaded(t)
	was := d.set()
	exec(t, database(t, was.config.State.Path), "DROP TABLE config")
	_, err := change(t.Context(), "< 10", "< 5", "report/customer", "report/client", "  pos:", "  shop: {type: http, capture: {mode: push, entities: {sale: {key: [id]}}}}\n  pos:")
	if err == nil {
		t.Fatal("a configuration was applied that could not be noted")
	}
	if d.set() != was {
		t.Error("another set is at work")
	}
	eventually(t, "the routes go on", func() bool { ready, _ := d.Engine().Ready(t.Context()); return ready })
	exec(t, database(t, filepath.Join(d.o.Dir, "crm.db")), "INSERT INTO customer VALUES (7, 'g')")
	report := database(t, filepath.Join(d.o.Dir, "report.db"))
	for _, table := range []string{"customer", "some"} {
		eventually(t, "what changes reaches "+table, func() bool {
			var n int
			return report.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table+" WHERE id = 7").Scan(&n) == nil && n == 1
		})
	}
}
