package document

import (
	"unicode/utf8"

	"syncline"
)

// Check returns a rejected error where JSON cannot carry the row unchanged: text that is not UTF-8. Append would replace the
// broken bytes; a target that promises to hold what the source holds asks first.
func Check(row syncline.Row) error {
	for i := range row.Values {
		if v := &row.Values[i]; v.Kind() != syncline.KindBytes && !utf8.Valid(v.Bytes()) {
			return syncline.Errorf(syncline.Rejected, "invalid_utf8", "column %s is not UTF-8, and JSON has no other text", row.Schema.Columns[i].Name).
				WithFix("correct the text in the source, or drop or convert the column in the rule's transform")
		}
	}
	return nil
}
