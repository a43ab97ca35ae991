package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"syncline/internal/testserver"
)

// push sends one event, and returns the status and the problem if there is one.
func push(ctx context.Context, url string, id, ver int) (status int, problem struct{ Type, Code, Detail, Fix string }, err error) {
	body := fmt.Sprintf(`{"specversion":"1.0","id":"%d","source":"pos","type":"sale.created","subject":"%[1]d","data":{"id":%[1]d,"ver":%d}}`, id, ver)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/events", strings.NewReader(body))
	if err != nil {
		return 0, problem, err
	}
	req.Header.Set("Content-Type", "application/cloudevents+json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, problem, err
	}
	defer res.Body.Close() //nolint:errcheck // it was read to its end
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode == http.StatusAccepted {
		return res.StatusCode, problem, err
	}
	if got := res.Header.Get("Content-Type"); got != "application/problem+json" {
		return res.StatusCode, problem, fmt.Errorf("content type %q of %s", got, text)
	}
	return res.StatusCode, problem, json.Unmarshal(text, &problem)
}

// TestAFullDisk: while nothing can be written sources wait, pushed events are refused and say why, and nothing that was acknowledged
// is lost, by a crash neither. Everything goes on by itself when there is space again.
func TestAFullDisk(t *testing.T) {
	t.Parallel()
	disk := testserver.SmallDisk(t, "size=64m")
	src, dst := newShelf(t, "shop.db"), newShelf(t, "report.db")
	src.exec(`CREATE TABLE item (id INTEGER PRIMARY KEY, ver INTEGER NOT NULL, body TEXT)`)
	p := newProgram(t, fmt.Sprintf(`
log: {dir: %q}
state: {url: "sqlite:%s"}
systems:
  shop: {type: sqlite, url: "sqlite:%s", capture: {manage: true, entities: {item: {table: item}}}}
  pos: {type: http, capture: {mode: push, entities: {sale: {key: [id]}}}}
  report: {type: sqlite, url: "sqlite:%s"}
rules:
  - {id: items, from: shop/item, to: report/item, create: true}
  - {id: sales, from: pos/sale, to: report/sale, create: true}
`, filepath.Join(disk, "log"), filepath.Join(disk, "state.db"), src.path, dst.path))
	p.start()
	p.ready()
	accepted := 0
	accept := func() {
		t.Helper()
		accepted++
		eventually(t, "an event is accepted", func(ctx context.Context) error {
			status, problem, err := push(ctx, p.url(), accepted, 1)
			if err == nil && status != http.StatusAccepted {
				err = fmt.Errorf("%d %+v", status, problem)
			}
			return err
		})
	}
	for range 20 {
		accept()
	}
	src.exec(`INSERT INTO item VALUES (1, 1, 'first')`)
	src.equals(dst)

	empty := testserver.FillDisk(t, disk, 0)
	src.exec(`INSERT INTO item VALUES (2, 1, 'while it is full')`)
	for range 3 {
		status, problem, err := push(t.Context(), p.url(), accepted+1, 1)
		if err != nil || status != http.StatusInsufficientStorage || problem.Type != "urn:syncline:problem:log_full" || problem.Fix == "" {
			t.Errorf("POST /v1/events on a full disk = %d, %+v, %v, want 507 log_full", status, problem, err)
		}
		documented(t, problem.Code, "507")
	}
	waits := func() {
		t.Helper()
		eventually(t, "the source waits and says why", func(context.Context) error {
			st := p.system("shop")
			if st.State != "degraded" || st.Error == nil || st.Error.Code != "log_disk" || st.Error.Fix == "" {
				return fmt.Errorf("it is %+v, error %+v", st, st.Error)
			}
			return nil
		})
	}
	waits()
	empty()
	accept()
	src.equals(dst)
	p.ready()

	// A process that is killed and started on a full disk waits there too.
	empty = testserver.FillDisk(t, disk, 0)
	src.exec(`UPDATE item SET ver = 2`)
	p.kill()
	p.start()
	p.answers()
	waits()
	empty()
	p.ready()
	accept()
	src.equals(dst)
	eventually(t, "every accepted event is at the target, once", func(ctx context.Context) error {
		var n int
		if err := dst.db.QueryRowContext(ctx, `SELECT count(*) FROM sale`).Scan(&n); err != nil {
			return err
		}
		if n != accepted {
			return fmt.Errorf("it has %d of %d", n, accepted)
		}
		return nil
	})
	p.caughtUp()
	for id, r := range p.routes() {
		if !r.Counts.Balanced() || id == "sales" && r.Counts.Read != int64(accepted) {
			t.Errorf("route %s: counts = %+v, want them balanced, each of %d events once", id, r.Counts, accepted)
		}
	}
}

// documented sees that docs/errors.md has a row for the code with this class.
func documented(t *testing.T, code, class string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/errors.md")
	if err == nil && !strings.Contains(string(page), fmt.Sprintf("| `%s` | %s |", code, class)) {
		err = errors.New("it has none")
	}
	if err != nil {
		t.Errorf("the row of code %s, class %s, in docs/errors.md: %v", code, class, err)
	}
}
