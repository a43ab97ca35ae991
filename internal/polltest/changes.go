package polltest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
	"syncline/internal/poll"
)

const table = "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, at TIMESTAMP NOT NULL)"

var item = poll.Entity{Name: "item", Table: "item", Watermark: []string{"at"}, Compare: true}

// at is a time, n seconds into a day, as SQL.
func at(n int) string {
	return "'" + time.Date(2026, 1, 1, 0, 0, n, 0, time.UTC).Format(time.DateTime) + "'"
}

func insert(id int, name string, n int) string {
	return fmt.Sprintf("INSERT INTO item VALUES (%d, '%s', %s)", id, name, at(n))
}

func want(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	if len(got) == 0 && len(want) == 0 {
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// begun follows a database with the table, whose first copy has been taken.
func begun(t testing.TB, h Harness, e poll.Entity, statements ...string) *follower {
	t.Helper()
	db := h.New(t)
	db.Exec(t, append([]string{table}, statements...)...)
	f := follow(t, db, e)
	f.open()
	f.poll(e.Name)
	return f
}

// testChanges: created, updated, deleted by sweep; what has not changed is no event, even where it is read again.
func testChanges(t *testing.T, h Harness) {
	f := begun(t, h, item, insert(1, "old", 100))
	want(t, "what there was at the start", told(f.log))
	f.db.Exec(t, insert(2, "new", 101), "UPDATE item SET name = 'newer', at = "+at(102)+" WHERE id = 1")
	want(t, "after an insert and an update", f.poll("item"), "created 2|new|2026-01-01 00:01:41", "updated 1|newer|2026-01-01 00:01:42")
	want(t, "after nothing", f.poll("item"))
	f.db.Exec(t, insert(3, "late", 98)) // within the overlap
	want(t, "after a record with an older watermark", f.poll("item"), "created 3|late|2026-01-01 00:01:38")
	f.crash()
	want(t, "after a restart", f.poll("item"))
	f.db.Exec(t, "UPDATE item SET at = "+at(103)+" WHERE id = 2")
	want(t, "after a touch", f.poll("item"), "updated 2|new|2026-01-01 00:01:43")
}

// testPages reads many rows, in pages that are cut anywhere.
func testPages(t *testing.T, h Harness) {
	f := begun(t, h, item)
	var wanted []string
	for i := range 50 {
		f.db.Exec(t, insert(i+1, strings.Repeat("x", i), 200+i/3))
	}
	got := f.poll("item")
	for _, row := range f.db.Rows(t, "SELECT id, name, at FROM item") {
		wanted = append(wanted, "created "+row)
	}
	want(t, "fifty rows", got, wanted...)
	want(t, "what a target holds", f.mirror("item"), f.db.Rows(t, "SELECT id, name, at FROM item")...)
	want(t, "a poll of nothing new", f.poll("item"))
	for _, b := range f.log {
		if len(b.Events) > 7 {
			t.Errorf("a batch of %d events", len(b.Events))
		}
	}
}

// testEqual: many rows share a watermark, and more come with it later.
func testEqual(t *testing.T, h Harness) {
	e := item
	e.Overlap = &poll.Overlap{}
	f := begun(t, h, e)
	for i := range 20 {
		f.db.Exec(t, insert(2*i+10, "x", 300))
	}
	if got := f.poll("item"); len(got) != 20 {
		t.Errorf("%d events, want 20", len(got))
	}
	f.db.Exec(t, insert(1, "before", 300), insert(100, "behind", 300), insert(15, "between", 300))
	want(t, "rows with the watermark that was reached", f.poll("item"), "created 100|behind|2026-01-01 00:05:00", "created 15|between|2026-01-01 00:05:00",
		"created 1|before|2026-01-01 00:05:00")
}

// testAhead: a row from the far future hides nothing.
func testAhead(t *testing.T, h Harness) {
	f := begun(t, h, item, insert(1, "a", 1), "INSERT INTO item VALUES (2, 'future', '2999-01-01 00:00:00')")
	f.db.Exec(t, insert(3, "b", 2), "INSERT INTO item VALUES (4, 'future', '2998-01-01 00:00:00')")
	want(t, "rows below one from the future", f.poll("item"), "created 3|b|2026-01-01 00:00:02", "created 4|future|2998-01-01 00:00:00")
	f.crash()
	f.db.Exec(t, insert(5, "c", 3))
	want(t, "another", f.poll("item"), "created 5|c|2026-01-01 00:00:03")
	f.db.Exec(t, "UPDATE item SET name = 'changed' WHERE id = 2")
	want(t, "a change of the one from the future", f.poll("item"), "updated 2|changed|2999-01-01 00:00:00")
}

// testNoWatermark: every poll compares everything.
func testNoWatermark(t *testing.T, h Harness) {
	e := item
	e.Watermark = nil
	f := begun(t, h, e, insert(1, "a", 1), insert(2, "b", 2))
	want(t, "nothing new", f.poll("item"))
	for i := range 20 {
		f.db.Exec(t, insert(i+10, "x", 1))
	}
	f.db.Exec(t, "UPDATE item SET name = 'B' WHERE id = 2")
	if got := f.poll("item"); len(got) != 21 || got[20] != "updated 2|B|2026-01-01 00:00:02" {
		t.Errorf("events: %q", got)
	}
	want(t, "what a target holds", append(f.mirror("item"), "1|a|2026-01-01 00:00:01"), append(f.db.Rows(t, "SELECT id, name, at FROM item WHERE id > 1"), "1|a|2026-01-01 00:00:01")...)
}

// testQuery polls a query with a key of two columns and a watermark of two.
func testQuery(t *testing.T, h Harness) {
	db := h.New(t)
	db.Exec(t, "CREATE TABLE head (id INTEGER PRIMARY KEY, who TEXT)", "CREATE TABLE line (head INTEGER, no INTEGER, at TIMESTAMP, seq INTEGER, what TEXT, PRIMARY KEY (head, no))",
		"INSERT INTO head VALUES (1, 'ann'), (2, 'bob')")
	f := follow(t, db, poll.Entity{Name: "line", Query: "SELECT l.head, l.no, l.at, l.seq, l.what, h.who FROM line l JOIN head h ON h.id = l.head", Key: []string{"head", "no"},
		Watermark: []string{"at", "seq"}, Compare: true})
	f.open()
	f.poll("line")
	db.Exec(t, fmt.Sprintf("INSERT INTO line VALUES (1, 1, %s, 1, 'a'), (1, 2, %s, 2, 'b'), (2, 1, %s, 1, 'c')", at(1), at(1), at(2)))
	want(t, "three lines", f.poll("line"), "created 1|1|2026-01-01 00:00:01|1|a|ann", "created 1|2|2026-01-01 00:00:01|2|b|ann", "created 2|1|2026-01-01 00:00:02|1|c|bob")
	db.Exec(t, fmt.Sprintf("UPDATE line SET what = 'B', at = %s, seq = 3 WHERE no = 2", at(2)))
	want(t, "a change", f.poll("line"), "updated 1|2|2026-01-01 00:00:02|3|B|ann")
	want(t, "by key", f.events(syncline.Run{Kind: syncline.RunKeys, Entity: "line", Keys: []syncline.Key{"2,1", "9,9"}}), "absent 9|9||||", "repair 2|1|2026-01-01 00:00:02|1|c|bob")
	db.Exec(t, "DELETE FROM line WHERE head = 2")
	want(t, "a sweep", f.events(syncline.Run{Kind: syncline.RunSweep, Entity: "line"}), "deleted 2|1||||")
}

// testFlags: a column says what is deleted, and what is new.
func testFlags(t *testing.T, h Harness) {
	db := h.New(t)
	db.Exec(t, "CREATE TABLE item (id INTEGER PRIMARY KEY, n INTEGER NOT NULL, state TEXT, gone BOOLEAN)", "INSERT INTO item VALUES (1, 1, 'new', NULL), (2, 2, 'old', true)")
	yes := "new"
	f := follow(t, db, poll.Entity{Name: "item", Table: "item", Watermark: []string{"n"}, Compare: true, Deleted: &poll.Flag{Field: "gone"}, Created: &poll.Flag{Field: "state", Value: &yes}})
	f.opt.Snapshot = true
	f.open()
	f.poll("item")
	want(t, "the first copy", told(f.log), "snapshot 1|1|new|")
	db.Exec(t, "INSERT INTO item VALUES (3, 3, 'new', false), (4, 4, 'old', false), (5, 5, 'new', true)", "UPDATE item SET n = 6, state = 'old' WHERE id = 1")
	want(t, "types of events", f.poll("item"), "created 3|3|new|false", "deleted 5|5|new|true", "updated 1|6|old|", "updated 4|4|old|false")
	db.Exec(t, "UPDATE item SET n = 7, gone = true WHERE id = 3", "UPDATE item SET n = 8, gone = false WHERE id = 2", "UPDATE item SET n = 9 WHERE id = 5")
	want(t, "deleted and back", f.poll("item"), "created 2|8|old|false", "deleted 3|7|new|true")
	want(t, "by key, and one that is deleted", f.events(syncline.Run{Kind: syncline.RunKeys, Entity: "item", Keys: []syncline.Key{"2", "3"}}), "absent 3|||", "repair 2|8|old|false")
	if got := f.events(syncline.Run{Kind: syncline.RunFull, Entity: "item"}); len(got) != 3 {
		t.Errorf("a full run reads %q, want what is not deleted", got)
	}
	db.Exec(t, "DELETE FROM item WHERE id IN (2, 3)")
	want(t, "a sweep", f.events(syncline.Run{Kind: syncline.RunSweep, Entity: "item"}), "deleted 2|||")
}

// testNulls: rows without a watermark are warned of, and brought by a sweep.
func testNulls(t *testing.T, h Harness) {
	db := h.New(t)
	db.Exec(t, "CREATE TABLE item (id INTEGER PRIMARY KEY, n INTEGER)", "INSERT INTO item VALUES (1, 1), (3, NULL)")
	f := follow(t, db, poll.Entity{Name: "item", Table: "item", Watermark: []string{"n"}, Compare: true})
	f.open()
	f.poll("item")
	db.Exec(t, "INSERT INTO item VALUES (2, NULL)")
	want(t, "a row without a watermark", f.poll("item"))
	if w := f.src.Warnings(); len(w) != 1 || !strings.HasPrefix(w[0], "watermark_null: ") {
		t.Errorf("warnings: %q", w)
	}
	want(t, "a sweep", f.events(syncline.Run{Kind: syncline.RunSweep, Entity: "item"}), "created 2|")
	db.Exec(t, "UPDATE item SET n = 2")
	f.poll("item")
	if w := f.src.Warnings(); len(w) > 0 {
		t.Errorf("warnings: %q", w)
	}
	var codes []string
	for _, finding := range poll.New(poll.Options{Name: "shop", Entities: f.opt.Entities, Dialect: db.Dialect(t)}).Check(t.Context()) {
		if finding.Level != "ok" && finding.Code != "poll_blind" {
			codes = append(codes, finding.Code)
		}
	}
	want(t, "what a check finds", codes, "watermark_nullable", "watermark_unindexed")
}
