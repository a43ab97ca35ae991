package rule

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"syncline"
	"syncline/internal/expression"
)

var schema = &syncline.Schema{Entity: "customer", Table: "customer", Version: -1, Key: []int{0}, Columns: []syncline.Column{
	{Name: "id", Kind: syncline.KindInt, Type: "bigint"},
	{Name: "tier", Kind: syncline.KindText},
	{Name: "credit", Kind: syncline.KindDecimal},
	{Name: "active", Kind: syncline.KindBool},
	{Name: "since", Kind: syncline.KindDate},
	{Name: "address", Kind: syncline.KindJSON},
	{Name: "tags", Kind: syncline.KindArray, Elem: syncline.KindText},
	{Name: "ref", Kind: syncline.KindUUID},
	{Name: "note", Kind: syncline.KindText},
	{Name: "a.b", Kind: syncline.KindText},
	{Name: "opens", Kind: syncline.KindTime},
}}

func row() []syncline.Value {
	return []syncline.Value{
		syncline.Int(7), syncline.Text("gold"), syncline.Decimal("1.50"), syncline.Bool(true), syncline.Raw(syncline.KindDate, []byte("2024-02-29")),
		syncline.JSON([]byte(`{"city":"Köln","zip":50667,"lines":[{"sku":"a"},{"sku":"b"}],"none":null}`)),
		syncline.Raw(syncline.KindArray, []byte(`{vip,new}`)), syncline.Raw(syncline.KindUUID, []byte("0b6e2a5e-0000-4000-8000-00000000000a")),
		syncline.Null, syncline.Text("dotted"), syncline.Raw(syncline.KindTime, []byte("09:30:00.500")),
	}
}

func batch(op syncline.Op, before, after []syncline.Value, meta *syncline.Meta) *syncline.Batch {
	return &syncline.Batch{Source: "crm", Txns: []syncline.Txn{{Commit: 1}}, Events: []syncline.Event{
		{Op: op, Schema: schema, Ordinal: 1, Before: before, After: after, Meta: meta}}}
}

func matcher(t *testing.T, s Spec) *Matcher {
	t.Helper()
	r, err := Compile(s)
	if err != nil {
		t.Fatalf("Compile: %v", err)
	}
	m, err := r.Bind(schema)
	if err != nil {
		t.Fatalf("Bind: %v", err)
	}
	return m
}

func TestConditions(t *testing.T) {
	text, num, null := syncline.Text, syncline.Decimal, syncline.Null
	type values = []syncline.Value
	tests := []struct {
		field    string
		operator Operator
		values   values
		want     bool
	}{
		{"tier", Equals, values{text("gold")}, true},
		{"tier", Equals, values{text("Gold")}, false},
		{"tier", NotEquals, values{text("test")}, true},
		{"tier", In, values{text("gold"), text("silver")}, true},
		{"tier", NotIn, values{text("gold"), text("silver")}, false},
		{"tier", Contains, values{text("ol")}, true},
		{"tier", GreaterThan, values{text("fold")}, true},
		{"tier", LessThan, values{text("fold")}, false},
		{"tier", In, values{null, text("gold")}, true},
		// Numbers by amount, whatever their kind and scale.
		{"id", Equals, values{num("7.0")}, true},
		{"id", In, values{num("1"), num("7")}, true},
		{"credit", Equals, values{num("1.5")}, true},
		{"credit", GreaterThan, values{num("1.4999999999999999999999")}, true},
		{"credit", LessThan, values{num("1.5")}, false},
		{"active", Equals, values{syncline.Bool(true)}, true},
		{"active", NotEquals, values{syncline.Bool(true)}, false},
		{"since", GreaterThan, values{text("2024-02-28")}, true},
		{"since", Equals, values{text("2024-02-29")}, true},
		{"ref", Equals, values{text("0B6E2A5E-0000-4000-8000-00000000000A")}, true},
		// Paths into JSON and arrays.
		{"address.city", Equals, values{text("Köln")}, true},
		{"address.zip", GreaterThan, values{num("50000")}, true},
		{"address.zip", GreaterThan, values{text("a")}, false},
		{"address.zip", Equals, values{text("50667")}, false},
		{"address.lines.1.sku", Equals, values{text("b")}, true},
		{"address.lines.9.sku", Equals, values{null}, true},
		{"address.lines.x", Equals, values{null}, true},
		{"address.nothing.at.all", NotEquals, values{null}, false},
		{"address.none", Equals, values{null}, true},
		{"tags", Contains, values{text("vip")}, true},
		{"tags", Contains, values{text("vi")}, false},
		{"tags.0", Equals, values{text("vip")}, true},
		{"a.b", Equals, values{text("dotted")}, true},
		// Null equals null and nothing else.
		{"note", Equals, values{null}, true},
		{"note", NotEquals, values{null}, false},
		{"note", Equals, values{text("")}, false},
		{"note", NotEquals, values{text("x")}, true},
		{"note", In, values{text("x")}, false},
		{"note", In, values{text("x"), null}, true},
		{"note", NotIn, values{text("x")}, true},
		{"note", NotIn, values{text("x"), null}, false},
		{"note", Contains, values{text("")}, false},
		{"note", GreaterThan, values{text("")}, false},
		{"note", LessThan, values{text("z")}, false},
	}
	for _, tt := range tests {
		m := matcher(t, Spec{Conditions: []Condition{{tt.field, tt.operator, tt.values}}})
		got, err := m.Match(batch(syncline.OpCreated, nil, row(), nil), 0)
		if got != tt.want || err != nil {
			t.Errorf("%s %s %v = %v, %v, want %v", tt.field, tt.operator, tt.values, got, err, tt.want)
		}
	}
}

