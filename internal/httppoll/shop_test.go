package httppoll

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"syncline"
	"syncline/internal/document"
	"syncline/internal/poll"
)

// shop is a service with orders, which lists them in pages.
type shop struct {
	*httptest.Server

	mu     sync.Mutex
	orders map[int]string // the members of each but for its id, by id
	size   int
	by     By
	// before is called before each page is answered; a true answer says that it has answered itself.
	before   func(w http.ResponseWriter, r *http.Request) bool
	requests []string
	etags    bool
	byID     bool // the order of its listing
}

func newShop(t *testing.T, by By) *shop {
	s := &shop{orders: map[int]string{}, size: 3, by: by}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// put writes an order as of a second.
func (s *shop) put(id int, text string, second int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.putLocked(id, text, second)
}

func (s *shop) putLocked(id int, text string, second int) {
	at := time.Date(2026, 3, 1, 0, 0, second, 0, time.UTC)
	s.orders[id] = fmt.Sprintf(`"text": %q, "amount": 123456789012345678901234567890.10, "updated_at": %q`, text, at.Format(time.RFC3339))
}

func (s *shop) remove(id int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.orders, id)
}

func (s *shop) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.requests
	s.requests = nil
	return list
}

// ServeHTTP lists orders by the time of their last change, then by id, or by id alone.
func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r.URL.RequestURI())
	if s.before != nil && s.before(w, r) {
		return
	}
	if text, one := strings.CutPrefix(r.URL.Path, "/api/orders/"); one {
		id, _ := strconv.Atoi(text)
		order, ok := s.orders[id]
		if !ok {
			http.NotFound(w, r)
			return
		}
		fmt.Fprintf(w, `{"data": {"id": %d, %s}}`, id, order)
		return
	}
	q := r.URL.Query()
	var list []string
	var ids []int
	times := map[int]string{}
	for id, order := range s.orders {
		var o struct {
			At string `json:"updated_at"`
		}
		_ = json.Unmarshal([]byte("{"+order+"}"), &o)
		times[id] = o.At
		if since := q.Get("since"); since == "" || o.At >= since {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b int) int {
		if s.byID {
			return cmp.Compare(a, b)
		}
		return cmp.Or(strings.Compare(times[a], times[b]), cmp.Compare(a, b))
	})
	for _, id := range ids {
		list = append(list, fmt.Sprintf(`{"id": %d, %s}`, id, s.orders[id]))
	}
	begin := 0
	switch s.by {
	case ByNumber:
		n, _ := strconv.Atoi(q.Get("page"))
		begin = (n - 1) * s.size
	case ByOffset, ByCursor, ByLink:
		begin, _ = strconv.Atoi(q.Get("page"))
	}
	end := begin + s.size
	if s.by == ByNone {
		begin, end = 0, len(list)
	}
	begin, end = min(begin, len(list)), min(end, len(list))
	next := "null"
	if end < len(list) && s.by == ByCursor {
		next = strconv.Itoa(end)
	}
	if end < len(list) && s.by == ByLink {
		q.Set("page", strconv.Itoa(end))
		w.Header().Set("Link", fmt.Sprintf(`<?%s>; rel="next"`, q.Encode()))
	}
	body := fmt.Sprintf(`{"items": [%s], "next": %s}`, strings.Join(list[begin:end], ", "), next)
	if s.etags {
		tag := fmt.Sprintf(`"%x"`, hashText(body))
		w.Header().Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			s.requests = append(s.requests, "unchanged")
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	fmt.Fprint(w, body)
}

// entity is how the shop's orders are asked for.
func (s *shop) entity() Entity {
	e := Entity{Name: "order", Key: []string{"id"}, List: Request{Path: "/orders", Query: []Param{{"since", "{watermark}"}}}, Records: "items",
		Watermark: "updated_at", Overlap: Overlap{Time: 2 * time.Second}, Compare: true}
	switch e.Page.By = s.by; s.by {
	case ByNumber, ByOffset:
		e.Page.Param, e.Page.First = "page", 1
	case ByCursor:
		e.Page.Param, e.Page.Next = "page", "next"
	}
	return e
}

// reader drives a source as capture does: what it gives is in the log once it is taken.
type reader struct {
	t      *testing.T
	o      SourceOptions
	memory *memory
	source *Source
	log    []*syncline.Batch
	rows   map[string]string // what a target has
	ops    []string          // of the stream, since the last look
	runs   int
}

