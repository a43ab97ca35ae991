package daemon

import (
	"database/sql"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"syncline/internal/apply"
	"syncline/internal/state"
)

// TestAPushedEventWithoutAFieldThatItsRuleReads waits alone: nobody can be asked for the field, the records behind it go on, and the
// whole record makes it obsolete.
func TestAPushedEventWithoutAFieldThatItsRuleReads(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	d := running(t, load(t, dir, `
version: 1
log: {dir: "$DIR/log"}
state: {url: "sqlite:$DIR/state.db"}
http: {listen: "127.0.0.1:0"}
systems:
  pos: {type: http, capture: {mode: push, entities: {order: {key: [id]}}}}
  dw: {type: sqlite, url: "sqlite:$DIR/dw.db"}
rules:
  - {id: r, from: pos/order, to: dw/fact, create: true, when: 'after.total > 1'}
`))
	push := func(id, op, data string) {
		t.Helper()
		body := fmt.Sprintf(`{"specversion": "1.0", "id": %q, "source": "pos", "type": "order.%s", "subject": %q, "data": %s}`, id, op, id[:1], data)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+d.Addr()+"/v1/events", strings.NewReader(body))
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
	counts := func() state.Counts {
		c, _, err := d.state.Totals(ctx, state.Slice{Route: "r"})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	eventually(t, "source and route work", func() bool {
		ready, _ := d.Engine().Ready(ctx)
		return ready
	})
	push("1a", "created", `{"id": 1, "total": 5}`)
	push("2a", "updated", `{"id": 2, "status": "open"}`)
	push("3a", "created", `{"id": 3, "total": 5}`)
	eventually(t, "the event without the field fails, the others are applied", func() bool {
		list, _, err := d.state.Exceptions(ctx, state.Filter{Status: state.StatusFailed, Code: "source_cannot_read"})
		return err == nil && len(list) == 1 && counts().Applied == 2
	})
	if st := d.route("r").apply.Status(); st.State != apply.RouteRunning {
		t.Errorf("route is %s: %v", st.State, st.Err)
	}
	push("2b", "updated", `{"id": 2, "total": 7, "status": "open"}`)
	db, err := sql.Open("sqlite", filepath.Join(dir, "dw.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	eventually(t, "the whole record takes its place", func() bool {
		var rows, sum int
		err := db.QueryRowContext(ctx, "SELECT count(*), sum(total) FROM fact").Scan(&rows, &sum)
		return err == nil && rows == 3 && sum == 17 && counts().Parked == 0
	})
}
