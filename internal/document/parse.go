package document

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"syncline"
)

var errObject = errors.New("not a JSON object")

// Parse reads an object in the terms of the schema. A column that the object lacks is missing (syncline.Unset, or
// syncline.Null where a document without the field means that); members without a column are ignored, of a member that is
// repeated the last counts. The values do not refer to data.
func Parse(s *syncline.Schema, data []byte, missing syncline.Value) ([]syncline.Value, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil || members == nil {
		return nil, errObject // the cause would quote the document
	}
	values := make([]syncline.Value, len(s.Columns))
	for i := range s.Columns {
		c := &s.Columns[i]
		raw, ok := members[c.Name]
		if !ok {
			values[i] = missing
			continue
		}
		v, err := ParseValue(c, raw)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", c.Name, err)
		}
		values[i] = v
	}
	return values, nil
}

// ParseValue reads one JSON value as the column's kind, or as the kind that JSON shows where it cannot be that.
func ParseValue(c *syncline.Column, raw []byte) (syncline.Value, error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return syncline.Value{}, errors.New("an empty value")
	}
	if raw[0] == 'n' {
		return syncline.Null, nil
	}
	if c.Kind == syncline.KindJSON {
		return syncline.JSON(raw), nil
	}
	switch raw[0] {
	case 't', 'f':
		return syncline.Bool(raw[0] == 't'), nil
	case '"':
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return syncline.Value{}, errors.New("a malformed string")
		}
		return ofString(c, s), nil
	case '[':
		if c.Kind == syncline.KindArray {
			if literal, err := arrayLiteral(raw, c.Elem); err == nil {
				return syncline.Raw(syncline.KindArray, literal), nil
			}
		}
		return syncline.JSON(raw), nil
	case '{':
		return syncline.JSON(raw), nil
	}
	if !isNumber(raw) {
		return syncline.Value{}, errors.New("a malformed number")
	}
	return ofNumber(c, raw), nil
}

func ofString(c *syncline.Column, s string) syncline.Value {
	switch k := c.Kind; k {
	case syncline.KindFloat, syncline.KindDecimal:
		if s == "NaN" || s == "Infinity" || s == "-Infinity" {
			return syncline.Raw(k, []byte(s))
		}
	case syncline.KindBytes:
		if b, err := base64.StdEncoding.DecodeString(s); err == nil {
			return syncline.Bytes(b)
		}
	case syncline.KindDate, syncline.KindTime, syncline.KindUUID:
		if syncline.WellFormed(k, []byte(s)) {
			return syncline.Raw(k, []byte(s))
		}
	case syncline.KindTimestamp, syncline.KindTimestampTZ:
		return ofMoment(k, s)
	case syncline.KindArray, syncline.KindRaw:
		return syncline.Raw(k, []byte(s))
	}
	return syncline.Text(s)
}

// ofMoment reads a time with a zone as one, and one without as one, whichever the column has: a loosely typed source may keep both, and any
// other text.
func ofMoment(k syncline.Kind, s string) syncline.Value {
	text := timestampText(s)
	for _, k := range []syncline.Kind{k, syncline.KindTimestamp, syncline.KindTimestampTZ} {
		if syncline.WellFormed(k, text) {
			return syncline.Raw(k, text)
		}
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil && k == syncline.KindTimestampTZ && t.Nanosecond()%1000 == 0 {
		if t = t.UTC(); t.Year() > 0 && t.Year() < 10000 {
			return syncline.TimestampTZ(t)
		}
	}
	return syncline.Text(s)
}

func ofNumber(c *syncline.Column, raw []byte) syncline.Value {
	if c.Kind == syncline.KindFloat || c.Kind == syncline.KindDecimal {
		return syncline.Raw(c.Kind, raw)
	}
	if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		if c.Kind == syncline.KindUint && n >= 0 {
			return syncline.Raw(syncline.KindUint, raw)
		}
		return syncline.Int(n)
	}
	if _, err := strconv.ParseUint(string(raw), 10, 64); err == nil {
		return syncline.Raw(syncline.KindUint, raw)
	}
	return syncline.Raw(syncline.KindDecimal, raw)
}
