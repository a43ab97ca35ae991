package pgtarget

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"syncline"
)

// bindMark looks at a column that notes what became of records: without it, or without its values, what a rule keeps would look like
// what is there.
func bindMark(object string, tab *table, c *syncline.Column) error {
	tc := tab.column(c.Name)
	switch {
	case tc == nil:
		return syncline.Errorf(syncline.Fatal, "column_missing", "%s has no column %q, which notes what became of a record (on: soft)", object, c.Name).
			WithFix("ALTER TABLE %s ADD COLUMN %s %s", tab.name.sql(), quote(c.Name), kindTypes[c.Kind])
	case tc.gen:
		return syncline.Errorf(syncline.Fatal, "mark_does_not_fit", "column %q of %s is computed: it cannot note what became of a record (on: soft)", c.Name, object).
			WithFix("name another column in the rule's on section")
	case tc.notNull && c.Mark.Live.IsNull():
		return syncline.Errorf(syncline.Fatal, "mark_does_not_fit", "column %q of %s is NOT NULL, and a record that is there would have null in it (on: soft)", c.Name, object).
			WithFix("say with `live` in the rule's on section what a record that is there has in it")
	}
	return nil
}

// checkMarks asks the server whether the columns that note what became of records hold the values that the rule writes.
func checkMarks(ctx context.Context, conn *pgx.Conn, object string, tab *table, s *syncline.Schema) error {
	for i := range s.Columns {
		c := &s.Columns[i]
		tc := tab.column(c.Name)
		if c.Mark == nil || tc == nil || tc.typ == "" { // a column yet to be made fits
			continue
		}
		values := append(append([]syncline.Value{c.Mark.Live}, c.Mark.Gone...), c.Mark.Other...)
		for _, v := range values {
			if v.IsNull() {
				continue
			}
			var same bool
			err := conn.QueryRow(ctx, "SELECT ($1::text::"+tc.typ+")::"+tc.cast+" = $1::text::"+tc.cast, v.Text()).Scan(&same)
			var refused *pgconn.PgError
			if err != nil && !errors.As(err, &refused) {
				return err
			}
			if err != nil || !same || c.Kind == syncline.KindBool && tc.cast != "boolean" {
				return syncline.Errorf(syncline.Fatal, "mark_does_not_fit", "column %q of %s is %s, which does not hold the value that the rule notes in it (on: soft): %s",
					c.Name, object, tc.typ, v).WithFix("correct the value or the column in the rule's on section")
			}
		}
	}
	return nil
}

// present is the condition that a record is there and not only kept; "" where the table keeps none.
func (q builder) present(alias string) string {
	var sql strings.Builder
	for i := range q.b.cols {
		col := &q.b.cols[i]
		if col.mark == nil || !col.mark.Any && len(col.mark.Gone) == 0 {
			continue
		}
		name := alias + "." + quote(col.name)
		sql.WriteString(" AND (" + name + " IS NULL")
		switch {
		case !col.mark.Any:
			literals := make([]string, len(col.mark.Gone))
			for j, v := range col.mark.Gone {
				literals[j] = col.literal(v)
			}
			sql.WriteString(" OR " + name + " NOT IN (" + strings.Join(literals, ", ") + ")")
		case !col.mark.Live.IsNull():
			sql.WriteString(" OR " + name + " = " + col.literal(col.mark.Live))
		}
		sql.WriteString(")")
	}
	return sql.String()
}

// literal writes a value of the configuration, with every backslash and quote in it as itself.
func (c *boundColumn) literal(v syncline.Value) string {
	text := strings.ReplaceAll(strings.ReplaceAll(v.Text(), `\`, `\\`), `'`, `\'`)
	return "E'" + text + "'::" + c.cast
}
