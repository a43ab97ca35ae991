package pgsource

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

// identified gives a table without a key the replica identity that the check asks for, after a change that was missed, and
// leaves one that the stream has yet to bring.
func identified(t *testing.T, o func(*db) Options) (*db, *tape) {
	d := newDB(t, oneTable, "CREATE TABLE log (n int)")
	p := record(t, o(d))
	p.copied()
	d.exec("INSERT INTO log VALUES (1)")
	p.events(1)
	p.close()
	d.exec("INSERT INTO log VALUES (2)")
	d.exec("ALTER TABLE log REPLICA IDENTITY FULL")
	return d, p
}

// fixes returns the ways out of a check's findings of this code. A check that finds fault with the publication does not call it ok.
func fixes(t *testing.T, o Options, code string) string {
	t.Helper()
	src, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, f := range src.Check(t.Context()) {
		if f.Code == code {
			list = append(list, f.Fix)
		}
		if f.Level == "ok" && strings.HasPrefix(f.What, "publication") {
			t.Errorf("check says ok: %s", f.What)
		}
	}
	return strings.Join(list, "\n")
}

// TestTableThatGetsAReplicaIdentity moves to the publication of updates: nothing that is inserted around the move is lost, and
// updates and deletes come from then on. With and without the publication of updates, which a source of such tables alone lacks.
func TestTableThatGetsAReplicaIdentity(t *testing.T) {
	for _, tables := range [][]string{{"t", "log"}, {"log"}} {
		t.Run(strings.Join(tables, "+"), func(t *testing.T) {
			d, p := identified(t, func(d *db) Options { return d.options(tables...) })
			var said bytes.Buffer
			p.o.Logger = slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelWarn}))
			if got := fixes(t, p.o, "updates_missed"); got != "once it runs: syncline sync crm/log" {
				t.Errorf("the check's way to what was missed = %q", got)
			}
			p.crash(0)
			if got := said.String(); !strings.Contains(got, "syncline sync crm/log") {
				t.Errorf("the log does not say that a sync is needed: %s", got)
			}
			d.exec("INSERT INTO log VALUES (3)")
			d.exec("UPDATE log SET n = 4 WHERE n = 3")
			d.exec("DELETE FROM log WHERE n = 1")
			wantEvents(t, p.events(5), "created log [] [1]", "created log [] [2]", "created log [] [3]", "updated log [3] [4]", "deleted log [1] []")
			p.crash(0)
			d.exec("DELETE FROM log WHERE n = 2")
			p.events(6)
			var list []string
			rows, err := d.conn.Query(t.Context(), "SELECT pubname || ' ' || tablename FROM pg_publication_tables WHERE tablename = 'log'")
			for err == nil && rows.Next() {
				var s string
				err = rows.Scan(&s)
				list = append(list, s)
			}
			if diff := cmp.Diff([]string{"pub log"}, list); diff != "" || err != nil {
				t.Errorf("published (-want +got):\n%s%v", diff, err)
			}
		})
	}
}

// TestReplicaIdentityWithoutManage: the error has the statements, and they are enough.
func TestReplicaIdentityWithoutManage(t *testing.T) {
	d, p := identified(t, func(d *db) Options { return d.options("t", "log") })
	p.o.Manage = false
	fix := fixes(t, p.o, "publication_incomplete")
	err := p.tryOpen()
	wantCode(t, err, "publication_incomplete")
	want := `ALTER PUBLICATION "pub" ADD TABLE ONLY "public"."log"; ALTER PUBLICATION "pub_append" DROP TABLE ONLY "public"."log";`
	if got := fixOf(err); got != want || fix != want {
		t.Errorf("fix = %s, by the check %s, want %s", got, fix, want)
	}
	if !strings.Contains(err.Error(), "pub_append") || !strings.Contains(err.Error(), "sync") {
		t.Errorf("error = %v, want the publication that has the table, and that a sync is needed", err)
	}
	for _, sql := range strings.Split(strings.TrimSuffix(want, ";"), ";") {
		d.exec(sql)
	}
	p.crash(0)
	d.exec("DELETE FROM log WHERE n = 1")
	e := p.events(3)
	if got := describe(e[2]); e[2].Op != syncline.OpDeleted {
		t.Errorf("third event = %s, want the delete", got)
	}
}

