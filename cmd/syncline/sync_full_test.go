package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"syncline/internal/ops"
)

// library is a SQLite source with two targets, and the program between them.
type library struct {
	*program
	shop, report, copies *shelf
}

func newLibrary(t *testing.T, rows int) *library {
	t.Helper()
	l := &library{shop: newShelf(t, "shop.db"), report: newShelf(t, "report.db"), copies: newShelf(t, "copies.db")}
	l.shop.exec(`CREATE TABLE item (id INTEGER PRIMARY KEY, ver INTEGER NOT NULL, body TEXT)`)
	l.insert(1, rows)
	l.program = newProgram(t, fmt.Sprintf(`
systems:
  shop: {type: sqlite, url: "sqlite:%s", capture: {manage: true, entities: {item: {table: item}}}}
  report: {type: sqlite, url: "sqlite:%s"}
  copies: {type: sqlite, url: "sqlite:%s"}
rules:
  - {id: item-report, from: shop/item, to: report/item, create: true}
  - {id: item-copies, from: shop/item, to: copies/item, create: true}
`, l.shop.path, l.report.path, l.copies.path))
	l.start()
	l.ready()
	l.shop.equals(l.report)
	l.shop.equals(l.copies)
	return l
}

func (l *library) insert(from, to int) {
	l.shop.exec(`WITH RECURSIVE n(id) AS (SELECT ? UNION ALL SELECT id + 1 FROM n WHERE id < ?) INSERT INTO item SELECT id, id, 'text' FROM n`, from, to)
}

// count returns how many rows of a target match.
func (l *library) count(s *shelf, where string) (n int) {
	l.t.Helper()
	if err := s.db.QueryRowContext(l.t.Context(), "SELECT count(*) FROM item WHERE "+where).Scan(&n); err != nil {
		l.t.Fatal(err)
	}
	return n
}

// cli runs a command and returns what it says.
func (l *library) cli(code int, args ...string) (out, talk string) {
	l.t.Helper()
	return l.command(code, append(args, "--server", l.url())...)
}

// sync returns the id of a sync that it starts.
func (l *library) sync(args ...string) string {
	l.t.Helper()
	out, _ := l.cli(exitOK, append([]string{"sync", "full", "shop/item"}, args...)...)
	return strings.TrimSpace(out)
}

// becomes waits until the sync is what is wanted.
func (l *library) becomes(id string, what string, check func(ops.Sync) bool) (s ops.Sync) {
	l.t.Helper()
	eventually(l.t, "the sync is "+what, func(ctx context.Context) (err error) {
		if s, err = l.client().Sync(ctx, id); err == nil && !check(s) {
			err = fmt.Errorf("it is %+v", s)
		}
		return err
	})
	return s
}

