package httppoll

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"syncline"
	"syncline/internal/poll"
)

// TestKeys: single records are had by their keys, or looked for in the listing.
func TestKeys(t *testing.T) {
	for _, get := range []bool{true, false} {
		s := newShop(t, ByNumber)
		for id := 1; id <= 9; id++ {
			s.put(id, "first", id)
		}
		e := s.entity()
		if get {
			e.Get, e.GetRecord = &Request{Path: "/orders/{id}"}, "data"
		}
		r := newReader(t, s, e)
		if _, err := r.end("snapshot-order"); err != nil {
			t.Fatal(err)
		}
		s.put(8, "second", 20)
		if _, err := r.run(syncline.Run{ID: "keys", Kind: syncline.RunKeys, Keys: []syncline.Key{"8", "77", "x", "1", "007"}, Routes: []string{"a"}}); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, b := range r.log {
			if b.Chunk == nil || b.Chunk.Run != "keys" {
				continue
			}
			for i := range b.Events {
				k, _ := b.Events[i].Key()
				got = append(got, b.Events[i].Op.String()+" "+string(k)+" "+b.Events[i].Row().Field("text").Text())
			}
			if !slices.Equal(b.Chunk.Routes, []string{"a"}) {
				t.Errorf("routes %q", b.Chunk.Routes)
			}
		}
		slices.Sort(got)
		want := []string{"absent 77 ", "repair 1 first", "repair 7 first", "repair 8 second"}
		if !slices.Equal(got, want) {
			t.Errorf("get %t: %q, want %q", get, got, want)
		}
		if err := r.source.StartRun(syncline.Run{ID: "bad", Kind: syncline.RunKeys, Entity: "order", Keys: []syncline.Key{"1,2"}}); syncline.CodeOf(err) != "bad_key" {
			t.Errorf("a key with two parts: %v", err)
		}
		if err := r.source.StartRun(syncline.Run{ID: "other", Kind: syncline.RunPoll, Entity: "lead"}); syncline.CodeOf(err) != "entity_unknown" {
			t.Errorf("another entity: %v", err)
		}
		r.look(syncline.RunPoll, "updated 8") // reading it by its key was for those who asked
	}
}

// TestRunsBetweenLooks: what a run has brought, or has said is not there, is news to the next look even where the record is again by then what looks
// have seen of it, on a page that has not changed.
func TestRunsBetweenLooks(t *testing.T) {
	removed := "removed"
	full, keys := syncline.Run{Kind: syncline.RunFull}, syncline.Run{Kind: syncline.RunKeys, Keys: []syncline.Key{"1", "2"}}
	for _, test := range []struct {
		run          syncline.Run
		what         string
		during, then func(*shop)
		look, sweep  []string
	}{
		{full, "a record is what it was", func(s *shop) { s.put(1, "other", 1) }, func(s *shop) { s.put(1, "live", 1) }, []string{"updated 1"}, nil},
		{keys, "a record is what it was", func(s *shop) { s.put(1, "other", 1) }, func(s *shop) { s.put(1, "live", 1) }, []string{"updated 1"}, nil},
		{keys, "a record was gone", func(s *shop) { s.remove(1) }, func(s *shop) { s.put(1, "live", 1) }, []string{"updated 1"}, nil},
		{keys, "a record was flagged", func(s *shop) { s.put(1, removed, 1) }, func(s *shop) { s.put(1, "live", 1) }, []string{"updated 1"}, nil},
		{full, "a record was live", func(s *shop) { s.put(2, "live", 1) }, func(s *shop) { s.remove(2) }, nil, []string{"deleted 2"}},
		{keys, "a record was live", func(s *shop) { s.put(2, "live", 1) }, func(s *shop) { s.remove(2) }, nil, []string{"deleted 2"}},
	} {
		t.Run(test.run.Kind.String()+" "+test.what, func(t *testing.T) {
			s := newShop(t, ByNone)
			s.etags = true
			s.put(1, "live", 1)
			s.put(2, removed, 1)
			e := s.entity()
			e.Watermark, e.List.Query = "", nil
			e.Get, e.GetRecord = &Request{Path: "/orders/{key}"}, "data"
			e.Deleted = &poll.Flag{Field: "text", Value: &removed}
			r := newReader(t, s, e)
			if _, err := r.end("snapshot-order"); err != nil {
				t.Fatal(err)
			}
			r.look(syncline.RunPoll)
			test.during(s)
			if c, err := r.run(test.run); err != nil || c.Failed != "" {
				t.Fatal(err, c)
			}
			test.then(s)
			r.look(syncline.RunPoll, test.look...)
			r.look(syncline.RunSweep, test.sweep...)
			if len(r.rows) != 1 || !strings.Contains(r.rows["1"], "live") {
				t.Errorf("the target has %v", r.rows)
			}
			r.look(syncline.RunPoll)
		})
	}
}

