package pgsource

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"syncline"
	"syncline/internal/pgoutput"
	"syncline/internal/poll"
)

// firstRows is how many rows are read of an entity at first: nobody knows how long they are.
const firstRows = 100

// Read implements poll.Table.
func (t *polled) Read(ctx context.Context, r poll.Range) (page poll.Page, err error) {
	rows := t.p.rows[t.e.Name]
	if rows == 0 {
		rows = firstRows
	}
	if rows = min(rows, r.Rows); r.Bytes == 0 {
		rows = r.Rows
	}
	width := len(t.schema.Columns)
	columns := slices.Clone(t.sent)
	if r.KeysOnly {
		columns = slices.DeleteFunc(columns, func(c pgoutput.Column) bool { return !slices.Contains(t.schema.Key, c.Index) })
	}
	if r.Mark != nil {
		columns = append(columns, pgoutput.Column{Index: width, Kind: syncline.KindText})
	}
	size := 0
	err = readRows(ctx, t.p.probe.sql.PgConn(), t.selects(r, rows), pgoutput.NewLayout(columns, width+1, nil), func(values []syncline.Value, n int) error {
		size += n
		if rows > 0 && len(page.Rows) == rows {
			page.More = true
			return nil
		}
		row := poll.Row{Values: values[:width:width], Above: values[width].Text() == "t", Place: poll.Place{Key: texts(keyTexts(t.schema, values))}}
		if !r.KeysOnly {
			for _, name := range t.e.Watermark {
				row.Place.Mark = append(row.Place.Mark, values[t.schema.Index(name)].Text())
			}
		}
		page.Rows = append(page.Rows, row)
		return nil
	})
	if err != nil {
		return poll.Page{}, t.p.refused("read", t.e, err)
	}
	if n := len(page.Rows); r.Bytes == 0 {
		return page, nil
	} else if n > 0 && !r.KeysOnly {
		t.p.rows[t.e.Name] = max(1, min(4*rows, r.Bytes/(size/n+1)))
	} else if n > 0 {
		t.p.rows[t.e.Name] = max(rows, firstRows)
	}
	return page, nil
}

func texts(list [][]byte) []string {
	out := make([]string, len(list))
	for i, text := range list {
		out[i] = string(text)
	}
	return out
}

// selects is the statement for rows of the range: the columns and, where it is asked for, whether the row is above Mark.
func (t *polled) selects(r poll.Range, rows int) string {
	columns := slices.Clone(t.read)
	if r.KeysOnly {
		columns = slices.DeleteFunc(columns, func(name string) bool { return !slices.Contains(t.key, name) })
	}
	if r.Mark != nil {
		columns = append(columns, fmt.Sprintf("((%s) > (%s)) IS NOT FALSE", strings.Join(t.mark, ", "), constants(r.Mark)))
	}
	order := t.key
	var where []string
	needs := func(names []string) {
		for _, name := range names {
			where = append(where, name+" IS NOT NULL")
		}
	}
	compare := func(names []string, op string, values []string) {
		where = append(where, fmt.Sprintf("(%s) %s (%s)", strings.Join(names, ", "), op, constants(values)))
	}
	needs(t.key)
	after := func(p *poll.Place) []string { return p.Key }
	if !r.ByKey {
		needs(t.mark)
		order = slices.Concat(t.mark, t.key)
		after = func(p *poll.Place) []string { return slices.Concat(p.Mark, p.Key) }
		if r.From != nil {
			where = append(where, t.mark[0]+" >= "+t.lowered(r.From[0], r.Overlap))
		}
		if r.Above != nil {
			compare(t.mark, ">", r.Above)
		}
		if r.To != nil {
			compare(t.mark, "<=", r.To)
		}
	}
	if r.After != nil {
		compare(order, ">", after(r.After))
	}
	if r.Since > 0 {
		// A row has the lower 32 bits of its transaction's number. Those of old, frozen rows can look as if they were new.
		where = append(where, fmt.Sprintf("((xmin::text::int8 - %d) & 4294967295) < pg_snapshot_xmax(pg_current_snapshot())::text::int8 - %d", r.Since&0xFFFFFFFF, r.Since))
	}
	sql := fmt.Sprintf("SELECT %s FROM %s WHERE %s ORDER BY %s", strings.Join(columns, ", "), t.from, strings.Join(where, " AND "), strings.Join(order, ", "))
	if rows > 0 {
		sql += fmt.Sprintf(" LIMIT %d", rows+1)
	}
	return sql
}

// lowered is the first column of a watermark less the overlap, as SQL.
func (t *polled) lowered(text string, wanted bool) string {
	typ := t.t.column(t.e.Watermark[0]).typ
	switch {
	case wanted && t.overlap.Time > 0:
		return fmt.Sprintf("%s::%s - interval '%d microseconds'", literal(text), typ, t.overlap.Time.Microseconds())
	case wanted && t.overlap.Amount > 0:
		return fmt.Sprintf("%s::numeric - %d", literal(text), t.overlap.Amount)
	}
	return literal(text)
}

