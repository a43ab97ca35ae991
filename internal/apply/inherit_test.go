package apply

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

// What a column of the same name and type held is taken over, whatever else changed of the schema.
func TestFillFromAnotherSchema(t *testing.T) {
	schema := func(columns ...syncline.Column) *syncline.Schema {
		return &syncline.Schema{Entity: "e", Key: []int{0}, Version: -1, Columns: columns}
	}
	id := syncline.Column{Name: "id", Kind: syncline.KindInt, Type: "bigint"}
	note := syncline.Column{Name: "note", Kind: syncline.KindText, Type: "text"}
	size := syncline.Column{Name: "size", Kind: syncline.KindInt, Type: "integer"}
	retyped := syncline.Column{Name: "size", Kind: syncline.KindText, Type: "text"}
	row := func(values ...syncline.Value) []syncline.Value { return values }
	for _, c := range []struct {
		name         string
		newer, older *syncline.Schema
		have, from   []syncline.Value
		want         []syncline.Value
	}{
		{"the same", schema(id, note), schema(id, note), row(syncline.Int(1), syncline.Unset), row(syncline.Int(1), syncline.Text("n")),
			row(syncline.Int(1), syncline.Text("n"))},
		{"a column added before it", schema(id, size, note), schema(id, note), row(syncline.Int(1), syncline.Int(7), syncline.Unset),
			row(syncline.Int(1), syncline.Text("n")), row(syncline.Int(1), syncline.Int(7), syncline.Text("n"))},
		{"a column dropped", schema(id, note), schema(id, size, note), row(syncline.Int(1), syncline.Unset),
			row(syncline.Int(1), syncline.Int(7), syncline.Text("n")), row(syncline.Int(1), syncline.Text("n"))},
		{"a column retyped", schema(id, retyped, note), schema(id, size, note), row(syncline.Int(1), syncline.Unset, syncline.Unset),
			row(syncline.Int(1), syncline.Int(7), syncline.Text("n")), row(syncline.Int(1), syncline.Unset, syncline.Text("n"))},
		{"newer data stays", schema(id, size, note), schema(id, note), row(syncline.Int(1), syncline.Unset, syncline.Text("new")),
			row(syncline.Int(1), syncline.Text("n")), row(syncline.Int(1), syncline.Unset, syncline.Text("new"))},
		{"nothing older", schema(id, note), schema(id, size), row(syncline.Int(1), syncline.Unset), nil, row(syncline.Int(1), syncline.Unset)},
	} {
		got := fillFrom(c.newer, c.have, c.older, c.from)
		if diff := cmp.Diff(c.want, got, cmp.Comparer(syncline.Value.Identical)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}
