package pgsource

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

// awayAndBack are ways for changes of u to get lost that leave everything as it was before. The second statement ends what the first one begins.
var awayAndBack = []struct {
	since              int // the server's version that has it
	what, create       string
	away, back, leaves string
}{
	{13, "the table", "FOR TABLE u, t", "ALTER PUBLICATION pub DROP TABLE u", "ALTER PUBLICATION pub ADD TABLE u", "t"},
	{13, "the list of tables", "FOR TABLE u, t", "ALTER PUBLICATION pub SET TABLE t", "ALTER PUBLICATION pub SET TABLE t, u", "t"},
	{13, "an operation", "FOR TABLE u, t", "ALTER PUBLICATION pub SET (publish = 'truncate')", "ALTER PUBLICATION pub SET (publish = 'insert, update, delete, truncate')", ""},
	{13, "an operation of all tables", "FOR ALL TABLES", "ALTER PUBLICATION pub SET (publish = 'truncate')", "ALTER PUBLICATION pub SET (publish = 'insert, update, delete, truncate')", ""},
	{15, "a row filter", "FOR TABLE u, t", "ALTER PUBLICATION pub SET TABLE t, u WHERE (id < 0)", "ALTER PUBLICATION pub SET TABLE t, u", "t"},
	{15, "the schema", "FOR TABLE t, TABLES IN SCHEMA public", "ALTER PUBLICATION pub DROP TABLES IN SCHEMA public", "ALTER PUBLICATION pub ADD TABLES IN SCHEMA public", "t"},
}

// TestATableThatIsPutBackIntoThePublication is read anew, whether somebody sees that it was away or not: what changed meanwhile is not in the log. So are the
// tables of a publication that was altered and altered back. Others are not.
func TestATableThatIsPutBackIntoThePublication(t *testing.T) {
	version := majorVersion(t)
	for _, tc := range awayAndBack {
		if version < tc.since {
			continue
		}
		for _, running := range []bool{true, false} {
			for _, manage := range []bool{true, false} {
				d := newDB(t, "CREATE TABLE u (id int PRIMARY KEY)", "INSERT INTO u VALUES (1)", oneTable, "INSERT INTO t VALUES (1)", "CREATE PUBLICATION pub "+tc.create)
				o := d.options("u", "t")
				o.Heartbeat = time.Hour // no look but ours
				p := record(t, o)
				p.copied()
				if !running {
					p.close()
				}
				d.exec(tc.away)
				d.exec("INSERT INTO u VALUES (2)")
				d.exec(tc.back)
				d.exec("INSERT INTO u VALUES (3)")
				if running {
					p.src.looked = time.Time{}
					err := p.fails()
					wantCode(t, err, "publication_altered")
					if !strings.Contains(err.Error(), "public.u") || !strings.Contains(syncline.FixOf(err), "`syncline resume --system crm`") {
						t.Errorf("%s: error = %v, way out %q", tc.what, err, syncline.FixOf(err))
					}
				}
				var said bytes.Buffer
				p.o.Logger = slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelWarn}))
				p.o.Manage = manage
				before := len(p.log)
				p.crash(0)
				p.until(func() bool { return len(p.src.state.Runs) == 0 && p.src.phase == phaseRun })
				got, want := map[string][]string{}, map[string][]string{"u": {"snapshot u [] [1]", "snapshot u [] [2]", "snapshot u [] [3]"}}
				if tc.leaves == "" {
					want["t"] = []string{"snapshot t [] [1,null]"}
				}
				for _, b := range p.log[before:] {
					if c := b.Chunk; c != nil {
						got[c.Entity] = p.rowsOf(c.Run)
					}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s was away, running %t, manage %t: read anew (-want +got):\n%s", tc.what, running, manage, diff)
				}
				if !strings.Contains(said.String(), "code=publication_altered") || !strings.Contains(said.String(), "--delete-missing") {
					t.Errorf("%s: the log does not say why: %s", tc.what, said.String())
				}
				said.Reset()
				p.src.looked = time.Time{}
				d.exec("INSERT INTO u VALUES (4)")
				p.until(func() bool { e := p.streamed(); return len(e) > 0 && describe(e[len(e)-1]) == "created u [] [4]" })
				p.crash(0)
				if strings.Contains(said.String(), codeAltered) || len(p.src.state.Runs) > 0 {
					t.Errorf("%s: it is read once more: %s", tc.what, said.String())
				}
				p.close()
			}
		}
	}
}

