package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	driver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"syncline"
	"syncline/internal/poll"
)

// Poller asks a database file for what has changed. Nothing of ours is written to it. SQLite has one writer at a time and tells nothing of
// who waits to write: for times that were taken before, there is the overlap.
type Poller struct {
	name, url string
	path      string
	db        *sql.DB
	now       func() time.Time
}

var _ poll.Dialect = (*Poller)(nil)

// NewPoller returns the dialect of the source of this name. now is nil for time.Now.
func NewPoller(name, url string, now func() time.Time) *Poller {
	if now == nil {
		now = time.Now
	}
	return &Poller{name: name, url: url, now: now}
}

// Open implements poll.Dialect. A file has no identity but what somebody writes into it.
func (p *Poller) Open(ctx context.Context) (identity string, err error) {
	if p.path, err = Path(p.url); err != nil {
		return "", err
	}
	if p.db, err = openFile(ctx, p.path, false, 1); err != nil {
		return "", err
	}
	_, err = p.db.ExecContext(ctx, "PRAGMA query_only = on")
	return "", classify(err, "open %s", p.path)
}

// Close implements poll.Dialect.
func (p *Poller) Close() error {
	if p.db == nil {
		return nil
	}
	db := p.db
	p.db = nil
	if err := db.Close(); err != nil {
		return fmt.Errorf("close %s: %w", p.path, err)
	}
	return nil
}

// Horizon implements poll.Dialect.
func (p *Poller) Horizon(context.Context) (poll.Horizon, error) {
	return poll.Horizon{Clock: p.now()}, nil
}

// polled is a table, or a query, as it is now.
type polled struct {
	*layout
	p *Poller
	e *poll.Entity
	// from is SQL, names the columns in it.
	from  string
	names []string
	// key and mark are the columns of the key and of the watermark.
	key, mark []int
	overlap   poll.Overlap
	findings  []syncline.Finding
}

// Table implements poll.Dialect.
func (p *Poller) Table(ctx context.Context, e *poll.Entity) (poll.Table, error) {
	t := &polled{layout: &layout{}, p: p, e: e}
	query := e.Query
	if query == "" {
		name, err := parseName(e.Table)
		if err != nil {
			return nil, err
		}
		found, err := loadTable(ctx, p.db, name)
		switch {
		case err == nil:
			return t, t.ofTable(ctx, found)
		case !errors.Is(err, errNoTable):
			return nil, err
		}
		query = "SELECT * FROM " + quote(name)
		var there int
		if err := p.db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE type = 'view' AND name = ? COLLATE NOCASE", name).Scan(&there); err != nil {
			return nil, classify(err, "look for %s", name)
		}
		if there == 0 {
			return nil, syncline.Errorf(syncline.Fatal, "object_missing", "the database has no table or view %s, which %s is polled from", name, e.Name).
				WithFix("create it, or correct capture.entities.%s.table", e.Name)
		}
	}
	return t, t.ofQuery(ctx, query)
}

func (t *polled) ofTable(ctx context.Context, found *table) error {
	t.from = quote(found.name)
	t.set(found.name, found.columns)
	if len(t.e.Key) > 0 && !found.hasUnique(t.e.Key) {
		t.warn("key_not_unique", fmt.Sprintf("table %s has no unique index on the key that is declared: records that share it overwrite each other at every poll", found.name),
			"declare a key that is unique, or make the index")
	}
	if len(t.mark) == 0 {
		return nil
	}
	first := found.columns[t.mark[0]]
	if !first.NotNull && first.Key == 0 {
		t.warn("watermark_nullable", fmt.Sprintf("column %s of table %s may be null: polls do not see such records", first.Name, found.name), "fill it in and make it NOT NULL")
	}
	var indexes int
	err := t.p.db.QueryRowContext(ctx, `SELECT count(*) FROM pragma_index_list(?) l, pragma_index_xinfo(l.name) x
		WHERE x.seqno = 0 AND x.name = ? COLLATE NOCASE AND NOT l.partial`, found.name, first.Name).Scan(&indexes)
	if err == nil && indexes == 0 && !(found.stable && first.Key == 1) {
		t.warn("watermark_unindexed", fmt.Sprintf("column %s of table %s has no index: every poll reads the whole table", first.Name, found.name),
			fmt.Sprintf("CREATE INDEX … ON %s (%s)", quote(found.name), quote(first.Name)))
	}
	return classify(err, "read indexes of %s", found.name)
}

