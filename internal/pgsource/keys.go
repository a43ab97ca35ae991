package pgsource

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"syncline"
	"syncline/internal/pgoutput"
)

// errEnough ends the reading of rows that would be too much.
var errEnough = errors.New("the rows are larger than a chunk may be")

// keysReader reads the records of the chunk's first keys: of the first one whatever its size, and of as many more as fit into
// rangeBytes. A key that cannot be of the columns' types makes the statement fail; then each of its group is asked for by itself.
func keysReader(c *chunk, t *table, l *pgoutput.Layout) func(context.Context) chunkRows {
	return func(ctx context.Context) (out chunkRows) {
		r := keyRead{chunk: c, table: t, layout: l, out: &out}
		// Nobody knows how long the rows are: the groups begin with one key and grow.
		for n := 1; n > 0 && out.keys < len(c.keys); n = min(4*n, (rangeBytes-r.size)/(r.size/max(len(out.rows), 1)+1)) {
			keys := c.keys[out.keys:min(out.keys+n, len(c.keys))]
			was := out
			err := r.group(ctx, keys)
			if errors.Is(err, errEnough) {
				return was
			}
			if out.err = err; err != nil {
				return out
			}
			out.keys += len(keys)
		}
		return out
	}
}

// keyRead is the reading of a chunk's keys.
type keyRead struct {
	*chunk
	table  *table
	layout *pgoutput.Layout
	out    *chunkRows
	size   int
}

// askedKey is a key as it was written, and its parts in PostgreSQL's text.
type askedKey struct {
	key   syncline.Key
	texts [][]byte
}

// group reads the records of the keys.
func (r *keyRead) group(ctx context.Context, keys []syncline.Key) error {
	var asked []askedKey
	for _, k := range keys {
		if texts := keyParts(r.schema, k); texts != nil {
			asked = append(asked, askedKey{k, texts})
		} else {
			r.out.refused++
		}
	}
	if len(asked) == 0 {
		return nil
	}
	refused, err := r.read(ctx, asked)
	if !refused || err != nil {
		return err
	}
	for i := range asked {
		refused, err := r.read(ctx, asked[i:i+1])
		if err != nil {
			return err
		}
		if refused {
			r.out.refused++
		}
	}
	return nil
}

// read reads the records of the keys, and which keys no record has. A record that has one of them in another spelling (01 for 1)
// is its answer. refused tells that one cannot be of the columns' types: then nothing was read.
func (r *keyRead) read(ctx context.Context, asked []askedKey) (refused bool, err error) {
	conn := r.conn.PgConn()
	if _, err := r.conn.Exec(ctx, "SAVEPOINT keys"); err != nil {
		return false, err
	}
	was, size := *r.out, r.size
	found := map[syncline.Key]bool{}
	tuples := make([]string, len(asked))
	for i, a := range asked {
		tuples[i] = "(" + literals(a.texts) + ")"
	}
	sql := selectRows(r.table, r.schema, fmt.Sprintf("(%s) IN (%s)", keyColumns(r.schema), strings.Join(tuples, ", ")), false, 0)
	err = readRows(ctx, conn, sql, r.layout, func(row []syncline.Value, n int) error {
		if r.size += n; r.size > rangeBytes && r.out.keys > 0 {
			return errEnough
		}
		r.out.rows = append(r.out.rows, row)
		key, _ := syncline.Row{Schema: r.schema, Values: row}.Key()
		found[key] = true
		return nil
	})
	if err == nil {
		asked = slices.DeleteFunc(slices.Clone(asked), func(a askedKey) bool { return found[a.key] })
		err = r.readAbsent(ctx, asked)
	}
	if state := sqlState(err); strings.HasPrefix(state, classDataException) || strings.HasPrefix(state, classConstraint) {
		*r.out, r.size = was, size
		_, err = r.conn.Exec(ctx, "ROLLBACK TO SAVEPOINT keys")
		return true, err
	}
	return false, err
}

