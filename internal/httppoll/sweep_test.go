package httppoll

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"syncline"
	"syncline/internal/poll"
)

// TestSweepsThatAreRefused: an empty answer, or one that lacks most of the records, deletes nothing unless somebody insists.
func TestSweepsThatAreRefused(t *testing.T) {
	s := newShop(t, ByNone)
	for id := 1; id <= 50; id++ {
		s.put(id, "first", id)
	}
	r := newReader(t, s, s.entity())
	if _, err := r.end("snapshot-order"); err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]string{"empty": `{"items": []}`, "null": `{"items": null}`} {
		s.before = func(w http.ResponseWriter, _ *http.Request) bool {
			fmt.Fprint(w, body)
			return true
		}
		c, err := r.run(syncline.Run{Kind: syncline.RunSweep})
		if err != nil || !strings.HasPrefix(c.Failed, "sweep_refused: shop/order: 50 of 50 ") || !strings.Contains(c.Failed, "--force") {
			t.Errorf("%s: %v, %+v, want sweep_refused", name, err, c)
		}
	}
	s.before = nil
	r.look(syncline.RunSweep)
	r.same(s)
	for id := 1; id <= 26; id++ {
		s.remove(id)
	}
	c, err := r.run(syncline.Run{Kind: syncline.RunSweep})
	if err != nil || !strings.HasPrefix(c.Failed, "sweep_refused: shop/order: 26 of 50 ") {
		t.Errorf("most are gone: %v, %+v, want sweep_refused", err, c)
	}
	r.ops = nil
	if c, err = r.run(syncline.Run{Kind: syncline.RunSweep, Force: true}); err != nil || c.Failed != "" || len(r.ops) != 26 {
		t.Errorf("by force: %v, %+v, %q", err, c, r.ops)
	}
	r.same(s)
	for id := 27; id <= 45; id++ {
		s.remove(id)
	}
	r.ops = nil
	if c, err = r.run(syncline.Run{Kind: syncline.RunSweep}); err != nil || c.Failed != "" || len(r.ops) != 19 {
		t.Errorf("a few of a few: %v, %+v, %q", err, c, r.ops)
	}
	r.same(s)
}

// TestDeletedRecordsDoNotCount: those that say they are deleted do not make the records that are gone look few.
func TestDeletedRecordsDoNotCount(t *testing.T) {
	s := newShop(t, ByNone)
	for id := 1; id <= 80; id++ {
		text := "live"
		if id > 30 {
			text = "removed"
		}
		s.put(id, text, 1)
	}
	e := s.entity()
	removed := "removed"
	e.Deleted = &poll.Flag{Field: "text", Value: &removed}
	r := newReader(t, s, e)
	if _, err := r.end("snapshot-order"); err != nil {
		t.Fatal(err)
	}
	for id := 1; id <= 25; id++ {
		s.remove(id)
	}
	c, err := r.run(syncline.Run{Kind: syncline.RunSweep})
	if err != nil || !strings.HasPrefix(c.Failed, "sweep_refused: shop/order: 25 of 30 ") {
		t.Errorf("most are gone: %v, %+v, want sweep_refused", err, c)
	}
}

// TestASweepAsksForWhatIsMissing where the service can be asked for one record: a listing that leaves some out deletes none of them.
func TestASweepAsksForWhatIsMissing(t *testing.T) {
	s := newShop(t, ByNone)
	for id := 1; id <= 6; id++ {
		s.put(id, "first", id)
	}
	e := s.entity()
	e.Get, e.GetRecord = &Request{Path: "/orders/{key}"}, "data"
	r := newReader(t, s, e)
	if _, err := r.end("snapshot-order"); err != nil {
		t.Fatal(err)
	}
	s.remove(2)
	s.put(3, "changed", 9)
	s.before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/api/orders" {
			return false
		}
		fmt.Fprintf(w, `{"items": [{"id": 1, %s}, {"id": 4, %s}, {"id": 5, %s}, {"id": 6, %s}]}`, s.orders[1], s.orders[4], s.orders[5], s.orders[6])
		return true
	}
	r.look(syncline.RunSweep, "deleted 2", "updated 3")
	r.same(s)
}
