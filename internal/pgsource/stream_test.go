package pgsource

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

// describe writes an event as "op entity before -> after".
func describe(e *syncline.Event) string {
	row := func(values []syncline.Value) string {
		list := make([]string, len(values))
		for i, v := range values {
			if list[i] = v.Text(); v.IsNull() || v.IsUnset() {
				list[i] = v.String()
			}
			if n := len(list[i]); n > 100 {
				list[i] = fmt.Sprintf("%s…%d", list[i][:4], n)
			}
		}
		return strings.Join(list, ",")
	}
	return strings.TrimRight(fmt.Sprintf("%s %s [%s] [%s]", e.Op, e.Schema.Entity, row(e.Before), row(e.After)), " ")
}

func wantEvents(t *testing.T, got []*syncline.Event, want ...string) {
	t.Helper()
	var list []string
	for _, e := range got {
		list = append(list, describe(e))
	}
	if diff := cmp.Diff(want, list); diff != "" {
		t.Errorf("events differ (-want +got):\n%s", diff)
	}
}

const large = "repeat(md5(random()::text), 400)"

func TestReplicaIdentities(t *testing.T) {
	for _, tc := range []struct {
		identity string
		manage   bool
		want     []string
	}{
		{"DEFAULT", true, []string{"created t [] [1,k1,a,L]", "updated t [] [1,k1,b,unset]", "updated t [1,unset,unset,unset] [2,k1,b,unset]", "deleted t [2,unset,unset,unset] []"}},
		{"USING INDEX t_k", true, []string{"created t [] [1,k1,a,L]", "updated t [] [1,k1,b,unset]", "updated t [] [2,k1,b,unset]", "deleted t [unset,k1,unset,unset] []"}},
		{"FULL", true, []string{"created t [] [1,k1,a,L]", "updated t [1,k1,a,L] [1,k1,b,L]", "updated t [1,k1,b,L] [2,k1,b,L]", "deleted t [2,k1,b,L] []"}},
		{"NOTHING", true, []string{"created t [] [1,k1,a,L]"}},
	} {
		t.Run(tc.identity, func(t *testing.T) {
			d := newDB(t, "CREATE TABLE t (id int PRIMARY KEY, k text NOT NULL, v text, big text)", "ALTER TABLE t ALTER big SET STORAGE EXTERNAL",
				"CREATE UNIQUE INDEX t_k ON t (k)", "ALTER TABLE t REPLICA IDENTITY "+tc.identity)
			p := record(t, d.options("t"))
			p.copied()
			d.exec("INSERT INTO t VALUES (1, 'k1', 'a', " + large + ")")
			text := d.text("SELECT big FROM t")
			d.exec("UPDATE t SET v = 'b'")
			d.exec("UPDATE t SET id = 2")
			d.exec("DELETE FROM t") // the application's statement works whatever the identity
			got := p.events(len(tc.want))
			for i := range tc.want {
				tc.want[i] = strings.ReplaceAll(tc.want[i], "L", fmt.Sprintf("%s…%d", text[:4], len(text)))
			}
			wantEvents(t, got, tc.want...)
		})
	}
}

// TestOrdinals: an update that comes with its old row counts twice, a table that is not captured counts too.
func TestOrdinals(t *testing.T) {
	d := newDB(t, "CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE other (id int PRIMARY KEY)")
	d.exec("CREATE PUBLICATION pub FOR ALL TABLES")
	p := record(t, d.options("t"))
	p.copied()
	d.exec("BEGIN; INSERT INTO other VALUES (1); INSERT INTO t VALUES (1); UPDATE other SET id = 2; UPDATE t SET id = 2; TRUNCATE other, t; INSERT INTO t VALUES (3); COMMIT")
	var got []uint32
	for _, e := range p.events(4) {
		got = append(got, e.Ordinal)
	}
	// other's rows take 1 and 3 to 4; TRUNCATE takes one for each of its tables, in an order that the server chooses.
	if got[0] != 2 || got[1] != 6 || got[2] < 7 || got[2] > 8 || got[3] != 9 {
		t.Errorf("ordinals = %v, want 2, 6, 7 or 8, 9", got)
	}
}

// TestSchemaChanges alters the table between rows, also inside one transaction: each row comes with the shape that it had.
func TestSchemaChanges(t *testing.T) {
	d := newDB(t, "CREATE TABLE t (id int PRIMARY KEY, a text)", "INSERT INTO t VALUES (0, 'old')")
	p := record(t, d.options("t"))
	p.copied()
	d.exec("INSERT INTO t VALUES (1, 'x')")
	d.exec("BEGIN; ALTER TABLE t ADD b int NOT NULL DEFAULT 7; INSERT INTO t VALUES (2, 'x', 8); ALTER TABLE t RENAME a TO c; INSERT INTO t VALUES (3, 'y', 9); COMMIT")
	d.exec("ALTER TABLE t DROP c")
	d.exec("INSERT INTO t VALUES (4, 10)")
	d.exec("ALTER TABLE t ALTER b TYPE numeric(6,2)")
	d.exec("INSERT INTO t VALUES (5, 1.5)")
	d.exec("ALTER TABLE t ADD n text")
	d.exec("INSERT INTO t VALUES (6, 1.5, 'z')")
	for _, crash := range []bool{false, true} {
		got := p.events(6)
		var shapes []string
		for _, e := range got {
			var list []string
			for _, c := range e.Schema.Columns {
				list = append(list, c.Name+" "+c.Type)
			}
			shapes = append(shapes, strings.Join(list, ", "))
		}
		want := []string{"id integer, a text", "id integer, b integer, a text", "id integer, b integer, c text", "id integer, b integer",
			"id integer, b numeric(6,2)", "id integer, b numeric(6,2), n text"}
		for i := range want { // columns that are gone from the catalog have lost their place
			if !sameSet(want[i], shapes[i]) {
				t.Errorf("after crash: %t: row %d has columns %q, want %q", crash, i+1, shapes[i], want[i])
			}
		}
		if !crash {
			p.crash(len(p.log) - 3)
		}
	}
}