// TestSyncFullOfSome: of the named targets, of the rows that are wanted, from a key on; others keep what they have.
func TestSyncFullOfSome(t *testing.T) {
	l := newLibrary(t, 500)
	spoil := func() {
		for _, s := range []*shelf{l.report, l.copies} {
			s.exec(`UPDATE item SET body = 'spoiled'`)
		}
	}
	spoil()
	out, _ := l.cli(exitOK, "sync", "full", "shop/item", "--to", "report", "--wait", "-o", "json")
	var s ops.Sync
	if err := json.Unmarshal([]byte(out), &s); err != nil || s.Status != "done" || s.Rows != 500 || s.Estimate != 500 || *s.Percent != 100 || len(s.Behind) != 0 {
		t.Errorf("sync --wait: %+v, %v", s, err)
	}
	if r, c := l.count(l.report, "body = 'text'"), l.count(l.copies, "body = 'text'"); r != 500 || c != 0 {
		t.Errorf("after a sync to report, %d rows there and %d elsewhere are right, want 500 and 0", r, c)
	}
	spoil()
	_, talk := l.cli(exitOK, "sync", "full", "shop/item", "--to", "item-copies", "--where", "after.ver % 2 == 0", "--from-key", "100", "--wait")
	if !strings.Contains(talk, "done  400 rows, 200 wanted") {
		t.Errorf("sync of some: %s", talk)
	}
	if r, c := l.count(l.report, "body = 'text'"), l.count(l.copies, "body = 'text' AND id > 100 AND ver % 2 = 0"); r != 0 || c != 200 || l.count(l.copies, "body = 'text'") != 200 {
		t.Errorf("after a sync of some to copies, %d rows at report and %d of them are right, want 0 and 200", r, c)
	}

	for _, bad := range []struct {
		code int
		want string
		args []string
	}{
		{exitFailed, "unknown_route", []string{"--to", "nowhere"}},
		{exitFailed, "where_invalid", []string{"--where", "after.ver =="}},
		{exitFailed, "where_invalid", []string{"--where", "after.nothing == 1"}},
		{exitFailed, "bad_key", []string{"--from-key", "1,2"}},
		{exitUsage, "--yes", []string{"--yes"}},
		{exitUsage, "--where", []string{"--delete-missing", "--where", "true"}},
	} {
		if _, talk := l.cli(bad.code, append([]string{"sync", "full", "shop/item"}, bad.args...)...); !strings.Contains(talk, bad.want) {
			t.Errorf("sync full %v: %s, want %s", bad.args, talk, bad.want)
		}
	}

	// The short form is the same, and the long one takes what the short one always did.
	spoil()
	if _, talk = l.cli(exitOK, "sync", "shop/item", "--to", "report", "--where", "after.id <= 3", "--rate", "1000", "--wait"); !strings.Contains(talk, ", 3 wanted") {
		t.Errorf("the short form: %s", talk)
	}
	l.cli(exitOK, "sync", "full", "shop/item", "--route", "item-copies", "--key", "7", "--key", "8", "--wait")
	if r, c := l.count(l.report, "body = 'text'"), l.count(l.copies, "body = 'text'"); r != 3 || c != 2 {
		t.Errorf("after the short form %d rows at report are right, want 3; of two keys %d elsewhere", r, c)
	}
	l.cli(exitUsage, "sync", "shop/item", "--route", "item-copies", "--to", "report")

	// A condition that fails on a row ends the sync: the rest is not taken for unwanted.
	id := l.sync("--where", "1 / (after.ver - 450) >= -1")
	if s := l.becomes(id, "failed", over); s.Status != "failed" || !strings.Contains(s.Error, "where_failed") {
		t.Errorf("a sync whose condition divides by zero: %+v", s)
	}
}

