package pgsource

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"syncline"
)

// rowsOf lists the events of a run.
func (p *tape) rowsOf(run string) (list []string) {
	for _, b := range p.log {
		for i := range b.Events {
			if b.Chunk != nil && b.Chunk.Run == run {
				list = append(list, describe(&b.Events[i]))
			}
		}
	}
	return list
}

func (p *tape) ended(run string) func() bool {
	return func() bool {
		return slices.ContainsFunc(p.log, func(b *syncline.Batch) bool { return b.Chunk != nil && b.Chunk.Run == run && b.Chunk.Last })
	}
}

func (p *tape) start(r syncline.Run) {
	p.t.Helper()
	if err := p.src.StartRun(r); err != nil {
		p.t.Fatal(err)
	}
}

// snapshotTaken moves a run on until a chunk's snapshot is taken, and no further.
func (p *tape) snapshotTaken() {
	p.t.Helper()
	ctx := deadline(p.t)
	p.src.takeRequests()
	await(p.t, func() bool {
		if p.src.stream.open {
			p.t.Fatal("inside a transaction")
		}
		if _, err := p.src.stepRuns(ctx); err != nil {
			p.t.Fatal(err)
		}
		return p.src.chunk != nil
	})
}

// holdChunk lets the chunk wait until the stream has passed what is committed now.
func (p *tape) holdChunk(d *db) {
	p.t.Helper()
	now, err := parseLSN(d.text("SELECT pg_current_wal_insert_lsn()::text"))
	if err != nil {
		p.t.Fatal(err)
	}
	if offset := now % 8192; offset <= 40 { // behind a page's header, see openView
		now -= offset
	}
	p.src.chunk.until = now
}

// TestRowsThatChangeUnderAChunk: what transactions do that the chunk's snapshot does not see is in the log before the chunk. The
// chunk must not take it back; and what they left unsent must come from it.
func TestRowsThatChangeUnderAChunk(t *testing.T) {
	d := newDB(t, "CREATE TABLE t (id int PRIMARY KEY, v text, big text)", "ALTER TABLE t ALTER big SET STORAGE EXTERNAL")
	p := record(t, d.options("t"))
	p.copied()
	d.exec("INSERT INTO t SELECT i, 'old', repeat(i::text, 5000) FROM generate_series(1, 9) i")
	p.events(9)
	p.start(syncline.Run{ID: "full", Kind: syncline.RunFull, Entity: "t"})
	p.snapshotTaken()
	d.exec("UPDATE t SET v = 'new' WHERE id = 1")            // unsent: completed
	d.exec("UPDATE t SET v = 'new', big = 'b' WHERE id = 2") // sent whole: left out
	// The second of two leaves unsent what the first one changed: the log has it all.
	d.exec("UPDATE t SET big = repeat('b', 5000) WHERE id = 9")
	d.exec("UPDATE t SET v = 'new' WHERE id = 9")
	d.exec("DELETE FROM t WHERE id = 3")            // gone
	d.exec("UPDATE t SET id = 14 WHERE id = 4")     // moved, unsent: completed under its new key
	d.exec("INSERT INTO t VALUES (20, 'new', 'b')") // only in the stream
	d.exec("BEGIN; DELETE FROM t WHERE id = 5; INSERT INTO t VALUES (5, 'new', 'b'); COMMIT")
	d.exec("BEGIN; UPDATE t SET id = -6 WHERE id = 6; UPDATE t SET id = 6 WHERE id = 7; UPDATE t SET id = 7, v = 'swapped' WHERE id = -6; COMMIT")
	d.exec("BEGIN; UPDATE t SET v = 'new' WHERE id = 8; ROLLBACK")
	p.holdChunk(d)
	p.until(p.ended("full"))
	big := func(i int) string { return strings.Repeat(fmt.Sprint(i), 4) + "…5000" }
	want := []string{"snapshot t [] [1,new," + big(1) + "]", "snapshot t [] [8,old," + big(8) + "]",
		"snapshot t [] [14,old," + big(4) + "]", "snapshot t [] [6,old," + big(7) + "]", "snapshot t [] [7,swapped," + big(6) + "]"}
	got := p.rowsOf("full")
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows differ (-want +got):\n%s", diff)
	}
}

