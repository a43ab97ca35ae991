package pgtarget

import (
	"context"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"

	"syncline"
)

// guardColumn holds the order of a record's newest change where Options.Guard asks for it.
const guardColumn = "_syncline_seq"

// requiredComment is the comment on a column that Define made NOT NULL, by which it is known as one that evolve may allow null in again, whatever
// else was lost. It goes where the column goes, and a table of helpers would have to follow renames.
const requiredComment = "syncline: NOT NULL while it is so at the source"

// table is what the catalog says of an object.
type table struct {
	oid  uint32
	name name
	kind string // pg_class.relkind
	cols []tableColumn
	// unique has the columns of each index that ON CONFLICT can use.
	unique [][]string
	// deferrable: some constraint is checked later than its statement; it must be checked before Write.Commit.
	deferrable bool
	// referenced: a foreign key points here, which TRUNCATE refuses.
	referenced bool
	// triggers: somebody's own triggers run when rows are written.
	triggers bool
}

type tableColumn struct {
	name     string
	num      int16  // pg_attribute.attnum
	oid      uint32 // of the type, perhaps a domain
	typ      string // with modifiers: "numeric(12,2)"
	holds    string // the base type of domains, with modifiers
	cast     string // the base type without modifiers: a cast to it neither cuts nor rounds
	notNull  bool
	ours     bool // must not be null because Define said so, as the source did then
	hasValue bool // has a default, an identity or an expression: an insert may leave it out
	gen      bool // generated: cannot be written
	identity bool // GENERATED ALWAYS AS IDENTITY: cannot be updated
	equality bool // has an equality that agrees with its text
	toasted  bool // large values are compressed, or stored beside the row
	money    *money
}

func (t *table) column(name string) *tableColumn {
	for i := range t.cols {
		if t.cols[i].name == name {
			return &t.cols[i]
		}
	}
	return nil
}

// hasKey reports whether a unique index has exactly these columns.
func (t *table) hasKey(key []string) bool {
	want := slices.Sorted(slices.Values(key))
	return slices.ContainsFunc(t.unique, func(u []string) bool { return slices.Equal(slices.Sorted(slices.Values(u)), want) })
}

const tableSQL = `SELECT c.oid, n.nspname, c.relname, c.relkind::text,
	EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = c.oid AND g.tgdeferrable),
	EXISTS (SELECT FROM pg_constraint k WHERE k.confrelid = c.oid AND k.contype = 'f'),
	EXISTS (SELECT FROM pg_trigger g WHERE NOT g.tgisinternal AND (g.tgrelid = c.oid OR g.tgrelid IN (SELECT relid FROM pg_partition_tree(c.oid))))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass($1)`

// columnsSQL follows domains to their base type. Equality is that of a default btree or hash operator class: those of other
// operators lie (two boxes are "equal" if their areas are).
const columnsSQL = `WITH RECURSIVE base(num, typ, mod) AS (
	SELECT attnum, atttypid, atttypmod FROM pg_attribute WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped
	UNION ALL SELECT b.num, y.typbasetype, y.typtypmod FROM base b JOIN pg_type y ON y.oid = b.typ AND y.typtype = 'd')
SELECT a.attname, a.attnum, a.atttypid, format_type(a.atttypid, a.atttypmod), format_type(y.oid, b.mod), format_type(y.oid, -1), a.attnotnull,
	a.attnotnull AND coalesce(col_description($1, a.attnum) = '` + requiredComment + `', false),
	a.atthasdef OR a.attidentity <> '', a.attgenerated <> '', a.attidentity = 'a', a.attstorage <> 'p',
	y.typtype IN ('e', 'r', 'm') OR EXISTS (SELECT FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod
		LEFT JOIN pg_cast x ON x.casttarget = o.opcintype AND x.castmethod = 'b' AND x.castcontext = 'i'
			AND x.castsource = CASE WHEN y.typcategory = 'A' THEN y.typelem ELSE y.oid END
		WHERE o.opcdefault AND m.amname IN ('btree', 'hash')
			AND (x.castsource IS NOT NULL OR o.opcintype = CASE WHEN y.typcategory = 'A' THEN y.typelem ELSE y.oid END))
FROM pg_attribute a JOIN base b ON b.num = a.attnum JOIN pg_type y ON y.oid = b.typ AND y.typtype <> 'd'
WHERE a.attrelid = $1 ORDER BY a.attnum`

const uniqueSQL = `SELECT array_agg(a.attname::text ORDER BY k.n) FROM pg_index i
	CROSS JOIN LATERAL unnest(i.indkey[0:i.indnkeyatts - 1]) WITH ORDINALITY AS k(num, n)
	JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.num
WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
GROUP BY i.indexrelid`

// describe reads the catalog; nil where there is no such table.
func describe(ctx context.Context, q *pgx.Conn, n name) (*table, error) {
	t := &table{}
	err := q.QueryRow(ctx, tableSQL, n.sql()).Scan(&t.oid, &t.name.schema, &t.name.table, &t.kind, &t.deferrable, &t.referenced, &t.triggers)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if t.kind != "r" && t.kind != "p" {
		return nil, syncline.Errorf(syncline.Fatal, "object_unsupported", "%s is no table", n.sql()).WithFix("name an ordinary or a partitioned table")
	}
	rows, err := q.Query(ctx, columnsSQL, t.oid)
	if err != nil {
		return nil, err
	}
	t.cols, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (c tableColumn, err error) {
		return c, r.Scan(&c.name, &c.num, &c.oid, &c.typ, &c.holds, &c.cast, &c.notNull, &c.ours, &c.hasValue, &c.gen, &c.identity, &c.toasted, &c.equality)
	})
	if err != nil {
		return nil, err
	}
	if err := t.readMoney(ctx, q); err != nil {
		return nil, err
	}
	rows, err = q.Query(ctx, uniqueSQL, t.oid)
	if err != nil {
		return nil, err
	}
	t.unique, err = pgx.CollectRows(rows, pgx.RowTo[[]string])
	return t, err
}
