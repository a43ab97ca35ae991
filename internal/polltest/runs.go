package polltest

import (
	"fmt"
	"strings"
	"testing"

	"syncline"
	"syncline/internal/poll"
)

// testRuns: copies beside polls, of all records and of some, and what is asked for wrongly.
func testRuns(t *testing.T, h Harness) {
	f := begun(t, h, item)
	for i := range 20 {
		f.db.Exec(t, insert(i+1, "x", 100+i))
	}
	full := f.start(syncline.Run{Kind: syncline.RunFull, Entity: "item", Routes: []string{"r"}})
	for range 2 { // in the middle of it
		f.append(true)
		f.next()
	}
	f.append(true)
	f.crash()
	f.db.Exec(t, "UPDATE item SET name = 'y', at = "+at(200)+" WHERE id IN (1, 20)")
	want(t, "a poll beside the copy", f.poll("item")[:1], "created 15|x|2026-01-01 00:01:54")
	f.until(full)
	first, rows := 0, 0
	for _, b := range f.log {
		if c := b.Chunk; c != nil && c.Run == full {
			if rows += len(b.Events); c.First {
				first++
			}
			if c.Kind != syncline.RunFull || len(c.Routes) != 1 || c.Number == 0 {
				t.Errorf("chunk %+v", c)
			}
		}
	}
	if first != 1 || rows != 20 {
		t.Errorf("the copy has %d first chunks and %d rows", first, rows)
	}
	want(t, "what a target holds", f.mirror("item"), f.db.Rows(t, "SELECT id, name, at FROM item")...)
	want(t, "by key, in other spellings", f.events(syncline.Run{Kind: syncline.RunKeys, Entity: "item", Keys: []syncline.Key{"01", "77", "x"}}), "absent 77||", "repair 1|y|2026-01-01 00:03:20")
	for _, r := range []syncline.Run{{ID: "x", Kind: syncline.RunPoll, Entity: "nothing"}, {ID: "y", Kind: syncline.RunKeys, Entity: "item", Keys: []syncline.Key{"1,2"}}} {
		if err := f.src.StartRun(r); syncline.ClassOf(err) != syncline.Rejected {
			t.Errorf("run %+v: %v", r, err)
		}
	}
}

// testRunsBeforePolls: a record that a run has brought before any poll saw it is known: where it goes before one does, a sweep tells, and where
// it stays, those who did not ask for the run hear of it, by a poll or by a sweep.
func testRunsBeforePolls(t *testing.T, h Harness) {
	f := begun(t, h, item, insert(1, "a", 100))
	f.db.Exec(t, insert(2, "b", 101), insert(3, "c", 102), "INSERT INTO item VALUES (4, 'imported', '2020-01-01 00:00:00')")
	want(t, "a copy", f.events(syncline.Run{Kind: syncline.RunFull, Entity: "item", Routes: []string{"r"}}), "snapshot 1|a|2026-01-01 00:01:40",
		"snapshot 2|b|2026-01-01 00:01:41", "snapshot 3|c|2026-01-01 00:01:42", "snapshot 4|imported|2020-01-01 00:00:00")
	f.db.Exec(t, insert(5, "e", 103))
	want(t, "a record", f.events(syncline.Run{Kind: syncline.RunKeys, Entity: "item", Keys: []syncline.Key{"1", "5"}}), "repair 1|a|2026-01-01 00:01:40",
		"repair 5|e|2026-01-01 00:01:43")
	f.crash()
	f.db.Exec(t, "DELETE FROM item WHERE id IN (2, 5)")
	sweep := syncline.Run{Kind: syncline.RunSweep, Entity: "item"}
	want(t, "a sweep", f.events(sweep), "deleted 2||", "deleted 5||", "updated 3|c|2026-01-01 00:01:42", "updated 4|imported|2020-01-01 00:00:00")
	want(t, "another", f.events(sweep))
	f.db.Exec(t, insert(6, "f", 104))
	want(t, "another record", f.events(syncline.Run{Kind: syncline.RunKeys, Entity: "item", Keys: []syncline.Key{"6"}}), "repair 6|f|2026-01-01 00:01:44")
	want(t, "a poll", f.poll("item"), "updated 6|f|2026-01-01 00:01:44")
	want(t, "another poll", f.poll("item"))
	want(t, "what a target holds", f.mirror("item"), f.db.Rows(t, "SELECT id, name, at FROM item")...)
}

