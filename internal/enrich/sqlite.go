package enrich

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"syncline"
	"syncline/internal/document"
	"syncline/internal/transform"
)

// database asks a SQLite file, which it only reads.
type database struct {
	step transform.Enrich
	path string
	db   *sql.DB
	// schema says of which kinds the values are, where that is known.
	schema *syncline.Schema
}

func newSQLite(step transform.Enrich, path string) *database {
	return &database{step: step, path: path}
}

func (d *database) close() error {
	if d.db == nil {
		return nil
	}
	err := d.db.Close()
	d.db = nil
	return err
}

func (d *database) ask(ctx context.Context, keys []syncline.Value) (map[string]found, error) {
	if d.db == nil {
		u := url.URL{Scheme: "file", OmitHost: true, Path: d.path, RawQuery: "mode=ro&_pragma=busy_timeout(5000)&_pragma=query_only(1)"}
		db, err := sql.Open("sqlite", u.String())
		if err != nil {
			return nil, d.failed(ctx, err)
		}
		db.SetMaxOpenConns(1)
		d.db = db
	}
	answers := make(map[string]found, len(keys))
	return answers, d.query(ctx, keys, answers)
}

// query asks for the keys; where the database refuses one of them, or its row, the others are asked for without it.
func (d *database) query(ctx context.Context, keys []syncline.Value, answers map[string]found) error {
	got, err := d.read(ctx, keys)
	if err == nil {
		maps.Copy(answers, got)
		return nil
	}
	var e *sqlite.Error
	if !errors.As(err, &e) || e.Code()&0xff != sqlite3.SQLITE_ERROR {
		return d.failed(ctx, err)
	}
	if _, always := d.read(ctx, nil); always != nil { // it is the query's fault
		return d.failed(ctx, d.told(ctx, always))
	}
	if len(keys) == 1 {
		answers[textOf(keys[0])] = found{err: syncline.Errorf(syncline.Rejected, "enrich_failed", "the query does not take the record's key, or what it finds").
			WithFix("correct what stands there, or the record, then retry the task")}
		return nil
	}
	for _, half := range [][]syncline.Value{keys[:len(keys)/2], keys[len(keys)/2:]} {
		if err := d.query(ctx, half, answers); err != nil {
			return err
		}
	}
	return nil
}

// told is the error that the query fails with: SQLite's, where that is of the query itself, else without its words, which may have a value in them.
func (d *database) told(ctx context.Context, err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) || e.Code()&0xff != sqlite3.SQLITE_ERROR {
		return err
	}
	st, now := d.db.PrepareContext(ctx, d.step.SQL.Query)
	if now != nil {
		return now
	}
	_ = st.Close() // it was not run
	return syncline.Errorf(syncline.Fatal, "enrich_refused", "system %s refuses the query: a function in it fails on what is there (SQLite error %d)", d.step.SQL.System, e.Code()).
		WithFix("correct the query, or what it reads, then `syncline resume ROUTE`")
}

// read runs the query.
func (d *database) read(ctx context.Context, keys []syncline.Value) (map[string]found, error) {
	rows, err := d.db.QueryContext(ctx, d.step.SQL.Query, string(listOf(keys)))
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // Err tells
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	t, err := newTable(&d.step, columns)
	if err != nil {
		return nil, err
	}
	answers := make(map[string]found, len(keys))
	scanned, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range into {
		into[i] = &scanned[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		row := make([]syncline.Value, len(columns))
		for i, v := range scanned {
			if row[i] = stored(v); d.schema != nil {
				row[i] = meant(d.schema, columns[i], row[i])
			}
		}
		t.add(answers, row)
	}
	return answers, rows.Err()
}

// failed says whose fault it is that there is no answer.
func (d *database) failed(ctx context.Context, err error) error {
	var known *syncline.Error
	if errors.As(err, &known) {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var e *sqlite.Error
	if errors.As(err, &e) {
		switch e.Code() & 0xff {
		case sqlite3.SQLITE_ERROR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_AUTH:
			return syncline.Errorf(syncline.Fatal, "enrich_refused", "system %s refuses the query: %w", d.step.SQL.System, err).
				WithFix("correct the query, then `syncline resume ROUTE`")
		}
	}
	return syncline.Errorf(syncline.Transient, "enrich_unreachable", "system %s does not answer: %w", d.step.SQL.System, err).
		WithFix("see whether the file is there and can be read; it is asked again")
}

// listOf writes the keys as a JSON array, numbers as such.
func listOf(keys []syncline.Value) []byte {
	dst := []byte{'['}
	for i, k := range keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = document.AppendValue(dst, &syncline.Column{Kind: k.Kind()}, k)
	}
	return append(dst, ']')
}

// stored is a value as the driver gives it.
func stored(v any) syncline.Value {
	switch v := v.(type) {
	case nil:
		return syncline.Null
	case int64:
		return syncline.Int(v)
	case float64:
		return syncline.Float(v)
	case bool:
		return syncline.Bool(v)
	case string:
		return syncline.Text(v)
	case []byte:
		return syncline.Bytes(append([]byte(nil), v...))
	case time.Time:
		return syncline.TimestampTZ(v)
	}
	return syncline.Text(fmt.Sprint(v))
}