// readAbsent asks which of the keys no record has. A cast cuts and rounds what is too long for a column, which makes another key of it:
// such a key has no answer.
func (r *keyRead) readAbsent(ctx context.Context, asked []askedKey) error {
	if len(asked) == 0 {
		return nil
	}
	selects := make([]string, len(asked))
	for i, a := range asked {
		constants, typed := literals(a.texts), make([]string, len(a.texts))
		for i, at := range r.schema.Key {
			typed[i] = literal(string(a.texts[i])) + "::" + r.table.column(r.schema.Columns[at].Name).typ
		}
		cast := strings.Join(typed, ", ")
		selects[i] = fmt.Sprintf("SELECT %s WHERE (%s) = (%s) AND NOT EXISTS (SELECT FROM %s WHERE (%s) = (%s))",
			cast, cast, constants, r.table.sqlName(), keyColumns(r.schema), constants)
	}
	columns := make([]pgoutput.Column, len(r.schema.Key))
	for i, at := range r.schema.Key {
		columns[i] = pgoutput.Column{Index: at, Kind: r.schema.Columns[at].Kind}
	}
	layout := pgoutput.NewLayout(columns, len(r.schema.Columns), nil)
	return readRows(ctx, r.conn.PgConn(), strings.Join(selects, " UNION ALL "), layout, func(row []syncline.Value, _ int) error {
		r.out.absent = append(r.out.absent, row)
		return nil
	})
}

// keyParts are the key's parts in PostgreSQL's text; nil where no row of the schema can have it.
func keyParts(sc *syncline.Schema, k syncline.Key) [][]byte {
	parts, err := k.Parts()
	if k == "" { // the empty text, as a key of one column
		parts = []string{""}
	}
	if err != nil || len(parts) != len(sc.Key) || hasNull(k) {
		return nil
	}
	row := make([]syncline.Value, len(sc.Columns))
	for i, at := range sc.Key {
		if strings.ContainsRune(parts[i], 0) && sc.Columns[at].Kind != syncline.KindBytes {
			return nil
		}
		row[at] = syncline.Raw(sc.Columns[at].Kind, []byte(parts[i]))
	}
	return keyTexts(sc, row)
}

// hasNull tells whether a part of the key is null.
func hasNull(k syncline.Key) bool { return slices.Contains(strings.Split(string(k), ","), "%N") }

// checkTypes refuses keys that are certainly not of the columns' types. Of the other kinds only the server knows what it takes.
func checkTypes(entity string, keys []syncline.Key, kinds []syncline.Kind) error {
	for i, k := range keys {
		parts, _ := k.Parts() // CheckKeys has seen them
		refused := hasNull(k)
		for at := 0; at < len(parts) && !refused; at++ {
			refused = !canBe(kinds[at], parts[at])
		}
		if refused {
			return syncline.Errorf(syncline.Rejected, "bad_key", "key %d of %d cannot be of %s: a part is not of its column's type", i+1, len(keys), entity).
				WithFix("write each part as the source shows it")
		}
	}
	return nil
}

func canBe(kind syncline.Kind, part string) bool {
	switch kind {
	case syncline.KindInt:
		return strings.ContainsAny(part, "0123456789") && !strings.Contains(part, ".")
	case syncline.KindUUID:
		part = strings.NewReplacer("-", "", "{", "", "}", "").Replace(part)
		_, err := hex.DecodeString(part)
		return err == nil && len(part) == 32
	}
	return true
}

// keyTexts are the row's key in PostgreSQL's text.
func keyTexts(sc *syncline.Schema, row []syncline.Value) [][]byte {
	list := make([][]byte, len(sc.Key))
	for i, at := range sc.Key {
		if v := row[at]; v.Kind() == syncline.KindBytes {
			list[i] = hex.AppendEncode([]byte(`\x`), v.Bytes())
		} else {
			list[i] = bytes.Clone(v.Bytes())
		}
	}
	return list
}

// literals are constants without a type: PostgreSQL takes that of the column they are compared with.
func literals(texts [][]byte) string {
	list := make([]string, len(texts))
	for i, text := range texts {
		list[i] = literal(string(text))
	}
	return strings.Join(list, ", ")
}
