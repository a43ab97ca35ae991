package pgsource

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"syncline"
	"syncline/internal/testserver"
)

var server *testserver.Postgres

func TestMain(m *testing.M) {
	var err error
	// The tests are about what PostgreSQL says, not about what it keeps in a power cut.
	if server, err = testserver.StartPostgres("fsync=off", "wal_sender_timeout=60s"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	server.Close()
	os.Exit(code)
}

// patience is how long a test waits for anything.
const patience = 30 * time.Second

func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// db is a database of one test.
type db struct {
	t    testing.TB
	url  string
	conn *pgx.Conn
}

// majorVersion is that of the server: the tests run on every version that the source supports.
func majorVersion(t testing.TB) int {
	t.Helper()
	n, err := strconv.Atoi(newDB(t).text("SELECT current_setting('server_version_num')"))
	if err != nil {
		t.Fatal(err)
	}
	return n / 10000
}

func newDB(t testing.TB, statements ...string) *db {
	t.Helper()
	d := &db{t: t, url: server.Database(t)}
	d.conn = d.connect()
	for _, sql := range statements {
		d.exec(sql)
	}
	return d
}

func (d *db) connect() *pgx.Conn {
	d.t.Helper()
	c, err := pgx.Connect(context.Background(), d.url)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { hangUp(c) })
	return c
}

func (d *db) exec(sql string, args ...any) {
	d.t.Helper()
	if _, err := d.conn.Exec(context.Background(), sql, args...); err != nil {
		d.t.Fatalf("%.200s: %v", sql, err)
	}
}

// text returns the one value of a query.
func (d *db) text(sql string, args ...any) string {
	d.t.Helper()
	var v any
	if err := d.conn.QueryRow(context.Background(), sql, args...).Scan(&v); err != nil {
		d.t.Fatalf("%.200s: %v", sql, err)
	}
	return fmt.Sprint(v)
}

// slotOf is a slot's name that no other database of the server has.
func (d *db) slotOf() string { return "s_" + d.text("SELECT current_database()") }

// released waits until nobody uses the slot: the server notices a moment late that a connection is gone.
func (d *db) released() {
	d.t.Helper()
	await(d.t, func() bool {
		return d.text("SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1 AND active", d.slotOf()) == "0"
	})
}

func (d *db) dropSlot() {
	d.t.Helper()
	d.released()
	d.exec("SELECT pg_drop_replication_slot($1)", d.slotOf())
}

// options are of a source of these tables, each an entity of its own name.
func (d *db) options(tables ...string) Options {
	o := Options{Name: "crm", URL: d.url, Slot: d.slotOf(), Publication: "pub", Manage: true, Marker: 20 * time.Millisecond}
	for _, name := range tables {
		o.Entities = append(o.Entities, Entity{Name: name, Table: name})
	}
	return o
}

// tape plays capture: its log is a list of batches.
type tape struct {
	t   testing.TB
	o   Options
	src *Source
	log []*syncline.Batch
	// barren is since when nothing but positions has come; zero = something did last.
	barren time.Time
}

func record(t testing.TB, o Options) *tape {
	t.Helper()
	p := &tape{t: t, o: o}
	t.Cleanup(p.close)
	p.open()
	return p
}

func (p *tape) close() {
	if p.src != nil {
		if err := p.src.Close(); err != nil {
			p.t.Errorf("close: %v", err)
		}
		p.src = nil
	}
}

func (p *tape) open() {
	p.t.Helper()
	if err := p.tryOpen(); err != nil {
		p.t.Fatalf("open: %v", err)
	}
}

func (p *tape) tryOpen() error {
	p.t.Helper()
	src, err := New(p.o)
	if err != nil {
		p.t.Fatal(err)
	}
	p.src = src
	var checkpoint []byte
	var last syncline.Position
	if n := len(p.log); n > 0 {
		checkpoint, last = p.log[n-1].Checkpoint, p.log[n-1].Position
	}
	return src.Open(deadline(p.t), checkpoint, last)
}

// crash forgets what Next has not returned, and the last n batches too.
func (p *tape) crash(n int) {
	p.t.Helper()
	p.close()
	p.log = p.log[:len(p.log)-n]
	p.open()
}

// next takes one batch into the log, in its stored form. A server at rest moves its position now and then: a test that waits for events
// which were lost would be told of that for ever.
func (p *tape) next() *syncline.Batch {
	p.t.Helper()
	b, err := p.tryNext()
	if errors.Is(err, context.DeadlineExceeded) {
		p.t.Fatalf("nothing has come for %v after %d batches; the stream has given %d events", patience, len(p.log), len(p.streamed()))
	}
	if err != nil {
		p.t.Fatalf("next after %d batches: %v", len(p.log), err)
	}
	switch {
	case len(b.Events) > 0 || b.Chunk != nil || b.Sync:
		p.barren = time.Time{}
	case p.barren.IsZero():
		p.barren = time.Now()
	case time.Since(p.barren) > patience:
		p.t.Fatalf("for %v only positions have come, up to %v; the stream has given %d events", patience, b.Position, len(p.streamed()))
	}
	return b
}

func (p *tape) tryNext() (*syncline.Batch, error) {
	p.t.Helper()
	b, err := p.src.Next(deadline(p.t))
	if err != nil {
		return nil, err
	}
	stored, err := syncline.AppendBatch(nil, b)
	if err != nil {
		p.t.Fatalf("store batch: %v", err)
	}
	if b, err = syncline.DecodeBatch(stored); err != nil {
		p.t.Fatalf("read stored batch: %v", err)
	}
	p.log = append(p.log, b)
	return b, nil
}

// until takes batches until done.
func (p *tape) until(done func() bool) {
	p.t.Helper()
	for !done() {
		p.next()
	}
}

// copied takes batches until the first copy is complete.
func (p *tape) copied() {
	p.t.Helper()
	left := map[string]bool{}
	for _, e := range p.o.Entities {
		left[e.Name] = true
	}
	for _, b := range p.log {
		if b.Chunk != nil && b.Chunk.Last {
			delete(left, b.Chunk.Entity)
		}
	}
	for len(left) > 0 {
		if b := p.next(); b.Chunk != nil && b.Chunk.Last {
			delete(left, b.Chunk.Entity)
		}
	}
}

// streamed returns the events of the stream.
func (p *tape) streamed() (events []*syncline.Event) {
	for _, b := range p.log {
		if b.Chunk == nil {
			for i := range b.Events {
				events = append(events, &b.Events[i])
			}
		}
	}
	return events
}

// events takes batches until the stream has n events, and returns them.
func (p *tape) events(n int) []*syncline.Event {
	p.t.Helper()
	p.until(func() bool { return len(p.streamed()) >= n })
	return p.streamed()
}

// wantCode checks the code and the class of an error.
func wantCode(t testing.TB, err error, code string) {
	t.Helper()
	if syncline.CodeOf(err) != code || syncline.ClassOf(err) != syncline.Fatal {
		t.Errorf("error = %v (%s), want fatal %s", err, syncline.ClassOf(err), code)
	}
}
