package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"
	goredis "github.com/redis/go-redis/v9"

	"syncline/internal/hostile"
	"syncline/internal/ops"
	"syncline/internal/state"
	"syncline/internal/testserver"
)

var updateHostile = flag.Bool("update", false, "rewrite what becomes of hostile values")

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

func recordID(column string, n int) string { return fmt.Sprintf("%s.%02d", column, n) }

// hostileSources are the sources by what they hold.
var hostileSources = map[string][]string{"postgres": {"crm", "shop"}, "sqlite": {"file", "till"}, "json": {"app", "api"}}

// strange is a table with names that have to be quoted everywhere.
const (
	strangeTable   = `"Sch. ""x"""."T; DROP TABLE v; --' ü"`
	strangeColumns = `"Order ""No"" 'x'" int PRIMARY KEY, "select" text, "UPPER" text, "a.b" text, "a,b" text, "%s" text, "$1" text, "?" text, "ключ" text, "tab	" text,
		"_id" text, "_key" text, "{key}" text, "a;b" text, "back\slash" text, "` + strange63 + `" text`
	strange63 = "x123456789x123456789x123456789x123456789x123456789x123456789xyz"
)

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
	mustExec(t, w.src, "CREATE TABLE "+strangeTable+" ("+strangeColumns+")")
	mustExec(t, w.src, "INSERT INTO "+strangeTable+` VALUES (1, 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o')`)
	w.fill(hostile.SQLiteColumns, w.write)

	api := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		out.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(out, w.listing)
	}))
	t.Cleanup(api.Close)

	var rules strings.Builder
	for _, from := range []string{"crm/v", "crm/k", "crm/strange", "shop/v", "file/v", "till/v", "app/v", "api/v"} {
		system, entity, _ := strings.Cut(from, "/")
		for _, target := range hostileTargets {
			more, object := "", system+"_"+entity
			if target == "dw" || target == "lite" {
				more = ", create: true"
				if entity == "strange" {
					object = `'"o; DROP TABLE crm_v; --"" ü"'`
				}
			}
			if system == "app" {
				more += ", start: earliest"
			} else {
				more += ", start: full"
			}
			if entity == "strange" && more != "" && strings.HasPrefix(object, "'") {
				object = "'" + target + "/" + strings.Trim(object, "'") + "'"
			} else {
				object = target + "/" + object
			}
			fmt.Fprintf(&rules, "  - {id: %s-%s-%s, from: %s, to: %s, retry: {max: 1}%s}\n", system, entity, target, from, object, more)
		}
	}
	w.program = newProgram(t, fmt.Sprintf(`
systems:
  crm: {type: postgres, url: %q, capture: {manage: true, entities: {v: {table: v}, k: {table: k}, strange: {table: '%s'}}}}
  shop: {type: postgres, url: %[1]q, capture: {mode: poll, entities: {v: {table: v, every: 1h}}}}
  file: {type: sqlite, path: %[3]q, capture: {manage: true, entities: {v: {table: v}}}}
  till: {type: sqlite, path: %[3]q, capture: {mode: poll, entities: {v: {table: v, every: 1h}}}}
  app: {type: http, capture: {mode: push, entities: {v: {key: [id]}}}}
  api: {type: http, url: %[4]q, allow_private: true, rate: 1000/s, max_answer: 64MiB, capture: {mode: poll, entities: {v: {path: /v, key: id, every: 1h}}}}
  dw: {type: postgres, url: %[5]q}
  lite: {type: sqlite, path: %[6]q}
  cache: {type: redis, url: %[7]q}
  hash: {type: redis, url: %[7]q, format: hash, key: "hash:{object}:{key}"}
  kv: {type: nats_kv, url: embedded}
  find: {type: search, path: %[8]q}
  hook: {type: webhook, url: %[9]q, allow_private: true}
rules:
%[10]s`, srcURL, strings.ReplaceAll(strangeTable, "'", "''"), filepath.Join(dir, "file.db"), api.URL, dwURL, w.lite, cache.URL(), filepath.Join(dir, "find"), w.hook.URL, rules.String()))
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

// parked returns the codes of failed tasks by route and key.
func (w *hostileWorld) parked() map[string]map[string]string {
	w.t.Helper()
	out := map[string]map[string]string{}
	tasks, err := w.client().TaskPages(w.t.Context(), ops.TaskQuery{Choice: ops.Choice{Status: state.TaskFailed}})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, task := range tasks.Items {
		if out[task.Route] == nil {
			out[task.Route] = map[string]string{}
		}
		out[task.Route][task.Key] = task.Code
	}
	return out
}