func newReader(t *testing.T, s *shop, e Entity) *reader {
	client, err := NewClient(Options{Name: "shop", URL: s.URL + "/api", AllowPrivate: true, RetryDelay: time.Millisecond, Rate: 10_000}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	r := &reader{t: t, memory: newMemory(), rows: map[string]string{}}
	r.o = SourceOptions{Name: "shop", Client: client, Entities: []Entity{e}, Memory: r.memory, Snapshot: true}
	r.open()
	return r
}

func (r *reader) open() {
	r.t.Helper()
	r.source = NewSource(r.o)
	var checkpoint []byte
	var at syncline.Position
	if n := len(r.log); n > 0 {
		checkpoint, at = r.log[n-1].Checkpoint, r.log[n-1].Position
	}
	if err := r.source.Open(r.t.Context(), checkpoint, at); err != nil {
		r.t.Fatal(err)
	}
}

// crash loses what is in memory; what was taken is in the log.
func (r *reader) crash() {
	_ = r.source.Close()
	r.open()
}

// next takes a batch into the log; lost says that it does not get there.
func (r *reader) next(lost bool) (*syncline.Batch, error) {
	ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
	defer cancel()
	b, err := r.source.Next(ctx)
	if err != nil || lost {
		return b, err
	}
	stored, err := syncline.AppendBatch(nil, b)
	if err != nil {
		r.t.Fatal(err)
	}
	if b, err = syncline.DecodeBatch(stored); err != nil {
		r.t.Fatal(err)
	}
	if n := len(r.log); n > 0 && b.Position.Compare(r.log[n-1].Position) < 0 {
		r.t.Fatalf("position %s after %s", b.Position, r.log[n-1].Position)
	}
	r.log = append(r.log, b)
	for i := range b.Events {
		r.apply(b, &b.Events[i])
	}
	r.source.Confirm(b.Position)
	return b, nil
}

func (r *reader) apply(b *syncline.Batch, e *syncline.Event) {
	key, ok := e.Key()
	if !ok {
		r.t.Fatal("an event without a key")
	}
	if e.After == nil {
		delete(r.rows, string(key))
	} else {
		if !e.Row().Whole() {
			r.t.Errorf("the record of %s is not whole", key)
		}
		r.rows[string(key)] = string(document.Append(nil, e.Row()))
	}
	if b.Chunk == nil {
		r.ops = append(r.ops, e.Op.String()+" "+string(key))
	}
}

// run does a run to its end and returns its last chunk, or the error of the source.
func (r *reader) run(run syncline.Run) (*syncline.Chunk, error) {
	r.t.Helper()
	r.runs++
	if run.ID == "" {
		run.ID = "run-" + strconv.Itoa(r.runs)
	}
	run.Entity = "order"
	if err := r.source.StartRun(run); err != nil {
		return nil, err
	}
	return r.end(run.ID)
}

func (r *reader) end(id string) (*syncline.Chunk, error) {
	for {
		b, err := r.next(false)
		if err != nil {
			return nil, err
		}
		if b.Chunk != nil && b.Chunk.Run == id && b.Chunk.Last {
			return b.Chunk, nil
		}
	}
}

// look polls, and compares what it told.
func (r *reader) look(kind syncline.RunKind, want ...string) {
	r.t.Helper()
	r.ops = nil
	c, err := r.run(syncline.Run{Kind: kind})
	if err != nil || c.Failed != "" {
		r.t.Fatalf("%s: %v %+v", kind, err, c)
	}
	slices.Sort(r.ops)
	slices.Sort(want)
	if !slices.Equal(r.ops, want) || c.Events != int64(len(want)) {
		r.t.Errorf("%s told %q (%d), want %q", kind, r.ops, c.Events, want)
	}
}

// same compares what a target has with what the shop has.
func (r *reader) same(s *shop) {
	r.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	want := map[string]string{}
	for id, order := range s.orders {
		var o map[string]json.RawMessage
		_ = json.Unmarshal([]byte("{"+order+"}"), &o)
		want[strconv.Itoa(id)] = fmt.Sprintf(`{"amount":%s,"id":%d,"text":%s,"updated_at":%s}`, o["amount"], id, o["text"], o["updated_at"])
	}
	if !maps.Equal(want, r.rows) {
		r.t.Errorf("the target has\n%v\nwant\n%v", r.rows, want)
	}
}

// memory is a poll.Memory.
type memory struct {
	known   map[syncline.Key]poll.Seen
	notes   []note
	settled uint64
}

type note struct {
	position uint64
	seen     poll.Seen
}

func newMemory() *memory { return &memory{known: map[syncline.Key]poll.Seen{}} }

func (m *memory) Noted(context.Context, string) (noted, settled uint64, _ error) {
	noted = m.settled
	for _, n := range m.notes {
		noted = max(noted, n.position)
	}
	return noted, m.settled, nil
}

func (m *memory) Note(_ context.Context, _, _ string, position uint64, seen []poll.Seen) error {
	for _, one := range seen {
		m.notes = append(m.notes, note{position, one})
	}
	return nil
}

func (m *memory) Settle(_ context.Context, _ string, upTo uint64) (bool, error) {
	m.notes = slices.DeleteFunc(m.notes, func(n note) bool {
		if n.position > upTo {
			return false
		}
		m.settled = max(m.settled, n.position)
		if m.known[n.seen.Key] = n.seen; n.seen.State == poll.Gone {
			delete(m.known, n.seen.Key)
		}
		return true
	})
	return false, nil
}

func (m *memory) Discard(_ context.Context, _ string, beyond uint64) error {
	m.notes = slices.DeleteFunc(m.notes, func(n note) bool { return n.position > beyond })
	return nil
}

func (m *memory) Known(_ context.Context, _, _ string, keys []syncline.Key) (map[syncline.Key]poll.Seen, error) {
	known := map[syncline.Key]poll.Seen{}
	for _, k := range keys {
		if one, ok := m.known[k]; ok {
			known[k] = one
		}
		for _, n := range m.notes {
			if n.seen.Key == k {
				if known[k] = n.seen; n.seen.State == poll.Gone {
					delete(known, k)
				}
			}
		}
	}
	return known, nil
}

func (m *memory) After(_ context.Context, _, _ string, after syncline.Key, limit int) ([]poll.Seen, error) {
	var list []poll.Seen
	for _, k := range slices.Sorted(maps.Keys(m.known)) {
		if k > after && len(list) < limit {
			list = append(list, m.known[k])
		}
	}
	return list, nil
}

func (m *memory) Forget(context.Context, string, string) (bool, error) {
	*m = *newMemory()
	return false, nil
}