// testRunsBetweenPolls: what a run has brought, or has said is not there, is news to the next look even where the record is again by then what polls
// have seen of it: deleted, or as it was.
func testRunsBetweenPolls(t *testing.T, h Harness) {
	gone := "gone"
	flagged := poll.Entity{Name: "item", Table: "item", Watermark: []string{"n"}, Compare: true, Deleted: &poll.Flag{Field: "state", Value: &gone}}
	whole := flagged
	whole.Watermark = nil
	full := syncline.Run{Kind: syncline.RunFull, Entity: "item"}
	keys := syncline.Run{Kind: syncline.RunKeys, Entity: "item", Keys: []syncline.Key{"1", "2"}}
	for _, entity := range []poll.Entity{flagged, whole} {
		for _, run := range []syncline.Run{full, keys} {
			db := h.New(t)
			db.Exec(t, "CREATE TABLE item (id INTEGER PRIMARY KEY, n INTEGER NOT NULL, state TEXT)", "INSERT INTO item VALUES (1, 1, 'here'), (2, 2, 'gone')")
			f := follow(t, db, entity)
			f.opt.Snapshot = true
			f.open()
			f.poll("item")
			back := func(what string) {
				t.Helper()
				f.poll("item")
				f.events(syncline.Run{Kind: syncline.RunSweep, Entity: "item"})
				want(t, what+", and a target holds", f.mirror("item"), db.Rows(t, "SELECT id, n, state FROM item WHERE state = 'here'")...)
				want(t, "and then", append(f.poll("item"), f.events(syncline.Run{Kind: syncline.RunSweep, Entity: "item"})...))
			}
			db.Exec(t, "UPDATE item SET n = 3, state = 'here' WHERE id = 2")
			f.events(run)
			db.Exec(t, "DELETE FROM item WHERE id = 2")
			back("a record that was live for a while is gone")
			db.Exec(t, "UPDATE item SET n = 4 WHERE id = 1")
			f.events(run)
			f.crash()
			db.Exec(t, "UPDATE item SET n = 1 WHERE id = 1")
			back("a record is what it was")
			db.Exec(t, "DELETE FROM item WHERE id = 1")
			f.events(run)
			db.Exec(t, "INSERT INTO item VALUES (1, 1, 'here')")
			back("a record that was deleted is back as it was")
			db.Exec(t, "UPDATE item SET n = 5, state = 'gone' WHERE id = 1")
			f.events(run)
			db.Exec(t, "UPDATE item SET n = 1, state = 'here' WHERE id = 1")
			back("a record that was flagged is back as it was")
		}
	}
}

// testFirstCopy: rows that change while the first copy is read are not missed by those who do not want the copy.
func testFirstCopy(t *testing.T, h Harness) {
	db := h.New(t)
	db.Exec(t, table)
	for i := range 20 {
		db.Exec(t, insert(i+1, "x", 100+i))
	}
	f := follow(t, db, item)
	f.opt.Snapshot, f.opt.InitialRoutes = true, map[string][]string{"item": {"a"}}
	f.open()
	f.next() // the identity
	f.next() // the first chunk
	f.append(true)
	db.Exec(t, "UPDATE item SET name = 'y', at = "+at(300)+" WHERE id IN (1, 19)", insert(21, "z", 301))
	got := f.poll("item")
	var stream, copied []string
	for _, line := range got {
		if strings.HasPrefix(line, "snapshot") {
			copied = append(copied, line)
		} else {
			stream = append(stream, line)
		}
	}
	want(t, "events beside the copy", stream, "updated 19|y|2026-01-01 00:05:00", "updated 1|y|2026-01-01 00:05:00", "updated 21|z|2026-01-01 00:05:01")
	if len(copied) != 14 {
		t.Errorf("the rest of the copy: %q", copied)
	}
	want(t, "what a target holds", f.mirror("item"), db.Rows(t, "SELECT id, name, at FROM item")...)
}

