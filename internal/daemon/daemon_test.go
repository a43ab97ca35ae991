package daemon

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
	"syncline/internal/config"
	"syncline/internal/verify"
)

// head is the beginning of every configuration here: the API listens on any port.
const head = "version: 1\nhttp: {listen: \"127.0.0.1:0\"}\n"

func open(t *testing.T, c *config.Config) *Daemon {
	t.Helper()
	d, err := Open(t.Context(), Options{Config: c})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// run runs the daemon and returns what stops it and waits for its end.
func run(t *testing.T, d *Daemon) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1) // Run's one word
	go func() { done <- d.Run(ctx) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	}
}

func closeDaemon(t *testing.T, d *Daemon) {
	t.Helper()
	if err := d.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
}

func database(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func exec(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// TestEveryTypeHasItsConnector: what a configuration may name can be made, and nothing else.
func TestEveryTypeHasItsConnector(t *testing.T) {
	for _, typ := range []config.Type{config.TypePostgres, config.TypeSQLite, config.TypeHTTP, config.TypeRedis, config.TypeNATSKV, config.TypeSearch,
		config.TypeWebhook} {
		c := connectors[typ]
		if source, target := c.source != nil, c.target != nil; source != typ.CanCapture() || target != typ.CanApply() {
			t.Errorf("%s: source %t, target %t, the configuration takes %t and %t", typ, source, target, typ.CanCapture(), typ.CanApply())
		}
	}
	dir := t.TempDir()
	exec(t, database(t, filepath.Join(dir, "shop.db")), `CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)`)
	d := open(t, load(t, dir, head+`
systems:
  crm: {type: postgres, url: "postgres://u@127.0.0.1:1/db", capture: {entities: {lead: {table: lead}}}}
  shop: {type: sqlite, url: "sqlite:$DIR/shop.db", capture: {manage: true, entities: {item: {table: item}}}}
  pos: {type: http, capture: {mode: push, entities: {sale: {key: [id]}}}}
  dw: {type: postgres, url: "postgres://u@127.0.0.1:1/dw"}
  report: {type: sqlite, url: "sqlite:$DIR/report.db"}
  cache: {type: redis, url: "redis://127.0.0.1:1/0"}
  kv: {type: nats_kv}
  find: {type: search, path: $DIR/index}
  hook: {type: webhook, url: "http://127.0.0.1:1", allow_private: true}
rules:
  - {id: lead-dw, from: crm/lead, to: dw/lead}
  - {id: item-report, from: shop/item, to: report/item, create: true}
  - {id: item-cache, from: shop/item, to: cache/item}
  - {id: item-kv, from: shop/item, to: kv/item}
  - {id: sale-find, from: pos/sale, to: find/sale}
  - {id: item-hook, from: shop/item, to: hook/item}
`))
	defer closeDaemon(t, d)
	for _, r := range d.set().routes {
		target, err := r.open(t.Context())
		if err == nil {
			err = target.Close()
		}
		down := r.target.Name == "dw" || r.target.Name == "cache" // nobody listens there
		if err != nil && (!down || syncline.ClassOf(err) != syncline.Transient) {
			t.Errorf("target of %s: %v", r.id, err)
		}
	}
}

// TestRoutesOfRules: a group is one route, several sources make one each, and rules that share an object are guarded.
func TestRoutesOfRules(t *testing.T) {
	d := open(t, load(t, t.TempDir(), head+`
systems:
  a: {type: http, capture: {mode: push, entities: {x: {key: [id]}, y: {key: [id]}}}}
  b: {type: http, capture: {mode: push, entities: {x: {key: [id]}}}}
  report: {type: sqlite, url: "sqlite:$DIR/report.db"}
  hook: {type: webhook, url: "http://127.0.0.1:1", allow_private: true}
rules:
  - {id: one, group: together, from: a/x, to: report/x, create: true}
  - {id: two, group: together, from: a/y, to: report/y, create: true}
  - {id: both, from: [a/x, b/x], to: hook/x}
  - {id: off, from: a/x, to: hook/y, enabled: false}
`))
	defer closeDaemon(t, d)
	var got []string
	for _, r := range d.set().routes {
		var rules []string
		for _, c := range r.compiled {
			rules = append(rules, c.ID+":"+c.Entity)
		}
		got = append(got, fmt.Sprintf("%s of %s to %s: %s", r.id, r.source.system.Name, r.target.Name, strings.Join(rules, " ")))
	}
	want := []string{"together of a to report: one:x two:y", "both@a of a to hook: both/x:x", "both@b of b to hook: both/x:x"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
	if n := quota(d.set().config); n != d.set().config.Log.MaxBytes/2 {
		t.Errorf("each of two sources has %d bytes of %d", n, d.set().config.Log.MaxBytes)
	}
	routes, err := d.Engine().Routes(t.Context())
	if err != nil || len(routes) != 4 || routes[3].ID != "off" || routes[3].State != "disabled" {
		t.Errorf("Routes = %+v, %v, want the disabled rule at their end", routes, err)
	}
}

// TestASecondInstanceIsRefused: it touches nothing, and the first one goes on.
func TestASecondInstanceIsRefused(t *testing.T) {
	t.Parallel()
	c := load(t, t.TempDir(), pushed)
	first := open(t, c)
	_, err := Open(t.Context(), Options{Config: c})
	if syncline.CodeOf(err) != "log_locked" || syncline.ClassOf(err) != syncline.Fatal || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("the second Open = %v, want a fatal log_locked with our pid", err)
	}
	stop := run(t, first)
	accept(t, first, 1)
	stop()
	closeDaemon(t, first)
	closeDaemon(t, open(t, c))
}

const pushed = head + `
systems:
  pos: {type: http, capture: {mode: push, entities: {sale: {key: [id]}}}}
  report: {type: sqlite, url: "sqlite:$DIR/report.db"}
rules:
  - {id: sales, from: pos/sale, to: report/sale, create: true}
`

// pushEvent sends an event and reports whether it was accepted.
func pushEvent(ctx context.Context, d *Daemon, id int64) bool {
	body := fmt.Sprintf(`{"specversion":"1.0","id":"%d","source":"pos","type":"sale.created","subject":"%[1]d","data":{"id":%[1]d}}`, id)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+d.Addr()+"/v1/events", strings.NewReader(body))
	if err != nil {
		return false
	}
	req.Header.Set("Content-Type", "application/cloudevents+json")
	res, err := http.DefaultClient.Do(req)
	return err == nil && res.Body.Close() == nil && res.StatusCode == http.StatusAccepted
}

func accept(t *testing.T, d *Daemon, id int64) {
	t.Helper()
	eventually(t, "an event is accepted", func() bool { return pushEvent(t.Context(), d, id) })
}

// TestAStopUnderLoadLosesNothing: whatever was accepted while the daemon drains is at the target after the next start.
func TestAStopUnderLoadLosesNothing(t *testing.T) {
	dir := t.TempDir()
	c := load(t, dir, pushed)
	d := open(t, c)
	stop := run(t, d)
	accept(t, d, 1)
	var next atomic.Int64
	next.Store(1)
	accepted := []map[int64]bool{{1: true}, {}, {}}
	ctx, hangUp := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for i := range accepted {
		clients.Go(func() {
			for ctx.Err() == nil {
				if id := next.Add(1); pushEvent(ctx, d, id) {
					accepted[i][id] = true
				}
			}
		})
	}
	eventually(t, "events arrive", func() bool { return next.Load() > 100 })
	stop()
	hangUp()
	clients.Wait()
	if pushEvent(t.Context(), d, 1_000_000_000) {
		t.Error("an event was accepted after the end")
	}
	closeDaemon(t, d)

	d = open(t, c)
	stop = run(t, d)
	accept(t, d, 1_000_000_001) // it has begun
	db := database(t, filepath.Join(dir, "report.db"))
	eventually(t, "every accepted event is at the target", func() bool {
		have := map[int64]bool{}
		rows, err := db.QueryContext(t.Context(), `SELECT id FROM sale`)
		if err != nil {
			return false
		}
		defer rows.Close()
		for rows.Next() {
			var id int64
			if rows.Scan(&id) == nil {
				have[id] = true
			}
		}
		for _, ids := range accepted {
			for id := range ids {
				if !have[id] {
					return false
				}
			}
		}
		return rows.Err() == nil
	})
	stop()
	closeDaemon(t, d)
}

// TestCompareFindsWhatDiffers reads both sides of a route at rest.
func TestCompareFindsWhatDiffers(t *testing.T) {
	dir := t.TempDir()
	src, dst := database(t, filepath.Join(dir, "shop.db")), database(t, filepath.Join(dir, "report.db"))
	exec(t, src, `CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)`)
	exec(t, src, `INSERT INTO item VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'not wanted')`)
	d := open(t, load(t, dir, head+`
systems:
  shop: {type: sqlite, url: "sqlite:$DIR/shop.db", capture: {manage: true, entities: {item: {table: item}}}}
  report: {type: sqlite, url: "sqlite:$DIR/report.db"}
  hook: {type: webhook, url: "http://127.0.0.1:1", allow_private: true}
rules:
  - {id: items, from: shop/item, to: report/item, create: true, when: 'after.id != 4', transform: [{set: {name: 'upper(after.name)'}}]}
  - {id: told, from: shop/item, to: hook/item}
`))
	defer closeDaemon(t, d)
	stop := run(t, d)
	eventually(t, "the first copy is there", func() bool {
		var n int
		return dst.QueryRowContext(t.Context(), `SELECT count(*) FROM item`).Scan(&n) == nil && n == 3
	})
	stop()
	compare := func(want verify.Result) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		got, err := d.Compare(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		// A webhook cannot be read, and nobody else told what it got.
		if diff := cmp.Diff([]Comparison{{Route: "items", Rule: "items", Target: "report/item", Result: want}}, got); diff != "" {
			t.Errorf("Compare (-want +got):\n%s", diff)
		}
	}
	compare(verify.Result{Source: 3, Target: 3})
	exec(t, dst, `UPDATE item SET name = 'other' WHERE id = 1`)
	exec(t, dst, `DELETE FROM item WHERE id = 2`)
	exec(t, dst, `INSERT INTO item VALUES (9, 'X')`)
	compare(verify.Result{Source: 3, Target: 3, Missing: 1, Extra: 1, Different: 1, Samples: []verify.Sample{
		{Key: "1", Kind: "different", Fields: []string{"name"}}, {Key: "2", Kind: "missing"}, {Key: "9", Kind: "extra"}}})
}

// running opens a daemon that runs until the test ends, and must end cleanly.
func running(t *testing.T, c *config.Config) *Daemon {
	t.Helper()
	d, _ := runningUntil(t, c)
	return d
}

// runningUntil runs the daemon until the test ends, or stop is called.
func runningUntil(t *testing.T, c *config.Config) (d *Daemon, stop func()) {
	t.Helper()
	d, err := Open(t.Context(), Options{Config: c})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1) // Run's one word
	go func() { ran <- d.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return d, stop
}

// TestAStopDuringTheStart is a clean one.
func TestAStopDuringTheStart(t *testing.T) {
	t.Parallel()
	d := open(t, load(t, t.TempDir(), pushed))
	defer closeDaemon(t, d)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := d.Run(ctx); err != nil {
		t.Errorf("Run = %v", err)
	}
}