func (t *polled) ofQuery(ctx context.Context, query string) error {
	t.from = "(" + query + "\n)"
	rows, err := t.p.db.QueryContext(ctx, "SELECT * FROM "+t.from+" LIMIT 0")
	if err != nil {
		return syncline.Errorf(syncline.ClassOf(classify(err, "")), "query_refused", "source %s: entity %s: ask for the query's columns: %w", t.p.name, t.e.Name, err).
			WithFix("correct capture.entities.%s.query", t.e.Name)
	}
	defer rows.Close() //nolint:errcheck // nothing was read
	types, err := rows.ColumnTypes()
	if err = errors.Join(err, rows.Err()); err != nil {
		return classify(err, "ask for the columns of the query of %s", t.e.Name)
	}
	var columns []column
	for _, c := range types {
		columns = append(columns, column{Name: c.Name(), Type: c.DatabaseTypeName()})
	}
	t.set("", columns)
	return nil
}

// set takes over which columns there are.
func (t *polled) set(name string, columns []column) {
	s := &Source{opt: Options{Entities: map[string]Entity{t.e.Name: {Key: t.e.Key, Version: t.e.Version}}}}
	t.schema = s.schema(t.e.Name, name, columns)
	for _, c := range columns {
		t.types = append(t.types, declared(c.Type))
		t.names = append(t.names, quote(c.Name))
	}
	t.key = t.schema.Key
	if len(t.e.Key) > len(t.key) { // a column is missing
		t.schema.Key, t.key = nil, nil
	}
	for _, name := range t.e.Watermark {
		if at := index(columns, name); at >= 0 {
			t.mark = append(t.mark, at)
		}
	}
	if len(t.mark) > 0 {
		t.overlap = poll.OverlapOf(t.e, t.schema.Columns[t.mark[0]].Kind)
	}
}

func (t *polled) warn(code, what, fix string) {
	t.findings = append(t.findings, syncline.Finding{Level: "warn", Code: code, What: t.e.Name + ": " + what, Fix: fix})
}

// Schema implements poll.Table.
func (t *polled) Schema() *syncline.Schema { return t.schema }

// Findings implements poll.Table.
func (t *polled) Findings() []syncline.Finding { return t.findings }

// failed is the error of a read. Where nothing is wrong with the query, SQLite's words may have a value in them that a function came upon.
func (t *polled) failed(ctx context.Context, doing string, err error) error {
	var e *driver.Error
	if errors.As(err, &e) && e.Code()&0xFF == sqlite3.SQLITE_ERROR {
		if st, now := t.p.db.PrepareContext(ctx, "SELECT * FROM "+t.from); now == nil {
			_ = st.Close() // it was not run
			return syncline.Errorf(syncline.Fatal, "query_refused", "source %s: %s %s: a function fails on what it reads (SQLite error %d)", t.p.name, doing, t.e.Name, e.Code()).
				WithFix("correct capture.entities.%s, or what it reads", t.e.Name)
		}
	}
	return classify(err, "%s %s", doing, t.e.Name)
}

// Transactions implements poll.Table.
func (t *polled) Transactions() bool { return false }

// Nulls implements poll.Table.
func (t *polled) Nulls(ctx context.Context) (found bool, err error) {
	var tests []string
	for _, at := range t.mark {
		tests = append(tests, t.names[at]+" IS NULL")
	}
	err = t.p.db.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM "+t.from+" WHERE "+strings.Join(tests, " OR ")+")").Scan(&found)
	return found, t.failed(ctx, "look for records without a watermark in", err)
}

// aheadRows bounds how many rows that are ahead of the clock are passed over.
const aheadRows = 10_000

// Newest implements poll.Table.
func (t *polled) Newest(ctx context.Context, clock time.Time) (mark []string, err error) {
	names := pick(t.names, t.mark)
	query := "SELECT " + plain(names) + " FROM " + t.from + " WHERE " + strings.Join(names, " IS NOT NULL AND ") + " IS NOT NULL ORDER BY " +
		strings.Join(names, " DESC, ") + " DESC"
	passed := 0
	err = eachStored(ctx, t.p.db, query, nil, len(names), func(stored []any) bool {
		if poll.Ahead(t.types[t.mark[0]].read(stored[0]), clock) {
			passed++
			return passed < aheadRows
		}
		mark = encodeAll(stored)
		return false
	})
	return mark, t.failed(ctx, "look for the highest watermark of", err)
}

