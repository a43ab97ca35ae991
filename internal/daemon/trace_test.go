package daemon

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"syncline/internal/config"
)

// collector takes what is sent to it as OpenTelemetry's collectors do.
type collector struct {
	mu   sync.Mutex
	body []byte
	asks []string
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, _ := io.ReadAll(r.Body)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asks, c.body = append(c.asks, r.Method+" "+r.URL.Path+" "+r.Header.Get("Content-Type")), append(c.body, text...)
}

func (c *collector) has(parts ...string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range parts {
		if !bytes.Contains(c.body, []byte(p)) {
			return false
		}
	}
	return true
}

// TestTracesReachACollector: an event that brings a traceparent is told of under that trace, by the log and by the route; whether traces
// are sent, and how the health is judged, follows a reload.
func TestTracesReachACollector(t *testing.T) {
	t.Parallel()
	got := &collector{}
	server := httptest.NewServer(got)
	defer server.Close()
	dir := t.TempDir()
	d, stop := runningUntil(t, load(t, dir, pushed))
	push := func(id int, trace string) {
		t.Helper()
		body := fmt.Sprintf(`{"specversion":"1.0","id":"%d","source":"pos","type":"sale.created","subject":"%[1]d","traceparent":"00-%s-b7ad6b7169203331-01","data":{"id":%[1]d}}`, id, trace)
		eventually(t, "an event is accepted", func() bool {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.URL()+"/v1/events", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/cloudevents+json")
			res, err := http.DefaultClient.Do(req)
			return err == nil && res.Body.Close() == nil && res.StatusCode == http.StatusAccepted
		})
		eventually(t, "it is applied", func() bool { r := report(t, d); return r.Tasks.Completed == int64(id) })
	}
	const before, after = "4bf92f3577b34da6a3ce929d0e0e4736", "0af7651916cd43dd8448eb211c80319c"
	push(1, before)
	text := strings.ReplaceAll(pushed, "$DIR", dir) + "traces: {endpoint: \"" + server.URL + "\", ratio: 0%}\nhealth: {late: {after: 1s}}\n" +
		"log: {dir: \"" + d.set().config.Log.Dir + "\"}\nstate: {url: \"sqlite:" + d.set().config.State.Path + "\"}\n"
	if _, err := d.Apply(t.Context(), Application{By: "test", Files: []config.File{{Name: "syncline.yaml", Text: []byte(text)}}}); err != nil {
		t.Fatal(err)
	}
	if d.set().config.Health.Late.After != time.Second {
		t.Error("the health is judged as before")
	}
	push(2, after)
	stop()
	id, _ := hex.DecodeString(after)
	if !got.has("append", "apply", "syncline.route", "sales", string(id)) {
		t.Errorf("the collector got %v, %d bytes", got.asks, len(got.body))
	}
	if early, _ := hex.DecodeString(before); got.has(string(early)) {
		t.Error("traces are sent before they are wanted")
	}
	if len(got.asks) == 0 || got.asks[0] != "POST /v1/traces application/x-protobuf" {
		t.Errorf("asked %v", got.asks)
	}
}
