package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"syncline/internal/ops"
)

// canaries are secrets by where they stand in the configuration. None is like another.
type canaries struct {
	t      *testing.T
	values map[string]string
	env    []string
}

// add makes a secret and returns the reference to it.
func (c *canaries) add(name string) string {
	random := make([]byte, 8)
	_, _ = rand.Read(random)
	c.values[name] = "canary" + hex.EncodeToString(random)
	c.env = append(c.env, name+"="+c.values[name])
	return "${" + name + "}"
}

// key makes a signing secret, which has another form.
func (c *canaries) key(name string) string {
	random := make([]byte, 32)
	_, _ = rand.Read(random)
	c.values[name] = base64.StdEncoding.EncodeToString(random)[:40] + "AAAA"
	c.env = append(c.env, name+"=whsec_"+c.values[name])
	return "${" + name + "}"
}

// neverSent are the secrets that sign, or open a file.
var neverSent = []string{"WEBHOOK_SECRET", "CHANNEL_SECRET", "DINGTALK_SECRET", "HASH", "POSTGRES_PARAMETER"}

// find looks for a secret as it is, and in the forms that protocols give it.
func (c *canaries) find(name string, in []byte) (at int, found bool) {
	value := c.values[name]
	for _, form := range []string{value, base64.StdEncoding.EncodeToString([]byte(value)), base64.StdEncoding.EncodeToString([]byte("user:" + value)),
		base64.StdEncoding.EncodeToString([]byte("\x00user\x00" + value)), hex.EncodeToString([]byte(value))} {
		if at := bytes.Index(in, []byte(strings.TrimRight(form, "=")[:len(value)])); at >= 0 { // whatever follows
			return at, true
		}
	}
	return 0, false
}

// search complains of every secret in what was shown.
func (c *canaries) search(where string, shown []byte) {
	c.t.Helper()
	for name := range c.values {
		if at, found := c.find(name, shown); found {
			c.t.Errorf("%s shows the secret %s:\n%q", where, name, shown[max(0, at-200):min(len(shown), at+80)])
		}
	}
}

