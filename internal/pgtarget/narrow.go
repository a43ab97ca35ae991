package pgtarget

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"syncline"
)

// A table that was there before may have less room for a value than its source has. Much of what does not fit the server refuses; what it rounds or
// cuts without a word is refused here, so that a target never holds another value than it was sent. Who wants it rounded says so in a rule's
// transform, and has what verify compares rounded, too.

// narrowing is what the server does without a word to values that a column has no room for.
type narrowing struct {
	// what it does, "" for what is too rare to be told before it happens.
	what string
	// holds reports whether the column holds the value, given as its text, or the server refuses it by itself; nil = a value is only told otherwise.
	holds func(text []byte) bool
}

// narrows says what becomes of values of c in a column of the table.
func (o *Options) narrows(c *syncline.Column, tc *tableColumn) narrowing {
	elem, isArray := strings.CutSuffix(tc.holds, "[]")
	switch {
	case tc.money == nil:
	case isArray:
		return narrowing{holds: func(text []byte) bool { return tc.money.eachMoney(string(text)) }}
	default:
		return narrowing{holds: func(text []byte) bool { return tc.money.holds(string(text)) }}
	}
	if isArray != (c.Kind == syncline.KindArray) || o.PostgresSource && c.Type == tc.typ {
		return narrowing{}
	}
	to, from, kind := parseType(elem), modified{}, c.Kind
	if o.PostgresSource {
		from = parseType(strings.TrimSuffix(c.Type, "[]"))
	}
	if isArray {
		kind = c.Elem
	}
	n := narrowed(kind, from, to)
	if isArray && n.holds != nil {
		n.holds = eachElement(n.holds)
	}
	return n
}

func narrowed(kind syncline.Kind, from, to modified) narrowing {
	same := from.base == to.base
	roomy := same && roomier(from, to) // each of its values has room
	isText := kind == syncline.KindText
	switch to.base {
	case "numeric":
		switch {
		case len(to.mods) != 2, same && len(from.mods) == 2 && from.mods[1] <= to.mods[1], !kind.Number() && !isText:
			return narrowing{}
		}
		n := narrowing{holds: func(text []byte) bool { return scaleOf(text) <= to.mods[1] }}
		if kind == syncline.KindFloat || kind == syncline.KindDecimal || to.mods[1] < 0 {
			n.what = fmt.Sprintf("the server rounds to %d digits behind the point", to.mods[1])
		}
		return n
	case "real":
		if kind.Number() && !same && from.base != "smallint" {
			return narrowing{"the server rounds to 6 digits", isFloat(kind, 32)}
		}
		if isText {
			return narrowing{holds: isFloat(syncline.KindDecimal, 32)}
		}
	case "double precision":
		if (kind == syncline.KindDecimal || kind == syncline.KindUint || kind == syncline.KindInt) && from.base != "smallint" && from.base != "integer" {
			return narrowing{"the server rounds to 15 digits", isFloat(kind, 64)}
		}
		if isText {
			return narrowing{holds: isFloat(syncline.KindDecimal, 64)}
		}
	case "date":
		if kind == syncline.KindTimestamp || kind == syncline.KindTimestampTZ {
			return narrowing{"the server cuts the time of day off", isMidnight}
		}
		if isText {
			return narrowing{holds: isMidnight}
		}
	case "time without time zone":
		switch {
		case from.base == "time with time zone":
			return narrowing{"the server cuts the zone off", func([]byte) bool { return false }}
		case kind == syncline.KindTimestamp || kind == syncline.KindTimestampTZ:
			return narrowing{"the server cuts the day off", func([]byte) bool { return false }}
		}
		return fraction(kind, to, roomy)
	case "timestamp without time zone":
		n := fraction(kind, to, roomy)
		if kind == syncline.KindTimestampTZ && n.holds == nil {
			n.what = "times are written in UTC"
		}
		return n
	case "timestamp with time zone", "time with time zone", "interval":
		return fraction(kind, to, roomy)
	case "character varying":
		if len(to.mods) == 1 && !roomy { // of blanks that are too many nothing is said
			return narrowing{holds: func(text []byte) bool {
				return utf8.RuneCount(text) <= to.mods[0] || utf8.RuneCount(bytes.TrimRight(text, " ")) > to.mods[0]
			}}
		}
	case "name":
		if !same {
			return narrowing{holds: func(text []byte) bool { return len(text) <= maxIdentifier }}
		}
	case `"char"`:
		if !same {
			return narrowing{holds: func(text []byte) bool { return len(text) <= 1 }}
		}
	}
	return narrowing{}
}

