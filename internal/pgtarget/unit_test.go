package pgtarget

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"syncline"
)

func TestParseName(t *testing.T) {
	for in, want := range map[string]name{
		"customer": {"", "customer"}, "Sales.Order": {"sales", "order"}, `public."Order lines"`: {"public", "Order lines"},
		`"a""b"."c.d"`: {`a"b`, "c.d"}, "_x$1": {"", "_x$1"}, "größe": {"", "größe"}, "ÄB": {"", "Äb"},
	} {
		if got, err := parseName(in); err != nil || got != want {
			t.Errorf("parseName(%q) = %+v, %v, want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{"", ".", "a.", ".a", "a.b.c", `"`, `""`, `"a"b`, "a b", "1a", "a-b", `a."`, strings.Repeat("x", 64), "\"a\x00\""} {
		got, err := parseName(in)
		if syncline.CodeOf(err) != "identifier_invalid" {
			t.Errorf("parseName(%q) = %+v, %v, want identifier_invalid", in, got, err)
		}
	}
}

func FuzzParseName(f *testing.F) {
	for _, s := range []string{"a", `a."b c"`, `"x""y"`, "A.B", `"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := parseName(s)
		if err != nil {
			return
		}
		if again, err := parseName(n.sql()); err != nil || again != n {
			t.Errorf("parseName(%q).sql() = %q, which is read as %+v, %v", s, n.sql(), again, err)
		}
	})
}

// FuzzAppendCopy reads the escapes back as the server does.
func FuzzAppendCopy(f *testing.F) {
	for _, s := range []string{"", "plain", "a\tb\\N\n", `\.`, "\x00\xff", "\b\v\f\r"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		out := appendCopy(nil, syncline.Raw(syncline.KindText, b))
		if bytes.ContainsAny(out, "\t\n\r") || string(out) == `\N` {
			t.Fatalf("appendCopy(%q) = %q, which is no single field", b, out)
		}
		var back []byte
		for i := 0; i < len(out); i++ {
			c := out[i]
			if c == '\\' {
				i++
				if at := strings.IndexByte("btnvfr", out[i]); at >= 0 {
					c = "\b\t\n\v\f\r"[at]
				} else {
					c = out[i]
				}
			}
			back = append(back, c)
		}
		if !bytes.Equal(back, b) {
			t.Errorf("appendCopy(%q) = %q, which is read as %q", b, out, back)
		}
	})
}

// FuzzAppendArray reads the array back with pgx's own decoder.
func FuzzAppendArray(f *testing.F) {
	f.Add("a", "b", true)
	f.Add("", "\x00", false)
	m := pgtype.NewMap()
	f.Fuzz(func(t *testing.T, a, b string, null bool) {
		values := []syncline.Value{syncline.Text(a), syncline.Text(b), syncline.Bytes([]byte(b))}
		want := []*string{&a, &b, new(string)}
		*want[2] = fmt.Sprintf(`\x%x`, b)
		if null {
			values[1], want[1] = syncline.Null, nil
		}
		var got []*string
		err := m.Scan(pgtype.TextArrayOID, pgtype.BinaryFormatCode, appendArray(nil, 3, func(i int) syncline.Value { return values[i] }), &got)
		if err != nil || len(got) != 3 {
			t.Fatalf("array of %q = %v, %v", values, got, err)
		}
		for i := range got {
			if (got[i] == nil) != (want[i] == nil) || got[i] != nil && *got[i] != *want[i] {
				t.Errorf("element %d = %v, want %v", i, got[i], want[i])
			}
		}
	})
}

func FuzzReadValue(f *testing.F) {
	f.Add([]byte(`\x00ff`), "bytea", byte(syncline.KindBytes))
	f.Add([]byte("t"), "boolean", byte(syncline.KindBool))
	f.Add([]byte("1e400"), "numeric", byte(syncline.KindFloat))
	f.Fuzz(func(t *testing.T, text []byte, typ string, kind byte) {
		if !syncline.Kind(kind).Valid() {
			return
		}
		v, err := readValue(text, typ, syncline.Kind(kind))
		if err == nil && v.IsUnset() {
			t.Errorf("readValue(%q, %s) = unset", text, typ)
		}
	})
}

func TestWidens(t *testing.T) {
	for _, c := range []struct {
		from, to string
		want     bool
	}{
		{"integer", "bigint", true}, {"bigint", "integer", false}, {"smallint", "real", true}, {"integer", "real", false},
		{"integer", "numeric(12,2)", true}, {"bigint", "numeric(12,2)", false}, {"bigint", "numeric", true}, {"numeric", "numeric(5,2)", false},
		{"numeric(5,2)", "numeric(7,2)", true}, {"numeric(5,2)", "numeric(7,5)", false}, {"numeric(5)", "numeric(7,2)", true},
		{"character varying(5)", "character varying(9)", true}, {"character varying(9)", "character varying(5)", false},
		{"character varying(9)", "character varying", true}, {"character varying", "text", true}, {"character(3)", "character varying(3)", true},
		{"timestamp(3) without time zone", "timestamp without time zone", true}, {"timestamp without time zone", "timestamp(3) without time zone", false},
		{"date", "timestamp without time zone", true}, {"bit(3)", "bit(5)", false}, {"bit varying(3)", "bit varying(5)", true},
		{"text", "integer", false}, {"jsonb", "text", true}, {"real", "double precision", true}, {"boolean", "integer", false},
	} {
		if got := widens(c.from, c.to); got != c.want {
			t.Errorf("widens(%s, %s) = %v, want %v", c.from, c.to, got, c.want)
		}
	}
}

func TestClassify(t *testing.T) {
	for code, want := range map[string]string{
		"08006": "transient connection_lost", "57P01": "transient connection_lost", "57P03": "transient connection_lost", "57014": "transient timeout",
		"40001": "transient serialization", "40P01": "transient serialization", "53100": "transient out_of_resources", "53300": "transient out_of_resources",
		"55P03": "transient lock_timeout", "25006": "transient read_only", "28P01": "transient refused", "28000": "transient refused",
		"XX000": "transient server_error", "58030": "transient server_error", "25P03": "transient server_error",
		"22001": "rejected value_too_long", "22012": "rejected value_refused", "23503": "rejected dependency", "23505": "rejected unique_violation",
		"23999": "rejected constraint_violation", "54000": "rejected value_refused", "P0001": "rejected trigger_refused", "21000": "rejected key_collision",
		"42P01": "fatal object_missing", "42703": "fatal column_missing", "42501": "fatal permission_denied", "42804": "fatal statement_refused",
		"CR001": "rejected trigger_refused", "38001": "rejected trigger_refused", "09000": "rejected trigger_refused",
		"42P10": "fatal key_index_missing", "3F000": "fatal schema_missing", "0A000": "fatal unsupported",
	} {
		err := classify("try", fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: code, Message: "m"}))
		if got := syncline.ClassOf(err).String() + " " + syncline.CodeOf(err); got != want {
			t.Errorf("classify(%s) = %s, want %s", code, got, want)
		}
	}
	for _, code := range []string{"53100", "53300", "3D000", "28P01", "25006"} { // nobody but a person ends these
		if syncline.FixOf(classify("try", &pgconn.PgError{Code: code})) == "" {
			t.Errorf("classify(%s) names no way out", code)
		}
	}
	for code, want := range map[string]string{
		"CR001": "rejected trigger_refused", "55P03": "rejected trigger_refused", "42501": "rejected trigger_refused", "57014": "rejected trigger_refused",
		"23505": "rejected unique_violation", "40001": "transient serialization",
	} {
		err := classify("try", &pgconn.PgError{Code: code, Message: "secret", ColumnName: "secret", Routine: "exec_stmt_raise"})
		if got := syncline.ClassOf(err).String() + " " + syncline.CodeOf(err); got != want || strings.Contains(fmt.Sprintf("%+v", err), "secret") {
			t.Errorf("classify(%s of a trigger) = %s, %v, want %s without its words", code, got, err, want)
		}
	}
	if err := classify("try", context.Canceled); syncline.CodeOf(err) != "canceled" || !errors.Is(err, context.Canceled) {
		t.Errorf("classify(canceled) = %v", err)
	}
}
