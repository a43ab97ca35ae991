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
