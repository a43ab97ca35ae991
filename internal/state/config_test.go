package state

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestTheAppliedConfiguration is the latest, also after the store was closed; a version that was noted stays as it is.
func TestTheAppliedConfiguration(t *testing.T) {
	ctx := t.Context()
	path := t.TempDir() + "/state.db"
	s := openAt(t, path)
	if c, err := s.Config(ctx); err != nil || c.Version != 0 {
		t.Fatalf("Config of a new store = %+v, %v", c, err)
	}
	config := func(version int64) Config {
		return Config{Version: version, Hash: fmt.Sprint("h", version), By: "somebody", Applied: time.UnixMicro(version).UTC(),
			Files: []ConfigFile{{"a.yaml", "version: 1\n"}, {"b.yaml", fmt.Sprintf("# %d\n", version)}}}
	}
	for version := int64(1); version <= 30; version++ {
		if err := s.SaveConfig(ctx, config(version)); err != nil {
			t.Fatal(err)
		}
	}
	again := config(30)
	again.Hash = "another"
	if err := s.SaveConfig(ctx, again); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, path)
	got, err := s.Config(ctx)
	if diff := cmp.Diff(config(30), got); err != nil || diff != "" {
		t.Errorf("Config: %v (-want +got):\n%s", err, diff)
	}
	var n int
	if err := s.readers.QueryRowContext(ctx, "SELECT count(*) FROM config").Scan(&n); err != nil || n != keptConfigs {
		t.Errorf("%d configurations are kept (%v), want %d", n, err, keptConfigs)
	}
}
