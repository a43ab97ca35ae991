package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
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
		{[]string{"validate", "-c", good}, exitOK, "is valid"},
		{[]string{"validate", "-c", bad}, exitConfig, "unknown_key"},
		{[]string{"run", "-c", filepath.Join(dir, "none.yaml")}, exitConfig, "unreadable"},
		{[]string{"status", "--server", "http://127.0.0.1:1"}, exitUnreachable, "unreachable"},
		{[]string{"frobnicate"}, exitUsage, "unknown command"},
		{[]string{"tasks", "retry"}, exitUsage, "accepts 1 arg"},
		{[]string{"validate", "--nonsense"}, exitUsage, "unknown flag"},
		{[]string{"version"}, exitOK, ""},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), test.args, &stdout, &stderr); code != test.code || !strings.Contains(stderr.String(), test.stderr) {
			t.Errorf("syncline %s = %d, %q, want %d and %q", strings.Join(test.args, " "), code, stderr.String(), test.code, test.stderr)
		}
	}
}