func TestMatch(t *testing.T) {
	high := syncline.PriorityHigh
	gold := Condition{"tier", Equals, []syncline.Value{syncline.Text("gold")}}
	silver := row()
	silver[1] = syncline.Text("silver")
	key := make([]syncline.Value, len(schema.Columns))
	for i := range key {
		key[i] = syncline.Unset
	}
	key[0] = syncline.Int(7)
	urgent := &syncline.Meta{Priority: syncline.PriorityCritical}
	tests := []struct {
		name string
		spec Spec
		b    *syncline.Batch
		want bool
	}{
		{"all conditions", Spec{Conditions: []Condition{gold, {"id", Equals, []syncline.Value{syncline.Int(8)}}}}, batch(syncline.OpCreated, nil, row(), nil), false},
		{"conditions and when", Spec{Conditions: []Condition{gold}, When: `after.id > 6`}, batch(syncline.OpCreated, nil, row(), nil), true},
		{"when is false", Spec{Conditions: []Condition{gold}, When: `after.id > 7`}, batch(syncline.OpCreated, nil, row(), nil), false},
		{"when is null", Spec{When: `after.note`}, batch(syncline.OpCreated, nil, row(), nil), false},
		{"when over before", Spec{When: `before.tier != after.tier`}, batch(syncline.OpUpdated, silver, row(), nil), true},
		{"no priority is normal", Spec{MinPriority: &high}, batch(syncline.OpCreated, nil, row(), nil), false},
		{"just that priority", Spec{MinPriority: &high}, batch(syncline.OpCreated, nil, row(), &syncline.Meta{Priority: high}), true},
		{"higher priority", Spec{MinPriority: &high}, batch(syncline.OpCreated, nil, row(), urgent), true},
		{"operation", Spec{Ops: []syncline.Op{syncline.OpCreated}}, batch(syncline.OpUpdated, nil, row(), nil), false},
		{"delete with a whole before", Spec{Conditions: []Condition{gold}}, batch(syncline.OpDeleted, silver, nil, nil), false},
		{"delete with a whole before, when", Spec{When: `after.tier == "gold"`}, batch(syncline.OpDeleted, row(), nil, nil), true},
		{"delete of low priority", Spec{MinPriority: &high}, batch(syncline.OpDeleted, row(), nil, nil), false},
		{"delete with a key only", Spec{Conditions: []Condition{gold}, When: `after.tier == "gold"`, MinPriority: &high}, batch(syncline.OpDeleted, key, nil, nil), true},
		{"delete of an unwanted operation", Spec{Ops: []syncline.Op{syncline.OpCreated}}, batch(syncline.OpDeleted, key, nil, nil), false},
		{"truncate", Spec{Conditions: []Condition{gold}}, batch(syncline.OpTruncated, nil, nil, nil), true},
	}
	for _, tt := range tests {
		got, err := matcher(t, tt.spec).Match(tt.b, 0)
		if got != tt.want || err != nil {
			t.Errorf("%s: Match = %v, %v, want %v", tt.name, got, err, tt.want)
		}
	}
}

func TestTheBeforeImageIsJudged(t *testing.T) {
	old := row()
	old[1] = syncline.Text("silver")
	b := batch(syncline.OpUpdated, old, row(), nil)
	m := matcher(t, Spec{Conditions: []Condition{{"tier", Equals, []syncline.Value{syncline.Text("gold")}}}, When: `after.tier == "gold"`})
	was, err := m.matchRow(b, 0, old)
	is, err2 := m.Match(b, 0)
	if was || !is || err != nil || err2 != nil {
		t.Fatalf("was %v, %v; is %v, %v; want false, true", was, err, is, err2)
	}
}

