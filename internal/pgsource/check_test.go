package pgsource

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"syncline"
	"syncline/internal/testserver"
)

// TestDescribeTellsThatItWasCutOff: a table that could not be looked up is not one that cannot be captured.
func TestDescribeTellsThatItWasCutOff(t *testing.T) {
	d := newDB(t, oneTable)
	src, err := New(d.options("t"))
	if err != nil {
		t.Fatal(err)
	}
	tx, err := d.conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(t.Context()) //nolint:errcheck // nothing was written
	if _, err := tx.Exec(t.Context(), "LOCK TABLE pg_attrdef IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1) // the goroutine's one word
	go func() {
		list, err := src.Describe(t.Context())
		if err == nil {
			err = fmt.Errorf("there are %d schemas", len(list))
		}
		done <- err
	}()
	for cut := 0; cut == 0; {
		if err := tx.QueryRow(t.Context(), `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&cut); err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), "SELECT pg_stat_clear_snapshot()"); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-done; syncline.CodeOf(err) != "connection_lost" || syncline.ClassOf(err) != syncline.Transient {
		t.Errorf("Describe = %v, want connection_lost, which passes", err)
	}
}

func TestRefusedLoginAndRights(t *testing.T) {
	d := newDB(t, oneTable)
	name := "r_" + d.text("SELECT current_database()")
	d.exec("CREATE ROLE " + name + " LOGIN")
	t.Cleanup(func() { d.exec("DROP OWNED BY " + name); d.exec("DROP ROLE " + name) })
	o := d.options("t")
	o.URL = strings.Replace(d.url, "postgres@", name+"@", 1)
	src, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	for _, f := range src.Check(t.Context()) {
		if f.Level == "fail" {
			codes = append(codes, f.Code)
		}
	}
	if !slices.Contains(codes, "privilege_missing") && !slices.Contains(codes, "login_refused") {
		t.Errorf("check of a role without rights = %v", codes)
	}
	if err := record2(t, o); syncline.ClassOf(err) != syncline.Fatal {
		t.Errorf("open by a role without rights = %v, want a fatal error", err)
	}
	o.URL = strings.Replace(d.url, "postgres@", "nobody_of_that_name:geheim@", 1)
	err = record2(t, o)
	wantHealing(t, err, "login_refused")
	if strings.Contains(err.Error(), "geheim") {
		t.Errorf("the error tells the password: %v", err)
	}
	o.URL = "postgres://u:geheim@host:port/db"
	if _, err := New(o); syncline.CodeOf(err) != "url_invalid" || strings.Contains(err.Error(), "geheim") {
		t.Errorf("New of a bad url = %v", err)
	}
}

func TestCheck(t *testing.T) {
	d := newDB(t, oneTable, "CREATE TABLE log (v text)")
	o := d.options("t", "log")
	levels := func(o Options) map[string]string {
		src, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]string{}
		for _, f := range src.Check(t.Context()) {
			if f.Level != "ok" {
				found[f.Code] = f.Level
			}
		}
		return found
	}
	if f := levels(o); len(f) != 1 || f["replica_identity_missing"] != "warn" {
		t.Errorf("check with manage = %v", f)
	}
	o.Manage = false
	if f := levels(o); f["publication_missing"] != "fail" || f["slot_missing"] != "fail" {
		t.Errorf("check without manage = %v", f)
	}
	d.exec("CREATE PUBLICATION pub FOR ALL TABLES")
	if f := levels(o); f["updates_refused"] != "warn" || f["publication_missing"] != "" {
		t.Errorf("check with a publication of everything = %v", f)
	}
	if n := d.text("SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1", d.slotOf()); n != "0" {
		t.Error("check made a slot")
	}
}

// TestCheckOfASlot says what Open would say, which knows the log.
func TestCheckOfASlot(t *testing.T) {
	d := newDB(t, oneTable, "CREATE PUBLICATION pub FOR ALL TABLES")
	check := func(logged syncline.Seq, manage bool, want, fix string) {
		t.Helper()
		o := d.options("t")
		o.Logged, o.Manage = logged, manage
		src, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		var code, way string
		for _, f := range src.Check(t.Context()) {
			if f.Level == "fail" {
				code, way = code+f.Code, way+f.Fix
			}
		}
		if code != want || !strings.Contains(way, fix) {
			t.Errorf("check after %d batches, manage %t = %q (%s), want %q (… %s …)", logged, manage, code, way, want, fix)
		}
	}
	check(0, true, "", "")
	check(1, true, "", "") // the intent alone: the slot is made again
	check(2, true, "slot_missing", "--accept-gap")
	check(0, false, "slot_missing", "pg_create_logical_replication_slot")
	check(1, false, "slot_missing", "--accept-gap")
	d.exec("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", d.slotOf())
	check(0, true, "slot_foreign", "pg_drop_replication_slot")
	check(1, true, "", "")
	check(2, true, "", "")
	check(0, false, "", "")
}

// TestRowsThatAPolicyHidesAreNotLeftOut: a copy that the source's user may not see whole fails and says so.
func TestRowsThatAPolicyHidesAreNotLeftOut(t *testing.T) {
	d := newDB(t, "CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t VALUES (1, 'seen'), (2, 'hidden')")
	name := "p_" + d.text("SELECT current_database()")
	d.exec("CREATE ROLE " + name + " LOGIN REPLICATION")
	t.Cleanup(func() { d.exec("DROP OWNED BY " + name); d.exec("DROP ROLE " + name) })
	d.exec("GRANT CREATE ON DATABASE " + d.text("SELECT current_database()") + " TO " + name)
	d.exec("ALTER TABLE t OWNER TO " + name)
	d.exec("ALTER TABLE t FORCE ROW LEVEL SECURITY")
	d.exec("ALTER TABLE t ENABLE ROW LEVEL SECURITY")
	d.exec("CREATE POLICY p ON t USING (id = 1)")
	o := d.options("t")
	o.URL = strings.Replace(d.url, "postgres@", name+"@", 1)
	src, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close() //nolint:errcheck // the end of a test
	for err = src.Open(t.Context(), nil, syncline.Position{}); err == nil; {
		var b *syncline.Batch
		if b, err = src.Next(t.Context()); err == nil {
			src.Confirm(b.Position)
			if b.Chunk != nil {
				t.Fatalf("a copy of %d rows, want none that is not whole", len(b.Events))
			}
		}
	}
	if syncline.ClassOf(err) != syncline.Fatal || syncline.CodeOf(err) != "privilege_missing" {
		t.Errorf("Next = %v, want fatal privilege_missing", err)
	}
}

// wantHealing wants an error of what an operator mends at the server: the source comes back by itself, and is not tried too often until then.
func wantHealing(t *testing.T, err error, code string) {
	t.Helper()
	if syncline.CodeOf(err) != code || syncline.ClassOf(err) != syncline.Transient || syncline.RetryAfter(err) < time.Minute || !strings.Contains(fixOf(err), "resume --system crm") {
		t.Errorf("%v is %s, tried again after %s, fix %q; want %s, tried rarely, and the command that tries it now", err, syncline.ClassOf(err),
			syncline.RetryAfter(err), fixOf(err), code)
	}
}

// TestAServerWithoutAFreeSlot: the source begins once somebody has made room.
func TestAServerWithoutAFreeSlot(t *testing.T) {
	s := testserver.NewPostgres(t, "fsync=off", "max_replication_slots=1")
	d := &db{t: t, url: s.Database(t)}
	d.conn = d.connect()
	d.exec(oneTable)
	d.exec("SELECT pg_create_physical_replication_slot('somebody')")
	p := &tape{t: t, o: d.options("t")}
	defer p.close()
	p.open()
	_, err := p.tryNext()
	for err == nil { // the intent
		_, err = p.tryNext()
	}
	wantHealing(t, err, "slots_exhausted")
	d.exec("SELECT pg_drop_replication_slot('somebody')")
	p.close()
	p.open()
	p.copied()
}
