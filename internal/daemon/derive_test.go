package daemon

import (
	"database/sql"
	"path/filepath"
	"testing"

	"syncline/internal/state"
)

// TestDerivedTypesReachTheRules, for records of the first copy and for changes.
func TestDerivedTypesReachTheRules(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	crm := filepath.Join(dir, "crm.db")
	execute(t, crm, `CREATE TABLE customer (id INTEGER PRIMARY KEY, tier TEXT, archived_at TEXT, merged_into INTEGER)`,
		`INSERT INTO customer VALUES (1, 'gold', NULL, NULL), (2, 'gold', '2025', NULL), (3, 'free', NULL, 1), (4, 'free', NULL, NULL), (5, 'free', NULL, NULL)`)
	running(t, load(t, dir, `
version: 1
log: {dir: "$DIR/log"}
state: {url: "sqlite:$DIR/state.db"}
http: {listen: "127.0.0.1:0"}
systems:
  crm:
    type: sqlite
    url: "sqlite:$DIR/crm.db"
    capture:
      manage: true
      entities:
        customer:
          type_when: {archived: after.archived_at != nil, merged: after.merged_into != nil, into: after.merged_into}
          priority: 'after.tier == "gold" ? "high" : nil'
  dw: {type: sqlite, url: "sqlite:$DIR/dw.db"}
rules:
  - {id: all, from: crm/customer, to: dw/everybody, create: true, on: {archived: hard}}
  - {id: urgent, from: crm/customer, to: dw/urgent, create: true, min_priority: high, on: {archived: {soft: {archived: true}}}}
`))
	db, err := sql.Open("sqlite", filepath.Join(dir, "dw.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	is := func(query, want string) {
		t.Helper()
		var got sql.NullString
		eventually(t, "the table is as the rule says: "+query, func() bool {
			err := db.QueryRowContext(ctx, query).Scan(&got)
			return err == nil && got.String == want
		})
	}
	all, urgent := "SELECT group_concat(id) FROM (SELECT id FROM everybody ORDER BY id)", "SELECT group_concat(id || ' ' || archived) FROM (SELECT * FROM urgent ORDER BY id)"
	is(all, "1,4,5")
	is(urgent, "1 0,2 1")
	execute(t, crm, `UPDATE customer SET archived_at = '2026' WHERE id = 4`, `UPDATE customer SET merged_into = 1 WHERE id = 5`, `UPDATE customer SET archived_at = NULL WHERE id = 2`)
	is(all, "1,2")
	is(urgent, "1 0,2 0")
}

// TestAnUrgentChangeGoesAhead of what a route has missed while it was paused.
func TestAnUrgentChangeGoesAhead(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	crm := filepath.Join(dir, "crm.db")
	execute(t, crm, `CREATE TABLE customer (id TEXT PRIMARY KEY, tier TEXT)`)
	d := running(t, load(t, dir, `
version: 1
log: {dir: "$DIR/log"}
state: {url: "sqlite:$DIR/state.db"}
http: {listen: "127.0.0.1:0"}
systems:
  crm:
    type: sqlite
    url: "sqlite:$DIR/crm.db"
    capture: {manage: true, entities: {customer: {priority: 'after.tier == "vip" ? "critical" : nil'}}}
  dw: {type: sqlite, url: "sqlite:$DIR/dw.db"}
rules:
  - {id: r, from: crm/customer, to: dw/customer, create: true, batch: {max_rows: 50, max_wait: 0s}}
`))
	db := openDatabase(t, filepath.Join(dir, "dw.db"))
	rows := func(query string) (n int) {
		_ = db.QueryRowContext(ctx, query).Scan(&n) // no table yet: 0
		return n
	}
	execute(t, crm, `INSERT INTO customer VALUES ('first', 'free')`)
	eventually(t, "the first record", func() bool { return rows("SELECT count(*) FROM customer") == 1 })
	rule := []state.Pause{{Kind: "rule", Name: "r", Reason: "test"}}
	if _, err := d.Engine().Pause(ctx, rule); err != nil {
		t.Fatal(err)
	}
	execute(t, crm, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) INSERT INTO customer SELECT 'normal ' || i, 'free' FROM n`,
		`INSERT INTO customer VALUES ('urgent', 'vip')`)
	eventually(t, "everything is in the log", func() bool { return d.source("crm").capture.Status().Events >= 3002 })
	if err := d.Engine().Unpause(ctx, rule); err != nil {
		t.Fatal(err)
	}
	eventually(t, "everything is there", func() bool { return rows("SELECT count(*) FROM customer") == 3002 })
	if before := rows("SELECT count(*) FROM customer WHERE rowid < (SELECT rowid FROM customer WHERE id = 'urgent')"); before > 1500 {
		t.Errorf("%d records were applied before the urgent one, want it ahead of most of 3000", before)
	}
}
