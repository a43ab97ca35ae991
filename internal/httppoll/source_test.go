package httppoll

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"syncline"
	"syncline/internal/poll"
	"syncline/internal/sourcetest"
)

var everyPaging = []By{ByNone, ByNumber, ByOffset, ByCursor, ByLink}

// TestPolling: a first copy, then what is new, changed and gone, and nothing twice, whichever way the listing is cut.
func TestPolling(t *testing.T) {
	for _, by := range everyPaging {
		t.Run(string(by), func(t *testing.T) {
			s := newShop(t, by)
			for id := 1; id <= 10; id++ {
				s.put(id, "first", id)
			}
			r := newReader(t, s, s.entity())
			if _, err := r.end("snapshot-order"); err != nil {
				t.Fatal(err)
			}
			r.same(s)
			r.look(syncline.RunPoll)

			s.put(3, "second", 20)
			s.put(11, "new", 20)
			s.asked()
			r.look(syncline.RunPoll, "updated 3", "created 11")
			for _, path := range s.asked() {
				if !strings.Contains(path, "since=2026-03-01T00%3A00%3A08Z") {
					t.Errorf("asked for %s, want what has changed since the watermark less two seconds", path)
				}
			}
			r.same(s)
			r.look(syncline.RunPoll)

			s.remove(5)
			s.put(7, "unnoticed", 1) // no look finds that
			r.look(syncline.RunPoll)
			r.look(syncline.RunSweep, "deleted 5", "updated 7")
			r.same(s)
			s.put(5, "back", 30)
			r.look(syncline.RunPoll, "created 5")
			r.same(s)
			r.crash()
			r.look(syncline.RunPoll)
			r.look(syncline.RunSweep)

			r.rows = map[string]string{}
			if c, err := r.run(syncline.Run{Kind: syncline.RunFull}); err != nil || c.Failed != "" {
				t.Fatal(err, c)
			}
			r.same(s)
		})
	}
}

// TestACutLookBeginsAnew: a page that fails in the middle does not move the watermark, and what was told before is not told twice.
func TestACutLookBeginsAnew(t *testing.T) {
	for _, by := range everyPaging[1:] {
		t.Run(string(by), func(t *testing.T) {
			s := newShop(t, by)
			s.put(1, "first", 1)
			r := newReader(t, s, s.entity())
			if _, err := r.end("snapshot-order"); err != nil {
				t.Fatal(err)
			}
			for id := 2; id <= 10; id++ {
				s.put(id, "new", 10+id)
			}
			pages := 0
			s.before = func(w http.ResponseWriter, _ *http.Request) bool {
				if pages++; pages >= 2 {
					fmt.Fprint(w, `{"items": [{"id": 9, "te`)
				}
				return pages >= 2
			}
			r.ops = nil
			c, err := r.run(syncline.Run{Kind: syncline.RunPoll})
			if err != nil || !strings.HasPrefix(c.Failed, "api_answer_bad: ") || c.Events == 0 {
				t.Fatalf("a look that is cut: %v, %+v", err, c)
			}
			if len(r.source.Warnings()) != 1 {
				t.Errorf("Warnings() = %q, want what failed", r.source.Warnings())
			}
			told := len(r.ops)
			s.before = nil
			s.asked()
			if c, err = r.run(syncline.Run{Kind: syncline.RunPoll}); err != nil || c.Failed != "" {
				t.Fatal(err, c)
			}
			if path := s.asked()[0]; !strings.Contains(path, "since=2026-02-28T23%3A59%3A59Z") {
				t.Errorf("asked for %s, want the watermark of before", path)
			}
			if told == 0 || len(r.ops) != 9 {
				t.Errorf("told %d and then %q, want nine records once", told, r.ops)
			}
			r.same(s)
			if len(r.source.Warnings()) != 0 {
				t.Errorf("Warnings() = %q after all went well", r.source.Warnings())
			}
		})
	}
}

