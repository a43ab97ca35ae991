package state

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

func TestSchemasOutliveTheProcessButNotTheirPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s, err := Open(t.Context(), Options{Path: path})
	must(t, err)
	ctx := t.Context()
	source := &syncline.Schema{Entity: "customer", Table: "public.customer", Key: []int{0}, Version: -1, Columns: []syncline.Column{
		{Name: "id", Kind: syncline.KindInt, Type: "integer"},
		{Name: "tags", Kind: syncline.KindArray, Elem: syncline.KindText, Type: "text[]", Nullable: true, Default: "'{}'"}}}
	made := &syncline.Schema{Entity: "customer", Key: []int{0}, Version: 0, Columns: source.Columns[:1]}
	first := RuleSchema{Rule: "a", Object: "dim", Source: source, Made: made}
	codeOf(t, s.SaveSchema(ctx, sl, first), syncline.Fatal, "route_unknown")
	place1(t, s, sl)
	must(t, s.SaveSchema(ctx, sl, first))
	must(t, s.Commit(ctx, Commit{Slice: sl, Journal: journal(1, 5, Applied)}))
	later := RuleSchema{Rule: "b", Object: "fact", Source: made, Made: made}
	must(t, s.SaveSchema(ctx, sl, RuleSchema{Rule: "b", Object: "fact", Source: source, Made: source}))
	must(t, s.SaveSchema(ctx, sl, later))
	must(t, s.Close())

	s = openAt(t, path)
	want := func(want map[string]RuleSchema) {
		t.Helper()
		got, err := s.Schemas(ctx, sl)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("Schemas (-want +got), %v:\n%s", err, diff)
		}
	}
	rewind := func(to syncline.Cursor) {
		t.Helper()
		_, err := s.Rewind(ctx, sl, to)
		must(t, err)
	}
	both := map[string]RuleSchema{"a": first, "b": later}
	want(both)
	rewind(cur(5, 0)) // the target stands where the schema came
	want(both)
	must(t, s.PlaceRoute(ctx, sl, Route{Cursor: syncline.Cursor{Log: "L2", Seq: 1, Epoch: 2}})) // begins anew in another log
	rewind(syncline.Cursor{Log: "L2", Seq: 1, Epoch: 2})
	want(both)

	must(t, s.PlaceRoute(ctx, sl, Route{Cursor: cur(3, 0)}))
	must(t, s.Commit(ctx, Commit{Slice: sl, Journal: journal(3, 5, Applied)}))
	must(t, s.SaveSchema(ctx, sl, later))
	rewind(cur(3, 0)) // the target was restored to before
	want(map[string]RuleSchema{"a": first})
}
