package pgsource

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"syncline"
	"syncline/internal/testserver"
)

// fixOf returns the way out that an error names.
func fixOf(err error) string {
	var e *syncline.Error
	errors.As(err, &e)
	if e == nil {
		return ""
	}
	return e.Fix
}

const oneTable = "CREATE TABLE t (id int PRIMARY KEY, v text)"

func TestBirthIsInTheLogBeforeTheSlot(t *testing.T) {
	d := newDB(t, oneTable)
	p := record(t, d.options("t"))
	if b := p.next(); !b.Sync || len(b.Events) != 0 {
		t.Errorf("first batch = %+v, want an intent that is appended at once", b)
	}
	slots := func() string {
		return d.text("SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1", d.slotOf())
	}
	if n := slots(); n != "0" {
		t.Errorf("%s slots after the intent, want none", n)
	}
	// The slot is made, and its point does not get into the log: it is ours, and is made again.
	if _, err := p.src.Next(deadline(t)); err != nil {
		t.Fatal(err)
	}
	if n := slots(); n != "1" {
		t.Errorf("%s slots after the second batch, want one", n)
	}
	point := d.text("SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = $1", d.slotOf())
	d.exec("INSERT INTO t VALUES (1)")
	p.crash(0)
	if b := p.next(); !b.Sync || lsn(b.Position.Commit).String() == point {
		t.Errorf("batch after a birth that was cut = %+v, want a new consistent point", b)
	}
	p.copied()
	if n := len(p.log[2].Events); n != 1 {
		t.Errorf("%d rows copied, want 1", n)
	}
}

func TestRefusesASlotThatTheLogDoesNotKnow(t *testing.T) {
	d := newDB(t, oneTable)
	d.exec("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", d.slotOf())
	err := record2(t, d.options("t"))
	wantCode(t, err, "slot_foreign")
	o := d.options("t")
	o.Manage = false
	d.exec("CREATE PUBLICATION pub FOR TABLE t")
	if err := record2(t, o); err != nil {
		t.Errorf("open of a slot made by hand = %v", err)
	}
	d.dropSlot()
	d.exec("SELECT pg_create_logical_replication_slot($1, 'test_decoding')", d.slotOf())
	wantCode(t, record2(t, o), "slot_foreign")
	d.dropSlot()
	d.exec("SELECT pg_create_logical_replication_slot($1, 'pgoutput', false, true)", d.slotOf())
	err = record2(t, o)
	if wantCode(t, err, "slot_foreign"); !strings.Contains(fixOf(err), "without two_phase") {
		t.Errorf("fix of a slot for two-phase commits = %q", fixOf(err))
	}
	used := &Source{state: checkpoint{State: "ours"}}
	if err := used.checkSlot(&slot{plugin: "pgoutput", twoPhase: true}); err != nil {
		t.Errorf("such a slot that the log was read from = %v, want it read on: what it has would be lost with it", err)
	}
}

// record2 opens a source of an empty log and closes it.
func record2(t *testing.T, o Options) error {
	t.Helper()
	p := &tape{t: t, o: o}
	defer p.close()
	return p.tryOpen()
}

func TestWithoutManageTheSQLIsPrinted(t *testing.T) {
	d := newDB(t, oneTable, `CREATE TABLE "Log" (v text)`)
	o := d.options("t", `"Log"`)
	o.Manage = false
	err := record2(t, o)
	wantCode(t, err, "publication_missing")
	for _, sql := range strings.Split(strings.TrimSuffix(fixOf(err), ";"), ";") {
		d.exec(sql)
	}
	err = record2(t, o)
	wantCode(t, err, "slot_missing")
	d.exec(fixOf(err))
	p := record(t, o)
	p.copied()
	d.exec(`INSERT INTO t VALUES (1); INSERT INTO "Log" VALUES ('x')`)
	if n := len(p.events(2)); n != 2 {
		t.Errorf("%d events", n)
	}
	o.Entities = append(o.Entities, Entity{Name: "later", Table: "later"})
	d.exec("CREATE TABLE later (id int PRIMARY KEY)")
	p.close()
	p.o = o
	err = p.tryOpen()
	wantCode(t, err, "publication_incomplete")
	d.exec(strings.TrimSuffix(fixOf(err), ";"))
	p.close()
	p.open()
}

