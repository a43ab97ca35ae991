package sqlite

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"syncline"
)

// FuzzRead reads any text under any declared type. What is read must be of the form that its kind promises, and reading
// that form again must give the same.
func FuzzRead(f *testing.F) {
	for _, s := range []string{"2024-02-29", "2024-01-02T03:04:05.123456Z", "2024-01-02 03:04:05-0130", "23:59:59.9", "12.50", "-0", "true",
		"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc999c0b4ef8bb6d6bb9bd380a11", `{"a":1}`, "a\x00\xff", "", "Infinity", "0001-01-01 00:00:00+15:00", "infinity", "0044-03-15 BC", "12026-01-01", "24:00:00", "now"} {
		f.Add(s)
	}
	types := []string{"", "INTEGER", "TEXT", "BLOB", "REAL", "DECIMAL(10,2)", "BOOLEAN", "DATE", "TIME", "TIMESTAMP", "TIMESTAMPTZ", "UUID", "JSON"}
	f.Fuzz(func(t *testing.T, s string) {
		for _, decl := range types {
			typ := declared(decl)
			v := typ.read(s)
			again := colType{kind: v.Kind(), scale: -1}.read(string(v.Bytes()))
			if again.Kind() != v.Kind() && v.Kind() != syncline.KindBytes || string(again.Bytes()) != string(v.Bytes()) {
				t.Errorf("%q as %s = %v, read again = %v", s, decl, v, again)
			}
			switch v.Kind() {
			case syncline.KindText:
				if !utf8.Valid(v.Bytes()) || string(v.Bytes()) != s {
					t.Errorf("%q as %s = %v", s, decl, v)
				}
			case syncline.KindDate, syncline.KindTime, syncline.KindTimestamp, syncline.KindTimestampTZ, syncline.KindUUID:
				if !syncline.WellFormed(v.Kind(), v.Bytes()) {
					t.Errorf("%q as %s = %v, which has no such form", s, decl, v)
				}
			case syncline.KindJSON:
				if !json.Valid(v.Bytes()) {
					t.Errorf("%q as %s = %v", s, decl, v)
				}
			}
		}
	})
}

// FuzzParseName: a name that was quoted is read as it was.
func FuzzParseName(f *testing.F) {
	for _, s := range []string{"lead", "main.lead", `"Order ""lines"""`, `main."x"`, `"a`, `a."b"c`, ".", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, err := parseName(s)
		if err != nil {
			return
		}
		if again, err := parseName(quote(name)); err != nil || again != name {
			t.Errorf("parseName(%q) = %q, quoted = %q, %v", s, name, again, err)
		}
	})
}

// FuzzStored: the text of a stored value, which checkpoints have, gives it back.
func FuzzStored(f *testing.F) {
	f.Add(int64(-1), 0.1, "text\xff", []byte{0, 1}, "q9")
	f.Fuzz(func(t *testing.T, i int64, r float64, s string, b []byte, any string) {
		if got := decodeStored(encodeStored(i)); got != i {
			t.Errorf("%d = %v", i, got)
		}
		if got, _ := decodeStored(encodeStored(r)).(float64); math.Float64bits(got) != math.Float64bits(r) {
			t.Errorf("%v = %v", r, got)
		}
		if got := decodeStored(encodeStored(s)); got != s {
			t.Errorf("%q = %q", s, got)
		}
		if got, _ := decodeStored(encodeStored(b)).([]byte); string(got) != string(b) {
			t.Errorf("%x = %x", b, got)
		}
		decodeStored(any)
	})
}

// FuzzColumn: whatever a column is given it gives back, as it was or by its text.
func FuzzColumn(f *testing.F) {
	for _, s := range []string{"", "7", "-0", "1e400", "0.30000000000000004", "NaN", "Infinity", "true", "now", "24:00:00", "0044-03-15 BC", `{"a":1}`, "null", "a\x00b", "\xff"} {
		f.Add(byte(syncline.KindText), byte(syncline.KindDate), s)
		f.Add(byte(syncline.KindDecimal), byte(syncline.KindDecimal), s)
	}
	f.Fuzz(func(t *testing.T, kind, column byte, s string) {
		k, ck := syncline.Kind(kind), syncline.Kind(column)
		if !k.Valid() || !ck.Valid() || k == syncline.KindUnset || ck == syncline.KindUnset || k == syncline.KindNull {
			return
		}
		c := bound{typ: colType{kind: ck, scale: -1}}
		v := syncline.Raw(k, []byte(s))
		back := c.read(c.store(v))
		switch k {
		case syncline.KindText, syncline.KindBytes:
			if k == ck && utf8.ValidString(s) && !syncline.Equal(v, back) {
				t.Fatalf("%s in a column of %s = %s", v, ck, back)
			}
		}
	})
}

// FuzzConstant: a default of another database is understood as a value that the column may have, or not at all.
func FuzzConstant(f *testing.F) {
	for _, s := range []string{"", "7", "'a'", "'it''s'::text", "'t'::boolean", "TRUE", "-1.50", "1e999", "now()", "'", "x'00'", "'2024-01-01'::date"} {
		f.Add(byte(syncline.KindText), "TEXT", s)
		f.Add(byte(syncline.KindDecimal), "DECIMAL(10,2)", s)
	}
	f.Fuzz(func(t *testing.T, kind byte, typ, def string) {
		if k := syncline.Kind(kind); k.Valid() {
			sql := defaultOf(&syncline.Column{Name: "c", Kind: k, Type: typ, Default: def})
			if text, rest, ok := cutText(sql); strings.HasPrefix(sql, "'") && (!ok || rest != "" || strings.ContainsRune(text, 0)) {
				t.Fatalf("the default %q of %s %q is %q, which is no literal", def, k, typ, sql)
			}
		}
	})
}
