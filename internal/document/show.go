package document

import (
	"encoding/json"
	"strings"

	"syncline"
)

// Show is the row as JSON for a person. A value that JSON cannot carry, which may be what is wrong with the record, is shown with the
// others as one text.
func Show(row syncline.Row) json.RawMessage { return valid(Append(nil, row)) }

// ShowValue does the same for one value.
func ShowValue(c *syncline.Column, v syncline.Value) json.RawMessage {
	return valid(AppendValue(nil, c, v))
}

func valid(text []byte) json.RawMessage {
	if !json.Valid(text) {
		text = AppendString(nil, strings.ToValidUTF8(string(text), "\uFFFD"))
	}
	return text
}
