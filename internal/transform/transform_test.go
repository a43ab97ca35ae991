package transform

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline"
	"syncline/internal/expression"
)

var source = &syncline.Schema{Entity: "customer", Table: "public.customer", Key: []int{0}, Version: 5, Columns: []syncline.Column{
	{Name: "id", Kind: syncline.KindInt, Type: "bigint"},
	{Name: "name", Kind: syncline.KindText, Type: "varchar(40)", Nullable: true},
	{Name: "email", Kind: syncline.KindText, Nullable: true},
	{Name: "credit", Kind: syncline.KindDecimal, Type: "numeric(12,2)"},
	{Name: "total", Kind: syncline.KindDecimal, Generated: "credit * 2"},
	{Name: "rev", Kind: syncline.KindInt},
}}

func row() []syncline.Value {
	return []syncline.Value{syncline.Int(7), syncline.Text("Zoë"), syncline.Text("Z@Example.ORG"), syncline.Decimal("1.50"), syncline.Decimal("3.00"), syncline.Int(4)}
}

func batch(before, after []syncline.Value) *syncline.Batch {
	return &syncline.Batch{Source: "crm", Txns: []syncline.Txn{{Commit: 1}}, Events: []syncline.Event{
		{Op: syncline.OpUpdated, Schema: source, Ordinal: 1, Before: before, After: after}}}
}

func plan(t *testing.T, steps ...Step) *Plan {
	t.Helper()
	tr, err := Compile(steps)
	if err != nil {
		t.Fatalf("Compile: %v", err)
	}
	p, err := tr.Bind(source)
	if err != nil {
		t.Fatalf("Bind: %v", err)
	}
	return p
}

// show writes a record as name=value, the key's columns marked with * and the version's with #.
func show(s *syncline.Schema, values []syncline.Value) string {
	var parts []string
	for i, v := range values {
		mark := ""
		for _, k := range s.Key {
			if k == i {
				mark = "*"
			}
		}
		if s.Version == i {
			mark += "#"
		}
		parts = append(parts, s.Columns[i].Name+mark+"="+v.String())
	}
	return strings.Join(parts, " ")
}

func assignments(fields ...string) Set {
	var s Set
	for i := 0; i < len(fields); i += 2 {
		s.Fields = append(s.Fields, Assignment{Field: fields[i], Expression: fields[i+1]})
	}
	return s
}

