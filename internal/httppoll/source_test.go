package httppoll

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"syncline"
	"syncline/internal/poll"
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
		if err != nil || !strings.HasPrefix(c.Failed, "sweep_refused: shop/order: 50 of 50 ") {
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
		want := []string{"absent 77 ", "repair 1 first", "repair 8 second"}
		if get { // the service takes 007 for 7
			want = slices.Insert(want, 2, "repair 7 first")
		}
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

// TestBadRecords: a record that cannot be told apart ends the look, and the watermark stays.
func TestBadRecords(t *testing.T) {
	s := newShop(t, ByNone)
	s.put(1, "first", 1)
	r := newReader(t, s, s.entity())
	if _, err := r.end("snapshot-order"); err != nil {
		t.Fatal(err)
	}
	for body, want := range map[string]string{
		`[{"id": 1}, {"name": "` + canary + `"}]`: "record 2 of the listing of order",
		`[{"id": null}]`:     "key field is null",
		`[{"id": ""}]`:       "key field is empty",
		`["` + canary + `"]`: "not an object",
		`[{"id": 1e999}]`:    "exponent",
	} {
		s.before = func(w http.ResponseWriter, _ *http.Request) bool {
			fmt.Fprintf(w, `{"items": %s}`, body)
			return true
		}
		c, err := r.run(syncline.Run{Kind: syncline.RunPoll})
		if err != nil || !strings.HasPrefix(c.Failed, "api_record_bad: ") || !strings.Contains(c.Failed, want) || strings.Contains(c.Failed, canary) {
			t.Errorf("%s: %v, %+v", body, err, c)
		}
	}
	s.before = nil
	s.put(2, "new", 5)
	r.look(syncline.RunPoll, "created 2")
}

// TestAFarFuture: one date that nobody has reached does not hide what changes until then.
func TestAFarFuture(t *testing.T) {
	s := newShop(t, ByNone)
	s.put(1, "first", 1)
	r := newReader(t, s, s.entity())
	if _, err := r.end("snapshot-order"); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.orders[2] = `"text": "far", "amount": 1, "updated_at": "2999-01-01T00:00:00Z"`
	s.mu.Unlock()
	r.look(syncline.RunPoll, "created 2")
	s.put(3, "new", 9)
	r.look(syncline.RunPoll, "created 3")
	r.same(s)
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

// TestNothingGoesElsewhere: neither a redirect nor a next page at another host is asked for, so that nobody there learns who asks.
func TestNothingGoesElsewhere(t *testing.T) {
	asked := 0
	thief := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		fmt.Fprint(w, `{"items": []}`)
	}))
	defer thief.Close()
	for name, tt := range map[string]struct {
		by     By
		answer http.HandlerFunc
		want   string
	}{
		"a redirect": {ByNone, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, thief.URL+r.URL.Path, http.StatusTemporaryRedirect)
		}, "api_request_bad"},
		"a link": {ByLink, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", "<"+thief.URL+">; rel=next")
			fmt.Fprint(w, `{"items": [{"id": 7, "updated_at": "2026-03-01T00:00:09Z"}]}`)
		}, "api_elsewhere"},
	} {
		s := newShop(t, tt.by)
		s.put(1, "first", 1)
		r := newReader(t, s, s.entity())
		if _, err := r.end("snapshot-order"); err != nil {
			t.Fatal(err)
		}
		s.before = func(w http.ResponseWriter, r *http.Request) bool {
			tt.answer(w, r)
			return true
		}
		c, err := r.run(syncline.Run{Kind: syncline.RunPoll})
		if err != nil || !strings.HasPrefix(c.Failed, tt.want+": ") || asked != 0 {
			t.Errorf("%s: %v, %+v, %d requests elsewhere, want %s", name, err, c, asked, tt.want)
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
	want := []string{`POST {"size":50}`, `POST {"after":17,"size":50}`, `POST {"since":7,"size":50}`, `POST {"after":17,"since":7,"size":50}`}
	if !slices.Equal(bodies, want) {
		t.Errorf("asked %q, want %q", bodies, want)
	}
}

// TestCheck tells before anything runs whether the service answers as it is expected to.
func TestCheck(t *testing.T) {
	s := newShop(t, ByNone)
	s.put(1, "first", 1)
	e := s.entity()
	wrong := s.entity()
	wrong.Name, wrong.Watermark = "wrong", "attributes.updated_at"
	gone := s.entity()
	gone.Name, gone.Records = "gone", "data"
	r := newReader(t, s, e)
	r.o.Entities = []Entity{e, wrong, gone}
	var got []string
	for _, f := range NewSource(r.o).Check(t.Context()) {
		got = append(got, f.Level+" "+f.Code)
	}
	if want := []string{"fail api_answer_bad", "ok ", "fail watermark_missing"}; !slices.Equal(got, want) {
		t.Errorf("Check = %q, want %q", got, want)
	}
}
