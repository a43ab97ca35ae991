package httppoll

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"syncline"
	"syncline/internal/document"
	"syncline/internal/poll"
	"syncline/internal/sourcetest"
	"syncline/internal/statetest"
)

// TestConformance: without a watermark, for the suite's tables have none.
func TestConformance(t *testing.T) {
	sourcetest.Run(t, sourcetest.Harness{Snapshot: true, Polled: true, Anonymous: true, Unordered: true, New: func(t *testing.T) sourcetest.System {
		s := &tables{rows: map[string][][]syncline.Value{}, memory: statetest.Open(t)}
		s.Server = httptest.NewServer(s)
		t.Cleanup(s.Close)
		return s
	}})
}

// tables is a service that has the suite's tables, as lists of objects behind a cursor, and each record by itself. TestAnyHistory is about
// pages that move.
type tables struct {
	*httptest.Server
	memory poll.Memory

	mu   sync.Mutex
	rows map[string][][]syncline.Value
}

// pageSize is how many objects are on a page.
const pageSize = 10

// ServeHTTP lists a table at /item and /pair, and has one record at /item/1 and /pair/1/x.
func (s *tables) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	entity, one, single := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	var list [][]syncline.Value
	for _, row := range s.rows[entity] {
		if path := pathOf(entity, row); single && path == one {
			w.Write(object(entity, row)) //nolint:errcheck // the client has gone
			return
		} else if path > r.URL.Query().Get("page") {
			list = append(list, row)
		}
	}
	if single {
		http.NotFound(w, r)
		return
	}
	// Behind a key, so that the cursor leads through everything, whatever goes meanwhile.
	slices.SortFunc(list, func(a, b []syncline.Value) int { return strings.Compare(pathOf(entity, a), pathOf(entity, b)) })
	answer := map[string]any{}
	if len(list) > pageSize {
		list = list[:pageSize]
		answer["next"] = pathOf(entity, list[pageSize-1])
	}
	items := make([]json.RawMessage, len(list))
	for i := range list {
		items[i] = object(entity, list[i])
	}
	answer["items"] = items
	json.NewEncoder(w).Encode(answer) //nolint:errcheck // likewise
}

func object(entity string, row []syncline.Value) json.RawMessage {
	return document.Append(nil, syncline.Row{Schema: sourcetest.Tables[entity], Values: row})
}

// pathOf is the record's key as parts of a path.
func pathOf(entity string, row []syncline.Value) string {
	var parts []string
	for _, at := range sourcetest.Tables[entity].Key {
		parts = append(parts, row[at].Text())
	}
	return strings.Join(parts, "/")
}

func (s *tables) Source(t *testing.T) syncline.Source {
	client, err := NewClient(Options{Name: "suite", URL: s.URL, AllowPrivate: true, RetryDelay: time.Millisecond, Rate: 100_000}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	entity := func(name, get string, key ...string) Entity {
		return Entity{Name: name, Key: key, List: Request{Path: "/" + name}, Records: "items", Page: Paging{By: ByCursor, Param: "page", Next: "next"},
			Get: &Request{Path: get}, Compare: true}
	}
	return NewSource(SourceOptions{Name: "suite", Client: client, Memory: s.memory, Snapshot: true,
		Entities: []Entity{entity(sourcetest.Item, "/item/{id}", "id"), entity(sourcetest.Pair, "/pair/{a}/{b}", "a", "b")}})
}

func (s *tables) Rows(_ *testing.T, entity string) [][]syncline.Value {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.rows[entity])
}

func (s *tables) Begin(*testing.T) sourcetest.Tx { return &tablesTx{s: s} }

// tablesTx writes when it commits.
type tablesTx struct {
	s       *tables
	changes []sourcetest.Change
}

func (x *tablesTx) Exec(_ *testing.T, c sourcetest.Change) { x.changes = append(x.changes, c) }

func (x *tablesTx) Rollback(*testing.T) {}

func (x *tablesTx) Commit(t *testing.T) {
	t.Helper()
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	for _, c := range x.changes {
		rows := slices.Clone(x.s.rows[c.Entity])
		at := slices.IndexFunc(rows, func(row []syncline.Value) bool { return slices.EqualFunc(row, c.Old, syncline.Equal) })
		switch {
		case c.Op == syncline.OpCreated:
			rows = append(rows, c.New)
		case at < 0:
			t.Fatalf("%s of a row that is not there", c.Op)
		case c.Op == syncline.OpDeleted:
			rows = slices.Delete(rows, at, at+1)
		default:
			rows[at] = c.New
		}
		x.s.rows[c.Entity] = rows
	}
}
