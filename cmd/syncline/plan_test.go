package main

import (
	"database/sql"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline/internal/ops"
)

// shopConfig is a configuration of SQLite alone.
const shopConfig = `
systems:
  shop: {type: sqlite, url: "sqlite:shop.db", capture: {manage: true, entities: {item: {table: item}}}}
  report: {type: sqlite, url: "sqlite:report.db"}
rules:
  - {id: item, from: shop/item, to: report/item, create: true}
  - {id: cheap, from: shop/item, to: report/cheap, create: true, when: 'after.price < 10'}
`

var cursorAt = regexp.MustCompile(`at \d+`)

// makeShop makes the database that shopConfig captures, with items at 1, 6 and 20.
func makeShop(t *testing.T, path string) *sql.DB {
	t.Helper()
	db := openSQLite(t, path)
	for _, statement := range []string{"CREATE TABLE item (id INTEGER PRIMARY KEY, price INTEGER)", "INSERT INTO item VALUES (1, 1), (2, 6), (3, 20)"} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	return db
}

// command runs a command of the program against its server and returns what it printed.
func (p *program) command(code int, args ...string) (stdout, stderr string) {
	p.t.Helper()
	var out, talk strings.Builder
	if got := run(p.t.Context(), args, &out, &talk); got != code {
		p.t.Fatalf("syncline %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, code, out.String(), talk.String())
	}
	return out.String(), talk.String()
}

// edited writes the configuration with replacements to another file, in a directory where nothing else is.
func (p *program) edited(pairs ...string) string {
	p.t.Helper()
	text, err := os.ReadFile(p.config)
	if err != nil {
		p.t.Fatal(err)
	}
	path := filepath.Join(p.t.TempDir(), "edited.yaml")
	if err := os.WriteFile(path, []byte(strings.NewReplacer(pairs...).Replace(string(text))), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return path
}

// nobodyListens reports whether no server of this machine is where commands look for one by default.
func nobodyListens(t *testing.T) bool {
	t.Helper()
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "tcp", "127.0.0.1:8484")
	if err != nil {
		return true
	}
	t.Log("somebody listens on 127.0.0.1:8484: plans without a server are not looked at")
	_ = c.Close()
	return false
}

// TestPlan shows what a configuration changes: before the first start, of a running server, and of one that is down.
func TestPlan(t *testing.T) {
	p := newProgram(t, shopConfig)
	makeShop(t, filepath.Join(p.dir, "shop.db"))
	alone := nobodyListens(t)
	if alone {
		out, talk := p.command(exitOK, "plan", "-c", p.config)
		if !strings.Contains(talk, "no server runs here") || !strings.Contains(out, "+ rule cheap: added") || !strings.Contains(out, "route cheap begins") {
			t.Errorf("before the first start: %s%s", talk, out)
		}
	}
	if _, err := os.Stat(filepath.Join(p.dir, "syncline-data")); err == nil {
		t.Error("a plan has made something")
	}
	p.start()
	p.ready()
	if out, _ := p.command(exitOK, "plan", "-c", p.config, "--server", p.url()); out != "Nothing changes.\n" {
		t.Errorf("the same file: %s", out)
	}
	draft := p.edited("< 10", "< 5", "rules:", "rules:\n  - {id: copy, from: shop/item, to: report/copy, create: true}", "version: 1", "# a comment\nversion: 1")
	out, _ := p.command(exitOK, "plan", "-c", draft, "--server", p.url())
	want := `+ rule copy: added
~ rule cheap: changed
    when: after.price < 10 → after.price < 5

route copy begins
    all records are read from shop first (start: full); none is removed from the target
    report/copy is made if it is missing
route cheap restarts
    its cursor is kept, at N
    its target holds records of both versions of the rules until ` + "`syncline sync`, or until `syncline verify`" + ` finds all equal
1 route not touched
`
	if diff := cmp.Diff(want, cursorAt.ReplaceAllString(out, "at N")); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	out, _ = p.command(exitDiffers, "plan", "-c", draft, "--server", p.url(), "-o", "json", "--exit-code")
	var planned ops.Plan
	if err := json.Unmarshal([]byte(out), &planned); err != nil || planned.Version != 1 || planned.Hash == "" || planned.Empty || planned.Untouched != 1 {
		t.Errorf("as JSON: %+v, %v", planned, err)
	}
	bad := p.edited("report/cheap", "rapport/cheap")
	if _, talk := p.command(exitConfig, "plan", "-c", bad, "--server", p.url()); !strings.Contains(talk, "edited.yaml:9:") || !strings.Contains(talk, "unknown_system") {
		t.Errorf("a file with a problem: %s", talk)
	}
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(draft, filepath.Join(p.dir, "draft.yaml")); err != nil {
		t.Fatal(err)
	}
	if !alone {
		return
	}
	out, _ = p.command(exitOK, "plan", "-c", filepath.Join(p.dir, "draft.yaml"))
	if diff := cmp.Diff(want, cursorAt.ReplaceAllString(out, "at N")); diff != "" {
		t.Errorf("plan while the server is down (-want +got):\n%s", diff)
	}
}

// TestALongValueShowsWhereItDiffers, at its end too.
func TestALongValueShowsWhereItDiffers(t *testing.T) {
	long := strings.Repeat("x", 300)
	got := fieldLine(ops.PlannedField{Path: "when", Was: long + "old", Now: long + "new"})
	if want := "when: …" + long[:leading] + "old → …" + long[:leading] + "new"; got != want {
		t.Errorf("fieldLine = %s, want %s", got, want)
	}
	if got, want := fieldLine(ops.PlannedField{Path: "when", Was: long, Now: long + "new"}), "when: …"+long[:leading]+" → …"+long[:leading]+"new"; got != want {
		t.Errorf("fieldLine of a value that goes on = %s, want %s", got, want)
	}
}
