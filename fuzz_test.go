package syncline

import (
	"bytes"
	"testing"
	"unicode/utf8"
)

// FuzzKey: a key tells its parts again, and different texts have different keys.
func FuzzKey(f *testing.F) {
	for _, s := range []string{"", "42", "a,b", "50%", "%2C", "%N", "\x00", "é\u0301", "a\xff", "42,7"} {
		f.Add(s, "7", s)
	}
	f.Fuzz(func(t *testing.T, a, b, any string) {
		k := MakeKey(Text(a), Text(b))
		parts, err := k.Parts()
		if err != nil || len(parts) != 2 || parts[0] != a || parts[1] != b {
			t.Fatalf("MakeKey(%q, %q) = %q, whose parts are %q, %v", a, b, k, parts, err)
		}
		if (MakeKey(Text(a)) == MakeKey(Text(b))) != (a == b) {
			t.Fatalf("%q and %q are one key", a, b)
		}
		if !utf8.ValidString(string(k)) {
			t.Fatalf("MakeKey(%q, %q) is not UTF-8", a, b)
		}
		if parts, err := Key(any).Parts(); err == nil && len(parts) > len(any)+1 {
			t.Fatalf("Key(%q) has %d parts", any, len(parts))
		}
	})
}

// FuzzEqual: values are equal exactly if their canonical forms are, whatever their bytes.
func FuzzEqual(f *testing.F) {
	for _, s := range []string{"", "-0", "1.50", "1e400", "1e-9223372036854775808", "NaN", "12:00:00.500", `{"a":1,"a":2}`, `"\ud800"`, `"\ufffd"`, `[[1.0],null]`, "\xff"} {
		f.Add(byte(KindDecimal), byte(KindJSON), s, s)
		f.Add(byte(KindInt), byte(KindFloat), s, "7")
	}
	f.Fuzz(func(t *testing.T, ka, kb byte, x, y string) {
		if !Kind(ka).Valid() || !Kind(kb).Valid() {
			return
		}
		a, b := Raw(Kind(ka), []byte(x)), Raw(Kind(kb), []byte(y))
		if !Equal(a, a) || Equal(a, b) != Equal(b, a) {
			t.Fatalf("Equal(%s, %s) depends on the order, or is not true of one value", a, b)
		}
		ca, cb := AppendCanonical(nil, a), AppendCanonical(nil, b)
		if Equal(a, b) != bytes.Equal(ca, cb) {
			t.Fatalf("Equal(%s, %s) = %v, canonical forms %q, %q", a, b, Equal(a, b), ca, cb)
		}
		if len(ca) > 8*len(x)+64 {
			t.Fatalf("the canonical form of %d bytes has %d", len(x), len(ca))
		}
	})
}

// FuzzWellFormed: what Go reads as a time has a form that is known, and the other way about.
func FuzzWellFormed(f *testing.F) {
	for _, s := range []string{"2024-02-29", "0044-03-15 BC", "infinity", "24:00:00", "2024-02-29 23:59:59.5+00", "1900-02-29", "2024-02-29 23:59:60", "now"} {
		f.Add(byte(KindDate), s)
		f.Add(byte(KindTimestampTZ), s)
	}
	f.Fuzz(func(t *testing.T, kind byte, s string) {
		k := Kind(kind)
		if k != KindDate && k != KindTimestamp && k != KindTimestampTZ {
			return
		}
		well := WellFormed(k, []byte(s))
		at, err := Raw(k, []byte(s)).AsTime()
		if well && err != nil && len(s) > 4 && s[4] == '-' && s[len(s)-1] != 'C' {
			t.Fatalf("WellFormed(%s, %q), and %v", k, s, err)
		}
		if k == KindDate && err == nil && at.Year() > 0 && !well {
			t.Fatalf("%q is the day %s, and not well formed", s, at)
		}
	})
}
