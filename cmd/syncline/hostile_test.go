package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"syncline/internal/hostile"
)

var updateHostile = flag.Bool("update", false, "rewrite what becomes of hostile values")

// TestHostileValues: what is hard to hold comes to every target from every source as it is, whichever way it comes; what a target cannot hold waits
// there with a code, and says so each time. Nothing is different in silence.
func TestHostileValues(t *testing.T) {
	t.Parallel()
	w := newHostileWorld(t)
	w.start()
	w.answers()
	eventually(t, "events are taken", func(ctx context.Context) error {
		list, err := w.client().Systems(ctx)
		for _, s := range list {
			if s.Name == "app" && s.State != "running" {
				err = errors.New(s.State)
			}
		}
		return err
	})
	refused := w.push(0)
	w.pushStrange()
	w.sync("api", "v", "incremental")
	tables := map[string][]hostile.Column{"postgres": hostile.PostgresColumns, "sqlite": hostile.SQLiteColumns, "json": hostile.JSONColumns}
	compare := func(stage string) {
		t.Helper()
		for _, kind := range slices.Sorted(maps.Keys(tables)) {
			path := filepath.Join("../../internal/hostile/testdata", kind+".txt")
			for _, system := range hostileSources[kind] {
				if *updateHostile && stage == "copied" && system == hostileSources[kind][0] {
					if err := os.WriteFile(path, []byte(w.outcomes(system, tables[kind], refused)), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				lines := strings.Split(w.since(string(want), tables[kind]), "\n")
				eventually(t, stage+", from "+system, func(context.Context) error {
					if diff := gocmp.Diff(lines, strings.Split(w.outcomes(system, tables[kind], refused), "\n")); diff != "" {
						return fmt.Errorf("(-%s +got):\n%s", path, diff)
					}
					return nil
				})
			}
		}
	}
	check := func(stage string) {
		t.Helper()
		compare(stage)
		w.verify(stage)
	}
	w.ready()
	w.told(0, "crm", "shop", "file", "till", "app", "api")
	check("copied")
	w.keys(0)

	mustExec(t, w.src, "UPDATE v SET n = 1")
	mustExec(t, w.src, "UPDATE k SET n = 1")
	w.write("UPDATE v SET n = 1")
	w.push(1)
	w.sync("shop", "v", "incremental")
	w.sync("till", "v", "incremental")
	w.sync("api", "v", "incremental")
	w.told(1, "crm", "shop", "file", "till", "app", "api")
	check("changed and polled")
	w.keys(1)

	// A run reads all again, over targets that have lost it.
	mustExec(t, w.dw, "DELETE FROM crm_v")
	mustExec(t, w.dw, "DELETE FROM file_v")
	for _, system := range []string{"crm", "file"} {
		w.sync(system, "v", "full")
	}
	w.caughtUp()
	check("read again")

	// What waits is told, and waits for the same reason when it is tried again.
	w.tell()
	w.retryAll()
	compare("tried again")

	mustExec(t, w.src, "DELETE FROM k")
	eventually(t, "the keys are gone", func(ctx context.Context) error {
		var n int
		err := w.dw.QueryRow(ctx, "SELECT count(*) FROM crm_k").Scan(&n)
		if err == nil && n > 0 {
			err = fmt.Errorf("%d are left", n)
		}
		return err
	})
	w.caughtUp()
	if keys, err := w.red.Keys(t.Context(), "*crm_k:*").Result(); err != nil || len(keys) > 0 {
		t.Errorf("the cache still has %.200q, %v", keys, err)
	}
	if err := w.stop(); err != nil {
		t.Errorf("stop = %v, want a clean exit", err)
	}
}