// TestSecretsAreNowhere: there is a secret of its own in every place of a configuration that can have one, and every system repeats what it was sent in its
// refusal, which is the most that it can do to have the secret shown; later none of them answers. Neither the log at its most talkative, nor any
// answer of the API, nor a command, nor a message to people, nor a file, nor the stacks that a dying process prints have any of them.
func TestSecretsAreNowhere(t *testing.T) {
	t.Parallel()
	c := &canaries{t: t, values: map[string]string{}}
	echo := newEchoes(t)
	roots := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: echo.web.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	pager := newPager(t)
	file := filepath.Join(t.TempDir(), "secret")
	c.add("FILE")
	if err := os.WriteFile(file, []byte(c.values["FILE"]+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	web := strings.TrimPrefix(echo.web.URL, "https://")
	p := newProgram(t, `
audit: {retain: 1d}
traces: {endpoint: "https://`+web+`/`+c.add("TRACES_PATH")+`", ratio: 100%}
systems:
  till: {type: sqlite, path: till.db, capture: {manage: true, entities: {item: {}}}}
  report: {type: sqlite, path: report.db}
  crm: {type: postgres, url: "postgres://user:`+c.add("POSTGRES")+`@`+echo.postgres+`/crm?sslmode=disable&sslpassword=`+c.add("POSTGRES_PARAMETER")+`", capture: {manage: true, entities: {lead: {}}}}
  dsn: {type: postgres, url: "host=127.0.0.1 port=`+port(echo.postgres)+` user=user password='`+c.add("POSTGRES_WORDS")+`' dbname=x sslmode=disable"}
  asked: {type: postgres, url: "postgres://user:${file:`+file+`}@`+echo.postgres+`/crm?sslmode=disable", capture: {mode: poll, entities: {lead: {key: id}}}}
  cache: {type: redis, url: "redis://user:`+c.add("REDIS")+`@`+echo.redis+`/0"}
  old: {type: redis, url: "redis://:`+c.add("REDIS_ALONE")+`@`+echo.redis+`/0", format: hash}
  kv: {type: nats_kv, url: "nats://user:`+c.add("NATS")+`@`+echo.nats+`", bucket: kv}
  kvt: {type: nats_kv, url: "nats://`+c.add("NATS_TOKEN")+`@`+echo.nats+`", bucket: kv}
  partner: {type: webhook, url: "https://user:`+c.add("WEBHOOK_USER")+`@`+web+`/`+c.add("WEBHOOK_PATH")+`?key=`+c.add("WEBHOOK_QUERY")+`", secret: "`+c.key("WEBHOOK_SECRET")+`", allow_private: true}
  bearer: {type: http, url: "https://`+web+`/`+c.add("SERVICE_PATH")+`?key=`+c.add("SERVICE_QUERY")+`", allow_private: true, auth: {bearer: "`+c.add("SERVICE_BEARER")+`"}, headers: {X-Api-Token: "`+c.add("SERVICE_HEADER")+`"}, capture: {mode: poll, entities: {page: {path: "/pages", query: {token: "`+c.add("ENTITY_QUERY")+`"}, headers: {X-Secret: "`+c.add("ENTITY_HEADER")+`"}, key: id}}}}
  basic: {type: http, url: "https://`+web+`", allow_private: true, auth: {basic: {user: user, password: "`+c.add("SERVICE_PASSWORD")+`"}}, capture: {mode: poll, entities: {page: {path: "/`+c.add("ENTITY_PATH")+`", key: id}}}}
  header: {type: http, url: "https://`+web+`", allow_private: true, auth: {header: {X-Api-Key: "`+c.add("SERVICE_KEY")+`"}}, capture: {mode: poll, entities: {page: {path: /pages, method: POST, body: {token: "`+c.add("ENTITY_BODY")+`"}, key: id}}}}
rules:
  - {id: plain, from: till/item, to: report/plain, create: true, transform: [{hash: {name: "`+c.add("HASH")+`"}}]}
  - {id: asking, from: till/item, to: report/asking, create: true, transform: [{enrich: {by: after.id, http: {url: "https://`+web+`/{key}?token=`+c.add("ENRICH_QUERY")+`", allow_private: true, headers: {Authorization: "Bearer `+c.add("ENRICH_HEADER")+`"}}, take: {title: title}}}]}
  - {id: looking, from: till/item, to: report/looking, create: true, transform: [{enrich: {by: after.id, sql: {system: dsn, query: "SELECT id, title FROM t WHERE id = ANY($1)", key: id}, take: {title: title}}}]}
  - {id: crm, from: till/item, to: crm/item, create: true}
  - {id: dsn, from: till/item, to: dsn/item, create: true}
  - {id: cache, from: till/item, to: cache/item}
  - {id: old, from: till/item, to: old/item}
  - {id: kv, from: till/item, to: kv/item}
  - {id: kvt, from: till/item, to: kvt/item}
  - {id: partner, from: till/item, to: partner/item, start: earliest, retry: {max: 1, delay: 10ms}}
  - {id: leads, from: crm/lead, to: report/lead, create: true}
  - {id: asked, from: asked/lead, to: report/asked, create: true}
  - {id: bearer, from: bearer/page, to: report/bearer, create: true}
  - {id: basic, from: basic/page, to: report/basic, create: true}
  - {id: header, from: header/page, to: report/header, create: true}
channels:
  pager: {type: webhook, url: "`+pager.URL+`", secret: "${PAGER_SECRET}", allow_private: true}
  hook: {type: webhook, url: "https://`+web+`/`+c.add("CHANNEL_PATH")+`", secret: "`+c.key("CHANNEL_SECRET")+`", allow_private: true}
  chat: {type: slack, url: "`+c.add("SLACK")+`", allow_private: true}
  ding: {type: dingtalk, url: "`+c.add("DINGTALK")+`", secret: "`+c.add("DINGTALK_SECRET")+`", allow_private: true}
  mail: {type: email, server: "`+echo.mail+`", tls: tls, user: user, password: "`+c.add("MAIL")+`", from: a@example.com, to: b@example.com, allow_private: true}
alerts:
  - {id: disk, when: log_disk_free_ratio < 2, severity: critical}
`, append(c.env, "PAGER_SECRET="+pagerSecret, "SSL_CERT_FILE="+roots, "OTEL_EXPORTER_OTLP_HEADERS=x-token="+c.values["FILE"],
		"SLACK=https://"+web+"/services/"+c.values["SLACK"], "DINGTALK=https://"+web+"/robot/send?access_token="+c.values["DINGTALK"])...)
	till := openSQLite(t, filepath.Join(p.dir, "till.db"))
	for _, text := range []string{"CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)", "INSERT INTO item VALUES (1, 'one'), (2, 'two')"} {
		if _, err := till.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	command := func(args ...string) []byte {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, path, append(args, "-c", p.config)...)
		cmd.Env = append(os.Environ(), p.env...)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Errorf("syncline %s: %v", strings.Join(args, " "), err)
		}
		return out
	}
	if out := command("validate"); !bytes.Contains(out, []byte("is valid")) {
		text, _ := os.ReadFile(p.config)
		t.Fatalf("the configuration is not valid:\n%s\n%s", out, text)
	}
	p.flags = []string{"--log-level", "debug"}
	p.start()
	p.answers()
	if _, err := till.ExecContext(t.Context(), "INSERT INTO item VALUES (3, 'three')"); err != nil {
		t.Fatal(err)
	}

	look := func(when string, commands ...[]string) {
		t.Helper()
		for _, args := range append(commands, [][]string{{"validate"}, {"plan"}, {"doctor", "-o", "json"}, {"status"}, {"status", "-o", "json"}, {"health"}, {"lag"}, {"routes"}, {"rules", "-o", "json"}, {"alerts"},
			{"alerts", "channels", "-o", "json"}, {"alerts", "test", "hook"}, {"alerts", "test", "chat"}, {"alerts", "test", "ding"}, {"alerts", "test", "mail"}, {"alerts", "history", "-o", "json"}, {"tasks", "-o", "json"},
			{"explain", "till/item/1"}, {"explain", "till/item/1", "-o", "json"}, {"rules", "try", "plain", "--event", "-"}, {"sync", "list"}, {"sync", "incremental", "bearer/page"}, {"verify", "--rule", "partner"}, {"audit", "-o", "json"}, {"apply"}}...) {
			c.search(when+": syncline "+strings.Join(args, " "), command(args...))
		}
		for path, body := range answers(t, p) {
			c.search(when+": GET "+path, body)
		}
	}
	eventually(t, "everything has failed once", func(ctx context.Context) error {
		list, err := p.client().Routes(ctx)
		if err != nil {
			return err
		}
		for _, r := range list {
			if r.ID != "plain" && r.ID != "leads" && r.ID != "asked" && r.ID != "bearer" && r.ID != "basic" && r.ID != "header" && r.Error == nil && r.Counts.Parked == 0 {
				return fmt.Errorf("route %s is %s", r.ID, r.State)
			}
		}
		for _, name := range []string{"crm", "asked", "bearer", "basic", "header"} {
			if s := p.system(name); s.Error == nil {
				return fmt.Errorf("system %s is %s", name, s.State)
			}
		}
		return nil
	})
	eventually(t, "the collector was sent traces", func(context.Context) error {
		if _, found := c.find("TRACES_PATH", []byte(echo.heard())); !found {
			return errors.New("it was not")
		}
		return nil
	})
	p.lookNow()
	look("while every system refuses", []string{"run", "--check"}, []string{"doctor"})
	echo.close()
	for _, name := range []string{"crm", "asked", "bearer", "basic", "header"} {
		_ = p.client().ResumeSystem(t.Context(), name) // some try by themselves
	}
	look("while no system answers")

	if err := p.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	_ = p.died()
	if !bytes.Contains(p.log.Bytes(), []byte("goroutine ")) || !bytes.Contains(p.log.Bytes(), []byte("level=DEBUG")) {
		t.Errorf("the log has no stacks, or nothing at debug level:\n%s", lastBytes(p.log.Bytes(), 2000))
	}
	c.search("the log", p.log.Bytes())
	err = filepath.WalkDir(p.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || path == p.config {
			return err
		}
		text, err := os.ReadFile(path)
		c.search(path, text)
		return err
	})
	if err != nil {
		t.Error(err)
	}
	for _, m := range pager.messages() {
		c.search("a message", []byte(m))
	}
	heard := []byte(echo.heard())
	for _, name := range slices.Sorted(maps.Keys(c.values)) {
		if _, found := c.find(name, heard); !found && !slices.Contains(neverSent, name) {
			t.Errorf("nobody was sent the secret %s: it is not where it should be, and what is shown of it proves nothing", name)
		}
	}
}

