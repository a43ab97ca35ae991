package daemon

import (
	"database/sql"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// publish sends an event of pos to the daemon; attributes is more of its JSON, "" or `, "into": "1"`.
func publish(t *testing.T, d *Daemon, id, typ, subject, data, attributes string) {
	t.Helper()
	body := fmt.Sprintf(`{"specversion": "1.0", "id": %q, "source": "pos", "type": %q, "subject": %q, "time": "2026-01-02T03:04:05Z", "data": %s%s}`,
		id, typ, subject, data, attributes)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+d.Addr()+"/v1/events", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/cloudevents+json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusAccepted {
		t.Fatalf("push %s = %s", id, res.Status)
	}
}

// TestRecordsAreKeptAsTheRuleSays, from the configuration to the table.
func TestRecordsAreKeptAsTheRuleSays(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	d := running(t, load(t, dir, `
version: 1
log: {dir: "$DIR/log"}
state: {url: "sqlite:$DIR/state.db"}
http: {listen: "127.0.0.1:0"}
systems:
  pos: {type: http, capture: {mode: push, entities: {customer: {key: [id]}}}}
  dw: {type: sqlite, url: "sqlite:$DIR/dw.db"}
rules:
  - {id: plain, from: pos/customer, to: dw/plain, create: true, when: 'after.tier != "test"', on: {deleted: soft, left: soft, merged: delete}}
  - id: own
    from: pos/customer
    to: dw/own
    create: true
    when: 'after.tier != "test"'
    on:
      deleted: {soft: {deleted_at: {value: event.time}}}
      merged: {redirect: {merged_into: {value: event.into}}}
      archived: {soft: {status: archived}, live: active}
      left: {soft: {status: left}, live: active}
`))
	eventually(t, "source and routes work", func() bool {
		ready, _ := d.Engine().Ready(ctx)
		return ready
	})
	for i := 1; i <= 6; i++ {
		publish(t, d, fmt.Sprint("c", i), "customer.created", fmt.Sprint(i), fmt.Sprintf(`{"id": %d, "tier": "gold"}`, i), "")
	}
	publish(t, d, "d2", "customer.deleted", "2", "null", "")
	publish(t, d, "m3", "customer.merged", "3", "null", `, "into": "1"`)
	publish(t, d, "l4", "customer.updated", "4", `{"id": 4, "tier": "test"}`, "")
	publish(t, d, "a5", "customer.archived", "5", `{"id": 5, "tier": "old"}`, "")
	publish(t, d, "d6", "customer.deleted", "6", "null", "")
	publish(t, d, "c6b", "customer.created", "6", `{"id": 6, "tier": "new"}`, "")
	publish(t, d, "d9", "customer.deleted", "9", "null", "")
	db, err := sql.Open("sqlite", filepath.Join(dir, "dw.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for query, want := range map[string]string{
		"SELECT group_concat(id || ' ' || tier || ' ' || _syncline_deleted || ' ' || _syncline_left, '; ') FROM (SELECT * FROM plain ORDER BY id)":                                    "1 gold 0 0; 2 gold 1 0; 3 gold 1 0; 4 gold 0 1; 5 old 0 0; 6 new 0 0",
		"SELECT group_concat(id || ' ' || tier || ' ' || status || ' ' || coalesce(deleted_at, '-') || ' ' || coalesce(merged_into, '-'), '; ') FROM (SELECT * FROM own ORDER BY id)": "1 gold active - -; 2 gold active 2026-01-02 03:04:05+00 -; 3 gold active - 1; 4 gold left - -; 5 old archived - -; 6 new active - -",
	} {
		var got string
		eventually(t, "the table is as the rule says", func() bool {
			_ = db.QueryRowContext(ctx, query).Scan(&got)
			if got != want && strings.Count(got, ";") == 5 {
				t.Logf("table (-want +got):\n%s", cmp.Diff(want, got))
			}
			return got == want
		})
	}
}