// TestPublicationsThatAreMaintained: nothing is lost by these, and nothing is read anew.
func TestPublicationsThatAreMaintained(t *testing.T) {
	d := newDB(t, oneTable, "CREATE TABLE log (n int)", "CREATE TABLE other (id int PRIMARY KEY)",
		"CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id)", "CREATE TABLE low PARTITION OF parts FOR VALUES FROM (0) TO (10)")
	var said bytes.Buffer
	o := d.options("t", "log", "parts")
	o.Logger = slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelWarn}))
	p := record(t, o)
	p.copied()
	list := []string{
		"ALTER PUBLICATION pub ADD TABLE other", "ALTER PUBLICATION pub SET TABLE ONLY t, parts", "ALTER PUBLICATION pub_append SET TABLE ONLY log",
		"COMMENT ON PUBLICATION pub IS 'ours'", "ALTER TABLE t ADD w text", "CREATE TABLE high PARTITION OF parts FOR VALUES FROM (10) TO (20)",
		"VACUUM FULL pg_publication", "VACUUM FULL pg_publication_rel", "VACUUM FREEZE pg_publication", "VACUUM FREEZE pg_publication_rel", "REINDEX TABLE pg_publication_rel",
		"ANALYZE", "TRUNCATE t", "VACUUM FULL t", "CREATE PUBLICATION another FOR ALL TABLES",
	}
	if majorVersion(t) >= 15 {
		list = append(list, "ALTER PUBLICATION pub ADD TABLES IN SCHEMA public", "ALTER PUBLICATION pub DROP TABLES IN SCHEMA public")
	}
	n := 0
	for _, sql := range append(list, "") {
		if sql != "" {
			d.exec(sql)
		}
		if n++; strings.HasPrefix(sql, "TRUNCATE") {
			n++
		}
		d.exec("INSERT INTO t VALUES ($1)", n)
		p.events(n)
		p.src.looked = time.Time{}
		if err := p.src.lookAtTables(t.Context()); err != nil {
			t.Fatalf("after %s: %v", sql, err)
		}
		said.Reset()
		p.crash(0)
		if strings.Contains(said.String(), "publication") || len(p.src.state.Runs) > 0 {
			t.Errorf("after %s: runs %v: %s", sql, p.src.state.Runs, said.String())
		}
	}
	// What we do ourselves, whether a crash comes before the log has it or not.
	p.close()
	d.exec("ALTER TABLE log REPLICA IDENTITY FULL")
	p.open()
	if b := p.next(); !b.Sync {
		t.Errorf("the first batch is %+v, want one with how the tables are published now", b)
	}
	p.crash(0)
	if strings.Contains(said.String(), codeAltered) || len(p.src.state.Runs) > 0 {
		t.Errorf("a table that we moved is read anew: %s", said.String())
	}
}

// TestACheckpointThatDoesNotTellHowTablesArePublished is of an older version: what it finds is noted, and counts from then on.
func TestACheckpointThatDoesNotTellHowTablesArePublished(t *testing.T) {
	d := newDB(t, "CREATE TABLE u (id int PRIMARY KEY)", "INSERT INTO u VALUES (1)")
	p := record(t, d.options("u"))
	p.copied()
	p.close()
	last := p.log[len(p.log)-1]
	var c map[string]any
	if err := json.Unmarshal(last.Checkpoint, &c); err != nil {
		t.Fatal(err)
	}
	delete(c, "published")
	last.Checkpoint, _ = json.Marshal(c)
	p.open()
	if len(p.src.state.Runs) > 0 {
		t.Errorf("runs = %v, want none", p.src.state.Runs)
	}
	p.next()
	p.close()
	d.exec("ALTER PUBLICATION pub DROP TABLE u; ALTER PUBLICATION pub ADD TABLE u")
	p.open()
	if len(p.src.state.Runs) != 1 {
		t.Errorf("runs = %v, want one of the table that was away", p.src.state.Runs)
	}
}

