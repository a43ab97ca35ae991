package syncline

import (
	"bytes"
	"encoding/json"
	"slices"
	"sort"
	"strconv"
)

// Equal reports whether two values are the same datum. Numbers are compared by amount whatever their kind (1.50 = 1.5 =
// 3/2 as a float), times without regard to trailing zeros, JSON by content (object keys in any order, the last of a
// duplicated key). Null equals null; unset equals only unset; text never equals a number.
func Equal(a, b Value) bool {
	if a.Identical(b) {
		return true
	}
	c := class(a.kind)
	if c != class(b.kind) {
		return false
	}
	switch c {
	case 'n':
		if n := plain(a.Bytes()); n >= 0 && n == plain(b.Bytes()) {
			return bytes.Equal(a.Bytes(), b.Bytes())
		}
	case 't', 's', 'z':
		if x, y := a.Bytes(), b.Bytes(); len(x) == len(y) && bytes.IndexByte(x, '.') == bytes.IndexByte(y, '.') {
			return bytes.Equal(x, y) // their canonical forms lack as much, in the same place
		}
	case 'j':
	default:
		return bytes.Equal(a.Bytes(), b.Bytes())
	}
	var x, y [64]byte // most canonical forms fit
	return bytes.Equal(AppendCanonical(x[:0], a), AppendCanonical(y[:0], b))
}

// plain returns the number of digits behind the point of a number of which there is only one text with as many: its digits, without a leading
// zero. It returns -1 for any other text.
func plain(s []byte) int {
	if len(s) > 1 && s[0] == '-' {
		s = s[1:]
		if s[0] == '0' {
			return -1
		}
	}
	if len(s) == 0 || len(s) > 1 && s[0] == '0' && s[1] != '.' {
		return -1
	}
	point := -1
	for i, c := range s {
		switch {
		case c == '.' && point < 0 && i > 0:
			point = i
		case c < '0' || c > '9':
			return -1
		}
	}
	switch point {
	case -1:
		return 0
	case len(s) - 1: // "7." says what "7" does
		return -1
	}
	return len(s) - 1 - point
}

// AppendCanonical appends bytes that are the same for exactly the values that are Equal. They start with the value's class
// and say nothing about where they end: hash them with their length.
func AppendCanonical(dst []byte, v Value) []byte {
	dst = append(dst, class(v.kind))
	switch class(v.kind) {
	case 'n':
		return appendNumber(dst, v.Bytes())
	case 't', 's', 'z':
		return appendTrimmedFraction(dst, v.Bytes())
	case 'j':
		return appendJSON(dst, v.Bytes())
	}
	return append(dst, v.Bytes()...)
}

// class groups the kinds whose values can be equal to each other.
func class(k Kind) byte {
	switch k {
	case KindNull:
		return '0'
	case KindUnset:
		return '-'
	case KindBool:
		return 'b'
	case KindInt, KindUint, KindFloat, KindDecimal:
		return 'n'
	case KindText:
		return 'T'
	case KindBytes:
		return 'B'
	case KindDate:
		return 'd'
	case KindTime:
		return 't'
	case KindTimestamp:
		return 's'
	case KindTimestampTZ:
		return 'z'
	case KindUUID:
		return 'u'
	case KindJSON:
		return 'j'
	case KindArray:
		return 'a'
	}
	return 'r'
}

// appendNumber writes a finite number as its significant digits and a power of ten ("-15e-1"), zero as "0" whatever its
// sign and scale, and NaN and the infinities as they are. Text that is no number is copied.
func appendNumber(dst, s []byte) []byte {
	in := s
	neg := false
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		neg, s = s[0] == '-', s[1:]
	}
	exp := 0
	if i := slices.IndexFunc(s, func(c byte) bool { return c|' ' == 'e' }); i >= 0 {
		n, err := strconv.Atoi(string(s[i+1:]))
		if err != nil {
			return append(dst, in...)
		}
		exp, s = n, s[:i]
	}
	start := len(dst)
	if neg {
		dst = append(dst, '-')
	}
	digits := len(dst)
	for i, c := range s {
		switch {
		case c == '.':
			exp -= len(s) - i - 1
		case c < '0' || c > '9':
			return append(dst[:start], in...)
		case c != '0' || len(dst) > digits: // leading zeros do not count
			dst = append(dst, c)
		}
	}
	for len(dst) > digits && dst[len(dst)-1] == '0' {
		dst, exp = dst[:len(dst)-1], exp+1
	}
	if len(dst) == digits {
		return append(dst[:start], '0')
	}
	dst = append(dst, 'e')
	return strconv.AppendInt(dst, int64(exp), 10)
}

