package pgsource

import (
	"context"
	"sort"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"syncline"
	"syncline/internal/poll"
	"syncline/internal/polltest"
	"syncline/internal/sourcetest"
	"syncline/internal/statetest"
)

// pollable is a database that is polled.
type pollable struct {
	url  string
	conn *pgx.Conn
}

func newPollable(t testing.TB) polltest.Database {
	t.Helper()
	p := &pollable{url: server.Database(t)}
	p.conn = p.connect(t)
	return p
}

func (p *pollable) connect(t testing.TB) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), p.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hangUp(conn) })
	return conn
}

func (p *pollable) Dialect(t testing.TB) poll.Dialect {
	t.Helper()
	d, err := NewPoller("shop", p.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (p *pollable) Exec(t testing.TB, statements ...string) {
	t.Helper()
	execOn(t, p.conn, statements...)
}

func execOn(t testing.TB, conn *pgx.Conn, statements ...string) {
	t.Helper()
	execOnWith(t.Context(), t, conn, statements...)
}

func execOnWith(ctx context.Context, t testing.TB, conn *pgx.Conn, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func (p *pollable) Rows(t testing.TB, query string) []string {
	t.Helper()
	results, err := p.conn.PgConn().Exec(t.Context(), query).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, row := range results[0].Rows {
		texts := make([]string, len(row))
		for i, v := range row {
			texts[i] = string(v)
		}
		list = append(list, strings.Join(texts, "|"))
	}
	sort.Strings(list)
	return list
}

// openTxn is a transaction of a session of its own.
type openTxn struct{ conn *pgx.Conn }

func (o openTxn) Exec(t testing.TB, statements ...string) {
	t.Helper()
	execOn(t, o.conn, statements...)
}

func (o openTxn) Commit(t testing.TB) {
	t.Helper()
	execOn(t, o.conn, "COMMIT")
	hangUp(o.conn)
}

func begin(t testing.TB, db polltest.Database) polltest.Txn {
	t.Helper()
	o := openTxn{db.(*pollable).connect(t)}
	o.Exec(t, "BEGIN")
	return o
}

func TestPoller(t *testing.T) {
	polltest.Test(t, polltest.Harness{New: newPollable, Begin: begin})
}

// polledSystem is a database that is polled as a source: items by a watermark, pairs as a whole.
type polledSystem struct {
	system
	memory poll.Memory
}

func (s polledSystem) Source(t *testing.T) syncline.Source {
	d, err := NewPoller("shop", s.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return poll.New(poll.Options{Name: "shop", Dialect: d, Memory: s.memory, Snapshot: true, PageRows: 10, Entities: []poll.Entity{
		{Name: sourcetest.Item, Table: sourcetest.Item, Watermark: []string{"at"}, Compare: true},
		{Name: sourcetest.Pair, Table: sourcetest.Pair, Compare: true},
	}})
}

func TestPolledSource(t *testing.T) {
	sourcetest.Run(t, sourcetest.Harness{Snapshot: true, Polled: true, New: func(t *testing.T) sourcetest.System {
		s := newSystem(t).(system)
		execOn(t, s.conn, "ALTER TABLE item ADD at timestamptz NOT NULL DEFAULT clock_timestamp()",
			"CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.at := clock_timestamp(); RETURN NEW; END'",
			"CREATE TRIGGER touch BEFORE UPDATE ON item FOR EACH ROW EXECUTE FUNCTION touch()")
		return polledSystem{s, statetest.Open(t)}
	}})
}

// TestPollerWithoutRights: SELECT is all that it needs; that it cannot see when others began is told, and what it must not read halts it.
// TestAQueryThatFailsOnAValue is told of without the value, and what is wrong with the query itself in the server's words.
func TestAQueryThatFailsOnAValue(t *testing.T) {
	db := newPollable(t)
	db.Exec(t, "CREATE TABLE item (id bigint PRIMARY KEY, name text)", "INSERT INTO item VALUES (1, 'hunter2')",
		"CREATE FUNCTION no(n text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no %', n; END $$",
		"CREATE FUNCTION run(n text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'SELECT ' || n; RETURN 1; END $$")
	for query, want := range map[string]string{
		"SELECT id, name::int FROM item":                              "invalid_text_representation; the words are in",
		"SELECT id, 10 / (length(name) - 7) AS n FROM item":           "division_by_zero; the words are in",
		"SELECT id, name::regclass::text FROM item":                   "undefined_table; the words are in",
		"SELECT id, current_setting(name) AS s FROM item":             "undefined_object; the words are in",
		"SELECT id, to_tsquery(name || ' &&& ')::text AS q FROM item": "syntax_error; the words are in",
		"SELECT id, no(name) AS n FROM item":                          "raise_exception; the words are in",
		"SELECT id, run(name) AS n FROM item":                         "undefined_column; the words are in",
		"SELECT id, nam FROM item":                                    `column "nam" does not exist (SQLSTATE 42703)`,
		"SELECT id FROM items":                                        `relation "items" does not exist (SQLSTATE 42P01)`,
	} {
		d := db.Dialect(t)
		_, err := d.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		table, err := d.Table(t.Context(), &poll.Entity{Name: "shop", Query: query, Key: []string{"id"}})
		if err == nil {
			_, err = table.Read(t.Context(), poll.Range{})
		}
		if syncline.CodeOf(err) != "query_refused" || syncline.ClassOf(err) != syncline.Fatal || syncline.FixOf(err) == "" || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want query_refused with %s", query, err, want)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestPollerWithoutRights(t *testing.T) {
	p := newPollable(t).(*pollable)
	p.Exec(t, "CREATE TABLE item (id int PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())", "CREATE INDEX ON item (at)", "INSERT INTO item VALUES (1)",
		"DROP ROLE IF EXISTS reader", "CREATE ROLE reader LOGIN", "GRANT SELECT ON item TO reader", "CREATE TABLE secret (id int PRIMARY KEY)",
		"CREATE VIEW shown AS SELECT id, at FROM item", "GRANT SELECT ON shown TO reader")
	t.Cleanup(func() {
		ctx := context.Background() // the test's own is over
		c, err := pgx.Connect(ctx, p.url)
		if err != nil {
			t.Fatal(err)
		}
		defer hangUp(c)
		execOnWith(ctx, t, c, "DROP OWNED BY reader", "DROP ROLE reader")
	})
	codes := func(e poll.Entity) (list []string) {
		t.Helper()
		d, err := NewPoller("shop", strings.Replace(p.url, "postgres@", "reader@", 1), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range poll.New(poll.Options{Name: "shop", Entities: []poll.Entity{e}, Dialect: d}).Check(t.Context()) {
			if f.Level != "ok" {
				list = append(list, f.Code)
				if f.Fix == "" {
					t.Errorf("%s has no fix", f.Code)
				}
			}
		}
		return list
	}
	for _, test := range []struct {
		entity poll.Entity
		want   string
	}{
		{poll.Entity{Table: "item", Watermark: []string{"at"}}, "poll_blind"},
		{poll.Entity{Table: "shown", Key: []string{"id"}, Watermark: []string{"at"}}, "poll_blind"},
		{poll.Entity{Query: "SELECT * FROM secret", Key: []string{"id"}}, "poll_blind privilege_missing"},
	} {
		test.entity.Name, test.entity.Compare = "item", true
		if got := strings.Join(codes(test.entity), " "); got != test.want {
			t.Errorf("%s%s: %s, want %s", test.entity.Table, test.entity.Query, got, test.want)
		}
	}
	p.Exec(t, "GRANT pg_read_all_stats TO reader")
	if got := codes(poll.Entity{Name: "item", Table: "item", Watermark: []string{"at"}, Compare: true}); len(got) > 0 {
		t.Errorf("with pg_read_all_stats: %q", got)
	}
}