// testCrashes ends the source after every batch, before it is appended and after, and confirms it or not.
func testCrashes(t *testing.T, h Harness) {
	for point := range 16 {
		t.Run(fmt.Sprint(point), func(t *testing.T) {
			f := begun(t, h, item)
			for i := range 20 {
				f.db.Exec(t, insert(i+1, "x", 100+i))
			}
			id := f.start(syncline.Run{Kind: syncline.RunPoll, Entity: "item"})
			for range point / 4 {
				f.next()
			}
			if point%2 == 0 {
				f.append(point%4 == 0)
			}
			f.crash()
			f.db.Exec(t, "UPDATE item SET name = 'y', at = "+at(150)+" WHERE id < 4", "DELETE FROM item WHERE id = 9", insert(21, "z", 151))
			if err := f.src.StartRun(syncline.Run{ID: id, Kind: syncline.RunPoll, Entity: "item"}); err != nil {
				t.Fatal(err)
			}
			f.until(id)
			f.events(syncline.Run{Kind: syncline.RunSweep, Entity: "item"})
			want(t, "what a target holds", f.mirror("item"), f.db.Rows(t, "SELECT id, name, at FROM item")...)
			want(t, "a poll of nothing new", f.poll("item"))
			seen := map[string]bool{}
			for _, b := range f.log {
				for i := range b.Events {
					if id := b.EventID(i); seen[id] {
						t.Errorf("two events have the id %s", id)
					} else {
						seen[id] = true
					}
				}
			}
		})
	}
}

// testOtherKey: an entity that is read in another way is read from its beginning.
func testOtherKey(t *testing.T, h Harness) {
	db := h.New(t)
	db.Exec(t, "CREATE TABLE item (id INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE, n INTEGER NOT NULL)", "INSERT INTO item VALUES (1, 'a', 1), (2, 'b', 2)")
	e := poll.Entity{Name: "item", Table: "item", Watermark: []string{"n"}, Compare: true}
	f := follow(t, db, e)
	f.open()
	f.poll("item")
	f.opt.Entities = []poll.Entity{e}
	f.opt.Entities[0].Watermark = []string{"id"}
	f.crash()
	want(t, "with another watermark", f.poll("item"))
	f.opt.Entities[0].Key = []string{"code"}
	f.crash()
	want(t, "with another key", f.poll("item"), "created 1|a|1", "created 2|b|2")
	f.opt.Entities = append(f.opt.Entities, poll.Entity{Name: "other", Table: "item", Watermark: []string{"n"}, Compare: true})
	f.crash()
	want(t, "of an entity that is new", f.poll("other"))
	db.Exec(t, "INSERT INTO item VALUES (3, 'c', 3)")
	want(t, "of an entity that is new, with a row", f.poll("other"), "created 3|c|3")
	f.opt.Entities = f.opt.Entities[1:]
	f.crash()
	f.opt.Entities = append(f.opt.Entities, e)
	f.opt.Entities[1].Key, f.opt.Entities[1].Watermark = []string{"code"}, []string{"id"}
	f.crash()
	want(t, "of an entity that comes back", f.poll("item"), "created 3|c|3")
}

// testLostMemory: a state store that is older than the log, or newer, or gone, loses no change.
func testLostMemory(t *testing.T, h Harness) {
	f := begun(t, h, item, insert(1, "a", 1))
	older := len(f.log)
	f.db.Exec(t, insert(2, "b", 2))
	f.poll("item")
	whole := f.log
	f.log = whole[:older:older] // an older copy of the log
	f.crash()
	want(t, "with an older log", f.poll("item"), "created 1|a|2026-01-01 00:00:01", "created 2|b|2026-01-01 00:00:02")
	f.remember()
	f.crash()
	want(t, "with a new state store", f.poll("item"), "created 1|a|2026-01-01 00:00:01", "created 2|b|2026-01-01 00:00:02")
	want(t, "and then", f.poll("item"))
}

