package syncline

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Key is the identity of one record in canonical text: its parts percent-encoded and joined by commas ("42,7"). It is
// what users write in `crm/line/42,7`, and it is the same for equal values of different kinds (7 and 7.0).
type Key string

const hexDigits = "0123456789ABCDEF"

// MakeKey returns the key of these values. A null part is written as %N, which no text can be.
func MakeKey(parts ...Value) Key {
	buf := make([]byte, 0, 32)
	for i, v := range parts {
		if i > 0 {
			buf = append(buf, ',')
		}
		buf = appendKeyPart(buf, v)
	}
	return Key(buf)
}

func appendKeyPart(dst []byte, v Value) []byte {
	switch v.kind {
	case KindNull, KindUnset:
		return append(dst, "%N"...)
	case KindInt, KindUint:
		return append(dst, v.Bytes()...)
	case KindFloat, KindDecimal:
		return appendPlainNumber(dst, v.Bytes())
	case KindTime, KindTimestamp, KindTimestampTZ:
		return appendEscaped(dst, appendTrimmedFraction(nil, v.Bytes()))
	case KindJSON:
		return appendEscaped(dst, appendJSON(nil, v.Bytes()))
	}
	return appendEscaped(dst, v.Bytes())
}

// appendPlainNumber writes an integral amount without its fraction, so that a key of 7 is 7 whatever the kind.
func appendPlainNumber(dst, s []byte) []byte {
	if i := strings.IndexByte(string(s), '.'); i >= 0 && !strings.ContainsAny(string(s), "eE") {
		end := len(s)
		for end > i+1 && s[end-1] == '0' {
			end--
		}
		if end == i+1 {
			end = i
		}
		s = s[:end]
	}
	return appendEscaped(dst, s)
}

// appendEscaped keeps letters, digits, `-_.~:@ ` and everything beyond ASCII that is valid UTF-8, and percent-encodes the rest.
func appendEscaped(dst, s []byte) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if plainKeyByte(c) {
				dst = append(dst, c)
			} else {
				dst = append(dst, '%', hexDigits[c>>4], hexDigits[c&15])
			}
			i++
			continue
		}
		r, n := utf8.DecodeRune(s[i:])
		if r == utf8.RuneError && n == 1 {
			dst = append(dst, '%', hexDigits[c>>4], hexDigits[c&15])
		} else {
			dst = append(dst, s[i:i+n]...)
		}
		i += n
	}
	return dst
}

func plainKeyByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_.~:@ ", c) >= 0
}

// Parts returns the decoded text of each part. A null part is returned as "\x00".
func (k Key) Parts() ([]string, error) {
	if k == "" {
		return nil, nil
	}
	raw := strings.Split(string(k), ",")
	for i, p := range raw {
		if !strings.Contains(p, "%") {
			continue
		}
		if p == "%N" {
			raw[i] = "\x00"
			continue
		}
		var b strings.Builder
		for j := 0; j < len(p); j++ {
			if p[j] != '%' {
				b.WriteByte(p[j])
				continue
			}
			hi, lo := -1, -1
			if j+2 < len(p) {
				hi, lo = unhex(p[j+1]), unhex(p[j+2])
			}
			if hi < 0 || lo < 0 {
				return nil, fmt.Errorf("key part %d: a percent sign without two hexadecimal digits", i+1)
			}
			b.WriteByte(byte(hi<<4 | lo))
			j += 2
		}
		raw[i] = b.String()
	}
	return raw, nil
}

// CheckKeys refuses keys that no record of the entity can have, because its key has another number of parts.
func CheckKeys(entity string, keys []Key, parts int) error {
	for i, k := range keys {
		list, err := k.Parts()
		n := max(len(list), 1) // the empty key is one empty text
		switch {
		case parts == 0:
			return Errorf(Rejected, "bad_key", "records of %s have no key", entity).WithFix("read all of them again")
		case err != nil:
			return Errorf(Rejected, "bad_key", "key %d of %d for %s: %w", i+1, len(keys), entity, err).WithFix("write a percent sign as %%25")
		case n != parts:
			return Errorf(Rejected, "bad_key", "key %d of %d has %d parts, those of %s have %d", i+1, len(keys), n, entity, parts).
				WithFix("join the parts of one key by commas, and write a comma inside a part as %%2C")
		}
	}
	return nil
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}

// Hash spreads keys evenly over 32 bits (FNV-1a). It is stored in the log: it never changes.
func (k Key) Hash() uint32 {
	h := uint32(2166136261)
	for i := 0; i < len(k); i++ {
		h = (h ^ uint32(k[i])) * 16777619
	}
	return h
}
