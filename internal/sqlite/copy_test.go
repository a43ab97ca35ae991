package sqlite

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

// TestLateCopyOfKeylessTable: a route that comes later has the table copied, and the others miss nothing meanwhile.
func TestLateCopyOfKeylessTable(t *testing.T) {
	shop := newMarkedShop(t, "CREATE TABLE heap (v TEXT)", "INSERT INTO heap VALUES ('old')")
	f := follow(t, shop, "heap", "mark")
	f.upTo()
	run := syncline.Run{ID: "late", Kind: syncline.RunSnapshot, Entity: "heap", Routes: []string{"late"}}
	if err := f.src.StartRun(run); err != nil {
		t.Fatal(err)
	}
	shop.exec(t, "INSERT INTO heap VALUES ('new')")
	from := len(f.log)
	got := f.upTo()
	want := []string{"created [v=text(new)]", "snapshot [v=text(old)]", "snapshot [v=text(new)]"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	for _, b := range f.log[from:] {
		if c := b.Chunk; c != nil && !(c.First && c.Reset && c.Last && cmp.Equal(c.Routes, run.Routes)) {
			t.Errorf("chunk = %+v, want one that resets for its route", c)
		}
	}
}

// TestEntityThatComesBack is read anew for the routes that copies are for: what changed while it was not captured is not in the log.
func TestEntityThatComesBack(t *testing.T) {
	shop := newMarkedShop(t, "CREATE TABLE item (id INTEGER PRIMARY KEY)", "CREATE TABLE heap (v)", "CREATE TABLE new (id INTEGER PRIMARY KEY)",
		"INSERT INTO item VALUES (1)", "INSERT INTO heap VALUES (1)", "INSERT INTO new VALUES (1)")
	f := follow(t, shop, "item", "heap", "mark")
	f.upTo()
	reopen := func(entities ...string) []string {
		f.close()
		shop.opt.Entities = map[string]Entity{}
		for _, e := range entities {
			shop.opt.Entities[e] = Entity{Table: e}
		}
		f.open()
		return f.upTo()
	}
	reopen("mark")
	shop.exec(t, "INSERT INTO item VALUES (2)")
	shop.exec(t, "INSERT INTO heap VALUES (2)")
	reopen("mark") // the changes are behind what the log has
	shop.opt.Snapshot, shop.opt.InitialRoutes = true, map[string][]string{"item": {"a"}, "heap": {"a"}, "new": {"a"}}
	from := len(f.log)
	got := reopen("heap", "item", "mark", "new")
	want := []string{"snapshot [v=int(1)]", "snapshot [v=int(2)]", "snapshot [id=int(1)]", "snapshot [id=int(2)]"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("after the entities came back (-want +got):\n%s", diff)
	}
	for _, b := range f.log[from:] {
		if c := b.Chunk; c != nil && (c.Kind != syncline.RunFull || c.Reset != (c.Entity == "heap") || !cmp.Equal(c.Routes, []string{"a"})) {
			t.Errorf("chunk = %+v, want one of a full run for route a, with a reset only without a key", c)
		}
	}
	if got := reopen("heap", "item", "mark", "new"); len(got) > 0 {
		t.Errorf("another start brings %q again", got)
	}
}

// TestInitialRoutes: the first copy is of the entities and for the routes that want it.
func TestInitialRoutes(t *testing.T) {
	shop := newMarkedShop(t, "CREATE TABLE item (id INTEGER PRIMARY KEY)", "CREATE TABLE heap (v)", "INSERT INTO item VALUES (1)", "INSERT INTO heap VALUES (1)")
	shop.opt.Snapshot, shop.opt.InitialRoutes = true, map[string][]string{"item": {"a", "b"}}
	f := follow(t, shop, "item", "heap", "mark")
	shop.exec(t, "INSERT INTO heap VALUES (2)")
	got := f.upTo()
	if diff := cmp.Diff([]string{"created [v=int(2)]", "snapshot [id=int(1)]"}, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	for _, b := range f.log {
		if b.Chunk != nil && !cmp.Equal(b.Chunk.Routes, []string{"a", "b"}) {
			t.Errorf("chunk of %s is for routes %q", b.Chunk.Entity, b.Chunk.Routes)
		}
	}
}
