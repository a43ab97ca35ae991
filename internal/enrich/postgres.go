package enrich

import (
	"context"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"syncline"
	"syncline/internal/dialer"
	"syncline/internal/httpclient"
	"syncline/internal/pgerror"
	"syncline/internal/transform"
)

// postgres asks PostgreSQL. Parameters and results are text, so that the server says of which types they are.
type postgres struct {
	step   transform.Enrich
	config *pgx.ConnConfig
	conn   *pgx.Conn
}

func newPostgres(step transform.Enrich, url string) (*postgres, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, syncline.Errorf(syncline.Fatal, "url_invalid", "the URL of system %s cannot be read", step.SQL.System)
	}
	config.DialFunc = dialer.Dial
	// A query that writes by accident is refused, and times have one form.
	for name, value := range map[string]string{"application_name": "syncline", "default_transaction_read_only": "on", "timezone": "UTC",
		"datestyle": "ISO", "bytea_output": "hex"} {
		config.RuntimeParams[name] = value
	}
	return &postgres{step: step, config: config}, nil
}

func (p *postgres) close() error {
	if p.conn == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), p.step.Timeout)
	defer cancel()
	err := p.conn.Close(ctx)
	p.conn = nil
	return err
}

func (p *postgres) ask(ctx context.Context, keys []syncline.Value) (map[string]found, error) {
	if p.conn == nil || p.conn.IsClosed() {
		var err error
		if p.conn, err = pgx.ConnectConfig(ctx, p.config); err != nil {
			p.conn = nil
			return nil, p.failed(ctx, pgerror.OfLogin(err))
		}
	}
	answers := make(map[string]found, len(keys))
	return answers, p.query(ctx, keys, answers)
}

// query asks for the keys; where one of them is not what the query compares it with, the others are asked for without it.
func (p *postgres) query(ctx context.Context, keys []syncline.Value, answers map[string]found) error {
	res := p.conn.PgConn().ExecParams(ctx, p.step.SQL.Query, [][]byte{arrayOf(keys)}, nil, nil, nil)
	got := make(map[string]found, len(keys)) // rows come before an error, and again when it is asked without the key at fault
	var t *table
	for res.NextRow() {
		if t == nil {
			columns := make([]string, len(res.FieldDescriptions()))
			for i, d := range res.FieldDescriptions() {
				columns[i] = d.Name
			}
			var err error
			if t, err = newTable(&p.step, columns); err != nil {
				_, _ = res.Close()
				return err
			}
		}
		row := make([]syncline.Value, len(res.Values()))
		for i, b := range res.Values() {
			row[i] = valueOf(res.FieldDescriptions()[i].DataTypeOID, b)
		}
		t.add(got, row)
	}
	_, err := res.Close()
	var refused *pgconn.PgError
	if errors.As(err, &refused) && (strings.HasPrefix(refused.Code, "22") || strings.HasPrefix(refused.Code, "21")) { // what the data is, or how many rows
		if len(keys) == 1 {
			answers[textOf(keys[0])] = found{err: syncline.Errorf(syncline.Rejected, "enrich_failed", "the query does not take the record's key (SQLSTATE %s)", refused.Code).
				WithFix("correct the step's `by`, or the record, then retry the task")}
			return nil
		}
		for _, half := range [][]syncline.Value{keys[:len(keys)/2], keys[len(keys)/2:]} {
			if err := p.query(ctx, half, answers); err != nil {
				return err
			}
		}
		return nil
	}
	if err != nil {
		return p.failed(ctx, err)
	}
	maps.Copy(answers, got)
	return nil
}

// failed says whose fault it is that there is no answer. The connection is not used again.
func (p *postgres) failed(ctx context.Context, err error) error {
	if p.conn != nil {
		_ = p.conn.PgConn().Close(ctx) // it may be gone
		p.conn = nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		switch class := refused.Code[:2]; {
		case class == "28":
			return syncline.Errorf(syncline.Transient, "enrich_unreachable", "system %s refuses the login: SQLSTATE %s", p.step.SQL.System, refused.Code).
				WithFix("check user, password and pg_hba.conf; it is tried again every minute, and at once after `syncline resume ROUTE`").Patiently()
		case refused.Code == "08P01", slices.Contains([]string{"42", "25", "3D", "3F", "0A"}, class):
			return syncline.Errorf(syncline.Fatal, "enrich_refused", "system %s refuses the query: %s (SQLSTATE %s)", p.step.SQL.System, pgerror.Shown(refused).Message, refused.Code).
				WithFix("correct the query or its rights, then `syncline resume ROUTE`")
		}
		return syncline.Errorf(syncline.Transient, "enrich_unreachable", "system %s does not answer the query: SQLSTATE %s", p.step.SQL.System, refused.Code).
			WithFix("see why; it is asked again")
	}
	return syncline.Errorf(syncline.Transient, "enrich_unreachable", "system %s does not answer%s", p.step.SQL.System, httpclient.Outage(err)).
		WithFix("see whether it can be reached; it is asked again")
}

// arrayOf writes the keys as an array literal, whose elements are of the type that the query compares them with.
func arrayOf(keys []syncline.Value) []byte {
	dst := []byte{'{'}
	for i, k := range keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '"')
		for _, c := range k.Bytes() {
			if c == '"' || c == '\\' {
				dst = append(dst, '\\')
			}
			dst = append(dst, c)
		}
		dst = append(dst, '"')
	}
	return append(dst, '}')
}

// kindsOf are the kinds of types whose text is that of the kind.
var kindsOf = map[uint32]syncline.Kind{
	pgtype.Int2OID: syncline.KindInt, pgtype.Int4OID: syncline.KindInt, pgtype.Int8OID: syncline.KindInt, pgtype.Float4OID: syncline.KindFloat,
	pgtype.Float8OID: syncline.KindFloat, pgtype.NumericOID: syncline.KindDecimal, pgtype.DateOID: syncline.KindDate, pgtype.TimeOID: syncline.KindTime,
	pgtype.TimestampOID: syncline.KindTimestamp, pgtype.TimestamptzOID: syncline.KindTimestampTZ, pgtype.UUIDOID: syncline.KindUUID,
	pgtype.JSONOID: syncline.KindJSON, pgtype.JSONBOID: syncline.KindJSON,
}

func valueOf(oid uint32, b []byte) syncline.Value {
	if b == nil {
		return syncline.Null
	}
	switch oid {
	case pgtype.BoolOID:
		return syncline.Bool(len(b) > 0 && b[0] == 't')
	case pgtype.ByteaOID:
		if raw, err := hex.DecodeString(strings.TrimPrefix(string(b), `\x`)); err == nil {
			return syncline.Bytes(raw)
		}
	}
	kind, ok := kindsOf[oid]
	if !ok {
		kind = syncline.KindText
	}
	return syncline.Raw(kind, append([]byte(nil), b...))
}
