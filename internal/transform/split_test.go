package transform

import (
	"errors"
	"strings"
	"testing"

	"syncline"
	"syncline/internal/expression"
)

// lines shows the children of an order.
func lines(t *testing.T, b *syncline.Batch, steps ...Step) (string, error) {
	t.Helper()
	p, err := orderPlan(t, steps...)
	if err != nil {
		t.Fatalf("Bind: %v", err)
	}
	parent, keep, err := p.Apply(b, 0, nil)
	if err != nil || !keep {
		t.Fatalf("Apply: keep %v, %v", keep, err)
	}
	rows, err := p.Children().Rows(b, 0, parent)
	var out []string
	for _, r := range rows {
		out = append(out, show(p.Children().Out(), r))
	}
	return strings.Join(out, "\n"), err
}

func with(list string) *syncline.Batch {
	return change("address", syncline.JSON([]byte(`{"lines": `+list+`}`)))
}

func TestSplit(t *testing.T) {
	bySKU := Split{Splitting{Field: "address.lines", Key: "sku", With: []string{"qty"},
		Fields: []Part{{"sku", "sku", 0}, {"price.net", "net", syncline.KindDecimal}}}}
	b := with(`[{"sku": "a", "price": {"net": 1.50}}, {"sku": "b"}]`)
	for _, tt := range []struct {
		name  string
		b     *syncline.Batch
		steps []Step
		want  string
	}{
		{"by a field", b, []Step{bySKU}, "id*=int(7) qty=int(3) sku*=text(a) net=decimal(1.50)\nid*=int(7) qty=int(3) sku*=text(b) net=null"},
		{"by the place", b, []Step{Split{Splitting{Field: "address.lines", Index: "no", Fields: []Part{{"sku", "sku", 0}}}}},
			"id*=int(7) sku=text(a) no*=int(1)\nid*=int(7) sku=text(b) no*=int(2)"},
		{"of plain elements", with(`["x", 5]`), []Step{Split{Splitting{Field: "address.lines", Key: "tag", Fields: []Part{{".", "tag", 0}}}}},
			"id*=int(7) tag*=text(x)\nid*=int(7) tag*=text(5)"},
		{"steps before and behind", b, []Step{Rename{[]Pair{{"id", "order_id"}}}, Map{[]Mapping{{Pair: Pair{"address.lines", "lines"}, Kind: syncline.KindJSON}}},
			Split{Splitting{Field: "lines", Key: "sku", With: []string{"qty"}, Fields: []Part{{"sku", "sku", 0}}}},
			assignments("sku", "upper(after.sku)", "double", "after.qty * 2"), Rename{[]Pair{{"order_id", "order"}}}, Filter{`after.sku != "B" or event.op == "created"`}, Drop{[]string{"qty"}}},
			"order*=int(7) sku*=text(A) double=int(6)"},
		{"null", with("null"), []Step{bySKU}, ""},
		{"not there", change(), []Step{bySKU}, ""},
		{"empty", with("[]"), []Step{bySKU}, ""},
	} {
		if got, err := lines(t, tt.b, tt.steps...); err != nil || got != tt.want {
			t.Errorf("%s: %v\n got %s\nwant %s", tt.name, err, got, tt.want)
		}
	}
	for _, tt := range []struct{ name, list, want string }{
		{"no list", `{"a": 1}`, "transform_failed: step 1 (split address.lines): it holds no list"},
		{"no key", `[{"sku": "a"}, {"price": 1}]`, "transform_failed: step 1 (split sku): an element has no value for the key"},
		{"one key twice", `[{"sku": "s3cret"}, {"sku": "s3cret"}]`, "transform_failed: step 1 (split address.lines): two elements have the same key"},
		{"a bad value", `[{"sku": "a", "price": {"net": "s3cret"}}]`, "transform_failed: step 1 (split net): a value of kind text cannot become decimal"},
		{"too many", "[" + strings.Repeat("1,", 10_000) + "1]", "transform_failed: step 1 (split address.lines): it has more than 10000 elements"},
	} {
		_, err := lines(t, with(tt.list), bySKU)
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), "s3cret") || syncline.ClassOf(err) != syncline.Rejected {
			t.Errorf("%s: %v, want rejected %s", tt.name, err, tt.want)
		}
	}
	var unset *expression.UnsetError
	if _, err := lines(t, change("address", syncline.Unset), Rename{[]Pair{{"address", "a"}}}, Split{Splitting{Field: "a.lines", Index: "no"}}); !errors.As(err, &unset) || unset.Column != "address" {
		t.Errorf("a list that was not sent: %v, want the source's column", err)
	}
	if _, err := lines(t, change("qty", syncline.Unset), bySKU); err != nil {
		t.Errorf("an empty list of a record without a carried column: %v", err)
	}
}

func TestSplitBindErrors(t *testing.T) {
	by := func(s Splitting) Split { return Split{s} }
	for name, tt := range map[string]struct {
		steps []Step
		code  string
	}{
		"no such list":        {[]Step{by(Splitting{Field: "lines", Index: "no"})}, "unknown_column"},
		"no list":             {[]Step{by(Splitting{Field: "price", Index: "no"})}, "bad_step"},
		"name of the key":     {[]Step{by(Splitting{Field: "address.l", Index: "id"})}, "column_exists"},
		"parent's key after":  {[]Step{by(Splitting{Field: "address.l", Index: "no"}), assignments("id", "after.id + 1")}, "bad_key"},
		"children's key gone": {[]Step{by(Splitting{Field: "address.l", Index: "no"}), Drop{[]string{"no"}}}, "key_dropped"},
		"not carried":         {[]Step{by(Splitting{Field: "address.l", Index: "no"}), assignments("x", "after.qty")}, "unknown_column"},
	} {
		if _, err := orderPlan(t, tt.steps...); syncline.CodeOf(err) != tt.code || syncline.ClassOf(err) != syncline.Fatal {
			t.Errorf("%s: %v, want %s", name, err, tt.code)
		}
	}
	p, err := orderPlan(t, by(Splitting{Field: "address.l", Index: "no"}))
	q, err2 := orderPlan(t, by(Splitting{Field: "address.l", Key: "no", Fields: []Part{{"no", "no", 0}}}))
	if err != nil || err2 != nil || p.KeyMapping() == q.KeyMapping() {
		t.Errorf("another key of the children is the same mapping: %q", p.KeyMapping())
	}
}
