package main

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	goredis "github.com/redis/go-redis/v9"

	"syncline/internal/hostile"
	"syncline/internal/ops"
	"syncline/internal/state"
	"syncline/internal/testserver"
)

// hostileTargets are the targets of the table: what is made of a value is told of dw, lite and hook; the others hold what hook is sent.
var hostileTargets = []string{"dw", "lite", "hook", "cache", "hash", "kv", "find"}

// hostileWorld is a program with every kind of source and target.
type hostileWorld struct {
	*program
	t    *testing.T
	hook *hostileHook
	src  *pgxpool.Pool
	file *sql.DB
	dw   *pgxpool.Pool
	lite string
	red  *goredis.Client
	api  *ops.Client

	mu      sync.Mutex
	listing string // what the HTTP service answers
}

// hostileHook remembers what it was sent last of each record, by path and key.
type hostileHook struct {
	*httptest.Server
	mu   sync.Mutex
	last map[string]map[string]json.RawMessage
}

func newHostileHook(t *testing.T) *hostileHook {
	h := &hostileHook{last: map[string]map[string]json.RawMessage{}}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var ev struct {
			Subject string
			Data    struct{ After map[string]json.RawMessage }
		}
		if err := json.NewDecoder(r.Body).Decode(&ev); err != nil {
			t.Errorf("an event that nobody can read: %v", err)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		of := strings.TrimPrefix(r.URL.Path, "/") + " " + ev.Subject
		record := maps.Clone(h.last[of])
		if record == nil || ev.Data.After == nil {
			record = map[string]json.RawMessage{}
		}
		maps.Copy(record, ev.Data.After) // a large value that did not change is not sent again
		h.last[of] = record
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hostileHook) of(object, key string) map[string]json.RawMessage {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last[object+" "+key]
}

// client is the same for the whole test: each has connections of its own, and one address may have so many.
func (w *hostileWorld) client() *ops.Client {
	if w.api == nil {
		w.api = w.program.client()
	}
	return w.api
}

func recordID(column string, n int) string { return fmt.Sprintf("%s.%02d", column, n) }

// hostileSources are the sources by what they hold.
var hostileSources = map[string][]string{"postgres": {"crm", "shop"}, "sqlite": {"file", "till"}, "json": {"app", "api"}}

func newHostileWorld(t *testing.T) *hostileWorld {
	pg, cache := testserver.NewPostgres(t, "fsync=off"), testserver.NewRedis(t)
	dir, srcURL, dwURL := t.TempDir(), pg.Database(t), pg.Database(t)
	w := &hostileWorld{t: t, hook: newHostileHook(t), src: connect(t, srcURL), dw: connect(t, dwURL), lite: filepath.Join(dir, "lite.db"),
		file: openSQLite(t, filepath.Join(dir, "file.db")), listing: "[]"}
	options, err := goredis.ParseURL(cache.URL())
	if err != nil {
		t.Fatal(err)
	}
	w.red = goredis.NewClient(options)
	t.Cleanup(func() { _ = w.red.Close() })

	for _, statement := range hostile.PostgresTypes {
		mustExec(t, w.src, statement)
	}
	w.fill(hostile.PostgresColumns, func(statement string) { mustExec(t, w.src, statement) })
	mustExec(t, w.src, "CREATE TABLE k (id text PRIMARY KEY, n int NOT NULL DEFAULT 0)")
	for _, key := range hostile.Keys {
		mustExec(t, w.src, "INSERT INTO k VALUES ("+key+")")
	}
	mustExec(t, w.src, `CREATE SCHEMA "Sch. ""x"""`)
	makeStrange(`"Sch. ""x""".`+strangeTable, func(statement string) { mustExec(t, w.src, statement) })
	makeStrange(strangeTable, w.write)
	w.fill(hostile.SQLiteColumns, w.write)

	api := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		out.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(out, w.listing)
	}))
	t.Cleanup(api.Close)

	var rules strings.Builder
	for _, from := range []string{"crm/v", "crm/k", "crm/strange", "shop/v", "file/v", "file/strange", "till/v", "till/strange", "app/v", "app/strange", "api/v"} {
		system, entity, _ := strings.Cut(from, "/")
		for _, target := range hostileTargets {
			more, object := "", system+"_"+entity
			if target == "dw" || target == "lite" {
				more = ", create: true"
				if entity == "strange" {
					object = strangeObject(system)
				}
			}
			if system == "app" {
				more += ", start: earliest"
			} else {
				more += ", start: full"
			}
			object = "'" + target + "/" + object + "'"
			fmt.Fprintf(&rules, "  - {id: %s-%s-%s, from: %s, to: %s, retry: {max: 1}%s}\n", system, entity, target, from, object, more)
		}
	}
	w.program = newProgram(t, fmt.Sprintf(`
systems:
  crm: {type: postgres, url: %q, capture: {manage: true, entities: {v: {table: v}, k: {table: k}, strange: {table: '"Sch. ""x""".%[2]s'}}}}
  shop: {type: postgres, url: %[1]q, capture: {mode: poll, entities: {v: {table: v, every: 1h}}}}
  file: {type: sqlite, path: %[3]q, capture: {manage: true, entities: {v: {table: v}, strange: {table: '%[2]s'}}}}
  till: {type: sqlite, path: %[3]q, capture: {mode: poll, entities: {v: {table: v, every: 1h}, strange: {table: '%[2]s', every: 1h}}}}
  app: {type: http, capture: {mode: push, entities: {v: {key: [id]}, strange: {key: [%[11]q]}}}}
  api: {type: http, url: %[4]q, allow_private: true, rate: 1000/s, max_answer: 64MiB, capture: {mode: poll, entities: {v: {path: /v, key: id, every: 1h}}}}
  dw: {type: postgres, url: %[5]q}
  lite: {type: sqlite, path: %[6]q}
  cache: {type: redis, url: %[7]q}
  hash: {type: redis, url: %[7]q, format: hash, key: "hash:{object}:{key}"}
  kv: {type: nats_kv, url: embedded}
  find: {type: search, path: %[8]q}
  hook: {type: webhook, url: %[9]q, allow_private: true}
rules:
%[10]s`, srcURL, strings.ReplaceAll(strangeTable, "'", "''"), filepath.Join(dir, "file.db"), api.URL, dwURL, w.lite, cache.URL(), filepath.Join(dir, "find"), w.hook.URL, rules.String(), strangeNames[0]))
	return w
}

