package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"
	_ "modernc.org/sqlite" // the driver of the source's writers

	"syncline/internal/ops"
	"syncline/internal/testserver"
)

// shop is a SQLite source of customers with the program that captures it.
type shop struct {
	t       *testing.T
	db      *sql.DB
	program *program
}

// newShop begins with three customers; the configuration of targets and rules follows that of the source crm.
func newShop(t *testing.T, config string) *shop {
	t.Helper()
	path := filepath.Join(t.TempDir(), "crm.db")
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	s := &shop{t: t, db: db}
	s.exec(`CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT)`)
	s.exec(`INSERT INTO customer VALUES (1, 'Ann'), (2, 'Bo'), (3, 'Cy')`)
	s.program = newProgram(t, fmt.Sprintf(`
systems:
  crm:
    type: sqlite
    url: %q
    capture: {manage: true, entities: {customer: {table: customer}}}
`, "sqlite:"+path)+config)
	return s
}

func (s *shop) exec(statement string) {
	s.t.Helper()
	if _, err := s.db.ExecContext(s.t.Context(), statement); err != nil {
		s.t.Fatalf("%s: %v", statement, err)
	}
}

// forget removes what the program keeps under its directory.
func (s *shop) forget(names ...string) {
	s.t.Helper()
	for _, name := range names {
		if err := os.RemoveAll(filepath.Join(s.program.dir, "syncline-data", name)); err != nil {
			s.t.Fatal(err)
		}
	}
}

// routeIs waits until the route is in the state, with the code where it has an error.
func (s *shop) routeIs(id, state, code string) {
	s.t.Helper()
	c := s.program.client()
	eventually(s.t, "route "+id+" "+state, func(ctx context.Context) error {
		list, err := c.Routes(ctx)
		for _, r := range list {
			if r.ID == id && r.State == state && (r.Error == nil && code == "" || r.Error != nil && r.Error.Code == code) {
				return nil
			}
		}
		return errors.Join(err, fmt.Errorf("routes = %+v", list))
	})
}

// newCachedShop is a shop whose customers are in a Redis of their own.
func newCachedShop(t *testing.T) (*shop, *goredis.Client) {
	t.Helper()
	red := testserver.NewRedis(t)
	options, err := goredis.ParseURL(red.URL())
	if err != nil {
		t.Fatal(err)
	}
	cache := goredis.NewClient(options)
	t.Cleanup(func() { _ = cache.Close() })
	s := newShop(t, fmt.Sprintf(`
  cache: {type: redis, url: %q}
rules:
  - {id: cache, from: crm/customer, to: cache/customer}
`, red.URL()))
	return s, cache
}

// TestARouteBegunAnewAfterStateAndLogAreLostWritesWhatIsNewer loses everything that the program keeps by itself. The records in
// the cache carry versions of the lost log, which had more entries than the new one.
func TestARouteBegunAnewAfterStateAndLogAreLostWritesWhatIsNewer(t *testing.T) {
	s, cache := newCachedShop(t)
	s.program.start()
	s.program.ready()
	for i := range 20 { // each its own entry of the log
		s.exec(fmt.Sprintf(`UPDATE customer SET name = 'Ann %d' WHERE id = 1`, i))
		s.cached(cache, "customer:1", fmt.Sprintf(`{"id":1,"name":"Ann %d"}`, i))
	}
	if err := s.program.stop(); err != nil {
		t.Fatalf("stop: %v", err)
	}
	s.exec(`UPDATE customer SET name = 'Ann the last' WHERE id = 1`)
	s.forget("state.db", "state.db-wal", "state.db-shm", "log")

	s.program.start()
	s.routeIs("cache", ops.RouteHalted, "state_lost")
	if _, err := s.program.client().StartSync(t.Context(), ops.SyncRequest{Source: "crm", Entity: "customer", Routes: []string{"cache"}}); err != nil {
		t.Fatalf("sync: %v", err)
	}
	s.routeIs("cache", ops.RouteRunning, "")
	s.cached(cache, "customer:1", `{"id":1,"name":"Ann the last"}`)
	s.exec(`UPDATE customer SET name = 'Bo again' WHERE id = 2`)
	s.cached(cache, "customer:2", `{"id":2,"name":"Bo again"}`)
}

// TestARouteBeginsAnewOverACursorThatCannotBeRead does what the error advises.
func TestARouteBeginsAnewOverACursorThatCannotBeRead(t *testing.T) {
	s, cache := newCachedShop(t)
	s.program.start()
	s.cached(cache, "customer:1", `{"id":1,"name":"Ann"}`)
	if err := s.program.stop(); err != nil {
		t.Fatalf("stop: %v", err)
	}
	if err := cache.HSet(t.Context(), "_syncline_cursor:cache/0", "epoch", "x").Err(); err != nil {
		t.Fatal(err)
	}
	s.exec(`UPDATE customer SET name = 'Ann again' WHERE id = 1`)
	s.program.start()
	s.routeIs("cache", ops.RouteHalted, "cursor_damaged")
	if _, err := s.program.client().StartSync(t.Context(), ops.SyncRequest{Source: "crm", Entity: "customer", Routes: []string{"cache"}}); err != nil {
		t.Fatalf("sync: %v", err)
	}
	s.routeIs("cache", ops.RouteRunning, "")
	s.cached(cache, "customer:1", `{"id":1,"name":"Ann again"}`)
}

func (s *shop) cached(cache *goredis.Client, key, want string) {
	s.t.Helper()
	eventually(s.t, key, func(ctx context.Context) error {
		got, err := cache.Get(ctx, key).Result()
		if err == nil && got != want {
			err = fmt.Errorf("%s holds %s, want %s", key, got, want)
		}
		return err
	})
}

// TestAWebhookWhoseStateStoreIsLostSaysSo: there is no cursor at the other side that could halt it.
func TestAWebhookWhoseStateStoreIsLostSaysSo(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(server.Close)
	s := newShop(t, fmt.Sprintf(`
  hook: {type: webhook, url: %q, allow_private: true}
rules:
  - {id: hook, from: crm/customer, to: hook/customer}
`, server.URL))
	s.program.start()
	c := s.program.client()
	eventually(t, "the first change", func(ctx context.Context) error { // what changes before the capture is installed is not seen
		s.exec(`UPDATE customer SET name = name || '.' WHERE id = 1`)
		list, err := c.Routes(ctx)
		if err == nil && list[0].LogEnd == 0 {
			err = errors.New("nothing is captured yet")
		}
		return err
	})
	s.program.caughtUp()
	if w := s.program.routes()["hook"].Warnings; len(w) != 0 {
		t.Errorf("warnings of a first start = %q", w)
	}
	if err := s.program.stop(); err != nil {
		t.Fatalf("stop: %v", err)
	}
	s.forget("state.db", "state.db-wal", "state.db-shm")
	s.program.start()
	s.program.ready()
	if w := s.program.routes()["hook"].Warnings; len(w) != 1 || !strings.Contains(w[0], "left out") {
		t.Errorf("warnings after the state store was lost = %q", w)
	}
}
