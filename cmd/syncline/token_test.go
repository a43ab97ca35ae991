package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"syncline/internal/access"
	"syncline/internal/ops"
)

// invoke runs a command in this process.
func invoke(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, talk bytes.Buffer
	code = run(t.Context(), args, &out, &talk)
	return code, out.String(), talk.String()
}

func create(t *testing.T, args ...string) ops.NewToken {
	t.Helper()
	code, out, talk := invoke(t, append([]string{"token", "create", "-o", "json"}, args...)...)
	var made ops.NewToken
	if err := json.Unmarshal([]byte(out), &made); code != 0 || err != nil || made.Secret == "" {
		t.Fatalf("token create %q = %d %q %v\n%s", args, code, out, err, talk)
	}
	return made
}

const pushed = `
systems:
  pos: {type: http, capture: {mode: push, entities: {order: {key: [id]}}}}
  web: {type: http, capture: {mode: push, entities: {order: {key: [id]}}}}
  find: {type: search, path: ./index}
rules:
  - {id: orders, from: pos/order, to: find/orders}
`

func sendEvent(t *testing.T, url, secret, source string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", url+"/v1/events", strings.NewReader(
		`{"specversion":"1.0","id":"1","source":"`+source+`","type":"order.created","data":{"id":1}}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/cloudevents+json")
	if secret != "" {
		req.Header.Set("Authorization", "Bearer "+secret)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}

// TestTokens: a server that runs obeys what is done to its state store, and the server that is named does the same.
func TestTokens(t *testing.T) {
	p := newProgram(t, pushed)
	p.start()
	p.ready()
	if code, _, talk := invoke(t, "status", "--server", p.url()); code != 0 {
		t.Fatalf("status without tokens = %d %s", code, talk)
	}
	admin := create(t, "-c", p.config, "--role", "admin", "--name", "me", "--expires", "30d")
	if code, _, talk := invoke(t, "status", "--server", p.url()); code != exitUnreachable || !strings.Contains(talk, "token_missing") {
		t.Errorf("status without the token = %d %s, want 4", code, talk)
	}
	if code, _, talk := invoke(t, "status", "--server", p.url(), "--token", admin.Secret); code != 0 {
		t.Errorf("status --token = %d %s", code, talk)
	}
	t.Setenv("SYNCLINE_TOKEN", admin.Secret)
	t.Setenv("SYNCLINE_SERVER", p.url())
	if code, out, talk := invoke(t, "status"); code != 0 || strings.Contains(out, "warning") {
		t.Errorf("status = %d %s%s", code, out, talk)
	}
	till := create(t, "--role", "publisher", "--system", "pos", "--name", "till")
	viewer := create(t, "--role", "viewer")
	for _, c := range []struct {
		secret, source string
		want           int
	}{{till.Secret, "pos", 202}, {till.Secret, "web", 403}, {till.Secret, "none", 403}, {viewer.Secret, "pos", 403}, {admin.Secret, "web", 202}} {
		if got := sendEvent(t, p.url(), c.secret, c.source); got != c.want {
			t.Errorf("an event of %s = %d, want %d", c.source, got, c.want)
		}
	}
	t.Setenv("SYNCLINE_TOKEN", viewer.Secret)
	if code, _, talk := invoke(t, "token", "list"); code != exitUnreachable || !strings.Contains(talk, "forbidden") {
		t.Errorf("token list as viewer = %d %s, want 4", code, talk)
	}
	if code, _, talk := invoke(t, "routes"); code != 0 {
		t.Errorf("routes as viewer = %d %s", code, talk)
	}
	t.Setenv("SYNCLINE_SERVER", "")
	if code, _, talk := invoke(t, "token", "revoke", "till", "-c", p.config, "--reason", "lost till"); code != 0 {
		t.Errorf("token revoke = %d %s", code, talk)
	}
	if got := sendEvent(t, p.url(), till.Secret, "pos"); got != 401 {
		t.Errorf("an event with a revoked token = %d, want 401", got)
	}
	code, out, talk := invoke(t, "token", "list", "-c", p.config)
	for _, want := range []string{"me", "publisher", "revoked", "pos", "never"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("token list = %d, want %q in\n%s%s", code, want, out, talk)
		}
	}
	t.Setenv("SYNCLINE_TOKEN", admin.Secret)
	code, out, talk = invoke(t, "audit", "--server", p.url(), "--since", "1h")
	for _, want := range []string{"create-token", "revoke-token", "local:", "forbidden", "source_forbidden", "till", "role=viewer", "lost till"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("audit = %d, want %q in\n%s%s", code, want, out, talk)
		}
	}
	for _, secret := range []string{admin.Secret, till.Secret, viewer.Secret} {
		if strings.Contains(out, secret[20:]) || bytes.Contains(p.log.Bytes(), []byte(secret[20:])) {
			t.Error("a secret is shown a second time")
		}
	}
}

// TestListenForOthers: an address that others can reach needs a token before the start.
func TestListenForOthers(t *testing.T) {
	config := filepath.Join(t.TempDir(), "syncline.yaml")
	if err := os.WriteFile(config, []byte("version: 1\nhttp: {listen: \"0.0.0.0:0\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, talk := invoke(t, "run", "-c", config)
	if code != exitFailed || !strings.Contains(talk, "insecure_listen") || !strings.Contains(talk, "syncline token create --role admin") {
		t.Errorf("run without tokens = %d %s", code, talk)
	}
}

func TestTokenArguments(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{"90d": "2027-02-21T12:00:00Z", "12h": "2026-11-24T00:00:00Z", "2027-01-31T00:00:00Z": "2027-01-31T00:00:00Z"} {
		if got, err := expiry(text, now); err != nil || got.Format(time.RFC3339) != want {
			t.Errorf("expiry(%s) = %v, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"soon", "0d", "-1h", "2027-01-31"} {
		if got, err := expiry(text, now); err == nil {
			t.Errorf("expiry(%s) = %v, want an error", text, got)
		}
	}
	for _, args := range [][]string{{"token", "create"}, {"token", "create", "--role", "god"}, {"token", "create", "--role", "viewer", "--expires", "soon"},
		{"token", "revoke"}} {
		if code, _, talk := invoke(t, args...); code != exitUsage {
			t.Errorf("%q = %d %s, want 2", args, code, talk)
		}
	}
	config := filepath.Join(t.TempDir(), "syncline.yaml")
	if err := os.WriteFile(config, []byte("version: 1\n"+pushed), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, talk := invoke(t, "token", "create", "-c", config, "--role", "publisher", "--system", "ops"); code != exitFailed || !strings.Contains(talk, "unknown_source") {
		t.Errorf("a publisher of an unknown system = %d %s", code, talk)
	}
	for _, args := range [][]string{{"audit", "--since", "soon"}, {"audit", "--to", "-1h"}} {
		if code, _, talk := invoke(t, args...); code != exitUsage {
			t.Errorf("%q = %d %s, want 2", args, code, talk)
		}
	}
	revoked := time.Now()
	if got := ends(&access.Token{Revoked: &revoked}, now); !strings.HasPrefix(got, "revoked ") {
		t.Errorf("ends = %q", got)
	}
}
