package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"syncline/internal/ops"
)

// TestExitCodes: what a script can rely on.
func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.yaml"), filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(bad, []byte("version: 1\nsytems: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args   []string
		code   int
		stderr string
	}{
		{[]string{"init", "-c", good}, exitOK, "wrote"},
		{[]string{"init", "-c", good}, exitFailed, "file_exists"},
		{[]string{"validate", "-c", good}, exitOK, "is valid: 2 systems, 1 rule\n"},
		{[]string{"validate", "-c", bad}, exitConfig, "unknown_key"},
		{[]string{"validate", "-c", bad}, exitConfig, "\n1 problem\n"},
		{[]string{"run", "-c", filepath.Join(dir, "none.yaml")}, exitConfig, "unreadable"},
		{[]string{"status", "--server", "http://127.0.0.1:1"}, exitUnreachable, "unreachable"},
		{[]string{"frobnicate"}, exitUsage, "unknown command"},
		{[]string{"tasks", "cancel", "t", "--reason", "x", "-o", "xml"}, exitUsage, "table, json, yaml"},
		{[]string{"tasks", "retry"}, exitUsage, "give the IDs"},
		{[]string{"tasks", "cancel", "--reason", "x"}, exitUsage, "give the IDs"},
		{[]string{"tasks", "cancel", "t"}, exitUsage, "--reason"},
		{[]string{"tasks", "retry", "--route", "r", "--server", "http://127.0.0.1:1"}, exitUnreachable, "unreachable"},
		{[]string{"resume"}, exitUsage, "give a route, or --system"},
		{[]string{"resume", "r", "--system", "s"}, exitUsage, "not both"},
		{[]string{"resume", "r", "--server", "http://127.0.0.1:1"}, exitUnreachable, "unreachable"},
		{[]string{"validate", "--nonsense"}, exitUsage, "unknown flag"},
		{[]string{"version"}, exitOK, ""},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), test.args, &stdout, &stderr); code != test.code || !strings.Contains(stderr.String(), test.stderr) {
			t.Errorf("syncline %s = %d, %q, want %d and %q", strings.Join(test.args, " "), code, stderr.String(), test.code, test.stderr)
		}
	}
}

// TestSyncKeys: a key of several parts stays one.
func TestSyncKeys(t *testing.T) {
	var got ops.SyncRequest
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusAccepted)
		w.Write([]byte(`{"id": "sync-1"}`))
	}))
	defer server.Close()
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"sync", "crm/line", "--key", "42,7", "--key", "43,1", "--server", server.URL}, &stdout, &stderr); code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	if diff := cmp.Diff([]string{"42,7", "43,1"}, got.Keys); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}

// TestFormats: what a command has to say is there for scripts too.
func TestFormats(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		var err error
		switch {
		case r.Method == http.MethodGet && r.URL.Query().Get("after") == "":
			_, err = w.Write([]byte(`{"items":[{},{}],"next":"n"}`))
		case r.Method == http.MethodGet:
			_, err = w.Write([]byte(`{"items":[{}]}`))
		default:
			w.WriteHeader(http.StatusNoContent)
		}
		if err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(bad, []byte("version: 1\nsytems: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for command, want := range map[string]string{
		"schedules pause s1 s2 --reason x": "schedule s1 is paused until `syncline schedules resume s1`\nschedule s2 is paused until `syncline schedules resume s2`\n",
		"schedules resume s1":              "schedule s1 works again; see `syncline schedules`\n",
		"tasks cancel t1 --reason x":       "t1 is given up; see `syncline tasks show t1`\n",
		"verify cancel v1":                 "verification v1 is cancelled; see `syncline verify show v1`\n",
		"alerts unsilence q1":              "silence q1 has ended\n",
	} {
		if code, out, talk := invoke(t, append(strings.Fields(command), "--server", server.URL)...); code != exitOK || out != "" || talk != want {
			t.Errorf("syncline %s = %d %q, says %q, want %q", command, code, out, talk, want)
		}
	}
	for _, test := range []struct {
		args []string
		code int
		want string // in JSON, as it is printed
	}{
		{[]string{"version"}, 0, `"version"`},
		{[]string{"validate", "-c", bad}, exitConfig, `"unknown_key"`},
		{[]string{"tasks", "retry", "t1"}, 0, `"t1"`},
		{[]string{"tasks", "cancel", "t1", "--reason", "x"}, 0, `"t1"`},
		{[]string{"resume", "orders"}, 0, `"orders"`},
		{[]string{"verify", "cancel", "v1"}, 0, `"v1"`},
		{[]string{"resume", "rule", "orders"}, 0, `"orders"`},
		{[]string{"tasks", "--limit", "0"}, 0, `"items"`},
		{[]string{"tasks", "--limit", "2"}, 0, `"next"`},
		{[]string{"routes"}, 0, `"id"`},
		{[]string{"audit"}, 0, `"who"`},
		{[]string{"sync", "list"}, 0, `"kind"`},
		{[]string{"token", "list"}, 0, `"role"`},
	} {
		for _, format := range []string{"json", "yaml"} {
			code, out, talk := invoke(t, append(test.args, "--server", server.URL, "-o", format)...)
			var plain any
			err := yaml.Unmarshal([]byte(out), &plain) // JSON is YAML
			if text, _ := json.Marshal(plain); code != test.code || err != nil || !strings.Contains(string(text), test.want) {
				t.Errorf("syncline %s -o %s = %d %q %v, want %d with %s\n%s", strings.Join(test.args, " "), format, code, out, err, test.code, test.want, talk)
			}
			if format == "json" && !json.Valid([]byte(out)) {
				t.Errorf("syncline %s -o json is no JSON: %s", strings.Join(test.args, " "), out)
			}
		}
	}
	for _, args := range [][]string{{"tasks", "--limit", "0"}, {"routes"}, {"sync", "list"}, {"token", "list"}, {"audit", "--limit", "0"}} {
		_, out, _ := invoke(t, append(args, "--server", server.URL, "-o", "json")...)
		if n := strings.Count(out, "\n  {") + strings.Count(out, "\n    {"); n != 3 {
			t.Errorf("syncline %s shows %d items, want those of both pages:\n%s", strings.Join(args, " "), n, out)
		}
	}
}