func constants(values []string) string {
	list := make([]string, len(values))
	for i, text := range values {
		list[i] = literal(text)
	}
	return strings.Join(list, ", ")
}

// Place implements poll.Table.
func (t *polled) Place(key syncline.Key) (poll.Place, bool) {
	parts := keyParts(t.schema, key)
	return poll.Place{Key: texts(parts)}, parts != nil
}

// Estimate implements poll.Table: it is what the planner thinks of a table.
func (t *polled) Estimate(ctx context.Context) (n int64, err error) {
	if !t.numbered {
		return -1, nil
	}
	err = t.p.probe.sql.QueryRow(ctx, "SELECT greatest(sum(reltuples), -1)::int8 FROM pg_class WHERE oid = $1 OR oid IN (SELECT relid FROM pg_partition_tree($1) WHERE isleaf)", t.t.oid).Scan(&n)
	return n, t.p.refused("estimate the rows", t.e, err)
}

// Lookup implements poll.Table. A key that cannot be of the columns' types makes the statement fail; then each is asked for by itself.
func (t *polled) Lookup(ctx context.Context, keys []syncline.Key) (out poll.Answer, err error) {
	var asked []askedKey
	for _, k := range keys {
		if texts := keyParts(t.schema, k); texts != nil {
			asked = append(asked, askedKey{k, texts})
		} else {
			out.Refused++
		}
	}
	if len(asked) == 0 {
		return out, nil
	}
	refused, err := t.lookup(ctx, asked, &out)
	if !refused || err != nil {
		return out, err
	}
	for i := range asked {
		if refused, err = t.lookup(ctx, asked[i:i+1], &out); err != nil {
			return out, err
		}
		if refused {
			out.Refused++
		}
	}
	return out, nil
}

// lookup reads the records of the keys. A record that has one in another spelling (01 for 1) is its answer. refused tells that one cannot
// be of the columns' types: then nothing was read.
func (t *polled) lookup(ctx context.Context, asked []askedKey, out *poll.Answer) (refused bool, err error) {
	conn := t.p.probe.sql.PgConn()
	width := len(t.schema.Columns)
	tuples := make([]string, len(asked))
	for i, a := range asked {
		tuples[i] = "(" + literals(a.texts) + ")"
	}
	found := map[syncline.Key]bool{}
	var rows, absent [][]syncline.Value
	sql := fmt.Sprintf("SELECT %s FROM %s WHERE (%s) IN (%s)", strings.Join(t.read, ", "), t.from, strings.Join(t.key, ", "), strings.Join(tuples, ", "))
	key := func(row []syncline.Value) syncline.Key {
		k, _ := syncline.Row{Schema: t.schema, Values: row}.Key()
		return k
	}
	err = readRows(ctx, conn, sql, pgoutput.NewLayout(t.sent, width, nil), func(row []syncline.Value, _ int) error {
		if k := key(row); !found[k] {
			found[k] = true
			rows = append(rows, row)
		}
		return nil
	})
	if missing := slices.DeleteFunc(slices.Clone(asked), func(a askedKey) bool { return found[a.key] }); err == nil && len(missing) > 0 {
		err = readRows(ctx, conn, t.casts(missing), t.keyLayout(), func(row []syncline.Value, _ int) error {
			if k := key(row); !found[k] {
				found[k] = true
				absent = append(absent, row)
			}
			return nil
		})
	}
	if state := sqlState(err); strings.HasPrefix(state, classDataException) || strings.HasPrefix(state, classConstraint) {
		return true, nil
	}
	if err != nil {
		return false, t.p.refused("read records by their keys", t.e, err)
	}
	out.Rows, out.Absent = append(out.Rows, rows...), append(out.Absent, absent...)
	return false, nil
}

// casts is a statement for the keys as the columns have them. A cast cuts and rounds what is too long for a column, which makes another
// key of it: such a key is left out.
func (t *polled) casts(asked []askedKey) string {
	selects := make([]string, len(asked))
	for i, a := range asked {
		typed := make([]string, len(a.texts))
		for i, at := range t.schema.Key {
			typed[i] = literal(string(a.texts[i])) + "::" + t.t.columns[at].typ
		}
		cast := strings.Join(typed, ", ")
		selects[i] = fmt.Sprintf("SELECT %s WHERE (%s) = (%s)", cast, cast, literals(a.texts))
	}
	return strings.Join(selects, " UNION ALL ")
}

func (t *polled) keyLayout() *pgoutput.Layout {
	columns := make([]pgoutput.Column, len(t.schema.Key))
	for i, at := range t.schema.Key {
		columns[i] = pgoutput.Column{Index: at, Kind: t.schema.Columns[at].Kind}
	}
	return pgoutput.NewLayout(columns, len(t.schema.Columns), nil)
}
