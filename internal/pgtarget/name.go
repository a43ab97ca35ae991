package pgtarget

import (
	"strings"

	"syncline"
)

// maxIdentifier is PostgreSQL's limit in bytes; it would silently cut a longer one.
const maxIdentifier = 63

// name is a table's name as SQL knows it, without quotes. An empty schema stands for the first of the search path.
type name struct {
	schema, table string
}

// parseName reads an SQL identifier with an optional schema: `dim_customer`, `sales.Order` (folded to lower case),
// `public."Order lines"`.
func parseName(s string) (name, error) {
	bad := func(why string) (name, error) {
		return name{}, syncline.Errorf(syncline.Fatal, "identifier_invalid", "%q is no table name: %s", s, why).
			WithFix(`write it as in SQL: customer, sales.customer, public."Order lines"`)
	}
	var parts []string
	rest := s
	for {
		part, after, why := cutIdentifier(rest)
		if why != "" {
			return bad(why)
		}
		if len(part) > maxIdentifier {
			return bad("a part is longer than 63 bytes")
		}
		parts = append(parts, part)
		if after == "" {
			break
		}
		if after[0] != '.' {
			return bad("after an identifier comes a dot or nothing")
		}
		rest = after[1:]
	}
	switch len(parts) {
	case 1:
		return name{table: parts[0]}, nil
	case 2:
		return name{schema: parts[0], table: parts[1]}, nil
	}
	return bad("it has more than a schema and a table")
}

// cutIdentifier splits the identifier off the front of s.
func cutIdentifier(s string) (ident, after, why string) {
	if strings.HasPrefix(s, `"`) {
		var b strings.Builder
		for i := 1; i < len(s); i++ {
			switch {
			case s[i] == 0:
				return "", "", "it has a zero byte"
			case s[i] != '"':
				b.WriteByte(s[i])
			case i+1 < len(s) && s[i+1] == '"':
				b.WriteByte('"')
				i++
			case b.Len() == 0:
				return "", "", "a part is empty"
			default:
				return b.String(), s[i+1:], ""
			}
		}
		return "", "", "a double quote is not closed"
	}
	n := 0
	for n < len(s) && plain(s[n], n == 0) {
		n++
	}
	if n == 0 {
		return "", "", "a part is empty or needs double quotes"
	}
	return foldASCII(s[:n]), s[n:], ""
}

func plain(c byte, first bool) bool {
	letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80
	return letter || !first && (c >= '0' && c <= '9' || c == '$')
}

// foldASCII lowers as PostgreSQL does for a multi-byte encoding: ASCII letters only.
func foldASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// sql returns the name quoted for a statement.
func (n name) sql() string {
	if n.schema == "" {
		return quote(n.table)
	}
	return quote(n.schema) + "." + quote(n.table)
}

func quote(ident string) string { return `"` + strings.ReplaceAll(ident, `"`, `""`) + `"` }

func quoteAll(idents []string) string {
	out := make([]string, len(idents))
	for i, s := range idents {
		out[i] = quote(s)
	}
	return strings.Join(out, ", ")
}
