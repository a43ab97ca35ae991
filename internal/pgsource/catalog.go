package pgsource

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"syncline"
	"syncline/internal/pgoutput"
)

// table is a captured table as the catalog knows it, and the schema that its newest rows have.
type table struct {
	entity       Entity
	oid          uint32
	schema, name string
	partitioned  bool
	identity     byte // REPLICA IDENTITY: 'd'efault, 'n'othing, 'f'ull, 'i'ndex
	columns      []column
	primary      []string // the columns of the primary key, in its order
	index        []string // of the replica identity's index
	published    []string // coverage.ways, when they were looked at last
	early        bool     // its publication cannot be read through yet, see postpone

	current *syncline.Schema
}

type column struct {
	name      string
	oid       uint32
	typ       string // with modifiers
	notNull   bool
	generated string // expression
	missing   string // Column.Default
}

func (t *table) String() string { return t.schema + "." + t.name }

// sqlName is the table in a statement; children by inheritance are tables of their own.
func (t *table) sqlName() string {
	if t.partitioned {
		return quote(t.schema, t.name)
	}
	return "ONLY " + quote(t.schema, t.name)
}

// badNames are the server's answers to text that cannot be the name of a table here.
var badNames = []string{codeInvalidName, codeSyntaxError, codeUndefinedTable, codeFeatureNotSupported}

// findTable resolves the entity's identifier as the server does.
func (s *Source) findTable(ctx context.Context, e Entity) (*table, error) {
	t := &table{entity: e}
	var kind, persistence, identity string
	err := s.sql.QueryRow(ctx, `
		SELECT c.oid, n.nspname, c.relname, c.relkind::text, c.relpersistence::text, c.relreplident::text
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass($1)`, e.Table).
		Scan(&t.oid, &t.schema, &t.name, &kind, &persistence, &identity)
	switch state := sqlState(err); {
	case errors.Is(err, pgx.ErrNoRows) || slices.Contains(badNames, state):
		return nil, syncline.Errorf(syncline.Fatal, "table_missing", "source %s: entity %s: there is no table %s", s.opt.Name, e.Name, e.Table).
			WithFix("check the spelling; names with capitals or blanks need double quotes")
	case err != nil:
		return nil, s.fault("look up table "+e.Table, err)
	case kind != "r" && kind != "p" || persistence != "p":
		return nil, syncline.Errorf(syncline.Fatal, "table_not_replicated",
			"source %s: entity %s: PostgreSQL does not replicate %s: it is not an ordinary, logged table", s.opt.Name, e.Name, e.Table)
	}
	t.partitioned, t.identity = kind == "p", identity[0]
	return t, s.loadTable(ctx, s.sql, t)
}

// loadTable reads the columns and keys of t.oid. A table that is gone has none.
func (s *Source) loadTable(ctx context.Context, c *pgx.Conn, t *table) error {
	rows, err := c.Query(ctx, `
		SELECT a.attname, a.atttypid, format_type(a.atttypid, a.atttypmod), a.attnotnull,
			CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) ELSE '' END,
			CASE WHEN a.atthasmissing THEN quote_literal((a.attmissingval::text::text[])[1]) || '::' || format_type(a.atttypid, a.atttypmod)
				WHEN a.attnotnull OR a.atthasdef OR a.attidentity <> '' THEN '' ELSE 'NULL' END
		FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
		WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`, t.oid)
	if err != nil {
		return s.fault("read the columns of "+t.String(), err)
	}
	t.columns, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (c column, err error) {
		return c, r.Scan(&c.name, &c.oid, &c.typ, &c.notNull, &c.generated, &c.missing)
	})
	if err != nil {
		return s.fault("read the columns of "+t.String(), err)
	}
	err = c.QueryRow(ctx, `
		SELECT coalesce(max(names) FILTER (WHERE indisprimary), '{}'), coalesce(max(names) FILTER (WHERE indisreplident), '{}'),
			(SELECT relreplident::text FROM pg_class WHERE oid = $1)
		FROM (SELECT indisprimary, indisreplident, array(SELECT a.attname::text
				FROM unnest(indkey::int2[]) WITH ORDINALITY k(n, place) JOIN pg_attribute a ON a.attrelid = indrelid AND a.attnum = k.n
				WHERE place <= indnkeyatts ORDER BY place) AS names
			FROM pg_index WHERE indrelid = $1 AND (indisprimary OR indisreplident)) i`, t.oid).
		Scan(&t.primary, &t.index, (*identityByte)(&t.identity))
	return s.fault("read the keys of "+t.String(), err)
}

