package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"

	"syncline/internal/ops"
	"syncline/internal/testserver"
)

// TestDeleteMissingComparesKeysOfAllTypes: what is equal at the source and at a target is not taken for missing because it is written in another way, and what
// is missing is removed at every kind of target.
func TestDeleteMissingComparesKeysOfAllTypes(t *testing.T) {
	pg := testserver.NewPostgres(t)
	red := testserver.NewRedis(t)
	srcURL, dstURL := pg.Database(t), pg.Database(t)
	src, dst := connect(t, srcURL), connect(t, dstURL)
	tables := map[string]string{
		"mixed":   `(a uuid, b timestamptz, c numeric(12,4), v text, PRIMARY KEY (a, b, c))`,
		"texts":   `(a text, b bytea, v text, PRIMARY KEY (a, b))`,
		"numbers": `(a bigint, b double precision, c bool, d date, v text, PRIMARY KEY (a, b, c, d))`,
	}
	rows := map[string]string{
		"mixed":   `md5(i::text)::uuid, timestamptz '2026-01-01 00:00:00.25+02' + i * interval '1 hour', i * 1.5, 'v'`,
		"texts":   `'a,b%' || i || E'\n"é', decode(md5(i::text), 'hex'), 'v'`,
		"numbers": `-i, i / 7.0, i % 2 = 0, date '2026-01-01' + i, 'v'`,
	}
	config := fmt.Sprintf(`
systems:
  crm: {type: postgres, url: %q, capture: {manage: true, entities: {mixed: {table: mixed}, texts: {table: texts}, numbers: {table: numbers}}}}
  dw: {type: postgres, url: %q}
  cache: {type: redis, url: %q}
  file: {type: sqlite, url: "sqlite:%s"}
rules:
`, srcURL, dstURL, red.URL(), filepath.Join(t.TempDir(), "file.db"))
	for name, columns := range tables {
		mustExec(t, src, "CREATE TABLE "+name+" "+columns)
		mustExec(t, src, fmt.Sprintf("INSERT INTO %s SELECT %s FROM generate_series(1, 40) i", name, rows[name]))
		for _, target := range []string{"dw", "cache", "file"} {
			config += fmt.Sprintf("  - {id: %s-%s, from: crm/%[1]s, to: %[2]s/%[1]s%[3]s}\n", name, target, map[bool]string{true: ", create: true"}[target != "cache"])
		}
	}
	p := newProgram(t, config)
	p.start()
	p.ready()
	p.caughtUp()
	find := func(entity string, percent float64, dry bool) map[string]ops.MissingTarget {
		t.Helper()
		found, err := p.client().DeleteMissing(t.Context(), ops.MissingRequest{Source: "crm", Entity: entity, DryRun: dry, MaxPercent: &percent})
		if err != nil {
			t.Fatalf("%s: %v", entity, err)
		}
		by := make(map[string]ops.MissingTarget)
		for _, one := range found.Targets {
			by[one.Target] = one
		}
		if text, _ := json.Marshal(found.Targets); len(by) != 3 {
			t.Errorf("%s: %s, want three targets", entity, text)
		}
		return by
	}
	for name := range tables {
		for target, one := range find(name, 100, true) {
			if one.Missing != 0 || one.Records != 40 || one.Note != "" {
				t.Errorf("%s at %s: %+v, want 40 records and none missing", name, target, one)
			}
		}
	}

	// The records go at the source while nobody looks.
	p.kill()
	for name := range tables {
		mustExec(t, dst, fmt.Sprintf("INSERT INTO %s SELECT %s FROM generate_series(101, 103) i", name, rows[name]))
	}
	p.start()
	p.ready()
	for name := range tables {
		if got := find(name, 100, false)["dw"]; got.Missing != 3 || got.Records != 43 {
			t.Errorf("%s at dw: %+v, want 3 of 43 missing", name, got)
		}
	}
	p.caughtUp()
	eventually(t, "what is missing is removed", func(ctx context.Context) error {
		for name := range tables {
			var n int
			if err := dst.QueryRow(ctx, "SELECT count(*) FROM "+name).Scan(&n); err != nil {
				return err
			}
			if n != 40 {
				return fmt.Errorf("%s has %d records", name, n)
			}
		}
		return nil
	})
}