func TestApply(t *testing.T) {
	tests := []struct {
		name  string
		steps []Step
		want  string
	}{
		{"rename", []Step{Rename{[]Pair{{"name", "customer_name"}, {"id", "customer_id"}}}},
			"customer_id*=int(7) customer_name=text(Zoë) email=text(Z@Example.ORG) credit=decimal(1.50) rev#=int(4)"},
		{"swapped names", []Step{Rename{[]Pair{{"name", "email"}, {"email", "name"}}}, Keep{[]string{"id", "name"}}},
			"id*=int(7) name=text(Z@Example.ORG)"},
		{"drop", []Step{Drop{[]string{"email", "total", "rev"}}}, "id*=int(7) name=text(Zoë) credit=decimal(1.50)"},
		{"keep keeps the order", []Step{Keep{[]string{"rev", "id"}}}, "id*=int(7) rev#=int(4)"},
		{"map copies", []Step{Map{[]Mapping{{Pair: Pair{"id", "ref"}, Keep: true}, {Pair: Pair{"rev", "revision"}, Keep: false}}}, Keep{[]string{"id", "ref", "revision"}}},
			"id*=int(7) ref=int(7) revision#=int(4)"},
		{"map moves the key", []Step{Map{[]Mapping{{Pair: Pair{"id", "ref"}, Keep: false}}}, Keep{[]string{"ref"}}}, "ref*=int(7)"},
		{"map one field to two", []Step{Map{[]Mapping{{Pair: Pair{"name", "a"}, Keep: false}, {Pair: Pair{"name", "b"}, Keep: true}}}, Keep{[]string{"id", "a", "b"}}},
			"id*=int(7) a=text(Zoë) b=text(Zoë)"},
		{"set replaces and adds", []Step{assignments("email", "lower(after.email)", "gross", "after.credit * 1.19"), Drop{[]string{"total", "rev", "name"}}},
			"id*=int(7) email=text(z@example.org) credit=decimal(1.50) gross=decimal(1.7850)"},
		{"assignments of one step see the same record", []Step{assignments("name", "after.email", "email", "after.name"), Keep{[]string{"id", "name", "email"}}},
			"id*=int(7) name=text(Z@Example.ORG) email=text(Zoë)"},
		{"steps see what earlier ones left", []Step{Rename{[]Pair{{"name", "n"}}}, assignments("n", `after.n + "!"`), assignments("n", `after.n + "?"`), Keep{[]string{"id", "n"}}},
			"id*=int(7) n=text(Zoë!?)"},
		{"a dropped column is gone for whole records", []Step{Keep{[]string{"id", "name"}}, assignments("doc", "toJSON(after)")},
			`id*=int(7) name=text(Zoë) doc=text({"id":7,"name":"Zoë"})`},
		{"a copy changes on its own", []Step{Map{[]Mapping{{Pair: Pair{"name", "copy"}, Keep: true}}}, assignments("copy", "upper(after.copy)"), Keep{[]string{"id", "name", "copy"}}},
			"id*=int(7) name=text(Zoë) copy=text(ZOË)"},
		{"convert", []Step{Convert{[]Conversion{{Field: "id", To: syncline.KindText}, {Field: "credit", To: syncline.KindFloat}}}, Keep{[]string{"id", "credit"}}},
			"id*=text(7) credit=float(1.5)"},
		{"convert or else", []Step{Convert{[]Conversion{{Field: "name", To: syncline.KindInt, Default: &Constant{syncline.Decimal("0")}}, {Field: "email", To: syncline.KindDate, Default: &Constant{syncline.Null}},
			{Field: "credit", To: syncline.KindText, Default: &Constant{syncline.Text("none")}}}}, Keep{[]string{"id", "name", "email", "credit"}}},
			"id*=int(7) name=int(0) email=null credit=text(1.50)"},
		{"computed key", []Step{assignments("id", `"c-" + string(after.id)`), Keep{[]string{"id"}}}, "id*=text(c-7)"},
		{"declared kind", []Step{Set{[]Assignment{{"rev", "string(after.rev) + \"0\"", syncline.KindInt}}}, Keep{[]string{"id", "rev"}}}, "id*=int(7) rev#=int(40)"},
		{"unknown kind becomes text", []Step{assignments("x", `{"a": after.credit}.a`), Keep{[]string{"id", "x"}}}, "id*=int(7) x=text(1.50)"},
		{"before has the source's names", []Step{Rename{[]Pair{{"credit", "c"}}}, assignments("grown", "after.c - before.credit"), Keep{[]string{"id", "grown"}}},
			"id*=int(7) grown=decimal(0.50)"},
	}
	old := row()
	old[3] = syncline.Decimal("1.00")
	for _, tt := range tests {
		p := plan(t, tt.steps...)
		got, keep, err := p.Apply(batch(old, row()), 0, nil)
		if err != nil || !keep {
			t.Errorf("%s: keep %v, %v", tt.name, keep, err)
			continue
		}
		if diff := cmp.Diff(tt.want, show(p.Out(), got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		// The target key is the same by way of the key alone.
		only := []syncline.Value{syncline.Int(7), syncline.Unset, syncline.Unset, syncline.Unset, syncline.Unset, syncline.Unset}
		keyed, err := p.Key(only)
		if err != nil {
			t.Errorf("%s: Key: %v", tt.name, err)
			continue
		}
		want, _ := syncline.Row{Schema: p.Out(), Values: got}.Key()
		if k, ok := (syncline.Row{Schema: p.Out(), Values: keyed}).Key(); !ok || k != want {
			t.Errorf("%s: Key = %q, %v, want %q", tt.name, k, ok, want)
		}
	}
}

func TestOutSchema(t *testing.T) {
	p := plan(t, Rename{[]Pair{{"name", "n"}}}, assignments("copy", "after.n", "sum", "after.credit + 1", "doc", "[after.id]", "late", "after.credit > 1"),
		Convert{[]Conversion{{Field: "email", To: syncline.KindBytes}}}, Drop{[]string{"rev"}})
	want := &syncline.Schema{Entity: "customer", Table: "public.customer", Key: []int{0}, Version: -1, Columns: []syncline.Column{
		{Name: "id", Kind: syncline.KindInt, Type: "bigint"},
		{Name: "n", Kind: syncline.KindText, Type: "varchar(40)", Nullable: true},
		{Name: "email", Kind: syncline.KindBytes, Nullable: true},
		{Name: "credit", Kind: syncline.KindDecimal, Type: "numeric(12,2)"},
		{Name: "copy", Kind: syncline.KindText, Type: "varchar(40)", Nullable: true},
		{Name: "sum", Kind: syncline.KindDecimal, Nullable: true},
		{Name: "doc", Kind: syncline.KindJSON, Nullable: true},
		{Name: "late", Kind: syncline.KindBool, Nullable: true},
	}}
	if diff := cmp.Diff(want, p.Out()); diff != "" {
		t.Errorf("Out (-want +got):\n%s", diff)
	}
}

func TestFilter(t *testing.T) {
	p := plan(t, Filter{When: `after.credit > 1`})
	in := row()
	got, keep, err := p.Apply(batch(nil, in), 0, nil)
	if err != nil || !keep || &got[0] != &in[0] || p.Out() != source {
		t.Errorf("a record that passes is not the event's own: %v, %v, %v", got, keep, err)
	}
	in[3] = syncline.Decimal("1.00")
	if _, keep, err = p.Apply(batch(nil, in), 0, nil); keep || err != nil {
		t.Errorf("keep = %v, %v, want false", keep, err)
	}
}

func TestIdentityCopiesNothing(t *testing.T) {
	plain := *source
	plain.Columns = slices.Clone(source.Columns)
	plain.Columns[4].Generated = ""
	for name, steps := range map[string][]Step{"no steps": nil, "renames only": {Rename{[]Pair{{"name", "n"}}}}} {
		tr, err := Compile(steps)
		if err != nil {
			t.Fatal(err)
		}
		p, err := tr.Bind(&plain)
		if err != nil {
			t.Fatal(err)
		}
		in := row()
		b := batch(in, in)
		got, keep, err := p.Apply(b, 0, nil)
		before := p.Before(b, 0)
		key, err2 := p.Key(in)
		if err != nil || err2 != nil || !keep || &got[0] != &in[0] || &before[0] != &in[0] || &key[0] != &in[0] {
			t.Errorf("%s: the values are copies", name)
		}
		if n := testing.AllocsPerRun(100, func() { _, _, _ = p.Apply(b, 0, nil) }); n != 0 {
			t.Errorf("%s: %v allocations a row", name, n)
		}
	}
	if p := plan(t); p.Out() != source {
		t.Error("no steps make another schema")
	}
}

func TestApplyUsesDst(t *testing.T) {
	p := plan(t, Keep{[]string{"id", "name"}})
	b, dst := batch(nil, row()), make([]syncline.Value, 0, 8)
	if n := testing.AllocsPerRun(100, func() { _, _, _ = p.Apply(b, 0, dst) }); n != 0 {
		t.Errorf("a projection into dst allocates %v times a row", n)
	}
}

func TestUnset(t *testing.T) {
	in := row()
	in[1] = syncline.Unset
	b := batch(nil, in)
	p := plan(t, Rename{[]Pair{{"name", "n"}}}, Map{[]Mapping{{Pair: Pair{"n", "m"}, Keep: true}}}, Convert{[]Conversion{{Field: "n", To: syncline.KindBytes}}})
	got, _, err := p.Apply(b, 0, nil)
	if err != nil || !got[p.Out().Index("n")].IsUnset() || !got[p.Out().Index("m")].IsUnset() {
		t.Errorf("renamed, copied, converted = %v, %v, want unset", got, err)
	}
	for name, steps := range map[string][]Step{
		"set":    {Rename{[]Pair{{"name", "n"}}}, assignments("x", "upper(after.n)")},
		"copy":   {Map{[]Mapping{{Pair: Pair{"name", "n"}, Keep: true}}}, assignments("x", "after.n")},
		"filter": {Rename{[]Pair{{"name", "n"}}}, Filter{`after.n != nil`}},
		"before": {assignments("x", "before.name")},
	} {
		_, _, err := plan(t, steps...).Apply(b, 0, nil)
		var unset *expression.UnsetError
		if !errors.Is(err, expression.ErrUnset) || !errors.As(err, &unset) || unset.Column != "name" {
			t.Errorf("%s: %v, want ErrUnset of the source's column name", name, err)
		}
	}
}

func TestBefore(t *testing.T) {
	old := []syncline.Value{syncline.Int(7), syncline.Text("Zo"), syncline.Unset, syncline.Decimal("9"), syncline.Decimal("18"), syncline.Int(3)}
	p := plan(t, Filter{`after.credit < 5`}, assignments("email", "lower(after.email)", "name", "upper(after.name)"), Keep{[]string{"id", "email", "name"}})
	got := p.Before(batch(old, row()), 0)
	if want := "id*=int(7) name=text(ZO) email=unset"; show(p.Out(), got) != want {
		t.Errorf("Before = %s, want %s", show(p.Out(), got), want)
	}
	if got := p.Before(batch(nil, row()), 0); got != nil {
		t.Errorf("Before without an image = %v, want nil", got)
	}
}

// TestBeforeOfARecordThatCouldNotBeMade: what it had is not known, and shows nothing that a step was to hide.
func TestBeforeOfARecordThatCouldNotBeMade(t *testing.T) {
	old := row()
	old[1], old[2] = syncline.Text("no number"), syncline.Text("{s3cret")
	p := plan(t, Convert{[]Conversion{{Field: "name", To: syncline.KindInt}, {Field: "email", To: syncline.KindJSON}}},
		assignments("next", "after.name + 1"), Keep{[]string{"id", "name", "email", "next", "credit"}})
	if got, want := show(p.Out(), p.Before(batch(old, row()), 0)), "id*=int(7) name=unset email=unset credit=decimal(1.50) next=unset"; got != want {
		t.Errorf("Before = %s, want %s", got, want)
	}
}

// The values of a generated column never come: a record that had it would never be whole, and a step that reads it never done.
func TestGeneratedColumn(t *testing.T) {
	values := row()
	values[4] = syncline.Unset
	b := batch(nil, values)
	bind := func(s Step) (*Plan, error) {
		tr, err := Compile([]Step{s})
		if err != nil {
			t.Fatal(err)
		}
		return tr.Bind(source)
	}
	for name, tt := range map[string]struct {
		step    Step
		want    string
		leftOut []string
	}{
		"as it comes":     {Filter{"after.credit > 1"}, "id*=int(7) name=text(Zoë) email=text(Z@Example.ORG) credit=decimal(1.50) total=unset rev#=int(4)", nil},
		"others renamed":  {Rename{[]Pair{{"name", "n"}}}, "id*=int(7) n=text(Zoë) email=text(Z@Example.ORG) credit=decimal(1.50) rev#=int(4)", []string{"total"}},
		"kept":            {Keep{[]string{"id", "total"}}, "id*=int(7)", []string{"total"}},
		"dropped":         {Drop{[]string{"total", "rev"}}, "id*=int(7) name=text(Zoë) email=text(Z@Example.ORG) credit=decimal(1.50)", nil},
		"computed by us":  {assignments("total", "after.credit * 2"), "id*=int(7) name=text(Zoë) email=text(Z@Example.ORG) credit=decimal(1.50) total=decimal(3.00) rev#=int(4)", nil},
		"a whole record":  {assignments("name", "toJSON(after)"), `id*=int(7) name=text({"credit":1.50,"email":"Z@Example.ORG","id":7,"name":"Zoë","rev":4}) email=text(Z@Example.ORG) credit=decimal(1.50) rev#=int(4)`, []string{"total"}},
		"another dropped": {Drop{[]string{"credit"}}, "id*=int(7) name=text(Zoë) email=text(Z@Example.ORG) rev#=int(4)", []string{"total"}},
	} {
		p, err := bind(tt.step)
		if err != nil {
			t.Errorf("%s: Bind: %v", name, err)
			continue
		}
		got, _, err := p.Apply(b, 0, nil)
		if err != nil || show(p.Out(), got) != tt.want || !(syncline.Row{Schema: p.Out(), Values: got}).Whole() {
			t.Errorf("%s: Apply = %s, %v, want a whole %s", name, show(p.Out(), got), err, tt.want)
		}
		if diff := cmp.Diff(tt.leftOut, p.LeftOut()); diff != "" {
			t.Errorf("%s: LeftOut (-want +got):\n%s", name, diff)
		}
	}
	for _, s := range []Step{Rename{[]Pair{{"total", "sum"}}}, Map{[]Mapping{{Pair: Pair{"total", "sum"}, Keep: true}}}, Convert{[]Conversion{{Field: "total", To: syncline.KindText}}},
		assignments("x", "after.total"), assignments("x", "before.total + 1"), Filter{"after.total > 1"}} {
		_, err := bind(s)
		var e *syncline.Error
		if !errors.As(err, &e) || e.Code != "column_computed" || e.Class != syncline.Fatal || !strings.Contains(e.Msg, `"total"`) || !strings.Contains(e.Fix, "credit * 2") {
			t.Errorf("Bind of %s = %v (%+v), want fatal column_computed that names the column", s.Kind(), err, e)
		}
	}
}

func TestKeylessEntity(t *testing.T) {
	keyless := *source
	keyless.Key, keyless.Version = nil, -1
	tr, err := Compile([]Step{Drop{[]string{"id"}}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := tr.Bind(&keyless)
	if err != nil || len(p.Out().Key) != 0 {
		t.Errorf("Bind = %v, %v, want a keyless plan", p.Out(), err)
	}
}

func BenchmarkApply(b *testing.B) {
	tr, err := Compile([]Step{Rename{[]Pair{{"name", "customer_name"}}}, assignments("email", "lower(after.email)"), Drop{[]string{"total"}}})
	if err != nil {
		b.Fatal(err)
	}
	p, err := tr.Bind(source)
	if err != nil {
		b.Fatal(err)
	}
	events, dst := batch(nil, row()), make([]syncline.Value, 0, 8)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := p.Apply(events, 0, dst); err != nil {
			b.Fatal(err)
		}
	}
}

// Pushed records have the columns that they have: steps skip what was not sent.
func TestOpenSchema(t *testing.T) {
	open := &syncline.Schema{Entity: "order", Version: -1, Key: []int{0}, Columns: []syncline.Column{{Name: "id", Kind: syncline.KindInt}}}
	tr, err := Compile([]Step{Rename{[]Pair{{"id", "order_id"}, {"note", "text"}}}, Map{[]Mapping{{Pair: Pair{"total", "sum"}, Keep: true}}},
		assignments("net", "after.sum / 2", "kind", `"order"`, "label", "string(after.order_id) + after.state"), Convert{[]Conversion{{Field: "sum", To: syncline.KindText}}},
		Drop{[]string{"text"}}, Keep{[]string{"order_id", "kind", "label", "net", "gone"}}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := tr.Bind(open)
	if err != nil {
		t.Fatalf("Bind: %v", err)
	}
	b := &syncline.Batch{Txns: []syncline.Txn{{}}, Events: []syncline.Event{
		{Op: syncline.OpCreated, Schema: open, After: []syncline.Value{syncline.Int(7)}},
		{Op: syncline.OpUpdated, Schema: open, After: []syncline.Value{syncline.Int(7)}},
	}}
	got, _, err := p.Apply(b, 0, nil)
	if want := "order_id*=int(7) kind=text(order) label=null"; err != nil || show(p.Out(), got) != want {
		t.Errorf("created: %s, %v, want %s", show(p.Out(), got), err, want)
	}
	if _, _, err := p.Apply(b, 1, nil); !errors.Is(err, expression.ErrUnset) {
		t.Errorf("updated: %v, want ErrUnset of what label needs", err)
	}
	if key, err := p.Key([]syncline.Value{syncline.Int(7)}); err != nil || key[0].String() != "int(7)" {
		t.Errorf("Key = %v, %v", key, err)
	}
}

func TestKeyMapping(t *testing.T) {
	id, other := "id", "name"
	is := plan(t).KeyMapping()
	for name, test := range map[string]struct {
		steps   []Step
		another bool
	}{
		"nothing":                        {nil, false},
		"another column renamed":         {[]Step{Rename{[]Pair{{other, "title"}}}}, false},
		"another column computed":        {[]Step{assignments(other, "upper(after."+other+")")}, false},
		"another column dropped":         {[]Step{Drop{[]string{other}}}, false},
		"a filter":                       {[]Step{Filter{"after." + id + " > 5"}}, false},
		"the key renamed":                {[]Step{Rename{[]Pair{{id, "customer_id"}}}}, true},
		"the key renamed there and back": {[]Step{Rename{[]Pair{{id, "x"}}}, Rename{[]Pair{{"x", id}}}}, false},
		"the key computed":               {[]Step{assignments(id, "after."+id+" + 1")}, true},
		"the key of another kind":        {[]Step{Convert{[]Conversion{{Field: id, To: syncline.KindText}}}}, true},
	} {
		if got := plan(t, test.steps...).KeyMapping(); (got != is) != test.another {
			t.Errorf("%s: KeyMapping = %q beside %q, want another: %v", name, got, is, test.another)
		}
	}
	plus := func(n string) string { return plan(t, assignments(id, "after."+id+" + "+n)).KeyMapping() }
	if plus("1") == plus("2") {
		t.Errorf("KeyMapping of two formulas = %q for both", plus("1"))
	}
}
