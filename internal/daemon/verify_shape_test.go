package daemon

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"syncline/internal/ops"
	"syncline/internal/testserver"
)

// TestRecordsOfOtherKeysAreCompared: the lines that a rule splits a record into, and records whose keys a rule computes, are compared by the
// keys that they have at the target.
func TestRecordsOfOtherKeysAreCompared(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	source, target := database(t, filepath.Join(dir, "crm.db")), database(t, filepath.Join(dir, "dw.db"))
	exec(t, source, `CREATE TABLE ord (id INTEGER PRIMARY KEY, lines JSON)`)
	exec(t, source, `INSERT INTO ord VALUES (1, '[{"sku": "a", "qty": 1}, {"sku": "b", "qty": 2}]'), (2, '[{"sku": "a", "qty": 3}]'), (3, '[]'),
		(4, '[{"sku": "x", "qty": 4}, {"sku": "y", "qty": 5}, {"sku": "z", "qty": 6}]')`)
	exec(t, source, `CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)`)
	exec(t, source, `INSERT INTO item VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd')`)
	d := running(t, load(t, dir, head+`systems:
  crm: {type: sqlite, url: "sqlite:`+filepath.Join(dir, "crm.db")+`", capture: {manage: true, entities: {ord: {table: ord}, item: {table: item}}}}
  dw: {type: sqlite, url: "sqlite:`+filepath.Join(dir, "dw.db")+`"}
rules:
  - {id: lines, from: crm/ord, to: dw/line, create: true, transform: [{split: {field: lines, key: sku, fields: {sku: text, qty: int}}}]}
  - {id: named, from: crm/item, to: dw/named, create: true, transform: [{set: {id: '"item-" + string(after.id)'}}]}
`))
	of := func(rule, repair string) string {
		t.Helper()
		v := verified(t, d, ops.VerificationRequest{Rules: []string{rule}, Repair: repair})
		return strings.TrimSpace(verdictIn(t, d, &v) + " " + strings.Join(v.Parts[0].Notes, "; "))
	}
	eventually(t, "the copy is there", func() bool { return of("lines", "") == "done equal=3 filtered=1" && of("named", "") == "done equal=4" })
	exec(t, target, `UPDATE line SET qty = 9 WHERE id = 1 AND sku = 'b'`)
	exec(t, target, `DELETE FROM line WHERE id = 2`)
	exec(t, target, `INSERT INTO line (id, sku, qty) VALUES (3, 'n', 1), (4, 'n', 1), (7, 'n', 1)`) // of a record without lines, with others, of none
	exec(t, target, `UPDATE named SET name = 'other' WHERE id = 'item-1'`)
	exec(t, target, `DELETE FROM named WHERE id = 'item-2'`)
	exec(t, target, `INSERT INTO named (id, name) VALUES ('item-9', 'x')`)
	const differ = "1,b:different:qty:STATE 2,a:missing::STATE 3,n:extra::STATE 4,n:extra::STATE 7,n:extra::STATE"
	const named = "item-1:different:name:STATE item-2:missing::STATE item-9:extra::found"
	const unknown = " the rule computes keys, so that 1 extra records cannot be asked for: delete them at the target, or by a full sync that deletes what is missing"
	for _, step := range []struct{ rule, repair, want string }{
		{"lines", "", "done equal=1 missing=1 extra=3 different=1 filtered=1 " + strings.ReplaceAll(differ, "STATE", "found")},
		{"named", "", "done equal=2 missing=1 extra=1 different=1 " + strings.ReplaceAll(named, "STATE", "found")},
		{"lines", "auto", "done equal=1 missing=1 extra=3 different=1 repaired=5 filtered=1 " + strings.ReplaceAll(differ, "STATE", "repaired")},
		{"named", "auto", "done equal=2 missing=1 extra=1 different=1 repaired=2 " + strings.ReplaceAll(named, "STATE", "repaired") + unknown},
		{"lines", "", "done equal=3 filtered=1"},
		{"named", "", "done equal=4 extra=1 item-9:extra::found"},
	} {
		if got := of(step.rule, step.repair); got != step.want {
			t.Errorf("verification of %s, repair %q:\n got %s\nwant %s", step.rule, step.repair, got, step.want)
		}
	}
	holds(t, target, `SELECT id || sku || qty FROM line ORDER BY id, sku`, "1a1", "1b2", "2a3", "4x4", "4y5", "4z6")
}

// TestATargetRestoredFromAnOlderCopy behind the back of its route: what came, went and changed since is found and named by its key, and a repair
// brings it back, whether the cursor was restored, too, or not.
func TestATargetRestoredFromAnOlderCopy(t *testing.T) {
	pg := testserver.NewPostgres(t, "wal_level=logical")
	for _, cursor := range []bool{false, true} {
		t.Run(fmt.Sprintf("cursor restored %v", cursor), func(t *testing.T) {
			source, target := pg.Database(t), pg.Database(t)
			queryPostgres(t, source, `CREATE TABLE item (id int PRIMARY KEY, name text)`, `INSERT INTO item SELECT n, 'item ' || n FROM generate_series(1, 200) n`)
			d := running(t, load(t, t.TempDir(), head+fmt.Sprintf(`systems:
  crm: {type: postgres, url: %q, capture: {manage: true, slot: restored_%v, entities: {item: {table: item}}}}
  dw: {type: postgres, url: %q}
rules: [{id: mirror, from: crm/item, to: dw/item, create: true}]
`, source, cursor, target)))
			eventuallyEqual(t, d, 200)
			queryPostgres(t, target, `CREATE TABLE saved_item AS SELECT * FROM item`, `CREATE TABLE saved_cursor AS SELECT * FROM _syncline_cursor`)
			queryPostgres(t, source, `INSERT INTO item SELECT n, 'item ' || n FROM generate_series(201, 203) n`, `DELETE FROM item WHERE id = 5`, `UPDATE item SET name = 'newer' WHERE id IN (7, 8)`)
			eventuallyEqual(t, d, 202)
			restore := []string{`BEGIN`, `TRUNCATE item`, `INSERT INTO item SELECT * FROM saved_item`}
			if cursor {
				restore = append(restore, `DELETE FROM _syncline_cursor`, `INSERT INTO _syncline_cursor SELECT * FROM saved_cursor`)
			}
			queryPostgres(t, target, append(restore, `COMMIT`)...)
			const differ = "201:missing::STATE 202:missing::STATE 203:missing::STATE 5:extra::STATE 7:different:name:STATE 8:different:name:STATE"
			steps := []struct{ repair, want string }{
				{"off", "done equal=197 missing=3 extra=1 different=2 " + strings.ReplaceAll(differ, "STATE", "found")},
				{"auto", "done equal=197 missing=3 extra=1 different=2 repaired=6 " + strings.ReplaceAll(differ, "STATE", "repaired")},
				{"off", "done equal=202"},
			}
			if cursor {
				// The next change finds the cursor behind: then the route refills by itself what the target has lost.
				steps = steps[1:]
			}
			for _, step := range steps {
				v := verified(t, d, ops.VerificationRequest{Repair: step.repair})
				if got := verdictIn(t, d, &v); got != step.want {
					t.Errorf("verification with repair %s:\n got %s\nwant %s", step.repair, got, step.want)
				}
			}
		})
	}
}
