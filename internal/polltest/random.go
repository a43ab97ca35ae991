package polltest

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"syncline"
	"syncline/internal/poll"
)

// testLate: transactions take their watermark and commit several polls later, behind others that took higher ones. The overlap is none.
func testLate(t *testing.T, h Harness) {
	e := item
	e.Overlap = &poll.Overlap{}
	f := begun(t, h, e, insert(1, "a", 1))
	early := h.Begin(t, f.db)
	early.Exec(t, insert(10, "early", 2))
	quiet := h.Begin(t, f.db) // has not written yet, and so has no number
	quiet.Exec(t, "SELECT 1")
	for i := range 5 {
		f.db.Exec(t, insert(20+i, "on time", 10+i))
		if got := f.poll("item"); len(got) != 1 {
			t.Errorf("poll %d: %q", i, got)
		}
		if i == 2 {
			f.crash()
		}
	}
	quiet.Exec(t, insert(11, "quiet", 3))
	f.db.Exec(t, insert(30, "between", 20))
	f.poll("item")
	early.Commit(t)
	want(t, "after the first has committed", f.poll("item"), "created 10|early|2026-01-01 00:00:02")
	quiet.Commit(t)
	want(t, "after the second", f.poll("item"), "created 11|quiet|2026-01-01 00:00:03")
	want(t, "and then", f.poll("item"))
	want(t, "what a target holds", f.mirror("item"), f.db.Rows(t, "SELECT id, name, at FROM item WHERE id > 1")...)
}

// testRandom: whatever writers do, and wherever the process dies, a target that applies the log ends as the source is.
func testRandom(t *testing.T, h Harness) {
	db := h.New(t)
	rapid.Check(t, func(r *rapid.T) {
		db.Exec(t, "DROP TABLE IF EXISTS item", table)
		clock := 1000
		for i := range rapid.IntRange(0, 12).Draw(r, "rows at the start") {
			db.Exec(t, insert(i+1, "start", i))
		}
		f := follow(t, db, item)
		f.opt.Snapshot, f.opt.PageRows = true, rapid.IntRange(1, 9).Draw(r, "rows of a page")
		f.open()
		var open []Txn
		id := func() int { return rapid.IntRange(1, 20).Draw(r, "id") }
		busy := map[int]bool{} // what an open transaction has written: others would wait for it
		exec := func(statement string) { db.Exec(t, statement) }
		put := func(exec func(string), id int) {
			clock++
			exec(fmt.Sprintf("INSERT INTO item VALUES (%d, 'v%d', %s) ON CONFLICT (id) DO UPDATE SET name = excluded.name, at = excluded.at", id, clock, at(clock)))
		}
		commit := func() {
			for _, txn := range open {
				txn.Commit(t)
			}
			open, busy = nil, map[int]bool{}
		}
		asked := 0
		r.Repeat(map[string]func(*rapid.T){
			"put": func(*rapid.T) {
				if id := id(); !busy[id] {
					put(exec, id)
				}
			},
			"delete": func(*rapid.T) {
				if id := id(); !busy[id] {
					exec(fmt.Sprintf("DELETE FROM item WHERE id = %d", id))
				}
			},
			"begin": func(*rapid.T) {
				if h.Begin == nil || len(open) > 2 {
					return
				}
				txn := h.Begin(t, db)
				open = append(open, txn)
				for range rapid.IntRange(1, 3).Draw(r, "writes") {
					if id := id(); !busy[id] {
						busy[id] = true
						put(func(s string) { txn.Exec(t, s) }, id)
					}
				}
			},
			"commit": func(*rapid.T) { commit() },
			"poll": func(*rapid.T) {
				f.start(syncline.Run{Kind: syncline.RunPoll, Entity: "item"})
				asked++
			},
			"sweep": func(*rapid.T) {
				f.start(syncline.Run{Kind: syncline.RunSweep, Entity: "item", Force: true})
				asked++
			},
			"full": func(*rapid.T) {
				f.start(syncline.Run{Kind: syncline.RunFull, Entity: "item"})
				asked++
			},
			"keys": func(*rapid.T) {
				f.start(syncline.Run{Kind: syncline.RunKeys, Entity: "item", Keys: []syncline.Key{syncline.Key(fmt.Sprint(id()))}})
				asked++
			},
			"read": func(*rapid.T) {
				if asked > 0 {
					asked--
					f.next()
				}
			},
			"append":  func(*rapid.T) { f.append(rapid.Bool().Draw(r, "confirm")) },
			"crash":   func(*rapid.T) { asked = 0; f.crash() },
			"restart": func(*rapid.T) { asked = 0; f.append(true); f.crash() },
		})
		commit()
		f.append(true)
		f.crash()
		f.poll("item")
		f.events(syncline.Run{Kind: syncline.RunSweep, Entity: "item", Force: true})
		want(t, "what a target holds", f.mirror("item"), db.Rows(t, "SELECT id, name, at FROM item")...)
		if t.Failed() {
			r.FailNow()
		}
	})
}