// TestACopyBesideLooks brings every record, for it may be for other routes than what is told meanwhile, and none as it was before that.
func TestACopyBesideLooks(t *testing.T) {
	for _, by := range []By{ByNone, ByNumber} {
		s := newShop(t, by)
		for id := 1; id <= 9; id++ {
			s.put(id, "first", id)
		}
		e := s.entity()
		e.Watermark, e.List.Query = "", nil
		e.Get, e.GetRecord = &Request{Path: "/orders/{key}"}, "data"
		r := newReader(t, s, e)
		if _, err := r.end("snapshot-order"); err != nil {
			t.Fatal(err)
		}
		copied := len(r.log)
		r.source.Pace("copy", syncline.Pace{Upto: 1, Rows: 1})
		if err := r.source.StartRun(syncline.Run{ID: "copy", Kind: syncline.RunFull, Entity: "order", Routes: []string{"b"}}); err != nil {
			t.Fatal(err)
		}
		if b, err := r.next(false); err != nil || b.Chunk == nil || len(b.Events) != 1 { // the rest of the page waits
			t.Fatal(b, err)
		}
		s.remove(2)
		s.put(3, "second", 3)
		if _, err := r.run(syncline.Run{Kind: syncline.RunKeys, Keys: []syncline.Key{"2", "3"}, Routes: []string{"a"}}); err != nil {
			t.Fatal(err)
		}
		r.look(syncline.RunPoll, "updated 3")
		r.source.Pace("copy", syncline.Pace{Upto: 1000})
		if _, err := r.end("copy"); err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, b := range r.log[copied:] {
			for i := range b.Events {
				if k, _ := b.Events[i].Key(); b.Chunk != nil && b.Chunk.Run == "copy" {
					got[string(k)] = b.Events[i].Row().Field("text").Text()
				}
			}
		}
		want := map[string]string{"1": "first", "3": "second", "4": "first", "5": "first", "6": "first", "7": "first", "8": "first", "9": "first"}
		if !maps.Equal(got, want) {
			t.Errorf("%s: the copy brought %v, want %v", by, got, want)
		}
		r.same(s)
	}
}

// TestACopyGoesOn where its pages were in the log when it was cut, and begins anew where the service does not know the place any more.
func TestACopyGoesOn(t *testing.T) {
	for _, by := range []By{ByNumber, ByOffset, ByCursor, ByLink} {
		for _, forgotten := range []bool{false, true} {
			s := newShop(t, by)
			for id := 1; id <= 12; id++ {
				s.put(id, "first", id)
			}
			r := newReader(t, s, s.entity())
			for range 3 { // the beginning and two pages
				if _, err := r.next(false); err != nil {
					t.Fatal(err)
				}
			}
			s.asked()
			place := map[By]string{ByNumber: "3", ByOffset: "6", ByCursor: "6"}[by]
			s.before = func(w http.ResponseWriter, q *http.Request) bool {
				if page := q.URL.Query().Get("page"); forgotten && place != "" && page == place {
					http.Error(w, "the cursor has expired", http.StatusBadRequest)
					s.before = nil
					return true
				}
				return false
			}
			r.crash()
			if _, err := r.end("snapshot-order"); err != nil {
				t.Fatal(err)
			}
			r.same(s)
			first := s.asked()[0]
			if anew := !strings.Contains(first, "page=3") && !strings.Contains(first, "page=6"); anew != (by == ByLink) {
				t.Errorf("%s goes on with %s", by, first)
			}
			r.look(syncline.RunPoll)
			r.look(syncline.RunSweep)
			s.put(4, "second", 20)
			r.look(syncline.RunPoll, "updated 4")
			for _, b := range r.log {
				if strings.Contains(string(b.Checkpoint), s.URL) {
					t.Errorf("%s: a URL is in the checkpoint", by)
				}
			}
		}
	}
}

