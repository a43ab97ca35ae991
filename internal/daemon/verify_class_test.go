package daemon

import (
	"path/filepath"
	"testing"

	"syncline/internal/ops"
	"syncline/internal/state"
)

// TestWhatDiffersAndIsNoDifference: records that are parked, those that wait behind them, those of which the rule leaves to others what the
// target has, and those that several rules write to one object are told by classes of their own, or not at all.
func TestWhatDiffersAndIsNoDifference(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	source, target := database(t, filepath.Join(dir, "crm.db")), database(t, filepath.Join(dir, "dw.db"))
	exec(t, source, `CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, kind TEXT)`)
	exec(t, source, `INSERT INTO item VALUES (1, 'a', 'x'), (2, 'refused', 'x'), (3, 'c', 'y'), (4, 'd', 'y')`)
	exec(t, target, `CREATE TABLE strict (id INTEGER PRIMARY KEY, name TEXT CHECK (name <> 'refused'), kind TEXT)`)
	d := running(t, load(t, dir, head+`systems:
  crm: {type: sqlite, url: "sqlite:`+filepath.Join(dir, "crm.db")+`", capture: {manage: true, entities: {item: {table: item}}}}
  dw: {type: sqlite, url: "sqlite:`+filepath.Join(dir, "dw.db")+`"}
rules:
  - {id: strict, from: crm/item, to: dw/strict, retry: {max: 1}}
  - {id: owned, from: crm/item, to: dw/owned, create: true, conflict: {detect: [data], strategy: last_write_wins}}
  - {id: xs, from: crm/item, to: dw/both, create: true, when: 'after.kind == "x"', group: both}
  - {id: ys, from: crm/item, to: dw/both, when: 'after.kind == "y"', group: both}
  - {id: stays, from: crm/item, to: dw/stays, create: true, on: {deleted: ignore}}
  - {id: urgent, from: crm/item, to: dw/urgent, create: true, min_priority: high}
`))
	of := func(rule string) string {
		t.Helper()
		v := verified(t, d, ops.VerificationRequest{Rules: []string{rule}})
		return verdictIn(t, d, &v)
	}
	waits := func(n int) {
		t.Helper()
		eventually(t, "a record is parked", func() bool {
			list, _, err := d.state.Exceptions(t.Context(), state.Filter{Rule: "strict"})
			return err == nil && len(list) == n
		})
	}
	eventually(t, "the copy is there", func() bool { return of("stays") == "done equal=4" && of("owned") == "done equal=4" })
	waits(1)
	exec(t, target, `UPDATE owned SET name = 'by somebody' WHERE id = 1`)
	exec(t, source, `DELETE FROM item WHERE id = 4`)
	for _, test := range []struct{ rule, want string }{
		{"strict", "done equal=2 parked=1"},
		{"owned", "done equal=2 policy=1"},
		{"xs", "done equal=2 filtered=1"},
		{"ys", "done equal=1 filtered=2"},
		{"stays", "done equal=3 policy=1"},
		{"urgent", "done equal=0 policy=3"},
	} {
		if got := of(test.rule); got != test.want {
			t.Errorf("%s: %s, want %s", test.rule, got, test.want)
		}
	}
	exec(t, target, `INSERT INTO both (id, name, kind) VALUES (77, 'X', 'x')`)
	exec(t, target, `DELETE FROM owned WHERE id = 3`)
	for _, test := range []struct{ rule, want string }{
		{"xs", "done equal=2 extra=1 filtered=1 77:extra::found"},
		{"owned", "done equal=1 missing=1 policy=1 3:missing::found"},
	} {
		if got := of(test.rule); got != test.want {
			t.Errorf("%s: %s, want %s", test.rule, got, test.want)
		}
	}
}

// TestWhatWaitsOrIsOthersIsNoDifference: a record that waits for a person's decision, one that waits under its new key,
// columns that the target owns, and values that were asked outside, which are others by now.
func TestWhatWaitsOrIsOthersIsNoDifference(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	source, target := database(t, filepath.Join(dir, "crm.db")), database(t, filepath.Join(dir, "dw.db"))
	exec(t, source, `CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, kind TEXT)`)
	exec(t, source, `INSERT INTO item VALUES (1, 'a', 'x'), (2, 'b', 'x'), (3, 'c', 'y'), (4, 'd', 'y')`)
	exec(t, source, `CREATE TABLE price (kind TEXT PRIMARY KEY, price INTEGER)`)
	exec(t, source, `INSERT INTO price VALUES ('x', 10), ('y', 20)`)
	exec(t, target, `CREATE TABLE strict (id INTEGER PRIMARY KEY, name TEXT CHECK (name <> 'refused'), kind TEXT)`)
	d := running(t, load(t, dir, head+`systems:
  crm: {type: sqlite, url: "sqlite:`+filepath.Join(dir, "crm.db")+`", capture: {manage: true, entities: {item: {table: item}}}}
  ref: {type: sqlite, url: "sqlite:`+filepath.Join(dir, "crm.db")+`"}
  dw: {type: sqlite, url: "sqlite:`+filepath.Join(dir, "dw.db")+`"}
rules:
  - {id: asked, from: crm/item, to: dw/asked, create: true, conflict: {detect: [data], strategy: manual}}
  - {id: strict, from: crm/item, to: dw/strict, retry: {max: 1}}
  - {id: owned, from: crm/item, to: dw/owned, create: true, conflict: {detect: [data], strategy: merge, fields: {kind: source_priority}, sources: [dw, crm]}}
  - {id: priced, from: crm/item, to: dw/priced, create: true, transform: [{enrich: {by: after.kind, sql: {system: ref, query: "SELECT kind, price FROM price WHERE kind IN (SELECT value FROM json_each($1))", key: kind}, take: {price: {kind: int}}}}]}
`))
	of := func(rule string) string {
		t.Helper()
		v := verified(t, d, ops.VerificationRequest{Rules: []string{rule}})
		return verdictIn(t, d, &v)
	}
	for _, rule := range []string{"asked", "strict", "owned", "priced"} {
		eventually(t, "the copy is there", func() bool { return of(rule) == "done equal=4" })
	}
	exec(t, target, `UPDATE asked SET name = 'theirs' WHERE id = 1`)
	exec(t, target, `UPDATE owned SET kind = 'theirs' WHERE id = 2`)
	exec(t, source, `UPDATE item SET name = 'ours' WHERE id = 1`)
	exec(t, source, `UPDATE item SET id = 30, name = 'refused' WHERE id = 3`)
	exec(t, source, `UPDATE price SET price = 11 WHERE kind = 'x'`)
	exec(t, target, `UPDATE priced SET name = 'other' WHERE id = 4`)
	eventually(t, "a record waits for a decision, and one for a person", func() bool {
		list, _, err := d.state.Exceptions(t.Context(), state.Filter{})
		return err == nil && len(list) == 2
	})
	for _, test := range []struct{ rule, want string }{
		{"asked", "done equal=3 conflict=1"},
		{"strict", "done equal=3 parked=1"},
		{"owned", "done equal=3 policy=1"},
		{"priced", "done equal=3 different=1 enriched=2 4:different:name:found"},
	} {
		if got := of(test.rule); got != test.want {
			t.Errorf("%s: %s, want %s", test.rule, got, test.want)
		}
	}
	holds(t, target, `SELECT id || name FROM strict ORDER BY id`, "1ours", "2b", "4d") // a record that moved whole has left its place
}