// TestAPartitionThatIsPutBackWithItsTable: it is published because its table is.
func TestAPartitionThatIsPutBackWithItsTable(t *testing.T) {
	d := newDB(t, "CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id)", "CREATE TABLE low PARTITION OF parts FOR VALUES FROM (0) TO (10)", "INSERT INTO low VALUES (1)")
	for _, viaRoot := range []bool{true, false} {
		table := "low"
		if viaRoot {
			table = "parts"
		}
		d.exec("CREATE PUBLICATION pub FOR TABLE parts WITH (publish_via_partition_root = " + map[bool]string{true: "true", false: "false"}[viaRoot] + ")")
		p := record(t, d.options(table))
		p.copied()
		p.src.looked = time.Time{}
		if err := p.src.lookAtTables(t.Context()); err != nil {
			t.Fatal(err)
		}
		d.exec("ALTER PUBLICATION pub DROP TABLE parts")
		d.exec("INSERT INTO parts VALUES (2)")
		d.exec("ALTER PUBLICATION pub ADD TABLE parts")
		p.src.looked = time.Time{}
		wantCode(t, p.src.lookAtTables(t.Context()), "publication_altered")
		p.crash(0)
		p.until(func() bool { return len(p.src.state.Runs) == 0 && p.src.phase == phaseRun })
		want := []string{"snapshot " + table + " [] [1]", "snapshot " + table + " [] [2]"}
		if diff := cmp.Diff(want, p.rowsOf(p.log[len(p.log)-1].Chunk.Run)); diff != "" {
			t.Errorf("read anew (-want +got):\n%s", diff)
		}
		p.close()
		d.dropSlot()
		d.exec("DROP PUBLICATION pub; DROP PUBLICATION IF EXISTS pub_append; DELETE FROM parts WHERE id = 2")
	}
}

// TestTheTablesOfAnAlteredPublication are named, but not a thousand of them.
func TestTheTablesOfAnAlteredPublication(t *testing.T) {
	src := &Source{opt: Options{Name: "crm", Publication: "pub"}}
	var tables []*table
	for range 8 {
		tables = append(tables, &table{schema: "public", name: "u"})
	}
	text := src.altered(slices.Clone(tables)).Error()
	if !strings.Contains(text, "public.u, public.u, public.u, public.u, public.u, 3 more") {
		t.Errorf("error = %s", text)
	}
}

// TestATableThatNeedsAPublicationOfItsOwn, which is made after the slot. The server fails where it is to read through one what is older, or in a
// transaction that is: so it is not named, and the table does not join, until nothing of that is left.
func TestATableThatNeedsAPublicationOfItsOwn(t *testing.T) {
	for _, manage := range []bool{true, false} {
		d := newDB(t, oneTable, "CREATE TABLE log (n int)", "CREATE PUBLICATION pub FOR TABLE t")
		p := record(t, d.options("t"))
		p.copied()
		tx, err := d.connect().Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), "INSERT INTO t VALUES (1)"); err != nil {
			t.Fatal(err)
		}
		p.close()
		d.exec("INSERT INTO t VALUES (2)")
		p.o = d.options("t", "log")
		p.o.Manage, p.o.Heartbeat = manage, 20*time.Millisecond
		if !manage {
			err := p.tryOpen()
			wantCode(t, err, "publication_incomplete")
			d.exec(strings.Split(fixOf(err), ";")[0])
			p.close()
		}
		p.open()
		later := syncline.Run{ID: "later", Kind: syncline.RunFull, Entity: "log"}
		p.start(later)
		d.exec("INSERT INTO log VALUES (3)")
		d.exec("INSERT INTO t VALUES (4)")
		p.events(2)
		if w := strings.Join(p.src.Warnings(), "; "); !strings.Contains(w, "public.log is not captured yet") {
			t.Errorf("warnings = %s", w)
		}
		p.crash(0)
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.start(later)
		for began := time.Now(); err == nil && time.Since(began) < patience; {
			d.exec("CHECKPOINT") // which says what is running
			var b *syncline.Batch
			if b, err = p.tryNext(); err == nil {
				p.src.Confirm(b.Position)
			}
		}
		if syncline.CodeOf(err) != "publication_joins" || syncline.ClassOf(err) != syncline.Transient {
			t.Fatalf("error = %v, want that the publication can be read", err)
		}
		if n := len(p.rowsOf("later")); n > 0 {
			t.Errorf("%d rows of the table were read before it joined", n)
		}
		p.crash(0)
		p.start(later)
		d.exec("INSERT INTO log VALUES (5)")
		p.until(p.ended("later"))
		d.exec("INSERT INTO log VALUES (6)")
		var got []string
		p.until(func() bool {
			got = p.rowsOf("later")
			for _, e := range p.streamed() {
				if strings.HasPrefix(describe(e), "created log") {
					got = append(got, describe(e))
				}
			}
			return slices.Contains(got, "created log [] [6]")
		})
		for i := range got {
			got[i] = got[i][strings.LastIndex(got[i], "["):]
		}
		slices.Sort(got)
		if diff := cmp.Diff([]string{"[3]", "[5]", "[6]"}, slices.Compact(got)); diff != "" {
			t.Errorf("rows (-want +got):\n%s", diff)
		}
		p.close()
	}
}
