package pgtarget

import (
	"testing"

	"syncline"
)

// TestAMarkThatDoesNotFit: what a column cannot note is told before the first record is written, by Define and by Fit.
func TestAMarkThatDoesNotFit(t *testing.T) {
	url := server.Database(t)
	admin := connection(t, url)
	execute(t, admin, `CREATE TABLE dim (id bigint PRIMARY KEY, flag boolean, number integer, word varchar(4), made text GENERATED ALWAYS AS ('x') STORED, must text NOT NULL)`)
	tgt := open(t, Options{URL: url, Route: "r"})
	gone := func(v syncline.Value) *syncline.Mark { return &syncline.Mark{Gone: []syncline.Value{v}} }
	for _, tt := range []struct {
		column string
		kind   syncline.Kind
		mark   *syncline.Mark
		want   string
	}{
		{"flag", syncline.KindBool, gone(syncline.Bool(true)), ""},
		{"number", syncline.KindInt, gone(syncline.Int(-1)), ""},
		{"word", syncline.KindText, gone(syncline.Text("gone")), ""},
		{"must", syncline.KindText, &syncline.Mark{Live: syncline.Text("here"), Gone: []syncline.Value{syncline.Text("gone")}}, ""},
		{"number", syncline.KindBool, gone(syncline.Bool(true)), "mark_does_not_fit"},
		{"number", syncline.KindText, gone(syncline.Text("gone")), "mark_does_not_fit"},
		{"number", syncline.KindInt, gone(syncline.Int(1 << 40)), "mark_does_not_fit"},
		{"word", syncline.KindText, gone(syncline.Text("deleted")), "mark_does_not_fit"},
		{"word", syncline.KindBool, gone(syncline.Bool(true)), "mark_does_not_fit"},
		{"made", syncline.KindText, gone(syncline.Text("x")), "mark_does_not_fit"},
		{"must", syncline.KindText, gone(syncline.Text("gone")), "mark_does_not_fit"},
		{"nothing", syncline.KindText, gone(syncline.Text("gone")), "column_missing"},
	} {
		d := syncline.Definition{Object: "dim", Schema: &syncline.Schema{Entity: "dim", Key: []int{0}, Version: -1, Columns: []syncline.Column{
			{Name: "id", Kind: syncline.KindInt}, {Name: tt.column, Kind: tt.kind, Mark: tt.mark}}}}
		_, err := tgt.Define(t.Context(), d)
		_, fit := Fit(t.Context(), Options{URL: url, Route: "r"}, d)
		for _, err := range []error{err, fit} {
			if tt.want == "" && err != nil || tt.want != "" && (syncline.CodeOf(err) != tt.want || syncline.ClassOf(err) != syncline.Fatal || syncline.FixOf(err) == "") {
				t.Errorf("%s with %v in %s: %v, want %q with a way out", tt.column, tt.mark.Gone, tt.kind, err, tt.want)
			}
		}
	}
}
