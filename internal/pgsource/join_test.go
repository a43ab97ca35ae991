package pgsource

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

// TestEntityThatJoinsLater is published from then on. A transaction that wrote to the table before and is still running will not
// be streamed: the run has to wait for it.
func TestEntityThatJoinsLater(t *testing.T) {
	d := newDB(t, oneTable, "CREATE TABLE u (id int PRIMARY KEY)", "INSERT INTO u VALUES (1)")
	p := record(t, d.options("t"))
	p.copied()
	tx, err := d.connect().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "INSERT INTO u VALUES (2)"); err != nil {
		t.Fatal(err)
	}
	p.o = d.options("t", "u")
	p.crash(0)
	p.start(syncline.Run{ID: "later", Kind: syncline.RunFull, Entity: "u"})
	if b := p.next(); !b.Sync {
		t.Errorf("first batch = %+v, want a checkpoint that is appended at once", b)
	}
	p.crash(0) // what has to be waited for is in the log
	p.start(syncline.Run{ID: "later", Kind: syncline.RunFull, Entity: "u"})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	for err = nil; err == nil; {
		var b *syncline.Batch
		if b, err = p.src.Next(ctx); err == nil && b.Chunk != nil {
			t.Fatalf("a chunk came before the transaction ended: %v", b.Events)
		}
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.exec("INSERT INTO u VALUES (3)")
	p.until(p.ended("later"))
	p.until(func() bool { return len(p.streamed()) >= 1 })
	seen := map[string]bool{}
	for _, s := range append(p.rowsOf("later"), describe(p.streamed()[0])) {
		seen[s[strings.LastIndex(s, "["):]] = true
	}
	if diff := cmp.Diff(map[string]bool{"[1]": true, "[2]": true, "[3]": true}, seen); diff != "" {
		t.Errorf("rows differ (-want +got):\n%s", diff)
	}
}

