package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// hostileNames are names and ids that nothing has, and that must lead nowhere.
var hostileNames = []string{"..", "../../etc/passwd", "..\\..\\windows", "\x00", "a\x00b", "a\r\nSet-Cookie: x", "'; DROP TABLE task; --", "%2e%2e", "%00", "~", "*", ".", "/", "//", "\xff\xfe", "\u202e", "-1", "9223372036854775808", "orders:pos:1.-1", "orders:pos:1.9223372036854775807",
	"{{.}}", "${HOME}", "$(id)", strings.Repeat("a", 5000), strings.Repeat("../", 500)}

// TestHostileRequests: whatever is sent to whichever operation is answered with a problem that names its code, soon, and nothing else happens: the server
// answers the next one, and there is no file that was not there before.
func TestHostileRequests(t *testing.T) {
	t.Parallel()
	p := newProgram(t, pushed)
	p.start()
	p.ready()
	if status := sendEvent(t, p.url(), "", "pos"); status != http.StatusAccepted {
		t.Fatalf("an event = %d", status)
	}
	p.caughtUp()
	before := filesOf(t, p.dir)
	client := &http.Client{Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	send := func(method, path string, body io.Reader, header map[string]string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, p.url()+path, body)
		if err != nil {
			t.Fatalf("%s %.80s: %v", method, path, err)
		}
		for name, value := range header {
			req.Header.Set(name, value)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Errorf("%s %.80s: %v", method, path, err)
			return 0, ""
		}
		defer res.Body.Close() //nolint:errcheck // read
		text, _ := io.ReadAll(io.LimitReader(res.Body, 1<<20))
		if len(res.Cookies()) > 0 || res.StatusCode >= 400 && !strings.HasPrefix(res.Header.Get("Content-Type"), "application/problem+json") {
			t.Errorf("%s %.80s = %d with %v", method, path, res.StatusCode, res.Header)
		}
		return res.StatusCode, string(text)
	}
	_, text := send("GET", "/openapi.json", nil, nil)
	var document struct {
		Paths map[string]map[string]struct{ RequestBody any }
	}
	if err := json.Unmarshal([]byte(text), &document); err != nil || len(document.Paths) < 30 {
		t.Fatalf("the document has %d paths, %v", len(document.Paths), err)
	}
	deep := strings.Repeat(`{"a":[`, 50_000) + strings.Repeat("]}", 50_000)
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write(bytes.Repeat([]byte(" "), 10<<20))
	_ = z.Close()
	for path, methods := range document.Paths {
		for name, operation := range methods {
			method := strings.ToUpper(name)
			if begin, rest, templated := strings.Cut(path, "{"); templated {
				_, end, _ := strings.Cut(rest, "}")
				for _, id := range hostileNames {
					status, text := send(method, begin+url.PathEscape(id)+end+"?reason=test", strings.NewReader("{}"), map[string]string{"Content-Type": "application/json"})
					if status >= 500 && status != 503 || status >= 200 && status < 300 && !strings.Contains(text, `"items":[]`) || status == 400 && text == "" {
						t.Errorf("%s %s with %.40q = %d %.200s", method, path, id, status, text)
					}
				}
			}
			if operation.RequestBody == nil {
				continue
			}
			place := strings.NewReplacer("{id}", "x", "{name}", "x").Replace(path)
			for kind, c := range map[string]struct{ body, mediaType, encoding string }{
				"deep":       {deep, "application/json", ""},
				"deep array": {strings.Repeat("[", 200_000), "application/json", ""},
				"zipped":     {zipped.String(), "application/json", "gzip"},
				"a form":     {"a=b", "application/x-www-form-urlencoded", ""},
				"plain":      {`{"x":1}`, "text/plain", ""},
				"nothing":    {"", "application/json", ""},
				"a number":   {strings.Repeat("9", 100_000), "application/json", ""},
				"twice":      {`{"reason":"a","reason":"b","dry_run":true,"dry_run":"no"}`, "application/json", ""},
				"half":       {`{"reason":"\ud800", "id": "\u0000"`, "application/json", ""},
			} {
				status, text := send(method, place, strings.NewReader(c.body), map[string]string{"Content-Type": c.mediaType, "Content-Encoding": c.encoding})
				if status < 400 || status >= 500 && status != 503 {
					t.Errorf("%s %s with %s = %d %.200s", method, path, kind, status, text)
				}
			}
			for _, header := range []map[string]string{{"Origin": "null"}, {"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
				{"Origin": "http://127.0.0.1:1"}, {"Host": "evil.example"}} {
				header["Content-Type"] = "text/plain"
				if status, text := send(method, place, strings.NewReader(`{"reason":"x"}`), header); header["Host"] == "" && (status != 403 || !strings.Contains(text, "cross_origin")) && status != 429 {
					t.Errorf("%s %s from a page with %v = %d %.200s", method, path, header, status, text)
				}
			}
		}
	}
	for _, path := range []string{"/../../etc/passwd", "/v1/..%2f..%2fetc/passwd", "//etc/passwd", "/v1/tasks/%2e%2e/%2e%2e", "/v1/tasks?after=" + strings.Repeat("a", 30_000), "/v1/tasks?limit=99999999999999999999",
		"/v1/tasks?status=%00", "/v1/explain?record=" + url.QueryEscape(strings.Repeat("../", 1000)), "/v1/config?x=" + strings.Repeat("y", 60_000), "/debug/pprof/", "/.git/config", "/v1/%"} {
		u := strings.ReplaceAll(path, "/v1/%", "/v1/%25")
		if status, text := send("GET", u, nil, nil); status < 301 || status >= 500 {
			t.Errorf("GET %.60s = %d %.100s", path, status, text)
		}
	}
	// A configuration that unfolds, is deep, or reads what is no file.
	for name, text := range map[string]string{
		"aliases":   "version: 1\nx: &a [1,1,1,1,1,1,1,1,1]\n" + bombOf(12),
		"itself":    "version: 1\nsystems: &a {x: *a}\n",
		"deep":      "version: 1\nsystems: " + strings.Repeat("[", 20_000),
		"a device":  "version: 1\nsystems: {x: {type: redis, url: \"${file:/dev/zero}\"}}\n",
		"a folder":  "version: 1\nsystems: {x: {type: redis, url: \"${file:/etc}\"}}\n",
		"a NUL":     "version: 1\nsystems: {x: {type: redis, url: \"${file:/etc/passwd\\0.txt}\"}}\n",
		"documents": strings.Repeat("---\nversion: 1\n", 10_000),
	} {
		body, _ := json.Marshal(map[string]any{"files": []map[string]string{{"name": "../../" + name + ".yaml", "text": text}}})
		for _, operation := range []string{"plan", "apply"} {
			began := time.Now()
			status, answer := send("POST", "/v1/config/"+operation, bytes.NewReader(body), map[string]string{"Content-Type": "application/json"})
			if status != 422 || strings.Contains(answer, "root:") || time.Since(began) > 10*time.Second {
				t.Errorf("%s of a configuration with %s = %d after %s: %.300s", operation, name, status, time.Since(began), answer)
			}
		}
	}
	p.ready()
	if after := filesOf(t, p.dir); after != before {
		t.Errorf("the files are\n%s, and were\n%s", after, before)
	}
	if err := p.stop(); err != nil {
		t.Errorf("stop = %v, want a clean exit", err)
	}
	if text := p.log.String(); strings.Contains(text, "panic") || strings.Contains(text, "request failed") {
		t.Errorf("the log tells of what went wrong:\n%.3000s", text)
	}
}

// bombOf is so many levels of nine aliases each.
func bombOf(levels int) string {
	var b strings.Builder
	for n := range levels {
		fmt.Fprintf(&b, "%c: &%c [%s]\n", 'b'+n, 'b'+n, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c,", 'a'+n), 9), ","))
	}
	return b.String()
}

// filesOf lists the files below a directory, but for those that the stores make and remove.
func filesOf(t *testing.T, dir string) string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && (strings.HasSuffix(path, ".yaml") || strings.HasSuffix(path, ".db")) || err == nil && d.IsDir() && !strings.Contains(path, "jetstream") && !strings.Contains(path, ".bleve") {
			list = append(list, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(list, "\n")
}

// TestTerminalsAreNotSteered: what others put into keys and texts reaches the terminal of whoever looks at it as text. It can neither steer the terminal nor
// look like a line of its own.
func TestTerminalsAreNotSteered(t *testing.T) {
	t.Parallel()
	p := newProgram(t, `
systems:
  pos: {type: http, capture: {mode: push, entities: {order: {key: [id]}}}}
  report: {type: sqlite, path: report.db}
rules:
  - {id: orders, from: pos/order, to: report/orders, create: true, retry: {max: 1, delay: 10ms}, transform: [{set: {n: 'int(after.name)'}}]}
`)
	p.start()
	p.ready()
	const evil = "\x1b]0;owned\x07\x1b[2J\u009b31m\u202eabc\x7f\uffff\nforged\r\tline"
	for n, entry := range []map[string]any{{"id": evil, "name": "x" + evil}} {
		body, err := json.Marshal(map[string]any{"specversion": "1.0", "id": fmt.Sprint("e", n), "source": "pos", "type": "order.created", "data": entry})
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.Post(p.url()+"/v1/events", "application/cloudevents+json", bytes.NewReader(body))
		if err != nil || res.StatusCode != http.StatusAccepted {
			t.Fatalf("POST = %v, %v", res, err)
		}
		_ = res.Body.Close()
	}
	id := ""
	eventually(t, "the event is parked", func(context.Context) error {
		var list struct {
			Items []struct {
				ID string `json:"id"`
			} `json:"items"`
		}
		out, _ := p.command(0, "tasks", "-o", "json", "--server", p.url())
		if err := json.Unmarshal([]byte(out), &list); err != nil {
			return fmt.Errorf("tasks say %s: %w", out, err)
		}
		if len(list.Items) == 0 {
			return errors.New("there is no task")
		}
		id = list.Items[0].ID
		return nil
	})
	for _, args := range [][]string{{"tasks"}, {"tasks", "show", id}, {"tasks", "-o", "json"}, {"tasks", "-o", "yaml"}, {"explain", "pos/order/" + url.PathEscape(evil)}, {"status"}, {"health"}, {"tasks", "cancel", "no" + evil, "--reason", "x"}} {
		var out, talk strings.Builder
		_ = run(t.Context(), append(args, "--server", p.url()), &out, &talk)
		shown := out.String() + talk.String()
		if strings.ContainsAny(shown, "\x1b\x07\r\u009b") || args[len(args)-1] != "yaml" && strings.ContainsRune(shown, '\u202e') || strings.Contains(shown, "\nforged") && args[len(args)-1] != "yaml" {
			t.Errorf("syncline %.60q shows %q", args, shown)
		}
		if !strings.Contains(shown, "owned") && (args[0] == "tasks" || args[0] == "explain") {
			t.Errorf("syncline %.60q does not show the key: %q", args, shown)
		}
	}
	if err := p.stop(); err != nil {
		t.Errorf("stop = %v, want a clean exit", err)
	}
	for line := range strings.SplitSeq(p.log.String(), "\n") {
		if strings.ContainsAny(line, "\x1b\x07\u009b") || line != "" && !strings.HasPrefix(line, "time=") {
			t.Errorf("the log has the line %q", line)
		}
	}
}
