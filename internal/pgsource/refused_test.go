package pgsource

import (
	"net"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"syncline"
	"syncline/internal/testserver"
)

// failures are what a check of a source that is not open calls wrong.
func failures(t *testing.T, o Options) (list []syncline.Finding) {
	t.Helper()
	src, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range src.Check(t.Context()) {
		if f.Level == "fail" {
			list = append(list, f)
		}
	}
	return list
}

// wantTransient checks that an error is waited out, and that its way out names something.
func wantTransient(t *testing.T, err error, code, fix string) {
	t.Helper()
	if syncline.CodeOf(err) != code || syncline.ClassOf(err) != syncline.Transient || !strings.Contains(fixOf(err), fix) {
		t.Errorf("error = %v (%s; fix: %s), want transient %s with a fix that says %q", err, syncline.ClassOf(err), fixOf(err), code, fix)
	}
}

// TestRightsByTheFixes: the statements that the check prints, run one after the other as they stand, are all that a role without rights
// needs to be copied and streamed from; until then a start says what the check says.
func TestRightsByTheFixes(t *testing.T) {
	d := newDB(t, oneTable, "INSERT INTO t VALUES (1, 'a')", "CREATE TABLE log (v text)")
	role := "f_" + d.text("SELECT current_database()")
	d.exec("CREATE ROLE " + role + " LOGIN")
	t.Cleanup(func() { d.exec("DROP OWNED BY " + role); d.exec("DROP ROLE " + role) })
	o := d.options("t", "log")
	o.URL = strings.Replace(d.url, "postgres@", role+"@", 1)
	var ran []string
	for found := failures(t, o); len(found) > 0 && len(ran) < 10; found = failures(t, o) {
		for _, f := range found {
			if f.Code != "privilege_missing" {
				t.Fatalf("the check finds %+v", f)
			}
			_, sql, ok := strings.Cut(f.Fix, "superuser: ")
			if !ok {
				sql = f.Fix
			} else if err := openAndCopy(t, o); syncline.CodeOf(err) != "privilege_missing" || fixOf(err) != f.Fix {
				t.Errorf("a start says %v (fix: %s), want what the check says: %s", err, fixOf(err), f.Fix)
			}
			d.exec(sql)
			ran = append(ran, sql)
		}
	}
	if len(ran) != 4 { // REPLICATION, SELECT on each table, the publications
		t.Errorf("statements %q, want 4", ran)
	}
	p := record(t, o)
	p.copied()
	d.exec("INSERT INTO t VALUES (2, 'b')")
	p.events(1)
}

// openAndCopy opens a source of an empty log and goes on until its stream begins, or something is wrong.
func openAndCopy(t *testing.T, o Options) error {
	t.Helper()
	p := &tape{t: t, o: o}
	defer p.close()
	err := p.tryOpen()
	for range 4 {
		if err == nil {
			_, err = p.tryNext()
		}
	}
	return err
}

// TestASlotThatCannotBeOursIsNotOffered: what reads another plug-in or another database is not told to be taken over, nor to be dropped.
func TestASlotThatCannotBeOursIsNotOffered(t *testing.T) {
	d, other := newDB(t, oneTable), newDB(t)
	o := d.options("t")
	for _, sql := range []string{
		"SELECT pg_create_logical_replication_slot('" + d.slotOf() + "', 'test_decoding')",
		"SELECT pg_create_physical_replication_slot('" + d.slotOf() + "')",
	} {
		d.exec(sql)
		err := record2(t, o)
		wantCode(t, err, "slot_foreign")
		if fix := fixOf(err); !strings.Contains(fix, "name another slot") || strings.Contains(fix, "pg_drop_replication_slot") {
			t.Errorf("fix after %s = %q", sql, fix)
		}
		d.dropSlot()
	}
	other.exec("SELECT pg_create_logical_replication_slot('" + d.slotOf() + "', 'pgoutput')")
	err := record2(t, o)
	wantCode(t, err, "slot_foreign")
	if fix := fixOf(err); !strings.Contains(fix, "unique on its server") {
		t.Errorf("fix of a slot of another database = %q", fix)
	}
	other.exec("SELECT pg_drop_replication_slot('" + d.slotOf() + "')")
}

func TestNoWALSenderIsFree(t *testing.T) {
	s := testserver.NewPostgres(t, "fsync=off", "max_wal_senders=0")
	d := &db{t: t, url: s.Database(t)}
	d.conn = d.connect()
	d.exec(oneTable)
	o := d.options("t")
	wantTransient(t, record2(t, o), "senders_exhausted", "max_wal_senders")
	if f := failures(t, o); len(f) != 1 || f[0].Code != "senders_exhausted" {
		t.Errorf("check = %+v", f)
	}
}

// TestAStandbyIsWaitedFor: it may be promoted, and then everything works without anybody.
func TestAStandbyIsWaitedFor(t *testing.T) {
	s := testserver.NewPostgres(t, "fsync=off")
	d := &db{t: t, url: s.Database(t)}
	d.conn = d.connect()
	d.exec(oneTable)
	o := d.options("t")
	s.Standby(t)
	p := &tape{t: t, o: o}
	t.Cleanup(p.close)
	err := p.tryOpen()
	for err == nil { // a version that decodes there has no publication yet
		_, err = p.tryNext()
	}
	wantTransient(t, err, "source_standby", "primary")
	p.close()
	d.conn = d.connect()
	d.exec("SELECT pg_promote(true, 30)")
	p.log = nil
	p.open()
	p.copied()
}

// TestAPoolerIsNamed: what answers and does not pass replication on is told from a server that is down.
func TestAPoolerIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b := pgproto3.NewBackend(c, c)
			if _, err := b.ReceiveStartupMessage(); err == nil {
				b.Send(&pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: "08P01", Message: "unsupported startup parameter: replication"})
				_ = b.Flush() // the client may be gone
			}
			_ = c.Close()
		}
	}()
	d := newDB(t, oneTable)
	o := d.options("t")
	o.URL = "postgres://postgres@" + l.Addr().String() + "/db?sslmode=disable"
	wantTransient(t, record2(t, o), "connection_lost", "pooler")
}
