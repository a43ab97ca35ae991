package pgtarget

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"syncline"
	"syncline/internal/testserver"
)

// formsOfTypes are values of each type, in forms that a server writes and in others. Whether a form is plain enough is for the encoder to say.
var formsOfTypes = map[string][]string{
	"smallint":          {"0", "1", "-1", "32767", "-32768", "32768", "+1", " 1", "1.0", "", "-", "--1"},
	"integer":           {"0", "-0", "7", "2147483647", "-2147483648", "2147483648", "0007", "1e3"},
	"bigint":            {"0", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "1500000000000000000", "99999999999999999999"},
	"boolean":           {"t", "f", "true", "false", "1", "yes", "TRUE"},
	"numeric":           {"0", "-0", "0.00", "1", "-1", "10000", "9999", "99990000", "0.0001", "0.00001", "123456789.987654321", "-1.50", "1.", ".5", "1e3", "NaN", "1 ", "00012.3400", "100000000", "0.1000", strings.Repeat("9", 60) + "." + strings.Repeat("8", 50)},
	"numeric(12,2)":     {"0", "1.005", "-1.995", "9999999999.99", "99999999999", "0.004"},
	"real":              {"0", "-0", "1.5", "3.4028235e+38", "1e39", "1e-46", "NaN", "Infinity", "-Infinity", "inf", "1e-45", "0.1"},
	"double precision":  {"0", "-0", "0.1", "1e308", "1e309", "4.9e-324", "1e-400", "NaN", "Infinity", "123456789.123456789", "0x1p3", "1_0"},
	"text":              {"", "a", `\N`, `\`, "a\tb\nc\rd\\e", "é😀", "'; DROP TABLE x; --"},
	"character varying": {"", "abc "},
	"varchar(3)":        {"abc", "abcd", "abc   ", "äöü"},
	"character(4)":      {"a", "abcd", "abcde", "a   "},
	"json":              {`{}`, `{"a": 1, "a": 2}`, `null`, `"\u0000"`, `{`},
	"jsonb":             {`{"b":1,"a":[1,2.50,null]}`, `1e400`, `"x"`, `{`},
	"uuid":              {"00000000-0000-0000-0000-000000000000", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc999c0b4ef8bb6d6bb9bd380a11", "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}", "g0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
	"date":              {"2000-01-01", "1999-12-31", "0001-01-01", "9999-12-31", "2024-02-29", "2023-02-29", "1900-02-29", "1582-10-10", "infinity", "-infinity", "0044-03-15 BC", "10000-01-01", "2024-13-01", "epoch"},
	"time":              {"00:00:00", "23:59:59.999999", "24:00:00", "12:34", "12:34:56.1234567", "12:34:60", "12:34:56."},
	"time(0)":           {"23:59:59.5", "12:34:56.4"},
	"timestamp":         {"2000-01-01 00:00:00", "1969-12-31 23:59:59.999999", "0001-01-01 00:00:00", "9999-12-31 23:59:59.999999", "infinity", "-infinity", "2024-06-01T12:00:00", "2024-06-01 12:00:00+02", "2024-06-01 12:00:00.1234565", "0044-03-15 00:00:00 BC"},
	"timestamp(3)":      {"2024-06-01 12:00:00.1235", "2024-06-01 12:00:00.9995"},
	"timestamptz":       {"2000-01-01 00:00:00+00", "2024-06-01 12:00:00.5+05:30", "2024-06-01 12:00:00-08", "2024-06-01T12:00:00Z", "infinity", "-infinity", "2024-06-01 12:00:00", "2024-06-01 12:00:00+00:00:01", "0001-01-01 00:00:00+00", "2024-06-01 12:00:00 Europe/Berlin"},
}

// copier copies one value as text and in binary, each into a table of its own.
type copier struct {
	c *pgx.Conn
}

func (c copier) copy(tb testing.TB, data []byte, format string) (got, refused string) {
	tb.Helper()
	if _, err := c.c.Exec(tb.Context(), "TRUNCATE one"); err != nil {
		tb.Fatal(err)
	}
	if _, err := c.c.PgConn().CopyFrom(tb.Context(), bytes.NewReader(data), "COPY one FROM STDIN"+format); err != nil {
		return "", "refused"
	}
	if err := c.c.QueryRow(tb.Context(), "SELECT coalesce(v::text, '<null>') FROM one").Scan(&got); err != nil {
		tb.Fatal(err)
	}
	var stored bytes.Buffer
	if _, err := c.c.PgConn().CopyTo(tb.Context(), &stored, "COPY one TO STDOUT (FORMAT binary)"); err != nil {
		tb.Fatal(err)
	}
	return fmt.Sprintf("%s, stored as %x", got, stored.Bytes()[len(binaryHeader):]), ""
}

// compare returns whether the value has a binary form; where it has one, it must arrive as its text does.
func (c copier) compare(tb testing.TB, col boundColumn, typ string, v syncline.Value) bool {
	tb.Helper()
	row := append(append([]byte{}, binaryHeader...), 0, 1)
	row, ok := encoders[col.cast](row, v)
	if !ok {
		return false
	}
	got, refused := c.copy(tb, append(row, binaryTrailer...), " (FORMAT binary)")
	want, wantRefused := c.copy(tb, append(col.appendCopy(nil, v), '\n'), "")
	if got != want || refused != wantRefused {
		tb.Errorf("%s %q: %q %s in binary, %q %s as text", typ, v.Bytes(), got, refused, want, wantRefused)
	}
	return true
}

// A value that is copied in binary arrives as it does as text, or is refused as it is there.
func TestBinaryIsTheText(t *testing.T) {
	c := copier{connection(t, testserver.NewPostgres(t).Database(t))}
	for typ, values := range formsOfTypes {
		execute(t, c.c, "CREATE TABLE one (v "+typ+")")
		var base string
		if err := c.c.QueryRow(t.Context(), "SELECT format_type(atttypid, -1) FROM pg_attribute WHERE attrelid = 'one'::regclass AND attname = 'v'").Scan(&base); err != nil {
			t.Fatal(err)
		}
		col := boundColumn{cast: base}
		if encoders[base] == nil {
			t.Fatalf("%s (%s) is not encoded", typ, base)
		}
		plain := 0
		for _, text := range values {
			if c.compare(t, col, typ, syncline.Text(text)) {
				plain++
			}
			c.compare(t, col, typ, syncline.Bytes([]byte(text)))
		}
		if c.compare(t, col, typ, syncline.Bytes([]byte{0, 'a', 0xff})); plain < 2 {
			t.Errorf("%s: only %d values are plain", typ, plain)
		}
		execute(t, c.c, "DROP TABLE one")
	}
}

// The same for random numbers and moments, many to a copy.
func TestBinaryOfRandomValues(t *testing.T) {
	c := connection(t, testserver.NewPostgres(t).Database(t))
	execute(t, c, "CREATE TABLE texts (i bigint, n numeric, f float8, r real, at timestamptz, d date)", "CREATE TABLE binaries (LIKE texts)")
	number := rapid.StringMatching(`-?[0-9]{1,12}(\.[0-9]{1,12})?`)
	moment := rapid.Custom(func(t *rapid.T) string {
		return fmt.Sprintf("%04d-%02d-%02d %02d:%02d:%02d.%06d+%02d", rapid.IntRange(1, 9999).Draw(t, "year"), rapid.IntRange(1, 12).Draw(t, "month"), rapid.IntRange(1, 28).Draw(t, "day"),
			rapid.IntRange(0, 23).Draw(t, "hour"), rapid.IntRange(0, 59).Draw(t, "minute"), rapid.IntRange(0, 59).Draw(t, "second"), rapid.IntRange(0, 999999).Draw(t, "micros"), rapid.IntRange(0, 14).Draw(t, "zone"))
	})
	used := []encoder{encoders["bigint"], encoders["numeric"], encoders["double precision"], encoders["real"], encoders["timestamp with time zone"], encoders["date"]}
	rapid.Check(t, func(rt *rapid.T) {
		text, bin := []byte{}, append([]byte{}, binaryHeader...)
		for range 50 {
			at := moment.Draw(rt, "at")
			row := []string{fmt.Sprint(rapid.Int64().Draw(rt, "i")), number.Draw(rt, "n"), number.Draw(rt, "f"), number.Draw(rt, "r"), at, at[:10]}
			bin = binary.BigEndian.AppendUint16(bin, uint16(len(row)))
			for i, v := range row {
				text = append(append(text, v...), "\t\n"[i/(len(row)-1)])
				var ok bool
				if bin, ok = used[i](bin, syncline.Text(v)); !ok {
					rt.Fatalf("column %d: %s has no binary form", i, v)
				}
			}
		}
		execute(t, c, "TRUNCATE texts, binaries")
		if _, err := c.PgConn().CopyFrom(t.Context(), bytes.NewReader(text), "COPY texts FROM STDIN"); err != nil {
			rt.Fatal(err)
		}
		if _, err := c.PgConn().CopyFrom(t.Context(), bytes.NewReader(append(bin, binaryTrailer...)), "COPY binaries FROM STDIN (FORMAT binary)"); err != nil {
			rt.Fatal(err)
		}
		var differing string
		err := c.QueryRow(t.Context(), "SELECT coalesce(min(x::text), '') FROM ((SELECT * FROM texts EXCEPT ALL SELECT * FROM binaries) UNION ALL (SELECT * FROM binaries EXCEPT ALL SELECT * FROM texts)) x").Scan(&differing)
		if err != nil || differing != "" {
			rt.Fatalf("differs: %s, %v", differing, err)
		}
	})
}

// TestATableThatIsAlteredMeanwhile: a value is what it was, however its column's type has become another one since the table was looked at.
func TestATableThatIsAlteredMeanwhile(t *testing.T) {
	for _, test := range []struct{ from, to string }{
		{"bigint", "numeric"}, {"bigint", "double precision"}, {"integer", "bigint"}, {"integer", "text"}, {"numeric", "bigint"},
	} {
		for _, way := range []string{"new records", "known records", "without a key"} {
			t.Run(test.from+" to "+test.to+", "+way, func(t *testing.T) {
				r := newRig(t, Options{}, "CREATE TABLE a (id int PRIMARY KEY, v "+test.from+", w int)")
				s := cols(1, "id", "v", "w")
				if way == "without a key" {
					s.Key = nil
				}
				batch := func(first, n int) (changes []syncline.Change) {
					for i := range n {
						c := put("a", s, fmt.Sprint(first+i), "42", "1")
						c.Fresh = way == "new records"
						if s.Key == nil {
							c.Op = syncline.ChangeInsert
						}
						changes = append(changes, c)
					}
					return changes
				}
				r.must(false, batch(1, 1)...)
				execute(t, r.c, "ALTER TABLE a ALTER v TYPE "+test.to)
				r.must(false, batch(2, defaultCopyMin)...)
				r.must(false, batch(defaultCopyMin+2, defaultCopyMin)...)
				r.rows("SELECT count(*), count(DISTINCT v::text) FROM a", fmt.Sprintf("(%d,1)", 2*defaultCopyMin+1))
			})
		}
	}
}
