package redis

import (
	"encoding/json"
	"strings"

	"syncline"
	"syncline/internal/document"
)

// appendFields appends a name and a value for each column that is neither null nor unset: strings and numbers in their
// text, bytes as they are, times and arrays in the form of package document.
func appendFields(dst []any, row syncline.Row) []any {
	for i := range row.Values {
		v := row.Values[i]
		if v.IsNull() || v.IsUnset() {
			continue
		}
		c := &row.Schema.Columns[i]
		dst = append(dst, []byte(c.Name), fieldText(c, v))
	}
	return dst
}

func fieldText(c *syncline.Column, v syncline.Value) []byte {
	switch v.Kind() {
	case syncline.KindTimestamp, syncline.KindTimestampTZ, syncline.KindArray:
		text := document.AppendValue(nil, c, v)
		var s string
		if json.Unmarshal(text, &s) == nil {
			return []byte(s)
		}
		return text
	}
	return v.Bytes()
}

// check refuses a record that the object's form would not hold as it is. A field of a hash has no kind: where bytes are expected everything is
// bytes.
func (ob *object) check(row syncline.Row) error {
	if err := document.Check(row); err != nil || ob.format != Hash {
		return err
	}
	for i := range row.Values {
		c := &row.Schema.Columns[i]
		if k := row.Values[i].Kind(); c.Kind == syncline.KindBytes && k != syncline.KindBytes && k != syncline.KindNull && k != syncline.KindUnset {
			return syncline.Errorf(syncline.Rejected, "kind_mismatch", "column %s holds %s where bytes are expected, and the field of a hash does not tell them apart", c.Name, k).
				WithFix("correct the value in the source, or use a convert step in the rule's transform")
		}
	}
	return nil
}

// parseFields is the inverse of appendFields; a column without a field is null.
func parseFields(s *syncline.Schema, fields map[string]string) ([]syncline.Value, error) {
	values := make([]syncline.Value, len(s.Columns))
	for i := range s.Columns {
		c := &s.Columns[i]
		text, ok := fields[c.Name]
		if !ok {
			continue // the zero value is null
		}
		var err error
		if values[i], err = parseField(c, text); err != nil {
			return nil, err
		}
	}
	return values, nil
}

func parseField(c *syncline.Column, text string) (syncline.Value, error) {
	switch c.Kind {
	case syncline.KindBytes, syncline.KindText, syncline.KindUUID, syncline.KindRaw, syncline.KindJSON:
		return syncline.Raw(c.Kind, []byte(text)), nil
	case syncline.KindBool, syncline.KindInt, syncline.KindUint, syncline.KindFloat, syncline.KindDecimal:
		if json.Valid([]byte(text)) {
			return document.ParseValue(c, []byte(text))
		}
	case syncline.KindArray: // one that has no form as a document is its text, which may look like another document
		if strings.HasPrefix(text, "[") && json.Valid([]byte(text)) {
			return document.ParseValue(c, []byte(text))
		}
	}
	return document.ParseValue(c, document.AppendString(nil, text))
}