// TestASyncGoesOnWhereItWas: paused, killed, resumed, throttled, cancelled. Live changes come through at all times.
func TestASyncGoesOnWhereItWas(t *testing.T) {
	l := newLibrary(t, 10_000)
	l.report.exec(`UPDATE item SET body = 'spoiled'`)
	id := l.sync("--rate", "2000")
	l.becomes(id, "under way", func(s ops.Sync) bool { return s.Scanned > 0 })
	out, _ := l.cli(exitOK, "sync", "pause", id, "--reason", "lunch")
	if !strings.Contains(out, "paused") || !strings.Contains(out, "lunch (local)") {
		t.Errorf("sync pause: %s", out)
	}
	l.cli(exitUsage, "sync", "pause", id)
	l.shop.exec(`UPDATE item SET ver = ver + 100000 WHERE id <= 10`)
	l.shop.equals(l.report)
	held, err := l.client().Sync(t.Context(), id)
	if err != nil || held.Status != "paused" || held.Scanned >= 9000 {
		t.Fatalf("the paused sync: %+v, %v", held, err)
	}
	l.kill()
	l.start()
	l.ready()
	l.shop.exec(`UPDATE item SET ver = ver + 100000 WHERE id = 11`)
	l.shop.equals(l.report)
	if s, err := l.client().Sync(t.Context(), id); err != nil || s.Status != "paused" || s.Scanned > held.Scanned+1000 {
		t.Errorf("the paused sync after a restart: %+v, %v, was %+v", s, err, held)
	}
	l.cli(exitOK, "sync", "resume", id, "--rate", "0")
	s := l.becomes(id, "done", over)
	if s.Status != "done" || s.Scanned != 10_000 {
		t.Errorf("the sync at its end: %+v", s)
	}
	l.caughtUp()
	if n := l.count(l.report, "body = 'text'"); n != 10_000 {
		t.Errorf("%d rows are right, want all", n)
	}

	// Killed while it is throttled, it goes on at the last chunk.
	l.report.exec(`UPDATE item SET body = 'spoiled'`)
	id = l.sync("--rate", "4000")
	l.becomes(id, "under way", func(s ops.Sync) bool { return s.Scanned >= 2000 })
	l.kill()
	l.start()
	l.answers()
	if s := l.becomes(id, "done", over); s.Status != "done" || s.Scanned != 10_000 {
		t.Errorf("a sync that was killed, at its end: %+v", s)
	}
	l.caughtUp()
	if n := l.count(l.report, "body = 'text'"); n != 10_000 {
		t.Errorf("%d rows are right, want all", n)
	}

	// What was cancelled is over, and what it read stays.
	id = l.sync("--rate", "1000")
	l.becomes(id, "under way", func(s ops.Sync) bool { return s.Scanned > 0 })
	l.cli(exitOK, "sync", "cancel", id, "--reason", "the wrong one")
	s = l.becomes(id, "cancelled", over)
	if s.Status != "cancelled" || s.Scanned >= 10_000 || s.Reason != "the wrong one" {
		t.Errorf("a cancelled sync: %+v", s)
	}
	if _, talk := l.cli(exitFailed, "sync", "resume", id); !strings.Contains(talk, "sync_over") {
		t.Errorf("resume of a cancelled sync: %s", talk)
	}
	if out, _ := l.cli(exitOK, "sync", "list"); !strings.Contains(out, id) || !strings.Contains(out, "cancelled") {
		t.Errorf("sync list: %s", out)
	}
}

// TestDeleteMissing: counted first, bounded, and only what the source still does not have when it is asked again.
func TestDeleteMissing(t *testing.T) {
	l := newLibrary(t, 100)
	l.report.exec(`INSERT INTO item (id, ver, body) SELECT id + 1000, ver, body FROM item WHERE id <= 5`)
	l.copies.exec(`INSERT INTO item (id, ver, body) SELECT id + 1000, ver, body FROM item WHERE id <= 50`)
	missing := func(code int, args ...string) (string, string) {
		return l.cli(code, append([]string{"sync", "full", "shop/item", "--delete-missing"}, args...)...)
	}
	out, _ := missing(exitOK, "--dry-run", "-o", "json")
	var found ops.Missing
	if err := json.Unmarshal([]byte(out), &found); err != nil || found.Records != 100 || len(found.Targets) != 2 || found.Targets[0].Missing != 5 || found.Targets[1].Missing != 50 {
		t.Errorf("dry run: %+v, %v", found, err)
	}
	if _, talk := missing(exitFailed); !strings.Contains(talk, "5 (4.76 %)") || !strings.Contains(talk, "--yes") {
		t.Errorf("without --yes: %s", talk)
	}
	if _, talk := missing(exitFailed, "--yes"); !strings.Contains(talk, "missing_too_many") || !strings.Contains(talk, "--max-delete 34") {
		t.Errorf("a third of a target: %s", talk)
	}
	if l.count(l.report, "id > 1000") != 5 || l.count(l.copies, "id > 1000") != 50 {
		t.Error("what was refused has removed something")
	}
	missing(exitOK, "--to", "report", "--yes", "--wait")
	l.shop.equals(l.report)
	if n := l.count(l.copies, "id > 1000"); n != 50 {
		t.Errorf("another target has %d of its 50 records", n)
	}
	missing(exitOK, "--yes", "--max-delete", "40", "--wait")
	l.shop.equals(l.copies)
}

