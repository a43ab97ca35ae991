package sqlite

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"syncline"
	"syncline/internal/poll"
	"syncline/internal/polltest"
	"syncline/internal/sourcetest"
	"syncline/internal/statetest"
)

// pollable is a database file that is polled.
type pollable struct {
	path string
	db   *sql.DB
}

func newPollable(t testing.TB) polltest.Database {
	t.Helper()
	path := filepath.Join(t.TempDir(), "shop.db")
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)&_pragma=synchronous(off)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return &pollable{path, db}
}

func (p *pollable) Dialect(testing.TB) poll.Dialect { return NewPoller("shop", p.path, nil) }

func (p *pollable) Exec(t testing.TB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := p.db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func (p *pollable) Rows(t testing.TB, query string) []string {
	t.Helper()
	var list []string
	rows, err := p.db.QueryContext(t.Context(), "SELECT * FROM ("+query+")")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values, into := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		texts := make([]string, len(values))
		for i, v := range values {
			if at, ok := v.(time.Time); ok {
				v = at.Format(time.DateTime)
			}
			texts[i] = fmt.Sprint(v)
		}
		list = append(list, strings.Join(texts, "|"))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	sort.Strings(list)
	return list
}

func TestPoller(t *testing.T) { polltest.Test(t, polltest.Harness{New: newPollable}) }

// TestAQueryThatFailsOnAValue is told of without the value.
func TestAQueryThatFailsOnAValue(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shop.db")
	db := database(t, path)
	execute(t, db, "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)", "INSERT INTO item VALUES (1, 'hunter2')")
	d := NewPoller("shop", path, nil)
	if _, err := d.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	table, err := d.Table(t.Context(), &poll.Entity{Name: "item", Query: "SELECT id, json_extract('{}', name) AS n FROM item", Key: []string{"id"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := table.Read(t.Context(), poll.Range{}); syncline.CodeOf(err) != "query_refused" || syncline.ClassOf(err) != syncline.Fatal || syncline.FixOf(err) == "" || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("Read = %v, want query_refused without the value", err)
	}
	execute(t, db, "DROP TABLE item")
	if _, err := table.Read(t.Context(), poll.Range{}); syncline.CodeOf(err) != "statement_refused" || !strings.Contains(err.Error(), "no such table") {
		t.Errorf("Read of a table that is gone = %v, want that it is named", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// polledShop is a file that is polled as a source.
type polledShop struct {
	*shop
	memory poll.Memory
}

func (s *polledShop) Source(*testing.T) syncline.Source {
	entity := func(name string) poll.Entity { return poll.Entity{Name: name, Table: name, Compare: true} }
	return poll.New(poll.Options{Name: "shop", Dialect: NewPoller("shop", s.path, nil), Memory: s.memory, Snapshot: true, PageRows: 10,
		Entities: []poll.Entity{entity(sourcetest.Item), entity(sourcetest.Pair)}})
}

func TestPolledSource(t *testing.T) {
	sourcetest.Run(t, sourcetest.Harness{Snapshot: true, Polled: true, Anonymous: true, New: func(t *testing.T) sourcetest.System {
		s := newShop(t)
		s.exec(t, "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, qty INTEGER, note TEXT)")
		s.exec(t, "CREATE TABLE pair (a INTEGER, b TEXT, v TEXT, PRIMARY KEY (a, b))")
		return &polledShop{s, statetest.Open(t)}
	}})
}