// testBlind: without compare every row above the watermark is an event, and nothing is kept of it.
func testBlind(t *testing.T, h Harness) {
	db := h.New(t)
	db.Exec(t, "CREATE TABLE item (id INTEGER PRIMARY KEY, n INTEGER NOT NULL, new BOOLEAN)", "INSERT INTO item VALUES (1, 1, true)")
	f := follow(t, db, poll.Entity{Name: "item", Table: "item", Watermark: []string{"n"}, Created: &poll.Flag{Field: "new"}, Overlap: &poll.Overlap{}})
	f.open()
	f.poll("item")
	db.Exec(t, "INSERT INTO item VALUES (2, 2, true), (3, 3, false)")
	got := f.poll("item")
	want(t, "two rows", got[max(0, len(got)-2):], "created 2|2|true", "updated 3|3|false")
	if err := f.src.StartRun(syncline.Run{ID: "s", Kind: syncline.RunSweep, Entity: "item"}); syncline.CodeOf(err) != "sweep_blind" {
		t.Errorf("a sweep: %v", err)
	}
	known, err := f.store.After(t.Context(), "shop", "item", "", 10)
	if err != nil || len(known) > 0 {
		t.Errorf("kept: %v, %v", known, err)
	}
}

// testErrors: what is wrong at the start halts, later it fails the run, and the others go on.
func testErrors(t *testing.T, h Harness) {
	db := h.New(t)
	db.Exec(t, table, "CREATE TABLE loose (id INTEGER, n INTEGER, b BOOLEAN)")
	for name, test := range map[string]struct {
		entity poll.Entity
		code   string
	}{
		"no table":         {poll.Entity{Table: "nothing"}, "table_missing object_missing"},
		"no key":           {poll.Entity{Table: "loose"}, "poll_keyless"},
		"a wrong key":      {poll.Entity{Table: "loose", Key: []string{"id", "x"}}, "poll_keyless column_missing key_missing"},
		"no watermark":     {poll.Entity{Table: "item", Watermark: []string{"changed"}}, "watermark_missing"},
		"a bad watermark":  {poll.Entity{Table: "loose", Key: []string{"id"}, Watermark: []string{"b"}}, "watermark_type"},
		"a bad overlap":    {poll.Entity{Table: "item", Watermark: []string{"at"}, Overlap: &poll.Overlap{Amount: 1}}, "overlap_type"},
		"no flag":          {poll.Entity{Table: "item", Deleted: &poll.Flag{Field: "gone"}}, "flag_missing"},
		"no version":       {poll.Entity{Table: "item", Version: "v"}, "version_missing"},
		"a bad query":      {poll.Entity{Query: "SELECT nothing FROM item", Key: []string{"id"}}, "query_refused"},
		"a broken query":   {poll.Entity{Query: "SELECT * FROM (", Key: []string{"id"}}, "query_refused"},
		"a query's flag":   {poll.Entity{Query: "SELECT id FROM item", Key: []string{"id"}, Created: &poll.Flag{Field: "gone"}}, "flag_missing"},
		"a query's column": {poll.Entity{Query: "SELECT id FROM item", Key: []string{"name"}}, "poll_keyless"},
	} {
		test.entity.Name, test.entity.Compare = "item", true
		f := follow(t, db, test.entity)
		err := f.tryOpen()
		if code := syncline.CodeOf(err); code == "" || !strings.Contains(test.code, code) || syncline.ClassOf(err) != syncline.Fatal || syncline.FixOf(err) == "" {
			t.Errorf("%s: %v (%s, fix %q), want %s", name, err, syncline.ClassOf(err), syncline.FixOf(err), test.code)
		}
		if len(test.entity.Key) > 0 && strings.Contains(err.Error(), "has no key") {
			t.Errorf("%s: a key is declared, and the error says %q", name, err)
		}
	}
	f := follow(t, db, item, poll.Entity{Name: "loose", Table: "loose", Key: []string{"id"}, Watermark: []string{"n"}, Compare: true})
	f.open()
	f.poll("item")
	f.poll("loose")
	db.Exec(t, "DROP TABLE loose", insert(1, "a", 1))
	for _, kind := range []syncline.RunKind{syncline.RunPoll, syncline.RunSweep, syncline.RunFull} {
		if c := f.run(syncline.Run{Kind: kind, Entity: "loose"}); !strings.Contains(c.Failed, "_missing: ") {
			t.Errorf("%s of a table that is gone: %q", kind, c.Failed)
		}
	}
	want(t, "of the other entity", f.poll("item"), "created 1|a|2026-01-01 00:00:01")
	if err := f.src.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.tryOpen(); syncline.ClassOf(err) != syncline.Fatal || !strings.Contains(syncline.CodeOf(err), "_missing") {
		t.Errorf("opened with a table that is gone: %v", err)
	}
	db.Exec(t, "CREATE TABLE loose (id INTEGER, n INTEGER, b BOOLEAN)", "INSERT INTO loose VALUES (1, 1, true)")
	f.open()
	want(t, "of the one that is back", f.poll("loose"), "created 1|1|true")
}