// appendTrimmedFraction drops the trailing zeros of the seconds' fraction: "12:00:00.500+00" and "12:00:00.5+00" are one time.
func appendTrimmedFraction(dst, s []byte) []byte {
	dot := bytes.IndexByte(s, '.')
	if dot < 0 {
		return append(dst, s...)
	}
	end := dot + 1
	for end < len(s) && s[end] >= '0' && s[end] <= '9' {
		end++
	}
	cut := end
	for cut > dot+1 && s[cut-1] == '0' {
		cut--
	}
	if cut == dot+1 {
		cut = dot
	}
	dst = append(dst, s[:cut]...)
	return append(dst, s[end:]...)
}

func appendJSON(dst, s []byte) []byte {
	if halved(s) { // half a character is no text: it is equal to nothing but itself
		return append(dst, s...)
	}
	dec := json.NewDecoder(bytes.NewReader(s))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil || dec.More() {
		return append(dst, s...)
	}
	return appendJSONValue(dst, v)
}

// halved reports whether a string of the JSON text escapes half of a surrogate pair.
func halved(s []byte) bool {
	for {
		i := bytes.IndexByte(s, '\\')
		if i < 0 || i+1 >= len(s) {
			return false
		}
		high, ok := surrogate(s[i:])
		if s = s[i+2:]; !ok {
			continue
		}
		if s = s[4:]; high >= 0xDC00 {
			return true
		}
		low, ok := surrogate(s)
		if !ok || low < 0xDC00 {
			return true
		}
		s = s[6:]
	}
}

// surrogate returns what an escape at the beginning of the text stands for; ok is false where that is no half of a pair.
func surrogate(s []byte) (unit int, ok bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	for _, c := range s[2:6] {
		unit = unit<<4 | unhex(c)
	}
	return unit, unit >= 0xD800 && unit <= 0xDFFF
}

func appendJSONValue(dst []byte, v any) []byte {
	switch v := v.(type) {
	case json.Number:
		return appendNumber(dst, []byte(v))
	case string:
		return strconv.AppendQuote(dst, v)
	case []any:
		dst = append(dst, '[')
		for _, e := range v {
			dst = append(appendJSONValue(dst, e), ',')
		}
		return append(dst, ']')
	case map[string]any:
		names := make([]string, 0, len(v))
		for n := range v {
			names = append(names, n)
		}
		sort.Strings(names)
		dst = append(dst, '{')
		for _, n := range names {
			dst = append(strconv.AppendQuote(dst, n), ':')
			dst = append(appendJSONValue(dst, v[n]), ',')
		}
		return append(dst, '}')
	case bool:
		return strconv.AppendBool(dst, v)
	}
	return append(dst, "null"...)
}

// Alike reports whether two values are the same but for their kinds, which a system with types of its own changes to those of its columns: numbers by
// amount, all else by its text. Bytes are like bytes alone, and nothing is like null.
func Alike(a, b Value) bool {
	switch {
	case a.IsNull() || b.IsNull() || (a.kind == KindBytes) != (b.kind == KindBytes):
		return false
	case class(a.kind) == 'n' || class(b.kind) == 'n':
		return Equal(Raw(KindDecimal, a.Bytes()), Raw(KindDecimal, b.Bytes()))
	}
	// A time with a zone is in UTC where the column has none.
	return bytes.Equal(bytes.TrimSuffix(a.Bytes(), utc), bytes.TrimSuffix(b.Bytes(), utc))
}

var utc = []byte("+00")