// TestDeleteMissingSparesWhatIsNew: records come to the source while the targets are compared, many times.
func TestDeleteMissingSparesWhatIsNew(t *testing.T) {
	l := newLibrary(t, 50)
	written := make(chan error, 1) // the writer's one word
	ctx, stop := context.WithCancel(t.Context())
	next := 51
	go func() {
		for ; ctx.Err() == nil; next++ {
			if _, err := l.shop.db.ExecContext(t.Context(), `INSERT INTO item VALUES (?, 1, 'text')`, next); err != nil {
				written <- err
				return
			}
		}
		written <- nil
	}()
	for range 10 {
		if _, err := l.client().DeleteMissing(t.Context(), ops.MissingRequest{Source: "shop", Entity: "item", MaxPercent: new(100.0)}); err != nil {
			t.Error(err)
		}
	}
	stop()
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	l.shop.equals(l.report)
	l.shop.equals(l.copies)
	l.caughtUp()
	l.shop.equals(l.report)
}

func over(s ops.Sync) bool { return s.Over() }

// TestASyncForARouteThatStands: its rows wait in the log, another route is not held up, and whoever waits for it is told.
func TestASyncForARouteThatStands(t *testing.T) {
	l := newLibrary(t, 300)
	spoil := `UPDATE item SET body = 'spoiled'`
	l.report.exec(spoil)
	l.copies.exec(spoil)
	l.cli(exitOK, "pause", "target", "report", "--reason", "a test")
	_, talk := l.cli(exitFailed, "sync", "full", "shop/item", "--wait")
	if !strings.Contains(talk, "wait there: route item-report is paused") {
		t.Errorf("sync --wait for a route that is paused: %s", talk)
	}
	eventually(t, "the other route has applied it", func(context.Context) error {
		if n := l.count(l.copies, "body = 'text'"); n != 300 {
			return fmt.Errorf("%d rows are right", n)
		}
		return nil
	})
	if n := l.count(l.report, "body = 'text'"); n != 0 {
		t.Errorf("the paused route has applied %d rows", n)
	}
	l.cli(exitOK, "resume", "target", "report")
	eventually(t, "the route has applied it", func(context.Context) error {
		if n := l.count(l.report, "body = 'text'"); n != 300 {
			return fmt.Errorf("%d rows are right", n)
		}
		return nil
	})
}

// TestASyncOfATableWithoutAKey replaces what the target has, and is never of some records.
func TestASyncOfATableWithoutAKey(t *testing.T) {
	src, dst := newShelf(t, "shop.db"), newShelf(t, "report.db")
	src.exec(`CREATE TABLE item (id INTEGER, ver INTEGER)`)
	src.exec(`INSERT INTO item VALUES (1, 1), (2, 2)`)
	p := newProgram(t, fmt.Sprintf(`
systems:
  shop: {type: sqlite, url: "sqlite:%s", capture: {manage: true, entities: {item: {table: item}}}}
  report: {type: sqlite, url: "sqlite:%s"}
rules:
  - {id: item, from: shop/item, to: report/item, create: true}
`, src.path, dst.path))
	p.start()
	p.ready()
	src.equals(dst)
	dst.exec(`INSERT INTO item VALUES (9, 9), (1, 1)`)
	p.command(exitOK, "sync", "full", "shop/item", "--server", p.url(), "--wait")
	src.equals(dst)
	for _, args := range [][]string{{"--where", "after.ver == 1"}, {"--from-key", "1"}} {
		if _, talk := p.command(exitFailed, append([]string{"sync", "full", "shop/item", "--server", p.url()}, args...)...); !strings.Contains(talk, "sync_keyless") {
			t.Errorf("sync full %v of a table without a key: %s", args, talk)
		}
	}
	if _, talk := p.command(exitFailed, "sync", "full", "shop/item", "--server", p.url(), "--delete-missing", "--dry-run"); !strings.Contains(talk, "not_available") {
		t.Errorf("--delete-missing of a table without a key: %s", talk)
	}
}

