package conflict

import (
	"testing"

	"syncline"
)

// TestWhatATargetCannotTell: a target that has one null for that of JSON and for none, or types of its own, has not changed what it shows otherwise
// than it was sent.
func TestWhatATargetCannotTell(t *testing.T) {
	null, list := syncline.JSON([]byte(" null")), syncline.JSON([]byte("[1]"))
	for _, tt := range []struct {
		name             string
		documents        bool
		column           int
		was, shown, next syncline.Value // what was written, what the target shows of it, what comes then; unset = the record is removed
		conflict         bool
	}{
		{"null in a document", true, 4, null, syncline.Null, list, false},
		{"null in a document that goes", true, 4, null, syncline.Null, syncline.Unset, false},
		{"null in a table", false, 4, null, syncline.Null, list, true},
		{"null instead of a list", true, 4, list, syncline.Null, null, false}, // both say so
		{"null instead of another list", true, 4, syncline.JSON([]byte("[2]")), syncline.Null, list, true},
		{"a number in a column of text", false, 1, syncline.Int(7), syncline.Text("7"), syncline.Int(8), false},
		{"another number in a column of text", false, 1, syncline.Int(7), syncline.Text("9"), syncline.Int(8), true},
		{"a time in UTC", false, 1, syncline.Raw(syncline.KindTimestampTZ, []byte("2024-01-01 00:00:00+00")), syncline.Text("2024-01-01 00:00:00"), syncline.Text("x"), false},
		{"a text of the column's own kind", false, 1, syncline.Text("7"), syncline.Text("07"), syncline.Text("8"), true},
	} {
		to := &target{tb: t, r: resolver(t, Policy{Detect: []Detector{Data}, Strategy: Manual})}
		to.r.Documents = tt.documents
		values := row("Ann", "gold")
		values[tt.column] = tt.was
		to.apply(said("crm", 1, 1), values, nil)
		to.row[tt.column] = tt.shown
		var next []syncline.Value
		if !tt.next.IsUnset() {
			next = append(next, values...)
			next[tt.column] = tt.next
		}
		if v := to.apply(said("crm", 2, 2), next, nil); (v.Outcome == syncline.OutcomeConflict) != tt.conflict {
			t.Errorf("%s: outcome %d %+v, want a conflict: %v", tt.name, v.Outcome, v.Conflict, tt.conflict)
		}
	}
}