func TestNoStreamIsContinuedWithAGap(t *testing.T) {
	newTape := func(t *testing.T) (*db, *tape) {
		d := newDB(t, oneTable, "INSERT INTO t VALUES (1)")
		p := record(t, d.options("t"))
		p.copied()
		d.exec("INSERT INTO t VALUES (2)")
		p.events(1)
		p.close()
		return d, p
	}
	t.Run("slot dropped", func(t *testing.T) {
		d, p := newTape(t)
		d.dropSlot()
		wantCode(t, p.tryOpen(), "slot_missing")
	})
	t.Run("slot made anew", func(t *testing.T) {
		d, p := newTape(t)
		d.dropSlot()
		d.exec("INSERT INTO t VALUES (3)")
		d.exec("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", d.slotOf())
		wantCode(t, p.tryOpen(), "slot_ahead")
	})
	t.Run("slot advanced", func(t *testing.T) {
		d, p := newTape(t)
		d.exec("INSERT INTO t VALUES (3)")
		d.released()
		d.exec("SELECT pg_replication_slot_advance($1, pg_current_wal_lsn())", d.slotOf())
		wantCode(t, p.tryOpen(), "slot_ahead")
	})
	t.Run("server behind the log", func(t *testing.T) {
		_, p := newTape(t)
		p.log[len(p.log)-1].Position.Commit += 1 << 40
		wantCode(t, p.tryOpen(), "source_behind")
	})
	t.Run("another slot", func(t *testing.T) {
		d, p := newTape(t)
		p.o.Slot = "other_" + d.slotOf()
		wantCode(t, p.tryOpen(), "source_changed")
	})
	for _, field := range []string{"system", "timeline", "database"} {
		t.Run("another "+field, func(t *testing.T) {
			_, p := newTape(t)
			last := p.log[len(p.log)-1]
			var c map[string]any
			if err := json.Unmarshal(last.Checkpoint, &c); err != nil {
				t.Fatal(err)
			}
			if id := c["id"].(map[string]any); field == "database" {
				id[field] = 1
			} else {
				id[field] = "1234"
			}
			last.Checkpoint, _ = json.Marshal(c)
			wantCode(t, p.tryOpen(), "source_changed")
		})
	}
	t.Run("unknown checkpoint", func(t *testing.T) {
		_, p := newTape(t)
		p.log[len(p.log)-1].Checkpoint = []byte(`{"v":2}`)
		wantCode(t, p.tryOpen(), "checkpoint_unknown")
	})
}

func TestSlotThatTheServerGaveUp(t *testing.T) {
	s := testserver.NewPostgres(t, "fsync=off", "max_slot_wal_keep_size=1MB", "min_wal_size=32MB", "max_wal_size=32MB")
	d := &db{t: t, url: s.Database(t)}
	d.conn = d.connect()
	d.exec(oneTable)
	p := record(t, d.options("t"))
	p.copied()
	p.close()
	for d.text("SELECT wal_status FROM pg_replication_slots") != "lost" {
		d.exec("SELECT pg_logical_emit_message(false, 'x', repeat('x', 1000000)) FROM generate_series(1, 20)")
		d.exec("CHECKPOINT")
	}
	wantCode(t, p.tryOpen(), "slot_lost")
}

func TestServerThatCannotReplicate(t *testing.T) {
	s := testserver.NewPostgres(t, "fsync=off", "wal_level=replica")
	d := &db{t: t, url: s.Database(t)}
	d.conn = d.connect()
	d.exec(oneTable)
	wantCode(t, record2(t, d.options("t")), "wal_level")
	src, err := New(d.options("t"))
	if err != nil {
		t.Fatal(err)
	}
	if f := src.Check(t.Context()); len(f) != 1 || f[0].Level != "fail" || f[0].Code != "wal_level" || f[0].Fix == "" {
		t.Errorf("check = %+v", f)
	}
}

