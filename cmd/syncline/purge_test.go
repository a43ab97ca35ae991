package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	_ "modernc.org/sqlite"
)

// largeText is a column of a megabyte.
var largeText = strings.Repeat("x", 1_000_000)

// shelf is a SQLite database with one table, as a source or as what a target made of it.
type shelf struct {
	t    *testing.T
	path string
	db   *sql.DB
}

func newShelf(t *testing.T, name string) *shelf {
	t.Helper()
	s := &shelf{t: t, path: filepath.Join(t.TempDir(), name)}
	var err error
	if s.db, err = sql.Open("sqlite", "file:"+s.path+"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.db.Close() })
	return s
}

func (s *shelf) exec(statement string, args ...any) {
	s.t.Helper()
	if _, err := s.db.ExecContext(s.t.Context(), statement, args...); err != nil {
		s.t.Fatalf("%s: %v", statement, err)
	}
}

// rows returns the versions by their keys.
func (s *shelf) rows(ctx context.Context) (map[int]int, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT id, ver FROM item`)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // Err tells
	got := make(map[int]int)
	for rows.Next() {
		var id, ver int
		if err := rows.Scan(&id, &ver); err != nil {
			return nil, err
		}
		got[id] = ver
	}
	return got, rows.Err()
}

// equals waits until the other one holds the same.
func (s *shelf) equals(target *shelf) {
	s.t.Helper()
	eventually(s.t, "the target equals the source", func(ctx context.Context) error {
		want, err := s.rows(ctx)
		if err != nil {
			return err
		}
		got, err := target.rows(ctx)
		if err != nil {
			return err
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("(-source +target):\n%.2000s", diff)
		}
		return nil
	})
}

// partner is a webhook's receiver that can be down.
type partner struct {
	mu   sync.Mutex
	down bool
	vers map[int]bool
}

func (p *partner) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var event struct {
		Data struct{ After struct{ Ver int } }
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down || json.NewDecoder(r.Body).Decode(&event) != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	p.vers[event.Data.After.Ver] = true
}

func (p *partner) set(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
}

// misses tells the first version from 1 to n that has not come.
func (p *partner) misses(n int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for ver := 1; ver <= n; ver++ {
		if !p.vers[ver] {
			return fmt.Errorf("version %d has not come", ver)
		}
	}
	return nil
}

// TestTheLogIsPurgedWhileItRuns: what retain and every route are done with goes, and nothing else does.
func TestTheLogIsPurgedWhileItRuns(t *testing.T) {
	t.Parallel()
	src, dst, hook := newShelf(t, "shop.db"), newShelf(t, "report.db"), &partner{vers: make(map[int]bool)}
	server := httptest.NewServer(hook)
	t.Cleanup(server.Close)
	src.exec(`CREATE TABLE item (id INTEGER PRIMARY KEY, ver INTEGER NOT NULL, body TEXT)`)
	p := newProgram(t, fmt.Sprintf(`
log: {retain: 0s}
systems:
  shop: {type: sqlite, url: "sqlite:%s", capture: {manage: true, entities: {item: {table: item}}}}
  report: {type: sqlite, url: "sqlite:%s"}
  hook: {type: webhook, url: %q, allow_private: true}
rules:
  - {id: item-report, from: shop/item, to: report/item, create: true}
  - {id: item-hook, from: shop/item, to: hook/item, start: earliest, transform: [{drop: [body]}]}
`, src.path, dst.path, server.URL))
	p.start()
	p.ready()
	ver := 0
	write := func(n int) {
		for range n {
			ver++
			src.exec(`INSERT INTO item VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET ver = excluded.ver, body = excluded.body`, ver%5, ver, largeText)
		}
	}
	write(80)
	eventually(t, "the partner gets every change", func(context.Context) error { return hook.misses(ver) })
	hook.set(true)
	write(5)
	src.equals(dst)
	eventually(t, "the log is purged", func(context.Context) error {
		if log := p.system("shop").Log; log.First == 1 {
			return fmt.Errorf("it is %+v", log)
		}
		return nil
	})
	log, routes := p.system("shop").Log, p.routes()
	if held := routes["item-hook"].Cursor.Seq; log.First > held || routes["item-report"].Cursor.Seq <= held {
		t.Errorf("the log begins at %d, want it kept from %d on, where the route stands whose target is down (the other one: %d)",
			log.First, held, routes["item-report"].Cursor.Seq)
	}

	p.kill()
	p.start()
	p.answers()
	hook.set(false)
	write(1)
	src.equals(dst)
	eventually(t, "the partner gets the rest", func(context.Context) error { return hook.misses(ver) })
	p.caughtUp()
}
