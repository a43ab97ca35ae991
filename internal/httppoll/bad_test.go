package httppoll

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"syncline"
)

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

// TestHeadersThatCannotBeSent: a value that no header can have is wrong for as long as the configuration is, and is not sent again and again.
func TestHeadersThatCannotBeSent(t *testing.T) {
	s := newShop(t, ByNone)
	e := s.entity()
	e.List.Headers = []Param{{Name: "X-Tenant", Text: canary + "\r\nX-Admin: yes"}}
	_, err := newReader(t, s, e).end("snapshot-order")
	if syncline.CodeOf(err) != "api_request_bad" || syncline.ClassOf(err) != syncline.Fatal || !strings.Contains(err.Error(), "X-Tenant") || strings.Contains(err.Error(), canary) {
		t.Errorf("a copy with a broken header = %v, want api_request_bad", err)
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