func TestTablesAndKeysThatCannotBeCaptured(t *testing.T) {
	d := newDB(t, "CREATE TABLE t (id int PRIMARY KEY, u int NOT NULL UNIQUE, n int)", "CREATE UNLOGGED TABLE fast (id int PRIMARY KEY)",
		"CREATE VIEW v AS SELECT 1", "CREATE TABLE f (a int, b int)", "ALTER TABLE f REPLICA IDENTITY FULL")
	for _, tc := range []struct {
		entity Entity
		code   string
	}{
		{Entity{Name: "e", Table: "missing"}, "table_missing"},
		{Entity{Name: "e", Table: `a."b`}, "table_missing"},
		{Entity{Name: "e", Table: "a.b.c.d"}, "table_missing"},
		{Entity{Name: "e", Table: "fast"}, "table_not_replicated"},
		{Entity{Name: "e", Table: "v"}, "table_not_replicated"},
		{Entity{Name: "e", Table: "t", Key: []string{"u"}}, "key_outside_identity"},
		{Entity{Name: "e", Table: "t", Key: []string{"x"}}, "key_missing"},
		{Entity{Name: "e", Table: "f", Key: []string{"a"}}, "key_nullable"},
		{Entity{Name: "e", Table: "t", Version: "x"}, "version_missing"},
	} {
		o := d.options()
		o.Entities = []Entity{tc.entity}
		if err := record2(t, o); syncline.CodeOf(err) != tc.code || syncline.ClassOf(err) != syncline.Fatal {
			t.Errorf("%+v: error = %v, want %s", tc.entity, err, tc.code)
		}
	}
	o := d.options("t")
	o.Entities = append(o.Entities, Entity{Name: "again", Table: "public.t"})
	wantCode(t, record2(t, o), "table_twice")
}

func TestPublicationsThatLeaveSomethingOut(t *testing.T) {
	for _, tc := range []struct {
		since        int // the server's version that has it
		create, code string
		tables       []string
	}{
		{15, "CREATE PUBLICATION pub FOR TABLE t (id, v)", "publication_incomplete", []string{"t"}},
		{15, "CREATE PUBLICATION pub FOR TABLE t WHERE (id > 1)", "publication_incomplete", []string{"t"}},
		{13, "CREATE PUBLICATION pub FOR TABLE t WITH (publish = 'insert')", "publication_incomplete", []string{"t"}},
		{13, "CREATE PUBLICATION pub FOR TABLE bare WITH (publish = 'insert')", "publication_incomplete", []string{"bare"}}, // its truncates
		{13, "CREATE PUBLICATION pub FOR TABLE p; ALTER TABLE t ADD unused int", "publication_by_partition", []string{"t", "p"}},
	} {
		if majorVersion(t) < tc.since {
			continue
		}
		d := newDB(t, oneTable, "ALTER TABLE t ADD w text", "CREATE TABLE bare (v int)", "CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id)")
		d.exec(tc.create)
		p := &tape{t: t, o: d.options(tc.tables...)}
		if err := p.tryOpen(); err != nil {
			t.Fatal(err)
		}
		p.next()
		_, err := p.tryNext()
		if syncline.CodeOf(err) != tc.code {
			t.Errorf("%s: error = %v, want %s", tc.create, err, tc.code)
		}
		p.close()
	}
}

// TestWaitsForASlotInUse opens a second source while the first has the slot.
func TestWaitsForASlotInUse(t *testing.T) {
	d := newDB(t, oneTable)
	p := record(t, d.options("t"))
	p.copied()
	d.exec("INSERT INTO t VALUES (1)")
	p.events(1)
	first := p.src
	p.src = nil
	done := make(chan error)
	go func() { done <- p.tryOpen() }()
	// The second one is refused by the server at least once before the first lets go.
	await(t, func() bool {
		return d.text("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'syncline' AND query LIKE 'START_REPLICATION%' AND state <> 'active' AND datname = current_database()") != "0"
	})
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	d.exec("INSERT INTO t VALUES (2)")
	wantEvents(t, p.events(2), "created t [] [1,null]", "created t [] [2,null]")
}

// await waits until ready.
func await(t testing.TB, ready func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ctx := deadline(t); !ready(); {
		select {
		case <-ctx.Done():
			t.Fatal("waited too long")
		case <-tick.C:
		}
	}
}