// TestKeysThatChangeUnderAChunk: no answer takes back what the log has by then, also none that there is no record.
func TestKeysThatChangeUnderAChunk(t *testing.T) {
	d := newDB(t, oneTable)
	p := record(t, d.options("t"))
	p.copied()
	d.exec("INSERT INTO t SELECT i, 'old' FROM generate_series(1, 5) i")
	p.events(5)
	p.start(syncline.Run{ID: "keys", Kind: syncline.RunKeys, Entity: "t", Keys: []syncline.Key{"1", "2", "3", "4", "77", "78", "79", "80"}})
	p.snapshotTaken()
	d.exec("UPDATE t SET v = 'new' WHERE id = 1")
	d.exec("DELETE FROM t WHERE id = 2")
	d.exec("INSERT INTO t VALUES (77, 'new')")
	d.exec("UPDATE t SET id = 78 WHERE id = 3")
	d.exec("BEGIN; INSERT INTO t VALUES (79, 'new'); DELETE FROM t WHERE id = 79; COMMIT")
	p.holdChunk(d)
	p.until(p.ended("keys"))
	if diff := cmp.Diff([]string{"repair t [] [4,old]", "absent t [80,unset] []"}, p.rowsOf("keys")); diff != "" {
		t.Errorf("answers differ (-want +got):\n%s", diff)
	}
}

func TestTruncateUnderAChunk(t *testing.T) {
	d := newDB(t, oneTable)
	p := record(t, d.options("t"))
	p.copied()
	d.exec("INSERT INTO t SELECT i, 'old' FROM generate_series(1, 9) i")
	p.events(9)
	p.start(syncline.Run{ID: "full", Kind: syncline.RunFull, Entity: "t"})
	p.start(syncline.Run{ID: "keys", Kind: syncline.RunKeys, Entity: "t", Keys: []syncline.Key{"1", "77"}})
	p.snapshotTaken() // of the keys, which come first
	released := make(chan error, 1)
	conn := d.connect()
	go func() {
		_, err := conn.Exec(context.Background(), "TRUNCATE t; INSERT INTO t VALUES (1, 'new')")
		released <- err
	}()
	if err := <-released; err != nil {
		t.Fatal(err)
	}
	p.holdChunk(d)
	p.until(p.ended("keys"))
	if got := p.rowsOf("keys"); len(got) != 0 {
		t.Errorf("rows after a truncate that the snapshot does not see: %v", got)
	}
	p.until(p.ended("full"))
	if diff := cmp.Diff([]string{"snapshot t [] [1,new]"}, p.rowsOf("full")); diff != "" {
		t.Errorf("rows differ (-want +got):\n%s", diff)
	}
}

