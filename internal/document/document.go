// Package document is the JSON form of a row: what caches, key-value stores, search engines and webhooks receive.
//
// A row is one object with its columns in the schema's order; columns that were not sent are left out.
//
//	bool                     true, false
//	int, uint                a number, exact whatever its size
//	float, decimal           a number in the source's own digits; "NaN", "Infinity", "-Infinity"
//	text, uuid, raw          a string
//	bytes                    a string, base64 (RFC 4648, section 4)
//	date, time               a string in the form of the kind
//	timestamp                "2006-01-02T15:04:05.999999"
//	timestamptz              "2006-01-02T15:04:05.999999Z" (RFC 3339)
//	json                     embedded as the source wrote it
//	array                    an array, nested for each dimension, null for NULL
//
// Infinite dates and years that RFC 3339 does not have keep the text of their kind, and an array that JSON cannot hold
// exactly (bounds that do not begin at 1) is a string with the source's literal.
//
// Parse is the inverse: what it returns is syncline.Equal to what was written, with two exceptions that JSON cannot express.
// A json column's own null reads as null, and a value whose kind is not its column's reads as the kind that JSON shows.
package document

import (
	"encoding/base64"
	"encoding/json"
	"unicode/utf8"

	"syncline"
)

// Append appends the row as a JSON object.
func Append(dst []byte, row syncline.Row) []byte {
	dst = append(dst, '{')
	first := true
	for i := range row.Values {
		v := row.Values[i]
		if v.IsUnset() {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		c := &row.Schema.Columns[i]
		dst = AppendString(dst, c.Name)
		dst = append(dst, ':')
		dst = AppendValue(dst, c, v)
	}
	return append(dst, '}')
}

// AppendValue appends a value of the column as JSON. Unset has no JSON form of its own: it is null here.
func AppendValue(dst []byte, c *syncline.Column, v syncline.Value) []byte {
	b := v.Bytes()
	switch v.Kind() {
	case syncline.KindNull, syncline.KindUnset:
		return append(dst, "null"...)
	case syncline.KindBool:
		if len(b) > 0 && b[0] == 't' {
			return append(dst, "true"...)
		}
		return append(dst, "false"...)
	case syncline.KindInt, syncline.KindUint, syncline.KindFloat, syncline.KindDecimal:
		if isNumber(b) {
			return append(dst, b...)
		}
	case syncline.KindBytes:
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, b)
		return append(dst, '"')
	case syncline.KindTimestamp, syncline.KindTimestampTZ:
		return appendTimestamp(dst, b)
	case syncline.KindJSON:
		if json.Valid(b) {
			return append(dst, b...)
		}
	case syncline.KindArray:
		return appendArray(dst, b, c.Elem)
	}
	return appendQuoted(dst, b)
}

// AppendString appends s as a JSON string. Bytes that are not UTF-8 become U+FFFD.
func AppendString(dst []byte, s string) []byte { return appendQuoted(dst, s) }

const hexDigits = "0123456789abcdef"

func appendQuoted[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			// At most one rune is converted, never the rest of the text.
			r, n := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
			if r == utf8.RuneError && n == 1 {
				dst = append(dst, s[start:i]...)
				dst = append(dst, "\uFFFD"...)
				start = i + 1
			}
			i += n
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// isNumber reports whether b is a number by the grammar of RFC 8259.
func isNumber(b []byte) bool {
	if len(b) > 0 && b[0] == '-' {
		b = b[1:]
	}
	n := digits(b)
	if n == 0 || n > 1 && b[0] == '0' {
		return false
	}
	b = b[n:]
	if len(b) > 0 && b[0] == '.' {
		if n = digits(b[1:]); n == 0 {
			return false
		}
		b = b[1+n:]
	}
	if len(b) > 0 && (b[0] == 'e' || b[0] == 'E') {
		b = b[1:]
		if len(b) > 0 && (b[0] == '+' || b[0] == '-') {
			b = b[1:]
		}
		if n = digits(b); n == 0 {
			return false
		}
		b = b[n:]
	}
	return len(b) == 0
}

func digits(b []byte) int {
	n := 0
	for n < len(b) && b[n] >= '0' && b[n] <= '9' {
		n++
	}
	return n
}