// testPace: a run waits where it is told to, begins behind a key, and is given up; a poll goes on meanwhile.
func testPace(t *testing.T, h Harness) {
	f := begun(t, h, item)
	for i := range 30 {
		f.db.Exec(t, insert(i+1, "x", 100+i))
	}
	f.poll("item")
	f.src.Pace("paced", syncline.Pace{Upto: 1, Rows: 3})
	if err := f.src.StartRun(syncline.Run{ID: "paced", Kind: syncline.RunFull, Entity: "item", From: "10"}); err != nil {
		t.Fatal(err)
	}
	b := f.next()
	if c := b.Chunk; c == nil || c.Run != "paced" || len(b.Events) != 3 || !c.Cut || c.Last || text(b.Events[0].Row()) != "11|x|2026-01-01 00:01:50" {
		t.Fatalf("the first chunk: %+v, %q", c, told([]*syncline.Batch{b}))
	}
	f.append(true)
	f.db.Exec(t, insert(40, "y", 200))
	want(t, "a poll beside a run that waits", f.poll("item"), "created 40|y|2026-01-01 00:03:20")
	f.src.Pace("paced", syncline.Pace{Upto: 2, Rows: 3})
	if b := f.next(); b.Chunk == nil || b.Chunk.Number != 2 || len(b.Events) != 3 {
		t.Errorf("the second chunk: %+v", b.Chunk)
	}
	f.append(true)
	f.crash()
	f.src.Pace("paced", syncline.Pace{End: true})
	if b := f.next(); b.Chunk == nil || b.Chunk.Number != 3 || !b.Chunk.Last || !b.Chunk.Cut || len(b.Events) > 0 {
		t.Errorf("the last chunk: %+v", b.Chunk)
	}
	if err := f.src.StartRun(syncline.Run{ID: "x", Kind: syncline.RunFull, Entity: "item", From: "1,2"}); syncline.CodeOf(err) != "bad_key" {
		t.Errorf("a run from a key of two parts: %v", err)
	}
}

// testGivenUp: the first copy can be given up, before its first chunk and later; the rest is taken note of, and polls go on from there.
func testGivenUp(t *testing.T, h Harness) {
	for chunks := range 2 {
		db := h.New(t)
		db.Exec(t, table)
		for i := range 20 {
			db.Exec(t, insert(i+1, "x", 100+i))
		}
		f := follow(t, db, item)
		f.opt.Snapshot = true
		f.open()
		f.src.Pace("snapshot-item", syncline.Pace{Upto: uint32(chunks), Rows: 3})
		for range 1 + chunks { // the identity, and what is copied
			f.next()
		}
		f.append(true)
		f.src.Pace("snapshot-item", syncline.Pace{End: true})
		if b := f.next(); b.Chunk == nil || b.Chunk.Run != "snapshot-item" || !b.Chunk.Last || !b.Chunk.Cut || len(b.Events) > 0 {
			t.Fatalf("the last chunk: %+v, %d events", b.Chunk, len(b.Events))
		}
		f.append(true)
		f.crash()
		db.Exec(t, "UPDATE item SET name = 'y', at = "+at(200)+" WHERE id = 2")
		from := len(f.log)
		f.poll("item")
		var changed []string
		if chunks > 0 { // the record was copied as it was before
			changed = append(changed, "updated 2|y|2026-01-01 00:03:20")
		}
		want(t, "of what changed before the rest was read", told(f.log[from:]), changed...)
		db.Exec(t, insert(30, "new", 201))
		want(t, "after that", f.poll("item"), "created 30|new|2026-01-01 00:03:21")
		want(t, "a sweep", f.events(syncline.Run{Kind: syncline.RunSweep, Entity: "item"}))
		if copied := len(told(f.log[:from])); copied != 3*chunks {
			t.Errorf("%d records were copied, want %d", copied, 3*chunks)
		}
	}
}