// TestACrashAtAnyBatch: whether the last batch got into the log or not, the target is as the service in the end, and nothing is told twice
// that is in the log.
func TestACrashAtAnyBatch(t *testing.T) {
	for _, by := range []By{ByNone, ByNumber, ByCursor} {
		for _, lost := range []bool{true, false} {
			for point := range 12 {
				s := newShop(t, by)
				for id := 1; id <= 7; id++ {
					s.put(id, "first", id)
				}
				r := newReader(t, s, s.entity())
				step := 0
				crashing := func(run syncline.Run, id string) {
					if run.Kind != 0 {
						run.ID, run.Entity = id, "order"
						if err := r.source.StartRun(run); err != nil {
							t.Fatal(err)
						}
					}
					for {
						step++
						b, err := r.next(lost && step == point)
						if err != nil {
							t.Fatal(err)
						}
						ended := b.Chunk != nil && b.Chunk.Run == id && b.Chunk.Last
						if step == point {
							r.crash()
							if run.Kind != 0 { // the state store asks for what is open
								if err := r.source.StartRun(run); err != nil {
									t.Fatal(err)
								}
							}
							if lost {
								continue
							}
						}
						if ended {
							return
						}
					}
				}
				crashing(syncline.Run{}, "snapshot-order")
				s.put(2, "second", 20)
				s.put(9, "new", 21)
				s.remove(4)
				r.ops = nil
				crashing(syncline.Run{Kind: syncline.RunPoll}, "look")
				crashing(syncline.Run{Kind: syncline.RunSweep}, "sweep")
				r.same(s)
				slices.Sort(r.ops)
				if want := []string{"created 9", "deleted 4", "updated 2"}; !slices.Equal(r.ops, want) {
					t.Errorf("%q, crash at %d (lost %t): told %q, want %q", by, point, lost, r.ops, want)
				}
			}
		}
	}
}

// TestRecordsThatMove between pages while they are read are not missed, and none of them is told to be gone.
func TestRecordsThatMove(t *testing.T) {
	for _, by := range []By{ByNumber, ByOffset, ByLink} {
		t.Run(string(by), func(t *testing.T) {
			s := newShop(t, by)
			for id := 1; id <= 9; id++ {
				s.put(id, "first", id)
			}
			r := newReader(t, s, s.entity())
			if _, err := r.end("snapshot-order"); err != nil {
				t.Fatal(err)
			}
			for id := 1; id <= 9; id++ {
				s.put(id, "second", 20+id)
			}
			calls := 0
			s.before = func(http.ResponseWriter, *http.Request) bool {
				if calls++; calls == 2 { // a record of the first page goes to the end: the first of the second page is on the first now
					s.putLocked(1, "third", 50)
				}
				return false
			}
			if c, err := r.run(syncline.Run{Kind: syncline.RunPoll}); err != nil || c.Failed != "" {
				t.Fatal(err, c)
			}
			r.same(s)
			calls = 0
			s.before = func(http.ResponseWriter, *http.Request) bool {
				if calls++; calls == 2 {
					s.putLocked(2, "fourth", 60)
				}
				return false
			}
			r.look(syncline.RunSweep, "updated 2")
			r.same(s)
		})
	}
}

// TestAListingThatNeverRests: what moves all the time moves no watermark, and says so; a sweep finds nothing gone.
func TestAListingThatNeverRests(t *testing.T) {
	s := newShop(t, ByNumber)
	for id := 1; id <= 9; id++ {
		s.put(id, "first", id)
	}
	r := newReader(t, s, s.entity())
	if _, err := r.end("snapshot-order"); err != nil {
		t.Fatal(err)
	}
	was := *r.source.checkpoint.Entities["order"].Mark
	n := 0
	s.before = func(http.ResponseWriter, *http.Request) bool {
		n++
		for id := 1; id <= 9; id++ { // all of them, so that every look has several pages
			s.putLocked(id, fmt.Sprint(n), 10+n%40)
		}
		return false
	}
	if c, err := r.run(syncline.Run{Kind: syncline.RunPoll}); err != nil || c.Failed != "" {
		t.Fatal(err, c)
	}
	if is := *r.source.checkpoint.Entities["order"].Mark; is != was {
		t.Errorf("the watermark moved from %v to %v", was, is)
	}
	if w := r.source.Warnings(); len(w) != 1 || !strings.Contains(w[0], "moves") {
		t.Errorf("Warnings() = %q", w)
	}
	c, err := r.run(syncline.Run{Kind: syncline.RunSweep})
	if err != nil || !strings.HasPrefix(c.Failed, "api_unsettled: ") {
		t.Errorf("a sweep: %v, %+v, want api_unsettled", err, c)
	}
	s.before = nil
	if c, err = r.run(syncline.Run{Kind: syncline.RunSweep}); err != nil || c.Failed != "" {
		t.Error(err, c)
	}
	r.same(s)
}

