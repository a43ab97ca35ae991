package pgsource

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"syncline"
	"syncline/internal/pgoutput"
	"syncline/internal/poll"
)

// polled is a table, a view or a query, as it is now.
type polled struct {
	p *Poller
	e *poll.Entity
	// t has the columns, and of a table the primary key. from is SQL.
	t    *table
	from string
	// numbered: rows have a system column that tells which transaction wrote them.
	numbered bool

	schema *syncline.Schema
	// read are the columns that are read, sent the places that they have in a row.
	read []string
	sent []pgoutput.Column
	// key and mark are the names of columns, as SQL.
	key, mark []string
	overlap   poll.Overlap
	findings  []syncline.Finding
}

// ofTable resolves the entity's identifier as the server does.
func (t *polled) ofTable(ctx context.Context) error {
	s := t.p.probe
	t.t = &table{entity: Entity{Name: t.e.Name, Table: t.e.Table}}
	var kind string
	err := s.sql.QueryRow(ctx, `SELECT c.oid, n.nspname, c.relname, c.relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.oid = to_regclass($1)`, t.e.Table).Scan(&t.t.oid, &t.t.schema, &t.t.name, &kind)
	switch state := sqlState(err); {
	case errors.Is(err, pgx.ErrNoRows) || slices.Contains(badNames, state):
		return syncline.Errorf(syncline.Fatal, "table_missing", "source %s: entity %s: there is no table %s", s.opt.Name, t.e.Name, t.e.Table).
			WithFix("check the spelling; names with capitals or blanks need double quotes")
	case err != nil:
		return s.fault("look up table "+t.e.Table, err)
	}
	t.t.partitioned = kind != "r"
	t.numbered = kind == "r" || kind == "p"
	t.from = t.t.sqlName()
	if err := s.loadTable(ctx, s.sql, t.t); err != nil {
		return err
	}
	return t.look(ctx, kind)
}

// look warns of what makes polls miss records, or slow.
func (t *polled) look(ctx context.Context, kind string) error {
	var unique, indexed bool
	first := ""
	if len(t.e.Watermark) > 0 {
		first = t.e.Watermark[0]
	}
	err := t.p.probe.sql.QueryRow(ctx, `SELECT
		EXISTS (SELECT FROM pg_index i WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
			AND (SELECT array_agg(a.attname::text ORDER BY a.attname::text COLLATE "C") FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(n, place)
				JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.n WHERE k.place <= i.indnkeyatts) <@ $2::text[]),
		EXISTS (SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
			WHERE i.indrelid = $1 AND i.indisvalid AND i.indpred IS NULL AND a.attname = $3)`, t.t.oid, t.e.Key, first).Scan(&unique, &indexed)
	if err != nil {
		return t.p.probe.fault("read the indexes of "+t.t.String(), err)
	}
	if !t.numbered {
		return nil // a view has none
	}
	if len(t.e.Key) > 0 && !unique {
		t.warn("key_not_unique", fmt.Sprintf("table %s has no unique index on the key that is declared: records that share it overwrite each other at every poll", t.t),
			"declare a key that is unique, or make the index")
	}
	c := t.t.column(first)
	if c == nil {
		return nil
	}
	if !c.notNull {
		t.warn("watermark_nullable", fmt.Sprintf("column %s of table %s may be null: polls do not see such records", first, t.t), "fill it in and make it NOT NULL")
	}
	if !indexed {
		t.warn("watermark_unindexed", fmt.Sprintf("column %s of table %s has no index: every poll reads the whole table", first, t.t),
			fmt.Sprintf("CREATE INDEX CONCURRENTLY ON %s (%s)", quote(t.t.schema, t.t.name), quote(first)))
	}
	return nil
}

func (t *polled) warn(code, what, fix string) {
	t.findings = append(t.findings, syncline.Finding{Level: "warn", Code: code, What: t.e.Name + ": " + what, Fix: fix})
}

