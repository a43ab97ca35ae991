package polltest

import (
	"strings"
	"testing"

	"syncline"
)

// testSweep: what is gone is told, once, and what nobody knew of.
func testSweep(t *testing.T, h Harness) {
	f := begun(t, h, item)
	for i := range 30 {
		f.db.Exec(t, insert(i+1, "x", 100+i))
	}
	f.poll("item")
	f.db.Exec(t, "DELETE FROM item WHERE id IN (3, 17)", "INSERT INTO item VALUES (99, 'imported', '2020-01-01 00:00:00')")
	sweep := syncline.Run{Kind: syncline.RunSweep, Entity: "item"}
	want(t, "a sweep", f.events(sweep), "created 99|imported|2020-01-01 00:00:00", "deleted 17||", "deleted 3||")
	want(t, "another", f.events(sweep))
	f.crash()
	want(t, "a third, after a restart", f.events(sweep))
	want(t, "what a target holds", f.mirror("item"), f.db.Rows(t, "SELECT id, name, at FROM item")...)
	f.db.Exec(t, insert(3, "back", 200))
	want(t, "one that is back", f.poll("item"), "created 3|back|2026-01-01 00:03:20")
}

// testSweepRefused: a table that seems to be emptied empties nothing, unless somebody says so.
func testSweepRefused(t *testing.T, h Harness) {
	f := begun(t, h, item)
	for i := range 45 {
		f.db.Exec(t, insert(i+1, "x", 100+i))
	}
	f.poll("item")
	from := len(f.log)
	for name, statement := range map[string]string{"half of it": "DELETE FROM item WHERE id <= 23", "all of it": "DELETE FROM item"} {
		f.db.Exec(t, statement)
		for range 2 {
			if c := f.run(syncline.Run{Kind: syncline.RunSweep, Entity: "item"}); !strings.HasPrefix(c.Failed, "sweep_refused: shop/item: ") || !strings.Contains(c.Failed, "--force") || c.Events > 0 {
				t.Errorf("%s is gone: %q, %d events", name, c.Failed, c.Events)
			}
		}
		want(t, name+" is gone", told(f.log[from:]))
	}
	if got := f.events(syncline.Run{Kind: syncline.RunSweep, Entity: "item", Force: true}); len(got) != 45 {
		t.Errorf("a sweep that is forced tells of %d", len(got))
	}
	want(t, "what a target holds", f.mirror("item"))
}