// TestEntityThatComesBack is read anew for the routes that copies are for: what changed while it was not captured is not in the log.
func TestEntityThatComesBack(t *testing.T) {
	d := newDB(t, oneTable, "CREATE TABLE u (id int PRIMARY KEY)", "INSERT INTO u VALUES (1)")
	p := record(t, d.options("t", "u"))
	p.copied()
	p.o = d.options("t")
	p.crash(0)
	d.exec("INSERT INTO u VALUES (2)")
	d.exec("INSERT INTO t VALUES (9, 'x')")
	p.until(func() bool { return len(p.streamed()) == 1 })

	p.o = d.options("t", "u")
	p.o.InitialRoutes = map[string][]string{"u": {"r"}}
	p.crash(0)
	var last *syncline.Chunk
	p.until(func() bool {
		last = p.log[len(p.log)-1].Chunk
		return last != nil && last.Entity == "u" && last.Kind == syncline.RunFull && last.Last
	})
	d.exec("INSERT INTO u VALUES (3)")
	p.until(func() bool { return len(p.streamed()) == 2 })
	got := append(p.rowsOf(last.Run), describe(p.streamed()[1]))
	if diff := cmp.Diff([]string{"snapshot u [] [1]", "snapshot u [] [2]", "created u [] [3]"}, got); diff != "" {
		t.Errorf("after the entity came back (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"r"}, last.Routes); diff != "" {
		t.Errorf("routes of the run (-want +got):\n%s", diff)
	}
	runs := len(p.src.state.Runs)
	p.crash(0)
	if n := len(p.src.state.Runs); runs != 0 || n != 0 {
		t.Errorf("%d runs before and %d after another start, want none: the entity did not leave again", runs, n)
	}
}

// TestATableThatIsReplaced: the publication has the old table, so nothing of the new one would come, and nobody would know.
func TestATableThatIsReplaced(t *testing.T) {
	for _, replace := range []string{
		"DROP TABLE u; CREATE TABLE u (id int PRIMARY KEY); INSERT INTO u VALUES (7)",
		"CREATE TABLE v (id int PRIMARY KEY); INSERT INTO v VALUES (7); ALTER TABLE u RENAME TO old; ALTER TABLE v RENAME TO u",
	} {
		for _, running := range []bool{true, false} {
			d := newDB(t, oneTable, "CREATE TABLE u (id int PRIMARY KEY)", "INSERT INTO u VALUES (1)")
			p := record(t, d.options("t", "u"))
			p.copied()
			if running {
				d.exec(replace)
				p.src.looked = time.Time{}
				var err error
				for err == nil {
					_, err = p.tryNext()
				}
				wantCode(t, err, "table_replaced")
			}
			p.close()
			if !running {
				d.exec(replace)
			}
			p.crash(0)
			var last *syncline.Chunk
			p.until(func() bool {
				last = p.log[len(p.log)-1].Chunk
				return last != nil && last.Entity == "u" && last.Kind == syncline.RunFull && last.Last
			})
			d.exec("INSERT INTO u VALUES (8)")
			p.until(func() bool { return len(p.streamed()) == 1 })
			got := append(p.rowsOf(last.Run), describe(p.streamed()[0]))
			if diff := cmp.Diff([]string{"snapshot u [] [7]", "created u [] [8]"}, got); diff != "" {
				t.Errorf("running %t, after %s (-want +got):\n%s", running, replace, diff)
			}
			p.close()
		}
	}
}

// TestCopyOfAnAcceptedSlot: the first copy beside a slot that was made by hand, of a table without a key too.
func TestCopyOfAnAcceptedSlot(t *testing.T) {
	for _, identity := range []string{"FULL", "DEFAULT"} {
		t.Run(identity, func(t *testing.T) {
			d := newDB(t, oneTable, "CREATE TABLE log (n int)", "ALTER TABLE log REPLICA IDENTITY "+identity, "CREATE PUBLICATION pub FOR TABLE t, log WITH (publish = 'insert, update, delete, truncate')")
			d.exec("INSERT INTO log SELECT 1 FROM generate_series(1, 5)")
			d.exec("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", d.slotOf())
			d.exec("INSERT INTO log SELECT 2 FROM generate_series(1, 5)")
			if identity == "FULL" {
				d.exec("DELETE FROM log WHERE ctid = '(0,1)'")
				d.exec("UPDATE log SET n = 3 WHERE n = 2 AND ctid = (SELECT max(ctid) FROM log)")
			}
			o := d.options("t", "log")
			o.Manage = false
			p := record(t, o)
			p.copied()
			d.exec("INSERT INTO log VALUES (4)")
			p.until(func() bool { e := p.streamed(); return len(e) > 0 && describe(e[len(e)-1]) == "created log [] [4]" })
			rows := map[string]int{}
			for _, b := range p.log {
				if c := b.Chunk; c != nil && c.Entity == "log" && c.First {
					if !c.Reset {
						t.Error("the copy does not begin with a reset")
					}
					clear(rows)
				}
				for i := range b.Events {
					e := &b.Events[i]
					if e.Before != nil {
						if rows[e.Before[0].Text()]--; rows[e.Before[0].Text()] < 0 {
							t.Errorf("%s of a row that is not there", e.Op)
						}
					}
					if e.After != nil {
						rows[e.After[0].Text()]++
					}
				}
			}
			want := map[string]int{"1": 5, "2": 5, "4": 1}
			if identity == "FULL" {
				want = map[string]int{"1": 4, "2": 4, "3": 1, "4": 1}
			}
			if diff := cmp.Diff(want, rows); diff != "" {
				t.Errorf("rows differ (-want +got):\n%s", diff)
			}
		})
	}
}

// TestWhatIsLeftOfAReplacedTable in the WAL is nobody's: the entity is read anew from the table that has the name now.
func TestWhatIsLeftOfAReplacedTable(t *testing.T) {
	d := newDB(t, "CREATE TABLE u (id int PRIMARY KEY, v text)", "INSERT INTO u VALUES (1, 'a')")
	p := record(t, d.options("u"))
	p.copied()
	p.close()
	d.exec("INSERT INTO u VALUES (2, 'b')")
	d.exec("UPDATE u SET v = 'c' WHERE id = 1")
	d.exec("TRUNCATE u")
	d.exec("DROP TABLE u; CREATE TABLE u (id int PRIMARY KEY, v text); INSERT INTO u VALUES (7, 'x')")
	p.open()
	d.exec("INSERT INTO u VALUES (8, 'y')")
	p.events(1)
	p.until(func() bool { return len(p.src.state.Runs) == 0 })
	p.src.looked = time.Time{}
	d.exec("INSERT INTO u VALUES (9, 'z')")
	wantEvents(t, p.events(2), "created u [] [8,y]", "created u [] [9,z]")
}

// TestAPrimaryKeyThatMoves while nothing runs: the old rows that the WAL has tell only the old key.
func TestAPrimaryKeyThatMoves(t *testing.T) {
	for _, tc := range []struct{ from, to, old, moved string }{
		{"id", "code", "1", "13"},
		{"id", "id, code", "1", "3,13"},
		{"code, id", "id", "1,11", "3"}, // nobody tells the order any more
	} {
		d := newDB(t, "CREATE TABLE t (id int NOT NULL, code int NOT NULL, v text, PRIMARY KEY ("+tc.from+"))", "INSERT INTO t VALUES (1, 11, 'a'), (3, 13, 'b')")
		p := record(t, d.options("t"))
		p.copied()
		p.close()
		d.exec("UPDATE t SET v = 'c' WHERE id = 1")
		d.exec("DELETE FROM t WHERE id = 1")
		d.exec("ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (" + tc.to + ")")
		d.exec("DELETE FROM t WHERE id = 3")
		p.open()
		var got []string
		for _, e := range p.events(3) {
			key, _ := e.Key()
			got = append(got, e.Op.String()+" "+string(key))
		}
		if diff := cmp.Diff([]string{"updated " + tc.old, "deleted " + tc.old, "deleted " + tc.moved}, got); diff != "" {
			t.Errorf("key (%s) that becomes (%s) (-want +got):\n%s", tc.from, tc.to, diff)
		}
		p.close()
	}
}

// TestATableThatIsSwappedWhereAllArePublished: the stream brings what is done to the new one, and nothing of what was in it before. The
// first such row tells.
func TestATableThatIsSwappedWhereAllArePublished(t *testing.T) {
	d := newDB(t, "CREATE TABLE u (id int PRIMARY KEY)", "INSERT INTO u VALUES (1)", "CREATE PUBLICATION pub FOR ALL TABLES")
	o := d.options("u")
	o.Heartbeat = time.Hour // no other look at the tables
	p := record(t, o)
	p.copied()
	d.exec("INSERT INTO u VALUES (2)")
	p.events(1)
	known := len(p.log)
	d.exec("CREATE TABLE v (id int PRIMARY KEY); INSERT INTO v VALUES (7); ALTER TABLE u RENAME TO old; ALTER TABLE v RENAME TO u")
	d.exec("INSERT INTO u VALUES (8)")
	var err error
	for err == nil && len(p.streamed()) < 2 {
		_, err = p.tryNext()
	}
	wantCode(t, err, "table_replaced")
	p.crash(len(p.log) - known) // a position behind the first row of the new table may have come, which would not come again
	p.until(func() bool { return len(p.src.state.Runs) == 0 && p.src.phase == phaseRun })
	last := p.log[len(p.log)-1]
	if last.Chunk == nil {
		t.Fatalf("no chunk of the new table: %v", last)
	}
	d.exec("INSERT INTO u VALUES (9)")
	wantEvents(t, p.events(4), "created u [] [2]", "created u [] [7]", "created u [] [8]", "created u [] [9]")
	if diff := cmp.Diff([]string{"snapshot u [] [7]", "snapshot u [] [8]"}, p.rowsOf(last.Chunk.Run)); diff != "" {
		t.Errorf("rows of the new table (-want +got):\n%s", diff)
	}
}

// TestATableThatIsTakenOutOfThePublication stops the source, and is read anew once it is published again.
func TestATableThatIsTakenOutOfThePublication(t *testing.T) {
	d := newDB(t, "CREATE TABLE u (id int PRIMARY KEY)", "INSERT INTO u VALUES (1)", oneTable)
	o := d.options("u", "t")
	o.Heartbeat = 20 * time.Millisecond
	p := record(t, o)
	p.copied()
	d.exec("INSERT INTO u VALUES (2)")
	p.events(1)
	d.exec("ALTER PUBLICATION pub DROP TABLE u")
	d.exec("INSERT INTO u VALUES (3)")
	var err error
	for err == nil {
		_, err = p.tryNext()
	}
	wantCode(t, err, "publication_incomplete")
	for manage, fix := range map[bool]string{true: "`syncline resume --system crm` puts it back", false: "put it back; then"} {
		p.src.opt.Manage = manage
		if got := syncline.FixOf(p.src.withdrawn(p.src.entity("u"))); !strings.Contains(got, fix) {
			t.Errorf("with manage: %t the way out is %q, want %q in it", manage, got, fix)
		}
	}
	p.crash(0)
	p.until(func() bool { return len(p.src.state.Runs) == 0 && p.src.phase == phaseRun })
	last := p.log[len(p.log)-1]
	if last.Chunk == nil || last.Chunk.Entity != "u" {
		t.Fatalf("the last batch is %v, want a chunk of the table", last)
	}
	if diff := cmp.Diff([]string{"snapshot u [] [1]", "snapshot u [] [2]", "snapshot u [] [3]"}, p.rowsOf(last.Chunk.Run)); diff != "" {
		t.Errorf("rows of the table (-want +got):\n%s", diff)
	}
}

// TestARunThatGoesOnInAReplacedTable begins again: it had come to a key of the old one.
func TestARunThatGoesOnInAReplacedTable(t *testing.T) {
	d := newDB(t, "CREATE TABLE u (id int PRIMARY KEY)", "INSERT INTO u SELECT generate_series(1, 30)")
	o := d.options("u")
	o.ChunkRows, o.InitialRoutes = 10, map[string][]string{} // nothing else reads the new one
	p := record(t, o)
	p.next()
	p.next()
	r := syncline.Run{ID: "full", Kind: syncline.RunFull, Entity: "u", Reset: true}
	p.start(r)
	p.until(func() bool { return len(p.rowsOf("full")) == 20 })
	p.close()
	d.exec("DROP TABLE u; CREATE TABLE u (id int PRIMARY KEY); INSERT INTO u VALUES (5), (25)")
	before := len(p.log)
	p.open()
	p.start(r)
	p.until(p.ended("full"))
	if diff := cmp.Diff([]string{"snapshot u [] [5]", "snapshot u [] [25]"}, p.rowsOf("full")[20:]); diff != "" {
		t.Errorf("rows of the new table (-want +got):\n%s", diff)
	}
	for _, b := range p.log[before:] {
		if c := b.Chunk; c != nil {
			if !c.First || !c.Reset {
				t.Errorf("chunk = %+v, want one that resets again", c)
			}
			break
		}
	}
}