// TestASyncOfATwoWayRule changes nothing where both sides agree, and nothing is missing on either.
func TestASyncOfATwoWayRule(t *testing.T) {
	f := newTwoSides(t)
	f.program.start()
	f.program.ready()
	f.onErp(`INSERT INTO client VALUES (500, 'of erp', 7, 'b', '2026-01-01T00:00:00Z', 'erp')`)
	agree := func() {
		t.Helper()
		eventually(t, "both sides agree", func(ctx context.Context) error {
			var crm, erp string
			if err := f.crm.QueryRow(ctx, `SELECT string_agg(id || ' ' || name || ' ' || trim_scale(stock), ', ' ORDER BY id) FROM customer`).Scan(&crm); err != nil {
				return err
			}
			if err := f.erp.QueryRowContext(ctx, `SELECT group_concat(number || ' ' || label || ' ' || stock, ', ') FROM (SELECT * FROM client ORDER BY number)`).Scan(&erp); err != nil {
				return err
			}
			if crm != erp {
				return fmt.Errorf("%s and %s", crm, erp)
			}
			return nil
		})
	}
	agree()
	for _, of := range []string{"crm/customer", "erp/client"} {
		f.program.command(exitOK, "sync", "full", of, "--server", f.program.url(), "--wait")
		agree()
		out, _ := f.program.command(exitOK, "sync", "full", of, "--server", f.program.url(), "--delete-missing", "--dry-run")
		if !strings.Contains(out, "two-way rule") {
			t.Errorf("--delete-missing of %s: %s", of, out)
		}
	}
	var erp int
	if err := f.erp.QueryRowContext(t.Context(), `SELECT count(*) FROM client WHERE label IN ('start', 'of erp')`).Scan(&erp); err != nil || erp != stocks+1 {
		t.Errorf("%d records of %d, %v", erp, stocks+1, err)
	}
}

// TestASyncWaitsWhereNoRouteWorks: the log is not filled with rows that nobody takes.
func TestASyncWaitsWhereNoRouteWorks(t *testing.T) {
	const rows = 30_000
	l := newLibrary(t, 1)
	for _, target := range []string{"report", "copies"} {
		l.cli(exitOK, "pause", "target", target, "--reason", "a test")
	}
	l.shop.exec(`WITH RECURSIVE n(id) AS (SELECT 2 UNION ALL SELECT id + 1 FROM n WHERE id < ?) INSERT INTO item SELECT id, id, ? FROM n`, rows, strings.Repeat("x", 1000))
	captured := func(n int64) {
		t.Helper()
		eventually(t, "changes are captured", func(context.Context) error {
			if got := l.system("shop").Log.Captured; got < n {
				return fmt.Errorf("%d events", got)
			}
			return nil
		})
	}
	captured(rows)
	id := l.sync()
	l.becomes(id, "under way", func(s ops.Sync) bool { return s.Rows > 2000 })
	before := l.system("shop").Log.Captured
	for n := range int64(100) {
		l.shop.exec(`UPDATE item SET ver = ver + 1 WHERE id = 1`)
		captured(before + n + 1)
	}
	s, err := l.client().Sync(t.Context(), id)
	if err != nil || s.Over() || s.Rows >= rows {
		t.Errorf("a sync for routes that are paused: %+v, %v, want it to wait", s, err)
	}
	if out, _ := l.cli(exitOK, "sync", "show", id); !strings.Contains(out, "waits for item-report (paused)") {
		t.Errorf("sync show: %s", out)
	}
	for _, target := range []string{"report", "copies"} {
		l.cli(exitOK, "resume", "target", target)
	}
	if s := l.becomes(id, "over", over); s.Status != "done" {
		t.Errorf("the sync at its end: %+v", s)
	}
	l.shop.equals(l.report)
}