func TestAllCostsNothing(t *testing.T) {
	low := syncline.PriorityLow
	for _, s := range []Spec{{}, {MinPriority: &low}} {
		if !matcher(t, s).All() {
			t.Errorf("%+v does not match everything", s)
		}
	}
	for _, s := range []Spec{{When: "true"}, {Ops: []syncline.Op{syncline.OpCreated}}} {
		if matcher(t, s).All() {
			t.Errorf("%+v matches everything", s)
		}
	}
	m := matcher(t, Spec{Conditions: []Condition{{"tier", In, []syncline.Value{syncline.Text("silver"), syncline.Text("gold")}}}})
	b := batch(syncline.OpCreated, nil, row(), nil)
	if n := testing.AllocsPerRun(100, func() { _, _ = m.Match(b, 0) }); n != 0 {
		t.Errorf("a condition on text allocates %v times a row, want 0", n)
	}
}

func TestUnset(t *testing.T) {
	values := row()
	values[1] = syncline.Unset
	for _, s := range []Spec{{Conditions: []Condition{{"tier", NotEquals, []syncline.Value{syncline.Null}}}}, {When: `after.tier == nil`}} {
		_, err := matcher(t, s).Match(batch(syncline.OpUpdated, nil, values, nil), 0)
		var unset *expression.UnsetError
		if !errors.As(err, &unset) || unset.Column != "tier" {
			t.Errorf("Match = %v, want ErrUnset of tier", err)
		}
	}
}

func TestCompileAndBindErrors(t *testing.T) {
	one := []syncline.Value{syncline.Text("x")}
	for _, tt := range []struct {
		c    Condition
		want string
	}{
		{Condition{"", Equals, one}, "bad_condition: a condition needs a field"},
		{Condition{"a..b", Equals, one}, "bad_condition: a condition needs a field"},
		{Condition{"tier", "is", one}, `bad_condition: there is no operator "is"`},
		{Condition{"tier", Equals, nil}, "bad_condition: equals takes one value, not 0"},
		{Condition{"tier", In, nil}, "bad_condition: in needs at least one value"},
		{Condition{"tier", LessThan, []syncline.Value{syncline.Null}}, "bad_condition: less_than null never holds"},
		{Condition{"tier", Equals, []syncline.Value{syncline.JSON([]byte("{}"))}}, "bad_condition: a value of kind json"},
		{Condition{"color", Equals, one}, "unknown_column: condition on color"},
		{Condition{"since", GreaterThan, []syncline.Value{syncline.Text("yesterday")}}, `bad_condition: condition on since: column since of customer is date, and "yesterday"`},
		{Condition{"opens", In, []syncline.Value{syncline.Text("09:30"), syncline.Text("half past nine")}}, `bad_condition: condition on opens: column opens of customer is time, and "half`},
		{Condition{"ref", Equals, []syncline.Value{syncline.Text("0b6e")}}, `bad_condition: condition on ref: column ref of customer is uuid, and "0b6e"`},
		{Condition{"tier.x", Equals, one}, "bad_condition: condition on tier.x: column tier of customer is text"},
		{Condition{"id", Equals, one}, "bad_condition: condition on id: column id of customer is int, the value is text"},
		{Condition{"tier", Equals, []syncline.Value{syncline.Int(1)}}, "bad_condition: condition on tier"},
	} {
		r, err := Compile(Spec{Conditions: []Condition{tt.c}})
		if err == nil {
			_, err = r.Bind(schema)
		}
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %s", tt.c, err, tt.want)
		}
	}
	computed := &syncline.Schema{Entity: "line", Key: []int{0}, Version: -1, Columns: []syncline.Column{
		{Name: "id", Kind: syncline.KindInt, Type: "bigint"}, {Name: "net", Kind: syncline.KindInt, Type: "bigint", Generated: "(id * 2)"}}}
	for _, spec := range []Spec{{When: "after.net > 1"}, {When: "before.net > 1"}, {Conditions: []Condition{{"net", GreaterThan, []syncline.Value{syncline.Int(1)}}}}} {
		r, err := Compile(spec)
		if err == nil {
			_, err = r.Bind(computed)
		}
		if syncline.CodeOf(err) != "column_computed" || syncline.ClassOf(err) != syncline.Fatal {
			t.Errorf("%+v: %v, want fatal column_computed", spec, err)
		}
	}
	if _, err := Compile(Spec{When: "after."}); !errors.As(err, new(*expression.Error)) {
		t.Errorf("a bad expression: %v, want an *expression.Error", err)
	}
}

// The written form changes when the meaning does: routes recognise a changed rule by it.
func TestSpecJSON(t *testing.T) {
	high := syncline.PriorityHigh
	got, err := json.Marshal(Spec{When: "true", MinPriority: &high, Ops: []syncline.Op{syncline.OpCreated},
		Conditions: []Condition{{"id", In, []syncline.Value{syncline.Int(1), syncline.Text("1"), syncline.Null}}}})
	want := `{"conditions":[{"field":"id","operator":"in","values":["int(1)","text(1)","null"]}],"when":"true","min_priority":"high","ops":["created"]}`
	if err != nil || string(got) != want {
		t.Errorf("Marshal = %s, %v, want %s", got, err, want)
	}
}