// answers asks for everything that the API's own document says can be read, with the names and ids that there are.
func answers(t *testing.T, p *program) map[string][]byte {
	t.Helper()
	got := map[string][]byte{}
	client := &http.Client{Timeout: 2 * time.Second}
	ask := func(path string) {
		res, err := client.Get(p.url() + path)
		if err != nil {
			return // a stream
		}
		defer res.Body.Close()          //nolint:errcheck // read
		body, _ := io.ReadAll(res.Body) // what came before the end of a stream
		got[path] = append(got[path], body...)
	}
	ask("/openapi.json")
	var document struct {
		Paths map[string]map[string]any `json:"paths"`
	}
	if err := json.Unmarshal(got["/openapi.json"], &document); err != nil {
		t.Fatal(err)
	}
	ids := []string{"plain", "partner", "disk", "item"}
	if page, err := p.client().Tasks(t.Context(), ops.TaskQuery{Limit: 5}); err == nil {
		for _, task := range page.Items {
			ids = append(ids, task.ID)
		}
	}
	if runs, err := p.client().Syncs(t.Context()); err == nil {
		for _, r := range runs {
			ids = append(ids, r.ID)
		}
	}
	for path, item := range document.Paths {
		switch {
		case item["get"] == nil, strings.HasSuffix(path, "/events"):
		case strings.Contains(path, "{"):
			begin, rest, _ := strings.Cut(path, "{")
			_, end, _ := strings.Cut(rest, "}")
			for _, id := range ids {
				ask(begin + id + end)
			}
		default:
			ask(path)
		}
	}
	if len(got) < 20 {
		t.Errorf("%d answers of the API: they are not found as they should be", len(got))
	}
	return got
}

func port(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }
