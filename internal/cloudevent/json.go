package cloudevent

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"syncline"
)

// The checks that encoding/json does not make: names that are repeated in an object, halves of surrogate pairs, depth.
// They run over text that encoding/json has found valid, so the scanner below needs no error handling for syntax.

// checkSyntax reports whether data is one JSON value in UTF-8.
func checkSyntax(data []byte, field string) *Error {
	if !utf8.Valid(data) {
		return malformed("bad_json", field, "the text is not UTF-8")
	}
	if json.Valid(data) {
		return nil
	}
	var syntax *json.SyntaxError
	if errors.As(json.Unmarshal(data, new(json.RawMessage)), &syntax) {
		return malformed("bad_json", field, "not valid JSON at byte %d", syntax.Offset)
	}
	return malformed("bad_json", field, "not valid JSON")
}

// scanner walks valid JSON once.
type scanner struct {
	data []byte
	pos  int
}

// check reports what is wrong below a valid value; depth is how many containers may be nested in it.
func check(value []byte, depth int) *Error {
	s := scanner{data: value}
	return s.check(depth)
}

func (s *scanner) check(depth int) *Error {
	s.space()
	c := s.data[s.pos]
	if c == '"' {
		_, err := unquote(s.string())
		return err
	}
	if c != '{' && c != '[' {
		s.scalar()
		return nil
	}
	if depth == 0 {
		return malformed("too_deep", "", "objects and arrays are nested too deeply")
	}
	s.pos++
	if c == '[' {
		for i := 0; s.more(']'); i++ {
			if err := s.check(depth - 1); err != nil {
				return err.under("[" + strconv.Itoa(i) + "]")
			}
		}
		return nil
	}
	var seen nameSet
	for s.more('}') {
		name, err := unquote(s.string())
		if err != nil {
			return err
		}
		if !seen.add(name) {
			return malformed("duplicate_name", pathName(name), "the name occurs twice in one object")
		}
		s.colon()
		if err := s.check(depth - 1); err != nil {
			return err.under(pathName(name))
		}
	}
	return nil
}

// member is a field of an object with the text of its value.
type member struct {
	name  string
	value []byte
}

// members splits an object that check has accepted.
func members(object []byte) []member {
	s := scanner{data: object}
	s.space()
	s.pos++
	var list []member
	for s.more('}') {
		name, _ := unquote(s.string())
		s.colon()
		list = append(list, member{name, s.skip()})
	}
	return list
}

// elements splits a valid array, and stops after max+1 of them.
func elements(array []byte, max int) [][]byte {
	s := scanner{data: array}
	s.space()
	s.pos++
	var list [][]byte
	for s.more(']') && len(list) <= max {
		list = append(list, s.skip())
	}
	return list
}

func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// more steps over a comma and reports whether another member or element follows; it steps over end if not.
func (s *scanner) more(end byte) bool {
	s.space()
	if s.data[s.pos] == ',' {
		s.pos++
		s.space()
	}
	if s.data[s.pos] == end {
		s.pos++
		return false
	}
	return true
}

func (s *scanner) colon() {
	s.space()
	s.pos++
}

// string steps over a string and returns it with its quotes.
func (s *scanner) string() []byte {
	start := s.pos
	for s.pos++; s.data[s.pos] != '"'; s.pos++ {
		if s.data[s.pos] == '\\' {
			s.pos++
		}
	}
	s.pos++
	return s.data[start:s.pos]
}

func (s *scanner) scalar() {
	for s.pos < len(s.data) && strings.IndexByte(",]} \t\r\n", s.data[s.pos]) < 0 {
		s.pos++
	}
}

// skip steps over a value of any kind and returns its text.
func (s *scanner) skip() []byte {
	s.space()
	start := s.pos
	for depth := 0; ; {
		switch s.data[s.pos] {
		case '"':
			s.string()
		case '{', '[':
			depth++
			s.pos++
			continue
		case '}', ']':
			depth--
			s.pos++
		case ',', ':', ' ', '\t', '\r', '\n':
			s.pos++
			continue
		default:
			s.scalar()
		}
		if depth == 0 {
			return s.data[start:s.pos:s.pos]
		}
	}
}

// nameSet remembers the names of one object: few in a list, many in a map.
type nameSet struct {
	list []string
	many map[string]bool
}

func (n *nameSet) add(name string) bool {
	if n.many == nil {
		for _, s := range n.list {
			if s == name {
				return false
			}
		}
		if n.list = append(n.list, name); len(n.list) > 16 {
			n.many = make(map[string]bool, 64)
			for _, s := range n.list {
				n.many[s] = true
			}
		}
		return true
	}
	if n.many[name] {
		return false
	}
	n.many[name] = true
	return true
}

// unquote returns the text of a valid JSON string; half a surrogate pair stands for no text and is refused.
func unquote(quoted []byte) (string, *Error) {
	inner := quoted[1 : len(quoted)-1]
	escaped := false
	for i := 0; i < len(inner); i++ {
		if inner[i] != '\\' {
			continue
		}
		escaped = true
		i++
		if inner[i] != 'u' {
			continue
		}
		unit := hex4(inner[i+1:])
		i += 4
		if unit < 0xD800 || unit > 0xDFFF {
			continue
		}
		if unit >= 0xDC00 || len(inner) < i+7 || inner[i+1] != '\\' || inner[i+2] != 'u' || hex4(inner[i+3:])&0xFC00 != 0xDC00 {
			return "", malformed("bad_string", "", "a string has half of a surrogate pair")
		}
		i += 6
	}
	if !escaped {
		return string(inner), nil
	}
	var text string
	if err := json.Unmarshal(quoted, &text); err != nil {
		return "", malformed("bad_string", "", "a string cannot be read")
	}
	return text, nil
}

func hex4(b []byte) uint16 {
	n, _ := strconv.ParseUint(string(b[:4]), 16, 16)
	return uint16(n)
}

// pathName keeps a name of the sender short enough for a message.
func pathName(name string) string {
	if len(name) > 64 {
		name = strings.ToValidUTF8(name[:64], "") + "…"
	}
	return name
}

// maxExponent bounds how many zeros an exponent may write out; float64 ends at 308.
const maxExponent = 400

// number returns the exact value of a valid JSON number: KindInt where it is written as an integer that fits, else
// KindDecimal, without exponent, with the scale that it is written in.
func number(text []byte) (syncline.Value, *Error) {
	s := string(text)
	mantissa, exponent, hasExponent := s, "", false
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		mantissa, exponent, hasExponent = s[:i], s[i+1:], true
	}
	if !hasExponent && !strings.Contains(s, ".") {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return syncline.Int(n), nil
		}
	}
	sign := ""
	if strings.HasPrefix(mantissa, "-") {
		sign, mantissa = "-", mantissa[1:]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	point := len(whole)
	if hasExponent {
		e, err := strconv.Atoi(exponent)
		if err != nil || e > maxExponent || e < -maxExponent {
			return syncline.Null, unprocessable("number_out_of_range", "", "the exponent of a number is beyond ±%d", maxExponent)
		}
		point += e
	}
	digits := whole + fraction
	if point <= 0 {
		digits, point = strings.Repeat("0", 1-point)+digits, 1
	}
	if point > len(digits) {
		digits += strings.Repeat("0", point-len(digits))
	}
	whole, fraction = strings.TrimLeft(digits[:point], "0"), digits[point:]
	if whole == "" {
		whole = "0"
	}
	if strings.Trim(whole+fraction, "0") == "" {
		sign = ""
	}
	if fraction != "" {
		fraction = "." + fraction
	}
	return syncline.Decimal(sign + whole + fraction), nil
}

// value returns the value of valid JSON; objects and arrays stay as they were written.
func value(text []byte) (syncline.Value, *Error) {
	switch text[0] {
	case 'n':
		return syncline.Null, nil
	case 't':
		return syncline.Bool(true), nil
	case 'f':
		return syncline.Bool(false), nil
	case '"':
		s, err := unquote(text)
		return syncline.Text(s), err
	case '{', '[':
		return syncline.JSON(text), nil
	}
	return number(text)
}