// identityByte scans pg_class.relreplident; null, of a table that is gone, changes nothing.
type identityByte byte

func (b *identityByte) Scan(v any) error {
	if text, ok := v.(string); ok && text != "" {
		*b = identityByte(text[0])
	}
	return nil
}

func (t *table) column(name string) *column {
	for i := range t.columns {
		if t.columns[i].name == name {
			return &t.columns[i]
		}
	}
	return nil
}

// identified returns the columns that updates and deletes identify the old row by.
func (t *table) identified() []string {
	switch t.identity {
	case 'd':
		return t.primary
	case 'i':
		return t.index
	case 'f':
		all := make([]string, len(t.columns))
		for i, c := range t.columns {
			all[i] = c.name
		}
		return all
	}
	return nil
}

// key returns the names of the key's columns, none for a keyless table. rel is as for shape.
func (s *Source) key(t *table, rel *pgoutput.Relation) ([]string, error) {
	if len(t.entity.Key) == 0 {
		names := t.primary
		if t.identity == 'i' {
			names = t.index
		}
		return sentKey(names, rel), nil
	}
	inside := t.identified()
	for _, name := range t.entity.Key {
		c := t.column(name)
		switch {
		case c == nil:
			return nil, syncline.Errorf(syncline.Fatal, "key_missing", "source %s: entity %s: %s has no column %s", s.opt.Name, t.entity.Name, t, name)
		case !slices.Contains(inside, name):
			return nil, syncline.Errorf(syncline.Fatal, "key_outside_identity",
				"source %s: entity %s: the key's column %s is not in the replica identity of %s, so that deletes would not tell it", s.opt.Name, t.entity.Name, name, t).
				WithFix("ALTER TABLE %s REPLICA IDENTITY USING INDEX <a unique index on the key>; or REPLICA IDENTITY FULL", quote(t.schema, t.name))
		case !c.notNull:
			return nil, syncline.Errorf(syncline.Fatal, "key_nullable", "source %s: entity %s: the key's column %s of %s may be null", s.opt.Name, t.entity.Name, name, t).
				WithFix("ALTER TABLE %s ALTER COLUMN %s SET NOT NULL", quote(t.schema, t.name), quote(name))
		}
	}
	return t.entity.Key, nil
}

// sentKey returns the key of the rows that follow the relation's announcement: old rows have no other columns. names are what the
// catalog has by now. Only it knows the order of the key, so that it tells that where the columns are the same.
func sentKey(names []string, rel *pgoutput.Relation) []string {
	if rel == nil || rel.Identity != 'd' && rel.Identity != 'i' {
		return names
	}
	var sent []string
	for _, c := range rel.Columns {
		if c.Identity {
			sent = append(sent, c.Name)
		}
	}
	missing := func(name string) bool { return !slices.Contains(names, name) }
	if len(sent) == 0 || len(sent) == len(names) && !slices.ContainsFunc(sent, missing) {
		return names
	}
	return sent
}

