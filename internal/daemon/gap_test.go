package daemon

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"syncline"
	"syncline/internal/capture"
	"syncline/internal/state"
)

const shopToReport = head + `
systems:
  shop: {type: sqlite, url: "sqlite:$DIR/shop.db", capture: {manage: true, entities: {item: {table: item}}}}
  report: {type: sqlite, url: "sqlite:$DIR/report.db"}
rules:
  - {id: items, from: shop/item, to: report/item, create: true}
`

// TestAGapStaysWithItsLog: a source whose log was begun anew does not go on behind a gap of the log before, neither then nor at a later start.
func TestAGapStaysWithItsLog(t *testing.T) {
	t.Parallel()
	for _, status := range []string{state.GapClosed, state.GapDeclared} {
		t.Run(status, func(t *testing.T) {
			dir := t.TempDir()
			shop := database(t, filepath.Join(dir, "shop.db"))
			exec(t, shop, "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)")
			c := load(t, dir, shopToReport)
			d, stop := runningUntil(t, c)
			g := state.Gap{ID: "gap-1", Source: "shop", Reason: "source_behind", By: "somebody", Status: status, From: syncline.Position{Epoch: 1, Commit: 9}}
			if err := d.state.AddGap(t.Context(), g); err != nil {
				t.Fatal(err)
			}
			stop()
			closeDaemon(t, d)
			if err := os.RemoveAll(c.Log.Dir); err != nil {
				t.Fatal(err)
			}
			for start := range 3 {
				d, stop := runningUntil(t, c)
				eventually(t, "the source is in the log", func() bool {
					last, err := lastBatch(t.Context(), d.source("shop").log)
					return err == nil && last != nil
				})
				last, err := lastBatch(t.Context(), d.source("shop").log)
				if err != nil || last.Position.Epoch != 1 || d.source("shop").gap.Load().Declared(last.Position) {
					t.Errorf("start %d: the log ends at %v, %v, want it in its first epoch, and not before a gap", start, last.Position, err)
				}
				if list, err := d.state.Gaps(t.Context(), "shop", time.Time{}); err != nil || len(list) != 1 || list[0].Status == state.GapDeclared {
					t.Errorf("start %d: gaps = %+v, %v", start, list, err)
				}
				stop()
				closeDaemon(t, d)
			}
		})
	}
}

// TestARestoredFileGoesOnBehindAGap: an older copy of the database halts its source; once the gap is accepted, it goes on, and everything is
// read again. The gap is shown until then, and remembered.
func TestARestoredFileGoesOnBehindAGap(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "shop.db")
	shop := database(t, path)
	exec(t, shop, "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)")
	exec(t, shop, "INSERT INTO item VALUES (1, 'one')")
	c := load(t, dir, shopToReport)
	d, stop := runningUntil(t, c)
	report := openDatabase(t, filepath.Join(dir, "report.db"))
	names := "SELECT coalesce(group_concat(id || name, ' '), '') FROM (SELECT * FROM item ORDER BY id)"
	arrives := func(want string) {
		t.Helper()
		eventually(t, want, func() bool {
			var got string
			return report.QueryRowContext(t.Context(), names).Scan(&got) == nil && got == want
		})
	}
	arrives("1one")
	backup := filepath.Join(dir, "backup.db")
	exec(t, shop, "VACUUM INTO '"+backup+"'")
	exec(t, shop, "INSERT INTO item VALUES (2, 'two')")
	exec(t, shop, "INSERT INTO item VALUES (3, 'three')")
	arrives("1one 2two 3three")
	stop()
	closeDaemon(t, d)
	if err := shop.Close(); err != nil {
		t.Fatal(err)
	}
	for _, old := range []string{path + "-wal", path + "-shm"} {
		_ = os.Remove(old)
	}
	if err := os.Rename(backup, path); err != nil {
		t.Fatal(err)
	}
	shop = database(t, path)
	exec(t, shop, "UPDATE item SET name = 'uno'")
	d = running(t, c)
	halted := func() bool {
		st := d.source("shop").capture.Status()
		return st.State == capture.StateHalted && syncline.CodeOf(st.Err) == "source_behind"
	}
	eventually(t, "the source halts", halted)
	if err := d.Engine().AcceptGap(t.Context(), "report"); syncline.CodeOf(err) != "gap_unneeded" {
		t.Errorf("accepting the gap of a target = %v", err)
	}
	if err := d.Engine().AcceptGap(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the gap is shown", func() bool {
		st, err := d.Engine().Status(t.Context())
		return err == nil && st.Systems[0].Gap != nil && st.Systems[0].Gap.Status == state.GapOpen && st.Systems[0].Gap.To != ""
	})
	mended := func() bool {
		if _, err := d.mend(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		open, err := d.state.OpenGaps(t.Context())
		return err == nil && len(open) == 0
	}
	eventually(t, "the gap is closed", mended)
	arrives("1uno") // what the older copy does not have has gone
	exec(t, shop, "INSERT INTO item VALUES (4, 'four')")
	arrives("1uno 4four")
	list, err := d.state.Gaps(t.Context(), "shop", time.Time{})
	if err != nil || len(list) != 1 || list[0].Status != state.GapClosed || list[0].Reason != "source_behind" || list[0].To.Epoch != 2 || list[0].From.Epoch != 1 {
		t.Errorf("gaps = %+v, %v", list, err)
	}
	if err := d.Engine().AcceptGap(t.Context(), "shop"); syncline.CodeOf(err) != "gap_unneeded" {
		t.Errorf("accepting a gap that is none = %v", err)
	}
}

