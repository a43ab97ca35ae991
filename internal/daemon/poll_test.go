package daemon

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline/internal/config"
	"syncline/internal/ops"
	"syncline/internal/state"
)

// polledShop is a daemon that polls a database, and the two databases.
type polledShop struct {
	*testing.T
	d            *Daemon
	shop, report *sql.DB
	entity       string
}

// sync has the source asked and returns the run's row once it is over.
func (p *polledShop) sync(req ops.SyncRequest) state.RunRow {
	p.Helper()
	req.Source, req.Entity = "shop", p.entity
	id, err := p.d.Engine().StartSync(p.Context(), req)
	if err != nil {
		p.Fatalf("sync %+v: %v", req, err)
	}
	var row state.RunRow
	eventually(p.T, "the run is over", func() bool {
		runs, _, err := p.d.Engine().Syncs(p.Context(), "", 100)
		if err != nil {
			p.Fatal(err)
		}
		for _, r := range runs {
			if r.ID == id && r.Status != state.RunRequested && r.Status != state.RunRunning {
				row = r
				return true
			}
		}
		return false
	})
	return row
}

// rows are those of a statement, as texts.
func rows(t *testing.T, db *sql.DB, query string) (list []string) {
	t.Helper()
	got, err := db.QueryContext(t.Context(), query)
	if err != nil {
		if strings.Contains(err.Error(), "no such table") {
			return nil
		}
		t.Fatalf("%s: %v", query, err)
	}
	defer got.Close()
	names, err := got.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for got.Next() {
		values, into := make([]sql.NullString, len(names)), make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		if err := got.Scan(into...); err != nil {
			t.Fatal(err)
		}
		var texts []string
		for _, v := range values {
			texts = append(texts, v.String)
		}
		list = append(list, strings.Join(texts, "|"))
	}
	if err := got.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

// arrives waits until the target holds what the source has.
func (p *polledShop) arrives(want ...string) {
	p.Helper()
	var got []string
	defer func() {
		if p.Failed() {
			p.Logf("the target holds %q, want %q", got, want)
		}
	}()
	eventually(p.T, "the target holds what the source has", func() bool {
		got = rows(p.T, p.report, "SELECT id, name FROM sale ORDER BY id")
		return cmp.Equal(want, got)
	})
}

func newPolledShop(t *testing.T, dir, entity string) *polledShop {
	t.Helper()
	p := &polledShop{T: t, entity: "sale", shop: database(t, filepath.Join(dir, "shop.db"))}
	exec(t, p.shop, `CREATE TABLE IF NOT EXISTS sale (id INTEGER PRIMARY KEY, name TEXT, changed DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')), gone BOOL)`)
	p.d = open(t, load(t, dir, head+fmt.Sprintf(`
log: {dir: $DIR/log}
state: {url: "sqlite:$DIR/state.db"}
systems:
  shop: {type: sqlite, path: $DIR/shop.db, capture: {mode: poll, entities: {sale: {%s}}}}
  report: {type: sqlite, path: $DIR/report.db}
rules:
  - {id: sales, from: shop/sale, to: report/sale, create: true}
`, entity)))
	p.report = database(t, filepath.Join(dir, "report.db"))
	return p
}

// TestPolledDatabase goes from the first copy through everything that can happen to a record.
func TestPolledDatabase(t *testing.T) {
	dir := t.TempDir()
	p := newPolledShop(t, dir, "watermark: changed, deleted: {field: gone}")
	exec(t, p.shop, "INSERT INTO sale (id, name) VALUES (1, 'a'), (2, 'b')")
	exec(t, p.shop, "INSERT INTO sale (id, name, gone) VALUES (3, 'c', true)")
	stop := run(t, p.d)
	p.arrives("1|a", "2|b")

	const touch = ", changed = strftime('%Y-%m-%d %H:%M:%f', 'now')"
	incremental := ops.SyncRequest{Kind: "incremental"}
	if r := p.sync(incremental); r.Status != state.RunDone || r.Rows != 0 {
		t.Errorf("a poll of nothing new: %+v", r)
	}
	exec(t, p.shop, "UPDATE sale SET name = 'A'"+touch+" WHERE id = 1")
	exec(t, p.shop, "INSERT INTO sale (id, name) VALUES (4, 'd')")
	exec(t, p.shop, "UPDATE sale SET gone = true"+touch+" WHERE id = 2")
	exec(t, p.shop, "UPDATE sale SET gone = false"+touch+" WHERE id = 3")
	if r := p.sync(incremental); r.Status != state.RunDone || r.Rows != 4 || r.Kind.String() != "incremental" {
		t.Errorf("a poll of four changes: %+v", r)
	}
	p.arrives("1|A", "3|c", "4|d")
	if r := p.sync(incremental); r.Rows != 0 {
		t.Errorf("a poll behind four changes: %+v", r)
	}

	// Another process, and one that is told of what is gone.
	exec(t, p.shop, "DELETE FROM sale WHERE id = 1")
	exec(t, p.shop, "INSERT INTO sale (id, name, changed) VALUES (5, 'late', '2020-01-01 00:00:00')")
	stop()
	closeDaemon(t, p.d)
	p = newPolledShop(t, dir, "watermark: changed, deleted: {field: gone}")
	stop = run(t, p.d)
	if r := p.sync(ops.SyncRequest{Kind: "sweep"}); r.Status != state.RunDone || r.Rows != 2 {
		t.Errorf("a sweep of one that is gone and one that was missed: %+v", r)
	}
	p.arrives("3|c", "4|d", "5|late")

	// Nothing left is nothing that is believed.
	exec(t, p.shop, "DELETE FROM sale")
	if r := p.sync(ops.SyncRequest{Kind: "sweep"}); r.Status != state.RunFailed || !strings.HasPrefix(r.Error, "sweep_refused: ") || r.Rows != 0 {
		t.Errorf("a sweep of an empty table: %+v", r)
	}
	p.arrives("3|c", "4|d", "5|late")
	if r := p.sync(ops.SyncRequest{Kind: "sweep", Force: true}); r.Status != state.RunDone || r.Rows != 3 {
		t.Errorf("a sweep of an empty table that is forced: %+v", r)
	}
	p.arrives()

	// A full sync, and one by key, read beside all that.
	exec(t, p.report, "DELETE FROM sale")
	exec(t, p.shop, "INSERT INTO sale (id, name) VALUES (6, 'f'), (7, 'g')")
	if r := p.sync(ops.SyncRequest{Keys: []string{"6", "8"}}); r.Status != state.RunDone {
		t.Errorf("a sync by key: %+v", r)
	}
	p.arrives("6|f")
	if r := p.sync(ops.SyncRequest{}); r.Status != state.RunDone || r.Rows != 2 {
		t.Errorf("a full sync: %+v", r)
	}
	p.arrives("6|f", "7|g")
	stop()
	closeDaemon(t, p.d)
}

// TestPollingThatChanges: another watermark and another key are planned and applied while the daemon works; nothing is lost by it.
func TestPollingThatChanges(t *testing.T) {
	dir := t.TempDir()
	text := head + `
log: {dir: log}
state: {url: "sqlite:state.db"}
systems:
  shop: {type: sqlite, path: shop.db, capture: {mode: poll, entities: {sale: {watermark: changed, every: 1h}}}}
  report: {type: sqlite, path: report.db}
rules:
  - {id: sales, from: shop/sale, to: report/sale, create: true}
`
	p := &polledShop{T: t, entity: "sale", shop: database(t, filepath.Join(dir, "shop.db"))}
	exec(t, p.shop, `CREATE TABLE sale (id INTEGER PRIMARY KEY, name TEXT, changed DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')))`)
	exec(t, p.shop, "INSERT INTO sale (id, name) VALUES (1, 'a')")
	var err error
	if p.d, err = Open(t.Context(), Options{Config: read(t, dir, text), Files: []config.File{{Name: "syncline.yaml", Text: []byte(text)}}, Dir: dir}); err != nil {
		t.Fatal(err)
	}
	stop := run(t, p.d)
	p.report = database(t, filepath.Join(dir, "report.db"))
	p.arrives("1|a")
	apply := func(edit ...string) string {
		t.Helper()
		text = strings.NewReplacer(edit...).Replace(text)
		applied, err := p.d.Apply(t.Context(), Application{By: "test", Files: []config.File{{Name: "syncline.yaml", Text: []byte(text)}}})
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%+v", applied)
	}
	if got := apply("watermark: changed", "watermark: id"); !strings.Contains(got, "sale: read in another way") {
		t.Errorf("applied: %s", got)
	}
	exec(t, p.shop, "INSERT INTO sale (id, name) VALUES (2, 'b')")
	if r := p.sync(ops.SyncRequest{Kind: "incremental"}); r.Rows != 1 {
		t.Errorf("a poll by another watermark: %+v", r)
	}
	p.arrives("1|a", "2|b")
	if got := apply("watermark: id", "deleted: {field: name, value: gone}"); !strings.Contains(got, "sale: read in another way") {
		t.Errorf("applied: %s", got)
	}
	exec(t, p.shop, "UPDATE sale SET name = 'gone' WHERE id = 1")
	if r := p.sync(ops.SyncRequest{Kind: "incremental"}); r.Rows != 1 {
		t.Errorf("a poll without a watermark: %+v", r)
	}
	p.arrives("2|b")
	stop()
	closeDaemon(t, p.d)
}