// TestLateVisibility: a transaction is in the WAL, streamed, and waits for a synchronous standby: no snapshot sees it yet. A chunk
// on such a snapshot would bring the old row after the new one.
func TestLateVisibility(t *testing.T) {
	d := newDB(t, oneTable, "INSERT INTO t VALUES (1, 'old')")
	p := record(t, d.options("t"))
	p.copied()
	d.exec("SET synchronous_commit = local")
	d.exec("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
	d.exec("SELECT pg_reload_conf()")
	reset := func() {
		d.exec("ALTER SYSTEM RESET synchronous_standby_names")
		d.exec("SELECT pg_reload_conf()")
	}
	defer reset()
	await(t, func() bool { return d.text("SHOW synchronous_standby_names") == "nobody" })
	hanging, conn := make(chan error, 1), d.connect()
	go func() { _, err := conn.Exec(context.Background(), "UPDATE t SET v = 'new'"); hanging <- err }()
	p.events(1)
	if v := d.text("SELECT v FROM t"); v != "old" {
		t.Fatalf("the row is %s: the transaction does not hang", v)
	}
	for _, restart := range []bool{false, true} { // a new source has not streamed the transaction itself
		if restart {
			p.crash(0)
		}
		p.start(syncline.Run{ID: "full", Kind: syncline.RunFull, Entity: "t"})
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		for {
			b, err := p.src.Next(ctx)
			if errors.Is(err, context.DeadlineExceeded) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if b.Chunk != nil {
				t.Fatalf("restarted: %t: a chunk came while the transaction was not visible: %v", restart, b.Events)
			}
		}
		cancel()
	}
	reset()
	if err := <-hanging; err != nil {
		t.Fatal(err)
	}
	p.until(p.ended("full"))
	if diff := cmp.Diff([]string{"snapshot t [] [1,new]"}, p.rowsOf("full")); diff != "" {
		t.Errorf("rows differ (-want +got):\n%s", diff)
	}
}

// TestSnapshotsThatMissWhatWasStreamed are of no use, for as long as the transaction's number means anything.
func TestSnapshotsThatMissWhatWasStreamed(t *testing.T) {
	sn, err := parseSnapshot("4294967396:4294967410:4294967396,4294967400") // beyond 32 bits: 100, 104 and 114
	if err != nil {
		t.Fatal(err)
	}
	for xid, want := range map[uint32]bool{99: true, 100: false, 101: true, 104: false, 113: true, 114: false, 115: false, 1<<32 - 5: true} {
		if got := sn.sees(xid); got != want {
			t.Errorf("sees(%d) = %t, want %t", xid, got, want)
		}
	}
	var u unseen
	u.add(99)
	if !u.look(sn) {
		t.Error("a visible transaction spoils the snapshot")
	}
	u.add(104)
	if u.look(sn) {
		t.Error("a snapshot that misses a streamed transaction is taken")
	}
	for !u.due(time.Now()) {
		u.add(99)
	}
	if u.look(sn) || len(u.xids) != 1 {
		t.Errorf("%d transactions are kept, want the one that is not seen", len(u.xids))
	}
	for _, text := range []string{"", "1:2", "a:2:", "1:b:", "1:2:c", "1:2:3,"} {
		if sn, err := parseSnapshot(text); err == nil {
			t.Errorf("parseSnapshot(%q) = %v", text, sn)
		}
	}
}

// TestKilledInTheFirstCopy: rows change before the restart; the rest is read in chunks, and the log leads to the table.
func TestKilledInTheFirstCopy(t *testing.T) {
	d := newDB(t, "CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t SELECT i, 'old' FROM generate_series(1, 1000) i")
	o := d.options("t")
	o.ChunkRows = 100
	p := record(t, o)
	p.until(func() bool { return len(p.rowsOf("initial.t")) == 300 })
	d.exec("UPDATE t SET v = 'new' WHERE id % 3 = 0")
	d.exec("DELETE FROM t WHERE id % 7 = 0")
	d.exec("UPDATE t SET id = -id WHERE id % 11 = 0")
	d.exec("INSERT INTO t VALUES (2000, 'new')")
	p.crash(1)
	p.copied()
	d.exec("INSERT INTO t VALUES (2001, 'last')")
	for len(p.streamed()) == 0 || describe(p.streamed()[len(p.streamed())-1]) != "created t [] [2001,last]" {
		p.next()
	}
	if p.log[2].Chunk.Number != 1 || !p.log[2].Chunk.EmptyBefore {
		t.Errorf("first chunk = %+v", p.log[2].Chunk)
	}
	got := map[string]string{}
	var number uint32
	for _, b := range p.log {
		if b.Chunk != nil {
			if number++; b.Chunk.Number != number {
				t.Errorf("chunk %d after chunk %d", b.Chunk.Number, number-1)
			}
		}
		for i := range b.Events {
			e := &b.Events[i]
			if e.Before != nil {
				delete(got, e.Before[0].Text())
			}
			if e.After != nil {
				got[e.After[0].Text()] = e.After[1].Text()
			}
		}
	}
	rows, _ := d.conn.Query(t.Context(), "SELECT id::text, v FROM t")
	want := map[string]string{}
	var id, v string
	if _, err := pgx.ForEachRow(rows, []any{&id, &v}, func() error { want[id] = v; return nil }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the log leads elsewhere (-want +got):\n%s", diff)
	}
}

// TestRewriteUnderAChunk: a table that is being rewritten looks empty to snapshots that are older.
func TestRewriteUnderAChunk(t *testing.T) {
	d := newDB(t, "CREATE TABLE t (id int PRIMARY KEY, v text)")
	p := record(t, d.options("t"))
	p.copied()
	d.exec("INSERT INTO t SELECT i, 'old' FROM generate_series(1, 5) i")
	p.events(5)
	tx, err := d.connect().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "ALTER TABLE t ALTER v TYPE varchar(10) USING upper(v), ALTER id TYPE bigint"); err != nil {
		t.Fatal(err)
	}
	p.start(syncline.Run{ID: "full", Kind: syncline.RunFull, Entity: "t"})
	p.src.takeRequests()
	if did, err := p.src.stepRuns(deadline(t)); !did || err != nil || p.src.chunk != nil {
		t.Fatalf("step = %t, %v, chunk %v, want none while the table is locked", did, err, p.src.chunk)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.until(p.ended("full"))
	if got := p.rowsOf("full"); len(got) != 5 || got[0] != "snapshot t [] [1,OLD]" {
		t.Errorf("rows = %v", got)
	}
}

// TestKeysThatCannotBe are refused where their form says so, and else get no answer: what is no key here may be one at a target.
func TestKeysThatCannotBe(t *testing.T) {
	d := newDB(t, "CREATE TABLE t (id int, b bytea, PRIMARY KEY (id, b))", `INSERT INTO t VALUES (1, '\x002c'), (2, ''), (3, '\x00')`, "CREATE TABLE u (id uuid PRIMARY KEY)")
	p := record(t, d.options("t", "u"))
	p.copied()
	for entity, keys := range map[string][]syncline.Key{"t": {"1", "%", "abc,x", "1.0,x", "%N,x", "3,%N"}, "u": {"1", "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeeg"}} {
		for _, k := range keys {
			err := p.src.StartRun(syncline.Run{ID: "w", Kind: syncline.RunKeys, Entity: entity, Keys: []syncline.Key{k}})
			if syncline.CodeOf(err) != "bad_key" || syncline.ClassOf(err) != syncline.Rejected {
				t.Errorf("key %q of %s: error = %v, want it rejected as bad_key", k, entity, err)
			}
		}
	}
	keys := []syncline.Key{syncline.MakeKey(syncline.Int(1), syncline.Bytes([]byte{0, ','})), "2,", "1x,x", "99999999999999,x", "4,x"}
	p.start(syncline.Run{ID: "k", Kind: syncline.RunKeys, Entity: "t", Keys: keys})
	p.until(p.ended("k"))
	want := []string{"repair t [] [1,\x00,]", "repair t [] [2,]", "absent t [4,x] []"}
	if diff := cmp.Diff(want, p.rowsOf("k")); diff != "" {
		t.Errorf("rows differ (-want +got):\n%s", diff)
	}
}

// TestKeysInAnotherSpelling: the record is the answer to its key however that is written, and what no record has is told of as events
// would write it.
func TestKeysInAnotherSpelling(t *testing.T) {
	d := newDB(t, "CREATE DOMAIN short AS varchar(3) CHECK (value <> 'no ')",
		"CREATE TABLE int (id int PRIMARY KEY)", "INSERT INTO int VALUES (1)",
		"CREATE TABLE uuid (id uuid PRIMARY KEY)", "INSERT INTO uuid VALUES ('aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee')",
		"CREATE TABLE pair (a numeric(6, 2), b timestamptz, PRIMARY KEY (a, b))", "INSERT INTO pair VALUES (1.5, '2024-05-06 07:08:09Z')",
		"CREATE TABLE text (id short PRIMARY KEY)", "INSERT INTO text VALUES (''), ('abc')",
		"CREATE TABLE char (id char(4) PRIMARY KEY)", "INSERT INTO char VALUES ('ab')",
		"CREATE TABLE flag (id boolean PRIMARY KEY)", "INSERT INTO flag VALUES (true)")
	p := record(t, d.options("int", "uuid", "pair", "text", "char", "flag"))
	p.copied()
	for _, tc := range []struct {
		entity string
		keys   []syncline.Key
		want   []string
	}{
		{"int", []syncline.Key{"01"}, []string{"repair int [] [1]"}},
		{"int", []syncline.Key{"1", "+1", "%31"}, []string{"repair int [] [1]"}},
		{"int", []syncline.Key{"02", "2"}, []string{"absent int [2] []"}},
		{"uuid", []syncline.Key{"AAAAAAAA-BBBB-CCCC-DDDD-EEEEEEEEEEEE"}, []string{"repair uuid [] [aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee]"}},
		{"uuid", []syncline.Key{"AAAAAAAABBBBCCCCDDDDEEEEEEEEEEEF"}, []string{"absent uuid [aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeef] []"}},
		{"pair", []syncline.Key{"1.500,2024-05-06T09:08:09%2B02"}, []string{"repair pair [] [1.50,2024-05-06 07:08:09+00]"}},
		{"pair", []syncline.Key{"1.6,2024-05-06 07:08:09Z", "1.501,2024-05-06 07:08:09%2B00"}, []string{"absent pair [1.60,2024-05-06 07:08:09+00] []"}},
		{"text", []syncline.Key{""}, []string{"repair text [] []"}},
		{"text", []syncline.Key{"abcd", "ABC", "no "}, []string{"absent text [ABC] []"}},
		{"char", []syncline.Key{"ab"}, []string{"repair char [] [ab  ]"}},
		{"char", []syncline.Key{"c", "abcde"}, []string{"absent char [c   ] []"}},
		{"flag", []syncline.Key{"yes", "true"}, []string{"repair flag [] [true]"}},
		{"flag", []syncline.Key{"no"}, []string{"absent flag [false] []"}},
	} {
		id := fmt.Sprint(tc.entity, tc.keys)
		p.start(syncline.Run{ID: id, Kind: syncline.RunKeys, Entity: tc.entity, Keys: tc.keys})
		p.until(p.ended(id))
		if diff := cmp.Diff(tc.want, p.rowsOf(id)); diff != "" {
			t.Errorf("%s %q (-want +got):\n%s", tc.entity, tc.keys, diff)
		}
	}
}

func TestStartRunRefuses(t *testing.T) {
	d := newDB(t, oneTable)
	src, err := New(d.options("t"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		run  syncline.Run
		code string
	}{
		{syncline.Run{ID: "x", Kind: syncline.RunFull, Entity: "u"}, "entity_unknown"},
		{syncline.Run{Kind: syncline.RunFull, Entity: "t"}, "run_invalid"},
		{syncline.Run{ID: "x", Kind: 9, Entity: "t"}, "run_invalid"},
	} {
		if err := src.StartRun(tc.run); syncline.CodeOf(err) != tc.code {
			t.Errorf("%+v: error = %v, want %s", tc.run, err, tc.code)
		}
	}
	for i := range maxRequests {
		if err := src.StartRun(syncline.Run{ID: fmt.Sprint(i), Kind: syncline.RunFull, Entity: "t"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := src.StartRun(syncline.Run{ID: "more", Kind: syncline.RunFull, Entity: "t"}); syncline.CodeOf(err) != "runs_exhausted" {
		t.Errorf("error = %v, want runs_exhausted", err)
	}
}

// TestKeysOfLongRows: what is asked for at once does not come in one batch.
func TestKeysOfLongRows(t *testing.T) {
	d := newDB(t, oneTable, "INSERT INTO t SELECT i, repeat('x', 300000) FROM generate_series(1, 10) i")
	o := d.options("t")
	o.Snapshot = "never"
	p := record(t, o)
	p.next()
	p.next()
	r := syncline.Run{ID: "k", Kind: syncline.RunKeys, Entity: "t"}
	for i := range 12 {
		r.Keys = append(r.Keys, syncline.Key(fmt.Sprint(i)))
	}
	p.start(r)
	p.until(func() bool { return len(p.rowsOf("k")) > 0 })
	p.crash(0)
	p.start(r)
	p.until(p.ended("k"))
	seen := map[string]bool{}
	for _, row := range p.rowsOf("k") {
		seen[row] = true
	}
	if len(seen) != 12 || !seen["absent t [0,unset] []"] || !seen["repair t [] [10,xxxx…300000]"] {
		t.Errorf("rows = %v", seen)
	}
	for _, b := range p.log {
		if len(b.Events) > 5 {
			t.Errorf("batch of %d rows", len(b.Events))
		}
	}
}

// TestKeysOfHugeRowsAreReadAFewAtATime: what is in memory at once does not grow with the keys that are asked for together.
func TestKeysOfHugeRowsAreReadAFewAtATime(t *testing.T) {
	d := newDB(t, oneTable, "INSERT INTO t SELECT i, repeat('x', CASE WHEN i > 5 THEN 3000000 ELSE 1 END) FROM generate_series(1, 20) i")
	o := d.options("t")
	o.Snapshot = "never"
	p := record(t, o)
	p.next()
	p.next()
	r := syncline.Run{ID: "k", Kind: syncline.RunKeys, Entity: "t"}
	for i := range 21 {
		r.Keys = append(r.Keys, syncline.Key(fmt.Sprint(i+1)))
	}
	p.start(r)
	ended, done, reads := p.ended("k"), 0, 0
	p.until(func() bool {
		for _, run := range p.src.state.Runs {
			if run.Done == done {
				continue
			}
			if huge := run.Done - max(done, 5); huge*3_000_000 > rangeBytes {
				t.Errorf("keys %d to %d were read at once", done+1, run.Done)
			}
			done, reads = run.Done, reads+1
		}
		return ended()
	})
	if reads < 7 {
		t.Errorf("the keys were read in %d parts", reads+1)
	}
	seen := map[string]bool{}
	for _, row := range p.rowsOf("k") {
		seen[row] = true
	}
	if len(seen) != 21 || len(p.rowsOf("k")) != 21 || !seen["absent t [21,unset] []"] || !seen["repair t [] [5,x]"] || !seen["repair t [] [20,xxxx…3000000]"] {
		t.Errorf("rows = %v", seen)
	}
}

// TestFullRunOfHugeRowsReadsAFewAtATime: the first rows are not read before one of them has told how long they are.
func TestFullRunOfHugeRowsReadsAFewAtATime(t *testing.T) {
	d := newDB(t, oneTable)
	p := record(t, d.options("t"))
	p.copied()
	d.exec("INSERT INTO t SELECT i, repeat('x', 3000000) FROM generate_series(1, 10) i")
	d.exec("INSERT INTO t VALUES (11, 'x')")
	p.events(11)
	p.start(syncline.Run{ID: "full", Kind: syncline.RunFull, Entity: "t"})
	p.snapshotTaken()
	rows := <-p.src.chunk.results
	p.src.chunk.rows = &rows
	if n := len(rows.rows); n == 0 || n*3_000_000 > rangeBytes || rows.err != nil {
		t.Errorf("%d rows of 3 MB were read at once, error %v", n, rows.err)
	}
	p.until(p.ended("full"))
	if n := len(p.rowsOf("full")); n != 11 {
		t.Errorf("%d rows, want 11", n)
	}
}