// TestFlags: records that say they are deleted, or new.
func TestFlags(t *testing.T) {
	s := newShop(t, ByNone)
	s.put(1, "live", 1)
	s.put(2, "removed", 2)
	e := s.entity()
	removed, fresh := "removed", "new"
	e.Deleted, e.Created = &poll.Flag{Field: "text", Value: &removed}, &poll.Flag{Field: "text", Value: &fresh}
	r := newReader(t, s, e)
	if _, err := r.end("snapshot-order"); err != nil {
		t.Fatal(err)
	}
	if len(r.rows) != 1 {
		t.Errorf("the copy brought %v, want the record that is not removed", r.rows)
	}
	s.put(1, "removed", 10)
	s.put(3, "new", 10)
	s.put(4, "old", 10)
	r.look(syncline.RunPoll, "deleted 1", "created 3", "updated 4")
	r.look(syncline.RunPoll)
	s.put(1, "back", 11)
	s.put(3, "removed", 11)
	r.look(syncline.RunPoll, "created 1", "deleted 3")
	s.remove(3)
	r.look(syncline.RunSweep)
}

// TestUnchangedPages: what the service says is as it was is not read again, and what changes is not missed.
func TestUnchangedPages(t *testing.T) {
	for _, by := range everyPaging {
		t.Run(string(by), func(t *testing.T) {
			s := newShop(t, by)
			s.etags = true
			for id := 1; id <= 7; id++ {
				s.put(id, "first", 1)
			}
			e := s.entity()
			e.Watermark, e.List.Query = "", nil
			r := newReader(t, s, e)
			if _, err := r.end("snapshot-order"); err != nil {
				t.Fatal(err)
			}
			r.look(syncline.RunPoll)
			s.asked()
			r.look(syncline.RunPoll)
			asked := s.asked()
			unchanged := 0
			for _, what := range asked {
				if what == "unchanged" {
					unchanged++
				}
			}
			if unchanged*2 != len(asked) {
				t.Errorf("asked %q, want every page unchanged", asked)
			}
			s.put(6, "second", 1)
			r.look(syncline.RunPoll, "updated 6")
			s.remove(1)
			r.look(syncline.RunPoll)
			r.look(syncline.RunSweep, "deleted 1")
			r.same(s)
		})
	}
}

// TestABaseline: an entity that nobody wants a copy of is taken note of at the first look, and what is there already is no event.
func TestABaseline(t *testing.T) {
	for _, compare := range []bool{true, false} {
		s := newShop(t, ByCursor)
		for id := 1; id <= 7; id++ {
			s.put(id, "first", id)
		}
		e := s.entity()
		if e.Compare = compare; !compare {
			e.Overlap = Overlap{}
		}
		r := newReader(t, s, e)
		r.o.Snapshot, r.log, r.memory = false, nil, newMemory()
		r.o.Memory = r.memory
		r.open()
		r.look(syncline.RunPoll)
		s.put(3, "second", 10)
		s.put(8, "new", 11)
		if compare {
			r.look(syncline.RunPoll, "updated 3", "created 8")
		} else {
			r.look(syncline.RunPoll, "updated 3", "updated 8")
		}
		r.look(syncline.RunPoll)
	}
}

