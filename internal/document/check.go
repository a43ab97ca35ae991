package document

import (
	"encoding/json"
	"unicode/utf8"

	"syncline"
)

// Check returns a rejected error where JSON cannot carry the row unchanged: text that is not UTF-8, and values of another kind than their
// column's that would be read as something else, such as text where bytes are expected, which JSON has as text, too. Append would write them
// all the same; who promises to hold, or to tell, what the source holds asks first.
func Check(row syncline.Row) error {
	for i := range row.Values {
		v, c := &row.Values[i], &row.Schema.Columns[i]
		k := v.Kind()
		switch {
		case k == syncline.KindNull || k == syncline.KindUnset:
		case k != syncline.KindBytes && !utf8.Valid(v.Bytes()):
			return syncline.Errorf(syncline.Rejected, "invalid_utf8", "column %s is not UTF-8, and JSON has no other text", c.Name).
				WithFix("correct the text in the source, or drop or convert the column in the rule's transform")
		case k == syncline.KindJSON && !json.Valid(v.Bytes()):
			return syncline.Errorf(syncline.Rejected, "json_invalid", "column %s is not JSON that others can read: its objects and arrays are nested more than 10,000 deep, or it is malformed", c.Name).
				WithFix("correct the document in the source, or drop the column in the rule's transform")
		case k != c.Kind && !told(c, *v):
			return syncline.Errorf(syncline.Rejected, "kind_mismatch", "column %s holds %s where %s is expected, and JSON does not tell them apart", c.Name, k, c.Kind).
				WithFix("correct the value in the source, or use a convert step in the rule's transform")
		}
	}
	return nil
}

// told reports whether a value of another kind than the column's is read as what it was.
func told(c *syncline.Column, v syncline.Value) bool {
	back, err := ParseValue(c, AppendValue(nil, c, v))
	return err == nil && syncline.Equal(back, v)
}