// TestPublicationThatComesLater is of the first table of its kind, which joins while the stream has changes to bring that are older.
func TestPublicationThatComesLater(t *testing.T) {
	for _, tables := range [][]string{{"t", "log"}, {"log", "t"}} {
		t.Run(tables[1], func(t *testing.T) {
			d := newDB(t, oneTable, "CREATE TABLE log (n int)")
			p := record(t, d.options(tables[0]))
			p.copied()
			p.close()
			d.exec("INSERT INTO " + tables[0] + " VALUES (1)")
			p.o = d.options(tables...)
			p.open()
			p.events(1)
			d.exec("INSERT INTO " + tables[1] + " VALUES (2)")
			p.events(2)
		})
	}
}

// TestReplicaIdentityInMidStream is missed, seen and lost with a word each; one that came is used from the next start on.
func TestReplicaIdentityInMidStream(t *testing.T) {
	d := newDB(t, oneTable, "CREATE TABLE log (n int)")
	var said bytes.Buffer
	o := d.options("t", "log")
	o.Logger = slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelWarn}))
	p := record(t, o)
	p.copied()
	d.exec("INSERT INTO log VALUES (1)")
	p.events(1)
	want := []string{`updates and deletes of public.log are not captured, it has no replica identity: add a primary key, or ` +
		`ALTER TABLE "public"."log" REPLICA IDENTITY FULL; then restart, and where rows were changed before, syncline sync crm/log`}
	if diff := cmp.Diff(want, p.src.Warnings()); diff != "" || !strings.Contains(said.String(), "tables=public.log") {
		t.Errorf("warnings (-want +got):\n%sand in the log: %s", diff, said.String())
	}
	d.exec("ALTER TABLE log REPLICA IDENTITY FULL")
	d.exec("INSERT INTO log VALUES (2)")
	p.events(2)
	if got := said.String(); !strings.Contains(got, "restart; then syncline sync crm/log") {
		t.Errorf("the log does not say what to do: %s", got)
	}
	d.exec("ALTER TABLE t REPLICA IDENTITY NOTHING")
	d.exec("INSERT INTO t VALUES (1)")
	p.events(3)
	if got := p.src.Warnings(); len(got) != 1 || !strings.Contains(got[0], "public.t ") {
		t.Errorf("warnings after t lost its replica identity = %q", got)
	}
}

// TestTablesThatInherit are left alone by what is done for the table they inherit from: without a primary key, published updates would
// make the application's own fail.
func TestTablesThatInherit(t *testing.T) {
	d := newDB(t, oneTable, "CREATE TABLE child (extra text) INHERITS (t)", "INSERT INTO child VALUES (1, 'x', 'y')",
		"CREATE TABLE log (n int)", "CREATE TABLE older (extra text) INHERITS (log)", "INSERT INTO older VALUES (1, 'y')")
	p := record(t, d.options("t", "log"))
	p.copied()
	d.exec("UPDATE child SET v = 'z'")
	d.exec("DELETE FROM t WHERE id = 1") // the child's row
	p.close()
	d.exec("ALTER TABLE log ADD PRIMARY KEY (n)")
	p.open() // it moves to the publication of updates
	d.exec("UPDATE older SET extra = 'z'")
	d.exec("DELETE FROM log") // the child's row
	d.exec("INSERT INTO log VALUES (2)")
	var got []string
	for _, e := range p.events(1) {
		got = append(got, describe(e))
	}
	if diff := cmp.Diff([]string{"created log [] [2]"}, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if tables := d.text("SELECT string_agg(tablename, ' ' ORDER BY pubname, tablename) FROM pg_publication_tables WHERE pubname LIKE 'pub%'"); tables != "log t" {
		t.Errorf("published tables = %s, want log and t", tables)
	}
}

// TestOnlyThePublicationThatIsNeeded: a stream cannot bring what is older than a publication that it names, so that one without a table would
// stop the source.
func TestOnlyThePublicationThatIsNeeded(t *testing.T) {
	for _, manage := range []bool{true, false} {
		d := newDB(t, oneTable, "CREATE TABLE later (id int PRIMARY KEY)", "CREATE PUBLICATION pub FOR TABLE t")
		p := record(t, d.options("t"))
		p.copied()
		p.close()
		d.exec("INSERT INTO t VALUES (1)") // not read yet
		p.o = d.options("t", "later")
		p.o.Manage = manage
		if !manage {
			err := p.tryOpen()
			wantCode(t, err, "publication_incomplete")
			if got, want := fixOf(err), "ALTER PUBLICATION \"pub\" ADD TABLE ONLY \"public\".\"later\"; -- then, if it is running, `syncline resume --system crm`"; got != want {
				t.Errorf("fix = %s, want %s", got, want)
			}
			for _, sql := range strings.Split(strings.TrimSuffix(fixOf(err), ";"), ";") {
				d.exec(sql)
			}
			p.close()
		}
		p.open()
		p.events(1)
	}
}