// shape makes the schema of the table's rows and the layout to read them by. rel is the relation as the stream announces it;
// nil = as the catalog has it now (loadTable). Generated columns are in the schema, and Unset in every row: the stream does
// not have them before PostgreSQL 18.
func (s *Source) shape(ctx context.Context, t *table, rel *pgoutput.Relation) (*syncline.Schema, *pgoutput.Layout, error) {
	sent := rel
	if sent == nil {
		sent = t.asRelation()
	}
	if err := s.learnRelation(ctx, t, sent); err != nil {
		return nil, nil, err
	}
	sc := &syncline.Schema{Entity: t.entity.Name, Table: t.String(), Version: -1}
	// Where the catalog still has just these columns, its order says where the generated ones stand.
	for _, c := range t.columns {
		if c.generated != "" || slices.ContainsFunc(sent.Columns, func(r pgoutput.RelationColumn) bool { return r.Name == c.name }) {
			info := s.types[c.oid]
			sc.Columns = append(sc.Columns, syncline.Column{Name: c.name, Kind: info.kind, Elem: info.elem, Type: c.typ, Nullable: !c.notNull,
				Generated: c.generated, Default: c.missing})
		}
	}
	var typeNames []string
	if rel != nil {
		var err error
		if typeNames, err = s.typeNames(ctx, t, rel); err != nil {
			return nil, nil, err
		}
	}
	layout := make([]pgoutput.Column, len(sent.Columns))
	for i, r := range sent.Columns {
		info := s.types[r.Type]
		at := sc.Index(r.Name)
		if at < 0 { // dropped or renamed since
			at = len(sc.Columns)
			sc.Columns = append(sc.Columns, syncline.Column{Name: r.Name, Nullable: true})
		}
		c := &sc.Columns[at]
		if layout[i] = (pgoutput.Column{Index: -1, Kind: info.kind}); c.Generated != "" {
			continue
		}
		if c.Kind, c.Elem = info.kind, info.elem; rel != nil {
			c.Type = typeNames[i]
		}
		layout[i] = pgoutput.Column{Index: at, Kind: info.kind, Identity: r.Identity, CheckText: s.rawText && info.kind == syncline.KindText}
	}
	names, err := s.key(t, rel)
	if err != nil {
		return nil, nil, err
	}
	for _, name := range names {
		at := sc.Index(name)
		if at < 0 {
			return nil, nil, syncline.Errorf(syncline.Fatal, "key_missing", "source %s: entity %s: rows of %s come without the key's column %s", s.opt.Name, t.entity.Name, t, name)
		}
		sc.Key = append(sc.Key, at)
	}
	if t.entity.Version != "" {
		if sc.Version = sc.Index(t.entity.Version); sc.Version < 0 {
			return nil, nil, syncline.Errorf(syncline.Fatal, "version_missing", "source %s: entity %s: %s has no column %s", s.opt.Name, t.entity.Name, t, t.entity.Version)
		}
	}
	if t.current != nil && t.current.Fingerprint() == sc.Fingerprint() {
		sc = t.current
	} else {
		t.current = sc
		kinds := make([]syncline.Kind, len(sc.Key))
		for i, at := range sc.Key {
			kinds[i] = sc.Columns[at].Kind
		}
		s.mu.Lock()
		s.keyKinds[t.entity.Name] = kinds
		s.mu.Unlock()
	}
	return sc, pgoutput.NewLayout(layout, len(sc.Columns), bound{t, sc}), nil
}

// asRelation is what the stream would announce for the table as it is now.
func (t *table) asRelation() *pgoutput.Relation {
	r := &pgoutput.Relation{ID: t.oid, Namespace: t.schema, Name: t.name, Identity: t.identity}
	for _, c := range t.columns {
		if c.generated == "" {
			r.Columns = append(r.Columns, pgoutput.RelationColumn{Name: c.name, Type: c.oid, Modifier: -1})
		}
	}
	return r
}

func (s *Source) learnRelation(ctx context.Context, t *table, rel *pgoutput.Relation) error {
	oids := make([]uint32, 0, len(rel.Columns)+len(t.columns))
	for _, c := range rel.Columns {
		oids = append(oids, c.Type)
	}
	for _, c := range t.columns {
		oids = append(oids, c.oid)
	}
	return s.learnTypes(ctx, oids)
}

// typeNames are the names of the columns' types as they were when the rows were written.
func (s *Source) typeNames(ctx context.Context, t *table, rel *pgoutput.Relation) ([]string, error) {
	oids, modifiers := make([]uint32, len(rel.Columns)), make([]int32, len(rel.Columns))
	for i, c := range rel.Columns {
		oids[i], modifiers[i] = c.Type, c.Modifier
	}
	rows, err := s.sql.Query(ctx, `SELECT coalesce(format_type(oid, modifier), '') FROM unnest($1::oid[], $2::int4[]) WITH ORDINALITY c(oid, modifier, place) ORDER BY place`,
		oids, modifiers)
	if err != nil {
		return nil, s.fault("read the types of "+t.String(), err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return names, s.fault("read the types of "+t.String(), err)
}

// selectRows is the statement for rows of the table, in the columns of asRelation. where may be empty; ordered asks for the
// order of the key.
func selectRows(t *table, sc *syncline.Schema, where string, ordered bool, limit int) string {
	var b strings.Builder
	b.WriteString("SELECT ")
	first := true
	for _, c := range t.columns {
		if c.generated != "" {
			continue
		}
		if !first {
			b.WriteString(", ")
		}
		first = false
		b.WriteString(quote(c.name))
	}
	fmt.Fprintf(&b, " FROM %s", t.sqlName())
	if where != "" {
		fmt.Fprintf(&b, " WHERE %s", where)
	}
	if ordered && len(sc.Key) > 0 {
		fmt.Fprintf(&b, " ORDER BY %s", keyColumns(sc))
	}
	if limit > 0 {
		fmt.Fprintf(&b, " LIMIT %d", limit)
	}
	return b.String()
}

func keyColumns(sc *syncline.Schema) string {
	names := make([]string, len(sc.Key))
	for i, name := range sc.KeyNames() {
		names[i] = quote(name)
	}
	return strings.Join(names, ", ")
}
