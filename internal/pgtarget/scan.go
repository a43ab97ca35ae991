package pgtarget

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"syncline"
)

// scanRows is how many rows a scan fetches at a time.
const scanRows = 2000

// reading is how a table's columns answer the columns of a schema.
type reading struct {
	schema *syncline.Schema
	// col is the table's column for each of the schema's, nil where it has none; those are unset.
	col  []*tableColumn
	list string // the select list of those that are there, of the table t
	// texts and values have room for what the next rows hold: rows come by the thousand, and places for each by itself would cost as much as
	// reading them.
	texts  []byte
	values []syncline.Value
	rows   int // for how many rows there was room the last time
}

const (
	textBlock = 64 << 10 // bytes
	rowBlock  = 100
)

// keep copies what is valid only for now; nil stays nil.
func (r *reading) keep(text []byte) []byte {
	switch {
	case text == nil:
		return nil
	case len(text) == 0:
		return []byte{}
	case cap(r.texts)-len(r.texts) < len(text):
		r.texts = make([]byte, 0, max(len(text), min(2*cap(r.texts)+512, textBlock)))
	}
	start := len(r.texts)
	r.texts = append(r.texts, text...)
	return r.texts[start:len(r.texts):len(r.texts)]
}

// room returns a row of nulls.
func (r *reading) room() []syncline.Value {
	n := len(r.col)
	if len(r.values) < n {
		r.rows = min(2*r.rows+1, rowBlock)
		r.values = make([]syncline.Value, r.rows*n)
	}
	out := r.values[:n:n]
	r.values = r.values[n:]
	return out
}

func (t *Target) reading(ctx context.Context, s *session, object string, schema *syncline.Schema) (*reading, *table, error) {
	o, err := t.object(ctx, s, object)
	if err != nil {
		return nil, nil, err
	}
	r := &reading{schema: schema, col: make([]*tableColumn, len(schema.Columns))}
	var names []string
	for i := range schema.Columns {
		if r.col[i] = o.table.column(schema.Columns[i].Name); r.col[i] != nil {
			names = append(names, "t."+quote(schema.Columns[i].Name))
		}
	}
	r.list = strings.Join(names, ", ")
	return r, o.table, nil
}

// row makes a row of the server's texts of the select list, which it copies.
func (r *reading) row(texts [][]byte) ([]syncline.Value, error) {
	values := r.room()
	next := 0
	for i, c := range r.col {
		if c == nil {
			values[i] = syncline.Unset
			continue
		}
		text := r.keep(texts[next])
		v, err := readValue(text, c.cast, r.schema.Columns[i].Kind)
		if err != nil {
			return nil, fmt.Errorf("read column %q: %w", c.name, err)
		}
		values[i] = v
		next++
	}
	return values, nil
}

// readValue gives the server's text of a type as a value of the asked kind, which keeps the text.
func readValue(text []byte, typ string, kind syncline.Kind) (syncline.Value, error) {
	if text == nil {
		return syncline.Null, nil
	}
	if kind == syncline.KindNull || kind == syncline.KindUnset {
		kind = syncline.KindText
	}
	switch typ {
	case "boolean":
		v := syncline.Bool(len(text) > 0 && text[0] == 't')
		return syncline.Raw(kind, v.Bytes()), nil
	case "bytea":
		if kind != syncline.KindBytes {
			break
		}
		b, err := readBytes(text)
		return syncline.Bytes(b), err
	}
	if kind == syncline.KindFloat {
		f, err := strconv.ParseFloat(string(text), 64)
		if err != nil {
			return syncline.Null, fmt.Errorf("a value of type %s is no float", typ)
		}
		return syncline.Float(f), nil
	}
	return syncline.Raw(kind, text), nil
}

// readBytes reads a bytea in hexadecimal form.
func readBytes(text []byte) ([]byte, error) {
	digits, ok := bytes.CutPrefix(text, []byte(`\x`))
	b := make([]byte, hex.DecodedLen(len(digits)))
	if _, err := hex.Decode(b, digits); err != nil || !ok {
		return nil, fmt.Errorf("a bytea is not in hexadecimal form")
	}
	return b, nil
}