// TestAMemoryOfAnotherTime: where what is known of records is lost, or is newer than the log, the entity is read anew and what cannot be told to
// be old is told.
func TestAMemoryOfAnotherTime(t *testing.T) {
	s := newShop(t, ByCursor)
	for id := 1; id <= 7; id++ {
		s.put(id, "first", id)
	}
	r := newReader(t, s, s.entity())
	if _, err := r.end("snapshot-order"); err != nil {
		t.Fatal(err)
	}
	snapshot := len(r.log)
	s.put(3, "second", 10)
	r.look(syncline.RunPoll, "updated 3")
	r.look(syncline.RunPoll)

	r.log = r.log[:snapshot] // a copy of the log is put back
	s.put(1, "third", 11)
	r.crash()
	if c, err := r.run(syncline.Run{Kind: syncline.RunPoll}); err != nil || c.Failed != "" {
		t.Fatal(err, c)
	}
	r.same(s)
	r.look(syncline.RunPoll)

	*r.memory = *newMemory() // the state store is lost
	r.crash()
	r.rows = map[string]string{}
	if c, err := r.run(syncline.Run{Kind: syncline.RunPoll}); err != nil || c.Failed != "" || c.Events != 7 {
		t.Fatal(err, c)
	}
	r.same(s)
	r.look(syncline.RunPoll)
}

// TestAskedInAnotherWay: an entity whose request or key is another one goes on from its beginning, and what is known is no event.
func TestAskedInAnotherWay(t *testing.T) {
	s := newShop(t, ByNone)
	s.put(1, "first", 1)
	r := newReader(t, s, s.entity())
	if _, err := r.end("snapshot-order"); err != nil {
		t.Fatal(err)
	}
	e := s.entity()
	e.List.Path = "/orders?all=1"
	r.o.Entities = []Entity{e}
	r.crash()
	s.asked()
	r.look(syncline.RunPoll)
	if path := s.asked()[0]; path != "/api/orders?all=1" {
		t.Errorf("asked for %s, want the whole listing", path)
	}
	e.Key = []string{"text"}
	r.o.Entities = []Entity{e}
	r.crash()
	r.look(syncline.RunPoll)
	s.put(1, "second", 5)
	r.look(syncline.RunPoll, "created second")
	s.asked()
	for checkpoint, want := range map[string]string{"\x01": "source_changed", `{"form": "poll"}`: "source_changed", `{"form`: "checkpoint_unreadable",
		`{"form": "http", "shapes": "AQ=="}`: "checkpoint_unreadable"} {
		if err := NewSource(r.o).Open(t.Context(), []byte(checkpoint), syncline.Position{}); syncline.CodeOf(err) != want {
			t.Errorf("a checkpoint %q: %v, want %s", checkpoint, err, want)
		}
	}
}

// TestAPostedListing: what the service is asked with can stand in a body.
func TestAPostedListing(t *testing.T) {
	var bodies []string
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if bodies = append(bodies, r.Method+" "+string(body)); strings.Contains(string(body), `"after":17`) {
			fmt.Fprint(w, `{"hits": [{"id": 2, "seq": 12}], "page": {"end": null}}`)
			return
		}
		fmt.Fprint(w, `{"hits": [{"id": 1, "seq": 11}], "page": {"end": 17}}`)
	}))
	defer service.Close()
	s := &shop{Server: service, by: ByCursor}
	e := Entity{Name: "order", Key: []string{"id"}, List: Request{Path: "/search", Method: http.MethodPost, Body: `{"since": "{watermark}", "after": "{cursor}", "size": "{size}"}`},
		Records: "hits", Watermark: "seq", Overlap: Overlap{Amount: 5}, Page: Paging{By: ByCursor, Next: "page.end", Size: 50}, Compare: true}
	r := newReader(t, s, e)
	if _, err := r.end("snapshot-order"); err != nil {
		t.Fatal(err)
	}
	r.look(syncline.RunPoll)
	r.look(syncline.RunPoll) // the first one began when the numbers were known
	want := []string{`POST {"size":50}`, `POST {"after":17,"size":50}`, `POST {"size":50}`, `POST {"after":17,"size":50}`, `POST {"since":7,"size":50}`, `POST {"after":17,"since":7,"size":50}`}
	if !slices.Equal(bodies, want) {
		t.Errorf("asked %q, want %q", bodies, want)
	}
}

func TestOnlyWhatTheEpochHasIsConfirmed(t *testing.T) {
	s := &Source{at: syncline.Position{Epoch: 2}, confirmed: 7}
	sourcetest.OfItsEpoch(t, s.Confirm, func() uint64 { return s.confirmed })
}
