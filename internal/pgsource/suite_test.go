package pgsource

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"syncline"
	"syncline/internal/sourcetest"
)

func TestConformance(t *testing.T) {
	sourcetest.Run(t, sourcetest.Harness{New: newSystem, Snapshot: true, Keyless: true, Truncate: true, Concurrent: true})
}

// system is a database with the suite's tables.
type system struct {
	*db
	backlog bool // what is behind is read by SQL
}

func newSystem(t *testing.T) sourcetest.System {
	return system{db: newDB(t, "CREATE TABLE item (id bigint PRIMARY KEY, name text, qty bigint, note text)",
		"ALTER TABLE item ALTER COLUMN note SET STORAGE EXTERNAL",
		"CREATE TABLE pair (a bigint, b text, v text, PRIMARY KEY (a, b))",
		"CREATE TABLE loose (n bigint, s text)", "ALTER TABLE loose REPLICA IDENTITY FULL")}
}

func (s system) Source(t *testing.T) syncline.Source {
	o := s.options(sourcetest.Item, sourcetest.Pair, sourcetest.Loose)
	o.ChunkRows = 10
	if s.backlog {
		o = bySQL(o)
	}
	src, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func (s system) Begin(t *testing.T) sourcetest.Tx {
	tx, err := s.connect().Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return transaction{tx}
}

func (s system) Rows(t *testing.T, entity string) (all [][]syncline.Value) {
	sc := sourcetest.Tables[entity]
	columns := make([]string, len(sc.Columns))
	for i, c := range sc.Columns {
		columns[i] = c.Name + "::text"
	}
	rows, err := s.conn.Query(context.Background(), fmt.Sprintf("SELECT %s FROM %s", strings.Join(columns, ", "), entity))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		row := make([]syncline.Value, len(sc.Columns))
		for i, text := range rows.RawValues() {
			if text != nil {
				row[i] = syncline.Raw(sc.Columns[i].Kind, append([]byte{}, text...))
			}
		}
		all = append(all, row)
	}
	if rows.Err() != nil {
		t.Fatal(rows.Err())
	}
	return all
}

type transaction struct{ tx pgx.Tx }

func (x transaction) Commit(t *testing.T) {
	if err := x.tx.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	hangUp(x.tx.Conn())
}

func (x transaction) Rollback(t *testing.T) {
	if err := x.tx.Rollback(context.Background()); err != nil {
		t.Fatal(err)
	}
	hangUp(x.tx.Conn())
}

func (x transaction) Exec(t *testing.T, c sourcetest.Change) {
	t.Helper()
	sc := sourcetest.Tables[c.Entity]
	constant := func(v syncline.Value) string {
		if v.IsNull() {
			return "NULL"
		}
		return literal(v.Text())
	}
	where := func() string {
		var list []string
		for i, col := range sc.Columns {
			if len(sc.Key) > 0 && i >= len(sc.Key) {
				break
			}
			list = append(list, col.Name+" IS NOT DISTINCT FROM "+constant(c.Old[i]))
		}
		where := strings.Join(list, " AND ")
		if len(sc.Key) == 0 {
			where = "ctid = (SELECT ctid FROM " + c.Entity + " WHERE " + where + " LIMIT 1)"
		}
		return where
	}
	var sql string
	switch c.Op {
	case syncline.OpCreated:
		list := make([]string, len(c.New))
		for i, v := range c.New {
			list[i] = constant(v)
		}
		sql = fmt.Sprintf("INSERT INTO %s VALUES (%s)", c.Entity, strings.Join(list, ", "))
	case syncline.OpUpdated:
		var list []string
		for i, v := range c.New {
			if !syncline.Equal(v, c.Old[i]) {
				list = append(list, sc.Columns[i].Name+" = "+constant(v))
			}
		}
		sql = fmt.Sprintf("UPDATE %s SET %s WHERE %s", c.Entity, strings.Join(list, ", "), where())
	case syncline.OpDeleted:
		sql = fmt.Sprintf("DELETE FROM %s WHERE %s", c.Entity, where())
	case syncline.OpTruncated:
		sql = "TRUNCATE " + c.Entity
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if tag, err := x.tx.Exec(ctx, sql); err != nil || c.Op != syncline.OpTruncated && tag.RowsAffected() != 1 {
		t.Fatalf("%s of %s: %d rows, %v", c.Op, c.Entity, tag.RowsAffected(), err)
	}
}