// Scan lists the table's rows as they are at one moment.
func (t *Target) Scan(ctx context.Context, object string, schema *syncline.Schema, each func(syncline.Row) error) error {
	s, err := t.session(ctx)
	if err != nil {
		return err
	}
	r, tab, err := t.reading(ctx, s, object, schema)
	if err != nil {
		return err
	}
	defer s.rollback(ctx)
	var failed error
	count := 0
	fetch := request{sql: fmt.Sprintf("FETCH %d FROM _syncline_scan", scanRows), change: -1, row: func(texts [][]byte) {
		count++
		if failed != nil {
			return
		}
		var values []syncline.Value
		if values, failed = r.row(texts); failed == nil {
			failed = each(syncline.Row{Schema: schema, Values: values})
		}
	}}
	err = s.run(ctx, []request{
		{sql: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", change: -1},
		{sql: "DECLARE _syncline_scan NO SCROLL CURSOR FOR SELECT " + r.list + " FROM " + tab.name.sql() + " AS t", change: -1},
	})
	for err == nil {
		count = 0
		if err = s.run(ctx, []request{fetch}); failed != nil {
			return failed
		}
		if err == nil && count < scanRows {
			return nil
		}
	}
	return t.failed("scan "+object, err)
}

// Current reads records by key.
func (t *Target) Current(ctx context.Context, object string, schema *syncline.Schema, keys []syncline.Row) ([][]syncline.Value, error) {
	out := make([][]syncline.Value, len(keys))
	if len(keys) == 0 {
		return out, nil
	}
	s, err := t.session(ctx)
	if err != nil {
		return nil, err
	}
	r, tab, err := t.reading(ctx, s, object, schema)
	if err != nil {
		return nil, err
	}
	b, err := t.binding(ctx, s, object, schema)
	if err != nil {
		return nil, err
	}
	q := builder{b: &binding{table: tab, cols: b.cols, key: b.key}, mask: b.key}
	var args [][]byte
	for _, k := range b.key {
		args = append(args, appendArray(nil, len(keys), func(i int) syncline.Value { return keys[i].Values[b.cols[k].src] }))
	}
	var failed error
	err = s.run(ctx, []request{{sql: "SELECT u.o, " + r.list + " FROM " + q.from(true) + " JOIN " + tab.name.sql() + " AS t ON " + q.on("t"),
		args: args, change: -1, row: func(texts [][]byte) {
			i, err := strconv.Atoi(string(texts[0]))
			if err != nil || i < 1 || i > len(out) {
				failed = fmt.Errorf("read %s: row number %q of %d", object, texts[0], len(out))
				return
			}
			if out[i-1], err = r.row(texts[1:]); err != nil {
				failed = err
			}
		}}})
	if err != nil {
		return nil, t.failed("read "+object, err)
	}
	if failed != nil {
		return nil, failed
	}
	return out, nil
}

// Check tells whether the target can be written.
func (t *Target) Check(ctx context.Context) []syncline.Finding {
	s, err := t.session(ctx)
	if err != nil {
		return []syncline.Finding{syncline.Failure(err, "check the URL, the network and the login")}
	}
	var version int
	var standby, hasTable, mayCreate, temporary bool
	var database string
	err = s.conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_setting('transaction_read_only')::bool,
		to_regclass($1) IS NOT NULL, $2 <> '' AND has_schema_privilege($2, 'CREATE'), has_database_privilege(current_database(), 'TEMP'), current_database()`,
		s.cursorName(), s.schema).Scan(&version, &standby, &hasTable, &mayCreate, &temporary, &database)
	if err != nil {
		return []syncline.Finding{syncline.Failure(t.failed("look at the server", err), "check the URL, the network and the login")}
	}
	findings := []syncline.Finding{{Level: "ok", What: fmt.Sprintf("connected to PostgreSQL %d", version/10000)}}
	if version < 130000 {
		findings = append(findings, syncline.Finding{Level: "fail", Code: "version_unsupported", What: "the server is older than PostgreSQL 13", Fix: "use PostgreSQL 13 or newer"})
	}
	if standby {
		findings = append(findings, syncline.Finding{Level: "fail", Code: "read_only", What: "the server takes no writes", Fix: "point the URL at the primary"})
	}
	if !hasTable && !mayCreate {
		findings = append(findings, syncline.Finding{Level: "fail", Code: "permission_denied",
			What: "there is no " + s.cursorName() + ", and the user may not create it", Fix: "GRANT CREATE ON SCHEMA " + quote(s.schema) + " TO the user of the URL"})
	}
	if !temporary {
		findings = append(findings, syncline.Finding{Level: "fail", Code: "permission_denied",
			What: "the user may not make temporary tables, which large batches go through", Fix: "GRANT TEMPORARY ON DATABASE " + quote(database) + " TO the user of the URL"})
	}
	return findings
}

// The upgrades that a caller finds by asking the target.
var (
	_ syncline.CursorKeeper = (*Target)(nil)
	_ syncline.Definer      = (*Target)(nil)
	_ syncline.Scanner      = (*Target)(nil)
	_ syncline.Current      = (*Target)(nil)
	_ syncline.Checker      = (*Target)(nil)
)
