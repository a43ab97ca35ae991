package pgsource

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
	"syncline/internal/testserver"
)

// behind is a source whose log ends before n rows, opened again.
func (d *db) behind(width int) (p *tape, n int) {
	d.t.Helper()
	p = record(d.t, bySQL(d.options("t")))
	p.copied()
	p.close()
	n = d.steps(width)
	p.open()
	return p, n
}

// halfway waits until the reader has given out all that it may: it is in the middle of a step, and what is left of the backlog is more than the
// server has decoded.
func (p *tape) halfway() {
	p.t.Helper()
	await(p.t, func() bool { blocks := p.src.stream.feed.arrivals(); return len(blocks) == cap(blocks) })
}

// ownServer is a database on a server of its own.
func ownServer(t *testing.T, settings ...string) (*testserver.Postgres, *db) {
	t.Helper()
	pg := testserver.NewPostgres(t, append([]string{"fsync=off"}, settings...)...)
	d := &db{t: t, url: pg.Database(t)}
	d.conn = d.connect()
	return pg, d
}

const wide = 1500 // so many bytes make the rows of steps more than the socket, its buffers and we read ahead

// fails takes batches until the source does.
func (p *tape) fails() error {
	p.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if _, err := p.tryNext(); err != nil {
			return err
		}
	}
	p.t.Fatal("it goes on and on")
	return nil
}

// TestSlotInMidBacklog: whatever becomes of our slot while a copy of it is read, nothing is left out, or it is said.
func TestSlotInMidBacklog(t *testing.T) {
	for name, c := range map[string]struct {
		sql  string // of our slot
		code string // "": it goes on
	}{
		"dropped": {"SELECT pg_drop_replication_slot($1)", "slot_missing"},
		// The copy brings what is before the place.
		"moved":                 {"SELECT pg_replication_slot_advance($1, pg_current_wal_lsn())", ""},
		"read by somebody else": {"SELECT count(*) FROM pg_logical_slot_get_binary_changes($1, NULL, NULL, 'proto_version', '1', 'publication_names', 'pub')", ""},
		"made anew":             {"SELECT (SELECT pg_create_logical_replication_slot(name, 'pgoutput') FROM pg_drop_replication_slot(name)) FROM (VALUES ($1::name)) AS s (name)", ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDB(t, oneTable)
			p, n := d.behind(wide)
			p.halfway()
			d.exec(c.sql, d.slotOf())
			d.exec("INSERT INTO t VALUES ($1)", n+1)
			if c.code != "" {
				wantCode(t, p.fails(), c.code)
				p.close()
				wantCode(t, p.tryOpen(), c.code)
				n = len(p.streamed()) - 1
			}
			p.inOrder(n + 1)
			if c.code == "" {
				p.inOrder(p.streams(d, n+1))
			}
		})
	}
}

// TestSlotIsTakenInMidBacklog: it is said that somebody has it, and then it is gone on with.
func TestSlotIsTakenInMidBacklog(t *testing.T) {
	t.Parallel()
	d := newDB(t, oneTable)
	p, n := d.behind(wide)
	p.halfway()
	other, err := p.src.connectReplication(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeNow(other) })
	if err := startReplication(t.Context(), other, "START_REPLICATION SLOT "+d.slotOf()+" LOGICAL 0/0 (proto_version '1', publication_names 'pub')"); err != nil {
		t.Fatal(err)
	}
	inUse := func(err error) {
		t.Helper()
		if syncline.ClassOf(err) != syncline.Transient || syncline.CodeOf(err) != "slot_in_use" || fixOf(err) == "" {
			t.Fatalf("error = %v, want that the slot is in use", err)
		}
	}
	inUse(p.fails())
	p.close()
	inUse(p.tryOpen())
	closeNow(other)
	p.crash(0)
	d.exec("INSERT INTO t VALUES ($1)", n+1)
	p.inOrder(n + 1)
}

