package daemon

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"syncline/internal/testserver"
)

// TestCheckOfRules: a check tells what would halt each rule, from the columns of its source and what its target has, and makes
// nothing.
func TestCheckOfRules(t *testing.T) {
	dir := t.TempDir()
	execute(t, filepath.Join(dir, "crm.db"), "CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT, email TEXT)", "CREATE TABLE audit (what TEXT)")
	execute(t, filepath.Join(dir, "report.db"), "CREATE TABLE whole (id INTEGER PRIMARY KEY, name TEXT, email TEXT)",
		"CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT)", "CREATE TABLE old (id INTEGER PRIMARY KEY)", "CREATE TABLE loose (id INTEGER, name TEXT, email TEXT)", "CREATE TABLE headless (name TEXT)")
	pg := testserver.NewPostgres(t)
	url := pg.Database(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "CREATE TABLE whole (id bigint PRIMARY KEY, name text, email text); CREATE TABLE part (id bigint PRIMARY KEY); CREATE TABLE loose (id bigint)"); err != nil {
		t.Fatal(err)
	}
	c := load(t, dir, `
version: 1
log: {dir: "$DIR/log"}
state: {url: "sqlite:$DIR/state.db"}
systems:
  crm: {type: sqlite, url: "sqlite:$DIR/crm.db", capture: {manage: true, entities: {customer: {table: customer}, audit: {table: audit}}}}
  report: {type: sqlite, url: "sqlite:$DIR/report.db"}
  new: {type: sqlite, url: "sqlite:$DIR/new.db"}
  dw: {type: postgres, url: "`+url+`"}
  cache: {type: nats_kv, url: embedded, bucket: cache}
  redis: {type: redis, url: "redis://127.0.0.1:1/0"}
rules:
  - {id: whole, from: crm/customer, to: report/whole}
  - {id: lacks, from: crm/customer, to: report/part}
  - {id: adds, from: crm/customer, to: report/old, schema: evolve}
  - {id: missing, from: crm/customer, to: report/nowhere}
  - {id: made, from: crm/customer, to: new/customer, create: true}
  - {id: unmade, from: crm/customer, to: new/other}
  - {id: index, from: crm/customer, to: report/loose}
  - {id: headless, from: crm/customer, to: report/headless}
  - {id: when, from: crm/customer, to: report/whole2, create: true, when: 'after.nmae == "x"'}
  - {id: condition, from: crm/customer, to: report/whole3, create: true, conditions: [{field: tier, operator: equals, value: gold}]}
  - {id: step, from: crm/customer, to: report/whole4, create: true, transform: [{rename: {mail: m}}]}
  - {id: dropped, from: crm/customer, to: report/whole5, create: true, transform: [{drop: [id]}]}
  - {id: keyless, from: crm/audit, to: cache/audit}
  - {id: keyless-sql, from: crm/audit, to: report/audit, create: true}
  - {id: off, from: crm/customer, to: report/off, enabled: false}
  - {id: pg, from: crm/customer, to: dw/whole}
  - {id: pg-lacks, from: crm/customer, to: dw/part}
  - {id: pg-adds, from: crm/customer, to: dw/part2, create: true}
  - {id: pg-index, from: crm/customer, to: dw/loose, schema: evolve}
  - {id: pg-missing, from: crm/customer, to: dw/nowhere}
  - {id: pg-schema, from: crm/customer, to: dw/sales.customer, create: true}
  - {id: unreachable, from: crm/customer, to: redis/customer}
`)
	before := contents(t, dir)
	got := make(map[string][]string)
	for _, f := range Check(t.Context(), c) {
		if f.Rule == "" {
			continue
		}
		got[f.Rule] = append(got[f.Rule], f.Level+" "+f.Code)
		if f.Level == "fail" && f.Fix == "" {
			t.Errorf("%+v has no fix", f)
		}
	}
	want := map[string][]string{
		"whole": {"ok "}, "lacks": {"warn object_differs", "ok "}, "adds": {"ok "}, "missing": {"fail object_missing"},
		"made": {"ok "}, "unmade": {"fail object_missing"}, "index": {"fail key_index_missing"}, "headless": {"fail column_missing"},
		"when": {"fail unknown_column"}, "condition": {"fail unknown_column"}, "step": {"fail unknown_column"}, "dropped": {"fail key_dropped"},
		"keyless": {"fail key_missing"}, "keyless-sql": {"ok "},
		"pg": {"ok "}, "pg-lacks": {"warn object_differs", "warn object_differs", "ok "}, "pg-adds": {"ok "}, "pg-index": {"fail key_index_missing"},
		"pg-missing": {"fail object_missing"}, "pg-schema": {"fail schema_missing"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("check of rules (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
		t.Errorf("check changed files (-before +after):\n%s", diff)
	}
	var tables int
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')").Scan(&tables); err != nil || tables != 3 {
		t.Errorf("%d tables at the target, %v, want the 3 that were there", tables, err)
	}
}
