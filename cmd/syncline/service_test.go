package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"syncline/internal/ops"
)

// TestAPolledServiceIsCopiedOverKills: records that a service lists reach a table whole, with all their changes and deletes, while the process
// is killed again and again in the middle of copies, looks and sweeps.
func TestAPolledServiceIsCopiedOverKills(t *testing.T) {
	var mu sync.Mutex
	records, second := map[int]int{}, 0
	at := map[int]string{}
	put := func(id, n int) {
		mu.Lock()
		defer mu.Unlock()
		second++
		records[id], at[id] = n, time.Date(2026, 3, 1, 0, 0, second, 0, time.UTC).Format(time.RFC3339)
	}
	remove := func(id int) {
		mu.Lock()
		defer mu.Unlock()
		delete(records, id)
	}
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		since, begin := r.URL.Query().Get("since"), 0
		_, _ = fmt.Sscan(r.URL.Query().Get("offset"), &begin)
		var list []map[string]any
		for _, id := range slices.Sorted(maps.Keys(records)) {
			if at[id] >= since {
				list = append(list, map[string]any{"id": id, "n": records[id], "at": at[id]})
			}
		}
		list = list[min(begin, len(list)):min(begin+50, len(list))]
		_ = json.NewEncoder(w).Encode(map[string]any{"items": list})
	}))
	defer service.Close()
	for id := range 400 {
		put(id, 0)
	}
	p := newProgram(t, `
systems:
  shop:
    type: http
    url: "`+service.URL+`"
    allow_private: true
    rate: 10000/s
    capture:
      mode: poll
      entities:
        item: {path: /items, query: {since: "{watermark}"}, records: items, key: id, watermark: at, overlap: 5s, page: {by: offset, param: offset}, every: 1h}
  dw: {type: sqlite, path: dw.db}
rules:
  - {id: items, from: shop/item, to: dw/item, create: true}
`)
	ask := func(kind string) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, _ = p.client().StartSync(ctx, ops.SyncRequest{Source: "shop", Entity: "item", Kind: kind}) // it may be killed meanwhile
	}
	failpoints := []string{"capture.append.before", "capture.append.after", "capture.confirm.after"}
	for n := range 6 {
		p.start(fmt.Sprintf("SYNCLINE_FAILPOINT=%s:%d", failpoints[n%3], 2+n))
		died := make(chan struct{})
		go func() {
			defer close(died)
			_ = p.died()
		}()
		for id := range 40 {
			put((id*7+n*31)%500, n+1)
		}
		for id := range 5 {
			remove(id*3 + n*11)
		}
		for asked := 0; ; asked++ {
			ask([]string{"incremental", "sweep", "full"}[asked%3])
			select {
			case <-died:
			case <-time.After(200 * time.Millisecond):
				continue
			}
			break
		}
	}
	p.start()
	p.ready()
	ask("incremental")
	ask("sweep")
	db := openSQLite(t, filepath.Join(p.dir, "dw.db"))
	eventually(t, "the table is as the service", func(ctx context.Context) error {
		rows, err := db.QueryContext(ctx, "SELECT id, n FROM item")
		if err != nil {
			return err
		}
		defer rows.Close()
		got := map[int]int{}
		for rows.Next() {
			var id, n int
			if err := rows.Scan(&id, &n); err != nil {
				return err
			}
			got[id] = n
		}
		mu.Lock()
		defer mu.Unlock()
		if !maps.Equal(got, records) {
			return fmt.Errorf("the table has %d records, the service %d, or they differ", len(got), len(records))
		}
		return rows.Err()
	})
	list, err := p.client().Syncs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range list {
		if strings.Contains(one.Error, "sweep_refused") {
			t.Errorf("a sweep was refused: %+v", one)
		}
	}
}
