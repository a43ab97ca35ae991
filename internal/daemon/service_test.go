package daemon

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"syncline"
	"syncline/internal/config"
	"syncline/internal/ops"
	"syncline/internal/state"
)

// store is a service with articles in two pages, by cursor, which wants a token.
type store struct {
	*httptest.Server
	mu       sync.Mutex
	articles map[string]string
	order    []string
	broken   bool
}

const canary = "canary-e5c1"

func newStore(t *testing.T) *store {
	s := &store{articles: map[string]string{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *store) put(id, price, at string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.articles[id]; !known {
		s.order = append(s.order, id)
	}
	s.articles[id] = fmt.Sprintf(`{"id": %q, "price": %s, "changed": %q}`, id, price, at)
}

func (s *store) remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.articles, id)
}

func (s *store) breaks(b bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = b
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Header.Get("X-Api-Key") != canary {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if id, one := strings.CutPrefix(r.URL.Path, "/v1/articles/"); one {
		if a, ok := s.articles[id]; ok {
			fmt.Fprint(w, a)
			return
		}
		http.NotFound(w, r)
		return
	}
	if s.broken {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<html>"+canary)
		return
	}
	var list []string
	for _, id := range s.order {
		var a struct{ Changed string }
		if text, ok := s.articles[id]; ok && json.Unmarshal([]byte(text), &a) == nil && a.Changed >= r.URL.Query().Get("since") {
			list = append(list, text)
		}
	}
	next, half := "null", len(list)/2
	switch {
	case r.URL.Query().Get("cursor") == "second":
		list = list[half:]
	case half > 0:
		list, next = list[:half], `"second"`
	}
	fmt.Fprintf(w, `{"data": {"list": [%s]}, "next": %s}`, strings.Join(list, ","), next)
}

// TestAPolledService: its records reach a table, what changes and what goes too, and what says who asks is shown nowhere.
func TestAPolledService(t *testing.T) {
	ctx, dir, s := t.Context(), t.TempDir(), newStore(t)
	t.Setenv("STORE_KEY", canary)
	s.put("a", "1.50", "2026-03-01T00:00:00Z")
	s.put("b", "123456789012345678901234567890.12", "2026-03-01T00:00:01Z")
	s.put("c", "3", "2026-03-01T00:00:02Z")
	configuration := `
version: 1
log: {dir: "$DIR/log"}
state: {url: "sqlite:$DIR/state.db"}
http: {listen: "127.0.0.1:0"}
systems:
  store:
    type: http
    url: "` + s.URL + `/v1"
    allow_private: true
    auth: {header: {X-Api-Key: "${STORE_KEY}"}}
    rate: 1000/s
    capture:
      mode: poll
      entities:
        article:
          path: /articles
          query: {since: "{watermark}", api_key: "${STORE_KEY}"}
          records: data.list
          key: id
          watermark: changed
          overlap: 1s
          page: {by: cursor, param: cursor, next: next}
          get: /articles/{key}
          every: 1h
  dw: {type: sqlite, url: "sqlite:$DIR/dw.db"}
rules:
  - {id: r, from: store/article, to: dw/article, create: true}
`
	c := load(t, dir, configuration)
	shown, err := json.Marshal(c)
	if err != nil || bytes.Contains(shown, []byte(canary)) || strings.Contains(fmt.Sprintf("%+v %v", c.Systems[0].Service, c.Systems[0].Capture.Entities[0].Listing.Query[1]), canary) {
		t.Errorf("the configuration shows a secret: %s, %v", shown, err)
	}
	for _, f := range Check(ctx, c) {
		if f.System == "store" && f.Level != "ok" {
			t.Errorf("Check: %+v", f)
		}
	}
	var logged syncWriter
	d, err := Open(ctx, Options{Config: c, Logger: slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, d)
	db := database(t, filepath.Join(dir, "dw.db"))
	rows := func(want string) {
		t.Helper()
		got := ""
		eventually(t, "the table has "+want, func() bool {
			err := db.QueryRowContext(ctx, "SELECT coalesce(group_concat(id || ' ' || price, ', '), '') FROM (SELECT id, price FROM article ORDER BY id)").Scan(&got)
			return err == nil && got == want
		})
	}
	rows("a 1.50, b 123456789012345678901234567890.12, c 3")

	client, err := ops.NewClient("http://" + d.Addr())
	if err != nil {
		t.Fatal(err)
	}
	ask := func(req ops.SyncRequest, status, reason string) {
		t.Helper()
		req.Source, req.Entity = "store", "article"
		id, err := client.StartSync(ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the run ends", func() bool {
			list, _, err := d.Engine().Syncs(ctx, "", 100)
			if err != nil {
				t.Fatal(err)
			}
			for _, one := range list {
				if one.ID == id && one.Status != state.RunRequested && one.Status != state.RunRunning {
					if one.Status != status || !strings.HasPrefix(one.Error, reason) || strings.Contains(one.Error, canary) {
						t.Errorf("run %+v, want %s %s", one, status, reason)
					}
					return true
				}
			}
			return false
		})
	}
	s.put("a", "2.5", "2026-03-01T00:01:00Z")
	s.put("d", "4", "2026-03-01T00:01:00Z")
	s.remove("c")
	s.breaks(true)
	ask(ops.SyncRequest{Kind: "incremental"}, state.RunFailed, "api_answer_bad: ")
	s.breaks(false)
	ask(ops.SyncRequest{Kind: "incremental"}, state.RunDone, "")
	rows("a 2.5, b 123456789012345678901234567890.12, c 3, d 4")
	ask(ops.SyncRequest{Kind: "sweep"}, state.RunDone, "")
	rows("a 2.5, b 123456789012345678901234567890.12, d 4")

	exec(t, db, "DELETE FROM article WHERE id = 'b'")
	exec(t, db, "UPDATE article SET price = 0 WHERE id = 'a'")
	ask(ops.SyncRequest{Keys: []string{"a", "b"}}, state.RunDone, "")
	rows("a 2.5, b 123456789012345678901234567890.12, d 4")
	ask(ops.SyncRequest{}, state.RunDone, "")
	rows("a 2.5, b 123456789012345678901234567890.12, d 4")
	// What somebody does at the target is found and put right, through the service.
	exec(t, db, "UPDATE article SET price = 7 WHERE id = 'a'")
	exec(t, db, "DELETE FROM article WHERE id = 'd'")
	exec(t, db, "INSERT INTO article (id, price) VALUES ('x', 1)")
	v := verified(t, d, ops.VerificationRequest{Repair: "auto", MaxRepair: "10"})
	if v.Total.Equal != 1 || v.Total.Missing != 1 || v.Total.Extra != 1 || v.Total.Different != 1 || v.Total.Repaired != 3 {
		t.Errorf("the verification found %s", verdictIn(t, d, &v))
	}
	rows("a 2.5, b 123456789012345678901234567890.12, d 4")
	stop()
	closeDaemon(t, d)
	if strings.Contains(logged.String(), canary) {
		t.Errorf("the log shows a secret:\n%s", logged.String())
	}
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte(canary)) {
			t.Errorf("%s has a secret in it", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}

	// A token that does not hold any more halts the system, and says what to do.
	t.Setenv("STORE_KEY", "another")
	d = open(t, load(t, dir, configuration))
	defer closeDaemon(t, d)
	defer run(t, d)()
	if client, err = ops.NewClient("http://" + d.Addr()); err != nil {
		t.Fatal(err)
	}
	if _, err := client.StartSync(ctx, ops.SyncRequest{Source: "store", Entity: "article", Kind: "incremental"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the system is halted", func() bool {
		st := d.source("store").capture.Status()
		return st.State == "halted" && syncline.CodeOf(st.Err) == "api_refused"
	})
}

// TestAServiceIsAskedByItself: an entity is polled and swept as it says, with nobody asking for it.
func TestAServiceIsAskedByItself(t *testing.T) {
	ctx, dir, s := t.Context(), t.TempDir(), newStore(t)
	t.Setenv("STORE_KEY", canary)
	s.put("a", "1", "2026-03-01T00:00:00Z")
	s.put("b", "2", "2026-03-01T00:00:00Z")
	running(t, load(t, dir, head+`
log: {dir: "$DIR/log"}
state: {url: "sqlite:$DIR/state.db"}
systems:
  store:
    type: http
    url: "`+s.URL+`/v1"
    allow_private: true
    auth: {header: {X-Api-Key: "${STORE_KEY}"}}
    rate: 1000/s
    capture:
      mode: poll
      entities:
        article: {path: /articles, query: {since: "{watermark}"}, records: data.list, key: id, watermark: changed, page: {by: cursor, param: cursor, next: next}, every: 1s, sweep: 1s}
  dw: {type: sqlite, url: "sqlite:$DIR/dw.db"}
rules:
  - {id: r, from: store/article, to: dw/article, create: true}
`))
	db := database(t, filepath.Join(dir, "dw.db"))
	rows := func(want string) {
		t.Helper()
		eventually(t, "the table has "+want, func() bool {
			got := ""
			err := db.QueryRowContext(ctx, "SELECT group_concat(id || price, ' ') FROM (SELECT id, price FROM article ORDER BY id)").Scan(&got)
			return err == nil && got == want
		})
	}
	rows("a1 b2")
	s.put("a", "3", "2026-03-01T00:01:00Z")
	s.put("c", "4", "2026-03-01T00:01:00Z")
	s.remove("b")
	rows("a3 c4")
}

// TestAPolledServiceFollowsItsConfiguration: another token, another entity and another request count from the moment they are applied on.
func TestAPolledServiceFollowsItsConfiguration(t *testing.T) {
	ctx, dir, s := t.Context(), t.TempDir(), newStore(t)
	t.Setenv("STORE_KEY", canary)
	t.Setenv("OLD_KEY", "old")
	s.put("a", "1", "2026-03-01T00:00:00Z")
	s.put("b", "2", "2026-03-01T00:00:01Z")
	text := func(key, entities, rules string) string {
		return head + `
systems:
  store:
    type: http
    url: "` + s.URL + `/v1"
    allow_private: true
    auth: {header: {X-Api-Key: "${` + key + `}"}}
    rate: 1000/s
    capture: {mode: poll, entities: {` + entities + `}}
  dw: {type: sqlite, url: "sqlite:dw.db"}
rules:` + rules
	}
	const (
		article = `article: {path: /articles, query: {since: "{watermark}"}, records: data.list, key: id, watermark: changed, page: {by: cursor, param: cursor, next: next}, every: 1h}`
		price   = `, price: {path: /articles, records: data.list, key: id, page: {by: cursor, param: cursor, next: next}, every: 1h}`
		rule    = "\n  - {id: r, from: store/article, to: dw/article, create: true}"
		second  = "\n  - {id: p, from: store/price, to: dw/price, create: true}"
	)
	first := text("OLD_KEY", article, rule)
	d, err := Open(ctx, Options{Config: read(t, dir, first), Files: []config.File{{Name: "syncline.yaml", Text: []byte(first)}}, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer closeDaemon(t, d)
	defer run(t, d)()
	eventually(t, "the old token halts the system", func() bool { return syncline.CodeOf(d.source("store").capture.Status().Err) == "api_refused" })

	apply := func(text string) {
		t.Helper()
		if _, err := d.Apply(ctx, Application{By: "test", Files: []config.File{{Name: "syncline.yaml", Text: []byte(text)}}}); err != nil {
			t.Fatal(err)
		}
	}
	count := func(table string, want int) {
		t.Helper()
		db := database(t, filepath.Join(dir, "dw.db"))
		eventually(t, fmt.Sprintf("%s has %d records", table, want), func() bool {
			n := 0
			return db.QueryRowContext(ctx, "SELECT count(*) FROM "+table).Scan(&n) == nil && n == want
		})
	}
	apply(text("STORE_KEY", article, rule))
	count("article", 2)
	apply(text("STORE_KEY", article+price, rule+second))
	count("price", 2)
	s.put("c", "3", "2026-03-01T00:00:02Z")
	for _, entity := range []string{"article", "price"} {
		if _, err := d.Engine().StartSync(ctx, ops.SyncRequest{Source: "store", Entity: entity, Kind: "incremental"}); err != nil {
			t.Fatal(err)
		}
	}
	count("article", 3)
	count("price", 3)
	clients := func() int { d.mu.Lock(); defer d.mu.Unlock(); return len(d.services) }
	if n := clients(); n != 1 {
		t.Errorf("there are %d clients, want that of the one service", n)
	}
	apply(head + `
systems:
  shop: {type: http, capture: {mode: push, entities: {sale: {key: [id]}}}}
  dw: {type: sqlite, url: "sqlite:dw.db"}
rules:
  - {id: s, from: shop/sale, to: dw/sale, create: true}`)
	if n := clients(); n != 0 {
		t.Errorf("%d clients are left of a service that is gone", n)
	}
}

// syncWriter is a buffer for several goroutines.
type syncWriter struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *syncWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *syncWriter) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}