// verify compares every rule whose target can be read: nothing may differ but what is parked.
func (w *hostileWorld) verify(stage string) {
	w.t.Helper()
	v, err := w.client().StartVerification(w.t.Context(), ops.VerificationRequest{})
	if err != nil {
		w.t.Fatal(err)
	}
	v = w.ended(v.ID)
	parked := w.parked()
	for _, p := range v.Parts {
		if strings.HasSuffix(p.Rule, "-hook") || strings.HasPrefix(p.Rule, "app-") { // nobody can read them
			continue
		}
		if p.Error != "" || p.Differences() != 0 || p.Unsettled != 0 || p.Parked+p.Held != int64(len(parked[p.Route])) {
			w.t.Errorf("%s: verify of %s = %s %+v, %d are parked", stage, p.Rule, p.Error, p.Tally, len(parked[p.Route]))
		}
	}
	list, err := w.client().Differences(w.t.Context(), v.ID, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, d := range list[:min(len(list), 40)] {
		w.t.Errorf("%s: %s of %.60s %s %v", stage, d.Rule, d.Key, d.Kind, d.Fields)
	}
}

// outcomes tells what became of each value of a source, one paragraph for each.
func (w *hostileWorld) outcomes(system string, columns []hostile.Column, refused map[string]string) string {
	w.t.Helper()
	lite, err := sql.Open("sqlite", "file:"+w.lite+"?mode=ro")
	if err != nil {
		w.t.Fatal(err)
	}
	defer lite.Close() //nolint:errcheck // it was only read
	parked := w.parked()
	var out strings.Builder
	for _, c := range w.known(columns) {
		for i, in := range c.Values {
			id, object := recordID(c.Name, i), system+"_v"
			fmt.Fprintf(&out, "%s %s\n", id, brief(in))
			if refused[id] != "" {
				fmt.Fprintf(&out, "    refused   %s\n", refused[id])
				continue
			}
			holds := func(target, value string, err error) string {
				if code := parked[system+"-v-"+target][id]; code != "" {
					return "parked " + code
				}
				if err != nil {
					return err.Error()
				}
				return value
			}
			var text, stored string
			err := w.dw.QueryRow(w.t.Context(), fmt.Sprintf("SELECT coalesce(%q::text, 'NULL') FROM %s WHERE id = $1", c.Name, object), id).Scan(&text)
			fmt.Fprintf(&out, "    postgres  %s\n", brief(holds("dw", text, err)))
			err = lite.QueryRowContext(w.t.Context(), fmt.Sprintf("SELECT typeof(%q) || ' ' || CASE WHEN typeof(%[1]q) = 'text' AND instr(%[1]q, char(0)) = 0 THEN %[1]q ELSE iif(typeof(%[1]q) IN ('text', 'blob'), hex(%[1]q), quote(%[1]q)) END FROM %[2]s WHERE id = ?",
				c.Name, object), id).Scan(&stored)
			fmt.Fprintf(&out, "    sqlite    %s\n", brief(holds("lite", stored, err)))
			document := holds("hook", string(w.hook.of(object, id)[c.Name]), nil)
			fmt.Fprintf(&out, "    document  %s\n", brief(document))
			// The other targets hold the document; those that cannot be looked into are compared by verify.
			var members map[string]json.RawMessage
			whole, err := w.red.Get(w.t.Context(), object+":"+id).Bytes()
			if err == nil {
				err = json.Unmarshal(whole, &members)
			}
			if got := holds("cache", string(members[c.Name]), err); got != document {
				fmt.Fprintf(&out, "    redis     %s\n", brief(got))
			}
			for _, target := range []string{"hash", "kv", "find"} {
				got := holds(target, "", nil)
				if is := strings.HasPrefix(document, "parked "); is && got != document || !is && got != "" {
					fmt.Fprintf(&out, "    %-9s %s\n", target, cmp.Or(got, "held"))
				}
			}
		}
	}
	return out.String()
}

// brief keeps a text on a line.
func brief(s string) string {
	if len(s) > 160 {
		n := 60
		for !utf8.RuneStart(s[n]) {
			n--
		}
		s = fmt.Sprintf("%s… (%d bytes, %x)", s[:n], len(s), sha256.Sum256([]byte(s)))[:n+40]
	}
	s = fmt.Sprintf("%q", s)
	return strings.ReplaceAll(s[1:len(s)-1], `\"`, `"`)
}

// TestHostileValues: what is hard to hold comes to every target from every source as it is, whichever way it comes; what a target cannot hold waits
// there with a code, and says so each time. Nothing is different in silence.
func TestHostileValues(t *testing.T) {
	t.Parallel()
	w := newHostileWorld(t)
	w.start()
	w.answers()
	eventually(t, "events are taken", func(ctx context.Context) error {
		list, err := w.client().Systems(ctx)
		for _, s := range list {
			if s.Name == "app" && s.State != "running" {
				err = errors.New(s.State)
			}
		}
		return err
	})
	refused := w.push(0)
	w.sync("api", "v", "incremental")
	tables := map[string][]hostile.Column{"postgres": hostile.PostgresColumns, "sqlite": hostile.SQLiteColumns, "json": hostile.JSONColumns}
	check := func(stage string) {
		t.Helper()
		for _, kind := range slices.Sorted(maps.Keys(tables)) {
			path := filepath.Join("../../internal/hostile/testdata", kind+".txt")
			for _, system := range hostileSources[kind] {
				if *updateHostile && stage == "copied" && system == hostileSources[kind][0] {
					if err := os.WriteFile(path, []byte(w.outcomes(system, tables[kind], refused)), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				lines := strings.Split(w.since(string(want), tables[kind]), "\n")
				eventually(t, stage+", from "+system, func(context.Context) error {
					if diff := gocmp.Diff(lines, strings.Split(w.outcomes(system, tables[kind], refused), "\n")); diff != "" {
						return fmt.Errorf("(-%s +got):\n%s", path, diff)
					}
					return nil
				})
			}
		}
		w.verify(stage)
	}
	w.ready()
	w.told(0, "crm", "shop", "file", "till", "app", "api")
	check("copied")
	w.keys(0)

	mustExec(t, w.src, "UPDATE v SET n = 1")
	mustExec(t, w.src, "UPDATE k SET n = 1")
	w.write("UPDATE v SET n = 1")
	w.push(1)
	w.sync("shop", "v", "incremental")
	w.sync("till", "v", "incremental")
	w.sync("api", "v", "incremental")
	w.told(1, "crm", "shop", "file", "till", "app", "api")
	check("changed and polled")
	w.keys(1)

	// A run reads all again, over targets that have lost it.
	mustExec(t, w.dw, "DELETE FROM crm_v")
	mustExec(t, w.dw, "DELETE FROM file_v")
	for _, system := range []string{"crm", "file"} {
		w.sync(system, "v", "full")
	}
	w.caughtUp()
	check("read again")

	mustExec(t, w.src, "DELETE FROM k")
	eventually(t, "the keys are gone", func(ctx context.Context) error {
		var n int
		err := w.dw.QueryRow(ctx, "SELECT count(*) FROM crm_k").Scan(&n)
		if err == nil && n > 0 {
			err = fmt.Errorf("%d are left", n)
		}
		return err
	})
	w.caughtUp()
	if keys, err := w.red.Keys(t.Context(), "*crm_k:*").Result(); err != nil || len(keys) > 0 {
		t.Errorf("the cache still has %.200q, %v", keys, err)
	}
	if err := w.stop(); err != nil {
		t.Errorf("stop = %v, want a clean exit", err)
	}
}

// since leaves out what the server's version has no values for.
func (w *hostileWorld) since(text string, columns []hostile.Column) string {
	for _, c := range columns {
		if !slices.ContainsFunc(w.known(columns), func(k hostile.Column) bool { return k.Name == c.Name }) {
			var kept []string
			skip := false
			for _, line := range strings.SplitAfter(text, "\n") {
				if !strings.HasPrefix(line, " ") {
					skip = strings.HasPrefix(line, c.Name+".")
				}
				if !skip {
					kept = append(kept, line)
				}
			}
			text = strings.Join(kept, "")
		}
	}
	return text
}

// keys compares the records with strange keys, and the one with strange names, by what PostgreSQL and Redis hold of them.
func (w *hostileWorld) keys(n int) {
	w.t.Helper()
	want, err := table(w.t.Context(), w.src, "id, n", "k")
	if err != nil {
		w.t.Fatal(err)
	}
	got, err := table(w.t.Context(), w.dw, "id, n", "crm_k")
	if diff := gocmp.Diff(want, got); diff != "" || err != nil {
		w.t.Errorf("keys at PostgreSQL, %v (-source +target):\n%s", err, diff)
	}
	names, err := w.red.Keys(w.t.Context(), "crm_k:*").Result()
	if err != nil || len(names) != len(hostile.Keys) {
		w.t.Errorf("the cache has %d keys, %v, want %d", len(names), err, len(hostile.Keys))
	}
	held := map[string]bool{}
	for _, name := range names {
		text, err := w.red.Get(w.t.Context(), name).Bytes()
		var record struct {
			ID string
			N  int
		}
		if err = errors.Join(err, json.Unmarshal(text, &record)); err != nil || record.N != n {
			w.t.Errorf("the record of %.60q is %.100s, %v", name, text, err)
		}
		held[record.ID] = true
	}
	ids, err := table(w.t.Context(), w.src, "md5(id)", "k")
	if err != nil || len(held) != len(ids) {
		w.t.Errorf("the cache has %d records, %v, want %d", len(held), err, len(ids))
	}
	one, err := table(w.t.Context(), w.src, "t::text", strangeTable+" t")
	if err != nil {
		w.t.Fatal(err)
	}
	two, err := table(w.t.Context(), w.dw, "t::text", `"o; DROP TABLE crm_v; --"" ü" t`)
	if diff := gocmp.Diff(one, two); diff != "" || err != nil {
		w.t.Errorf("strange names at PostgreSQL, %v (-source +target):\n%s", err, diff)
	}
}