func sameSet(a, b string) bool {
	count := map[string]int{}
	for _, s := range strings.Split(a, ", ") {
		count[s]++
	}
	for _, s := range strings.Split(b, ", ") {
		count[s]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}

func TestDefaultOfAnAddedColumn(t *testing.T) {
	d := newDB(t, "CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
	p := record(t, d.options("t"))
	p.copied()
	d.exec("ALTER TABLE t ADD d timestamptz DEFAULT clock_timestamp()") // rewrites the table
	d.exec("ALTER TABLE t ADD b text NOT NULL DEFAULT 'it''s', ADD c int")
	d.exec("INSERT INTO t VALUES (2)")
	s := p.events(1)[0].Schema
	var got []string
	for _, c := range s.Columns[1:] {
		got = append(got, c.Default)
	}
	if diff := cmp.Diff([]string{"", "'it''s'::text", "NULL"}, got); diff != "" {
		t.Errorf("defaults differ (-want +got):\n%s", diff)
	}
	d.exec("UPDATE t SET c = 1 WHERE id = 1")
	d.exec("VACUUM ANALYZE t")
	d.exec("UPDATE t SET c = 2 WHERE id = 1")
	if e := p.events(3); e[2].Schema.Fingerprint() != s.Fingerprint() {
		t.Error("a table that was only analysed has another schema")
	}
}

func TestOneSchemaPointerPerVersion(t *testing.T) {
	d := newDB(t, "CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
	src, err := New(d.options("t"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = src.Close() })
	if err := src.Open(deadline(t), nil, syncline.Position{}); err != nil {
		t.Fatal(err)
	}
	var schemas []*syncline.Schema
	for len(schemas) < 4 {
		b, err := src.Next(deadline(t))
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.Events {
			schemas = append(schemas, b.Events[i].Schema)
			if len(schemas) < 4 {
				d.exec("INSERT INTO t VALUES ($1)", len(schemas)+1)
				d.exec("ANALYZE t")
			}
		}
	}
	for _, s := range schemas {
		if s != schemas[0] {
			t.Error("rows of one shape have different schemas")
		}
	}
}

// TestCopyWithSharedPositions loads rows by COPY, which gives many rows one LSN, and restarts after every batch of it.
func TestCopyWithSharedPositions(t *testing.T) {
	d := newDB(t, "CREATE TABLE t (id int PRIMARY KEY)")
	p := record(t, d.options("t"))
	p.copied()
	const rows = 13000
	var data strings.Builder
	for i := range rows {
		fmt.Fprintf(&data, "%d\n", i)
	}
	if _, err := d.conn.PgConn().CopyFrom(context.Background(), strings.NewReader(data.String()), "COPY t FROM STDIN"); err != nil {
		t.Fatal(err)
	}
	crashes := 0
	for len(p.streamed()) < rows {
		if b := p.next(); len(b.Events) > 0 && b.Partial {
			p.crash(0)
			crashes++
		}
	}
	if crashes < 2 {
		t.Errorf("restarted %d times, want it to happen inside the transaction", crashes)
	}
	for i, e := range p.streamed() {
		if e.After[0].Text() != fmt.Sprint(i) {
			t.Fatalf("row %d is %v", i, e.After[0])
		}
	}
}

func TestRowOf20MB(t *testing.T) {
	d := newDB(t, "CREATE TABLE t (id int PRIMARY KEY, a text, b bytea)", "INSERT INTO t VALUES (1, repeat('名', 4000000), decode(repeat('ab', 8000000), 'hex'))")
	p := record(t, d.options("t"))
	p.copied()
	d.exec("INSERT INTO t SELECT 2, a, b FROM t")
	d.exec("INSERT INTO t VALUES (3, 'small', '')")
	got := p.events(2)
	copied := p.log[2].Events[0].After
	for i := 1; i < 3; i++ {
		if !syncline.Equal(copied[i], got[0].After[i]) || len(copied[i].Bytes()) < 8_000_000 {
			t.Errorf("column %d: %d bytes copied, %d streamed", i, len(copied[i].Bytes()), len(got[0].After[i].Bytes()))
		}
	}
	if got[1].After[1].Text() != "small" {
		t.Errorf("the row after it is %v", got[1].After)
	}
}

func TestTruncateOfSeveralTables(t *testing.T) {
	d := newDB(t, "CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a)", "CREATE TABLE c (id int PRIMARY KEY)")
	p := record(t, d.options("a", "b"))
	p.copied()
	d.exec("BEGIN; INSERT INTO a VALUES (1); TRUNCATE a CASCADE; INSERT INTO a VALUES (2); COMMIT")
	got := p.events(4)
	if describe(got[1]) > describe(got[2]) {
		got[1], got[2] = got[2], got[1]
	}
	wantEvents(t, got, "created a [] [1]", "truncated a [] []", "truncated b [] []", "created a [] [2]")
}

// TestPartitions: rows of all partitions are rows of the table, also of one that is attached later, and so is one that moves.
func TestPartitions(t *testing.T) {
	d := newDB(t, "CREATE TABLE t (id int, region text, PRIMARY KEY (id, region)) PARTITION BY LIST (region)",
		"CREATE TABLE t_eu PARTITION OF t FOR VALUES IN ('eu')", "INSERT INTO t VALUES (1, 'eu')")
	p := record(t, d.options("t"))
	p.copied()
	if n := len(p.log[2].Events); n != 1 {
		t.Errorf("%d rows copied, want 1", n)
	}
	d.exec("CREATE TABLE t_us PARTITION OF t FOR VALUES IN ('us')")
	d.exec("INSERT INTO t VALUES (2, 'us')")
	d.exec("INSERT INTO t_eu VALUES (3, 'eu')")
	d.exec("UPDATE t SET region = 'us' WHERE id = 1")
	wantEvents(t, p.events(4), "created t [] [2,us]", "created t [] [3,eu]", "deleted t [1,eu] []", "created t [] [1,us]")
}

// TestOrigins: a transaction names its replication origin, or the mark that its writer left in it.
func TestOrigins(t *testing.T) {
	d := newDB(t, "CREATE TABLE t (id int PRIMARY KEY)")
	p := record(t, d.options("t"))
	p.copied()
	d.exec("INSERT INTO t VALUES (1)")
	d.exec("SELECT pg_replication_origin_create($1)", "erp_"+d.slotOf())
	t.Cleanup(func() { d.exec("SELECT pg_replication_origin_drop($1)", "erp_"+d.slotOf()) })
	d.exec("SELECT pg_replication_origin_session_setup($1)", "erp_"+d.slotOf())
	d.exec("INSERT INTO t VALUES (2)")
	d.exec("SELECT pg_replication_origin_session_reset()")
	d.exec("BEGIN; SELECT pg_logical_emit_message(true, 'syncline_origin', 'route-7'); INSERT INTO t VALUES (3); COMMIT")
	p.events(3)
	var got []string
	for _, b := range p.log {
		for _, txn := range b.Txns {
			got = append(got, txn.Origin)
			if txn.XID == 0 || time.Since(txn.Time) > time.Minute {
				t.Errorf("transaction %+v has no number or time", txn)
			}
		}
	}
	mark := "route-7"
	if majorVersion(t) < 14 {
		mark = "" // messages are not in the stream
	}
	if diff := cmp.Diff([]string{"", "erp_" + d.slotOf(), mark}, got); diff != "" {
		t.Errorf("origins differ (-want +got):\n%s", diff)
	}
}

// TestPgbench: the history table has no key, and pgbench's own statements go on working.
func TestPgbench(t *testing.T) {
	d := newDB(t)
	pgbench := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(server.Program("pgbench"), append(args, d.url)...).CombinedOutput(); err != nil {
			t.Fatalf("pgbench: %v\n%s", err, out)
		}
	}
	pgbench("-i", "-s", "1", "-q")
	pgbench("-t", "20", "-n")
	p := record(t, d.options("pgbench_accounts", "pgbench_branches", "pgbench_tellers", "pgbench_history"))
	p.copied()
	pgbench("-t", "50", "-c", "2")                 // truncates the history first
	d.exec("UPDATE pgbench_history SET delta = 0") // not captured, but not refused either
	d.exec("INSERT INTO pgbench_history (tid, bid) VALUES (-1, -1)")
	events := p.events(1 + 2*50*4 + 1)
	count := map[string]int{}
	for _, e := range events {
		count[e.Op.String()+" "+e.Schema.Entity]++
	}
	want := map[string]int{"truncated pgbench_history": 1, "created pgbench_history": 101, "updated pgbench_accounts": 100, "updated pgbench_branches": 100, "updated pgbench_tellers": 100}
	if diff := cmp.Diff(want, count); diff != "" {
		t.Errorf("events differ (-want +got):\n%s", diff)
	}
	rows := map[string]int{}
	for _, b := range p.log {
		if b.Chunk != nil {
			rows[b.Chunk.Entity] += len(b.Events)
		}
	}
	if diff := cmp.Diff(map[string]int{"pgbench_accounts": 100000, "pgbench_branches": 1, "pgbench_tellers": 10, "pgbench_history": 20}, rows); diff != "" {
		t.Errorf("copied rows differ (-want +got):\n%s", diff)
	}
}