// fill makes table v with the columns, and a record for each value.
func (w *hostileWorld) fill(columns []hostile.Column, exec func(string)) {
	names := []string{"id text NOT NULL PRIMARY KEY", "n int NOT NULL DEFAULT 0"}
	for _, c := range w.known(columns) {
		names = append(names, c.Name+" "+c.Type)
	}
	exec("CREATE TABLE v (" + strings.Join(names, ", ") + ")")
	for _, c := range w.known(columns) {
		for i, in := range c.Values {
			exec(fmt.Sprintf("INSERT INTO v (id, %s) VALUES ('%s', %s)", c.Name, recordID(c.Name, i), in))
		}
	}
}

// known are the columns that the server's version has values for.
func (w *hostileWorld) known(columns []hostile.Column) []hostile.Column {
	var version int
	if err := w.src.QueryRow(w.t.Context(), "SELECT current_setting('server_version_num')::int / 10000").Scan(&version); err != nil {
		w.t.Fatal(err)
	}
	return slices.DeleteFunc(slices.Clone(columns), func(c hostile.Column) bool { return c.Since > version })
}

func (w *hostileWorld) write(statement string) {
	w.t.Helper()
	if _, err := w.file.ExecContext(w.t.Context(), statement); err != nil {
		w.t.Fatalf("%.200s: %v", statement, err)
	}
}

// push sends each value as an event, and returns the codes of those that are refused, by record. What is accepted is listed by the HTTP service
// as well.
func (w *hostileWorld) push(n int) map[string]string {
	w.t.Helper()
	refused := map[string]string{}
	var list []string
	for _, c := range hostile.JSONColumns {
		for i, in := range c.Values {
			id := recordID(c.Name, i)
			record := fmt.Sprintf(`{"id":%q,"n":%d,%q:%s}`, id, n, c.Name, in)
			res, err := http.Post(w.url()+"/v1/events", "application/cloudevents+json",
				strings.NewReader(fmt.Sprintf(`{"specversion":"1.0","id":"%s %d","source":"app","type":"v.created","subject":%q,"data":%s}`, id, n, id, record)))
			if err != nil {
				w.t.Fatal(err)
			}
			var problem struct{ Code, Type string }
			if res.StatusCode != http.StatusAccepted {
				if err := json.NewDecoder(res.Body).Decode(&problem); err != nil {
					w.t.Fatal(err)
				}
				refused[id] = fmt.Sprint(res.StatusCode, " ", cmp.Or(problem.Code, problem.Type[strings.LastIndexByte(problem.Type, ':')+1:]))
			} else {
				list = append(list, record)
			}
			_ = res.Body.Close()
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.listing = "[" + strings.Join(list, ",") + "]"
	return refused
}

// sync has an entity read and waits until it is in the log.
func (w *hostileWorld) sync(system, entity, kind string) {
	w.t.Helper()
	id, err := w.client().StartSync(w.t.Context(), ops.SyncRequest{Source: system, Entity: entity, Kind: kind})
	if err != nil {
		w.t.Fatal(err)
	}
	eventually(w.t, kind+" of "+system, func(ctx context.Context) error {
		s, err := w.client().Sync(ctx, id)
		if err == nil && s.Status != state.RunDone {
			err = fmt.Errorf("it is %s %s", s.Status, s.Error)
		}
		return err
	})
}

// told waits until the hook was sent the last records of each source with n, and then until every route has caught up.
func (w *hostileWorld) told(n int, systems ...string) {
	w.t.Helper()
	for _, system := range systems {
		record := map[string]string{"crm": "nothing.00", "shop": "nothing.00", "file": "num.02", "till": "num.02", "app": "mix.06", "api": "mix.06"}[system]
		eventually(w.t, fmt.Sprintf("%s %d", system, n), func(context.Context) error {
			if got := string(w.hook.of(system+"_v", record)["n"]); got != fmt.Sprint(n) {
				return fmt.Errorf("n of %s is %s", record, got)
			}
			return nil
		})
	}
	w.caughtUp()
}
