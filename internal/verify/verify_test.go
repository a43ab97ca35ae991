package verify

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

var schema = &syncline.Schema{Entity: "e", Key: []int{0}, Version: -1, Columns: []syncline.Column{
	{Name: "id", Kind: syncline.KindInt}, {Name: "price", Kind: syncline.KindDecimal}, {Name: "name", Kind: syncline.KindText}}}

func rows(s *syncline.Schema, list ...[]syncline.Value) Each {
	return func(_ context.Context, f func(syncline.Row) error) error {
		for _, v := range list {
			if err := f(syncline.Row{Schema: s, Values: v}); err != nil {
				return err
			}
		}
		return nil
	}
}

func rec(id int64, price, name string) []syncline.Value {
	return []syncline.Value{syncline.Int(id), syncline.Decimal(price), syncline.Text(name)}
}

func TestCompare(t *testing.T) {
	keyless := *schema
	keyless.Key = nil
	for _, test := range []struct {
		name      string
		want, got Each
		res       Result
	}{
		{"equal in another order and scale", rows(schema, rec(1, "1.50", "a"), rec(2, "2", "b")), rows(schema, rec(2, "2.00", "b"), rec(1, "1.5", "a")),
			Result{Source: 2, Target: 2}},
		{"a decimal that was silently altered", rows(schema, rec(1, "1.50", "a")), rows(schema, rec(1, "1.51", "a")),
			Result{Source: 1, Target: 1, Different: 1, Samples: []Sample{{"1", "different", []string{"price"}, false}}}},
		{"missing and extra", rows(schema, rec(1, "1", "a"), rec(3, "1", "a")), rows(schema, rec(1, "1", "a"), rec(2, "1", "a")),
			Result{Source: 2, Target: 2, Missing: 1, Extra: 1, Samples: []Sample{{"2", "extra", nil, false}, {"3", "missing", nil, false}}}},
		{"a row without a key too few", rows(&keyless, rec(1, "1", "a"), rec(1, "1", "a")), rows(&keyless, rec(1, "1", "a")),
			Result{Source: 2, Target: 1, Missing: 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := Compare(t.Context(), test.want, test.got)
			if err != nil {
				t.Fatal(err)
			}
			if test.res.Samples == nil {
				got.Samples = nil
			}
			if diff := cmp.Diff(test.res, got); diff != "" {
				t.Errorf("Compare (-want +got):\n%s", diff)
			}
		})
	}
}
