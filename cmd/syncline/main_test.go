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