// TestAGapWhoseRunFailsIsReadAgain, once, after a while: not with every look, and not because of what failed before.
func TestAGapWhoseRunFailsIsReadAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	exec(t, database(t, filepath.Join(dir, "shop.db")), "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO item VALUES (1, 'one')")
	d := running(t, load(t, dir, shopToReport))
	route := d.set().routes[0].id
	eventuallyEqual(t, d, 1)
	gap := func() state.Gap {
		t.Helper()
		list, err := d.state.Gaps(t.Context(), "shop", time.Time{})
		if err != nil || len(list) != 1 {
			t.Fatalf("gaps = %+v, %v", list, err)
		}
		return list[0]
	}
	began := time.Now()
	if err := d.state.AddGap(t.Context(), state.Gap{ID: "gap-1", Source: "shop", Route: route, Reason: "log_gap", By: byPolicy, Status: state.GapFilling,
		Attempts: 1, Next: began}); err != nil {
		t.Fatal(err)
	}
	failed := syncline.Run{ID: "start-" + route + "-item-9-9.9", Kind: syncline.RunFull, Entity: "item", Routes: []string{route}}
	if err := d.state.AddRun(t.Context(), "shop", failed); err != nil {
		t.Fatal(err)
	}
	if err := d.state.UpdateRun(t.Context(), state.RunRow{Run: failed, Source: "shop", Status: state.RunFailed, Error: "broken"}); err != nil {
		t.Fatal(err)
	}
	mend := func(now time.Time) {
		t.Helper()
		if _, err := d.mend(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the failure is seen", func() bool { mend(time.Now()); return gap().Status == state.GapOpen })
	mend(time.Now())
	if g := gap(); g.Status != state.GapOpen || !g.Next.After(time.Now()) || !strings.Contains(g.Error, "broken") {
		t.Errorf("before it is time the gap is %+v", g)
	}
	mend(time.Now().Add(2 * time.Minute))
	if g := gap(); g.Status != state.GapFilling || g.Attempts != 2 {
		t.Fatalf("when it is time the gap is %+v", g)
	}
	if _, err := d.state.Run(t.Context(), "refill-1-2-item"); err != nil {
		t.Error(err)
	}
	eventually(t, "the gap is closed", func() bool {
		mend(time.Now().Add(2 * time.Minute))
		g := gap()
		if g.Status == state.GapOpen {
			t.Fatalf("what failed before fails it again: %+v", g)
		}
		return g.Status == state.GapClosed
	})
}

// TestTargetsOfGapsAreTriedBesideTheConfiguration: a target that takes its time to answer keeps no configuration from being applied.
func TestTargetsOfGapsAreTriedBesideTheConfiguration(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	exec(t, database(t, filepath.Join(dir, "shop.db")), "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)")
	d := running(t, load(t, dir, shopToReport))
	eventually(t, "it works", func() bool { ready, _ := d.Engine().Ready(t.Context()); return ready })
	r := d.set().routes[0]
	dialled, answer := make(chan struct{}, 1), make(chan struct{}) // sent by whoever dials; closed below, so that it fails
	release := sync.OnceFunc(func() { close(answer) })
	defer release()
	d.mending.Lock()
	r.open = func(context.Context) (syncline.Target, error) {
		select {
		case dialled <- struct{}{}:
		default:
		}
		<-answer
		return nil, errors.New("connection timed out")
	}
	d.mending.Unlock()
	g := state.Gap{ID: "gap-1", Source: "shop", Route: r.id, Reason: "log_gap", By: byPolicy, Status: state.GapOpen, Attempts: 1}
	if err := d.state.AddGap(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	var mending sync.WaitGroup
	mending.Go(func() { _, _ = d.mend(t.Context(), time.Now()) })
	<-dialled
	eventually(t, "the configuration can be changed", func() bool { // others hold it for a moment
		free := d.changing.TryLock()
		if free {
			d.changing.Unlock()
		}
		return free
	})
	release()
	mending.Wait()
	open, err := d.state.OpenGaps(t.Context())
	if err != nil || len(open) != 1 || !strings.Contains(open[0].Error, "timed out") || !open[0].Next.After(time.Now()) {
		t.Errorf("gaps = %+v, %v", open, err)
	}
}

// TestAGapOfNothingCloses: where the source has no record that the rule wants, its target has no table, and holds nothing that is too much.
func TestAGapOfNothingCloses(t *testing.T) {
	t.Parallel()
	for name, rows := range map[string]string{"no record": "", "none wanted": "INSERT INTO item VALUES (1, 'one'), (2, 'two')"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			exec(t, database(t, filepath.Join(dir, "shop.db")), "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT); "+rows)
			d := running(t, load(t, dir, strings.Replace(shopToReport, "create: true", "create: true, when: after.name == 'three'", 1)))
			eventually(t, "it works", func() bool { ready, _ := d.Engine().Ready(t.Context()); return ready })
			if err := d.state.AddGap(t.Context(), state.Gap{ID: "gap-1", Source: "shop", Reason: "source_behind", By: byPolicy, Status: state.GapOpen}); err != nil {
				t.Fatal(err)
			}
			var open []state.Gap
			defer func() {
				if t.Failed() {
					t.Logf("%+v", open)
				}
			}()
			eventually(t, "the gap is closed", func() bool {
				if _, err := d.mend(t.Context(), time.Now()); err != nil {
					t.Fatal(err)
				}
				var err error
				open, err = d.state.OpenGaps(t.Context())
				return err == nil && len(open) == 0
			})
		})
	}
}
