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