func BenchmarkMatch(b *testing.B) {
	r, err := Compile(Spec{Conditions: []Condition{{"tier", In, []syncline.Value{syncline.Text("silver"), syncline.Text("gold")}}}})
	if err != nil {
		b.Fatal(err)
	}
	m, err := r.Bind(schema)
	if err != nil {
		b.Fatal(err)
	}
	events := batch(syncline.OpCreated, nil, row(), nil)
	b.ReportAllocs()
	for b.Loop() {
		if ok, err := m.Match(events, 0); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}

// Pushed records have the columns that they have: what was not sent is null in a created record, and else not known.
func TestOpenSchema(t *testing.T) {
	open := &syncline.Schema{Entity: "order", Version: -1, Key: []int{0}, Columns: []syncline.Column{{Name: "id", Kind: syncline.KindInt}}}
	for _, s := range []Spec{{Conditions: []Condition{{"state", Equals, []syncline.Value{syncline.Null}}}}, {When: `after.state == nil`}} {
		r, err := Compile(s)
		if err != nil {
			t.Fatal(err)
		}
		m, err := r.Bind(open)
		if err != nil {
			t.Fatalf("Bind: %v", err)
		}
		values := []syncline.Value{syncline.Int(7)}
		one := func(op syncline.Op, before, after []syncline.Value) *syncline.Batch {
			return &syncline.Batch{Txns: []syncline.Txn{{}}, Events: []syncline.Event{{Op: op, Schema: open, Before: before, After: after}}}
		}
		if ok, err := m.Match(one(syncline.OpCreated, nil, values), 0); !ok || err != nil {
			t.Errorf("created: %v, %v, want true", ok, err)
		}
		if _, err := m.Match(one(syncline.OpUpdated, nil, values), 0); !errors.Is(err, expression.ErrUnset) {
			t.Errorf("updated: %v, want ErrUnset", err)
		}
		if ok, err := m.Match(one(syncline.OpDeleted, values, nil), 0); !ok || err != nil {
			t.Errorf("deleted: %v, %v, want that it passes", ok, err)
		}
	}
}

// A column of pushed records becomes text where one of them had a text in it, or a null at first: what the others hold is judged as ever.
func TestConditionOnAColumnThatBecameText(t *testing.T) {
	open := &syncline.Schema{Entity: "order", Version: -1, Key: []int{0}, Columns: []syncline.Column{
		{Name: "id", Kind: syncline.KindInt}, {Name: "total", Kind: syncline.KindText}, {Name: "paid", Kind: syncline.KindText}, {Name: "to", Kind: syncline.KindText}}}
	for _, tt := range []struct {
		field    string
		operator Operator
		than     syncline.Value
		value    syncline.Value
		want     bool
	}{
		{"total", GreaterThan, syncline.Decimal("100"), syncline.Int(150), true},
		{"total", GreaterThan, syncline.Decimal("100"), syncline.Int(50), false},
		{"total", GreaterThan, syncline.Decimal("100"), syncline.Text("150"), false},
		{"total", GreaterThan, syncline.Decimal("100"), syncline.Null, false},
		{"total", Equals, syncline.Decimal("150"), syncline.Text("150"), false},
		{"total", NotEquals, syncline.Decimal("150"), syncline.Text("150"), true},
		{"total", Equals, syncline.Text("150"), syncline.Int(150), false},
		{"paid", Equals, syncline.Bool(true), syncline.Bool(true), true},
		{"paid", Equals, syncline.Bool(true), syncline.Text("true"), false},
		{"to.city", Equals, syncline.Text("Bonn"), syncline.JSON([]byte(`{"city":"Bonn"}`)), true},
		{"to.city", Equals, syncline.Text("Bonn"), syncline.Text("Bonn"), false},
	} {
		r, err := Compile(Spec{Conditions: []Condition{{tt.field, tt.operator, []syncline.Value{tt.than}}}})
		if err != nil {
			t.Fatal(err)
		}
		m, err := r.Bind(open)
		if err != nil {
			t.Errorf("%s %s %v: Bind: %v", tt.field, tt.operator, tt.than, err)
			continue
		}
		values := []syncline.Value{syncline.Int(7), tt.value, tt.value, tt.value}
		b := &syncline.Batch{Txns: []syncline.Txn{{}}, Events: []syncline.Event{{Op: syncline.OpCreated, Schema: open, After: values}}}
		if got, err := m.Match(b, 0); got != tt.want || err != nil {
			t.Errorf("%v %s %v = %v, %v, want %v", tt.value, tt.operator, tt.than, got, err, tt.want)
		}
	}
}
