package httppoll

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"syncline"
)

// listed is a source that is not opened, beside one that has copied everything.
func listed(t *testing.T, by By, orders int) (*shop, *reader, *Source) {
	s := newShop(t, by)
	for id := 1; id <= orders; id++ {
		s.put(id, "first", id)
	}
	r := newReader(t, s, s.entity())
	if _, err := r.end("snapshot-order"); err != nil {
		t.Fatal(err)
	}
	return s, r, NewSource(r.o)
}

// TestList: records are listed page by page, beside a source at work and in the columns that it knows.
func TestList(t *testing.T) {
	for _, by := range everyPaging {
		s, r, beside := listed(t, by, 10)
		described, err := beside.Describe(t.Context())
		if err != nil || len(described) != 1 {
			t.Fatalf("Describe = %v, %v", described, err)
		}
		read := func(q syncline.Listing) (keys []string, calls int) {
			for {
				calls++
				next, err := beside.List(t.Context(), q, func(row syncline.Row) error {
					k, _ := row.Key()
					keys = append(keys, string(k))
					if row.Schema.Fingerprint() != described[0].Fingerprint() || !row.Whole() {
						t.Errorf("%s: a row of other columns", by)
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if q.After = next; next == "" {
					slices.Sort(keys)
					return keys, calls
				}
			}
		}
		all := []string{"1", "10", "2", "3", "4", "5", "6", "7", "8", "9"}
		if keys, calls := read(syncline.Listing{Entity: "order"}); !slices.Equal(keys, all) || by != ByNone && calls < 4 {
			t.Errorf("%s: listed %q in %d calls", by, keys, calls)
		}
		if keys, _ := read(syncline.Listing{Entity: "order", Keys: []syncline.Key{"3", "77"}}); !slices.Equal(keys, []string{"3"}) {
			t.Errorf("%s: of two keys %q", by, keys)
		}
		if keys, _ := read(syncline.Listing{Entity: "order", Sample: true, Limit: 4}); len(keys) != 4 {
			t.Errorf("%s: a sample of four is %q", by, keys)
		}
		var keys []string
		if err := beside.Keys(t.Context(), "order", func(k syncline.Key) error { keys = append(keys, string(k)); return nil }); err != nil {
			t.Fatal(err)
		}
		if slices.Sort(keys); !slices.Equal(keys, all) {
			t.Errorf("%s: keys %q", by, keys)
		}

		next, err := beside.List(t.Context(), syncline.Listing{Entity: "order"}, func(syncline.Row) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		next, err = NewSource(r.o).List(t.Context(), syncline.Listing{Entity: "order", After: next}, func(syncline.Row) error { n++; return nil })
		switch { // another process goes on
		case by == ByLink:
			if syncline.CodeOf(err) != "listing_invalid" {
				t.Errorf("links go on: %q, %v", next, err)
			}
		case err != nil, by != ByNone && n != 3:
			t.Errorf("%s: goes on with %d records, %q, %v", by, n, next, err)
		}
		s.mu.Lock()
		s.orders[5] = `"text": "first", "amount": 1, "updated_at": "2026-03-01T00:00:05Z", "new": true`
		s.mu.Unlock()
		if _, err := beside.List(t.Context(), syncline.Listing{Entity: "order", Keys: []syncline.Key{"5"}}, func(syncline.Row) error { return nil }); syncline.CodeOf(err) != "schema_changed" {
			t.Errorf("%s: a column that is not known yet: %v, want schema_changed", by, err)
		}
	}
	if list, err := NewSource(SourceOptions{Client: &Client{}, Entities: []Entity{{Name: "order", Key: []string{"id"}}}}).Describe(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("Describe before anything is known = %v, %v", list, err)
	}
}

// TestKeysOfAListingThatMoves are not told: what is missing from them would be taken for gone.
func TestKeysOfAListingThatMoves(t *testing.T) {
	for _, by := range []By{ByNumber, ByCursor} {
		s, _, beside := listed(t, by, 9)
		n := 0
		s.before = func(http.ResponseWriter, *http.Request) bool {
			n++
			s.putLocked(1+n%9, fmt.Sprint(n), 10+n%40)
			return false
		}
		if err := beside.Keys(t.Context(), "order", func(syncline.Key) error { return nil }); syncline.CodeOf(err) != "api_unsettled" {
			t.Errorf("%s: Keys = %v, want api_unsettled", by, err)
		}
	}
}

// TestPace: a copy stops where it is told to, polls go on meanwhile, and it is given up where nobody wants it any more.
func TestPace(t *testing.T) {
	s, r, _ := listed(t, ByCursor, 9)
	r.source.Pace("copy", syncline.Pace{Upto: 2, Rows: 2})
	if err := r.source.StartRun(syncline.Run{ID: "copy", Kind: syncline.RunFull, Entity: "order"}); err != nil {
		t.Fatal(err)
	}
	s.put(3, "second", 20)
	r.look(syncline.RunPoll, "updated 3")
	chunks := func() (n int, rows int, last *syncline.Chunk) {
		for _, b := range r.log {
			if b.Chunk != nil && b.Chunk.Run == "copy" {
				n, rows, last = n+1, max(rows, len(b.Events)), b.Chunk
			}
		}
		return n, rows, last
	}
	for range 2 {
		if _, err := r.next(false); err != nil {
			t.Fatal(err)
		}
	}
	r.look(syncline.RunPoll) // there is nothing else to do
	if n, rows, _ := chunks(); n != 2 || rows > 2 {
		t.Errorf("%d chunks of up to %d rows, want two of two", n, rows)
	}
	r.source.Pace("copy", syncline.Pace{Upto: 2, End: true})
	if _, err := r.end("copy"); err != nil {
		t.Fatal(err)
	}
	if n, _, last := chunks(); n != 3 || !last.Last || last.Failed != "" {
		t.Errorf("given up with %d chunks, the last %+v", n, last)
	}
	if err := r.source.StartRun(syncline.Run{ID: "from", Kind: syncline.RunFull, Entity: "order", From: "3"}); syncline.CodeOf(err) != "from_unsupported" {
		t.Errorf("from a key on: %v", err)
	}
}

// TestOneRunDoesNotHoldUpAnother: single records and looks come between the pages of a copy.
func TestOneRunDoesNotHoldUpAnother(t *testing.T) {
	s, r, _ := listed(t, ByCursor, 30)
	for _, run := range []syncline.Run{{ID: "a", Kind: syncline.RunFull}, {ID: "b", Kind: syncline.RunFull}, {ID: "s", Kind: syncline.RunSweep}} {
		run.Entity = "order"
		if err := r.source.StartRun(run); err != nil {
			t.Fatal(err)
		}
	}
	order := ""
	for !strings.HasSuffix(order, "p") {
		b, err := r.next(false)
		if err != nil {
			t.Fatal(order, err)
		}
		if b.Chunk == nil {
			continue
		}
		if order += b.Chunk.Run; len(order) == 4 {
			s.put(3, "second", 40)
			for _, run := range []syncline.Run{{ID: "p", Kind: syncline.RunPoll}, {ID: "k", Kind: syncline.RunKeys, Keys: []syncline.Key{"7"}}} {
				run.Entity = "order"
				if err := r.source.StartRun(run); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if !strings.HasPrefix(order, "abab") || !strings.Contains(order, "k") {
		t.Errorf("chunks came as %s, want a and b in turns and the others between", order)
	}
	for _, id := range []string{"a", "b", "s"} {
		if _, err := r.end(id); err != nil {
			t.Fatal(err)
		}
	}
	r.same(s)
}

// TestWhatIsReadFirstIsToldFirst: a record that a copy or a sweep has read, and that a look tells of before they give it out, does not go back,
// and one that comes back while a sweep makes sure is not told to be gone.
func TestWhatIsReadFirstIsToldFirst(t *testing.T) {
	for _, kind := range []syncline.RunKind{syncline.RunFull, syncline.RunSweep} {
		s, r, _ := listed(t, ByNone, 9)
		if kind == syncline.RunSweep {
			for id := 1; id <= 9; id++ { // which the looks do not see
				s.put(id, "between", 0)
			}
			s.remove(8)
		}
		r.source.Pace("long", syncline.Pace{Upto: 1, Rows: 1})
		if err := r.source.StartRun(syncline.Run{ID: "long", Kind: kind, Entity: "order"}); err != nil {
			t.Fatal(err)
		}
		if kind == syncline.RunFull {
			if _, err := r.next(false); err != nil {
				t.Fatal(err)
			}
		} else { // the page is read, and none of it is told yet
			r.source.takeRequests()
			w := r.source.work(r.source.due())
			list, err := w.list.next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			w.queue = list
		}
		s.put(7, "newest", 20)
		s.put(8, "back", 20)
		if c, err := r.run(syncline.Run{Kind: syncline.RunPoll}); err != nil || c.Failed != "" {
			t.Fatal(err, c)
		}
		r.source.Pace("long", syncline.Pace{Upto: 100})
		if _, err := r.end("long"); err != nil {
			t.Fatal(err)
		}
		r.same(s)
	}
}

// TestWhatComesBackIsNotGone: between a sweep's listing and its word, a look saw the record.
func TestWhatComesBackIsNotGone(t *testing.T) {
	s, r, _ := listed(t, ByNone, 9)
	s.remove(8)
	if err := r.source.StartRun(syncline.Run{ID: "sweep", Kind: syncline.RunSweep, Entity: "order"}); err != nil {
		t.Fatal(err)
	}
	r.source.takeRequests()
	for w := r.source.work(r.source.due()); len(w.gone) == 0; {
		if b, err := w.step(t.Context()); b != nil || err != nil {
			t.Fatalf("the sweep told %+v before it had looked: %v", b, err)
		}
	}
	s.put(8, "back", 20)
	r.look(syncline.RunPoll, "updated 8")
	if _, err := r.end("sweep"); err != nil {
		t.Fatal(err)
	}
	r.same(s)
}
