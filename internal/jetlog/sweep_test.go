package jetlog

import (
	"os"
	"path/filepath"
	"testing"
)

// TestStartAfterAKillWhileStarting: the server tries its directory with a file that a kill leaves behind.
func TestStartAfterAKillWhileStarting(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mustLog(t, s, "crm").Append(t.Context(), batch(1, 0)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "jetstream", "_test_2975607962"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	bounds, err := mustLog(t, mustOpen(t, Options{Dir: dir}), "crm").Bounds(t.Context())
	if err != nil || bounds.Last != 1 {
		t.Errorf("Bounds = %+v, %v, want one entry", bounds, err)
	}
}
