package sqlite

import (
	"encoding/hex"
	"math"
	"slices"
	"strconv"
	"strings"

	"syncline"
)

// spelling is a key as somebody wrote it, and what it is in the columns of the entity.
type spelling struct {
	asked syncline.Key
	texts []string
	// row has the key and nothing else, key is its canonical form.
	row []syncline.Value
	key syncline.Key
	// strange: a part is some text where the column's type has another form. SQLite may hold it; a target may take it for another key.
	strange bool
}

// spell reads a key; ok is false where it cannot be one of the entity. An empty key is the empty text, of one column.
func (l *layout) spell(k syncline.Key) (sp spelling, ok bool) {
	parts, err := k.Parts()
	if k == "" {
		parts = []string{""}
	}
	if err != nil || len(parts) != len(l.schema.Key) {
		return sp, false
	}
	sp = spelling{asked: k, texts: parts, row: make([]syncline.Value, len(l.schema.Columns))}
	for i := range sp.row {
		sp.row[i] = syncline.Unset
	}
	for i, c := range l.schema.Key {
		if sp.row[c] = syncline.Null; !isNull(k, i) {
			t := l.types[c]
			sp.row[c] = t.spelled(parts[i])
			sp.strange = sp.strange || t.kind != syncline.KindText && parts[i] != "" && sp.row[c].Kind() == syncline.KindText
		}
	}
	sp.key, ok = syncline.Row{Schema: l.schema, Values: sp.row}.Key()
	return sp, ok
}

// behind returns the key's columns and the values that a record behind it has greater ones than; ok is false where it is no key of the entity.
// SQLite compares the values as it does those of the columns.
func (l *layout) behind(k syncline.Key) (columns []string, values []any, ok bool) {
	sp, ok := l.spell(k)
	if !ok {
		return nil, nil, false
	}
	for i, c := range l.schema.Key {
		var v any = sp.texts[i]
		switch {
		case isNull(k, i):
			return nil, nil, false
		case l.types[c].kind == syncline.KindBytes:
			v = []byte(sp.texts[i])
		}
		columns, values = append(columns, quote(l.schema.Columns[c].Name)), append(values, v)
	}
	return columns, values, len(columns) > 0
}

// isNull reports whether a part of the key is null: its text could be that of a byte.
func isNull(k syncline.Key, part int) bool { return strings.Split(string(k), ",")[part] == "%N" }

// parts are the texts to look the key up by: as asked for and, where that is another, as it is canonically.
func (sp spelling) parts() [][]string {
	canonical, err := sp.key.Parts()
	if err != nil || sp.key == "" || slices.Equal(canonical, sp.texts) {
		return [][]string{sp.texts}
	}
	return [][]string{sp.texts, canonical}
}

// spelled returns the value that the column has when somebody gives it this text: SQLite turns a number into one where the type is
// numeric. What it would round is left as it is.
func (t colType) spelled(part string) syncline.Value {
	switch t.kind {
	case syncline.KindInt, syncline.KindUint, syncline.KindFloat, syncline.KindDecimal, syncline.KindBool:
		if n, err := strconv.ParseInt(part, 10, 64); err == nil {
			return t.readInt(n)
		}
		f, err := strconv.ParseFloat(part, 64)
		if err != nil || strings.Trim(part, "0123456789+-.eE") != "" {
			break
		}
		if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
			return t.readInt(int64(f))
		}
		if v := t.readFloat(f); t.kind != syncline.KindDecimal || syncline.Equal(v, syncline.Decimal(part)) {
			return v
		}
	case syncline.KindBytes:
		return syncline.Raw(syncline.KindBytes, []byte(part))
	}
	return t.read(part)
}

// lookup returns the condition that finds the key's record by everything that its parts can be stored as. ok is false
// where a part has too many forms; then the table has to be read.
func (l *layout) lookup(parts []string) (where string, args []any, ok bool) {
	for i, c := range l.schema.Key {
		forms := l.types[c].forms(parts[i])
		if forms == nil {
			return "", nil, false
		}
		word := " WHERE "
		if i > 0 {
			word = " AND "
		}
		where += word + quote(l.schema.Columns[c].Name) + " IN (" + placeholders(len(forms)) + ")"
		args = append(args, forms...)
	}
	return where, args, true
}

// forms returns what a part of a key can be stored as, nil where that cannot be listed: dates and times, JSON, null.
func (t colType) forms(part string) []any {
	switch t.kind {
	case syncline.KindDate, syncline.KindTime, syncline.KindTimestamp, syncline.KindTimestampTZ, syncline.KindJSON:
		return nil
	}
	if part == "\x00" {
		return nil
	}
	out := []any{part, []byte(part)}
	if !t.textual { // there, 1 would be the text 1, which is not that of 01
		if n, err := strconv.ParseInt(part, 10, 64); err == nil {
			out = append(out, n)
		}
		if f, err := strconv.ParseFloat(part, 64); err == nil && !math.IsNaN(f) {
			out = append(out, f)
		}
	}
	switch hexed := strings.ReplaceAll(part, "-", ""); {
	case t.kind == syncline.KindUUID && len(hexed) == 32:
		out = append(out, strings.ToUpper(part), hexed, strings.ToUpper(hexed))
		if b, err := hex.DecodeString(hexed); err == nil {
			out = append(out, b)
		}
	case t.kind == syncline.KindUUID:
		return nil
	case t.kind == syncline.KindBool:
		return nil
	}
	return out
}

// answer is what was found of keys.
type answer struct {
	rows, absent [][]syncline.Value
	// refused is how many keys cannot be of the table.
	refused int
}

// answer looks records up by their keys: it finds the record also where it has the key in another spelling (01 for 1). columns and from
// are SQL; each reads their stored values.
func (l *layout) answer(keys []syncline.Key, columns, from string, each func(query string, args []any, f func(stored []any) bool) error) (out answer, err error) {
	wanted, found := map[syncline.Key]bool{}, map[syncline.Key]bool{}
	size := 0
	// take takes a row once: one that was looked up by its key, or whose key is wanted.
	take := func(looked bool, stored []any) {
		row := l.row(stored, &size)
		k, _ := syncline.Row{Schema: l.schema, Values: row}.Key()
		if (looked || wanted[k]) && !found[k] {
			found[k] = true
			out.rows = append(out.rows, row)
		}
	}
	query := "SELECT " + columns + " FROM " + from
	scan := false
	var missing []spelling
	for _, k := range keys {
		sp, ok := l.spell(k)
		if !ok {
			continue
		}
		answered := false
		for _, parts := range sp.parts() {
			where, args, ok := l.lookup(parts)
			if !ok {
				wanted[k], wanted[sp.key], scan = true, true, true
				break
			}
			if err := each(query+where, args, func(stored []any) bool {
				answered = true
				take(true, stored)
				return true
			}); err != nil {
				return out, err
			}
		}
		if !answered {
			missing = append(missing, sp)
		}
	}
	if scan {
		err := each(query, nil, func(stored []any) bool {
			take(false, stored)
			return true
		})
		if err != nil {
			return out, err
		}
	}
	for _, sp := range missing {
		switch {
		case found[sp.asked] || found[sp.key]:
		case sp.strange:
			out.refused++
		default:
			found[sp.key] = true
			out.absent = append(out.absent, sp.row)
		}
	}
	return out, nil
}