// unpads is for a key in a column of type character, to which blanks at the end are none: two keys would be one. What fills such a column up is how
// sources that have the type write it.
func (o *Options) unpads(c *syncline.Column, typ string) func(text []byte) bool {
	to, from := parseType(typ), modified{}
	if o.PostgresSource {
		from = parseType(c.Type)
	}
	asItIs := slices.Contains([]string{"text", "character varying", "name", "citext"}, from.base) // such a source fills nothing up
	if c.Kind != syncline.KindText || to.base != "character" && to.base != "bpchar" || from.base == "character" || from.base == "bpchar" {
		return nil
	}
	return func(text []byte) bool {
		return !bytes.HasSuffix(text, []byte(" ")) || !asItIs && len(to.mods) == 1 && utf8.RuneCount(text) == to.mods[0]
	}
}

// fraction is for times with fewer digits behind the second than their source has.
func fraction(kind syncline.Kind, to modified, roomy bool) narrowing {
	if len(to.mods) != 1 || to.mods[0] >= 6 || roomy || kind == syncline.KindDate || kind.Number() {
		return narrowing{}
	}
	return narrowing{fmt.Sprintf("the server rounds to %d digits of a second", to.mods[0]), func(text []byte) bool {
		_, after, _ := bytes.Cut(text, []byte("."))
		digits := 0
		for i, c := range after {
			if c < '0' || c > '9' {
				break
			}
			if c != '0' {
				digits = i + 1
			}
		}
		return digits <= to.mods[0]
	}}
}

// eachElement looks at the elements of an array's text. Numbers, times and intervals have none of the characters that stand between them; texts are
// looked at in pieces, which are never longer than the whole.
func eachElement(holds func([]byte) bool) func([]byte) bool {
	return func(text []byte) bool {
		_, text, ok := bytes.Cut(text, []byte("{")) // what stands before it are bounds
		for ok && len(text) > 0 {
			var element []byte
			at := bytes.IndexAny(text, `{},"`)
			if at < 0 {
				break
			}
			element, text = text[:at], text[at+1:]
			if len(element) > 0 && string(element) != "NULL" && !holds(element) {
				return false
			}
		}
		return true
	}
}

// scaleOf is how many digits behind the point a number has that are not zero, fewer than none where it ends in zeros before it. What is no number
// has none that count.
func scaleOf(text []byte) int {
	mantissa, exponent, scientific := bytes.Cut(bytes.ToLower(bytes.TrimSpace(text)), []byte("e"))
	whole, fraction, _ := bytes.Cut(bytes.TrimLeft(mantissa, "+-"), []byte("."))
	digits := string(whole) + string(fraction)
	if strings.Trim(digits, "0") == "" || strings.Trim(digits, "0123456789") != "" {
		return math.MinInt
	}
	scale := len(fraction) - (len(digits) - len(strings.TrimRight(digits, "0")))
	if scientific {
		e, err := strconv.Atoi(string(exponent))
		if err != nil {
			return math.MinInt // the server refuses it
		}
		scale -= e
	}
	return scale
}

// isFloat reports whether a number is one of so many bits, or the server refuses it.
func isFloat(kind syncline.Kind, bits int) func([]byte) bool {
	return func(text []byte) bool {
		f, err := strconv.ParseFloat(string(text), bits)
		return err != nil || math.IsNaN(f) || math.IsInf(f, 0) || scaleOf(text) == math.MinInt && f == 0 ||
			syncline.Equal(syncline.Raw(syncline.KindFloat, strconv.AppendFloat(nil, f, 'g', -1, bits)), syncline.Raw(kind, text))
	}
}

// isMidnight reports whether a time is a day, in UTC, or is none at all.
func isMidnight(text []byte) bool {
	at := bytes.IndexByte(text, ':')
	if at < 2 {
		return true
	}
	clock := text[at-2:]
	for _, zone := range []string{"+00:00", "+00", "Z", " BC"} {
		clock = bytes.TrimSuffix(clock, []byte(zone))
	}
	return len(bytes.Trim(clock, "0:.")) == 0
}
