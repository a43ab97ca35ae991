package polltest

import (
	"fmt"
	"slices"
	"testing"

	"syncline"
	"syncline/internal/poll"
)

// testList: records can be listed beside the source, in parts, by their keys and at random; what says that it is deleted is none of them.
func testList(t *testing.T, h Harness) {
	db := h.New(t)
	db.Exec(t, "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, gone BOOLEAN)")
	f := follow(t, db, poll.Entity{Name: "item", Table: "item", Compare: true, Deleted: &poll.Flag{Field: "gone"}})
	var all []string
	for id := range 40 {
		gone := id%4 == 3
		db.Exec(t, fmt.Sprintf("INSERT INTO item VALUES (%d, 'item %d', %v)", id, id, gone))
		if !gone {
			all = append(all, fmt.Sprint(id))
		}
	}
	o := f.opt
	o.Dialect = db.Dialect(t)
	src := poll.New(o)
	defer src.Close() //nolint:errcheck // it was only read
	list := func(q syncline.Listing) (keys []string, next string) {
		t.Helper()
		q.Entity = "item"
		next, err := src.List(f.context(), q, func(r syncline.Row) error {
			k, _ := r.Key()
			keys = append(keys, string(k))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return keys, next
	}
	whole, next := list(syncline.Listing{})
	want(t, "all records", whole, all...)
	if next != "" {
		t.Errorf("behind all records there is %q", next)
	}
	for _, limit := range []int{1, 5, 7, 10, 40, 100} {
		var parts []string
		for q := (syncline.Listing{Limit: limit}); ; {
			keys, next := list(q)
			if parts = append(parts, keys...); len(keys) > limit {
				t.Errorf("%d records, want at most %d", len(keys), limit)
			}
			if q.After = next; next == "" {
				break
			}
		}
		want(t, fmt.Sprintf("%d at a time", limit), parts, all...)
	}
	named, _ := list(syncline.Listing{Keys: []syncline.Key{"2", "3", "5", "999"}})
	slices.Sort(named)
	want(t, "named records", named, "2", "5")
	chosen, _ := list(syncline.Listing{Sample: true, Limit: 10})
	if slices.Sort(chosen); len(chosen) > 10 || len(chosen) == 0 || len(slices.Compact(chosen)) != len(chosen) {
		t.Errorf("chosen at random: %q, want at most 10 different records", chosen)
	}
	var keys []string
	if err := src.Keys(f.context(), "item", func(k syncline.Key) error { keys = append(keys, string(k)); return nil }); err != nil {
		t.Fatal(err)
	}
	want(t, "keys", keys, all...)
	if _, err := src.List(f.context(), syncline.Listing{Entity: "other"}, nil); syncline.CodeOf(err) != "entity_unknown" {
		t.Errorf("List of another entity = %v, want entity_unknown", err)
	}
}
