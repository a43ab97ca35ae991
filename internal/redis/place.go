package redis

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"syncline"
)

// Which record's place a key is: the way back of appendKey.

// literal is the text of a part that is the same in all keys of the object's records with this schema.
func (ob *object) literal(p part, s *syncline.Schema) (text string, ok bool) {
	switch {
	case p.column == "":
		return p.text, true
	case p.column == objectName && s.Index(objectName) < 0:
		return ob.name, true
	}
	return "", false
}

// prefix is what all keys of the object's records begin with.
func (ob *object) prefix(s *syncline.Schema) string {
	var b strings.Builder
	for _, p := range ob.template.parts {
		text, ok := ob.literal(p, s)
		if !ok {
			break
		}
		b.WriteString(text)
	}
	return b.String()
}

// rowOf returns the key of the record whose place it is; ok is false where it is that of none.
func (ob *object) rowOf(s *syncline.Schema, name string) (row syncline.Row, ok bool) {
	row = syncline.Row{Schema: s, Values: make([]syncline.Value, len(s.Columns))}
	for i := range row.Values {
		row.Values[i] = syncline.Unset
	}
	rest := name
	for i, p := range ob.template.parts {
		if text, same := ob.literal(p, s); same {
			if rest, ok = strings.CutPrefix(rest, text); !ok {
				return row, false
			}
			continue
		}
		value := rest[:ob.valueEnd(i, s, rest)]
		rest = rest[len(value):]
		columns := s.Key
		if p.column != wholeKey || s.Index(wholeKey) >= 0 {
			columns = []int{s.Index(p.column)}
		}
		parts, err := syncline.Key(value).Parts()
		if value == "" {
			parts = []string{""}
		}
		if err != nil || len(parts) != len(columns) || slices.Contains(columns, -1) {
			return row, false
		}
		for n, at := range columns {
			if !canBe(s.Columns[at].Kind, parts[n]) {
				return row, false
			}
			row.Values[at] = syncline.Raw(s.Columns[at].Kind, []byte(parts[n]))
		}
	}
	made, err := ob.appendKey(nil, row)
	return row, err == nil && string(made) == name
}

// valueEnd is where the value of part i ends: at the text behind it, which the value does not have; the last one reaches to what must follow.
func (ob *object) valueEnd(i int, s *syncline.Schema, rest string) int {
	var behind strings.Builder
	for _, p := range ob.template.parts[i+1:] {
		text, ok := ob.literal(p, s)
		if !ok {
			if at := strings.Index(rest, behind.String()); behind.Len() > 0 && at >= 0 {
				return at
			}
			return len(rest)
		}
		behind.WriteString(text)
	}
	return max(len(rest)-behind.Len(), 0)
}

// canBe is false of a text that is certainly no value of the kind.
func canBe(k syncline.Kind, text string) bool {
	var err error
	switch k {
	case syncline.KindInt:
		_, err = strconv.ParseInt(text, 10, 64)
	case syncline.KindUint:
		_, err = strconv.ParseUint(text, 10, 64)
	case syncline.KindDecimal, syncline.KindFloat:
		_, err = strconv.ParseFloat(text, 64)
	case syncline.KindUUID:
		err = uuid.Validate(text)
	case syncline.KindDate:
		_, err = time.Parse(time.DateOnly, text)
	}
	return err == nil
}