// TestSlotIsLostInMidBacklog: the server removes WAL that the slot and its copy need.
func TestSlotIsLostInMidBacklog(t *testing.T) {
	t.Parallel()
	_, d := ownServer(t)
	d.exec(oneTable)
	p, n := d.behind(wide)
	p.halfway()
	d.exec("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
	d.exec("SELECT pg_reload_conf()")
	await(t, func() bool {
		d.exec("CHECKPOINT")
		return d.text("SELECT wal_status FROM pg_replication_slots WHERE slot_name = $1", d.slotOf()) == "lost"
	})
	if err := p.fails(); syncline.CodeOf(err) != "slot_lost" && syncline.ClassOf(err) != syncline.Transient {
		t.Errorf("error = %v, want that the slot is lost, or the connection to its copy", err)
	}
	p.close()
	wantCode(t, p.tryOpen(), "slot_lost")
	if got := len(p.streamed()); got == 0 || got >= n {
		t.Errorf("%d rows have come of %d", got, n)
	}
	p.inOrder(len(p.streamed()))
}

// line is a proxy before the server that harms the answer to a step.
type line struct {
	url  string
	harm atomic.Pointer[func(answer io.Reader, client *net.TCPConn)] // passes an answer on in its own way; nil: nothing is harmed
	hurt atomic.Int32
}

func newLine(t *testing.T, d *db) *line {
	u, err := url.Parse(d.url)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := u.Host
	u.Host = l.Addr().String()
	p := &line{url: u.String()}
	var all sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			back, err := net.Dial("tcp", server)
			if err != nil {
				_ = client.Close()
				continue
			}
			mu.Lock()
			conns = append(conns, client, back)
			mu.Unlock()
			all.Go(func() { p.relay(client.(*net.TCPConn), back.(*net.TCPConn)) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return p
}

func (p *line) relay(client, server *net.TCPConn) {
	var step atomic.Bool
	var up sync.WaitGroup
	defer up.Wait()
	up.Go(func() {
		defer server.CloseWrite() //nolint:errcheck // it may be closed
		buf := make([]byte, 64<<10)
		for {
			n, err := client.Read(buf)
			if bytes.Contains(buf[:n], []byte("COPY (SELECT data")) {
				step.Store(true)
			}
			if _, werr := server.Write(buf[:n]); err != nil || werr != nil {
				return
			}
		}
	})
	buf := make([]byte, 64<<10)
	for {
		n, err := server.Read(buf)
		if harm := p.harm.Load(); harm != nil && step.Load() && n > 0 {
			p.hurt.Add(1)
			(*harm)(io.MultiReader(bytes.NewReader(buf[:n]), server), client)
			return
		}
		if _, werr := client.Write(buf[:n]); err != nil || werr != nil {
			_ = client.CloseWrite()
			return
		}
	}
}

// TestBacklogOverALineThatBreaks, at any byte of an answer: what has come whole is taken, and the next source goes on behind it.
func TestBacklogOverALineThatBreaks(t *testing.T) {
	d := newDB(t, oneTable, "ALTER TABLE t ALTER v SET STORAGE EXTERNAL")
	l := newLine(t, d)
	o := bySQL(d.options("t"))
	o.URL = l.url
	p := record(t, o)
	p.copied()
	p.close()
	const transactions, rows = 30, 20
	for i := range transactions {
		d.exec("INSERT INTO t SELECT i, repeat('x', CASE WHEN i % 10 = 5 THEN 300000 ELSE 10 END) FROM generate_series($1::int, $2::int) i", 1+i*rows, (i+1)*rows)
	}
	ends := map[string]func(*net.TCPConn){
		"cut":         func(c *net.TCPConn) { _, _ = c.SetLinger(0), c.Close() },
		"half closed": func(c *net.TCPConn) { _ = c.CloseWrite() },
	}
	for _, after := range []int64{0, 1, 5, 12, 30, 31, 35, 36, 37, 60, 200, 1000, 100_000, 299_000, 1 << 20, 2 << 20, 3 << 20} {
		for name, end := range ends {
			harm := func(answer io.Reader, client *net.TCPConn) {
				_, _ = io.CopyN(client, answer, after)
				end(client)
			}
			l.harm.Store(&harm)
			p.open()
			if err := p.fails(); syncline.CodeOf(err) != "connection_lost" || syncline.ClassOf(err) != syncline.Transient {
				t.Fatalf("%s after %d bytes: %v, want a connection that is lost", name, after, err)
			}
			if l.hurt.Swap(0) == 0 {
				t.Fatalf("%s after %d bytes: no answer was harmed", name, after)
			}
			p.close()
		}
	}
	l.harm.Store(nil)
	p.open()
	p.inOrder(transactions * rows)
}

// TestBacklogOfAServerThatIsKilled in the middle of a step, and recovers.
func TestBacklogOfAServerThatIsKilled(t *testing.T) {
	t.Parallel()
	pg, d := ownServer(t)
	d.exec(oneTable)
	p, n := d.behind(wide)
	for _, end := range []func(){pg.Kill, pg.Kill} {
		p.halfway()
		end()
		if err := p.fails(); syncline.CodeOf(err) != "connection_lost" || syncline.ClassOf(err) != syncline.Transient {
			t.Fatalf("error = %v, want a connection that is lost", err)
		}
		if err := pg.Start(); err != nil {
			t.Fatal(err)
		}
		d.conn = d.connect()
		p.crash(0)
	}
	d.exec("INSERT INTO t VALUES ($1)", n+1)
	p.inOrder(n + 1)
}

// history is what two sources read, one by SQL and one from the walsender.
const history = `
INSERT INTO t VALUES (1, 'plain'), (2, NULL);
BEGIN; INSERT INTO t VALUES (3, 'before'); SAVEPOINT a; INSERT INTO t VALUES (4, 'undone'); SAVEPOINT b; UPDATE t SET v = 'undone'; ROLLBACK TO a; INSERT INTO t VALUES (5, 'after'); SAVEPOINT c; INSERT INTO t VALUES (6, 'kept'); RELEASE c; COMMIT;
BEGIN; INSERT INTO t VALUES (7, 'never'); ROLLBACK;
ALTER TABLE t ADD a int NOT NULL DEFAULT 7;
INSERT INTO t VALUES (8, 'x', 8);
BEGIN; UPDATE t SET a = id; ALTER TABLE t ALTER a TYPE numeric(8,2) USING a + 0.5; INSERT INTO t VALUES (9, 'y', 9.25); ALTER TABLE t RENAME v TO w; UPDATE t SET w = 'z' WHERE id = 8; COMMIT;
ALTER TABLE t DROP w;
INSERT INTO t VALUES (10, 10);
ALTER TABLE t ADD v text;
UPDATE t SET id = id + 100;
SELECT pg_logical_emit_message(true, 'somebody', repeat('m', 3000000));
SELECT pg_logical_emit_message(false, 'somebody', repeat('m', 3000000));
BEGIN; SELECT pg_logical_emit_message(true, 'syncline_origin', 'route-7'); INSERT INTO t VALUES (11, 11, 'of a route'); COMMIT;
INSERT INTO big SELECT i, repeat(md5(i::text), 1 + 2000 * (i % 3)), repeat('0', i * 1000) FROM generate_series(1, 40) i;
UPDATE big SET n = n + 1000;
UPDATE big SET e = repeat('1', 2000000) WHERE n < 1010;
INSERT INTO big SELECT 5000, repeat('y', 16 << 20), repeat('z', 16 << 20);
BEGIN; INSERT INTO other SELECT i FROM generate_series(1, 3000) i; UPDATE big SET n = 100000 WHERE n = 1020; DELETE FROM other; COMMIT;
INSERT INTO other SELECT i FROM generate_series(1, 60000) i;
BEGIN; TRUNCATE big, other; INSERT INTO big VALUES (1, 'new', ''); COMMIT;
DO $$ BEGIN FOR i IN 1..300 LOOP BEGIN INSERT INTO t VALUES (i + 1000, i, 'sub'); IF i % 3 = 0 THEN RAISE 'no'; END IF; EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP; END $$;
BEGIN; INSERT INTO t VALUES (20, 20, 'prepared'); UPDATE t SET v = 'prepared' WHERE id = 101; PREPARE TRANSACTION 'one';
BEGIN; INSERT INTO t VALUES (21, 21, 'prepared'); PREPARE TRANSACTION 'two';
INSERT INTO t VALUES (22, 22, 'between');
CREATE TABLE made (id int PRIMARY KEY); INSERT INTO made VALUES (1); DROP TABLE made;
COMMIT PREPARED 'one';
ROLLBACK PREPARED 'two';
ALTER PUBLICATION pub SET (publish = 'insert');
INSERT INTO t VALUES (30, 30, 'with');
ALTER PUBLICATION pub SET (publish = 'insert, update, delete, truncate');
ALTER PUBLICATION pub DROP TABLE big;
INSERT INTO big VALUES (2, 'not published', '');
ALTER PUBLICATION pub ADD TABLE big;
INSERT INTO big VALUES (3, 'published', '');
ALTER TABLE t REPLICA IDENTITY FULL;
UPDATE t SET v = 'full' WHERE id < 105;
DELETE FROM t WHERE id > 1100;
ALTER TABLE t RENAME TO u;
INSERT INTO u VALUES (40, 40, 'by another name');
ALTER TABLE u RENAME TO t;
SELECT pg_switch_wal();
INSERT INTO t SELECT i, i, repeat('w', 500) FROM generate_series(10001, 30000) i;
UPDATE t SET v = 'end' WHERE id > 10000 AND id % 2 = 0`

// TestABacklogIsWhatTheWalsenderBrings: the same events, at the same positions, whatever happened and whatever the server's settings are.
func TestABacklogIsWhatTheWalsenderBrings(t *testing.T) {
	for name, settings := range map[string][]string{
		"usual":  nil,
		"narrow": {"logical_decoding_work_mem = '64kB'", "work_mem = '64kB'", "temp_file_limit = 0"},
		"limited": {"statement_timeout = 100", "lock_timeout = 10", "idle_in_transaction_session_timeout = 20", "default_transaction_isolation = serializable",
			"bytea_output = escape", "DateStyle = German", "client_encoding = latin1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, d := ownServer(t, "max_prepared_transactions=5")
			for _, sql := range []string{oneTable, "CREATE TABLE big (n int PRIMARY KEY, c text, e text)", "ALTER TABLE big ALTER e SET STORAGE EXTERNAL", "CREATE TABLE other (id int PRIMARY KEY)",
				"CREATE PUBLICATION pub FOR TABLE t, big, other"} {
				d.exec(sql)
			}
			for _, setting := range settings { // for all but the session that is there
				d.exec("ALTER DATABASE " + d.text("SELECT current_database()") + " SET " + setting)
			}
			o := d.options("t", "big")
			o.Backlog = 1 << 40
			stream := record(t, o)
			stream.copied()
			stream.close()
			o = bySQL(o)
			o.Slot += "_sql"
			sql := record(t, o)
			sql.copied()
			sql.close()
			for _, s := range strings.Split(history, ";\n") {
				d.exec(s)
			}
			last := d.text("SELECT pg_current_wal_insert_lsn()::text")
			end, err := parseLSN(last)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range []*tape{stream, sql} {
				p.open()
				if p.sending() == (p == sql) {
					t.Error("not what is to be compared")
				}
				p.until(func() bool { return lsn(p.log[len(p.log)-1].Position.Commit) >= end })
			}
			want, got := stream.account(), sql.account()
			if diff := cmp.Diff(want, got); diff != "" || len(want) < 30000 {
				t.Errorf("%d events differ (-walsender +SQL):\n%.3000s", len(want), diff)
			}
		})
	}
}

// account tells everything of the events of the stream.
func (p *tape) account() (list []string) {
	for _, b := range p.log {
		if b.Chunk != nil {
			continue
		}
		for i := range b.Events {
			e := &b.Events[i]
			var columns []string
			for _, c := range e.Schema.Columns {
				columns = append(columns, c.Name+" "+c.Type)
			}
			txn := b.Txns[e.Txn]
			list = append(list, fmt.Sprintf("%s.%d of %d at %s by %q: %s (%s)", lsn(txn.Commit), e.Ordinal, txn.XID, txn.Time, txn.Origin, describe(e), strings.Join(columns, ", ")))
		}
	}
	return list
}