// TestServerRestart: the error is transient, and a new source goes on without a gap or a repetition.
func TestServerRestart(t *testing.T) {
	s := testserver.NewPostgres(t)
	d := &db{t: t, url: s.Database(t)}
	d.conn = d.connect()
	d.exec(oneTable)
	p := record(t, d.options("t"))
	p.copied()
	for i := range 5 {
		d.exec("INSERT INTO t VALUES ($1)", i)
	}
	p.events(5)
	s.Kill()
	for {
		_, err := p.tryNext()
		if err == nil {
			continue // a marker that was under way
		}
		if syncline.ClassOf(err) != syncline.Transient || errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("next of a dead server = %v, want a transient error", err)
		}
		wantLost(t, "next", syncline.Failure(err, ""))
		break
	}
	p.close()
	wantLost(t, "open", syncline.Failure(p.tryOpen(), ""))
	for _, f := range p.src.Check(t.Context()) {
		wantLost(t, "check", f)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	d.conn = d.connect()
	d.exec("INSERT INTO t VALUES (5)")
	p.crash(0)
	p.events(6)
	for i, e := range p.streamed() {
		if n, _ := e.After[0].AsInt(); n != int64(i) {
			t.Errorf("event %d is of row %d", i, n)
		}
	}
}

// wantLost checks what an operator reads of a server that is down.
func wantLost(t *testing.T, doing string, f syncline.Finding) {
	t.Helper()
	if f.Level != "fail" || f.Code != "connection_lost" || !strings.Contains(f.Fix, "127.0.0.1:") {
		t.Errorf("%s of a dead server = %+v, want connection_lost with its address in the fix", doing, f)
	}
}

// TestServerWithoutRoom is another thing than a server that is down, and nothing is told of an end that was asked for.
func TestServerWithoutRoom(t *testing.T) {
	src, err := New(newDB(t).options("t"))
	if err != nil {
		t.Fatal(err)
	}
	for want, err := range map[string]error{
		"out_of_resources": &pgconn.PgError{Code: "53300"},
		"connection_lost":  &pgconn.PgError{Code: "57P03"},
		"canceled":         context.Canceled,
		"unknown":          &pgconn.PgError{Code: "57014"},
	} {
		if err = src.fault("connect", err); syncline.CodeOf(err) != want || syncline.ClassOf(err) != syncline.Transient {
			t.Errorf("error = %v, want transient %s", err, want)
		}
	}
}

// TestMakingASlotWaitsForTransactions, and can be given up.
func TestMakingASlotWaitsForTransactions(t *testing.T) {
	d := newDB(t, oneTable)
	tx, err := d.connect().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "INSERT INTO t VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	p := record(t, d.options("t"))
	p.next()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := p.src.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("next while a transaction runs = %v, want it to wait", err)
	}
	if err := tx.Commit(t.Context()); err != nil && !errors.Is(err, pgx.ErrTxClosed) {
		t.Fatal(err)
	}
	p.crash(0)
	p.copied()
	if n := len(p.log[2].Events); n != 1 {
		t.Errorf("%d rows copied, want 1", n)
	}
}

// TestAPublicationThatIsMadeAnewComesTooLate: the server cannot read what was changed while there was none, however often it is asked.
func TestAPublicationThatIsMadeAnewComesTooLate(t *testing.T) {
	for name, options := range map[string]func(Options) Options{"walsender": func(o Options) Options { return o }, "backlog": bySQL} {
		t.Run(name, func(t *testing.T) {
			d := newDB(t, oneTable)
			p := record(t, options(d.options("t")))
			p.copied()
			p.close()
			d.exec("DROP PUBLICATION pub")
			d.exec("INSERT INTO t VALUES (1, 'unread')")
			d.exec("CREATE PUBLICATION pub FOR TABLE ONLY t")
			err := p.tryOpen()
			for err == nil {
				_, err = p.tryNext()
			}
			wantCode(t, err, "publication_late")
			if syncline.FixOf(err) == "" {
				t.Error("there is no way out")
			}
		})
	}
}
