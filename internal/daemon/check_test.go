package daemon

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	_ "modernc.org/sqlite"

	"syncline"
	"syncline/internal/config"
	"syncline/internal/ops"
)

// load reads a configuration whose $DIR is dir.
func load(t *testing.T, dir, text string) *config.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "syncline.yaml")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "$DIR", dir)), 0o600); err != nil {
		t.Fatal(err)
	}
	c, problems := config.Load(path, nil)
	if len(problems) > 0 {
		t.Fatalf("configuration: %v", problems)
	}
	return c
}

// makeDatabase makes an SQLite database with a table customer.
func makeDatabase(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT)"); err != nil {
		t.Fatal(err)
	}
}

// contents returns the files below dir with what is in them.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			files[path] = "directory"
			return err
		}
		data, err := os.ReadFile(path)
		files[path] = fmt.Sprintf("%x", sha256.Sum256(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestCheckMakesNothing: a check of every kind of system that could be made passes, and makes and changes nothing.
func TestCheckMakesNothing(t *testing.T) {
	dir := t.TempDir()
	makeDatabase(t, filepath.Join(dir, "crm.db"))
	makeDatabase(t, filepath.Join(dir, "there.db"))
	c := load(t, dir, `
version: 1
log: {dir: "$DIR/log"}
state: {url: "sqlite:$DIR/state.db"}
systems:
  crm: {type: sqlite, url: "sqlite:$DIR/crm.db", capture: {manage: true, entities: {customer: {table: customer}}}}
  pos: {type: http, capture: {mode: push, entities: {order: {key: [id]}}}}
  there: {type: sqlite, url: "sqlite:$DIR/there.db"}
  new: {type: sqlite, url: "sqlite:$DIR/new.db"}
  cache: {type: nats_kv, url: embedded, bucket: cache}
  index: {type: search, path: "$DIR/search/deep"}
  unused: {type: search, path: "$DIR/unused"}
rules:
  - {id: there, from: crm/customer, to: there/customer}
  - {id: new, from: crm/customer, to: new/customer, create: true}
  - {id: cache, from: crm/customer, to: cache/customer}
  - {id: index, from: crm/customer, to: index/customer}
  - {id: pushed, from: pos/order, to: cache/order}
`)
	before := contents(t, dir)
	seen := make(map[string]bool)
	for _, f := range Check(t.Context(), c) {
		if seen[f.System] = true; f.Level == "fail" {
			t.Errorf("check = %+v, want nothing that fails", f)
		}
	}
	for _, s := range c.Systems {
		if !seen[s.Name] {
			t.Errorf("check says nothing about %s", s.Name)
		}
	}
	if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
		t.Errorf("check changed files (-before +after):\n%s", diff)
	}
}

// TestSyncOfAPushedSource is refused, and nothing is left that would be tried at every start.
func TestSyncOfAPushedSource(t *testing.T) {
	c := load(t, t.TempDir(), `
version: 1
http: {listen: "127.0.0.1:0"}
log: {dir: "$DIR/log"}
state: {url: "sqlite:$DIR/state.db"}
systems:
  pos: {type: http, capture: {mode: push, entities: {order: {key: [id]}}}}
  target: {type: sqlite, url: "sqlite:$DIR/target.db"}
rules:
  - {id: orders, from: pos/order, to: target/orders, create: true}
`)
	d, err := Open(t.Context(), Options{Config: c})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, req := range []ops.SyncRequest{{Source: "pos", Entity: "order"}, {Source: "pos", Entity: "order", Keys: []string{"1"}}} {
		if _, err := d.Engine().StartSync(t.Context(), req); syncline.CodeOf(err) != "source_cannot_read" || syncline.ClassOf(err) != syncline.Rejected {
			t.Errorf("sync %+v = %v, want source_cannot_read", req, err)
		}
	}
	for _, kind := range []string{"incremental", "sweep"} {
		req := ops.SyncRequest{Source: "pos", Entity: "order", Kind: kind}
		if _, err := d.Engine().StartSync(t.Context(), req); syncline.CodeOf(err) != "not_polled" || syncline.ClassOf(err) != syncline.Rejected {
			t.Errorf("sync %+v = %v, want not_polled", req, err)
		}
	}
	if runs, _, err := d.Engine().Syncs(t.Context(), "", 0); err != nil || len(runs) > 0 {
		t.Errorf("syncs = %+v, %v, want none", runs, err)
	}
}

// TestAbandonedSource is told at each start, until its log is removed as the documents say.
func TestAbandonedSource(t *testing.T) {
	dir := t.TempDir()
	start := func(systems string) string {
		t.Helper()
		var log bytes.Buffer
		c := load(t, dir, `
version: 1
http: {listen: "127.0.0.1:0"}
log: {dir: "$DIR/log"}
state: {url: "sqlite:$DIR/state.db"}
systems:
  pos: {type: http, capture: {mode: push, entities: {order: {key: [id]}}}}
  crm_eu: {type: http, capture: {mode: push, entities: {order: {key: [id]}}}}
  crm: {type: sqlite, url: "sqlite:$DIR/crm.db"`+systems)
		d, err := Open(t.Context(), Options{Config: c, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err == nil {
			err = d.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		return log.String()
	}
	const warning = "source is not in the configuration any more"
	if log := start(", capture: {entities: {lead: {table: lead}}}}"); strings.Contains(log, warning) {
		t.Errorf("a start with all sources warns: %s", log)
	}
	for range 2 {
		if log := start("}"); strings.Count(log, warning) != 1 || !strings.Contains(log, "source=crm") {
			t.Errorf("a start without crm says %s", log)
		}
	}
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	command := regexp.MustCompile(`(?m)^rm -r (LOGDIR/\S+) (LOGDIR/\S+)$`).FindSubmatch(page)
	if command == nil {
		t.Fatal("docs/operations.md does not tell how to remove a source's log")
	}
	for _, pattern := range []string{string(command[1]), string(command[2])} {
		pattern = strings.Replace(pattern, "LOGDIR", "log", 1)
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(found) != 1 {
			t.Fatalf("%s finds %q, %v", pattern, found, err)
		}
		if err := os.RemoveAll(found[0]); err != nil {
			t.Fatal(err)
		}
	}
	if log := start("}"); strings.Contains(log, warning) {
		t.Errorf("a start without crm's log says %s", log)
	}
	start(", capture: {entities: {lead: {table: lead}}}}")
}
