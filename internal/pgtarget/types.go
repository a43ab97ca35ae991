package pgtarget

import (
	"context"
	"regexp"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"syncline"
)

// kindTypes are the types of columns from other systems than PostgreSQL, by what their values are.
var kindTypes = map[syncline.Kind]string{
	syncline.KindBool: "boolean", syncline.KindInt: "bigint", syncline.KindUint: "numeric(20,0)", syncline.KindFloat: "double precision",
	syncline.KindDecimal: "numeric", syncline.KindText: "text", syncline.KindBytes: "bytea", syncline.KindDate: "date",
	syncline.KindTime: "time without time zone", syncline.KindTimestamp: "timestamp without time zone",
	syncline.KindTimestampTZ: "timestamp with time zone", syncline.KindUUID: "uuid", syncline.KindJSON: "jsonb",
}

// columnType returns the type that a column should have here. known is false where the source's type does not exist here,
// so that its values become text.
func (t *Target) columnType(ctx context.Context, q *pgx.Conn, c *syncline.Column) (typ string, known bool, err error) {
	if t.o.PostgresSource && c.Type != "" {
		var exists bool
		// The whole text must be the name of a type, so it can stand in a statement.
		err = q.QueryRow(ctx, "SELECT to_regtype($1) IS NOT NULL", c.Type).Scan(&exists)
		switch {
		case err == nil && exists:
			return c.Type, true, nil
		case err != nil && !isCode(err, "42601"): // before PostgreSQL 16 a text that is no name is an error
			return "", false, err
		}
		if strings.HasSuffix(c.Type, "[]") || c.Kind == syncline.KindArray {
			return "text[]", false, nil
		}
		return "text", false, nil
	}
	if c.Kind == syncline.KindArray {
		if elem, ok := kindTypes[c.Elem]; ok {
			return elem + "[]", true, nil
		}
		return "text[]", true, nil
	}
	if typ, ok := kindTypes[c.Kind]; ok {
		return typ, true, nil
	}
	return "text", true, nil
}

// modified is a type with its modifiers: character varying(40), numeric(12,2), timestamp(3) with time zone.
type modified struct {
	base string
	mods []int
}

var modifiers = regexp.MustCompile(`^([^()]*?)\s*\((\d+)(?:,(-?\d+))?\)([^()]*)$`)

func parseType(s string) modified {
	m := modifiers.FindStringSubmatch(s)
	if m == nil {
		return modified{base: s}
	}
	out := modified{base: m[1] + m[4]}
	for _, d := range m[2:4] {
		if n, err := strconv.Atoi(d); err == nil {
			out.mods = append(out.mods, n)
		}
	}
	if out.base == "numeric" && len(out.mods) == 1 {
		out.mods = append(out.mods, 0)
	}
	return out
}

// widenings are the changes of type that keep every value, whatever the modifiers of the new type.
var widenings = map[string][]string{
	"smallint": {"integer", "bigint", "real", "double precision"},
	"integer":  {"bigint", "double precision"},
	"real":     {"double precision"},
	"date":     {"timestamp without time zone"},
}

// widens reports whether every value of the one type is a value of the other.
func widens(from, to string) bool {
	a, b := parseType(from), parseType(to)
	integer := a.base == "smallint" || a.base == "integer" || a.base == "bigint"
	switch {
	case b.base == "text":
		return true
	case a.base == b.base:
		return roomier(a, b)
	case b.base == "numeric" && integer:
		return len(b.mods) == 0 || b.mods[0]-b.mods[1] >= map[string]int{"smallint": 5, "integer": 10, "bigint": 19}[a.base]
	case a.base == "character" && b.base == "character varying":
		return len(b.mods) == 0 || len(a.mods) == 1 && b.mods[0] >= a.mods[0]
	}
	for _, wider := range widenings[a.base] {
		if b.base == wider && len(b.mods) == 0 {
			return true
		}
	}
	return false
}

// roomier compares the modifiers of one base type; no modifiers are unlimited.
func roomier(a, b modified) bool {
	switch {
	case len(b.mods) == 0:
		return true
	case len(a.mods) != len(b.mods):
		return false
	case len(b.mods) == 1:
		return b.mods[0] >= a.mods[0] && a.base != "bit"
	}
	return b.mods[1] >= a.mods[1] && b.mods[0]-b.mods[1] >= a.mods[0]-a.mods[1]
}

// The defaults of other systems that mean the same here.
var (
	numberLiteral = regexp.MustCompile(`^-?\d+(\.\d+)?$`)
	textLiteral   = regexp.MustCompile(`^'([^'\\]|'')*'$`)
)

// defaultOf returns the value of a new column in rows that are older than it; "" = not known. A constant that is no literal of the
// column's type may mean one at its source: 0 for false, or the text that a value was written as.
func (o *Options) defaultOf(c *syncline.Column) string {
	if o.PostgresSource {
		return c.Default
	}
	switch c.Kind {
	case syncline.KindBool:
		switch strings.ToLower(c.Default) {
		case "0", "false":
			return "false"
		case "1", "true":
			return "true"
		}
	case syncline.KindInt:
		if _, err := strconv.ParseInt(c.Default, 10, 64); err == nil {
			return c.Default
		}
	case syncline.KindFloat, syncline.KindDecimal:
		if numberLiteral.MatchString(c.Default) {
			return c.Default
		}
	case syncline.KindText:
		if textLiteral.MatchString(c.Default) {
			return c.Default
		}
	}
	return ""
}