// Read implements poll.Table.
func (t *polled) Read(ctx context.Context, r poll.Range) (page poll.Page, err error) {
	query, args, width := t.selects(r)
	n := len(t.names)
	keys, marks := n+len(t.mark), n
	bytes := 0
	err = eachStored(ctx, t.p.db, query, args, width, func(stored []any) bool {
		if r.Rows > 0 && len(page.Rows) == r.Rows || r.Bytes > 0 && bytes > r.Bytes {
			page.More = true
			return false
		}
		row := poll.Row{Place: poll.Place{Mark: encodeAll(stored[marks:keys]), Key: encodeAll(stored[keys : keys+len(t.key)])}}
		if row.Values = t.row(stored[:n], &bytes); r.Mark != nil {
			above, known := stored[width-1].(int64)
			row.Above = !known || above != 0
		}
		page.Rows = append(page.Rows, row)
		return true
	})
	if err != nil {
		return poll.Page{}, t.failed(ctx, "read", err)
	}
	return page, nil
}

// selects is the statement for the range: the columns, the watermark, the key and, where it is asked for, whether the row is above Mark.
func (t *polled) selects(r poll.Range) (query string, args []any, width int) {
	keys, marks := pick(t.names, t.key), pick(t.names, t.mark)
	columns := slices.Clone(t.names)
	if r.KeysOnly {
		for i := range columns {
			if !slices.Contains(t.key, i) {
				columns[i] = "NULL"
			}
		}
	}
	list := plain(slices.Concat(columns, marks, keys))
	width = len(columns) + len(marks) + len(keys)
	if r.Mark != nil {
		list += ", (" + strings.Join(marks, ", ") + ") > (" + placeholders(len(r.Mark)) + ")"
		args = append(args, decodeAll(r.Mark)...)
		width++
	}
	order, after := keys, r.After
	var where []string
	compare := func(names []string, op string, values []string) {
		where = append(where, "("+strings.Join(names, ", ")+") "+op+" ("+placeholders(len(names))+")")
		args = append(args, decodeAll(values)...)
	}
	for _, name := range keys {
		where = append(where, name+" IS NOT NULL")
	}
	if !r.ByKey {
		order = slices.Concat(marks, keys)
		for _, name := range marks {
			where = append(where, name+" IS NOT NULL")
		}
		if r.From != nil {
			where = append(where, marks[0]+" >= ?")
			args = append(args, t.lowered(decodeStored(r.From[0]), r.Overlap))
		}
		if r.Above != nil {
			compare(marks, ">", r.Above)
		}
		if r.To != nil {
			compare(marks, "<=", r.To)
		}
	}
	switch {
	case after == nil:
	case r.ByKey:
		compare(keys, ">", after.Key)
	default:
		compare(order, ">", slices.Concat(after.Mark, after.Key))
	}
	query = "SELECT " + list + " FROM " + t.from + " WHERE " + strings.Join(where, " AND ") + " ORDER BY " + strings.Join(order, ", ")
	if r.Rows > 0 {
		query, args = query+" LIMIT ?", append(args, r.Rows+1)
	}
	return query, args, width
}

// Lookup implements poll.Table.
func (t *polled) Lookup(ctx context.Context, keys []syncline.Key) (poll.Answer, error) {
	found, err := t.answer(keys, plain(t.names), t.from, func(query string, args []any, f func([]any) bool) error {
		return eachStored(ctx, t.p.db, query, args, len(t.types), f)
	})
	return poll.Answer{Rows: found.rows, Absent: found.absent, Refused: found.refused}, t.failed(ctx, "read records of", err)
}

// Place implements poll.Table.
func (t *polled) Place(key syncline.Key) (poll.Place, bool) {
	_, stored, ok := t.behind(key)
	return poll.Place{Key: encodeAll(stored)}, ok
}

// Estimate implements poll.Table. It counts up to mostCounted rows.
func (t *polled) Estimate(ctx context.Context) (n int64, err error) {
	err = t.p.db.QueryRowContext(ctx, "SELECT count(*) FROM (SELECT 1 FROM "+t.from+" LIMIT ?)", mostCounted+1).Scan(&n)
	if n > mostCounted {
		n = -1
	}
	return n, t.failed(ctx, "count the rows of", err)
}

func pick(names []string, which []int) []string {
	out := make([]string, len(which))
	for i, at := range which {
		out[i] = names[at]
	}
	return out
}

func encodeAll(stored []any) []string {
	out := make([]string, len(stored))
	for i, v := range stored {
		out[i] = encodeStored(v)
	}
	return out
}

func decodeAll(texts []string) []any {
	out := make([]any, len(texts))
	for i, text := range texts {
		out[i] = decodeStored(text)
	}
	return out
}
