package sqlite

import (
	"context"
	"strconv"
	"strings"

	"syncline"
)

// Scan implements syncline.Scanner. A column that the table lacks is unset.
func (t *Target) Scan(ctx context.Context, object string, s *syncline.Schema, each func(syncline.Row) error) error {
	b, err := t.binding(ctx, t.conn, object, s)
	if err != nil {
		return err
	}
	return b.query(ctx, t.conn, "", nil, each)
}

// Current implements syncline.Current.
func (t *Target) Current(ctx context.Context, object string, s *syncline.Schema, keys []syncline.Row) ([][]syncline.Value, error) {
	b, err := t.binding(ctx, t.conn, object, s)
	if err != nil {
		return nil, err
	}
	out := make([][]syncline.Value, len(keys))
	for i, k := range keys {
		args := make([]any, len(s.Key))
		for j, c := range s.Key {
			args[j] = b.columns[b.key[j]].store(k.Values[c])
		}
		err := b.query(ctx, t.conn, " WHERE "+b.matches(), args, func(r syncline.Row) error {
			out[i] = r.Values
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// query reads rows in the terms of the schema.
func (b *binding) query(ctx context.Context, q querier, where string, args []any, each func(syncline.Row) error) error {
	names := make([]string, len(b.columns))
	stored, into := make([]any, len(b.columns)), make([]any, len(b.columns))
	for i, c := range b.columns {
		names[i], into[i] = quote(c.name), &stored[i]
	}
	if len(names) == 0 { // SQL has no rows without columns
		names, into = []string{"NULL"}, []any{new(any)}
	}
	rows, err := q.QueryContext(ctx, "SELECT "+plain(names)+" FROM "+quote(b.table.name)+where, args...)
	if err != nil {
		return classify(err, "read %s", b.object)
	}
	defer rows.Close() //nolint:errcheck // rows.Err has it
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return classify(err, "read %s", b.object)
		}
		if err := each(syncline.Row{Schema: b.schema, Values: b.read(func(i int) any { return stored[i] })}); err != nil {
			return err
		}
	}
	return classify(rows.Err(), "read %s", b.object)
}

// read gives a row in the terms of the schema, of which stored is the value of the i-th bound column. A column that the table lacks
// is unset.
func (b *binding) read(stored func(i int) any) []syncline.Value {
	row := make([]syncline.Value, len(b.schema.Columns))
	for i := range row {
		row[i] = syncline.Unset
	}
	for i, c := range b.columns {
		row[c.index] = c.read(stored(i))
	}
	return row
}

// read returns a stored value as the schema means it: what store made, back in its own kind, and what others wrote as far
// as it has a form of that kind.
func (c bound) read(stored any) syncline.Value {
	v := c.typ.read(stored)
	if v.Kind() == c.typ.kind || v.IsNull() || c.any {
		return v
	}
	switch kind := c.typ.kind; kind {
	case syncline.KindText:
		if f, ok := stored.(float64); ok {
			return syncline.Raw(syncline.KindText, syncline.AppendFloat(nil, f))
		}
		if _, blob := stored.([]byte); blob {
			return v
		}
		return syncline.Text(string(v.Bytes()))
	case syncline.KindBool:
		switch stored {
		case "1", 1.0:
			return syncline.Bool(true)
		case "0", 0.0:
			return syncline.Bool(false)
		}
	case syncline.KindFloat:
		if text, ok := stored.(string); ok {
			if f, err := strconv.ParseFloat(text, 64); err == nil && syncline.Equal(syncline.Float(f), syncline.Decimal(text)) {
				return syncline.Float(f)
			}
		}
	case syncline.KindInt:
		if text, ok := stored.(string); ok {
			if n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64); err == nil {
				return syncline.Int(n)
			}
		}
	case syncline.KindArray, syncline.KindRaw, syncline.KindDecimal:
		if text, ok := stored.(string); ok {
			return syncline.Raw(kind, []byte(text))
		}
	}
	return v
}
