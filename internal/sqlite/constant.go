package sqlite

import (
	"math"
	"strconv"
	"strings"

	"syncline"
)

// defaultOf returns the constant of older rows as a literal of what the target would have written for it, "" where that cannot be
// told: then the records are read again.
func defaultOf(c *syncline.Column) string {
	v, ok := constantOf(c)
	if !ok {
		return ""
	}
	switch stored := store(v).(type) {
	case int64:
		return strconv.FormatInt(stored, 10)
	case float64:
		if !math.IsInf(stored, 0) {
			return strconv.FormatFloat(stored, 'e', -1, 64)
		}
	case string:
		if !strings.ContainsRune(stored, 0) {
			return "'" + strings.ReplaceAll(stored, "'", "''") + "'"
		}
	}
	return ""
}

// constantOf returns the value that the source has for the column's default. A literal with a cast is PostgreSQL's text of the value.
func constantOf(c *syncline.Column) (syncline.Value, bool) {
	text, rest, quoted := cutText(c.Default)
	switch {
	case quoted && strings.HasPrefix(rest, "::"):
		return postgresValue(c.Kind, text)
	case quoted && rest == "":
		return textValue(c, text)
	case quoted:
		return syncline.Null, false
	}
	return numberValue(c, c.Default)
}

// cutText splits a quoted text off an SQL expression.
func cutText(sql string) (text, rest string, ok bool) {
	var b strings.Builder
	for i := 1; i < len(sql) && sql[0] == '\''; i++ {
		if sql[i] != '\'' {
			b.WriteByte(sql[i])
			continue
		}
		if i+1 == len(sql) || sql[i+1] != '\'' {
			return b.String(), sql[i+1:], true
		}
		b.WriteByte('\'')
		i++
	}
	return "", sql, false
}

func postgresValue(k syncline.Kind, text string) (syncline.Value, bool) {
	v := syncline.Raw(k, []byte(text))
	switch k {
	case syncline.KindBool:
		return syncline.Bool(text == "t"), text == "t" || text == "f"
	case syncline.KindInt:
		_, err := v.AsInt()
		return v, err == nil
	case syncline.KindFloat:
		_, err := v.AsFloat()
		return v, err == nil
	case syncline.KindBytes:
		return v, false
	}
	return v, true
}

// textValue is a quoted text of SQLite. One that looks like a number may be stored as one, by the affinity of its column.
func textValue(c *syncline.Column, text string) (syncline.Value, bool) {
	_, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	stays := err != nil || c.Type == ""
	for _, part := range []string{"CHAR", "CLOB", "TEXT"} {
		stays = stays || strings.Contains(strings.ToUpper(c.Type), part)
	}
	return typeIn(c).read(text), stays
}

// numberValue is a number of SQLite, or one of its names for 1 and 0.
func numberValue(c *syncline.Column, text string) (syncline.Value, bool) {
	switch t := typeIn(c); {
	case t.kind == syncline.KindText: // stored as text, in a form that depends on the declared type
	case strings.EqualFold(text, "TRUE"):
		return t.read(int64(1)), true
	case strings.EqualFold(text, "FALSE"):
		return t.read(int64(0)), true
	default:
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return t.read(n), true
		}
		f, err := strconv.ParseFloat(text, 64)
		switch {
		case err != nil || !constant(text):
		case t.kind == syncline.KindFloat:
			return t.read(f), true
		case t.kind == syncline.KindDecimal && f == math.Trunc(f) && math.Abs(f) < 1<<53:
			return t.read(int64(f)), true
		case t.kind == syncline.KindDecimal:
			return t.read(f), true
		}
	}
	return syncline.Null, false
}

// typeIn is the column's type at a SQLite source.
func typeIn(c *syncline.Column) colType {
	return colType{kind: c.Kind, scale: declared(c.Type).scale}
}