// TestWhatChangesBehindTheReader: pages that are read once, in an order that is not that of changes, let a record change on a page that was read
// before another changes on one that is yet to be read. The next look finds the first one all the same.
func TestWhatChangesBehindTheReader(t *testing.T) {
	for _, zone := range []string{"Z", ""} { // a time without a zone is nobody's for sure
		s := newShop(t, ByCursor)
		s.byID = true
		put := func(id, minute int) {
			s.orders[id] = fmt.Sprintf(`"text": "as of %d", "amount": 1, "updated_at": "2026-03-01T00:%02d:00%s"`, minute, minute, zone)
		}
		for id := 1; id <= 9; id++ {
			put(id, 0)
		}
		r := newReader(t, s, s.entity())
		r.o.Now = func() time.Time { return time.Date(2026, 3, 1, 0, 1, 0, 0, time.UTC) }
		r.crash()
		change := func(id, minute int) { // while the last page but one is read
			s.before = func(_ http.ResponseWriter, q *http.Request) bool {
				if q.URL.Query().Get("page") == "3" {
					put(id, minute)
					put(9, minute+5)
					s.before = nil
				}
				return false
			}
		}
		change(1, 10)
		for range 3 { // it dies in the middle of the copy, and is late afterwards
			if _, err := r.next(false); err != nil {
				t.Fatal(err)
			}
		}
		r.o.Now = func() time.Time { return time.Date(2026, 3, 1, 0, 30, 0, 0, time.UTC) }
		r.crash()
		if _, err := r.end("snapshot-order"); err != nil {
			t.Fatal(err)
		}
		r.look(syncline.RunPoll, "updated 1")
		r.look(syncline.RunPoll)
		r.same(s)
		for id := 1; id <= 8; id++ { // a look of several pages
			put(id, 40+id)
		}
		change(2, 53)
		r.look(syncline.RunPoll, "updated 1", "updated 2", "updated 3", "updated 4", "updated 5", "updated 6", "updated 7", "updated 8", "updated 9")
		r.look(syncline.RunPoll, "updated 2")
		r.look(syncline.RunPoll)
		r.same(s)
	}
}

// TestFlaggedBehindTheReader: a record that the first copy has brought, and that says on a later page that it is deleted, does not stay at targets.
func TestFlaggedBehindTheReader(t *testing.T) {
	s := newShop(t, ByNumber)
	for id := 1; id <= 9; id++ {
		s.put(id, "live", id)
	}
	e := s.entity()
	removed := "removed"
	e.Deleted = &poll.Flag{Field: "text", Value: &removed}
	r := newReader(t, s, e)
	s.before = func(_ http.ResponseWriter, q *http.Request) bool {
		if q.URL.Query().Get("page") == "2" {
			s.putLocked(1, removed, 20)
			s.before = nil
		}
		return false
	}
	if _, err := r.end("snapshot-order"); err != nil {
		t.Fatal(err)
	}
	r.look(syncline.RunPoll)
	r.look(syncline.RunSweep)
	if _, there := r.rows["1"]; there || len(r.rows) != 8 {
		t.Errorf("the target has %v", r.rows)
	}
}

// TestAFirstCopyThatIsGivenUp: of what it has brought changes are told, of the rest it is only taken note.
func TestAFirstCopyThatIsGivenUp(t *testing.T) {
	s := newShop(t, ByNumber)
	for id := 1; id <= 9; id++ {
		s.put(id, "first", id)
	}
	r := newReader(t, s, s.entity())
	for range 2 { // the beginning and a page
		if _, err := r.next(false); err != nil {
			t.Fatal(err)
		}
	}
	r.source.Pace("snapshot-order", syncline.Pace{End: true})
	if c, err := r.end("snapshot-order"); err != nil || c.Failed != "" || len(r.rows) != 3 {
		t.Fatal(err, c, r.rows)
	}
	r.crash()
	s.put(1, "second", 20)
	s.put(9, "second", 20)
	r.look(syncline.RunPoll, "updated 1")
	r.look(syncline.RunPoll)
	s.put(9, "third", 21)
	s.remove(2)
	r.look(syncline.RunPoll, "updated 9")
	r.look(syncline.RunSweep, "deleted 2")
}