// ofQuery asks the server for the query's columns.
func (t *polled) ofQuery(ctx context.Context) error {
	s := t.p.probe
	t.t = &table{entity: Entity{Name: t.e.Name}}
	t.from = "(" + t.e.Query + "\n) AS _syncline_query"
	d, err := s.sql.PgConn().Prepare(ctx, "", "SELECT * FROM "+t.from, nil)
	if err != nil {
		return t.p.refused("ask for the query's columns", t.e, err)
	}
	oids, modifiers := make([]uint32, len(d.Fields)), make([]int32, len(d.Fields))
	for i, f := range d.Fields {
		oids[i], modifiers[i] = f.DataTypeOID, f.TypeModifier
	}
	rows, err := s.sql.Query(ctx, `SELECT coalesce(format_type(oid, modifier), '') FROM unnest($1::oid[], $2::int4[]) WITH ORDINALITY c(oid, modifier, place) ORDER BY place`,
		oids, modifiers)
	if err != nil {
		return s.fault("read the types of the query of "+t.e.Name, err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return s.fault("read the types of the query of "+t.e.Name, err)
	}
	for i, f := range d.Fields {
		t.t.columns = append(t.t.columns, column{name: f.Name, oid: f.DataTypeOID, typ: names[i]})
	}
	return nil
}

// shape makes the schema of the rows. Generated columns are in it, and unset in every row, as they are when the log of changes is read.
func (t *polled) shape(ctx context.Context) error {
	s := t.p.probe
	if err := s.learnRelation(ctx, t.t, t.t.asRelation()); err != nil {
		return err
	}
	t.schema = &syncline.Schema{Entity: t.e.Name, Version: -1}
	if t.e.Query == "" {
		t.schema.Table = t.t.String()
	}
	for i, c := range t.t.columns {
		info := s.types[c.oid]
		t.schema.Columns = append(t.schema.Columns, syncline.Column{Name: c.name, Kind: info.kind, Elem: info.elem, Type: c.typ, Nullable: !c.notNull,
			Generated: c.generated, Default: c.missing})
		if c.generated == "" {
			t.read = append(t.read, quote(c.name))
			t.sent = append(t.sent, pgoutput.Column{Index: i, Kind: info.kind, CheckText: s.rawText && info.kind == syncline.KindText})
		}
	}
	names := t.e.Key
	if len(names) == 0 {
		names = t.t.primary
	}
	for _, name := range names {
		at := t.schema.Index(name)
		if at < 0 {
			t.schema.Key, t.key = nil, nil
			break
		}
		t.schema.Key, t.key = append(t.schema.Key, at), append(t.key, quote(name))
	}
	if t.e.Version != "" {
		t.schema.Version = t.schema.Index(t.e.Version)
	}
	for i, name := range t.e.Watermark {
		t.mark = append(t.mark, quote(name))
		if at := t.schema.Index(name); i == 0 && at >= 0 {
			t.overlap = poll.OverlapOf(t.e, t.schema.Columns[at].Kind)
		}
	}
	return nil
}

// Schema implements poll.Table.
func (t *polled) Schema() *syncline.Schema { return t.schema }

// Findings implements poll.Table.
func (t *polled) Findings() []syncline.Finding { return t.findings }

// Transactions implements poll.Table.
func (t *polled) Transactions() bool { return t.numbered }

// Nulls implements poll.Table.
func (t *polled) Nulls(ctx context.Context) (found bool, err error) {
	nullable := false
	for _, name := range t.e.Watermark {
		nullable = nullable || !t.t.column(name).notNull
	}
	if !nullable {
		return false, nil
	}
	err = t.p.probe.sql.QueryRow(ctx, fmt.Sprintf("SELECT EXISTS (SELECT FROM %s WHERE %s IS NULL)", t.from, strings.Join(t.mark, " IS NULL OR "))).Scan(&found)
	return found, t.p.refused("look for records without a watermark", t.e, err)
}

// Newest implements poll.Table.
func (t *polled) Newest(ctx context.Context, clock time.Time) ([]string, error) {
	mark, first, err := t.newest(ctx, "")
	if err != nil || mark == nil || !poll.Ahead(first, clock) {
		return mark, err
	}
	limit := clock
	if first.Kind() != syncline.KindTimestampTZ {
		limit = clock.Add(14 * time.Hour)
	}
	mark, _, err = t.newest(ctx, fmt.Sprintf(" AND %s <= %s", t.mark[0], literal(limit.UTC().Format("2006-01-02 15:04:05.999999+00"))))
	return mark, err
}

func (t *polled) newest(ctx context.Context, where string) (mark []string, first syncline.Value, err error) {
	sql := fmt.Sprintf("SELECT %s FROM %s WHERE %s IS NOT NULL%s ORDER BY %s DESC LIMIT 1", strings.Join(t.mark, ", "), t.from,
		strings.Join(t.mark, " IS NOT NULL AND "), where, strings.Join(t.mark, " DESC, "))
	var columns []pgoutput.Column
	for i, name := range t.e.Watermark {
		columns = append(columns, pgoutput.Column{Index: i, Kind: t.schema.Columns[t.schema.Index(name)].Kind})
	}
	err = readRows(ctx, t.p.probe.sql.PgConn(), sql, pgoutput.NewLayout(columns, len(columns), nil), func(row []syncline.Value, _ int) error {
		first = row[0]
		for _, v := range row {
			mark = append(mark, v.Text())
		}
		return nil
	})
	return mark, first, t.p.refused("look for the highest watermark", t.e, err)
}
